"""IAM: the condition keys of DynamoDB, the resources of log groups, and a log of all decisions.

ministack enforces the roles of the functions and the policies of users. It does not know the condition keys below, and a
condition on an absent key with `ForAllValues` holds. Without this module, every such condition would allow the call.

  dynamodb:LeadingKeys   the partition keys of the items
  dynamodb:Attributes    the names of the attributes that the request contains
  dynamodb:ReturnValues  what a write returns
"""
import json
import re

from ministack.core import iam_actions, iam_evaluator
from ministack.services import dynamodb

WORDS = {
    "set", "remove", "add", "delete", "and", "or", "not", "between", "in", "attribute_exists", "attribute_not_exists",
    "attribute_type", "begins_with", "contains", "size", "if_not_exists", "list_append"}
WRITES = ("PutItem", "UpdateItem", "DeleteItem")
# The services whose decisions are logged.
LOGGED = ("cloudformation", "dynamodb", "lambda", "logs", "secretsmanager")
MEMBERS = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem",
           "Get": "GetItem"}


def install(log_path):
    log = open(log_path, "a", buffering=1)
    service_context, enforce = iam_actions.dynamodb_service_context, iam_evaluator.enforce
    resource_of_call = iam_actions.extract_resource_arn

    def context_with_request(body):
        return {**service_context(body), "request": json.loads(body or b"{}")}

    def enforce_with_keys(access_key, action, service, region, resource_arn="*", service_context=None):
        context = dict(service_context or {})
        request = context.pop("request", None)
        table, _, index = resource_arn.partition("table/")[2].partition("/index/")
        keys = {}
        if service == "dynamodb" and request is not None:
            keys = condition_keys(action.partition(":")[2], table, request)
            context.pop("dynamodb:Attributes", None)
            context.update({f"dynamodb:{name}": value for name, value in keys.items() if value})
        refused = enforce(access_key, action, service, region, resource_arn=resource_arn, service_context=context)
        if service in LOGGED:
            log.write(json.dumps({"caller": caller(access_key), "action": action, "resource": resource_arn,
                                  "table": table, "index": index, **keys, "allowed": refused is None}) + "\n")
        return refused

    def resource_with_stream(service, method, path, headers, body, *rest):
        resource = resource_of_call(service, method, path, headers, body, *rest)
        return with_stream(resource, json.loads(body or b"{}")) if service == "logs" else resource

    iam_actions.dynamodb_service_context = context_with_request
    iam_actions.extract_resource_arn = resource_with_stream
    iam_evaluator.enforce = enforce_with_keys


def with_stream(resource, request):
    """Returns the resource of a call about a log group as AWS names it, with the log stream. For a call without a
    stream, the name of the stream is empty. ministack leaves it out, so that a policy that ends with `:*`, as on AWS,
    would not allow the call."""
    if ":log-group:" not in resource or ":log-stream:" in resource:
        return resource
    return f"{resource.removesuffix(':*')}:log-stream:{request.get('logStreamName', '')}"


def caller(access_key):
    """Returns the ARN of the caller. For a function, it ends with the name of the function."""
    principal = iam_evaluator.resolve_principal(access_key or "", "000000000000")
    return getattr(principal, "arn", "")


def condition_keys(action, table, request):
    """Returns the condition keys of the part of a request that is about one action and one table."""
    parts = parts_of(action, table, request)
    name = partition_key(table)
    attributes = {attribute for part in parts for attribute in attributes_of(action, part)}
    returned = {part.get("ReturnValues", "NONE") for part in parts} if action in WRITES else set()
    return {
        "LeadingKeys": [key for part in parts for key in leading_keys(name, part)],
        "Attributes": sorted(attributes),
        "ReturnValues": next(iter(returned), None)}


def parts_of(action, table, request):
    if "TransactItems" in request:
        members = [member for item in request["TransactItems"] for member in item.items()]
        return [part for kind, part in members if MEMBERS[kind] == action and table_name(part["TableName"]) == table]
    if "RequestItems" in request:
        parts = [part for name, part in request["RequestItems"].items() if table_name(name) == table]
        # `BatchGetItem` has one object for each table, and `BatchWriteItem` has a list of puts and deletes.
        writes = [write for part in parts if isinstance(part, list) for write in part]
        return [next(iter(write.values())) for write in writes] if writes else parts
    return [request]


def table_name(name_or_arn):
    return name_or_arn.rpartition("/")[2]


def partition_key(table):
    schema = (dynamodb._tables.get(table) or {}).get("KeySchema", [])
    return next((key["AttributeName"] for key in schema if key["KeyType"] == "HASH"), None)


def leading_keys(name, part):
    items = part.get("Keys") or [part.get("Key") or part.get("Item") or {}]
    found = [text(item[name]) for item in items if name in item]
    equal = re.search(r"(#?\w+)\s*=\s*(:\w+)", part.get("KeyConditionExpression", ""))
    if equal and part.get("ExpressionAttributeNames", {}).get(equal[1], equal[1]) == name:
        found.append(text(part["ExpressionAttributeValues"][equal[2]]))
    return found


def text(value):
    return str(next(iter(value.values())))


def attributes_of(action, part):
    names = part.get("ExpressionAttributeNames") or {}
    expressions = [part.get("ProjectionExpression")]
    if action in (*WRITES, "BatchWriteItem", "ConditionCheckItem"):
        yield from part.get("Key") or part.get("Item") or {}
        expressions += [part.get("UpdateExpression"), part.get("ConditionExpression")]
    for token in re.findall(r"[:#]?[A-Za-z_][A-Za-z0-9_]*", " ".join(filter(None, expressions))):
        if not token.startswith(":") and token.lower() not in WORDS:
            yield names.get(token, token)
