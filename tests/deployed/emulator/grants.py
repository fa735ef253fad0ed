"""IAM: takes a grant from the role of a function, and gives it back. For tests.

A grant is one action on one resource. All other grants of the role stay, with their conditions.
"""
import asyncio
import json
import re
from urllib.parse import unquote

from ministack.core import lambda_runtime
from ministack.services import lambda_svc
from operators import call, element

# The policies before a grant was taken. The key has the name of the function, of its role and of the policy.
originals = {}


async def take(body):
    """Takes the grant of the body: the name of a function, an action, and the ARN of a resource. Returns how many
    statements had this grant."""
    wanted = json.loads(body)
    function, statements = wanted["function"], 0
    role = {"RoleName": role_of(function)}
    for name in re.findall("<member>(.*?)</member>", await call("ListRolePolicies", role)):
        named = {**role, "PolicyName": name}
        text = unquote(element(await call("GetRolePolicy", named), "PolicyDocument"))
        policy = json.loads(text)
        kept, count = without(policy["Statement"], wanted["action"], wanted["resource"])
        if count:
            statements += count
            originals.setdefault((function, role["RoleName"], name), text)
            if kept:
                await put(named, json.dumps({**policy, "Statement": kept}))
            else:
                await call("DeleteRolePolicy", named)
    await stop(function)
    return statements


async def give_back():
    """Gives all grants back."""
    for (function, role, name), text in originals.items():
        await put({"RoleName": role, "PolicyName": name}, text)
        await stop(function)
    originals.clear()


async def put(named, text):
    await call("PutRolePolicy", {**named, "PolicyDocument": text})


def without(statements, action, resource):
    """Returns the statements without the grant, and how many had it. A statement with several actions and several
    resources becomes two: the other actions on all resources, and this action on the other resources."""
    kept, count = [], 0
    for statement in statements:
        actions, resources = listed(statement["Action"]), listed(statement["Resource"])
        if action not in actions or resource not in resources:
            kept.append(statement)
            continue
        count += 1
        others = [other for other in actions if other != action]
        parts = [(others, resources), ([action], [other for other in resources if other != resource])]
        kept += [{**statement, "Action": part, "Resource": on} for part, on in parts if part and on]
    return kept, count


def listed(value):
    return value if isinstance(value, list) else [value]


def role_of(function):
    configs = (record["config"] for record in lambda_svc._functions._data.values())
    config = next(config for config in configs if config["FunctionName"] == function)
    return config["Role"].rpartition("/")[2]


async def stop(function):
    """Stops the instances of a function. An instance reads its secrets when it starts, and keeps them for 300 s."""
    await asyncio.to_thread(lambda_runtime.invalidate_worker, function)
