"""Writes the answer of a REST action by the shape that the model gives it: a status, headers, and a
body of XML or of text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote

import attrs

from pycloud.aws.writer import Write, moment_of, writer_of

_HEAD: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'


@attrs.frozen
class RestOutput:
    """Where the members of an action's output are written."""

    headers: Mapping[str, tuple[str, Callable[[Any], str]]]
    """Name and text, by member."""
    prefixed: tuple[str, str] | None
    payload: str | None
    payload_type: str
    root: str
    write: Write | None
    """What is inside the root; None where there is no body."""
    namespace: str

    def head(self, answer: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Return the headers of the answer."""
        found = []
        for key, value in answer.items():
            header = self.headers.get(key)
            if header is not None and value is not None:
                found.append((header[0], header[1](value)))
        if self.prefixed is not None:
            prefix, key = self.prefixed
            found += [(prefix + name, text) for name, text in (answer.get(key) or {}).items()]
        return found

    def body(self, answer: Mapping[str, Any]) -> bytes:
        """Return the body of the answer, empty where it has none."""
        value = answer if self.payload is None else answer.get(self.payload)
        if self.payload_type == "string":
            return str(value or "").encode()
        if self.write is None or value is None:
            return b""
        inside: list[str] = []
        self.write(
            {key: inner for key, inner in value.items() if key not in self.headers}
            if self.payload is None
            else value,
            inside,
        )
        opening = f'{_HEAD}<{self.root} xmlns="{self.namespace}">'
        return f"{opening}{''.join(inside)}</{self.root}>".encode()


def output_of(operation: Any, root: str, namespace: str) -> RestOutput:
    """Return how the output of a botocore `OperationModel` is written; `root` is the name of its
    document.
    """
    shape = operation.output_shape
    members = {} if shape is None else shape.members
    headers, prefixed, has_body = {}, None, False
    for key, member in members.items():
        location = member.serialization.get("location")
        name = member.serialization.get("name", key)
        if location == "header":
            headers[key] = (name, _header_text(member))
        elif location == "headers":
            prefixed = (name, key)
        else:
            has_body = True
    payload = None if shape is None else shape.serialization.get("payload")
    kind = members[payload].type_name if payload else ""
    body = members[payload] if payload else shape
    write = writer_of(body) if has_body and kind in ("", "structure") else None
    return RestOutput(headers, prefixed, payload, kind, root, write, namespace)


def header_safe(text: str) -> str:
    """Return text as a header can carry it: what is not Latin-1, or would end the line, is
    percent-encoded.
    """
    if text.isascii() and text.isprintable():
        return text
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return quote(text, safe=" !\"#$&'()*+,-./:;<=>?@[]^_`{|}~")
    return text.replace("\r", "%0D").replace("\n", "%0A").replace("\0", "%00")


def _header_text(shape: Any) -> Callable[[Any], str]:
    if shape.type_name == "timestamp":
        if shape.serialization.get("timestampFormat") == "iso8601":
            return moment_of
        return _http_date
    if shape.type_name == "boolean":
        return lambda value: "true" if value else "false"
    if shape.type_name == "list":
        return _joined
    return lambda value: header_safe(str(value))


def _http_date(value: Any) -> str:
    """Write a moment as headers do; what is text already (`Expires`) is left as it is."""
    return header_safe(value) if isinstance(value, str) else _format(value)


@lru_cache(maxsize=1024)  # what is read once is read often
def _format(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)


def _joined(values: Sequence[str]) -> str:
    return ",".join(map(header_safe, values))
