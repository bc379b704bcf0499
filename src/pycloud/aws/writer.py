"""Writes an answer by the shape that the model gives its action: each shape becomes a function, once.

An answer is plain Python: structures are dicts by the members' names in the model, a member that is
`None` is left out. A name that the model does not have is a fault of the program (`KeyError`).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from xml.sax.saxutils import escape

Write = Callable[[Any, list[str]], None]
"""Appends the XML of a value to the list."""

_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
"""What XML 1.0 cannot carry, not even escaped."""
_SPECIAL = re.compile(f"[&<>\r]|{_ILLEGAL.pattern}")

_KNOWN = 64
_KNOWN_CHARS = 24
"""Texts of a member that are remembered as they are written: so many, and no secret is as short."""


def writer_of(shape: Any) -> Write:
    """Return the function that writes what is inside the element of `shape`."""
    if shape.type_name == "structure":
        return _structure(shape)
    if shape.type_name == "list":
        return _list(shape)
    return _scalar(shape)


def text_of(value: str) -> str:
    """Return text as it stands in XML; what XML cannot carry becomes U+FFFD."""
    if not _SPECIAL.search(value):
        return value
    return escape(_ILLEGAL.sub("\ufffd", value), {"\r": "&#13;"})


@lru_cache(maxsize=1024)
def moment_of(value: datetime) -> str:
    """Return a moment as AWS writes it, in UTC, with milliseconds."""
    text = value.astimezone(UTC).isoformat(timespec="milliseconds")
    return f"{text.removesuffix('+00:00')}Z"


def _structure(shape: Any) -> Write:
    shapes: Mapping[str, Any] = shape.members
    members: dict[str, Write] = {}

    def writer_for(key: str) -> Write:
        # Made when first used: most members of AWS's structures never are.
        write = members[key] = _member(key, shapes[key])
        return write

    def write_structure(value: Mapping[str, Any], out: list[str]) -> None:
        for key, inner in value.items():
            if inner is not None:
                (members.get(key) or writer_for(key))(inner, out)

    return write_structure


def _member(key: str, shape: Any) -> Write:
    name = shape.serialization.get("name", key)
    if shape.type_name == "list" and shape.serialization.get("flattened"):
        return _repeated(shape, name)
    return _enclosed(shape, name)


def _enclosed(shape: Any, name: str) -> Write:
    opening, closing, empty = f"<{name}>", f"</{name}>", f"<{name}/>"
    if shape.type_name == "string":
        return _text(opening, closing)
    if shape.type_name == "structure" and any(map(_is_attribute, shape.members.values())):
        return _with_attributes(shape, name)
    if shape.type_name not in ("structure", "list"):
        text = _texts(shape)

        def write_leaf(value: Any, out: list[str]) -> None:
            out.append(f"{opening}{text(value)}{closing}")

        return write_leaf
    inside = writer_of(shape)

    def write_element(value: Any, out: list[str]) -> None:
        if not value:
            out.append(empty)
            return
        out.append(opening)
        inside(value, out)
        out.append(closing)

    return write_element


def _with_attributes(shape: Any, name: str) -> Write:
    """Write a structure some members of which are attributes (S3's `Grantee` has its type so)."""
    attributes = {key: member for key, member in shape.members.items() if _is_attribute(member)}
    space = shape.serialization.get("xmlNamespace")
    declared = f' xmlns:{space["prefix"]}="{space["uri"]}"' if space else ""
    inside = _structure(shape)

    def write_element(value: Mapping[str, Any], out: list[str]) -> None:
        out.append(f"<{name}{declared}")
        for key, member in attributes.items():
            if value.get(key) is not None:
                text = text_of(value[key]).replace('"', "&quot;")
                out.append(f' {member.serialization.get("name", key)}="{text}"')
        out.append(">")
        inside({key: one for key, one in value.items() if key not in attributes}, out)
        out.append(f"</{name}>")

    return write_element


def _is_attribute(shape: Any) -> bool:
    return bool(shape.serialization.get("xmlAttribute"))


def _text(opening: str, closing: str) -> Write:
    # Most members have few values, in every item of an answer the same again.
    known: dict[str, str] = {}

    def write_text(value: str, out: list[str]) -> None:
        element = known.get(value)
        if element is None:
            element = f"{opening}{text_of(value)}{closing}"
            if len(known) < _KNOWN and len(value) <= _KNOWN_CHARS:
                known[value] = element
        out.append(element)

    return write_text


def _list(shape: Any) -> Write:
    return _repeated(shape, shape.member.serialization.get("name", "member"))


def _repeated(shape: Any, name: str) -> Write:
    write_member = _enclosed(shape.member, name)

    def write_list(value: Any, out: list[str]) -> None:
        for one in value:
            write_member(one, out)

    return write_list


def _scalar(shape: Any) -> Write:
    text = _texts(shape)

    def write_scalar(value: Any, out: list[str]) -> None:
        out.append(text(value))

    return write_scalar


def _texts(shape: Any) -> Callable[[Any], str]:
    return _TEXTS.get(shape.type_name, str)


_TEXTS: dict[str, Callable[[Any], str]] = {
    "string": text_of,
    "boolean": lambda value: "true" if value else "false",
    "timestamp": moment_of,
    "blob": lambda value: base64.b64encode(value).decode(),
}
