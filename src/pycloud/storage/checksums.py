"""The checksums of S3 beside MD5, and what they are of an object in parts.

Source: "Checking object integrity in Amazon S3". CRC32C and CRC64NVME come from awscrt (extra
`pycloud[s3]`), as fast as memory; so does what makes a CRC of two CRCs.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from pycloud.errors import BadDigest, InvalidValue
from pycloud.storage.records import Checksum, Expected

FULL, COMPOSITE = "full", "composite"

_CRC_BYTES = {"CRC32": 4, "CRC32C": 4, "CRC64NVME": 8}
_HASHES: dict[str, Callable[[], Any]] = {
    "SHA1": lambda: hashlib.sha1(usedforsecurity=False),
    "SHA256": hashlib.sha256,
}
ALGORITHMS = (*_CRC_BYTES, *_HASHES)


class Hash(Protocol):
    """What sums up bytes, as those of hashlib do."""

    def update(self, data: Any, /) -> None:
        """Take in the next bytes."""
        ...

    def digest(self) -> bytes:
        """Return what they sum up to."""
        ...


class _Crc:
    def __init__(self, algorithm: str) -> None:
        self._add = _crc(algorithm)
        self._size = _CRC_BYTES[algorithm]
        self._value = 0

    def update(self, data: Any, /) -> None:
        self._value = self._add(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


def make_hash(algorithm: str) -> Hash:
    """Return a new sum. Raises `InvalidValue` for an algorithm that S3 does not have."""
    if algorithm in _CRC_BYTES:
        return _Crc(algorithm)
    if algorithm in _HASHES:
        found: Hash = _HASHES[algorithm]()
        return found
    raise InvalidValue(f"a checksum is one of {', '.join(ALGORITHMS)}, not {algorithm!r}")


def checked_value(algorithm: str, value: str) -> str:
    """Return the base64 of a checksum. Raises `InvalidValue` if it can't be one of `algorithm`."""
    size = len(make_hash(algorithm).digest())
    try:
        found = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if len(found) != size:
        raise InvalidValue(f"a {algorithm} is {size} bytes in base64, not {value!r}")
    return value


def encoded(digest: bytes) -> str:
    """Return what S3 writes for a digest."""
    return base64.b64encode(digest).decode()


class Digests:
    """Sums up the bytes of one put as they pass, and holds them to what was expected."""

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._other = None if expected.algorithm is None else make_hash(expected.algorithm)
        if expected.algorithm is not None and isinstance(expected.value, str):
            checked_value(expected.algorithm, expected.value)

    def update(self, data: bytes | memoryview) -> None:
        """Take in the next bytes."""
        self._md5.update(data)
        if self._other is not None:
            self._other.update(data)

    @property
    def md5(self) -> str:
        """Return the MD5 in hexadecimal."""
        return self._md5.hexdigest()

    @property
    def checksum(self) -> Checksum | None:
        """Return the checksum that was asked for."""
        if self._other is None or self._expected.algorithm is None:
            return None
        return Checksum(self._expected.algorithm, encoded(self._other.digest()), FULL)

    def check(self) -> None:
        """Raise `BadDigest` unless the bytes are those that were announced."""
        expected = self._expected
        if expected.md5 is not None and expected.md5 != self.md5:
            raise BadDigest("MD5", expected.md5, self.md5)
        value = expected.value() if callable(expected.value) else expected.value
        found = self.checksum
        if value is not None and found is not None and value != found.value:
            raise BadDigest(found.algorithm, checked_value(found.algorithm, value), found.value)


def usual_kind(algorithm: str) -> str:
    """Return the kind of an upload's checksum when none was asked for."""
    return FULL if algorithm == "CRC64NVME" else COMPOSITE


def check_kind(algorithm: str, kind: str) -> None:
    """Raise `InvalidValue` for a kind that the algorithm has not."""
    make_hash(algorithm)
    allowed = {"CRC64NVME": (FULL,), "SHA1": (COMPOSITE,), "SHA256": (COMPOSITE,)}
    kinds = allowed.get(algorithm, (FULL, COMPOSITE))
    if kind not in kinds:
        raise InvalidValue(f"the kind of a {algorithm} is {' or '.join(kinds)}, not {kind!r}")


def of_parts(algorithm: str, kind: str, parts: Sequence[tuple[str, int]]) -> Checksum:
    """Return the checksum of an object from those of its parts, each with the part's size."""
    digests = [base64.b64decode(value) for value, _ in parts]
    if kind == COMPOSITE:
        whole = make_hash(algorithm)
        for digest in digests:
            whole.update(digest)
        return Checksum(algorithm, f"{encoded(whole.digest())}-{len(parts)}", COMPOSITE)
    combine = _combiner(algorithm)
    total = int.from_bytes(digests[0], "big")
    for digest, (_, size) in zip(digests[1:], parts[1:], strict=True):
        total = combine(total, int.from_bytes(digest, "big"), size)
    return Checksum(algorithm, encoded(total.to_bytes(_CRC_BYTES[algorithm], "big")), FULL)


def etag_of_parts(etags: Sequence[str]) -> str:
    """Return the ETag of an object in parts: the MD5 of their MD5s, and how many they are."""
    whole = hashlib.md5(usedforsecurity=False)
    for etag in etags:
        whole.update(bytes.fromhex(etag))
    return f"{whole.hexdigest()}-{len(etags)}"


def checksum_of(text: str | None) -> Checksum | None:
    """Return the checksum that `checksum_text` wrote."""
    return None if text is None else Checksum(*text.split(":"))


def checksum_text(checksum: Checksum | None) -> str | None:
    """Return what is kept of a checksum."""
    if checksum is None:
        return None
    return f"{checksum.algorithm}:{checksum.value}:{checksum.kind}"


def _crc(algorithm: str) -> Callable[[Any, int], int]:
    if algorithm == "CRC32":
        return zlib.crc32
    found: Callable[[Any, int], int] = getattr(_awscrt(algorithm), algorithm.lower())
    return found


def _combiner(algorithm: str) -> Callable[[int, int, int], int]:
    found: Callable[[int, int, int], int] = getattr(
        _awscrt(algorithm), f"combine_{algorithm.lower()}"
    )
    return found


def _awscrt(algorithm: str) -> Any:
    try:
        from awscrt import checksums
    except ImportError:
        raise InvalidValue(f"{algorithm} needs the extra pycloud[s3]: install it") from None
    return checksums
