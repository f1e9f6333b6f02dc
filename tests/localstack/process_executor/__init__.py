"""Makes LocalStack run Lambda functions as processes of this machine, without containers.

LocalStack's own executor starts a container for each function. This one unpacks the zip, starts its `bootstrap` with the
function's environment variables, and serves the Lambda Runtime API to it: GET .../invocation/next returns an event, POST
.../response or .../error accepts the result.

It also implements updates of AWS::SecretsManager::Secret, which LocalStack silently ignores.
"""

import json
import os
import queue
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from localstack.runtime import hooks
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin

INIT_SECONDS = 10
# Between LocalStack's choice of a process for an invocation and the start of the invocation.
START_SECONDS = 0.2


class RuntimeApi:
    """The Runtime API of one function process."""

    def __init__(self, timeout_seconds):
        self.timeout_seconds = timeout_seconds
        self.events = queue.Queue()
        self.results = {}
        self.polled = threading.Event()
        self.init_error = None
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def address(self):
        return "127.0.0.1:%d" % self.server.server_address[1]

    def invoke(self, request_id, event, arn):
        """Returns the response body and whether it is an error. Raises queue.Empty on a timeout."""
        result = self.results[request_id] = queue.Queue()
        self.events.put((request_id, event, arn))
        try:
            return result.get(timeout=self.timeout_seconds)
        finally:
            self.results.pop(request_id, None)

    def wait_until_idle(self):
        """Waits until no invocation is in flight."""
        time.sleep(START_SECONDS)
        end = time.time() + self.timeout_seconds
        while self.results and time.time() < end:
            time.sleep(0.005)

    def close(self):
        self.events.put(None)
        threading.Thread(target=self.server.shutdown, daemon=True).start()

    def _handler(api):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_):
                pass

            def answer(self, status, body=b"", headers=()):
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                api.polled.set()
                event = api.events.get()
                if event is None:
                    self.close_connection = True
                    return
                request_id, payload, arn = event
                deadline = int((time.time() + api.timeout_seconds) * 1000)
                self.answer(200, payload, [
                    ("Content-Type", "application/json"),
                    ("Lambda-Runtime-Aws-Request-Id", request_id),
                    ("Lambda-Runtime-Invoked-Function-Arn", arn),
                    ("Lambda-Runtime-Deadline-Ms", str(deadline)),
                ])

            def do_POST(self):
                body = self.body()
                if self.path.endswith("/init/error"):
                    api.init_error = body
                    api.polled.set()
                else:
                    result = api.results.get(self.path.split("/")[-2])
                    if result:
                        result.put((body, self.path.endswith("/error")))
                self.answer(202, b'{"status":"OK"}')

            def body(self):
                if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                body = b""
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

        return Handler


def make_executor():
    """Returns the executor class. Defined on demand, because its base class imports half of LocalStack."""
    from localstack.services.lambda_.invocation.lambda_models import InvocationResult
    from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor

    class ProcessExecutor(RuntimeExecutor):
        process = None
        api = None
        output = b""

        def start(self, env_vars):
            config = self.function_version.config
            config.code.prepare_for_execution()
            folder = str(config.code.get_unzipped_code_location())
            bootstrap = os.path.join(folder, "bootstrap")
            os.chmod(bootstrap, 0o755)
            self.api = RuntimeApi(config.timeout)
            env = {"PATH": "/usr/local/bin:/usr/bin:/bin"} | {k: str(v) for k, v in env_vars.items()}
            env |= {"AWS_LAMBDA_RUNTIME_API": self.api.address, "LAMBDA_TASK_ROOT": folder}
            self.process = subprocess.Popen(
                [bootstrap], cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )
            threading.Thread(target=self._collect, daemon=True).start()
            end = time.time() + INIT_SECONDS
            while not self.api.polled.wait(0.005):
                if self.process.poll() is not None or time.time() > end:
                    raise Exception("the function did not start: %s" % self.output[-500:])
            if self.api.init_error:
                raise Exception("the function failed to initialize: %s" % self.api.init_error)

        def _collect(self):
            for line in self.process.stdout:
                self.output += line

        def stop(self):
            # An update stops processes; an invocation in flight ends before, as on AWS.
            if self.api:
                self.api.wait_until_idle()
                self.api.close()
            if self.process and self.process.poll() is None:
                self.process.terminate()
                try:
                    self.process.wait(2)
                except subprocess.TimeoutExpired:
                    self.process.kill()

        def invoke(self, payload):
            request_id, before = payload["invoke-id"], len(self.output)
            try:
                body, failed = self.api.invoke(request_id, payload["payload"].encode(), payload["invoked-function-arn"])
            except queue.Empty:
                self.process.kill()
                message = "%s Task timed out after %d.00 seconds" % (request_id, self.api.timeout_seconds)
                body, failed = json.dumps({"errorMessage": message}).encode(), True
            time.sleep(0.005)  # the function logs before it responds; wait for the pipe
            logs = self.output[before:].decode(errors="replace")
            return InvocationResult(request_id, body, is_error=failed, logs=logs)

        def get_address(self):
            return "127.0.0.1"

        def get_endpoint_from_executor(self):
            return "127.0.0.1"

        def get_runtime_endpoint(self):
            return "http://127.0.0.1"  # read before the process starts, and used by containers only

        def get_logs(self):
            return self.output.decode(errors="replace")

        @classmethod
        def prepare_version(cls, function_version):
            if function_version.config.code:
                function_version.config.code.prepare_for_execution()

        @classmethod
        def cleanup_version(cls, function_version):
            pass

        @classmethod
        def validate_environment(cls):
            return True

    return ProcessExecutor


class ProcessExecutorPlugin(RuntimeExecutorPlugin):
    name = "process"
    executor = None

    def load(self, *_, **__):
        if ProcessExecutorPlugin.executor is None:
            ProcessExecutorPlugin.executor = make_executor()
        return ProcessExecutorPlugin.executor


@hooks.on_infra_start()
def update_secrets():
    """Makes a stack update that changes a secret's value create a new version, as on AWS."""
    from localstack.services.cloudformation.resource_provider import OperationStatus, ProgressEvent
    from localstack.services.secretsmanager.resource_providers.aws_secretsmanager_secret import (
        SecretsManagerSecretProvider,
    )

    def update(self, request):
        new, old = request.desired_state, request.previous_state
        new["Id"] = old["Id"]
        changed = {k: new[k] for k in ("Description", "SecretString", "KmsKeyId") if new.get(k) != old.get(k) and k in new}
        if changed:
            request.aws_client_factory.secretsmanager.update_secret(SecretId=old["Id"], **changed)
        return ProgressEvent(status=OperationStatus.SUCCESS, resource_model=new, custom_context=request.custom_context)

    SecretsManagerSecretProvider.update = update
