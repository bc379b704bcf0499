"""cheroot's server, with what it lacks: see `docs/decisions/0006-server.md`. Imported when one is made."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import select
import socket
import ssl
import sys
import time
from collections.abc import Callable
from email.utils import formatdate
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from cheroot import server as cheroot
from cheroot import wsgi
from cheroot.ssl.builtin import BuiltinSSLAdapter

from pycloud.drivers.bodies import RequestBody
from pycloud.drivers.heads import Headers, read_lines, spelt
from pycloud.drivers.streams import make_stream

_TTL_DEFAULT = 64
_SKIPPED_BYTES = 2 * 1024**2
"""So much of a body that nobody reads is read to its end, so that the connection can be kept."""

_SPAN_BYTES = 64 * 1024
"""A span of a file up to this is read, to leave together with the answer's head."""
_MORE_MS = 1
"""A client that asks again so soon is answered by the same thread, if nobody waits for one: handing
the connection to the thread that watches all of them, and back, costs as much as a small answer.
"""

_PLAIN_LINE = re.compile(
    rb"(GET|HEAD|PUT|POST|DELETE) (/(?:[\w.~!$&'()*+,;=:@-][\w.~!$&'()*+,;=:@/-]*)?)"
    rb"(?:\?([\w.~!$&'()*+,;=:@/?%-]*))? HTTP/1\.1\r\n"
)
"""The first line of nearly all requests; cheroot's own reader, slow and exact, takes the others."""

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
        request = self.req
        request.conn.reset_ttl()
        return {
            **request.conn.environ,
            **request.environ,
            "PATH_INFO": request.path.decode("latin-1"),
            "QUERY_STRING": request.qs.decode("latin-1"),
            "REQUEST_METHOD": request.method.decode("latin-1"),
            "REQUEST_URI": request.uri.decode("latin-1"),
            "SERVER_PROTOCOL": request.request_protocol.decode("latin-1"),
            "pycloud.headers": request.sent,
            "wsgi.input": io.BufferedReader(request.body),
            "wsgi.input_terminated": request.chunked_read,
        }

    def write(self, chunk: Any) -> None:
        """Send bytes, or a span of a file."""
        if isinstance(chunk, bytes):
            super().write(chunk)
            return
        self.req.ensure_headers_sent()
        connection = self.req.conn.socket
        if chunk.size_bytes <= _SPAN_BYTES or isinstance(connection, ssl.SSLSocket):
            piece = os.pread(chunk.file, chunk.size_bytes, chunk.offset)
            self.req.write(piece)
            sent = len(piece)
        else:
            self.req.conn.wfile.flush()
            sent = connection.sendfile(Descriptor(chunk.file), chunk.offset, chunk.size_bytes)
        if sent < chunk.size_bytes:  # the next answer would be taken for the rest of this one
            raise OSError(f"a file was to have {chunk.size_bytes} bytes more, and has {sent}")

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
            self.req.conn.wfile.flush()
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


