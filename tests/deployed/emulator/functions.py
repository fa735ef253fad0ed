"""Lambda: the environment of a function, and the speed of its Runtime API."""
import os

from ministack.core import lambda_runtime
from ministack.services import lambda_svc


def install():
    environment = lambda_svc._provided_worker_env

    def environment_with_endpoint(*arguments):
        # On AWS, a function finds DynamoDB and Secrets Manager by its region. Here, it needs the address of the emulator.
        variables = environment(*arguments)
        for service in ("DYNAMODB", "SECRETS_MANAGER"):
            variables[f"AWS_ENDPOINT_URL_{service}"] = variables["AWS_ENDPOINT_URL"]
        return variables

    lambda_svc._provided_worker_env = environment_with_endpoint
    shorten_waits()


def shorten_waits():
    """Reduces the time of a warm invocation from 100 ms to a few milliseconds. Nagle's algorithm delays the Runtime
    API, and ministack waits 50 ms for log lines."""
    worker = lambda_runtime.ProvidedWorker
    handler_class, drain = worker._build_handler_class, worker._drain_stderr_bounded

    def without_delay(self, *arguments):
        handler = handler_class(self, *arguments)
        handler.disable_nagle_algorithm = True
        return handler

    worker._build_handler_class = without_delay
    worker._drain_stderr_bounded = (
        lambda self, first_line_wait=0.005, **options: drain(self, first_line_wait=first_line_wait, **options))


def listing():
    """Returns the environment and the credentials of each function, by its name."""
    records = (function["config"] for function in lambda_svc._functions._data.values())
    return {config["FunctionName"]: {
        "environment": config.get("Environment", {}).get("Variables", {}),
        "credentials": lambda_runtime.execution_credentials(config)} for config in records}
