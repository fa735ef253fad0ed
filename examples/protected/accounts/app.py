"""Gets an event when a user of Latchkey is created, changed or deleted. A real system keeps its own records here."""
import json


def handler(event, context):
    # `change` is `INSERT`, `MODIFY` or `REMOVE`. `key` is `user#` and the id that the authorizer passes on.
    print("user changed", json.dumps(event["detail"]))
