"""The names that users give to things."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

from pycloud import limits
from pycloud.errors import InvalidValue


def checked_name(kind: str, name: str) -> str:
    """Return `name` if it can name a `kind`; raise `InvalidValue` saying what is wrong with it
    otherwise.

    >>> checked_name("key pair", "eucatest")
    'eucatest'
    """
    if not isinstance(name, str):
        raise InvalidValue(f"the name of a {kind} is text, not {type(name).__name__}")
    if not 1 <= len(name) <= limits.NAME_CHARS:
        raise InvalidValue(
            f"the name of a {kind} has 1 to {limits.NAME_CHARS} characters; this one has {len(name)}"
        )
    _refuse_controls(f"the name of a {kind}", name)
    if name != name.strip():
        raise InvalidValue(f"the name of a {kind} neither begins nor ends with a space: {name!r}")
    return name


def checked_text(what: str, text: str, *, most: int = limits.NAME_CHARS) -> str:
    """Return `text` if it can be a description: of at most so many characters, without controls.
    Raises `InvalidValue`.
    """
    if len(text) > most:
        raise InvalidValue(f"{what} has at most {most} characters, not {len(text)}")
    _refuse_controls(what, text)
    return text


def checked_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Return a copy of `labels` if they can describe a node; raise `InvalidValue` saying what is
    wrong otherwise.

    >>> checked_labels({"rack": "a3", "ssd": ""})
    {'rack': 'a3', 'ssd': ''}
    """
    if not isinstance(labels, Mapping):
        raise InvalidValue(f"labels are a mapping of names to values, not {labels!r}")
    if len(labels) > limits.NODE_LABELS:
        raise InvalidValue(f"a node has at most {limits.NODE_LABELS} labels, not {len(labels)}")
    for name, value in labels.items():
        checked_name("label", name)
        what = f"the value of label {name!r}"
        if not isinstance(value, str):
            raise InvalidValue(f"{what} is text, not {type(value).__name__}")
        if len(value) > limits.NAME_CHARS:
            raise InvalidValue(f"{what} has at most {limits.NAME_CHARS} characters")
        _refuse_controls(what, value)
    return dict(labels)


def _refuse_controls(what: str, text: str) -> None:
    for character in text:
        # Cc are controls (NUL among them), Cs lone surrogates, which no database takes.
        if unicodedata.category(character) in ("Cc", "Cs"):
            raise InvalidValue(f"{what} has no control characters; {text!r} contains {character!r}")
