"""IAM users for tests: operators, each with one policy."""
import json
import re
from urllib.parse import urlencode

from ministack.services import iam


async def create(body):
    """Creates a user with the name and the policy of the body, and returns the variables with its credentials."""
    wanted = json.loads(body)
    user = {"UserName": wanted["name"]}
    await call("CreateUser", user)
    await call("PutUserPolicy", {**user, "PolicyName": "operator", "PolicyDocument": json.dumps(wanted["policy"])})
    key = await call("CreateAccessKey", user)
    return {"AWS_ACCESS_KEY_ID": element(key, "AccessKeyId"), "AWS_SECRET_ACCESS_KEY": element(key, "SecretAccessKey")}


async def call(action, parameters):
    headers = {"content-type": "application/x-www-form-urlencoded"}
    form = urlencode({"Action": action, **parameters}).encode()
    status, _, answer = await iam.handle_request("POST", "/", headers, form, {})
    if status != 200:
        raise ValueError(f"{action}: {answer!r}")
    return answer.decode()


def element(xml, name):
    return re.search(f"<{name}>(.*?)</{name}>", xml)[1]
