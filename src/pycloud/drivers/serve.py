"""`WsgiServer`: serves a WSGI callable over HTTP, in threads (extra `pycloud[serve]`: cheroot).

Its clients are guests, which are not trusted. So a connection takes a thread only once it has said
something, no client holds more than its share of the threads and connections, and no request is
waited for longer than `timeout_s` in all, however slowly its bytes come.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import socket
import struct
import sys
import termios
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable
from functools import cache
from types import TracebackType
from typing import Any, Self

from pycloud.errors import Cannot, InvalidValue

_HEADER_BYTES = 16 * 1024
_BODY_BYTES = 16 * 1024
_BACKLOG = 128
_CONNECTIONS = 256
_CONNECTIONS_PER_CLIENT = 32
_GRACE_S = 1.0

_log = logging.getLogger("pycloud.http")

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class WsgiServer:
    """Serves `app` at `host`:`port` between `start()` and `stop()`, or as a context manager.

    Port 0 takes a free one, told by `port` once it is started. With `freebind` the address need not
    exist yet. The bytes of a request may take `timeout_s` seconds in all, and a connection that
    says nothing is closed after as long. One client (address) has at most 32 connections, and half
    of the `threads`; heads and bodies have at most 16 KiB each.

    The callable finds `pycloud.set_ttl` in its environment: called with a number of hops, it lets
    the answer's packets go no further. Raises `InvalidValue` for a port that is none.

    >>> def app(environ, start_response):
    ...     start_response("200 OK", [("Content-Length", "5")])
    ...     return [b"hello"]
    >>> from urllib.request import urlopen
    >>> with WsgiServer(app) as server, urlopen(f"http://127.0.0.1:{server.port}/") as answer:
    ...     answer.read()
    b'hello'
    """

    def __init__(
        self,
        app: WsgiApp,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        threads: int = 8,
        freebind: bool = False,
        timeout_s: float = 10,
    ) -> None:
        if not 0 <= port <= 65535:
            raise InvalidValue(f"a port is 0 to 65535, not {port}")
        self.host = host
        self.port = port
        self._app = app
        self._threads = threads
        self._freebind = freebind
        self._timeout_s = timeout_s
        self._server: Any = None
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Listen, and answer from now on. Raises `Cannot` if the address can't be had, and
        `InvalidValue` if cheroot is missing.
        """
        if self._thread is not None:
            return self
        server = self._made()
        try:
            server.prepare()
        except OSError as error:
            reason = error.__cause__ or error
            raise Cannot(f"cannot listen at {self.host}:{self.port}: {reason}") from error
        self._server = server
        self.port = server.bind_addr[1]
        self._thread = threading.Thread(target=server.serve, name="pycloud-http", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop listening, after the answers that are under way; what takes longer than a second is
        cut off.
        """
        if self._thread is None:
            return
        cut = threading.Timer(_GRACE_S, self._server.shares.cut)
        cut.start()
        self._server.stop()
        cut.cancel()
        self._thread.join()
        self._server.shares.close()
        self._server = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _made(self) -> Any:
        server = _server_class()(
            (self.host, self.port),
            _guarded(self._app),
            numthreads=self._threads,
            request_queue_size=_BACKLOG,
            timeout=self._timeout_s,
            shutdown_timeout=_GRACE_S,
        )
        server.freebind = self._freebind
        server.shares = _Shares(at_work=max(1, self._threads // 2))
        return server


class _Shares:
    """Which client has how many connections and threads, so that each leaves some to the others."""

    def __init__(self, at_work: int) -> None:
        self._most_at_work = at_work
        self._lock = threading.Lock()
        self._open: set[Any] = set()
        self._held: Counter[str] = Counter()
        self._at_work: Counter[str] = Counter()
        self._waiting: defaultdict[str, deque[Any]] = defaultdict(deque)

    def admit(self, connection: Any) -> bool:
        """Whether a connection that was just made may stay."""
        client = connection.remote_addr
        with self._lock:
            if len(self._open) >= _CONNECTIONS or self._held[client] >= _CONNECTIONS_PER_CLIENT:
                return False
            self._open.add(connection)
            self._held[client] += 1
            return True

    def leave(self, connection: Any) -> None:
        """Forget a connection; one that was never admitted too."""
        with self._lock:
            if connection in self._open:
                self._open.remove(connection)
                self._held -= Counter([connection.remote_addr])

    def begin(self, connection: Any) -> bool:
        """Whether a connection with a request may have a thread; if not, it waits for `end`."""
        client = connection.remote_addr
        with self._lock:
            if self._at_work[client] >= self._most_at_work:
                self._waiting[client].append(connection)
                return False
            self._at_work[client] += 1
            return True

    def end(self, connection: Any) -> Any | None:
        """Hand the thread's share on: return the client's next connection that may have one."""
        client = connection.remote_addr
        with self._lock:
            if self._waiting[client]:
                return self._waiting[client].popleft()
            del self._waiting[client]
            self._at_work -= Counter([client])
            return None

    def cut(self) -> None:
        """Break all connections off, so that whoever waits for one goes on."""
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close what is still open."""
        for connection in list(self._open):
            connection.close()


class _Socket(socket.socket):
    """Waits for bytes no longer than is left of the time for a request."""

    left_s = 0.0

    def recv_into(self, *args: Any) -> int:
        if self.left_s <= 0:
            raise TimeoutError("timed out")
        patience_s, since = self.gettimeout(), time.monotonic()
        self.settimeout(self.left_s)
        try:
            return super().recv_into(*args)
        finally:
            self.left_s -= time.monotonic() - since
            self.settimeout(patience_s)


class _Hops:
    """How far the packets of a connection go."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._usual = self._limit = connection.getsockopt(socket.IPPROTO_IP, socket.IP_TTL)

    def limit(self, hops: int) -> None:
        """Let what is sent from now on go no further than `hops`."""
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)
        self._limit = hops

    def restore(self) -> None:
        """End the limit, unless what it was set for has not arrived yet.

        TCP would send that again, and then without the limit: whoever is too far away would only
        have to ask for something else on the same connection.
        """
        if self._limit != self._usual and not self._unacknowledged_bytes():
            self.limit(self._usual)

    def _unacknowledged_bytes(self) -> int:
        (count,) = struct.unpack("i", fcntl.ioctl(self._socket, termios.TIOCOUTQ, bytes(4)))
        return int(count)


class _Headers(list[tuple[bytes, bytes]]):
    """Headers of an answer: all but the one by which cheroot names itself."""

    def append(self, header: tuple[bytes, bytes]) -> None:
        if header[0] != b"Server":
            super().append(header)


def _guarded(app: WsgiApp) -> WsgiApp:
    """Answer for a callable that fails, and log it: what remains are failures of clients."""

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            return app(environ, start_response)
        except Exception:
            _log.exception("cannot answer %s", environ.get("PATH_INFO"))
            start_response(
                "500 Internal Server Error", [("Content-Length", "0")], sys.exc_info()
            )
            return []

    return guarded


@cache
def _server_class() -> Any:
    try:
        from cheroot import server, wsgi
    except ImportError as error:
        raise InvalidValue("serving needs cheroot: pip install 'pycloud[serve]'") from error

    class Request(server.HTTPRequest):
        def __init__(self, *args: Any, **named: Any) -> None:
            super().__init__(*args, **named)
            self.outheaders = _Headers()

    class Connection(server.HTTPConnection):
        RequestHandlerClass = Request

        def __init__(self, server: Any, accepted: socket.socket, *args: Any) -> None:
            patient = _Socket(accepted.family, accepted.type, accepted.proto, accepted.detach())
            patient.settimeout(server.timeout)
            super().__init__(server, patient, *args)
            self.hops = _Hops(patient)
            self.admitted = False

        def communicate(self) -> Any:
            try:
                self.socket.left_s = self.server.timeout
                self.hops.restore()
                return super().communicate()
            finally:
                self.server.end(self)

        def close(self) -> None:
            self.server.shares.leave(self)
            with contextlib.suppress(OSError):
                super().close()

    class Gateway(wsgi.Gateway_10):
        def get_environ(self) -> Any:
            environ = super().get_environ()
            environ["pycloud.set_ttl"] = self.req.conn.hops.limit
            return environ

    class Server(wsgi.Server):
        ConnectionClass = Connection
        max_request_header_size = _HEADER_BYTES
        max_request_body_size = _BODY_BYTES
        keep_alive_conn_limit = _CONNECTIONS
        nodelay = True
        shares: _Shares
        freebind = False

        def __init__(self, *args: Any, **named: Any) -> None:
            super().__init__(*args, **named)
            self.gateway = Gateway

        def bind(self, *args: Any) -> Any:
            return super().bind(*args)

        def process_conn(self, connection: Any) -> None:
            if not connection.admitted:
                self._admit(connection)
            elif self.shares.begin(connection):
                super().process_conn(connection)

        def _admit(self, connection: Any) -> None:
            connection.admitted = self.shares.admit(connection)
            if connection.admitted:
                self.put_conn(connection)  # waits for its first byte without a thread
            else:
                connection.close()

        def end(self, connection: Any) -> None:
            following = self.shares.end(connection)
            if following is not None:
                super().process_conn(following)

        def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
            _log.debug("%s", msg, exc_info=traceback)

    return Server
