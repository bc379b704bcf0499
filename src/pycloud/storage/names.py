"""Which names, tags and metadata S3 allows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from pycloud import limits
from pycloud.errors import InvalidValue

RESERVED_BUCKETS: Final = frozenset({"pycloud-images"})
"""Names of the cloud's own buckets: nobody may take them before the cloud does."""

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")


def checked_bucket(name: str) -> str:
    """Return a name that S3 allows ("Bucket naming rules"). Raises `InvalidValue`."""
    if not _BUCKET.fullmatch(name) or ".." in name or _ADDRESS.fullmatch(name):
        raise InvalidValue(
            f"{name!r} cannot name a bucket: 3 to 63 lower-case letters, digits, dots and hyphens, "
            "beginning and ending with a letter or digit, and not an IP address"
        )
    return name


def checked_key(key: str) -> bytes:
    """Return the key as it is stored. Raises `InvalidValue` ("Naming Amazon S3 objects")."""
    encoded = encoded_text(key, "the key")
    if not 1 <= len(encoded) <= limits.KEY_BYTES:
        raise InvalidValue(f"a key has 1 to {limits.KEY_BYTES} bytes; this one has {len(encoded)}")
    return encoded


def encoded_text(text: str, what: str) -> bytes:
    """Return `text` in UTF-8. Raises `InvalidValue` for lone surrogates."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidValue(f"{what} {text!r} is not text that UTF-8 can carry") from None


def check_metadata(metadata: Mapping[str, str]) -> None:
    """Raise `InvalidValue` for more metadata than an object may have."""
    size = sum(
        len(encoded_text(text, "the metadata")) for pair in metadata.items() for text in pair
    )
    if size > limits.METADATA_BYTES:
        raise InvalidValue(
            f"an object's metadata has at most {limits.METADATA_BYTES} bytes, not {size}"
        )


def check_tags(tags: Mapping[str, str], most: int = limits.OBJECT_TAGS) -> None:
    """Raise `InvalidValue` for tags that S3 does not allow ("PutObjectTagging")."""
    if len(tags) > most:
        raise InvalidValue(f"at most {most} tags, not {len(tags)}")
    for key, value in tags.items():
        encoded_text(key, "the tag"), encoded_text(value, "the tag's value")
        if not 1 <= len(key) <= limits.TAG_KEY_CHARS or len(value) > limits.TAG_VALUE_CHARS:
            raise InvalidValue(
                f"a tag has a key of 1 to {limits.TAG_KEY_CHARS} characters and a value of at most "
                f"{limits.TAG_VALUE_CHARS}, unlike {key!r}: {value!r}"
            )
