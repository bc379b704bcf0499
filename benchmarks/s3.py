"""What the object store does over HTTP, beside a peer and the limit of the machine, in one run.

    python -m benchmarks.s3 [--processes N] [--moto PATH] [--mib 1024] [--keys 1000000]

moto, the peer, lives in an environment of its own: see `benchmarks/ec2.py`. It keeps everything in
memory. The client is the same for all: sockets, and requests that were signed before the clock
started. With several processes each has a port of its own, and all share one store. A small object
is 4 KiB, asked for by 8 clients.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import pycloud
from benchmarks.ec2_served import MOTO
from benchmarks.report import median, report, seconds
from pycloud.aws.callers import FixedKeys
from pycloud.drivers.files import FileBlobs
from pycloud.drivers.serve import WsgiServer
from pycloud.ids import ADMIN_ACCOUNT
from pycloud.s3 import S3App
from pycloud.state.schema import objects

KEY, SECRET = "AKIDEXAMPLE", "secret"
CLIENTS = 8
SMALL = os.urandom(4096)
EACH = 400
ROUNDS = 3
MIB = 1024**2
BLOCK = os.urandom(MIB)


def main() -> None:
    """Take all figures; a folder of this disk is made for them, and removed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--moto", default=str(MOTO), help="moto's server; default: %(default)s")
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--keys", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as folder:
        home = Path(folder)
        with _servers(home, options.processes) as ports:
            _ask(ports[0], _signed(ports[0], "PUT", "/bench"))
            measure_streams(home, ports[0], options.mib)
            measure_small(home, ports, options.moto)
            measure_memory(ports, options.mib)
        measure_lists(home, options.keys)


def measure_streams(home: Path, port: int, mib: int) -> None:
    """One stream up and one down, beside the least that can do the same."""
    put = _signed(port, "PUT", "/bench/stream", length=mib * MIB)
    with _bare(lambda one: _take(one, home / "bare", mib)) as bare:
        pairs = [
            (seconds(lambda: _send(port, put, mib)), seconds(lambda: _send(bare, b"", mib)))
            for _ in range(3)
        ]
    _compare(f"PUT {mib} MiB", pairs, mib, 0.7, "a loop that reads, hashes and writes")
    get = _signed(port, "GET", "/bench/stream")
    with _bare(lambda one: _give(one, home / "bare")) as bare:
        pairs = [
            (seconds(lambda: _ask(port, get)), seconds(lambda: _drain(bare))) for _ in range(3)
        ]
    _compare(f"GET {mib} MiB", pairs, mib, 0.8, "sendfile alone")


def measure_small(home: Path, ports: Sequence[int], moto: str) -> None:
    """Many small objects, signed. All three take turns, so that a slow moment is everybody's."""
    with _moto(moto) as peer:
        for servers in (ports, peer):  # what is loaded at the first request is not measured
            for method in ("PUT", "GET"):
                _rate(servers, method, "first")
        rounds = [_small_rates(home, ports, peer, f"round-{number}") for number in range(ROUNDS)]
    rates = {name: median([one[name] for one in rounds]) for name in rounds[0]}
    _report_small(ports, rates, "PUT", 0.25, "floor", "the disk's floor")
    _report_small(ports, rates, "PUT", 5, "moto PUT", "moto")
    _report_small(ports, rates, "GET", 6, "moto GET", "moto")


def _small_rates(
    home: Path, ports: Sequence[int], peer: Sequence[int], prefix: str
) -> dict[str, float]:
    rates = {"floor": _disk_floor(home / prefix)}
    for method in ("PUT", "GET"):
        rates[method] = _rate(ports, method, prefix)
        rates[f"moto {method}"] = _rate(peer, method, prefix)
    return rates


def _report_small(
    ports: Sequence[int],
    rates: Mapping[str, float],
    method: str,
    factor: float,
    peer: str,
    beside: str,
) -> None:
    report(
        f"{'durable ' * (method == 'PUT')}{method} of 4 KiB, {len(ports)} processes, beside {beside}",
        *(rates[method], "/s", f">= {factor} x {beside}"),
        met=rates[peer] > 0 and rates[method] >= factor * rates[peer],
        peer=rates[peer] or None,
    )


def measure_memory(ports: Sequence[int], mib: int) -> None:
    """Eight streams at once, up and then down."""
    port = ports[0]
    idle = _resident_mib(port)
    puts = [
        _signed(port, "PUT", f"/bench/at-once-{number}", length=mib * MIB) for number in range(8)
    ]
    gets = [_signed(port, "GET", f"/bench/at-once-{number}") for number in range(8)]
    most = [0.0]
    with _watching(port, most):
        _at_once([lambda one=one: _send(port, one, mib) for one in puts])  # type: ignore[misc]
        _at_once([lambda one=one: _ask(port, one) for one in gets])  # type: ignore[misc]
    above = most[0] - idle
    report(f"memory for 8 x {mib} MiB at once", above, "MiB", "<= 150 MiB", met=above <= 150)


