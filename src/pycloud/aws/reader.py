"""Reads a request's parameters by the shape that the model gives its action: each shape becomes a
function, once.

Nothing that was sent is passed over in silence. A member that the model does not know is refused as
unknown, one that pycloud does not carry out as unsupported; only what is listed as harmless is read
and dropped.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import attrs

from pycloud import limits
from pycloud.aws.errors import AWSError
from pycloud.aws.parameters import Tree

Read = Callable[["Tree | str", str], Any]
"""Turns what stands under a name (the second argument) into a Python value. Raises `AWSError`."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")
"""What an answer could not give back (XML 1.0), and what deletes on terminals."""
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}
_RANGES = {"integer": 2**31, "long": 2**63}


@attrs.frozen
class Taken:
    """Which members of the models' structures are carried out, by the name of the structure."""

    members: Mapping[str, frozenset[str]]
    harmless: Mapping[str, Mapping[str, str]] = attrs.field(factory=dict)
    """Members that may be given though they change nothing here, with the reason."""
    optional: Mapping[str, frozenset[str]] = attrs.field(factory=dict)
    """Members that the model requires, and that old clients leave out; handlers have a default."""
    open_enums: frozenset[str] = frozenset()
    """Enumerations that this cloud extends: their values are not checked against the model."""


def reader_of(shape: Any, protocol: str, taken: Taken) -> Read:
    """Return the function that reads `shape` as the protocol (`ec2` or `query`) writes it."""
    makers = {"structure": _structure, "list": _list, "string": _string}
    make = makers.get(shape.type_name)
    return make(shape, protocol, taken) if make else _scalar(shape)


def wire_name(member: str, shape: Any, protocol: str) -> str:
    """Return the name that a member has in a request ("Amazon EC2 query protocol", Smithy)."""
    if protocol == "ec2":
        if "queryName" in shape.serialization:
            return str(shape.serialization["queryName"])
        name = shape.serialization.get("name", member)
        return f"{name[0].upper()}{name[1:]}"
    return str(shape.serialization.get("name", member))


def _structure(shape: Any, protocol: str, taken: Taken) -> Read:
    carried = taken.members.get(shape.name, frozenset())
    harmless = taken.harmless.get(shape.name, {})
    members: dict[str, tuple[str, Read | None, bool]] = {}
    for key, member in shape.members.items():
        known = key in carried or key in harmless
        read = reader_of(member, protocol, taken) if known else None
        members[wire_name(key, member, protocol)] = (key, read, key in carried)
    optional = taken.optional.get(shape.name, frozenset())
    required = [
        (key, wire_name(key, shape.members[key], protocol))
        for key in shape.required_members
        if key not in optional
    ]

    def read_structure(node: Tree | str, path: str) -> dict[str, Any]:
        if isinstance(node, str):
            raise AWSError("InvalidParameterValue", f"{path} has members, and no value of its own")
        values = {}
        for name, child in node.items():
            full = f"{path}.{name}" if path else name
            if name not in members:
                raise AWSError("UnknownParameter", f"The parameter {full} is not recognized")
            key, read, is_carried_out = members[name]
            if read is None:
                raise AWSError(
                    "UnsupportedOperation", f"The parameter {full} is not supported by this cloud"
                )
            value = read(child, full)
            if is_carried_out:
                values[key] = value
        for key, name in required:
            if name not in node:
                full = f"{path}.{name}" if path else name
                raise AWSError("MissingParameter", f"The request must contain the parameter {full}")
            assert key in values or key not in carried
        return values

    return read_structure


def _list(shape: Any, protocol: str, taken: Taken) -> Read:
    read_member = reader_of(shape.member, protocol, taken)
    is_wrapped = protocol == "query" and not shape.serialization.get("flattened")
    wrapper = shape.member.serialization.get("name", "member") if is_wrapped else None

    def read_list(node: Tree | str, path: str) -> list[Any]:
        if node == "":
            return []
        if wrapper is not None and isinstance(node, dict) and [*node] == [wrapper]:
            node, path = node[wrapper], f"{path}.{wrapper}"
        if isinstance(node, str) or not all(_is_index(name) for name in node):
            raise AWSError(
                "InvalidParameterValue", f"{path} is a list: give {path}.1, {path}.2 and so on"
            )
        if len({int(name) for name in node}) < len(node):
            raise AWSError("MalformedQueryString", f"An index of {path} is given twice")
        return [read_member(node[name], f"{path}.{name}") for name in sorted(node, key=int)]

    return read_list


def _is_index(name: str) -> bool:
    return name.isascii() and name.isdigit() and 1 <= len(name) <= 6


def _string(shape: Any, _protocol: str, taken: Taken) -> Read:
    shortest = shape.metadata.get("min", 0)
    longest = shape.metadata.get("max", limits.QUERY_VALUE_CHARS)
    values = None if shape.name in taken.open_enums else frozenset(shape.enum) or None

    def read_string(node: Tree | str, path: str) -> str:
        text = _leaf(node, path)
        if not shortest <= len(text) <= longest:
            raise _invalid(path, text, f"it has {shortest} to {longest} characters")
        if _UNWRITABLE.search(text):
            raise _invalid(path, text, "it has no control characters, and nothing that XML has not")
        if values is not None and text not in values:
            raise _invalid(path, text, f"it is one of {', '.join(sorted(values)[:20])}")
        return text

    return read_string


def _scalar(shape: Any) -> Read:
    parse, expected = SCALARS[shape.type_name]
    lowest, highest = _range_of(shape)

    def read_scalar(node: Tree | str, path: str) -> Any:
        text = _leaf(node, path)
        try:
            value = parse(text)
        except (ValueError, OverflowError):
            raise _invalid(path, text, f"it is {expected}") from None
        if lowest is not None and not lowest <= value <= highest:
            raise _invalid(path, text, f"it is a number from {lowest} to {highest}")
        return value

    return read_scalar


def _range_of(shape: Any) -> tuple[Any, Any]:
    bound = _RANGES.get(shape.type_name)
    if bound is None:
        return None, None
    return shape.metadata.get("min", -bound), shape.metadata.get("max", bound - 1)


def _leaf(node: Tree | str, path: str) -> str:
    if isinstance(node, str):
        return node
    raise AWSError("InvalidParameterValue", f"{path} has one value, and no members")


def _invalid(path: str, text: str, expected: str) -> AWSError:
    shown = text if len(text) <= 80 else f"{text[:80]}…"
    return AWSError(
        "InvalidParameterValue", f"Value ({shown}) for parameter {path} is invalid: {expected}"
    )


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError(text)
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _boolean(text: str) -> bool:
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise ValueError(text) from None


def _timestamp(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment.astimezone(UTC)


def decoded(text: str) -> bytes:
    """Return what base64 `text` stands for; line breaks are passed over, as AWS does. Raises
    `ValueError`.
    """
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error as error:
        raise ValueError(text) from error


SCALARS: dict[str, tuple[Callable[[str], Any], str]] = {
    "integer": (_integer, "a whole number"),
    "long": (_integer, "a whole number"),
    "double": (_float, "a number"),
    "float": (_float, "a number"),
    "boolean": (_boolean, "true or false"),
    "timestamp": (_timestamp, "a moment as in 2026-01-31T12:00:00Z"),
    "blob": (decoded, "base64"),
}
"""How each type that is not text is read (`ValueError` if it can't be), and how it looks."""
