"""cheroot's server, with what it lacks: see `docs/decisions/0006-server.md`. Imported when one is made."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import socket
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cheroot import server as cheroot
from cheroot import wsgi
from cheroot.ssl.builtin import BuiltinSSLAdapter

from pycloud.drivers.bodies import RequestBody

_TTL_DEFAULT = 64
_SINGLE = frozenset(
    {
        *(b"Authorization", b"Content-Length", b"Content-Type", b"Host", b"Transfer-Encoding"),
        b"X-Amz-Date",
    }
)
"""Headers that decide what a request is."""
_SKIPPED_BYTES = 2 * 1024**2
"""So much of a body that nobody reads is read to its end, so that the connection can be kept."""

_HEADER_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

_log = logging.getLogger("pycloud.http")


class Server(wsgi.Server):
    """Listens at an address that need not exist yet, if it is to."""

    freebind = False

    def bind_socket(  # type: ignore[override]  # cheroot calls it as it calls a method
        self, sock: socket.socket, address: tuple[str, int]
    ) -> socket.socket:
        """Bind the socket, or close it. Raises `OSError`."""
        if self.freebind:
            sock.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_FREEBIND", 15), 1)
        try:
            sock.bind(address)
        except OSError:
            sock.close()
            raise
        return sock

    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
        """Write what cheroot has to say into our log."""
        _log.warning("%s", msg, exc_info=traceback)


class Gateway(wsgi.Gateway_10):
    """Calls the application."""

    def get_environ(self) -> Any:
        """Return the environment, with what `WsgiServer` says of it."""
        connection = self.req.conn.socket

        def set_ttl(hops: int) -> None:
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)

        set_ttl(_TTL_DEFAULT)  # what an earlier request of this connection may have changed
        return super().get_environ() | {
            "pycloud.set_ttl": set_ttl,
            "pycloud.sends_spans": True,
            "pycloud.headers": self.req.sent,
            "wsgi.input": io.BufferedReader(self.req.body),
            **_encryption_of(connection),
        }

    def write(self, chunk: Any) -> None:
        """Send bytes, or a span of a file."""
        if isinstance(chunk, bytes):
            super().write(chunk)
            return
        self.req.ensure_headers_sent()
        connection = self.req.conn.socket
        if isinstance(connection, ssl.SSLSocket):
            self.req.write(os.pread(chunk.file, chunk.size_bytes, chunk.offset))
        else:
            connection.sendfile(Descriptor(chunk.file), chunk.offset, chunk.size_bytes)

    def respond(self) -> None:
        """Call the application, and send what it gives. What breaks off is not made to look whole:
        the connection ends.
        """
        answer = self.req.server.wsgi_app(self.env, self.start_response)
        try:
            for chunk in answer:
                if chunk:
                    self.write(chunk)
            self.req.ensure_headers_sent()
        finally:
            if hasattr(answer, "close"):
                answer.close()


def _encryption_of(connection: socket.socket) -> dict[str, str]:
    """Return what the two sides agreed on, by Apache's names."""
    if not isinstance(connection, ssl.SSLSocket):
        return {}
    cipher = connection.cipher()
    return {
        "SSL_CIPHER": cipher[0] if cipher else "",
        "SSL_PROTOCOL": connection.version() or "",
    }


class Descriptor:
    """A file that is only a descriptor: `socket.sendfile` asks for no more."""

    def __init__(self, number: int) -> None:
        self._number = number

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._number


class Reader(cheroot.HeaderReader):
    """Reads headers whose names are names: with a space before the colon, two readers see two
    requests.
    """

    def _transform_key(self, key_name: bytes) -> bytes:
        if not _HEADER_NAME.fullmatch(key_name):
            raise ValueError("Illegal header name.")
        return bytes(key_name.title())


class Headers(dict[bytes, bytes]):
    """A request's headers as they are read. Raises `ValueError` for what another server on the way
    may have understood otherwise, and found other requests in it (RFC 9112, 6.3 and 11.2).
    """

    def __setitem__(self, name: bytes, value: bytes) -> None:
        if b"_" in name and name.replace(b"_", b"-") in _SINGLE:
            return  # in the environment it would be that header
        if name in self and name in _SINGLE:
            raise ValueError(f"two headers {name.decode('latin-1')}")
        super().__setitem__(name, value)


