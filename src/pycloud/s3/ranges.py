"""The ranges of bytes that requests ask for (RFC 9110, section 14)."""

from __future__ import annotations

import re

from pycloud.aws.errors import AWSError
from pycloud.s3.errors import S3Error

_RANGE = re.compile(r"\s*bytes\s*=\s*([0-9]{0,19})\s*-\s*([0-9]{0,19})\s*", re.ASCII)
_SOURCE = re.compile(r"bytes=([0-9]{1,19})-([0-9]{1,19})", re.ASCII)


def read_range(text: str | None, size_bytes: int) -> tuple[int, int] | None:
    """Return the first and the last byte of a range, None if all are meant: also for several
    ranges, and for what is no range. Raises `AWSError` if none of it is there.

    >>> read_range("bytes=-2", 10)
    (8, 9)
    """
    found = None if text is None else _RANGE.fullmatch(text)
    if found is None or (not found[1] and not found[2]):
        return None
    if not found[1]:
        count = min(int(found[2]), size_bytes)
        first, last = size_bytes - count, size_bytes - 1
    else:
        first = int(found[1])
        if found[2] and int(found[2]) < first:
            return None
        last = min(int(found[2]) if found[2] else size_bytes - 1, size_bytes - 1)
    if first > last:
        raise S3Error(
            "InvalidRange",
            "The requested range is not satisfiable",
            [("Content-Range", f"bytes */{size_bytes}")],
        )
    return first, last


def read_source_range(text: str | None, size_bytes: int) -> tuple[int, int | None]:
    """Return the first and the last byte of a copy's source, (0, None) for all. Raises `AWSError`."""
    if text is None:
        return 0, None
    found = _SOURCE.fullmatch(text)
    if found is None:
        raise AWSError(
            "InvalidArgument",
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and "
            "last are the zero-based offsets of the first and last bytes to copy",
        )
    first, last = int(found[1]), int(found[2])
    if first > last or last >= size_bytes:
        raise AWSError(
            "InvalidRange", f"Range specified is not valid for source object of size: {size_bytes}"
        )
    return first, last
