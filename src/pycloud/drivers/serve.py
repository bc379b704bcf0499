"""`WsgiServer`: serves a WSGI callable over HTTP or HTTPS, in threads (extra `pycloud[serve]`: cheroot)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pycloud.errors import Cannot, InvalidValue

_HEADER_BYTES = 64 * 1024
_TIMEOUT_S = 10
# More than `limits.QUERY_BODY_BYTES`: what is too large for EC2 is refused in EC2's own words.
_BODY_BYTES = 2 * 1024**2

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class WsgiServer:
    """Serves `app` at `host`:`port` between `start()` and `stop()`, or as a context manager.

    Port 0 takes a free one. With `freebind` the address need not exist yet. With `certificate`, a
    PEM file of the certificate and those that vouch for it, and `key`, a PEM file, it speaks HTTPS
    alone. A client that says nothing for 10 s is cut off, a body of more than `body_bytes` is
    refused (0: none is). A body is read as it comes, and a client that waits for `100 Continue` gets that when
    the callable first reads. The callable finds in its environment `pycloud.set_ttl`, which sets
    the hop limit of its answer's packets; `pycloud.headers`, the headers by lower-case names as they
    were sent; and `pycloud.sends_spans`: what it gives may also be spans of files (`file`, a
    descriptor, `offset` and `size_bytes`), which are sent without being read. With HTTPS there are
    `SSL_PROTOCOL` and `SSL_CIPHER` too. Raises `InvalidValue`.

    >>> from urllib.request import urlopen
    >>> def hello(environ, start_response):
    ...     start_response("200 OK", [("Content-Type", "text/plain")])
    ...     return [b"hello"]
    >>> with WsgiServer(hello) as server:
    ...     urlopen(f"http://127.0.0.1:{server.port}").read()
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
        body_bytes: int = _BODY_BYTES,
        certificate: Path | str | None = None,
        key: Path | str | None = None,
    ) -> None:
        if not 0 <= port <= 65535:
            raise InvalidValue(f"a port is 0 to 65535, not {port}")
        if (certificate is None) != (key is None):
            raise InvalidValue("give the certificate and its key, or neither")
        self.host = host
        self.port = port
        self._app = app
        self._threads = threads
        self._freebind = freebind
        self._body_bytes = body_bytes
        self._certificate = None if certificate is None or key is None else (certificate, key)
        self._server: Any = None
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Listen, and answer from now on. Raises `Cannot` if the address can't be had, or the
        certificate can't be used.
        """
        self._server = self._make()
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

    def _make(self) -> Any:
        try:
            from pycloud.drivers.http_server import make_server
        except ImportError as error:
            raise InvalidValue("serving needs cheroot: pip install 'pycloud[serve]'") from error
        try:
            return make_server(
                self._app,
                (self.host, self.port),
                threads=self._threads,
                timeout_s=_TIMEOUT_S,
                header_bytes=_HEADER_BYTES,
                body_bytes=self._body_bytes,
                freebind=self._freebind,
                certificate=self._certificate,
            )
        except OSError as error:
            names = " and ".join(map(str, self._certificate or ()))
            raise Cannot(f"cannot serve HTTPS with {names}: {error}") from error
