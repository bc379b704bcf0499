"""`ChunkedBody`: the decoded bytes of an `aws-chunked` body, each verified before it is given out.

Sources: "Transferring Payload in Multiple Chunks (Chunked Upload)" and "Including Trailing Headers"
(S3 API, Signature Version 4). Streaming paths that forgot a signature are how other stores were
written to by strangers: so the seed, every chunk, the final empty one and the trailer are checked
here, in one place, and the last byte leaves only when all of them were right.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from io import BytesIO
from typing import Final, Protocol

from pycloud import limits
from pycloud.aws.keys import same, sign_v4
from pycloud.aws.requests import (
    EMPTY_SHA256,
    SIGNED_CHUNKS,
    SIGNED_CHUNKS_AND_TRAILER,
    UNSIGNED_CHUNKS_AND_TRAILER,
    Authenticated,
    SignatureError,
)
from pycloud.errors import InvalidValue

MODES: Final = (SIGNED_CHUNKS, SIGNED_CHUNKS_AND_TRAILER, UNSIGNED_CHUNKS_AND_TRAILER)

_SIGNED_LINE = re.compile(rb"([0-9a-fA-F]{1,16});chunk-signature=([0-9a-f]{64})\r\n")
_UNSIGNED_LINE = re.compile(rb"([0-9a-fA-F]{1,16})\r\n")
_TRAILER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\r\n\0]*)\r?\n")
_TRAILER_SIGNATURE = "x-amz-trailer-signature"
_PIECE_BYTES = 64 * 1024


class ReadableLines(Protocol):
    """A body as servers give it (`wsgi.input`): it ends where the body ends."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, none at the end."""
        ...

    def readline(self, size: int, /) -> bytes:
        """Return bytes up to the end of the line, at most `size`."""
        ...


class ChunkedBody:
    """A file-like reader of the decoded bytes. `mode` is the word in `x-amz-content-sha256`,
    `decoded_length` the number in `x-amz-decoded-content-length`.

    Holds one signed chunk at most, and passes unsigned ones on as they come.
    """

    def __init__(
        self,
        stream: ReadableLines,
        authenticated: Authenticated | None,
        mode: str,
        decoded_length: int,
    ) -> None:
        if mode not in MODES:
            raise InvalidValue(f"a body in chunks is one of {', '.join(MODES)}, not {mode!r}")
        self._stream = stream
        self._chain = None if mode == UNSIGNED_CHUNKS_AND_TRAILER else Chain(authenticated)
        self._has_trailer = mode != SIGNED_CHUNKS
        self._missing = decoded_length
        self._chunk_left = 0
        self._ready = BytesIO()
        self._ended = False
        self._refusal: SignatureError | None = None
        self._trailers: dict[str, str] = {}

    @property
    def trailers(self) -> Mapping[str, str]:
        """The headers after the body, by lower-case name; empty until the body was read."""
        return self._trailers if self._ended else {}

    def read(self, size: int | None = -1) -> bytes:
        """Return up to `size` decoded bytes, none at the end; all that are left if it is negative.
        Raises `SignatureError`, and the same one ever after.
        """
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(_PIECE_BYTES), b""))
        given = self._ready.read(size)
        if size and not given:
            self._fill()
            given = self._ready.read(size)
        return given

    def _fill(self) -> None:
        if self._refusal is not None:
            raise self._refusal
        try:
            if not self._ended:
                self._ready = BytesIO(self._next_bytes())
        except SignatureError as refusal:
            self._refusal = refusal
            raise

    def _next_bytes(self) -> bytes:
        """Return a signed chunk, or a piece of an unsigned one; none at the end."""
        found = b""
        if self._missing:
            found = self._piece() if self._chain is None else self._signed_chunk(self._chain)
            self._missing -= len(found)
        if not self._missing:
            self._end()
        return found

    def _signed_chunk(self, chain: Chain) -> bytes:
        size, signature = self._read_line()
        if size > limits.CHUNK_BYTES:
            raise SignatureError(
                "InvalidChunkSizeError",
                f"a signed chunk has at most {limits.CHUNK_BYTES} bytes, not {size}",
            )
        self._check_fits(size)
        chunk = self._read_exactly(size)
        chain.check_chunk(chunk, signature)
        self._read_crlf()
        return chunk

    def _piece(self) -> bytes:
        if not self._chunk_left:
            self._chunk_left, _ = self._read_line()
            self._check_fits(self._chunk_left)
        piece = self._stream.read(min(self._chunk_left, _PIECE_BYTES))
        if not piece:
            raise _incomplete("it ends within a chunk")
        self._chunk_left -= len(piece)
        if not self._chunk_left:
            self._read_crlf()
        return piece

    def _end(self) -> None:
        """Read the final empty chunk and what follows it."""
        size, signature = self._read_line()
        if size:
            raise _incomplete("it is longer than x-amz-decoded-content-length says")
        if self._chain is not None:
            self._chain.check_chunk(b"", signature)
        if self._has_trailer:
            self._trailers = read_trailers(self._stream, self._chain)
        else:
            self._read_crlf()
        self._ended = True

    def _check_fits(self, size: int) -> None:
        if not size:
            raise _incomplete("it is shorter than x-amz-decoded-content-length says")
        if size > self._missing:
            raise _incomplete("it is longer than x-amz-decoded-content-length says")

    def _read_line(self) -> tuple[int, str]:
        line = self._stream.readline(limits.CHUNK_LINE_BYTES)
        form = _UNSIGNED_LINE if self._chain is None else _SIGNED_LINE
        found = form.fullmatch(line)
        if found is None:
            raise _incomplete(f"a chunk begins with its size, not with {line[:100]!r}")
        return int(found[1], 16), "" if self._chain is None else found[2].decode()

    def _read_exactly(self, size: int) -> bytes:
        parts = []
        while size:
            part = self._stream.read(size)
            if not part:
                raise _incomplete("it ends within a chunk")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _read_crlf(self) -> None:
        if self._stream.readline(2) != b"\r\n":
            raise _incomplete("a chunk is not followed by CRLF")


