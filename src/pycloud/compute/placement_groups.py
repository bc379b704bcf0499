"""`PlacementGroups`: groups of instances that are placed with regard to each other."""

from __future__ import annotations

from typing import Any

import attrs
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from pycloud import limits
from pycloud.compute.records import GroupStrategy, PlacementGroup
from pycloud.errors import Duplicate, InUse, InvalidValue, NotFound
from pycloud.identity.accounts import get_account
from pycloud.ids import ADMIN_ACCOUNT, AccountId, GroupId, mint
from pycloud.names import checked_name
from pycloud.state.database import Database
from pycloud.state.schema import claims, placement_groups
from pycloud.state.transaction import Transaction


class PlacementGroups:
    """Placement groups by account and name ("Placement groups", EC2 user guide).

    >>> import pycloud
    >>> with pycloud.SQLiteState("cloud.db") as state:
    ...     groups = pycloud.PlacementGroups(state)
    ...     groups.create("brokers", pycloud.GroupStrategy.PARTITION, partitions=3).partitions
    3
    """

    def __init__(self, state: Database) -> None:
        self.state = state

    def create(
        self,
        name: str,
        strategy: GroupStrategy | str,
        *,
        partitions: int | None = None,
        account: AccountId = ADMIN_ACCOUNT,
    ) -> PlacementGroup:
        """Make a group; `partitions` (1 to 7, by default 2) is for the strategy of that name.
        Raises `InvalidValue`, `Duplicate`.
        """
        checked_name("placement group", name)
        kind = _checked_strategy(strategy)
        if kind is GroupStrategy.PARTITION:
            partitions = 2 if partitions is None else partitions
            if not 1 <= partitions <= limits.PARTITIONS_MAX:
                raise InvalidValue(
                    f"a placement group has 1 to {limits.PARTITIONS_MAX} partitions, not {partitions}"
                )
        elif partitions is not None:
            raise InvalidValue(f"a group of strategy {kind} has no partitions, so not {partitions}")
        try:
            with self.state.transaction() as tx:
                get_account(tx, account)
                group = PlacementGroup(GroupId(mint("pg")), account, name, kind, partitions, tx.now)
                tx.execute(placement_groups.insert().values(attrs.asdict(group)))
                tx.record("placement-group.created", group.id, name)
        except IntegrityError:
            raise Duplicate(f"there is a placement group {name!r} already") from None
        return group

    def list(self, *, account: AccountId | None = ADMIN_ACCOUNT) -> list[PlacementGroup]:
        """Return the account's groups by name; with None, those of all accounts."""
        query = select(placement_groups).order_by(
            placement_groups.c.name, placement_groups.c.account
        )
        if account is not None:
            query = query.where(placement_groups.c.account == account)
        with self.state.reading() as tx:
            return [_group(row) for row in tx.execute(query)]

    def delete(self, name: str, *, account: AccountId = ADMIN_ACCOUNT) -> None:
        """Delete a group. Raises `NotFound`, and `InUse` while instances are in it."""
        with self.state.transaction() as tx:
            group = self.find(tx, name, account=account)
            query = select(claims.c.holder).where(claims.c.group_id == group.id).limit(5)
            holders = list(tx.execute(query.order_by(claims.c.holder)).scalars())
            if holders:
                raise InUse(f"placement group {name!r} still has {', '.join(holders)}")
            tx.execute(delete(placement_groups).where(placement_groups.c.id == group.id))
            tx.record("placement-group.deleted", group.id, name)

    def find(self, tx: Transaction, name: str, *, account: AccountId) -> PlacementGroup:
        """Return the group, as part of `tx`, and locked if that writes: who is placed in it is
        decided by one at a time. Raises `NotFound`.
        """
        query = select(placement_groups).where(
            placement_groups.c.account == account, placement_groups.c.name == name
        )
        row = tx.execute(tx.locked(query)).one_or_none()
        if row is None:
            raise NotFound("placement group", name)
        return _group(row)

    def check_partition(self, group: PlacementGroup, partition: int | None) -> None:
        """Raise `InvalidValue` if the group has no such partition."""
        if partition is None:
            return
        if group.partitions is None:
            raise InvalidValue(
                f"group {group.name!r} has strategy {group.strategy}, and no partition {partition}"
            )
        if not 1 <= partition <= group.partitions:
            raise InvalidValue(
                f"group {group.name!r} has partitions 1 to {group.partitions}, not {partition}"
            )


def _checked_strategy(strategy: GroupStrategy | str) -> GroupStrategy:
    try:
        return GroupStrategy(strategy)
    except ValueError:
        known = ", ".join(GroupStrategy)
        raise InvalidValue(f"{strategy!r} is not a strategy; there are {known}") from None


def _group(row: Any) -> PlacementGroup:
    return PlacementGroup(**(dict(row._mapping) | {"strategy": GroupStrategy(row.strategy)}))
