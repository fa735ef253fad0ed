"""What schemathesis has to know of us: how somebody signs in, and what an address without a route answers.

The rest is in `schemathesis.toml`.
"""

import time

import requests
import schemathesis

KIM = {"userId": "kimcoding", "password": "1234"}
PARK = {"userId": "parkhacker", "password": "5678"}


@schemathesis.auth(refresh_interval=None)
class SignedIn:
    """Somebody who is signed in at every request, whatever the one before has ended.

    It is Kim; but Park where a password is changed, because Kim has to sign in again and again. Park need not: who
    changes a password stays signed in.
    """

    def __init__(self):
        self.tokens = {}

    def get(self, case, context):
        person = PARK if case.path == "/password" else KIM
        name, config = person["userId"], case.operation.schema.config
        url, options = config.base_url, {"verify": config.tls_verify, "allow_redirects": False, "timeout": 10}

        def is_over(token):
            return requests.get(f"{url}/userinfo", cookies={"access_jwt": token}, **options).status_code == 401

        while name not in self.tokens or is_over(self.tokens[name]):
            answer = requests.post(f"{url}/login", json={"loginInfo": person}, **options)
            if answer.status_code == 302:
                self.tokens[name] = answer.cookies["access_jwt"]
                break
            wait = int(answer.headers.get("retry-after", 0))
            assert 0 < wait < 5, f"{name} cannot sign in: {answer.status_code}, {wait} s"
            time.sleep(wait)
        return self.tokens[name]

    def set(self, case, data, context):
        case.cookies = {**(case.cookies or {}), "access_jwt": data}


@schemathesis.check
def no_route_is_the_gateways_404(context, response, case):
    """In place of `unsupported_method`: no function of ours hears of such a request. `OPTIONS` is a preflight."""
    method = response.request.method.lower()
    if method != "options" and method not in list(case.operation.schema[case.path]):
        assert (response.status_code, response.json()) == (404, {"message": "Not Found"}), method


@schemathesis.hook
def filter_case(context, case):
    """Leaves out bodies that are not UTF-8: `cargo lambda watch` answers them itself, with a 500 of its own. What our
    functions answer, a Rust test says: `a_body_is_decoded_when_the_event_says_so`.
    """
    if not isinstance(case.body, bytes):
        return True
    try:
        case.body.decode()
    except UnicodeDecodeError:
        return False
    return True