class Chain:
    """The signatures of a body: each is made over the one before it, the head's being the first."""

    def __init__(self, authenticated: Authenticated | None) -> None:
        found = authenticated
        if found is None or found.version != 4 or found.how != "header":
            raise SignatureError(
                "AccessDenied",
                "signed chunks need a head signed with V4 in the Authorization header",
            )
        self._key = found.signing_key
        self._context = f"{found.timestamp}\n{found.scope}\n"
        self._previous = found.seed_signature

    def check_chunk(self, chunk: bytes, signature: str) -> None:
        """Raise `SignatureError` unless `signature` is that of this chunk in this place."""
        self._check("AWS4-HMAC-SHA256-PAYLOAD", f"{EMPTY_SHA256}\n", chunk, signature)

    def check_trailer(self, trailer: bytes, signature: str) -> None:
        """Raise `SignatureError` unless `signature` is that of the lines of this trailer."""
        self._check("AWS4-HMAC-SHA256-TRAILER", "", trailer, signature)

    def _check(self, algorithm: str, between: str, signed: bytes, signature: str) -> None:
        digest = hashlib.sha256(signed).hexdigest()
        message = f"{algorithm}\n{self._context}{self._previous}\n{between}{digest}"
        if not same(sign_v4(self._key, message.encode("utf-8", "replace")), signature):
            raise SignatureError(
                "SignatureDoesNotMatch", "the signature of a part of the body does not match"
            )
        self._previous = signature


def read_trailers(stream: ReadableLines, chain: Chain | None) -> dict[str, str]:
    """Read the headers after the final chunk, verified if there is a `chain`. Raises
    `SignatureError`.
    """
    found: dict[str, str] = {}
    left = limits.TRAILER_BYTES
    while True:
        line = stream.readline(left)
        left -= len(line)
        if line in (b"\r\n", b"\n"):
            # minio-go puts an empty line before the signature.
            if chain is None:
                return found
            continue
        name, value = _read_trailer(line)
        if name == _TRAILER_SIGNATURE and chain is not None:
            signed = "".join(f"{name}:{value}\n" for name, value in found.items())
            chain.check_trailer(signed.encode("latin-1"), value)
            _read_end(stream)
            return found
        if name in found:
            raise _malformed_trailer(f"{name} stands twice")
        found[name] = value


def _read_trailer(line: bytes) -> tuple[str, str]:
    found = _TRAILER.fullmatch(line)
    if found is None:
        raise _malformed_trailer(f"a line is <name>:<value>, not {line[:100]!r}")
    return found[1].decode().lower(), found[2].decode("latin-1").strip(" \t")


def _read_end(stream: ReadableLines) -> None:
    # Some clients leave out the last empty line.
    if stream.readline(2) not in (b"\r\n", b""):
        raise _malformed_trailer("something follows its signature")


def _malformed_trailer(what: str) -> SignatureError:
    return SignatureError("MalformedTrailerError", f"the trailer is malformed: {what}")


def _incomplete(what: str) -> SignatureError:
    return SignatureError("IncompleteBody", f"the body is not what its head says: {what}")
