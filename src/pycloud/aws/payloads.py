"""The body of a signed request: what `x-amz-content-sha256` says of it, and a reader that holds it
to that.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Protocol

from pycloud.aws.chunks import MODES, ChunkedBody, ReadableLines
from pycloud.aws.keys import same
from pycloud.aws.requests import (
    SIGNED_CHUNKS,
    SIGNED_CHUNKS_AND_TRAILER,
    UNSIGNED,
    Authenticated,
    SignatureError,
    SignedRequest,
)
from pycloud.aws.services import SigningRules

_HEADER = "x-amz-content-sha256"
_SHA256 = re.compile("[0-9a-fA-F]{64}")
_DIGITS = re.compile("[0-9]{1,18}")


class Readable(Protocol):
    """What can be read in pieces to its end."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, none at the end."""
        ...


class HashedBody:
    """A file-like reader that gives out the last byte only when the SHA-256 of all is right."""

    def __init__(self, stream: Readable, sha256: str, length_bytes: int) -> None:
        self._stream = stream
        self._expected = sha256.lower()
        self._hash = hashlib.sha256()
        self._missing = length_bytes
        self._ended = False

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, none at the end; all that are left if it is negative.
        Raises `SignatureError`.
        """
        if size < 0:
            return b"".join(iter(lambda: self.read(64 * 1024), b""))
        if self._ended:
            return b""
        wanted = min(size, self._missing)
        found = self._stream.read(wanted) if wanted else b""
        if wanted and not found:
            raise SignatureError("IncompleteBody", f"the body ends {self._missing} bytes early")
        self._hash.update(found)
        self._missing -= len(found)
        if not self._missing:
            _check_digest(self._expected, self._hash.hexdigest())
            self._ended = True
        return found


def open_payload(
    stream: ReadableLines,
    authenticated: Authenticated | None,
    headers: Mapping[str, str],
    length_bytes: int,
) -> Readable:
    """Return the body's decoded bytes, in a reader that verifies them as far as they are signed.

    `length_bytes` is the body's length as sent. A reader that is a `ChunkedBody` has `trailers` when
    it was read. Raises `SignatureError`, at once or when read.
    """
    mode = declared_payload(headers, UNSIGNED) if authenticated is None else authenticated.payload
    if mode in MODES:
        return ChunkedBody(stream, authenticated, mode, _decoded_length(headers))
    return stream if mode == UNSIGNED else HashedBody(stream, mode, length_bytes)


def declared_payload(headers: Mapping[str, str], default: str | None = None) -> str:
    """Return what `x-amz-content-sha256` says. Raises `SignatureError` if that is nothing."""
    word = headers.get(_HEADER, default)
    if word is None:
        raise SignatureError("InvalidRequest", f"the request has no header {_HEADER}")
    if word != UNSIGNED and word not in MODES and _SHA256.fullmatch(word) is None:
        raise SignatureError(
            "InvalidArgument",
            f"{_HEADER} is {UNSIGNED}, one of {', '.join(MODES)}, or a SHA-256, not {word!r}",
        )
    return word


def check_payload(request: SignedRequest, found: Authenticated, rules: SigningRules) -> None:
    """Raise `SignatureError` if the body is known and not the one that was signed."""
    signed_chunks = found.payload in (SIGNED_CHUNKS, SIGNED_CHUNKS_AND_TRAILER)
    if signed_chunks and (found.version, found.how) != (4, "header"):
        raise SignatureError(
            "InvalidArgument",
            "signed chunks need a head signed with V4 in the Authorization header",
        )
    if rules.signs_body or not _SHA256.fullmatch(found.payload):
        return
    digest = request.body_digest()
    if digest is not None:
        _check_digest(found.payload.lower(), digest)


def _check_digest(expected: str, actual: str) -> None:
    if not same(expected, actual):
        raise SignatureError(
            "XAmzContentSHA256Mismatch", f"the body's SHA-256 is {actual}, not {expected}"
        )


def _decoded_length(headers: Mapping[str, str]) -> int:
    text = headers.get("x-amz-decoded-content-length", "")
    if _DIGITS.fullmatch(text) is None:
        raise SignatureError(
            "MissingContentLength",
            f"a body in chunks has x-amz-decoded-content-length, in bytes, not {text!r}",
        )
    return int(text)
