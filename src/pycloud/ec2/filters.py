"""Filters of the Describe actions: by which member of the answer each one chooses.

A filter's values are alternatives, several filters must all hold; `*` and `?` stand for any text and
any character, a backslash before them for themselves ("Listing and filtering your resources").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from pycloud import limits
from pycloud.aws.errors import AWSError
from pycloud.aws.writer import moment_of

Members = Mapping[str, str]
"""A filter's name, and the path to the member it looks at: `State.Name`; lists are looked through."""
Filter = Mapping[str, Any]
"""One of a request: `Name`, `Values`."""
Item = Mapping[str, Any]
"""One of the things described, as in the answer."""
SomeItem = TypeVar("SomeItem", bound=Item)

TagsOf = Callable[[Item], Iterable[Mapping[str, str]]]
"""Gives the tags of an item: each has `Key` and `Value`."""

_PATTERN = re.compile(r"\\(.)|(\*)|(\?)|([^\\*?]+|\\$)", re.DOTALL)


def _own_tags(item: Item) -> Iterable[Mapping[str, str]]:
    tags: Iterable[Mapping[str, str]] = item.get("Tags", ())
    return tags


def chosen(
    items: Iterable[SomeItem],
    filters: Sequence[Filter] | None,
    members: Members,
    *,
    tags_of: TagsOf | None = _own_tags,
) -> list[SomeItem]:
    """Return the items for which all filters hold. Raises `AWSError` for a filter that there is
    not: without `tags_of`, things of this kind have no tags.
    """
    tests = [_test_of(one, members, tags_of) for one in filters or ()]
    if not tests:
        return list(items)
    return [item for item in items if all(test(item) for test in tests)]


def _test_of(one: Filter, members: Members, tags_of: TagsOf | None) -> Callable[[Item], bool]:
    name, values = one.get("Name"), one.get("Values")
    if not name:
        raise AWSError("MissingParameter", "A filter has a name: Filter.1.Name")
    if not values:
        raise AWSError("InvalidParameterValue", f"The filter {name!r} has no values")
    if len(values) > limits.FILTER_VALUES:
        raise AWSError(
            "FilterLimitExceeded",
            f"A filter has at most {limits.FILTER_VALUES} values; {name!r} has {len(values)}",
        )
    look = _look_for(name, members, tags_of)
    matches = _matcher_of(values)
    return lambda item: any(matches(text) for text in look(item))


def _look_for(
    name: str, members: Members, tags_of: TagsOf | None
) -> Callable[[Item], Iterator[str]]:
    if name in members:
        path = members[name].split(".")
        return lambda item: _texts(item, path)
    if tags_of is not None and name.startswith("tag:"):
        key = name[4:]
        return lambda item: (tag["Value"] for tag in tags_of(item) if tag["Key"] == key)
    if tags_of is not None and name == "tag-key":
        return lambda item: (tag["Key"] for tag in tags_of(item))
    raise AWSError("InvalidParameterValue", f"The filter {name!r} is invalid")


def _texts(value: Any, path: Sequence[str]) -> Iterator[str]:
    if isinstance(value, list):
        for one in value:
            yield from _texts(one, path)
    elif path:
        if value is not None:
            yield from _texts(value.get(path[0]), path[1:])
    elif isinstance(value, bool):
        yield "true" if value else "false"
    elif isinstance(value, datetime):
        yield moment_of(value)
    elif value is not None:
        yield str(value)


def _matcher_of(values: Sequence[str]) -> Callable[[str], bool]:
    plain = {value for value in values if not any(sign in value for sign in "*?\\")}
    patterns = [re.compile(_pattern(value), re.DOTALL) for value in values if value not in plain]

    def matches(text: str) -> bool:
        return text in plain or any(pattern.fullmatch(text) for pattern in patterns)

    return matches


def _pattern(value: str) -> str:
    """Return the regular expression of a value with wildcards.

    What stands between two stars is looked for once, from the left, and never again: with
    backtracking, a value of many stars would keep the cloud busy for years.
    """
    pieces = [""]
    for literal, star, question, text in _PATTERN.findall(value):
        if star:
            pieces.append("")
        else:
            pieces[-1] += "." if question else re.escape(literal or text)
    first, *others = pieces
    if not others:
        return first
    *middle, last = others
    return f"{first}{''.join(f'(?>.*?{piece})' for piece in middle if piece)}.*{last}"