class Request(cheroot.HTTPRequest):
    """Reads the body as it comes, and asks for it (`100 Continue`) when it is read first."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.inheaders = Headers()
        self.header_reader = self._read_headers
        self.expects: bytes | None = None
        self.sent: dict[str, str] = {}
        self.body = RequestBody(self.conn.rfile, 0, most_bytes=0)

    def read_request_headers(self) -> bool:
        """Read them; return whether the request is one that can be answered."""
        is_good = bool(super().read_request_headers())
        if self.expects is not None:  # cheroot would have asked for the body already
            self.inheaders[b"Expect"] = self.expects
        return is_good

    def respond(self) -> None:
        """Call the application and send what it answers."""
        length = None if self.chunked_read else int(self.inheaders.get(b"Content-Length", 0))
        self.body = RequestBody(
            self.conn.rfile,
            length,
            most_bytes=self.server.max_request_body_size or sys.maxsize,
            on_first_read=self._continue,
        )
        self.server.gateway(self).respond()
        if self.ready:
            self.ensure_headers_sent()
        if self.chunked_write:
            self.conn.wfile.write(b"0\r\n\r\n")

    def send_headers(self) -> None:
        """Send them; the connection is kept only if the next request can be found on it."""
        if (self._is_waiting and not self.body.is_begun) or not self.body.skip(_SKIPPED_BYTES):
            self.close_connection = True
        super().send_headers()

    def _read_headers(self, stream: Any, headers: dict[bytes, bytes]) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = Reader()(stream, headers)
        self.sent = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in found.items()
        }
        length = found.get(b"Content-Length")
        if length is not None and not length.isdigit():
            raise ValueError("Malformed Content-Length Header.")
        if b"Transfer-Encoding" in found and (
            length is not None or self.response_protocol == "HTTP/1.0"
        ):
            raise ValueError("A body has a length, or from HTTP/1.1 on it comes in chunks.")
        self.expects = found.pop(b"Expect", None)
        return found

    @property
    def _is_waiting(self) -> bool:
        """Whether the client sends no body before it is asked to."""
        return (self.expects or b"").lower() == b"100-continue"

    def _continue(self) -> None:
        if self._is_waiting:
            self.conn.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")


class Connection(cheroot.HTTPConnection):
    """Shakes hands in the thread that answers, so that a slow client holds up nobody else."""

    RequestHandlerClass = Request

    def communicate(self) -> bool:
        """Answer one request; return whether the connection is kept."""
        if isinstance(self.socket, ssl.SSLSocket):
            try:
                self.socket.do_handshake()
            except OSError:
                return False
        return bool(super().communicate())


class Encryption(BuiltinSSLAdapter):
    """TLS with Python's own defaults; the handshake is the connection's."""

    def wrap(self, sock: socket.socket) -> tuple[ssl.SSLSocket, dict[str, str]]:
        """Return the socket for TLS, and what the application is told of it."""
        wrapped = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return wrapped, {"wsgi.url_scheme": "https", "HTTPS": "on"}


def make_server(
    app: Callable[..., Any],
    address: tuple[str, int],
    *,
    threads: int,
    timeout_s: int,
    header_bytes: int,
    body_bytes: int,
    freebind: bool,
    certificate: tuple[Path | str, Path | str] | None,
) -> Server:
    """Return a server that does not listen yet. Raises `OSError` for a certificate that can't be
    used with its key.
    """
    server = Server(address, app, numthreads=threads, server_name="pycloud", timeout=timeout_s)
    server.gateway = Gateway
    server.ConnectionClass = Connection
    server.max_request_header_size = header_bytes
    server.max_request_body_size = body_bytes
    server.nodelay = True
    server.freebind = freebind
    if certificate is not None:
        server.ssl_adapter = Encryption(*map(str, certificate))
    return server
