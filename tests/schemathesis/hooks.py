"""What schemathesis must know about the service: how to sign in, who gets a page, and what the gateway answers without
a route.

`schemathesis.toml` has the rest.
"""

import itertools

import requests
import schemathesis

KIM = {"userId": "kimcoding", "password": "1234"}
PARK = {"userId": "parkhacker", "password": "5678"}

# The `Accept` headers of a person with a browser, and of clients of the API.
PAGES = ["text/html", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"]
CLIENTS = ["*/*", "application/json", "application/json, text/plain, */*"]
PAGE_ONLY = ["showSignIn", "showPassword", "changePasswordByForm", "endSessionsByForm"]
FORM = "application/x-www-form-urlencoded"
turns = itertools.count()


@schemathesis.hook
def before_call(context, case, kwargs):
    """Sends every other request as a person with a browser. A form and `return_to` are for such a person only. One of
    eight requests for a page comes from another client, and gets 405.
    """
    turn = next(turns)
    operation = case.operation.definition.raw["operationId"]
    is_for_pages = operation in PAGE_ONLY and turn % 8 != 0
    is_for_pages = is_for_pages or operation not in PAGE_ONLY and (turn % 2 == 0 or case.media_type == FORM)
    is_for_pages = is_for_pages or operation not in PAGE_ONLY and "return_to" in (case.query or {})
    accepts = PAGES if is_for_pages else CLIENTS
    case.headers = {**(case.headers or {}), "accept": accepts[turn // 8 % len(accepts)]}



@schemathesis.auth(refresh_interval=None)
class SignedIn:
    """Signs a user in for every request, even if an earlier request ended the session.

    The user is Kim. For a change of password it is Park: schemathesis may change Park's password, and Kim must be able
    to sign in again. `after_call` keeps the new one. Kim sends the device cookie of the first login. So Kim's logins
    have an attempt counter of their own, and the wrong passwords that schemathesis sends for Kim do not delay them.
    """

    def __init__(self):
        self.cookies = {}

    def get(self, case, context):
        user = PARK if case.path == "/password" else KIM
        name, config = user["userId"], case.operation.schema.config
        url, options = config.base_url, {"verify": config.tls_verify, "allow_redirects": False, "timeout": 10}
        cookies = self.cookies.get(name, {})

        def is_active(token):
            return requests.get(f"{url}/userinfo", cookies={"access_jwt": token}, **options).status_code != 401

        if "access_jwt" in cookies and is_active(cookies["access_jwt"]):
            return cookies["access_jwt"]
        device = {"device": cookies["device"]} if "device" in cookies else {}
        body = {"loginInfo": user, "checkedKeepLogin": True}
        response = requests.post(f"{url}/login", json=body, cookies=device, **options)
        wait = response.headers.get("retry-after")
        assert response.status_code == 302, f"{name} cannot sign in: {response.status_code}, Retry-After: {wait}"
        self.cookies[name] = {**cookies, **response.cookies.get_dict()}
        return self.cookies[name]["access_jwt"]

    def set(self, case, data, context):
        case.cookies = {**(case.cookies or {}), "access_jwt": data}


@schemathesis.deserializer("text/html")
def page(context, response):
    """Returns a page as text, so that it is compared with its schema."""
    return response.content.decode("utf-8")


@schemathesis.check
def no_route_is_the_gateways_404(context, response, case):
    """Replaces the check `unsupported_method`: such a request reaches no function. `OPTIONS` is a preflight, and
    `DELETE /sessions/end` has the route of a session with the id `end`.
    """
    method = response.request.method.lower()
    is_routed = method in list(case.operation.schema[case.path]) or (method, case.path) == ("delete", "/sessions/end")
    if method != "options" and not is_routed:
        assert (response.status_code, response.json()) == (404, {"message": "Not Found"}), method


@schemathesis.check
def only_a_person_with_a_browser_gets_a_page(context, response, case):
    """A client of the API never gets HTML. A person with a browser gets every error of a function as a page, except a
    401 without a form.
    """
    accept, media_type = response.request.headers["accept"], response.headers.get("content-type", [""])[0]
    is_page = media_type == "text/html; charset=utf-8"
    if accept in PAGES:
        is_error = response.status_code >= 400 and response.status_code != 401
        is_of_function = "no-store" in response.headers.get("cache-control", [])
        assert is_page or not is_error or not is_of_function, f"{response.status_code} is no page"
    elif accept in CLIENTS:
        assert not is_page, f"{response.status_code} is a page for {accept}"


@schemathesis.hook
def after_call(context, case, response):
    """Remembers Park's new password. The change has ended Park's sessions."""
    changed = response.status_code == 204 or "password-changed" in response.headers.get("location", [""])[0]
    if case.path == "/password" and changed:
        PARK["password"] = case.body["newPassword"]
