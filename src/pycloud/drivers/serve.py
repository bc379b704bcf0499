"""`WsgiServer`: serves a WSGI callable over HTTP, in threads (extra `pycloud[serve]`: cheroot)."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from pycloud.errors import Cannot, InvalidValue

_HEADER_BYTES = 64 * 1024
_TIMEOUT_S = 10

_log = logging.getLogger("pycloud.http")

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class WsgiServer:
    """Serves `app` at `host`:`port` between `start()` and `stop()`, or as a context manager.

    Port 0 takes a free one. With `freebind` the address need not exist yet. A client that says
    nothing for 10 s is cut off, a body of more than `body_bytes` is refused. The callable finds
    `pycloud.set_ttl` in its environment: it sets the hop limit of its answer's packets.
    """

    def __init__(
        self,
        app: WsgiApp,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        threads: int = 8,
        freebind: bool = False,
        body_bytes: int = 1024**2,
    ) -> None:
        if not 0 <= port <= 65535:
            raise InvalidValue(f"a port is 0 to 65535, not {port}")
        self.host = host
        self.port = port
        self._app = app
        self._threads = threads
        self._freebind = freebind
        self._body_bytes = body_bytes
        self._server: Any = None
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Listen, and answer from now on. Raises `Cannot` if the address can't be had."""
        self._server = _make_server(
            self._app, self.host, self.port, self._threads, self._freebind, self._body_bytes
        )
        try:
            self._server.prepare()
        except OSError as error:
            raise Cannot(f"cannot listen at {self.host}:{self.port}: {error}") from error
        self.port = self._server.bind_addr[1]
        self._thread = threading.Thread(target=self._serve, name="pycloud-http", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop listening, after the answers that are under way."""
        if self._server is not None and self._thread is not None:
            self._server.stop()
            self._thread.join()
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

    def _serve(self) -> None:
        self._server.serve()


def _make_server(
    app: WsgiApp, host: str, port: int, threads: int, freebind: bool, body_bytes: int
) -> Any:
    try:
        from cheroot import wsgi

        from pycloud.drivers.http_gateway import Connection, Gateway
    except ImportError as error:
        raise InvalidValue("serving needs cheroot: pip install 'pycloud[serve]'") from error

    class Server(wsgi.Server):
        @staticmethod
        def bind_socket(sock: socket.socket, address: tuple[str, int]) -> socket.socket:
            if freebind:
                sock.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_FREEBIND", 15), 1)
            try:
                sock.bind(address)
            except OSError:
                sock.close()
                raise
            return sock

        def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
            _log.warning("%s", msg, exc_info=traceback)

    server = Server(
        (host, port), app, numthreads=threads, server_name="pycloud", timeout=_TIMEOUT_S
    )
    server.gateway = Gateway
    server.ConnectionClass = Connection
    server.max_request_header_size = _HEADER_BYTES
    server.max_request_body_size = body_bytes
    server.nodelay = True
    return server
