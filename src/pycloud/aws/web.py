"""A request as it came over HTTP, before anything is believed of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import attrs

from pycloud.aws.canonical import as_bytes
from pycloud.aws.errors import AWSError

_LENGTH = re.compile("[0-9]{1,18}")


@attrs.frozen
class WebRequest:
    """Method, path, query and headers as they were sent, and the body if it was read."""

    method: str
    path: str
    """Undecoded: signatures cover what was sent."""
    query: str
    headers: Mapping[str, str]
    """By lower-case names."""
    body: bytes = b""


def read_request(environ: Mapping[str, Any], *, most_bytes: int) -> WebRequest:
    """Return the request of a WSGI environment, with its body. Raises `AWSError` if that is larger
    than `most_bytes`, or does not come to its end.
    """
    return WebRequest(
        method=environ["REQUEST_METHOD"],
        path=raw_path_of(environ),
        query=environ.get("QUERY_STRING", ""),
        headers=headers_of(environ),
        body=_body(environ, most_bytes),
    )


def raw_path_of(environ: Mapping[str, Any]) -> str:
    """Return the path as it was sent, where the server tells (`REQUEST_URI`, `RAW_URI`)."""
    raw = environ.get("REQUEST_URI") or environ.get("RAW_URI")
    if raw and raw.startswith("/"):
        return str(raw).partition("?")[0]
    decoded = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return quote(as_bytes(decoded), safe="/-_.~") or "/"


def headers_of(environ: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers by lower-case names, as they were sent where the server tells
    (`pycloud.headers`): WSGI's own names make `_` and `-` one.
    """
    given = environ.get("pycloud.headers")
    if given is not None:
        return dict(given)
    headers = {
        name[5:].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = environ[name]
    return headers


def _body(environ: Mapping[str, Any], most_bytes: int) -> bytes:
    declared = _declared_length(environ)
    if declared is None and not environ.get("wsgi.input_terminated"):
        return b""
    if declared is not None and declared > most_bytes:
        raise _too_large(most_bytes)
    body = _read(environ["wsgi.input"], most_bytes + 1 if declared is None else declared)
    if len(body) > most_bytes:
        raise _too_large(most_bytes)
    if declared is not None and len(body) < declared:
        raise AWSError("InvalidRequest", "The body is shorter than its Content-Length")
    return body


def _declared_length(environ: Mapping[str, Any]) -> int | None:
    text = environ.get("CONTENT_LENGTH") or ""
    if not text:
        return None
    if _LENGTH.fullmatch(text) is None:
        raise AWSError("InvalidRequest", f"The Content-Length {text[:40]!r} is not a number")
    if environ.get("HTTP_TRANSFER_ENCODING") and environ.get("wsgi.input_terminated"):
        # Whoever stands before us may have taken the other one (RFC 9112, 6.3).
        raise AWSError(
            "InvalidRequest", "The body has a Content-Length or a Transfer-Encoding, and not both"
        )
    return int(text)


def _read(stream: Any, size: int) -> bytes:
    try:
        body: bytes = stream.read(size)
    except Exception as error:  # each server has its own errors for what a client breaks off
        raise AWSError("InvalidRequest", "The body could not be read to its end") from error
    return body


def _too_large(most_bytes: int) -> AWSError:
    return AWSError("RequestEntityTooLarge", f"A request's body has at most {most_bytes} bytes")
