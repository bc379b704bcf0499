"""Which server serves the EC2 adapter: cheroot as `WsgiServer` has it, gunicorn in threads, granian.

They live in `.venv-bench`, with pycloud itself:

    python -m venv .venv-bench && .venv-bench/bin/pip install -U pip
    .venv-bench/bin/pip install --group bench -e '.[aws,serve]'

Throughput is that of a cloud of simulated nodes. The other figures are those of a small callable that tells
when it has read the first bytes of a body and how much memory its process has held.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import resource
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.ec2_served import ROOT, Connection, Served, free_port, wait_for
from benchmarks.report import report

SERVERS = ("cheroot", "gunicorn", "granian")
PYTHON = ROOT / ".venv-bench/bin/python"
PERIOD_S = 5.0
THREADS = 8
MIB = 1024**2


def main() -> None:
    """Print all figures; with an argument, be the server of that name."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--serve", choices=SERVERS)
    parser.add_argument("--port", type=int)
    parser.add_argument("--home", type=Path, help="of a cloud; without it, the small callable")
    parser.add_argument("--certificate", nargs=2)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.port, options.home, options.certificate)
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in SERVERS:
            home = Path(folder) / name
            home.mkdir()
            measure_throughput(name, home)
            measure_bodies(name)
            measure_tls(name, home)
            measure_stop(name)


# Throughput


def measure_throughput(name: str, home: Path) -> None:
    """Small signed requests over four connections that are kept, and over new ones."""
    with started(name, "--home", str(home)) as (process, port):
        while not (home / "ready").exists():
            time.sleep(0.05)
        key, secret, image = (home / "ready").read_text().split()
        server = Served(process, f"http://127.0.0.1:{port}", key, secret, image)
        with Connection(server) as connection:
            answer = connection.ask("RunInstances", ImageId=image, MinCount="1", MaxCount="1")
        id_ = answer.partition(b"<instanceId>")[2].partition(b"<")[0].decode()
        who = {"action": "GetCallerIdentity", "service": "sts"}
        one = {"action": "DescribeInstances", "InstanceId.1": id_}
        for what, request in (("GetCallerIdentity", who), ("DescribeInstances of one", one)):
            per_s, cpu_s = rate(server, request)
            report(f"{name}: {what}", per_s, "1/s", "stated", met=True)
            report(f"{name}: its share of the processor", cpu_s * 1e6, "us", "stated", met=True)


def rate(server: Served, request: dict[str, str]) -> tuple[float, float]:
    """Return the answers in a second, and the server's processor time for each."""

    def ask() -> int:
        with Connection(server) as connection:
            signed = connection.signed(**request)
            answered, until = 0, time.perf_counter() + PERIOD_S
            while time.perf_counter() < until:
                connection.send(*signed)
                answered += 1
        return answered

    before_s = server.cpu_s()
    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
    answered = sum(one.result() for one in asking)
    return answered / PERIOD_S, (server.cpu_s() - before_s) / answered


# Bodies


def measure_bodies(name: str) -> None:
    """Whether a body is streamed, what 1 GiB of it takes, and who asks for it when."""
    with started(name) as (_, port):
        say(f"{name}: reads before all is sent", streams(port, chunked=False))
        say(f"{name}: chunks are read before all is sent", streams(port, chunked=True))
        say(f"{name}: 100 Continue when the body is read", continues(port, "/read"))
        say(f"{name}: no 100 Continue when it is not", not continues(port, "/unread"))
        say(f"{name}: the path as it was sent", keeps_path(port))
        say(f"{name}: answers what is pipelined", pipelines(port))
        say(f"{name}: sends small answers at once", answers_at_once(port))
        for chunked in (False, True):
            form = "in chunks of 16 MiB" if chunked else "with its length"
            took_s, held_mib = put_gib(port, chunked=chunked)
            report(f"{name}: 1 GiB {form}", took_s, "s", "stated", met=True)
            report(f"{name}: memory held at most", held_mib, "MiB", "<= 200", met=held_mib <= 200)


