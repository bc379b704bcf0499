"""Reads a REST request by the shape that the model gives its action: members stand in the path, the
query, the headers, and an XML body.

XML comes from strangers: a document type (and so every entity of its own) is refused, and what the
shape does not know makes it malformed, as S3 has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from xml.etree.ElementTree import Element, ParseError

import attrs

from pycloud.aws import times
from pycloud.aws.errors import AWSError
from pycloud.aws.reader import SCALARS

ReadText = Callable[[str, str], Any]
"""Turns a text, standing under a name, into a value. Raises `AWSError`."""
ReadElement = Callable[[Element], Any]

_MALFORMED: Final = (
    "The XML you provided was not well-formed or did not validate against our published schema"
)
_OPEN_ENUMS: Final = frozenset({"BucketLocationConstraint"})
"""Whoever reads their values knows more of them than the model does."""
_ENUM_CODES: Final = {"StorageClass": "InvalidStorageClass"}
_OPAQUE: Final = frozenset({"Expires"})
"""Given back as it came: S3 does not look into it."""


@attrs.frozen
class Member:
    """A member of an input that stands in a header or in the query."""

    key: str
    read: ReadText


@attrs.frozen
class RestInput:
    """Where the members of an action's input stand."""

    headers: Mapping[str, Member]
    query: Mapping[str, Member]
    prefixed: tuple[str, str] | None
    """The beginning of the headers that are one map, and the map's name."""
    payload: str | None
    """The member that is the body."""
    payload_type: str
    """`structure` for XML, `blob`, `string`, or nothing."""
    read_document: ReadElement | None
    required: Sequence[tuple[str, str]]
    """Members outside the path that must be given, and their names on the wire."""

    def read(self, headers: Mapping[str, str], query: Mapping[str, str]) -> dict[str, Any]:
        """Return what headers and query give. Raises `AWSError`."""
        values: dict[str, Any] = {}
        for name, text in query.items():
            member = self.query.get(name)
            if member is not None:
                values[member.key] = member.read(text, name)
        prefix, key = self.prefixed or ("", "")
        for name, text in headers.items():
            member = self.headers.get(name)
            if member is not None:
                values[member.key] = member.read(text, name)
            elif prefix and name.startswith(prefix):
                values.setdefault(key, {})[name[len(prefix) :]] = text
        for key, name in self.required:
            if key not in values:
                raise AWSError(
                    "InvalidRequest", f"Missing required parameter for this request: {name}"
                )
        return values

    def read_body(self, body: bytes) -> Any:
        """Return what the body says, None if it is empty. Raises `AWSError`."""
        if not body:
            return None
        if self.read_document is None:
            try:
                return body.decode()
            except UnicodeDecodeError:
                raise AWSError("InvalidRequest", "The body is not UTF-8") from None
        return self.read_document(parsed(body))


def input_of(operation: Any) -> RestInput:
    """Return how the input of a botocore `OperationModel` is read."""
    shape = operation.input_shape
    members = {} if shape is None else shape.members
    headers, query = {}, {}
    prefixed = None
    for key, member in members.items():
        location = member.serialization.get("location")
        name = member.serialization.get("name", key)
        if location == "header":
            headers[name.lower()] = Member(key, text_reader(member, key))
        elif location == "querystring":
            query[name] = Member(key, text_reader(member, key))
        elif location == "headers":
            prefixed = (name.lower(), key)
    payload = None if shape is None else shape.serialization.get("payload")
    kind = members[payload].type_name if payload else ""
    return RestInput(
        headers,
        query,
        prefixed,
        payload,
        kind,
        element_reader(members[payload]) if kind == "structure" else None,
        [] if shape is None else _required(shape),
    )


def parsed(body: bytes) -> Element:
    """Return the root of a document without a document type. Raises `AWSError`."""
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        root: Element = fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        raise AWSError("MalformedXML", _MALFORMED) from None
    return root


