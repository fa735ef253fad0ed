#!/usr/bin/env python3
"""Compares the CPU time of cold starts of several builds of `userinfo`.

    bench/cold_start.py 60 before=PATH/bootstrap after=PATH/bootstrap

Starts the builds in turn, so that a busy machine slows down all of them alike. Prints the median CPU time in
milliseconds until the function waits for its first event, and for its first event. The event has a valid access token,
so that the function opens a TLS connection to DynamoDB and draws random numbers. The server has a certificate that
nobody trusts, so that the answer is 503. Needs Linux, and `openssl` for the certificate.
"""
import base64
import hashlib
import hmac
import json
import os
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = b"access-secret-for-tests-0123456789"
EVENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../events/userinfo.json")


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def event():
    """Returns the recorded event with a valid access token."""
    key_id = base64url(hashlib.sha256(b"latchkey key id\0at+jwt\0" + SECRET).digest()[:8])
    now, identifier = int(time.time()), base64url(bytes(range(16)))
    claims = {"iss": "latchkey", "aud": "latchkey", "sub": "0", "id": "0", "email": "kim@example.com",
              "sid": identifier, "iat": now, "exp": now + 86400, "jti": identifier}
    parts = ({"alg": "HS256", "kid": key_id, "typ": "at+jwt"}, claims)
    message = ".".join(base64url(json.dumps(part, separators=(",", ":")).encode()) for part in parts)
    signature = base64url(hmac.new(SECRET, message.encode(), hashlib.sha256).digest())
    with open(EVENT) as recorded:
        return {**json.load(recorded), "cookies": [f"__Host-access_jwt={message}.{signature}"]}


class RuntimeApi(ThreadingHTTPServer):
    """The Runtime API of Lambda for one process and one event."""

    daemon_threads = True

    def __init__(self, payload):
        super().__init__(("127.0.0.1", 0), Handler)
        self.payload = json.dumps(payload).encode()
        self.waits, self.may_start, self.has_answered = (threading.Event() for _ in range(3))
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        """Ignores the connection that breaks when the process is killed."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.server.waits.is_set():
            time.sleep(60)
        self.server.waits.set()
        self.server.may_start.wait()
        deadline = str(int(time.time() * 1000) + 6000)
        self.answer(200, {"Lambda-Runtime-Aws-Request-Id": "1", "Lambda-Runtime-Deadline-Ms": deadline,
                          "Lambda-Runtime-Invoked-Function-Arn": "arn"}, self.server.payload)

    def do_POST(self):
        self.server.has_answered.set()
        self.close_connection = True
        self.answer(202, {}, b"")

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def serve_tls(folder):
    """Starts a TLS server with a certificate of its own, and returns its port."""
    names = [f"{folder}/cert.pem", f"{folder}/key.pem"]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-subj", "/CN=localhost", "-out", names[0], "-keyout", names[1]], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*names)
    listener = socket.create_server(("127.0.0.1", 0))

    def handshake(connection):
        try:
            context.wrap_socket(connection, server_side=True).close()
        except OSError:
            pass  # The function rejects the certificate.

    def accept():
        while True:
            threading.Thread(target=handshake, args=listener.accept()[:1], daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def cpu_time(pid):
    """Returns the CPU time of the main thread, which does all the work except name resolution."""
    with open(f"/proc/{pid}/schedstat") as file:
        return int(file.read().split()[0]) / 1e6


def cold_start(bootstrap, payload, dynamodb_port):
    """Returns the CPU time until the function waits for its first event, and the CPU time of the event."""
    api = RuntimeApi(payload)
    process = subprocess.Popen([bootstrap], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.server_port}", "AWS_LAMBDA_FUNCTION_NAME": "userinfo",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256", "AWS_LAMBDA_FUNCTION_VERSION": "1", "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "USERS_TABLE": "users",
        "SESSIONS_TABLE": "sessions", "ACCESS_SECRET": SECRET.decode(),
        "REFRESH_SECRET": "refresh-secret-for-tests-012345678",
        "AWS_ENDPOINT_URL_DYNAMODB": f"https://localhost:{dynamodb_port}"})
    try:
        assert api.waits.wait(10), f"{bootstrap} does not ask for an event"
        start = cpu_time(process.pid)
        api.may_start.set()
        assert api.has_answered.wait(15), f"{bootstrap} does not answer"
        return start, cpu_time(process.pid) - start
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
        port, payload = serve_tls(folder), event()
        for _ in range(rounds):
            for name, bootstrap in builds.items():
                times[name].append(cold_start(bootstrap, payload, port))
    for name, measured in times.items():
        start, first = (statistics.median(column) for column in zip(*measured))
        print(f"{name:12} start {start:6.2f} ms   first event {first:6.2f} ms")


if __name__ == "__main__":
    main()
