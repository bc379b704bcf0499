"""An object's own headers and metadata, between the wire and the store.

Source: "Working with object metadata": text that is not ASCII travels as RFC 2047 has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from email.errors import HeaderParseError
from email.header import Header, decode_header
from typing import Any, Final

from pycloud.aws.errors import AWSError
from pycloud.storage.records import StoredObject

MEMBERS: Final = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "Expires",
    "Metadata",
    "WebsiteRedirectLocation",
)
"""The members of requests that are given back as they came."""

_HEADERS: Final = {
    "CacheControl": "cache-control",
    "ContentDisposition": "content-disposition",
    "ContentEncoding": "content-encoding",
    "ContentLanguage": "content-language",
    "ContentType": "content-type",
    "Expires": "expires",
    "WebsiteRedirectLocation": "x-amz-website-redirect-location",
}
_KEYS: Final = {name: key for key, name in _HEADERS.items()}
DEFAULT_TYPE: Final = "binary/octet-stream"


def headers_of(given: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers to keep with an object."""
    found = {name: _text(given[key]) for key, name in _HEADERS.items() if given.get(key)}
    if "content-encoding" not in found:
        return found
    encodings = [part.strip() for part in found.pop("content-encoding").split(",")]
    kept = [part for part in encodings if part and part != "aws-chunked"]  # that one is ours
    return found | ({"content-encoding": ",".join(kept)} if kept else {})


def metadata_of(given: Mapping[str, Any]) -> dict[str, str]:
    """Return the user's metadata. Raises `AWSError` for a name that is none."""
    found = {name: _decoded(_text(text)) for name, text in given.get("Metadata", {}).items()}
    if "" in found:
        raise AWSError("InvalidArgument", "x-amz-meta- is not the name of metadata")
    return found


def members_of(stored: StoredObject) -> dict[str, Any]:
    """Return the members of an answer that give them back."""
    found: dict[str, Any] = {
        _KEYS[name]: _sendable(text) for name, text in stored.headers.items() if name in _KEYS
    }
    found.setdefault("ContentType", DEFAULT_TYPE)
    if stored.metadata:
        found["Metadata"] = {name: encoded(text) for name, text in stored.metadata.items()}
    return found


def encoded(text: str) -> str:
    """Return metadata as a header can carry it."""
    if text.isascii() and text.isprintable():
        return text
    return Header(text, "utf-8", maxlinelen=10**6).encode()


def _text(sent: str) -> str:
    """Return what was sent: mostly UTF-8, which servers read as Latin-1."""
    try:
        return sent.encode("latin-1").decode()
    except (UnicodeDecodeError, UnicodeEncodeError):
        return sent


def _sendable(text: str) -> str:
    return text if text.isascii() else text.encode().decode("latin-1")


def _decoded(text: str) -> str:
    if "=?" not in text:
        return text
    try:
        return "".join(
            part if isinstance(part, str) else part.decode(charset or "latin-1")
            for part, charset in decode_header(text)
        )
    except (HeaderParseError, LookupError, ValueError):
        return text