def text_reader(shape: Any, key: str = "", code: str = "InvalidArgument") -> ReadText:
    """Return the function that reads a value from a header or from the query."""
    if shape.type_name == "list":
        return _read_list
    if shape.type_name == "timestamp":
        return _read_moment if key not in _OPAQUE else _read_as_is
    if shape.type_name == "string":
        is_open = not shape.enum or shape.name in _OPEN_ENUMS
        return _read_as_is if is_open else _enumeration(shape, _ENUM_CODES.get(shape.name, code))
    parse, expected = SCALARS[shape.type_name]

    def read_scalar(text: str, name: str) -> Any:
        try:
            return parse(text.strip())
        except (ValueError, OverflowError):
            raise AWSError(code, f"Provided {name} is not {expected}: {text[:80]!r}") from None

    return read_scalar


def element_reader(shape: Any) -> ReadElement:
    """Return the function that reads an element of `shape`."""
    if shape.type_name == "structure":
        return _structure(shape)
    if shape.type_name == "list":
        return _list(shape)
    read = text_reader(shape, code="MalformedXML")

    def read_leaf(element: Element) -> Any:
        if len(element):
            raise AWSError("MalformedXML", f"{_MALFORMED}: {_local(element.tag)} has elements")
        return read(element.text or "", _local(element.tag))

    return read_leaf


def _structure(shape: Any) -> ReadElement:
    by_name: dict[str, tuple[str, ReadElement, bool]] = {}
    attributes: dict[str, str] = {}
    for key, member in shape.members.items():
        name = member.serialization.get("name", key)
        if member.serialization.get("xmlAttribute"):
            attributes[name.rpartition(":")[2]] = key
        elif member.type_name == "list" and member.serialization.get("flattened"):
            by_name[name] = (key, element_reader(member.member), True)
        else:
            by_name[name] = (key, element_reader(member), False)
    required = tuple(shape.required_members)

    def read_structure(element: Element) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, text in element.attrib.items():
            key = attributes.get(_local(name))
            if key is not None:
                values[key] = text
        for child in element:
            _read_child(child, by_name, values)
        for key in required:
            if key not in values:
                raise AWSError("MalformedXML", f"{_MALFORMED}: {key} is missing")
        return values

    return read_structure


def _read_child(
    child: Element, by_name: Mapping[str, tuple[str, ReadElement, bool]], values: dict[str, Any]
) -> None:
    """Read one element of a structure into its values."""
    name = _local(child.tag)
    if name not in by_name:
        raise AWSError("MalformedXML", f"{_MALFORMED}: {name[:80]} is not expected")
    key, read, is_repeated = by_name[name]
    if is_repeated:
        values.setdefault(key, []).append(read(child))
    elif key in values:
        raise AWSError("MalformedXML", f"{_MALFORMED}: {name} stands twice")
    else:
        values[key] = read(child)


def _list(shape: Any) -> ReadElement:
    read = element_reader(shape.member)

    def read_list(element: Element) -> list[Any]:
        return [read(child) for child in element]

    return read_list


def _required(shape: Any) -> list[tuple[str, str]]:
    found = []
    for key in shape.required_members:
        member = shape.members[key]
        if member.serialization.get("location") in ("header", "querystring", "headers"):
            found.append((key, member.serialization.get("name", key)))
    return found


def _enumeration(shape: Any, code: str) -> ReadText:
    values = frozenset(shape.enum)

    def read_one(text: str, name: str) -> str:
        if text not in values:
            raise AWSError(
                code,
                f"{text[:80]!r} is not a value of {name}: it is one of "
                f"{', '.join(sorted(values)[:20])}",
            )
        return text

    return read_one


def _read_as_is(text: str, _name: str) -> str:
    return text


def _read_list(text: str, _name: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _read_moment(text: str, name: str) -> Any:
    moment = times.read_any(text)
    if moment is None:
        raise AWSError("InvalidArgument", f"{name} is not a moment: {text[:80]!r}")
    return moment


def _local(tag: str) -> str:
    """Return a name without its namespace."""
    return tag.rpartition("}")[2]