def streams(port: int, *, chunked: bool) -> bool:
    """Send the half of a body and ask, on another connection, whether it was seen."""
    how = "Transfer-Encoding: chunked" if chunked else "Content-Length: 10"
    first, last = (
        (b"5\r\nfirst\r\n", b"5\r\n last\r\n0\r\n\r\n") if chunked else (b"first", b" last")
    )
    with closing(connected(port)) as one:
        one.sendall(head("POST /read", how) + first)
        until = time.monotonic() + 3
        seen = False
        while not seen and time.monotonic() < until:
            seen = asked(port, "/begun") == b"yes"
        one.sendall(last)
        one.recv(4096)
    asked(port, "/reset")
    return seen


def continues(port: int, path: str) -> bool:
    """Tell whether the client is asked for the body."""
    with closing(connected(port)) as one:
        one.sendall(head(f"POST {path}", "Content-Length: 4", "Expect: 100-continue"))
        is_asked = one.recv(4096).startswith(b"HTTP/1.1 100")
        one.sendall(b"body")
    return is_asked


def keeps_path(port: int) -> bool:
    """Tell whether the callable can see the path as it was sent, which signatures cover."""
    return asked(port, "/path/a%2Fb/../c") == b"/path/a%2Fb/../c"


def pipelines(port: int) -> bool:
    """Send three requests at once."""
    with closing(connected(port)) as one:
        one.sendall(head("GET /begun") * 3)
        text = b""
        with contextlib.suppress(TimeoutError):
            while text.count(b"HTTP/1.1 200") < 3:
                piece = one.recv(4096)
                if not piece:
                    break
                text += piece
    return text.count(b"HTTP/1.1 200") == 3


def answers_at_once(port: int) -> bool:
    """Tell whether a hundred small answers come without the 40 ms of a delayed acknowledgement."""
    with closing(connected(port)) as one:
        began = time.perf_counter()
        for _ in range(100):
            one.sendall(head("GET /begun"))
            one.recv(4096)
        return time.perf_counter() - began < 100 * 0.02


def put_gib(port: int, *, chunked: bool) -> tuple[float, float]:
    """Send 1 GiB; return the seconds, and the most memory that the server has held."""
    piece = bytes(16 * MIB)
    how = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {64 * len(piece)}"
    began = time.perf_counter()
    with closing(connected(port, timeout_s=300)) as one:
        one.sendall(head("POST /read", how))
        for _ in range(64):
            if chunked:
                one.sendall(b"%x\r\n" % len(piece))
            one.sendall(piece + (b"\r\n" if chunked else b""))
        if chunked:
            one.sendall(b"0\r\n\r\n")
        answer = one.recv(4096)
    assert b" 200 " in answer.split(b"\r\n")[0], answer
    return time.perf_counter() - began, int(asked(port, "/memory")) / 1024


# TLS, and the end


