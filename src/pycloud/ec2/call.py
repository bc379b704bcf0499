"""`Call`: what every action is given, and what all of them check alike."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TypeVar

import attrs

from pycloud.aws.callers import Caller
from pycloud.aws.errors import AWSError
from pycloud.cloud import CloudController
from pycloud.ids import AccountId

_VERBOSE = "verbose"
_ID = re.compile(r"([0-9a-f]{8}|[0-9a-f]{17})", re.IGNORECASE)

Id = TypeVar("Id", bound=str)


@attrs.frozen
class Call:
    """One request, authenticated."""

    cloud: CloudController
    caller: Caller
    request_id: str
    endpoint: str
    """The URL at which the client found us."""

    @property
    def account(self) -> AccountId:
        """The caller's account."""
        return self.caller.account

    def whose(self, names: Sequence[str] | None) -> tuple[AccountId | None, list[str]]:
        """Return whose resources are to be shown, and the names or ids that are left to look for.

        The administrator sees those of all accounts with the word `verbose` among the ids, as in
        Eucalyptus; then the account is None. For others that word means nothing.
        """
        asked = list(names or ())
        left = [name for name in asked if name != _VERBOSE]
        is_all = len(left) < len(asked) and self.caller.is_administrator
        return (None if is_all else self.account), left


def check_one_of(**given: str | None) -> None:
    """Raise `AWSError` unless one of these parameters is given, and only one."""
    count = sum(value is not None for value in given.values())
    if count != 1:
        raise AWSError(
            "InvalidParameterCombination" if count else "MissingParameter",
            f"The request must contain {' or '.join(given)}, and not both",
        )


def check_ids(values: Iterable[str], prefixes: Sequence[str], code: str) -> None:
    """Raise `AWSError` with `code` for the first value that can't be an id with such a prefix."""
    for value in values:
        prefix, _, digits = value.partition("-")
        if prefix not in prefixes or not _ID.fullmatch(digits):
            shown = value if len(value) <= 80 else f"{value[:80]}…"
            raise AWSError(
                code,
                f'Invalid id: "{shown}" (expecting "{prefixes[0]}-" and 8 or 17 hexadecimal digits)',
            )
