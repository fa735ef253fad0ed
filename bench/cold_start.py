#!/usr/bin/env python3
"""Compares cold starts of several builds of `userinfo`.

    bench/cold_start.py 60 before=PATH/bootstrap after=PATH/bootstrap

Starts the builds in turn, so that a busy machine slows down all of them alike. Each start reads two key sets from
Secrets Manager over TLS. Prints medians: the size, the time until the function waits for its first event, and the time
from this event to its answer, each with the CPU time. The event has a valid access token, so that the function reads
DynamoDB over TLS. Both services are servers of this program, and the session does not exist, so that the answer is 401.
Needs Linux, and `openssl` for the certificate.
"""
import base64
import hashlib
import hmac
import json
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRETS = {"ACCESS_SECRET": "access-secret-for-tests-0123456789", "REFRESH_SECRET": "refresh-secret-for-tests-012345678"}
EVENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../events/userinfo.json")


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def event():
    """Returns the recorded event with a valid access token."""
    secret = SECRETS["ACCESS_SECRET"].encode()
    key_id = base64url(hashlib.sha256(b"latchkey key id\0at+jwt\0" + secret).digest()[:8])
    now, identifier = int(time.time()), base64url(bytes(range(16)))
    claims = {"iss": "latchkey", "aud": "latchkey", "sub": "0", "id": "0", "email": "kim@example.com",
              "sid": identifier, "iat": now, "exp": now + 86400, "jti": identifier}
    parts = ({"alg": "HS256", "kid": key_id, "typ": "at+jwt"}, claims)
    message = ".".join(base64url(json.dumps(part, separators=(",", ":")).encode()) for part in parts)
    signature = base64url(hmac.new(secret, message.encode(), hashlib.sha256).digest())
    with open(EVENT) as recorded:
        return {**json.load(recorded), "cookies": [f"__Host-access_jwt={message}.{signature}"]}


class RuntimeApi(ThreadingHTTPServer):
    """The Runtime API of Lambda for one process and one event."""

    daemon_threads = True

    def __init__(self, payload):
        super().__init__(("127.0.0.1", 0), Handler)
        self.payload = json.dumps(payload).encode()
        self.waits, self.may_start, self.has_answered = (threading.Event() for _ in range(3))
        self.waits_at = self.sent_at = self.answered_at = 0
        self.answer = b""
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        """Ignores the connection that breaks when the process is killed."""


class QuietHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *_):
        pass

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


class Handler(QuietHandler):
    def do_GET(self):
        if self.server.waits.is_set():
            time.sleep(60)
        self.server.waits_at = time.perf_counter()
        self.server.waits.set()
        self.server.may_start.wait()
        deadline = str(int(time.time() * 1000) + 6000)
        self.server.sent_at = time.perf_counter()
        self.answer(200, {"Lambda-Runtime-Aws-Request-Id": "1", "Lambda-Runtime-Deadline-Ms": deadline,
                          "Lambda-Runtime-Invoked-Function-Arn": "arn"}, self.server.payload)

    def do_POST(self):
        self.server.answer = self.body()
        self.server.answered_at = time.perf_counter()
        self.server.has_answered.set()
        self.close_connection = True
        self.answer(202, {}, b"")


class Service(QuietHandler):
    """Secrets Manager and a DynamoDB without items."""

    def do_POST(self):
        request = json.loads(self.body())
        if self.headers["X-Amz-Target"].endswith("GetSecretValue"):
            secret = SECRETS[request["SecretId"].split(":")[-1][:-7]]
            reply = {"ARN": request["SecretId"], "VersionId": "1", "SecretString": secret}
        else:
            reply = {"Responses": {}, "UnprocessedKeys": {}}
        self.answer(200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(reply).encode())


class TlsServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, context):
        super().__init__(("127.0.0.1", 0), Service)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        """Ignores the connection that breaks when the process is killed."""


def certificate(folder):
    """Makes a certificate for `localhost`, and returns its path and the context of a server."""
    names = [f"{folder}/cert.pem", f"{folder}/key.pem"]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                    "-addext", "basicConstraints=critical,CA:FALSE", "-out", names[0], "-keyout", names[1]],
                   check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*names)
    return names[0], context


def cpu_time(pid):
    """Returns the CPU time of the main thread, which does all the work except name resolution."""
    with open(f"/proc/{pid}/schedstat") as file:
        return int(file.read().split()[0]) / 1e6


def cold_start(bootstrap, payload, trusted, secrets_port, dynamodb_port):
    """Returns the time and the CPU time until the function waits for its first event, and those of the event."""
    api = RuntimeApi(payload)
    started_at = time.perf_counter()
    # In the regions of China, a function trusts the authorities of the machine. So it trusts the certificate of this
    # program.
    process = subprocess.Popen([bootstrap], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.server_port}", "AWS_LAMBDA_FUNCTION_NAME": "userinfo",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256", "AWS_LAMBDA_FUNCTION_VERSION": "1", "AWS_REGION": "cn-north-1",
        "SSL_CERT_FILE": trusted, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "USERS_TABLE": "users", "SESSIONS_TABLE": "sessions",
        **{name: f"arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:{name}-AbCdEf" for name in SECRETS},
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": f"https://localhost:{secrets_port}",
        "AWS_ENDPOINT_URL_DYNAMODB": f"https://localhost:{dynamodb_port}"})
    try:
        assert api.waits.wait(10), f"{bootstrap} does not ask for an event"
        start_cpu = cpu_time(process.pid)
        api.may_start.set()
        assert api.has_answered.wait(15), f"{bootstrap} does not answer"
        event_cpu = cpu_time(process.pid) - start_cpu
        assert json.loads(api.answer)["statusCode"] == 401, api.answer
        times = (api.waits_at - started_at, api.answered_at - api.sent_at)
        return times[0] * 1000, start_cpu, times[1] * 1000, event_cpu
    finally:
        process.kill()
        process.wait()
        api.shutdown()
        api.server_close()


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    rounds, builds = int(sys.argv[1]), dict(build.split("=", 1) for build in sys.argv[2:])
    times = {name: [] for name in builds}
    with tempfile.TemporaryDirectory() as folder:
        trusted, context = certificate(folder)
        ports, payload = [TlsServer(context).server_port for _ in range(2)], event()
        for _ in range(rounds):
            for name, bootstrap in builds.items():
                times[name].append(cold_start(bootstrap, payload, trusted, *ports))
    for name, measured in times.items():
        start, start_cpu, first, first_cpu = (statistics.median(column) for column in zip(*measured))
        print(f"{name:12} {os.path.getsize(builds[name]):9} bytes   start {start:6.2f} ms (CPU {start_cpu:5.2f})"
              f"   first event {first:6.2f} ms (CPU {first_cpu:5.2f})")


if __name__ == "__main__":
    main()
