"""API Gateway HTTP APIs.

SAM writes the routes of an HTTP API as an OpenAPI document into `AWS::ApiGatewayV2::Api`. ministack ignores this
document. This module imports it. The module also gives the functions the events of payload format 2.0, serves the APIs
at their custom domains, asks an authorizer only if its policy allows the API to call it, and forwards requests to
servers with the parameter mapping of HTTP integrations.
"""
import asyncio
import contextvars
import fnmatch
import http.client
import json
import re
from urllib.parse import quote, urlencode, urlsplit

from ministack.services import apigateway as gateway
from ministack.services import apigateway_v1, lambda_svc
from ministack.services.cloudformation import provisioners

API_HOST = re.compile(r"([a-z0-9]+)\.execute-api\.")
# Headers about one connection. An HTTP integration makes its own.
OF_A_CONNECTION = ("connection", "content-length", "expect", "host", "keep-alive", "te", "transfer-encoding", "upgrade")
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
    check_permission_of_authorizers()
    add_cors_to_denials()
    forward_to_servers()


def routed(scope):
    """Gives a request to a host of an API the path under which ministack serves that API."""
    if scope["type"] != "http":
        return scope
    if scope.get("client"):
        caller.set(scope["client"][0])
    host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
    api = api_of(host)
    if not api:
        return scope
    prefix = f"/_aws/execute-api/{api}/$default"
    raw = prefix.encode() + (scope.get("raw_path") or scope["path"].encode())
    return {**scope, "path": prefix + scope["path"], "raw_path": raw}


def api_of(host):
    """Returns the id of the API at this host: its own host, or a custom domain. The mapping has no path."""
    own = API_HOST.match(host)
    if own:
        record = find(gateway._apis, own[1])
        # A stage that does not exist: API Gateway responds with 404.
        return "none" if record and record.get("disableExecuteApiEndpoint") else own[1]
    mappings = find(apigateway_v1._base_path_mappings, host.partition(":")[0].lower())
    return mappings["(none)"]["restApiId"] if mappings and "(none)" in mappings else None


def find(store, name):
    """Returns the entry with this name of any account and region."""
    return next((value for (*_, key), value in store.all_items() if key == name), None)


def import_document(api, document):
    """Replaces routes, integrations, authorizers and CORS settings of an API by those of its OpenAPI document."""
    if not document:
        return
    if document.get("x-amazon-apigateway-cors"):
        gateway._apis[api]["corsConfiguration"] = dict(document["x-amazon-apigateway-cors"])
    for server in document.get("servers") or []:
        endpoint = server.get("x-amazon-apigateway-endpoint-configuration") or {}
        is_disabled = str(endpoint.get("disableExecuteApiEndpoint")).lower() == "true"
        gateway._apis[api]["disableExecuteApiEndpoint"] = is_disabled
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
        "requestParameters": integration.get("requestParameters"),
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
    context["domainName"] = headers.get("host", context.get("domainName"))
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


def check_permission_of_authorizers():
    """Asks an authorizer only if the policy of its function allows this API to call it. ministack ignores the policy.
    The response is 500, as on AWS."""
    ask = gateway._invoke_request_authorizer_lambda

    async def ask_if_allowed(authorizer, event, account, region):
        name = gateway._extract_lambda_ref_from_integration_uri(authorizer.get("authorizerUri", ""))
        function, _, _ = lambda_svc._get_func_record_for_ref_in_scope(name, account_id=account, region=region)
        api = event["requestContext"]["apiId"]
        source = f"arn:aws:execute-api:{region}:{account}:{api}/authorizers/{authorizer['authorizerId']}"
        if not (function and allows_api(function["policy"], source)):
            return None
        return await ask(authorizer, event, account, region)

    gateway._invoke_request_authorizer_lambda = ask_if_allowed


def allows_api(policy, source):
    """Returns whether a policy of a function lets API Gateway call it for this source."""
    for statement in policy["Statement"]:
        principal = statement.get("Principal")
        service = principal.get("Service") if isinstance(principal, dict) else principal
        conditions = statement.get("Condition") or {}
        patterns = [arn for test in conditions.values() for key, arn in test.items() if key.lower() == "aws:sourcearn"]
        if (statement["Effect"] == "Allow" and statement["Action"] == "lambda:InvokeFunction"
                and service == "apigateway.amazonaws.com"
                and all(fnmatch.fnmatchcase(source, pattern) for pattern in patterns)):
            return True
    return False


def add_cors_to_denials():
    """Gives the responses of an authorizer the CORS headers of the API, and the text of API Gateway."""
    authorize = gateway._authorize_request_v2

    async def authorize_with_cors(api, stage, route, method, path, resource, headers, *rest):
        refusal, context = await authorize(api, stage, route, method, path, resource, headers, *rest)
        if refusal is not None:
            status, own, body = refusal
            cors = gateway._apis[api].get("corsConfiguration") or {}
            allowed = gateway._cors_response_headers(cors, headers.get("origin", ""))
            refusal = status, {**own, **allowed}, json.dumps(json.loads(body), separators=(",", ":")).encode()
        return refusal, context

    gateway._authorize_request_v2 = authorize_with_cors


def forward_to_servers():
    """Forwards requests as an HTTP integration does. ministack does not know the names under which a mapping finds the
    path and the context of a Lambda authorizer, and passes on one header of a response."""
    apply = gateway._apply_request_parameter_mappings

    def apply_mappings(integration, *, request_path, context_vars, **request):
        # The documentation does not say how a list is mapped. Here, it is absent.
        values = {name: value for name, value in context_vars["authorizer.lambda"].items() if isinstance(value, str)}
        # A header is bytes. The context is in UTF-8.
        caller = {f"authorizer.{name}": value.encode().decode("latin-1") for name, value in values.items()}
        variables = {**context_vars, **caller, "request.path": request_path}
        return apply(integration, request_path=request_path, context_vars=variables, **request)

    async def forward(integration, path, method, headers, body, query):
        host = headers.get("host", "")
        headers = [(name, value) for name, value in headers.items() if name not in OF_A_CONNECTION]
        headers += [("forwarded", f"for={caller.get()};host={host};proto=https"), ("via", "HTTP/1.1 AmazonAPIGateway")]
        server = urlsplit(integration["integrationUri"])
        # Without a mapping of the path, the server gets the path of its address.
        if "overwrite:path" not in (integration.get("requestParameters") or {}):
            path = server.path or "/"
        target = quote(path, safe="/:@!$&'()*+,;=~") + ("?" + urlencode(query, doseq=True) if query else "")
        try:
            return await asyncio.to_thread(exchange, server, method, target, headers, body)
        except OSError:
            return 503, {"Content-Type": "application/json"}, b'{"message":"Service Unavailable"}'

    gateway._apply_request_parameter_mappings, gateway._invoke_http_proxy = apply_mappings, forward


def exchange(server, method, target, headers, body):
    """Sends a request to a server, and returns its status, headers and body."""
    connections = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
    connection = connections[server.scheme](server.netloc, timeout=30)
    try:
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        if body:
            connection.putheader("content-length", str(len(body)))
        connection.endheaders(body or None)
        response = connection.getresponse()
        answered = {}
        for name, value in response.getheaders():
            if name.lower() not in OF_A_CONNECTION and not name.lower().startswith("access-control-"):
                answered.setdefault(name.lower(), []).append(value)
        cookies = answered.pop("set-cookie", [])
        joined = {name: ", ".join(values) for name, values in answered.items()}
        return response.status, {**joined, **({"Set-Cookie": cookies} if cookies else {})}, response.read()
    finally:
        connection.close()
