"""The body of a request, as a stream that ends where the body ends, and not before."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Final

from pycloud import limits
from pycloud.aws.chunks import ReadableLines
from pycloud.aws.errors import AWSError
from pycloud.aws.payloads import Readable, open_payload
from pycloud.aws.requests import UNSIGNED, Authenticated
from pycloud.s3.checksums import check_document
from pycloud.s3.request import S3Request

_MD5_BYTES: Final = 16
_PIECE_BYTES: Final = 64 * 1024


class Body:
    """The body as sent: raises `AWSError` if it breaks off, or ends before the length that was
    announced.
    """

    def __init__(self, stream: ReadableLines, length_bytes: int | None) -> None:
        self._stream = stream
        self._missing = length_bytes

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, none at the end."""
        if size < 0:
            return b"".join(iter(lambda: self.read(_PIECE_BYTES), b""))
        return self._counted(self._stream.read, size)

    def readline(self, size: int, /) -> bytes:
        """Return bytes up to the end of the line, at most `size`."""
        return self._counted(self._stream.readline, size)

    def _counted(self, read: Callable[[int], bytes], size: int) -> bytes:
        wanted = size if self._missing is None else min(size, self._missing)
        if not wanted:
            return b""
        try:
            found = read(wanted)
        except TimeoutError:
            raise AWSError(
                "RequestTimeout",
                "Your socket connection to the server was not read from or written to within the "
                "timeout period.",
            ) from None
        except (OSError, EOFError, ValueError) as error:
            raise AWSError("IncompleteBody", f"The body broke off: {error}") from None
        if self._missing is not None:
            if not found:
                raise AWSError(
                    "IncompleteBody",
                    "You did not provide the number of bytes specified by the Content-Length HTTP "
                    f"header: {self._missing} are missing",
                )
            self._missing -= len(found)
        return found


def length_of(request: S3Request) -> int | None:
    """Return the length of the body as sent, None if it is not announced. Raises `AWSError`."""
    declared = request.headers.get("content-length")
    if request.environ.get("wsgi.input_terminated"):
        return None
    if declared is None:
        return 0
    if not (declared.isascii() and declared.isdigit() and len(declared) < 19):
        raise AWSError("InvalidArgument", f"The Content-Length {declared[:40]!r} is not a number")
    return int(declared)


def open_body(request: S3Request, authenticated: Authenticated | None) -> Readable:
    """Return the decoded body, verified as far as it is signed. Raises `AWSError` or
    `SignatureError`, at once or when read.
    """
    length = length_of(request)
    stream = Body(request.environ["wsgi.input"], length)
    if length is None and authenticated is not None and len(authenticated.payload) == 64:
        raise AWSError("MissingContentLength", "You must provide the Content-Length HTTP header.")
    return open_payload(stream, authenticated, _payload_headers(request), length or 0)


def _payload_headers(request: S3Request) -> Mapping[str, str]:
    """Return what is said of the body; a browser that signs nothing says nothing."""
    headers = request.headers
    return headers if "x-amz-content-sha256" in headers else {"x-amz-content-sha256": UNSIGNED}


def read_document(request: S3Request, stream: Readable, *, has_sum: bool) -> bytes:
    """Return a body that is small: XML, or JSON. Raises `AWSError` if it is not, or not what its
    MD5 and, if `has_sum`, its other checksum say.
    """
    blocks, left = [], limits.S3_DOCUMENT_BYTES
    while block := stream.read(_PIECE_BYTES):
        left -= len(block)
        if left < 0:
            raise AWSError("MaxMessageLengthExceeded", "Your request was too big.")
        blocks.append(block)
    body = b"".join(blocks)
    expected = content_md5(request.headers)
    if expected is not None and hashlib.md5(body, usedforsecurity=False).digest() != expected:
        raise AWSError("BadDigest", "The Content-MD5 you specified did not match what we received.")
    if has_sum:
        check_document(body, {**request.headers, **getattr(stream, "trailers", {})})
    return body


def content_md5(headers: Mapping[str, str]) -> bytes | None:
    """Return what `Content-MD5` says. Raises `AWSError` if it is no MD5."""
    text = headers.get("content-md5")
    if text is None:
        return None
    try:
        digest = b64decode(text, validate=True)
    except ValueError:
        digest = b""
    if len(digest) != _MD5_BYTES:
        raise AWSError("InvalidDigest", "The Content-MD5 you specified is not valid.")
    return digest
