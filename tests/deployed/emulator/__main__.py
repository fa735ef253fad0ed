"""A local emulator of AWS for the end-to-end test `deployed`: ministack, with what it lacks for this stack.

ministack has CloudFormation, API Gateway, Lambda, DynamoDB, IAM and Secrets Manager in one process, and runs functions
as local processes. The other modules of this folder replace parts of ministack in memory:

  http_api.py        API Gateway: the routes and authorizers of SAM, HTTP integrations, and payload format 2.0
  cloudformation.py  parameters for SAM's transform, and properties of tables and secrets
  event_pipes.py     EventBridge Pipes: filters, templates, and an event bus as the target
  functions.py       Lambda: the environment of a function, and the speed of its Runtime API
  logs.py            CloudWatch Logs: filter patterns for JSON, pages, and ids of events
  permissions.py     IAM: the condition keys of DynamoDB, the resources of log groups, and a log of all decisions
  operators.py       IAM: users with a policy, for tests
  grants.py          IAM: the role of a function without one of its grants, for tests

Usage: python tests/deployed/emulator HTTP_PORT HTTPS_PORT FOLDER

The folder has cert.pem and key.pem for the HTTPS port. Three paths on the HTTP port are for tests. `GET /functions`
returns the environment and the credentials of each function. `POST /operators` makes a user with a name and a policy,
and returns the credentials. `POST /grants` takes a grant from the role of a function, and `DELETE /grants` gives all
grants back.
"""
import asyncio
import json
import os
import signal
import sys
from importlib.metadata import version

TESTED_VERSION = "1.5.33"
REGION = "eu-west-1"


def configure(port, folder):
    """Sets the variables that ministack reads when it is imported."""
    os.environ.update(
        GATEWAY_PORT=port, BIND_HOST="127.0.0.1", MINISTACK_HOST=f"{REGION}.amazonaws.com", MINISTACK_REGION=REGION,
        AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}", AUTH="true", STATE_DIR=f"{folder}/state", TMPDIR=f"{folder}/tmp",
        # Servers of other protocols, on ports of their own.
        IOT_MTLS_ENABLED="0", SFTP_ENABLED="0")
    for name in ("state", "tmp"):
        os.makedirs(f"{folder}/{name}", exist_ok=True)


def application():
    """Returns the ASGI application: the API of the stack, the functions for tests, and the APIs of AWS."""
    import functions
    import grants
    import http_api
    import operators
    from ministack import app as ministack

    async def serve(scope, receive, send):
        if scope["type"] == "http" and scope["path"] == "/functions":
            await answer(send, functions.listing())
        elif scope["type"] == "http" and scope["path"] == "/operators":
            await answer(send, await operators.create(await body_of(receive)))
        elif scope["type"] == "http" and scope["path"] == "/grants":
            is_back = scope["method"] == "DELETE"
            await answer(send, await (grants.give_back() if is_back else grants.take(await body_of(receive))))
        else:
            await ministack.app(http_api.routed(scope), receive, send)

    return serve


async def answer(send, value):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(value).encode()})


async def body_of(receive):
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


async def run(app, http_port, https_port, folder):
    """Serves until a signal ends the process. ministack then stops the processes of the functions."""
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind, config.insecure_bind = [f"127.0.0.1:{https_port}"], [f"127.0.0.1:{http_port}"]
    config.certfile, config.keyfile = f"{folder}/cert.pem", f"{folder}/key.pem"
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(app, config, shutdown_trigger=stop.wait)


def main():
    http_port, https_port, folder = sys.argv[1:]
    if version("ministack") != TESTED_VERSION:
        sys.exit(f"The emulator needs ministack {TESTED_VERSION}, and {version('ministack')} is installed.")
    configure(http_port, folder)
    import cloudformation
    import event_pipes
    import functions
    import http_api
    import logs
    import permissions

    for module in (cloudformation, event_pipes, functions, http_api, logs):
        module.install()
    permissions.install(f"{folder}/decisions.jsonl")
    asyncio.run(run(application(), http_port, https_port, folder))


if __name__ == "__main__":
    main()
