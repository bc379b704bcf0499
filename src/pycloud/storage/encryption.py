"""How objects are encrypted: in frames that are each encrypted alone, so that a range can be read.

Every blob has a key of its own (AES-256-GCM, as cryptography has it), which is kept beside its row:
sealed with the store's seal, or with the key that a customer gave and nobody keeps. So the nonces,
the numbers of the frames, are never used twice with one key.
"""

from __future__ import annotations

import json
import secrets
from typing import Protocol, Self

import attrs
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pycloud import limits
from pycloud.errors import Damaged, InvalidValue, WrongKey, WrongState

BY_STORE = "AES256"
BY_CUSTOMER = "customer"

_KEY_BYTES = 32
_NONCE_BYTES = 12
_TAG_BYTES = 16
_LABEL = "the key of an object"
_FRAME = limits.FRAME_BYTES
_STORED_FRAME = _FRAME + _TAG_BYTES


class Sealing(Protocol):
    """What seals the keys of objects: `pycloud.Seal` is one."""

    def close(self, secret: bytes, label: str) -> bytes:
        """Return the secret sealed."""
        ...

    def open(self, sealed: bytes, label: str) -> bytes:
        """Return what was sealed. Raises `StateError` if that was done with another key."""
        ...


@attrs.frozen
class DefaultEncryption:
    """How what is written to a bucket is encrypted unless its writer says so: the setting
    `encryption`.
    """

    algorithm: str = BY_STORE

    @classmethod
    def from_json(cls, document: str) -> Self:
        """Read what `to_json` wrote; other fields may be in it too. Raises `InvalidValue`."""
        try:
            algorithm = json.loads(document)["algorithm"]
        except (ValueError, KeyError, TypeError):
            algorithm = None
        if algorithm != BY_STORE:
            raise InvalidValue(
                f'a default encryption is {{"algorithm": "{BY_STORE}"}}, not {document!r}'
            )
        return cls(algorithm)

    def to_json(self) -> str:
        """Return the document for `BucketStore.set_setting`."""
        return json.dumps(attrs.asdict(self))


@attrs.frozen
class Keys:
    """Makes and opens the keys of blobs, as one request has them to be."""

    seal: Sealing | None
    encryption: str | None
    customer_key: bytes | None = attrs.field(default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        if self.customer_key is not None and len(self.customer_key) != _KEY_BYTES:
            raise InvalidValue(
                f"a customer's key has {_KEY_BYTES} bytes, not {len(self.customer_key)}"
            )
        if self.encryption not in (None, BY_STORE, BY_CUSTOMER):
            raise InvalidValue(f"objects are encrypted with {BY_STORE}, not {self.encryption!r}")
        if self.encryption == BY_STORE and self.seal is None:
            raise WrongState(
                "this store has no seal, so it can't keep keys: give BucketStore seal=…"
            )
        if self.encryption != BY_CUSTOMER and self.customer_key is not None:
            raise WrongKey("a customer's key was given, but that is not encrypted with one")
        if self.encryption == BY_CUSTOMER and self.customer_key is None:
            raise WrongKey("that is encrypted with a customer's key: give it")

    def make(self) -> tuple[bytes | None, bytes | None]:
        """Return a new key and the same sealed; nothing and nothing where nothing is encrypted."""
        if self.encryption is None:
            return None, None
        key = secrets.token_bytes(_KEY_BYTES)
        if self.customer_key is not None:
            nonce = secrets.token_bytes(_NONCE_BYTES)
            sealed = nonce + AESGCM(self.customer_key).encrypt(nonce, key, _LABEL.encode())
            return key, sealed
        assert self.seal is not None  # it was looked for above
        return key, self.seal.close(key, _LABEL)

    def open(self, sealed: bytes | None) -> bytes | None:
        """Return the key that was sealed. Raises `WrongKey`, `StateError`."""
        if sealed is None:
            return None
        if self.customer_key is None:
            assert self.seal is not None  # it was looked for above
            return self.seal.open(sealed, _LABEL)
        nonce, body = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return AESGCM(self.customer_key).decrypt(nonce, body, _LABEL.encode())
        except InvalidTag:
            raise WrongKey("that is encrypted with another customer's key") from None


def stored_size(plain_bytes: int) -> int:
    """Return how long so many bytes are when they are encrypted."""
    frames = -(-plain_bytes // _FRAME)
    return plain_bytes + frames * _TAG_BYTES


class FrameWriter:
    """Encrypts what comes, piece by piece; the last frame is marked, so that none can be cut off."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self._number = 0
        self._pending = bytearray()

    def add(self, plain: bytes | memoryview) -> bytes:
        """Return the frames that are full now and not the last."""
        self._pending += plain
        frames = []
        while len(self._pending) > _FRAME:
            frames.append(self._close(bytes(self._pending[:_FRAME]), last=False))
            del self._pending[:_FRAME]
        return b"".join(frames)

    def end(self) -> bytes:
        """Return the last frame, if there is any."""
        return self._close(bytes(self._pending), last=True) if self._pending else b""

    def _close(self, plain: bytes, *, last: bool) -> bytes:
        sealed = self._cipher.encrypt(_nonce(self._number), plain, _mark(last=last))
        self._number += 1
        return sealed


class FrameReader:
    """Decrypts ranges of what was `plain_bytes` long before it was encrypted."""

    def __init__(self, key: bytes, plain_bytes: int) -> None:
        self._cipher = AESGCM(key)
        self._frames = -(-plain_bytes // _FRAME)
        self._stored = stored_size(plain_bytes)

    def span(self, first: int, end: int) -> tuple[int, int]:
        """Return which stored bytes, from and up to, hold the plain ones."""
        start = first // _FRAME * _STORED_FRAME
        return start, min(-(-end // _FRAME) * _STORED_FRAME, self._stored)

    def open(self, stored: bytes, start: int, first: int, end: int) -> bytes:
        """Return plain bytes from `first` up to `end` of what `span` said, which begins at
        `start`. Raises `Damaged`.
        """
        number = start // _STORED_FRAME
        plain = bytearray()
        view = memoryview(stored)
        for at in range(0, len(stored), _STORED_FRAME):
            plain += self._decrypt(number, view[at : at + _STORED_FRAME])
            number += 1
        skipped = first - start // _STORED_FRAME * _FRAME
        return bytes(plain[skipped : skipped + end - first])

    def _decrypt(self, number: int, frame: memoryview) -> bytes:
        mark = _mark(last=number == self._frames - 1)
        try:
            return self._cipher.decrypt(_nonce(number), frame, mark)
        except InvalidTag:
            raise Damaged(f"frame {number} of encrypted bytes is not what was written") from None


def _nonce(number: int) -> bytes:
    return number.to_bytes(_NONCE_BYTES, "big")


def _mark(*, last: bool) -> bytes:
    return b"last" if last else b""