class Request(cheroot.HTTPRequest):
    """Reads the body as it comes, and asks for it (`100 Continue`) when it is read first."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.inheaders = Headers()
        self.expects: bytes | None = None
        self.sent: dict[str, str] = {}
        self.environ: dict[str, str] = {}
        self.body: RequestBody

    def read_request_line(self) -> bool:
        """Read it; return whether the request is one that can be answered."""
        plain = _PLAIN_LINE.match(self.conn.rfile.peek())
        if plain is None:
            return bool(super().read_request_line())
        self.rfile.read(plain.end())
        self.started_request = True
        self.method, self.path, query = plain.groups()
        self.qs = query or b""
        self.uri = plain[0].split(b" ", 2)[1]
        self.request_protocol, self.response_protocol = b"HTTP/1.1", "HTTP/1.1"
        return True

    def read_request_headers(self) -> bool:
        """Read them; return whether the request is one that can be answered."""
        is_good = bool(super().read_request_headers())
        if self.expects is not None:  # cheroot would have asked for the body already
            self.inheaders[b"Expect"] = self.expects
        return is_good

    def header_reader(self, stream: Any, headers: Headers) -> Headers:
        """Read the headers. Raises `ValueError`, and `MaxSizeExceeded`."""
        read_lines(self.conn.rfile.readline, stream.maxlen - stream.bytes_read, headers)
        for name, value in headers.items():
            _, lower, variable = spelt(name)
            self.sent[lower] = self.environ[variable] = value.decode("latin-1")
        length = headers.get(b"Content-Length")
        if length is not None and not length.isdigit():
            raise ValueError("Malformed Content-Length Header.")
        coding = headers.get(b"Transfer-Encoding")
        if coding is not None and (
            length is not None or self.response_protocol == "HTTP/1.0" or not coding.strip(b", \t")
        ):
            raise ValueError("A body has a length, or from HTTP/1.1 on it comes in chunks.")
        self.expects = headers.pop(b"Expect", None)
        return headers

    def respond(self) -> None:
        """Call the application and send what it answers."""
        length = None if self.chunked_read else int(self.inheaders.get(b"Content-Length", 0))
        self.body = RequestBody(
            self.conn.rfile,
            length,
            most_bytes=self.server.max_request_body_size or sys.maxsize,
            on_first_read=self._continue if self._is_waiting else _nothing,
        )
        self.server.gateway(self).respond()
        if self.chunked_write:
            self.conn.wfile.write(b"0\r\n\r\n")

    def send_headers(self) -> None:
        """Send them; the connection is kept only if the next request can be found on it."""
        if (self._is_waiting and not self.body.is_begun) or not self.body.skip(_SKIPPED_BYTES):
            self.close_connection = True
        if not any(name.lower() == b"date" for name, _ in self.outheaders):
            self.outheaders.append((b"Date", _date(int(time.time()))))
        self.conn.wfile.hold()
        super().send_headers()

    @property
    def _is_waiting(self) -> bool:
        """Whether the client sends no body before it is asked to."""
        return (self.expects or b"").lower() == b"100-continue"

    def _continue(self) -> None:
        self.conn.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def _nothing() -> None:
    """Stands where a method would make a cycle, which keeps a request until it is looked for."""


@lru_cache(1)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()


class Connection(cheroot.HTTPConnection):
    """Shakes hands in the thread that answers, so that a slow client holds up nobody else."""

    RequestHandlerClass = Request

    def __init__(self, server: Server, sock: socket.socket, makefile: Any = None) -> None:
        super().__init__(server, sock, make_stream)
        self._has_ttl = False
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    @cached_property
    def environ(self) -> dict[str, Any]:
        """What is the same for all its requests."""
        return {
            "ACTUAL_SERVER_PROTOCOL": self.server.protocol,
            "REMOTE_ADDR": self.remote_addr or "",
            "REMOTE_PORT": str(self.remote_port or ""),
            "SCRIPT_NAME": "",
            "SERVER_NAME": self.server.server_name,
            "SERVER_PORT": str(self.server.bind_addr[1]),
            "SERVER_SOFTWARE": self.server.software,
            "pycloud.sends_spans": True,
            "pycloud.set_ttl": self.set_ttl,
            "wsgi.errors": sys.stderr,
            "wsgi.multiprocess": False,
            "wsgi.multithread": True,
            "wsgi.run_once": False,
            "wsgi.url_scheme": "http",
            "wsgi.version": (1, 0),
            **self.ssl_env,
            **_encryption_of(self.socket),
        }

    def set_ttl(self, hops: int) -> None:
        """Set the hop limit of what is sent until the next request."""
        self._has_ttl = True
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)

    def reset_ttl(self) -> None:
        """Take back what an earlier request may have set."""
        if self._has_ttl:
            self.set_ttl(_TTL_DEFAULT)
            self._has_ttl = False

    def communicate(self) -> bool:
        """Answer a request, and those that follow it at once; return whether the connection is
        kept.
        """
        if isinstance(self.socket, ssl.SSLSocket):
            try:
                self.socket.do_handshake()
            except OSError:
                return False
        while super().communicate():
            if not self._goes_on():
                return True
        return False

    def _goes_on(self) -> bool:
        """Return whether the next request is here, or in a moment, and nobody waits for a thread."""
        is_free = not self.server.requests.qsize
        return is_free and (self.rfile.has_data() or bool(self._poll.poll(_MORE_MS)))


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
