"""What is signed, who signed it, and why a signature is refused: the records of signing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import attrs

from pycloud.errors import Refused

EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

UNSIGNED = "UNSIGNED-PAYLOAD"
SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_CHUNKS_AND_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_CHUNKS_AND_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
"""The words of `x-amz-content-sha256`, besides the SHA-256 of the whole body."""

SecretOf = Callable[[str], str | None]
"""Gives the secret of an access key, or None where there is no such key."""


class SignatureError(Refused):
    """The request is not what its signer signed, or not any more; `code` is AWS's word for it."""

    def __init__(self, code: str, message: str) -> None:
        """Say the `code` that goes on the wire, and what was wrong."""
        super().__init__(message)
        self.code = code
        self.message = message


@attrs.frozen
class SignedRequest:
    """A request as it was sent, nothing decoded."""

    method: str
    path: str
    """With every prefix; bytes beyond ASCII read as Latin-1, as in PEP 3333."""
    query: str
    headers: Mapping[str, str]
    """By lower-case name; several values are joined by a comma, bytes read as Latin-1."""
    host: str
    """The Host header, with its port if it was sent."""
    form: tuple[tuple[str, str], ...] = ()
    """The decoded parameters of a body that is `application/x-www-form-urlencoded`."""
    body_sha256: str | Callable[[], str] | None = EMPTY_SHA256
    """64 hexadecimal digits, or what gives them. None if the body is yet to be read (S3 only):
    then it must be read through `open_payload`, which checks it.
    """
    bucket: str | None = None
    """The bucket that the host names (virtual-host style): V2 signs it as part of the path."""

    def body_digest(self) -> str | None:
        """Return `body_sha256`, worked out if need be."""
        return self.body_sha256() if callable(self.body_sha256) else self.body_sha256


@attrs.frozen
class Authenticated:
    """Who signed a request, and what its body is verified with."""

    access_key_id: str
    how: Literal["header", "query"]
    version: Literal[2, 4]
    payload: str
    """`UNSIGNED-PAYLOAD`, a `STREAMING-…` word, or the SHA-256 that the body must have."""
    seed_signature: str
    """The signature of the head: the first chunk's signature is chained to it."""
    timestamp: str = ""
    """`20130524T000000Z`; V4 only, like the scope and the key."""
    scope: str = ""
    """`20130524/us-east-1/s3/aws4_request`, as the client chose it."""
    signing_key: bytes = attrs.field(default=b"", repr=False)
