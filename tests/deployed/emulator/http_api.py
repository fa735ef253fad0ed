"""API Gateway HTTP APIs.

SAM writes the routes of an HTTP API as an OpenAPI document into `AWS::ApiGatewayV2::Api`. ministack ignores this
document. This module imports it. The module also gives the functions the events of payload format 2.0.
"""
import contextvars
import json
import re

from ministack.services import apigateway as gateway
from ministack.services import lambda_svc
from ministack.services.cloudformation import provisioners

API_HOST = re.compile(r"([a-z0-9]+)\.execute-api\.")
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "x-amazon-apigateway-any-method")

caller = contextvars.ContextVar("caller", default="127.0.0.1")


def install():
    # The requests of an API get its own path from `routed`. ministack would first look for paths of its own, such as
    # `POST /login`, which belongs to its Cognito.
    from ministack import app

    app._EXECUTE_API_RE = re.compile(r"(?!)")
    handlers = provisioners._RESOURCE_HANDLERS["AWS::ApiGatewayV2::Api"]
    create, update = handlers["create"], handlers["update"]

    def create_with_routes(logical_id, properties, stack):
        created = create(logical_id, properties, stack)
        import_document(created[0], properties.get("Body"))
        return created

    def update_with_routes(api, old, new, stack, logical_id=None):
        updated = update(api, old, new, stack, logical_id)
        import_document(updated[0], new.get("Body"))
        return updated

    handlers.update(create=create_with_routes, update=update_with_routes)
    execute = lambda_svc._execute_function_with_config_scope
    lambda_svc._execute_function_with_config_scope = lambda function, event: execute(function, as_format_2(event))
    hide_errors_of_functions()


def routed(scope):
    """Gives a request to the host of an API the path under which ministack serves that API."""
    if scope["type"] != "http":
        return scope
    if scope.get("client"):
        caller.set(scope["client"][0])
    host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
    api = API_HOST.match(host)
    if not api:
        return scope
    prefix = f"/_aws/execute-api/{api[1]}/$default"
    raw = prefix.encode() + (scope.get("raw_path") or scope["path"].encode())
    return {**scope, "path": prefix + scope["path"], "raw_path": raw}


def import_document(api, document):
    """Replaces routes, integrations, authorizers and CORS settings of an API by those of its OpenAPI document."""
    if not document:
        return
    if document.get("x-amazon-apigateway-cors"):
        gateway._apis[api]["corsConfiguration"] = dict(document["x-amazon-apigateway-cors"])
    for store in (gateway._routes, gateway._integrations, gateway._authorizers):
        store[api] = {}
    schemes = (document.get("components") or {}).get("securitySchemes") or {}
    authorizers = {name: import_authorizer(api, name, scheme) for name, scheme in schemes.items()}
    for path, operations in document.get("paths", {}).items():
        for method, operation in operations.items():
            if method in METHODS and "x-amazon-apigateway-integration" in operation:
                import_route(api, path, method, operation, authorizers)


def import_authorizer(api, name, scheme):
    authorizer = scheme["x-amazon-apigateway-authorizer"]
    if authorizer["type"].lower() != "request":
        raise ValueError(f"the emulator has no authorizer of type {authorizer['type']}")
    source = authorizer.get("identitySource") or []
    return made(gateway._create_authorizer(api, {
        "name": name, "authorizerType": "REQUEST", "authorizerUri": authorizer["authorizerUri"],
        "identitySource": source if isinstance(source, list) else [part.strip() for part in source.split(",")],
        "authorizerPayloadFormatVersion": authorizer.get("authorizerPayloadFormatVersion", "2.0"),
        "authorizerResultTtlInSeconds": authorizer.get("authorizerResultTtlInSeconds", 300 if source else 0),
        "enableSimpleResponses": bool(authorizer.get("enableSimpleResponses"))}))["authorizerId"]


def import_route(api, path, method, operation, authorizers):
    integration = operation["x-amazon-apigateway-integration"]
    integration = made(gateway._create_integration(api, {
        "integrationType": integration["type"].upper(), "integrationUri": integration["uri"],
        "integrationMethod": integration.get("httpMethod", "POST"),
        "payloadFormatVersion": str(integration.get("payloadFormatVersion", "2.0")),
        "timeoutInMillis": integration.get("timeoutInMillis", 30000)}))
    verb = "ANY" if method.startswith("x-") else method.upper()
    route = {"routeKey": f"{verb} {path}", "target": f"integrations/{integration['integrationId']}"}
    for name in (name for requirement in operation.get("security") or [] for name in requirement):
        if name != "NONE":
            route.update(authorizerId=authorizers[name], authorizationType="CUSTOM")
    made(gateway._create_route(api, route))


def made(response):
    status, _, body = response
    if status >= 400:
        raise ValueError(f"API Gateway: {body!r}")
    return json.loads(body)


def as_format_2(event):
    """Gives an event of an HTTP API what ministack leaves out: the array `cookies` and the address of the caller."""
    if not (isinstance(event, dict) and event.get("version") == "2.0" and "http" in event.get("requestContext", {})):
        return event
    headers, context = dict(event["headers"]), dict(event["requestContext"])
    cookies = headers.pop("cookie", None)
    address = caller.get()
    headers["x-forwarded-for"] = ", ".join(filter(None, [headers.get("x-forwarded-for"), address]))
    headers.update({"x-forwarded-port": "443", "x-forwarded-proto": "https"})
    headers.setdefault("content-length", "0")
    context["http"] = {**context["http"], "sourceIp": address}
    event = {**event, "headers": headers, "requestContext": context}
    if cookies:
        event["cookies"] = [cookie.strip() for cookie in cookies.split(";")]
    return event


def hide_errors_of_functions():
    """Answers 500 with the text of API Gateway if a function fails. ministack answers 502 with the error."""
    invoke, convert = gateway._invoke_lambda_proxy, lambda_svc.lambda_execute_result_to_api_proxy_response
    failed = {"statusCode": 500, "headers": {"Content-Type": "application/json"},
              "body": '{"message":"Internal Server Error"}'}

    async def invoke_proxy(*arguments, **options):
        lambda_svc.lambda_execute_result_to_api_proxy_response = (
            lambda result: (failed, None) if result.get("error") else convert(result))
        return await invoke(*arguments, **options)

    gateway._invoke_lambda_proxy = invoke_proxy
