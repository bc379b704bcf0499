"""Pages of an answer: `MaxResults` and `NextToken`.

A token says after which item the next page begins, so it stays good while things come and go.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from pycloud.aws.errors import AWSError
from pycloud.ec2.filters import SomeItem

Place = tuple[str | int, ...]

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def page(
    items: Sequence[SomeItem],
    key: str | Callable[[SomeItem], str],
    max_results: int | None,
    next_token: str | None,
    *,
    least: int = 5,
    most: int = 1000,
    code: str = "InvalidNextToken",
) -> tuple[list[SomeItem], str | None]:
    """Return the items of one page in the order of their `key`, and the token of the next one, if
    there is one. The key is a member that no two items share, or what makes such a text of an
    item. Raises `AWSError`, with `code` for what is no token.
    """
    check_size(max_results, least, most)
    text_of = key if callable(key) else itemgetter(key)
    ordered = sorted(items, key=text_of)
    if next_token is not None:
        (after,) = place_of(next_token, str, code=code)
        ordered = [item for item in ordered if text_of(item) > str(after)]
    if max_results is None or len(ordered) <= max_results:
        return ordered, None
    shown = ordered[:max_results]
    return shown, token_of((text_of(shown[-1]),))


def check_size(max_results: int | None, least: int, most: int) -> None:
    """Raise `AWSError` for a page that is too small or too large."""
    if max_results is not None and not least <= max_results <= most:
        raise AWSError(
            "InvalidParameterValue",
            f"Value ({max_results}) for parameter MaxResults is invalid: "
            f"it is a number from {least} to {most}",
        )


def refuse_with_ids(ids: Sequence[Any], max_results: int | None) -> None:
    """Raise `AWSError` if ids are given and pages are asked for, as AWS does."""
    if ids and max_results is not None:
        raise AWSError(
            "InvalidParameterCombination",
            "The parameter MaxResults cannot be used with ids in the same request",
        )


def token_of(place: Place) -> str:
    """Return the token of the page that begins after `place`."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def place_of(token: str, *kinds: type, code: str = "InvalidNextToken") -> Place:
    """Return the place of a token: values of these kinds. Raises `AWSError` with `code` for what
    is no token.
    """
    try:
        values = json.loads(base64.b64decode(token, altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        values = None
    if not (
        isinstance(values, list)
        and len(values) == len(kinds)
        and all(type(value) is kind for value, kind in zip(values, kinds, strict=True))
        and all(map(_is_storable, values))
    ):
        raise AWSError(code, "The token of the next page is not one that an answer has given")
    return tuple(values)


def _is_storable(value: str | int) -> bool:
    """Whether a database can look for it: JSON holds NULs and lone surrogates, too."""
    return isinstance(value, int) or not _UNSTORABLE.search(value)
