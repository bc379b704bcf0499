"""`ElasticAddresses`: public addresses that an account keeps, and moves between its instances."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from ipaddress import IPv4Address
from typing import Any

import attrs
from sqlalchemy import bindparam, delete, func, select, update

from pycloud import limits
from pycloud.errors import InUse, LimitExceeded, NotFound
from pycloud.identity.accounts import get_account
from pycloud.ids import (
    ADMIN_ACCOUNT,
    AccountId,
    AllocationId,
    AssociationId,
    InstanceId,
    mint,
)
from pycloud.network.addresses import IPPool
from pycloud.state.database import Database
from pycloud.state.schema import elastic_addresses
from pycloud.state.transaction import Transaction

_OF = select(elastic_addresses).where(
    elastic_addresses.c.instance_id.in_(bindparam("holders", expanding=True))
)
_FREE: dict[str, None] = {"instance_id": None, "association_id": None}


@attrs.frozen
class ElasticAddress:
    """A public address of an account."""

    id: AllocationId
    account: AccountId
    address: IPv4Address
    instance_id: InstanceId | None
    """The instance that it leads to."""
    association_id: AssociationId | None
    created_at: datetime


class ElasticAddresses:
    """Addresses out of `pool` ("Elastic IP addresses", EC2 user guide).

    What is associated is written down; that packets follow is the fabric's part.

    >>> import pycloud
    >>> with pycloud.SQLiteState("cloud.db") as state:
    ...     pool = pycloud.IPPool(state, "203.0.113.0/28", name="public")
    ...     elastic = pycloud.ElasticAddresses(state, pool)
    ...     print(elastic.allocate().address)
    203.0.113.4
    """

    def __init__(self, state: Database, pool: IPPool) -> None:
        self.state = state
        self.pool = pool

    def allocate(self, *, account: AccountId = ADMIN_ACCOUNT) -> ElasticAddress:
        """Give the account an address. Raises `NoAddress`, `LimitExceeded`."""
        with self.state.transaction() as tx:
            get_account(tx, account, alone=True)
            mine = select(func.count()).where(elastic_addresses.c.account == account)
            if tx.execute(mine).scalar_one() >= limits.ELASTIC_ADDRESSES:
                raise LimitExceeded(
                    f"an account has at most {limits.ELASTIC_ADDRESSES} elastic addresses"
                )
            id_ = AllocationId(mint("eipalloc"))
            made = ElasticAddress(id_, account, self.pool.take(tx, id_), None, None, tx.now)
            values = attrs.asdict(made, recurse=False) | {"address": str(made.address)}
            tx.execute(elastic_addresses.insert().values(values))
            tx.record("address.allocated", id_, str(made.address))
        return made

    def list(self, *, account: AccountId | None = ADMIN_ACCOUNT) -> list[ElasticAddress]:
        """Return the account's addresses, the oldest first; with None, those of all accounts."""
        query = select(elastic_addresses).order_by(
            elastic_addresses.c.created_at, elastic_addresses.c.id
        )
        if account is not None:
            query = query.where(elastic_addresses.c.account == account)
        with self.state.reading() as tx:
            return [_address(row) for row in tx.execute(query)]

    def associate(
        self,
        id: AllocationId,
        instance: InstanceId,
        *,
        reassociate: bool = True,
        account: AccountId = ADMIN_ACCOUNT,
    ) -> ElasticAddress:
        """Let the address lead to an instance, in place of the address that led there. Raises
        `NotFound`, and `InUse` if it leads to another one and is not to be moved.

        Whoever calls has seen that there is such an instance.
        """
        with self.state.transaction() as tx:
            found = self._locked(tx, account).get(id)
            if found is None:
                raise NotFound("allocation", id)
            if found.instance_id == instance:
                return found
            if found.instance_id is not None and not reassociate:
                raise InUse(f"{found.address} is associated with {found.instance_id} already")
            self.forget(tx, instance)
            association = AssociationId(mint("eipassoc"))
            tx.execute(
                update(elastic_addresses)
                .where(elastic_addresses.c.id == id)
                .values(instance_id=instance, association_id=association)
            )
            tx.record("address.associated", id, f"{found.address} {instance}")
            return attrs.evolve(found, instance_id=instance, association_id=association)

    def disassociate(self, id: AllocationId, *, account: AccountId = ADMIN_ACCOUNT) -> None:
        """Let the address lead nowhere. Raises `NotFound`."""
        with self.state.transaction() as tx:
            self._find(tx, id, account)
            tx.execute(update(elastic_addresses).where(elastic_addresses.c.id == id).values(_FREE))
            tx.record("address.disassociated", id)

    def release(self, id: AllocationId, *, account: AccountId = ADMIN_ACCOUNT) -> None:
        """Give the address back. Raises `NotFound`, and `InUse` while it leads to an instance."""
        with self.state.transaction() as tx:
            found = self._find(tx, id, account)
            if found.instance_id is not None:
                raise InUse(f"{found.address} is associated with {found.instance_id}")
            tx.execute(delete(elastic_addresses).where(elastic_addresses.c.id == id))
            self.pool.give_back(tx, id)
            tx.record("address.released", id, str(found.address))

    # Building blocks

    def of(self, tx: Transaction, instances: Collection[str]) -> dict[InstanceId, ElasticAddress]:
        """Return the address of each instance that has one."""
        rows = tx.execute(_OF, {"holders": list(instances)})
        return {row.instance_id: _address(row) for row in rows}

    def forget(self, tx: Transaction, instance: InstanceId) -> None:
        """Let no address lead to the instance any more, as part of `tx`."""
        tx.execute(
            update(elastic_addresses)
            .where(elastic_addresses.c.instance_id == instance)
            .values(_FREE)
        )

    def _locked(self, tx: Transaction, account: AccountId) -> dict[AllocationId, ElasticAddress]:
        """Lock and return all addresses of the account. They are locked in one order, so no two
        that move them wait for each other, nor lead two to one instance.
        """
        mine = elastic_addresses.c.account == account
        query = select(elastic_addresses).where(mine).order_by(elastic_addresses.c.id)
        return {row.id: _address(row) for row in tx.execute(tx.locked(query))}

    def _find(self, tx: Transaction, id_: AllocationId, account: AccountId) -> ElasticAddress:
        query = select(elastic_addresses).where(
            elastic_addresses.c.id == id_, elastic_addresses.c.account == account
        )
        row = tx.execute(tx.locked(query)).one_or_none()
        if row is None:
            raise NotFound("allocation", id_)
        return _address(row)


def _address(row: Any) -> ElasticAddress:
    return ElasticAddress(**(dict(row._mapping) | {"address": IPv4Address(row.address)}))
