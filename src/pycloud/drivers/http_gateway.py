"""How cheroot reads requests and sends answers for us: strictly, without holding a body in memory.

Imported by `serve` when it is needed: cheroot is an extra.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import socket
from typing import Any

from cheroot import wsgi
from cheroot.server import HeaderReader, HTTPConnection, HTTPRequest

from pycloud.drivers.http_bodies import ChunkedBody, discard

_TTL_DEFAULT = 64
_CHUNKED_BYTES = 64 * 1024
_HEADER_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ONCE = (b"Content-Length", b"Host", b"Authorization")


class Headers(HeaderReader):
    """Reads headers none of which is so written that two readers could see two requests."""

    def __init__(self) -> None:
        self._single: set[bytes] = set()

    def __call__(self, rfile: Any, hdict: Any = None) -> Any:
        """Read the headers of one request. Raises `ValueError`."""
        return HeaderReader.__call__(Headers(), rfile, hdict)

    def _transform_key(self, key_name: bytes) -> bytes:
        if not _HEADER_NAME.fullmatch(key_name):
            raise ValueError("Illegal header name.")
        key = bytes(key_name.title())
        if key in self._single:
            raise ValueError(f"{key.decode()} stands twice.")
        if key in _ONCE:
            self._single.add(key)
        return key


class Request(HTTPRequest):
    """A request that says once, and plainly, how long it is."""

    header_reader = Headers()

    def read_request_headers(self) -> bool:
        """Return whether they are sound; if not, say so to the client."""
        if not HTTPRequest.read_request_headers(self):
            return False
        length = self.inheaders.get(b"Content-Length")
        if length is not None and (not length.isdigit() or self.chunked_read):
            self.simple_response("400 Bad Request", "Malformed Content-Length Header.")
            return False
        return True

    def send_headers(self) -> None:
        """Send the head of the answer, after what is left of the body was read."""
        if self.chunked_read:
            self.close_connection = True  # perhaps not all chunks were read
        else:
            discard(self.rfile)
        HTTPRequest.send_headers(self)


class Connection(HTTPConnection):
    """A connection of such requests."""

    RequestHandlerClass = Request


class Gateway(wsgi.Gateway_10):
    """WSGI with what `WsgiServer` says of it."""

    def get_environ(self) -> Any:
        """Return the environment of the request."""
        environ = wsgi.Gateway_10.get_environ(self)
        connection = self.req.conn.socket

        def set_ttl(hops: int) -> None:
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)

        set_ttl(_TTL_DEFAULT)  # what an earlier request of this connection may have changed
        if self.req.chunked_read:
            # cheroot's own reader holds a whole chunk in memory.
            body = ChunkedBody(self.req.conn.rfile)
            environ["wsgi.input"] = io.BufferedReader(body, _CHUNKED_BYTES)
        return environ | {
            "pycloud.set_ttl": set_ttl,
            "pycloud.sends_spans": True,
            "pycloud.headers": {
                name.decode("latin-1").lower(): value.decode("latin-1")
                for name, value in self.req.inheaders.items()
            },
        }

    def write(self, chunk: Any) -> None:
        """Send bytes, or a span of a file."""
        if isinstance(chunk, bytes):
            wsgi.Gateway_10.write(self, chunk)
            return
        self.req.ensure_headers_sent()
        if self.req.server.ssl_adapter is None:
            self.req.conn.socket.sendfile(_Descriptor(chunk.file), chunk.offset, chunk.size_bytes)
        else:
            self.req.write(os.pread(chunk.file, chunk.size_bytes, chunk.offset))

    def respond(self) -> None:
        """Call the application, and send what it gives."""
        response = self.req.server.wsgi_app(self.env, self.start_response)
        try:
            for chunk in response:
                self.write(chunk)
            self.req.ensure_headers_sent()
        finally:
            if hasattr(response, "close"):
                response.close()


class _Descriptor:
    """A file that is only a descriptor: `socket.sendfile` asks for no more."""

    def __init__(self, number: int) -> None:
        self._number = number

    def fileno(self) -> int:
        return self._number