def measure_tls(name: str, home: Path) -> None:
    """Whether HTTPS is served, and whether it is while another client does not shake hands."""
    certificate, key = home / "cert.pem", home / "key.pem"
    subject = ["-subj", "/CN=cloud", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", *made, *files], check=True, capture_output=True)
    trusting = ssl.create_default_context(cafile=str(certificate))
    with started(name, "--certificate", str(certificate), str(key)) as (_, port):
        for what, silent in (("HTTPS", 0), ("HTTPS beside one that does not shake hands", 1)):
            with contextlib.ExitStack() as stack:
                for _ in range(silent):
                    stack.enter_context(closing(connected(port)))
                try:
                    with closing(
                        trusting.wrap_socket(connected(port), server_hostname="127.0.0.1")
                    ) as one:
                        one.sendall(head("GET /begun"))
                        is_served = one.recv(4096).startswith(b"HTTP/1.1 200")
                except OSError:
                    is_served = False
            say(f"{name}: {what}", is_served)


def measure_stop(name: str) -> None:
    """Whether an answer that is under way is still given after SIGTERM."""
    with started(name) as (process, port), closing(connected(port)) as one:
        one.sendall(head("POST /read", "Content-Length: 10") + b"first")
        until = time.monotonic() + 3
        while asked(port, "/begun") != b"yes" and time.monotonic() < until:
            time.sleep(0.01)
        process.terminate()
        time.sleep(0.5)
        try:
            one.sendall(b" last")
            is_answered = b"HTTP/1.1 200" in one.recv(4096)
        except OSError:
            is_answered = False
        say(f"{name}: what is under way is answered at the end", is_answered)


# What is common


def say(name: str, is_so: bool) -> None:
    """Print what is so or not."""
    report(name, float(is_so), "yes=1", "1", met=is_so)


def head(line: str, *headers: str) -> bytes:
    """Return the head of a request."""
    return "\r\n".join([f"{line} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]).encode()


def connected(port: int, timeout_s: float = 5) -> socket.socket:
    """Return a connection."""
    return socket.create_connection(("127.0.0.1", port), timeout=timeout_s)


def asked(port: int, path: str) -> bytes:
    """Return the body of an answer."""
    with closing(connected(port)) as one:
        one.sendall(head(f"GET {path}", "Connection: close"))
        text = b""
        while piece := one.recv(4096):
            text += piece
    return text.partition(b"\r\n\r\n")[2]


@contextmanager
def started(name: str, *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start a server in a process of its own; end it afterwards."""
    port = free_port()
    module = [str(PYTHON), "-m", "benchmarks.servers", "--serve", name, "--port", str(port)]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([*module, *options], cwd=ROOT, text=True, **silent)  # type: ignore[call-overload]
    try:
        wait_for(port, process)
        yield process, port
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# The server's side


class Watched:
    """Reads bodies in pieces, and tells of it."""

    def __init__(self) -> None:
        self.begun = threading.Event()

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        answer = b"yes" if self.begun.is_set() else b"no"
        if path == "/read":
            piece = environ["wsgi.input"].read(5)
            self.begun.set()
            while piece:
                piece = environ["wsgi.input"].read(64 * 1024)
        elif path == "/reset":
            self.begun.clear()
        elif path == "/memory":
            answer = str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss).encode()
        elif path.startswith("/path"):
            answer = (environ.get("REQUEST_URI") or environ.get("RAW_URI") or path).encode()
        start_response("200 OK", [("Content-Length", str(len(answer)))])
        return [answer]


def serve(name: str, port: int, home: Path | None, certificate: list[str] | None) -> None:
    """Be a server until a signal comes."""
    make = Watched if home is None else partial(_cloud_app, home)
    serving = {"cheroot": _cheroot, "gunicorn": _gunicorn, "granian": _granian}
    serving[name](make, port, certificate)


def _cloud_app(home: Path) -> Any:
    """Open a cloud in this process, which is the one that answers."""
    from benchmarks.ec2_cloud import assembled, key_and_image
    from pycloud.ec2 import EC2App

    cloud = assembled(home).open()
    atexit.register(cloud.close)
    (home / "making").write_text(" ".join(key_and_image(cloud)))
    (home / "making").rename(home / "ready")
    return EC2App(cloud)


def _cheroot(make: Callable[[], Any], port: int, certificate: list[str] | None) -> None:
    from pycloud.drivers.serve import WsgiServer

    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    cert, key = certificate or (None, None)
    with WsgiServer(
        make(), port=port, threads=THREADS, body_bytes=2 * 1024**3, certificate=cert, key=key
    ):
        signal.sigwait(signals)


def _gunicorn(make: Callable[[], Any], port: int, certificate: list[str] | None) -> None:
    from gunicorn.app.base import BaseApplication

    settings = {"bind": f"127.0.0.1:{port}", "worker_class": "gthread", "threads": THREADS}
    if certificate is not None:
        settings |= {"certfile": certificate[0], "keyfile": certificate[1]}

    class Application(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            for key, value in settings.items():
                self.cfg.set(key, value)

        def load(self) -> Any:
            return make()

    Application().run()


def _granian(make: Callable[[], Any], port: int, certificate: list[str] | None) -> None:
    from granian import Granian
    from granian.constants import Interfaces

    cert, key = map(Path, certificate) if certificate else (None, None)
    server = Granian(
        "pycloud",
        port=port,
        interface=Interfaces.WSGI,
        blocking_threads=THREADS,
        ssl_cert=cert,
        ssl_key=key,
        websockets=False,
    )
    server.serve(target_loader=partial(_made, make), wrap_loader=False)


def _made(make: Callable[[], Any], *_: Any) -> Any:
    return make()


if __name__ == "__main__":
    main()
