"""`Seal`: encrypts secrets before they go into the database, with a key that is kept elsewhere.

Whoever has a copy of the database alone has no secrets.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pycloud.errors import InvalidValue, StateError

_KEY_BYTES = 32
_NONCE_BYTES = 12
_MARK_BYTES = 4


class Seal:
    """AES-256-GCM with one key of 32 bytes.

    A sealed text is bound to a `label`, what it is the secret of: moved to another row it opens no
    more. It carries a mark of its key, so that a wrong key is named as such.

    >>> from pycloud.identity.sealing import Seal
    >>> seal = Seal(bytes(32))
    >>> seal.open(seal.close(b"a secret", "key 1"), "key 1")
    b'a secret'
    """

    def __init__(self, key: bytes, *, origin: str = "the key that was given") -> None:
        if len(key) != _KEY_BYTES:
            raise InvalidValue(f"a seal's key has {_KEY_BYTES} bytes, not {len(key)}")
        self._cipher = AESGCM(key)
        self._mark = hashlib.sha256(b"pycloud seal" + key).digest()[:_MARK_BYTES]
        self._origin = origin

    @classmethod
    def from_file(cls, path: Path | str) -> Seal:
        """Return the seal whose key is in a file, which is made if there is none. Raises
        `InvalidValue` for a file that others may read, or that holds no key.
        """
        path = Path(path)
        if not path.exists():
            _make(path)
        if path.stat().st_mode & 0o077:
            raise InvalidValue(f"{path} holds a key, and others may read it: chmod 600 {path}")
        key = path.read_bytes()
        if len(key) != _KEY_BYTES:
            raise InvalidValue(f"{path} holds no key: it has {len(key)} bytes, not {_KEY_BYTES}")
        return cls(key, origin=str(path))

    def close(self, secret: bytes, label: str) -> bytes:
        """Return the secret sealed."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return self._mark + nonce + self._cipher.encrypt(nonce, secret, label.encode())

    def open(self, sealed: bytes, label: str) -> bytes:
        """Return what was sealed. Raises `StateError` if that was done with another key or label,
        or something was changed since.
        """
        if sealed[:_MARK_BYTES] != self._mark:
            raise StateError(
                f"the secret of {label} was sealed with another key than {self._origin}: "
                "give the key that belongs to this state"
            )
        nonce = sealed[_MARK_BYTES : _MARK_BYTES + _NONCE_BYTES]
        try:
            body = sealed[_MARK_BYTES + _NONCE_BYTES :]
            return self._cipher.decrypt(nonce, body, label.encode())
        except (InvalidTag, ValueError):  # ValueError: it is cut off
            raise StateError(f"the sealed secret of {label} was changed or moved") from None


def _make(path: Path) -> None:
    """Write a new key, whole or not at all; of several who do it at once, one succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)
        except FileExistsError:
            return
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    finally:
        fresh.unlink()
