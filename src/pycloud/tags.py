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
_INSERT = tags.insert()


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
    ) -> None:
        """Tag each of the resources, in place of tags with the same keys. Raises `InvalidValue`,
        `LimitExceeded`.
        """
        check_tags(values)
        if not values:
            return
        tx.execute(delete(tags).where(tags.c.resource.in_(resources), tags.c.key.in_(values)))
        rows = [
            {"resource": resource, "key": key, "value": value, "account": account}
            for resource in dict.fromkeys(resources)
            for key, value in values.items()
        ]
        tx.execute(_INSERT, rows)
        count = (
            select(tags.c.resource)
            .where(tags.c.resource.in_(resources))
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
        """Remove tags by key, or by key and value where a value is given; all of them with None.
        Nothing happens where there are none.
        """
        mine = tags.c.resource.in_(resources)
        if values is None:
            tx.execute(delete(tags).where(mine))
            return
        for key, value in values.items():
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
        self.remove(tx, resources)


def check_tags(values: Mapping[str, str]) -> None:
    """Raise `InvalidValue` or `LimitExceeded` for what cannot be the tags of one thing."""
    if len(values) > limits.TAGS:
        raise LimitExceeded(f"a thing has at most {limits.TAGS} tags, not {len(values)}")
    for key, value in values.items():
        if not 1 <= len(key) <= limits.TAG_KEY_CHARS:
            raise InvalidValue(f"a tag's key has 1 to {limits.TAG_KEY_CHARS} characters: {key!r}")
        if key.lower().startswith("aws:"):
            raise InvalidValue(f"tag keys that begin with aws: are reserved: {key!r}")
        checked_text("a tag's key", key)
        checked_text(f"the value of tag {key!r}", value, most=limits.TAG_VALUE_CHARS)
