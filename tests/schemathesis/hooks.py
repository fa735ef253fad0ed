"""What schemathesis must know about the service: how to sign in, and what the gateway answers without a route.

`schemathesis.toml` has the rest.
"""

import requests
import schemathesis

KIM = {"userId": "kimcoding", "password": "1234"}
PARK = {"userId": "parkhacker", "password": "5678"}


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


@schemathesis.check
def no_route_is_the_gateways_404(context, response, case):
    """Replaces the check `unsupported_method`: such a request reaches no function. `OPTIONS` is a preflight."""
    method = response.request.method.lower()
    if method != "options" and method not in list(case.operation.schema[case.path]):
        assert (response.status_code, response.json()) == (404, {"message": "Not Found"}), method


@schemathesis.hook
def after_call(context, case, response):
    """Remembers Park's new password. The change has ended Park's sessions."""
    if case.path == "/password" and response.status_code == 204:
        PARK["password"] = case.body["newPassword"]
