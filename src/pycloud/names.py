"""The names that users give to things."""

from __future__ import annotations

import unicodedata

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
    for character in name:
        # Cc are controls (NUL among them), Cs lone surrogates, which no database takes.
        if unicodedata.category(character) in ("Cc", "Cs"):
            raise InvalidValue(
                f"the name of a {kind} has no control characters; {name!r} contains {character!r}"
            )
    if name != name.strip():
        raise InvalidValue(f"the name of a {kind} neither begins nor ends with a space: {name!r}")
    return name
