"""`GET /userinfo`: returns the signed-in user. Without the renewal of sessions and without pages."""

import gc

# Init makes objects that stay. Looking for garbage among them takes time.
gc.disable()

import hashlib
import json
import os
import time
from base64 import urlsafe_b64encode

import botocore.session
import jwt
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

USERS, SESSIONS = os.environ["USERS_TABLE"], os.environ["SESSIONS_TABLE"]
ISSUER, AUDIENCE = os.environ.get("ISSUER", "latchkey"), os.environ.get("AUDIENCE", "latchkey")
DOMAIN = os.environ.get("COOKIE_DOMAIN")
COOKIE = "access_jwt" if DOMAIN else "__Host-access_jwt"
DAY, LEEWAY = 86_400, 5
TTL = int(os.environ.get("ACCESS_TTL", DAY))
SECRET = os.environ["ACCESS_SECRET"]
if len(SECRET.encode()) < 32:
    raise ValueError("ACCESS_SECRET has less than 32 bytes")
KEY_ID = urlsafe_b64encode(hashlib.sha256(b"latchkey key id\0at+jwt\0" + SECRET.encode()).digest()[:8])
KEY_ID = KEY_ID.decode().rstrip("=")

HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "same-origin",
    "strict-transport-security": "max-age=63072000",
    "x-content-type-options": "nosniff",
}
TITLES = {400: "Bad Request", 405: "Method Not Allowed", 500: "Internal Server Error", 503: "Service Unavailable"}

# PyJWT checks the signature, the algorithm, the issuer and the audience. `is_valid` checks the times and the texts.
DECODER = jwt.PyJWT({"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_sub": False,
                     "verify_jti": False})

# The client is made at init.
CLIENT = botocore.session.Session().create_client("dynamodb", os.environ["AWS_REGION"], config=Config(
    connect_timeout=0.5, read_timeout=0.7, retries={"mode": "standard", "total_max_attempts": 3}))
gc.freeze()
gc.enable()


class HttpError(Exception):
    """An error with the status of its response."""

    def __init__(self, status, detail, headers=None):
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers or {}


def not_authorized():
    return HttpError(401, "Not Authorized", {"www-authenticate": "Bearer"})


def handler(event, context):
    try:
        method = event["requestContext"]["http"]["method"]
        if method not in ("GET", "HEAD"):
            raise HttpError(405, "The method must be GET or HEAD.", {"allow": "GET, HEAD"})
        user = json.dumps(signed_in(event, int(time.time())), ensure_ascii=False, separators=(",", ":"))
        return reply(200, "application/json", user)
    except HttpError as error:
        return problem(error, context.aws_request_id)
    except (BotoCoreError, ClientError) as error:
        print(repr(error))
        unavailable = HttpError(503, "The service is not available.", {"retry-after": "1"})
        return problem(unavailable, context.aws_request_id)


def signed_in(event, now):
    """Returns the public part of the user of the access token."""
    claims = signed_claims(token_of(event))
    if not is_valid(claims, now):
        raise not_authorized()
    user, session = find(claims["sub"], claims["sid"])
    if not accepts(user, session, claims, now):
        raise not_authorized()
    profile = {name: user[name] for name in ("id", "userId", "email", "name", "position", "location", "bio")}
    if user.get("roles"):
        profile["roles"] = user["roles"]
    return profile


def token_of(event):
    """Returns the access token. A `Bearer` token is the only credential."""
    scheme, _, bearer = event["headers"].get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return bearer.strip()
    pairs = (pair.strip().partition("=") for line in event.get("cookies", ()) for pair in line.split(";"))
    values = {value for name, _, value in pairs if name == COOKIE and value}
    if len(values) != 1:
        raise not_authorized()
    return values.pop()


def signed_claims(token):
    """Returns the claims of a token that this service signed."""
    try:
        decoded = DECODER.decode_complete(token, SECRET, algorithms=["HS256"], issuer=ISSUER, audience=AUDIENCE)
    except jwt.PyJWTError:
        raise not_authorized() from None
    header, claims = decoded["header"], decoded["payload"]
    if header.get("typ") != "at+jwt" or header.get("kid") != KEY_ID or "crit" in header:
        raise not_authorized()
    return claims


def is_valid(claims, now):
    """Returns `True` for complete claims that are valid at `now`."""
    texts = [claims.get(name) for name in ("aud", "sub", "id", "email", "sid", "jti")]
    issued_at, expires_at = claims.get("iat"), claims.get("exp")
    not_before = claims.get("nbf", issued_at)
    if not all(isinstance(text, str) and text for text in texts) or claims["id"] != claims["sub"] or "gen" in claims:
        return False
    if not all(type(at) is int for at in (issued_at, expires_at, not_before)):
        return False
    is_bounded = 0 <= issued_at < expires_at <= issued_at + DAY
    has_begun = max(issued_at, not_before) <= now + LEEWAY
    return is_bounded and has_begun and now < min(expires_at, issued_at + TTL) + LEEWAY


def find(user_id, session_id):
    """Reads the user and the session in one strongly consistent call. Each is `None` if it does not exist."""
    pending = {
        USERS: {"Keys": [{"pk": {"S": f"user#{user_id}"}}], "ConsistentRead": True},
        SESSIONS: {"Keys": [{"user_id": {"S": user_id}, "session_id": {"S": session_id}}], "ConsistentRead": True},
    }
    found = {}
    for pause in (0.05, 0.1, 0.2, 0.4, 0.8):
        page = CLIENT.batch_get_item(RequestItems=pending)
        for table, items in page["Responses"].items():
            found.setdefault(table, []).extend(items)
        pending = page.get("UnprocessedKeys")
        if not pending:
            return [record(found[table][0]) if found.get(table) else None for table in (USERS, SESSIONS)]
        time.sleep(pause)
    raise HttpError(503, "The service is not available.", {"retry-after": "1"})


def record(item):
    """Returns an item as plain values."""
    return {name: plain(value) for name, value in item.items()}


def plain(value):
    (kind, content), = value.items()
    if kind == "N":
        return int(content)
    return [plain(element) for element in content] if kind == "L" else content


def accepts(user, session, claims, now):
    """Returns `True` if a token with these claims is valid for this user and this session."""
    return (user is not None and session is not None and not user["disabled"] and user["email"] == claims["email"]
            and "ended_at" not in session and session["epoch"] == user["session_epoch"]
            and now < min(session["idle_exp"], session["abs_exp"]))


def reply(status, media_type, body, headers=None):
    headers = {"content-type": media_type, **(headers or {}), **HEADERS}
    return {"statusCode": status, "headers": headers, "body": body, "cookies": [], "isBase64Encoded": False}


def problem(error, request_id):
    """Returns the response of an error."""
    if error.status == 401:
        return reply(401, "text/plain; charset=utf-8", error.detail, error.headers)
    details = {"type": "about:blank", "title": TITLES[error.status], "status": error.status, "detail": error.detail,
               "request_id": request_id}
    return reply(error.status, "application/problem+json", json.dumps(details), error.headers)
