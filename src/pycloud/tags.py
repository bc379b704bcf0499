"""`TagStore`: keys and values that people put on whatever has an id.

It does not know what there is: whoever calls has looked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, func, select

from pycloud import limits
from pycloud.errors import InvalidValue, LimitExceeded
from pycloud.ids import ADMIN_ACCOUNT, AccountId
from pycloud.names import checked_text
from pycloud.state.database import Database
from pycloud.state.schema import tags
from pycloud.state.transaction import Transaction

_AT_ONCE = 500
"""Ids in one statement: SQLite takes 32 766 values, but a plan for each number of them is made
anew.
"""
_OF = select(tags.c.resource, tags.c.key, tags.c.value).where(
    tags.c.resource.in_(bindparam("resources", expanding=True))
)
_RESERVED = "aws:"
_BY_USERS = tags.c.key.not_like(f"{_RESERVED}%")


class TagStore:
    """Tags by resource and key ("Tag your Amazon EC2 resources", EC2 user guide).

    >>> import pycloud
    >>> with pycloud.SQLiteState("cloud.db") as state, state.transaction() as tx:
    ...     tags = pycloud.TagStore(state)
    ...     tags.put(tx, ["i-1", "i-2"], {"Name": "web"})
    ...     tags.of(tx, ["i-2"])
    {'i-2': {'Name': 'web'}}
    """

    def __init__(self, state: Database) -> None:
        self.state = state

    def put(
        self,
        tx: Transaction,
        resources: Sequence[str],
        values: Mapping[str, str],
        *,
        account: AccountId = ADMIN_ACCOUNT,
        system: bool = False,
    ) -> None:
        """Tag each of the resources, in place of tags with the same keys. Raises `InvalidValue`,
        `LimitExceeded`.

        `system` tags are the cloud's own: their keys begin with `aws:`, they count for nothing, and
        they stay until the resource is forgotten.
        """
        if not system:
            check_tags(values)
        if not values:
            return
        # In one order, so that no two who tag the same things wait for each other.
        rows = [
            {"resource": resource, "key": key, "value": value, "account": account}
            for resource in sorted(set(resources))
            for key, value in sorted(values.items())
        ]
        tx.put(tags, rows)
        count = (
            select(tags.c.resource)
            .where(tags.c.resource.in_(resources), _BY_USERS)
            .group_by(tags.c.resource)
            .having(func.count() > limits.TAGS)
        )
        crowded = tx.execute(count).scalar()
        if crowded is not None:
            raise LimitExceeded(f"{crowded} would have more than {limits.TAGS} tags")

    def remove(
        self,
        tx: Transaction,
        resources: Sequence[str],
        values: Mapping[str, str | None] | None = None,
    ) -> None:
        """Remove tags by key, or by key and value where a value is given; with None all of them
        but the system's. Nothing happens where there are none. Raises `InvalidValue` for a
        system's.
        """
        mine = tags.c.resource.in_(resources)
        if values is None:
            tx.execute(delete(tags).where(mine, _BY_USERS))
            return
        for key, value in values.items():
            _refuse_reserved(key)
            chosen = mine & (tags.c.key == key)
            tx.execute(
                delete(tags).where(chosen if value is None else chosen & (tags.c.value == value))
            )

    def of(self, tx: Transaction, resources: Collection[str]) -> dict[str, dict[str, str]]:
        """Return the tags of each resource that has some."""
        found: dict[str, dict[str, str]] = {}
        wanted = list(resources)
        for first in range(0, len(wanted), _AT_ONCE):
            part = wanted[first : first + _AT_ONCE]
            rows: Iterable[Any] = tx.execute(_OF, {"resources": part})
            for resource, key, value in rows:
                found.setdefault(resource, {})[key] = value
        return found

    def list(
        self, tx: Transaction, *, account: AccountId = ADMIN_ACCOUNT
    ) -> list[tuple[str, str, str]]:
        """Return the account's tags: resource, key, value."""
        query = select(tags.c.resource, tags.c.key, tags.c.value).where(tags.c.account == account)
        rows = tx.execute(query.order_by(tags.c.resource, tags.c.key))
        return [(row.resource, row.key, row.value) for row in rows]

    def forget(self, tx: Transaction, resources: Sequence[str]) -> None:
        """Remove the tags of what is gone."""
        tx.execute(delete(tags).where(tags.c.resource.in_(resources)))

    def forget_account(self, tx: Transaction, account: AccountId) -> None:
        """Remove all tags of an account, as part of `tx`."""
        tx.execute(delete(tags).where(tags.c.account == account))


def check_tags(values: Mapping[str, str]) -> None:
    """Raise `InvalidValue` or `LimitExceeded` for what cannot be the tags of one thing."""
    if len(values) > limits.TAGS:
        raise LimitExceeded(f"a thing has at most {limits.TAGS} tags, not {len(values)}")
    for key, value in values.items():
        if not 1 <= len(key) <= limits.TAG_KEY_CHARS:
            raise InvalidValue(f"a tag's key has 1 to {limits.TAG_KEY_CHARS} characters: {key!r}")
        _refuse_reserved(key)
        checked_text("a tag's key", key)
        checked_text(f"the value of tag {key!r}", value, most=limits.TAG_VALUE_CHARS)


def _refuse_reserved(key: str) -> None:
    if key.lower().startswith(_RESERVED):
        raise InvalidValue(f"tag keys that begin with {_RESERVED} are reserved: {key!r}")
