"""Servers that speak EC2, ours and moto's, each in a process of its own, and a connection to them that costs
the client next to nothing.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import attrs
import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

ROOT = Path(__file__).parent.parent
MOTO = ROOT / ".venv-bench/bin/moto_server"
_FORM = "application/x-www-form-urlencoded; charset=utf-8"
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@attrs.frozen
class Served:
    """A server that runs."""

    process: subprocess.Popen[str]
    url: str
    key_id: str
    secret: str
    image: str

    def client(self, service: str = "ec2") -> Any:
        """Return boto3's client, which tries once and is patient."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=self.key_id,
            aws_secret_access_key=self.secret,
            config=Config(read_timeout=600, retries={"total_max_attempts": 1}),
        )

    def cpu_s(self) -> float:
        """Return the processor's time that the server and its children have used so far."""
        return _cpu_s(self.process.pid)


class Connection:
    """One connection that is kept, over which signed requests are sent."""

    def __init__(self, server: Served) -> None:
        self._server = server
        self._connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=600)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def ask(self, action: str, service: str = "ec2", **parameters: str) -> bytes:
        """Sign a request, send it and return the answer's body."""
        return self.send(*self.signed(action, service, **parameters))

    def signed(
        self, action: str, service: str = "ec2", **parameters: str
    ) -> tuple[bytes, dict[str, str]]:
        """Return body and headers; they may be sent several times."""
        version = {"ec2": "2016-11-15", "sts": "2011-06-15"}[service]
        body = urlencode({"Action": action, "Version": version, **parameters}).encode()
        request = AWSRequest("POST", self._server.url, {"Content-Type": _FORM}, body)
        credentials = Credentials(self._server.key_id, self._server.secret)
        SigV4Auth(credentials, service, "us-east-1").add_auth(request)
        return body, dict(request.headers.items())

    def send(self, body: bytes, headers: dict[str, str]) -> bytes:
        """Send what was signed, and return the answer's body."""
        self._connection.request("POST", "/", body, headers)
        answer = self._connection.getresponse()
        text = answer.read()
        assert answer.status == 200, text[:500]
        return text


def _cpu_s(pid: int) -> float:
    home = Path(f"/proc/{pid}")
    fields = (home / "stat").read_text().rpartition(")")[2].split()
    children = (home / f"task/{pid}/children").read_text().split()
    own_s = (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
    return own_s + sum(_cpu_s(int(child)) for child in children)


@contextmanager
def served(home: Path, *options: str) -> Iterator[Served]:
    """Start a cloud of simulated nodes; end it afterwards."""
    command = [sys.executable, "-m", "benchmarks.ec2_cloud", str(home), *options]
    with _started(command) as process:
        assert process.stdout is not None
        yield Served(process, *process.stdout.readline().split())


@contextmanager
def empty_served() -> Iterator[Served]:
    """Start a cloud that holds nothing yet."""
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as server:
        yield server


@contextmanager
def moto_served() -> Iterator[Served]:
    """Start moto's server; end it afterwards."""
    port = free_port()
    with _started([str(MOTO), "-p", str(port)]) as process:
        wait_for(port, process)
        yield Served(process, f"http://127.0.0.1:{port}", "key", "secret", "ami-12c6146b")


@contextmanager
def _started(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
    )
    with process:
        try:
            yield process
        finally:
            process.terminate()


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_for(port: int, process: subprocess.Popen[str]) -> None:
    """Return when somebody listens at the port."""
    while True:
        assert process.poll() is None, f"{process.args!r} has ended"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.005)