def measure_lists(home: Path, keys: int) -> None:
    """A page of 1 000 keys and common prefixes, at the store."""
    with pycloud.SQLiteState(home / "lists.db") as state:
        store = pycloud.BucketStore(state, FileBlobs(home / "blobs"))
        took = []
        for count in (10_000, keys):
            bucket = f"keys-{count}"
            store.create_bucket(bucket)
            _fill(state, bucket, count)
            took.append(
                median(
                    [
                        seconds(lambda name=bucket: store.list(name, prefix="a/", delimiter="/"))  # type: ignore[misc]
                        for _ in range(9)
                    ]
                )
            )
    few, many = (one * 1e3 for one in took)
    report(
        f"list 1 000 of {keys} keys, beside 10 000",
        many,
        "ms",
        "<= 30 ms",
        met=many <= 30,
        peer=few,
    )


# Servers


@contextlib.contextmanager
def _servers(home: Path, count: int) -> Iterator[list[int]]:
    """Serve one store by so many processes; give their ports."""
    context = multiprocessing.get_context("spawn")
    ready = context.Queue()
    processes = [
        context.Process(target=serve, args=(home, ready), daemon=True) for _ in range(count)
    ]
    ports = []
    try:
        for process in processes:
            process.start()
            port, number = ready.get(timeout=60)
            _PROCESSES[port] = number
            ports.append(port)
        yield ports
    finally:
        for process in processes:
            process.terminate()
            process.join()


_PROCESSES: dict[int, int] = {}


def serve(home: Path, ready: Any) -> None:
    """Serve the store until somebody ends this process."""
    with pycloud.SQLiteState(home / "cloud.db") as state:
        store = pycloud.BucketStore(state, FileBlobs(home / "blobs"))
        app = S3App(store, FixedKeys({KEY: SECRET}))
        with WsgiServer(app, threads=CLIENTS, body_bytes=0) as server:
            ready.put((server.port, os.getpid()))
            threading.Event().wait()


