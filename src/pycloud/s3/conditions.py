"""The conditions of policies: an operator, a key of the request, and values; pure functions.

Source: "IAM JSON policy elements: Condition operators" (IAM user guide).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from typing import Any, Final

import attrs

from pycloud.aws import times
from pycloud.s3.wildcards import matches

Context = Mapping[str, Sequence[str]]
"""What is known of a request, by the lower-case name of the key."""

Test = Callable[[str, str], bool]
"""Holds a value of the request against one of the policy. `ValueError` if either can't be read."""


def _numbers(compare: Callable[[float, float], bool]) -> Test:
    return lambda actual, wanted: compare(float(actual), float(wanted))


def _moments(compare: Callable[[datetime, datetime], bool]) -> Test:
    return lambda actual, wanted: compare(_moment(actual), _moment(wanted))


def _moment(text: str) -> datetime:
    if text.isascii() and text.isdigit():
        return datetime.fromtimestamp(int(text), tz=UTC)
    found = times.read_iso(text)
    if found is None:
        raise ValueError(text)
    return found


def _within(actual: str, wanted: str) -> bool:
    return ip_address(actual) in ip_network(wanted, strict=False)


_POSITIVE: Final[Mapping[str, Test]] = {
    "StringEquals": lambda actual, wanted: actual == wanted,
    "StringEqualsIgnoreCase": lambda actual, wanted: actual.casefold() == wanted.casefold(),
    "StringLike": lambda actual, wanted: matches(wanted, actual),
    "NumericEquals": _numbers(lambda actual, wanted: actual == wanted),
    "NumericLessThan": _numbers(lambda actual, wanted: actual < wanted),
    "NumericLessThanEquals": _numbers(lambda actual, wanted: actual <= wanted),
    "NumericGreaterThan": _numbers(lambda actual, wanted: actual > wanted),
    "NumericGreaterThanEquals": _numbers(lambda actual, wanted: actual >= wanted),
    "DateEquals": _moments(lambda actual, wanted: actual == wanted),
    "DateLessThan": _moments(lambda actual, wanted: actual < wanted),
    "DateLessThanEquals": _moments(lambda actual, wanted: actual <= wanted),
    "DateGreaterThan": _moments(lambda actual, wanted: actual > wanted),
    "DateGreaterThanEquals": _moments(lambda actual, wanted: actual >= wanted),
    "Bool": lambda actual, wanted: actual.lower() == wanted.lower(),
    "BinaryEquals": lambda actual, wanted: actual == wanted,
    "IpAddress": _within,
    "ArnEquals": lambda actual, wanted: matches(wanted, actual),
    "ArnLike": lambda actual, wanted: matches(wanted, actual),
}
_NEGATIVE: Final[Mapping[str, str]] = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
    "NotIpAddress": "IpAddress",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
}
"""They hold where their counterpart does not, also for a key that the request does not have."""
_WANTED_FORMS: Final[Mapping[str, Callable[[str], Any]]] = {
    "Numeric": float,
    "Date": _moment,
    "IpAddress": lambda text: ip_network(text, strict=False),
    "NotIpAddress": lambda text: ip_network(text, strict=False),
}


@attrs.frozen
class Condition:
    """One line of a `Condition` block."""

    operator: str
    """Without its prefix and suffix."""
    key: str
    """In lower case."""
    values: tuple[str, ...]
    if_exists: bool = False
    quantifier: str = ""
    """`ForAnyValue`, `ForAllValues`, or nothing."""

    def holds(self, context: Context, fill: Callable[[str], str | None]) -> bool:
        """Return whether the request meets it; `fill` replaces the variables in a value, or gives
        None if the request lacks one.
        """
        actual = context.get(self.key, ())
        if self.operator == "Null":
            return any((not actual) == (value.lower() == "true") for value in self.values)
        if not actual and self.if_exists:
            return True
        wanted = [text for text in map(fill, self.values) if text is not None]
        if self.operator in _NEGATIVE:
            return self._all_differ(_POSITIVE[_NEGATIVE[self.operator]], actual, wanted)
        test = _POSITIVE[self.operator]
        if self.quantifier == "ForAllValues":
            return all(_any(test, one, wanted) for one in actual)
        return any(_any(test, one, wanted) for one in actual)

    def _all_differ(self, test: Test, actual: Sequence[str], wanted: Sequence[str]) -> bool:
        differ = [not _any(test, one, wanted) for one in actual]
        return any(differ) if self.quantifier == "ForAnyValue" else all(differ)


def read_condition(operator: str, key: str, values: Any) -> Condition:
    """Return the condition. Raises `ValueError`, saying what is wrong."""
    name, quantifier = operator, ""
    for word in ("ForAnyValue", "ForAllValues"):
        if name.startswith(f"{word}:"):
            name, quantifier = name[len(word) + 1 :], word
    if_exists = name.endswith("IfExists") and name != "NullIfExists"
    name = name.removesuffix("IfExists") if if_exists else name
    if name != "Null" and name not in _POSITIVE and name not in _NEGATIVE:
        raise ValueError(f"Invalid Condition type : {operator}")
    texts = tuple(_text(value) for value in (values if isinstance(values, list) else [values]))
    for beginning, form in _WANTED_FORMS.items():
        if name.startswith(beginning):
            for text in texts:
                _check(form, text, key)
    return Condition(name, key.lower(), texts, if_exists, quantifier)


def _check(form: Callable[[str], Any], text: str, key: str) -> None:
    try:
        form(text)
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"Invalid value of the condition {key}: {text[:80]!r}") from None


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise ValueError(f"A condition's value is text, not {str(value)[:80]}")


def _any(test: Test, actual: str, wanted: Sequence[str]) -> bool:
    for one in wanted:
        try:
            if test(actual, one):
                return True
        except (ValueError, OverflowError, OSError):
            continue
    return False
