"""Checksums on the wire: which one a request announces, and how answers say it.

Source: "Checking object integrity in Amazon S3".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pycloud.aws.errors import AWSError
from pycloud.errors import InvalidValue
from pycloud.storage.checksums import ALGORITHMS, checked_value, encoded, make_hash
from pycloud.storage.records import Checksum

MEMBERS: Final = tuple(f"Checksum{name}" for name in ALGORITHMS)
"""The members of requests that announce one."""

_HEADERS: Final = {f"x-amz-checksum-{name.lower()}": name for name in ALGORITHMS}
_KINDS: Final = {"full": "FULL_OBJECT", "composite": "COMPOSITE"}

Value = str | Callable[[], str | None] | None


def announced(
    headers: Mapping[str, str], trailers: Callable[[], Mapping[str, str]]
) -> tuple[str | None, Value]:
    """Return the algorithm of the body's checksum and its value, or what knows the value when the
    body was read; None twice if none is announced. Raises `AWSError`.
    """
    found = [(_HEADERS[header], headers[header]) for header in _HEADERS.keys() & headers.keys()]
    trailing = headers.get("x-amz-trailer", "").strip().lower()
    if len(found) + bool(trailing) > 1:
        raise AWSError(
            "InvalidRequest",
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
        )
    if trailing:
        if trailing not in _HEADERS:
            raise AWSError(
                "InvalidRequest", "The value specified in the x-amz-trailer header is not supported"
            )
        algorithm = _HEADERS[trailing]
        return algorithm, lambda: _trailed(trailing, trailers())
    if found:
        return found[0][0], checked(*found[0])
    return _asked(headers), None


def checked(algorithm: str, value: str) -> str:
    """Return a value that can be one of the algorithm. Raises `AWSError`."""
    try:
        return checked_value(algorithm, value)
    except InvalidValue:
        raise AWSError(
            "InvalidRequest", f"Value for x-amz-checksum-{algorithm.lower()} header is invalid."
        ) from None


def known(algorithm: str | None) -> str | None:
    """Return an algorithm that is carried out. Raises `AWSError` for another."""
    if algorithm is not None and algorithm not in ALGORITHMS:
        raise AWSError(
            "InvalidRequest",
            f"Checksum algorithm provided is unsupported. Please try again with any of the valid "
            f"types: [{', '.join(ALGORITHMS)}]",
        )
    return algorithm


def check_document(body: bytes, headers: Mapping[str, str]) -> None:
    """Raise `AWSError` if the body of a request is not what a checksum of it says."""
    algorithm, value = announced(headers, lambda: headers)
    expected = value() if callable(value) else value
    if algorithm is None or expected is None:
        return
    found = make_hash(algorithm)
    found.update(body)
    if encoded(found.digest()) != expected:
        raise bad_digest(algorithm)


def bad_digest(algorithm: str) -> AWSError:
    """Return the refusal of bytes that are not those that were announced."""
    if algorithm == "MD5":
        return AWSError(
            "BadDigest", "The Content-MD5 you specified did not match what we received."
        )
    return AWSError(
        "BadDigest", f"The {algorithm} you specified did not match the calculated checksum."
    )


def members_of(checksum: Checksum | None) -> dict[str, Any]:
    """Return the members of an answer that say an object's checksum."""
    if checksum is None:
        return {}
    return {
        f"Checksum{checksum.algorithm}": checksum.value,
        "ChecksumType": _KINDS[checksum.kind],
    }


def chosen(given: Mapping[str, Any]) -> str | None:
    """Return the checksum that a part of a list has among its members."""
    return next((given[name] for name in MEMBERS if name in given), None)


def _asked(headers: Mapping[str, str]) -> str | None:
    """Return the algorithm that the client names without a value; SDKs do so for signed chunks."""
    return known(headers.get("x-amz-sdk-checksum-algorithm", "").upper() or None) or None


def _trailed(name: str, trailers: Mapping[str, str]) -> str:
    if name not in trailers:
        raise AWSError("MalformedTrailerError", f"The body has no trailer {name}")
    return checked(_HEADERS[name], trailers[name])