@contextlib.contextmanager
def _bare(serve_one: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve connections by a process that does nothing else."""
    listener = socket.create_server(("127.0.0.1", 0))
    child = os.fork()
    if child == 0:
        while True:
            connection, _ = listener.accept()
            with connection:
                serve_one(connection)
    try:
        yield listener.getsockname()[1]
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        listener.close()


def _take(connection: socket.socket, to: Path, mib: int) -> None:
    """Read, hash, write, sync: what a durable PUT can't be without."""
    digest, left = hashlib.md5(usedforsecurity=False), mib * MIB
    with to.open("wb") as file:
        while left:
            piece = connection.recv(min(MIB, left))
            digest.update(piece)
            file.write(piece)
            left -= len(piece)
        file.flush()
        os.fsync(file.fileno())
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def _give(connection: socket.socket, path: Path) -> None:
    with path.open("rb") as file:
        connection.sendfile(file)


# The client


def _signed(port: int, method: str, path: str, *, body: bytes = b"", length: int = 0) -> bytes:
    """Return a request, ready to be sent; without its body if only the `length` is given."""
    host = f"127.0.0.1:{port}"
    headers = {"Host": host, **({"x-amz-content-sha256": "UNSIGNED-PAYLOAD"} if length else {})}
    request = AWSRequest(method, f"http://{host}{path}", data=body, headers=headers)
    signer = _Unsigned if length else S3SigV4Auth
    signer(Credentials(KEY, SECRET), "s3", "us-east-1").add_auth(request)  # what moto wants
    lines = [f"{name}: {value}\r\n" for name, value in request.headers.items()]
    size = length or len(body)
    head = f"{method} {path} HTTP/1.1\r\n{''.join(lines)}Content-Length: {size}\r\n\r\n"
    return head.encode() + body


class _Unsigned(S3SigV4Auth):  # type: ignore[misc]  # botocore has no types
    def payload(self, request: Any) -> str:
        return "UNSIGNED-PAYLOAD"


def _send(port: int, head: bytes, mib: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(head)
        for _ in range(mib):
            connection.sendall(BLOCK)
        assert b" 200 " in connection.recv(4096)


def _ask(port: int, request: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(request)
        _read_answer(connection, bytearray(MIB))


def _read_answer(connection: socket.socket, buffer: bytearray) -> bool:
    """Read an answer to its end; return whether the connection is kept."""
    view, have = memoryview(buffer), 0
    while (end := buffer.find(b"\r\n\r\n", 0, have)) < 0:
        have += _received(connection, view[have:])
    head = bytes(view[:end]).lower()
    assert b" 200 " in head, head
    left = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0) - (have - end - 4)
    while left > 0:
        left -= _received(connection, view[: min(left, len(buffer))])
    return b"connection: close" not in head


def _received(connection: socket.socket, view: memoryview) -> int:
    count = connection.recv_into(view)
    if not count:
        raise ConnectionError("the server is gone within an answer")
    return count


def _drain(port: int) -> None:
    buffer = bytearray(MIB)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        while connection.recv_into(buffer):
            pass


def _rate(ports: Sequence[int], method: str, prefix: str) -> float:
    """Return how many requests a second 8 clients get answered, each a process of its own."""
    if not ports:
        return 0
    body = SMALL if method == "PUT" else b""
    work = [
        (
            ports[number % len(ports)],
            [
                _signed(
                    ports[number % len(ports)], method, f"/bench/{prefix}/{number}-{at}", body=body
                )
                for at in range(EACH)
            ],
        )
        for number in range(CLIENTS)
    ]
    took = seconds(lambda: _in_processes(_converse, work))
    return CLIENTS * EACH / took


def _converse(work: tuple[int, list[bytes]]) -> None:
    port, requests = work
    buffer = bytearray(MIB)
    connection = None
    for request in requests:
        if connection is None:
            connection = socket.create_connection(("127.0.0.1", port), timeout=60)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(request)
        if not _read_answer(connection, buffer):
            connection.close()
            connection = None


def _in_processes(act: Callable[[Any], None], work: Sequence[Any]) -> None:
    children = []
    for one in work:
        child = os.fork()
        if child == 0:
            status = 1
            with contextlib.suppress(Exception):
                act(one)
                status = 0
            os._exit(status)
        children.append(child)
    for child in children:
        _, status = os.waitpid(child, 0)
        assert status == 0, "a client failed"


def _at_once(acts: Sequence[Callable[[], None]]) -> None:
    _in_processes(lambda act: act(), acts)


# What it is held against


def _disk_floor(folder: Path) -> float:
    """Return how many files a second 8 threads make durable: create, sync, rename, sync folder."""
    folder.mkdir()

    def work(number: int) -> None:
        descriptor = os.open(folder, os.O_RDONLY)
        for at in range(EACH):
            part = folder / f"{number}-{at}.part"
            with part.open("wb") as file:
                file.write(SMALL)
                file.flush()
                os.fsync(file.fileno())
            part.rename(part.with_suffix(""))
            os.fsync(descriptor)
        os.close(descriptor)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(CLIENTS)]

    def run() -> None:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return CLIENTS * EACH / seconds(run)


@contextlib.contextmanager
def _moto(command: str) -> Iterator[list[int]]:
    """Serve the peer; give its port, if it is there."""
    if not Path(command).exists():
        print(f"there is no {command}: the peer's figures are left out", file=sys.stderr)
        yield []
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [command, "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                _ask(port, _signed(port, "PUT", "/bench"))
                break
        yield [port]
    finally:
        process.terminate()
        process.wait()


def _compare(name: str, pairs: list[tuple[float, float]], mib: int, goal: float, peer: str) -> None:
    ours, theirs = (mib * MIB / 1e6 / median(list(side)) for side in zip(*pairs, strict=True))
    report(
        f"{name}, beside {peer}",
        ours,
        "MB/s",
        f">= {goal} x",
        met=ours >= goal * theirs,
        peer=theirs,
    )


@contextlib.contextmanager
def _watching(port: int, most: list[float]) -> Iterator[None]:
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            most[0] = max(most[0], _resident_mib(port))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _resident_mib(port: int) -> float:
    pages = int(Path(f"/proc/{_PROCESSES[port]}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


def _fill(state: pycloud.Database, bucket: str, count: int) -> None:
    """Write rows as puts would have left them: a tenth of the keys share a prefix with the rest."""
    with state.transaction() as tx:
        blank = {
            "bucket": bucket, "rank": 0, "version_id": "null", "is_latest": True,
            "is_delete_marker": False, "is_shown": True, "account": ADMIN_ACCOUNT,
            "created_at": tx.now, "size_bytes": 0, "etag": "0" * 32, "storage_class": "STANDARD",
            "legal_hold": False, "has_sums": True, "headers": "{}", "metadata": "{}", "tags": "{}",
        }  # fmt: skip
        for start in range(0, count, 10_000):
            rows = [
                {**blank, "key": f"a/{at % 5000:05d}/{at:09d}".encode()}
                for at in range(start, min(start + 10_000, count))
            ]
            tx.execute(objects.insert(), rows)


if __name__ == "__main__":
    main()
