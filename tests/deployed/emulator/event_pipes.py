"""EventBridge Pipes: filters, input templates, and an event bus as the target.

ministack reads the stream of a table, and knows none of the three.
"""
import json
import re

from ministack.services import eventbridge, pipes
from ministack.services.cloudformation import provisioners

PATH = re.compile(r"<(\$[^<>]*)>")


def install():
    handlers = provisioners._RESOURCE_HANDLERS["AWS::Pipes::Pipe"]
    create, update, deliver = handlers["create"], handlers["update"], pipes._deliver_batch

    def create_pipe(logical_id, properties, stack):
        return with_parameters(create(logical_id, properties, stack), properties)

    def update_pipe(name, old, new, stack, logical_id=None):
        return with_parameters(update(name, old, new, stack, logical_id), new)

    def deliver_batch(pipe, records):
        records = [record for record in records if passes(pipe, record)]
        if pipes._arn_service(pipe["Target"]) != "events":
            return deliver(pipe, records)
        return all(put(pipe, record) for record in records)

    handlers.update(create=create_pipe, update=update_pipe)
    pipes._deliver_batch = deliver_batch


def with_parameters(made, properties):
    """Keeps what ministack drops: the parameters of the source and of the target."""
    for name in ("SourceParameters", "TargetParameters"):
        pipes._pipes[made[0]][name] = properties.get(name) or {}
    return made


def passes(pipe, record):
    """Returns whether a record matches one of the filters. Without filters, each record does."""
    filters = pipe["SourceParameters"].get("FilterCriteria", {}).get("Filters", [])
    patterns = [json.loads(entry["Pattern"]) for entry in filters]
    return not patterns or any(eventbridge._matches_detail(record, pattern) for pattern in patterns)


def put(pipe, record):
    """Puts a record on the bus, as the input template says. Returns whether the bus has it."""
    parameters = pipe["TargetParameters"]
    bus = parameters["EventBridgeEventBusParameters"]
    template = parameters.get("InputTemplate")
    # Without a template, the event has the whole record.
    detail = PATH.sub(lambda path: value_at(record, path[1]), template) if template else json.dumps(record)
    _, _, answer = eventbridge._put_events({"Entries": [{
        "EventBusName": pipe["Target"], "Source": bus["Source"], "DetailType": bus["DetailType"], "Detail": detail}]})
    return json.loads(answer)["FailedEntryCount"] == 0


def value_at(record, path):
    """Returns the text at a path such as `$.dynamodb.Keys.pk.S`, without quotation marks."""
    for name in path.removeprefix("$.").split("."):
        record = record[name]
    return json.dumps(record)[1:-1]
