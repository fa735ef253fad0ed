"""CloudWatch Logs: filter patterns for JSON, pages, and ids of events.

ministack accepts every pattern for JSON and ignores it, returns all events in one page, and gives no ids to the events
of functions.
"""
import fnmatch
import json
import re
import uuid

from ministack.services import cloudwatch_logs as logs

# A page is short, so that a reader must follow the pages. On AWS, a page can also be empty without being the last one.
SEARCHED_EVENTS = 5
COMPARISON = re.compile(r'\$\.(\w+) = "([^"]*)"')


def install():
    append, search = logs._append_log_events, logs._filter_log_events

    def append_with_ids(stream, events):
        for event in events:
            event.setdefault("eventId", uuid.uuid4().hex)
        append(stream, events)

    def search_pages(request):
        pattern, start = request.pop("filterPattern", ""), int(request.pop("nextToken", None) or 0)
        status, headers, body = search(request)
        if status != 200:
            return status, headers, body
        answer, end = json.loads(body), start + SEARCHED_EVENTS
        page = answer["events"][start:end]
        if end < len(answer["events"]):
            answer["nextToken"] = str(end)
        answer["events"] = [event for event in page if matches(pattern, event["message"])]
        return status, headers, json.dumps(answer).encode()

    logs._append_log_events, logs._filter_log_events = append_with_ids, search_pages


def matches(pattern, message):
    """Returns whether a log line matches a pattern: comparisons of fields, combined with `&&`, `||` and parentheses."""
    if not pattern:
        return True
    try:
        fields = json.loads(message)
    except ValueError:
        return False
    if not isinstance(fields, dict):
        return False

    def compare(comparison):
        value = fields.get(comparison[1])
        return str(isinstance(value, str) and fnmatch.fnmatchcase(value, comparison[2]))

    if not (pattern.startswith("{") and pattern.endswith("}")):
        raise ValueError(f"the emulator does not know this pattern: {pattern}")
    expression = COMPARISON.sub(compare, pattern[1:-1]).replace("&&", " and ").replace("||", " or ")
    if re.sub(r"True|False|and|or|[() ]", "", expression):
        raise ValueError(f"the emulator does not know this pattern: {pattern}")
    return eval(expression.strip())
