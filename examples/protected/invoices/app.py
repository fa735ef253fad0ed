"""`GET /invoices`: returns the invoices to a user with the role `analyst`. Responds with 403 to other users."""
import json

ROLE = "analyst"


def handler(event, context):
    # The authorizer passes on the roles that are stored now. A user without roles has no `roles`.
    caller = event["requestContext"]["authorizer"]["lambda"]
    if ROLE not in caller.get("roles", []):
        return respond(403, {"type": "about:blank", "title": "Forbidden", "status": 403,
                             "detail": f"This needs the role {ROLE}."}, "application/problem+json")
    return respond(200, {"invoices": [{"number": 1, "total": "12.00"}], "caller": caller})


def respond(status, body, media_type="application/json"):
    return {"statusCode": status, "headers": {"content-type": media_type, "cache-control": "no-store"},
            "body": json.dumps(body)}
