"""`VPCStore`: the network of an account, as AWS's tools want to see it.

The cloud has one flat routed network, out of which every guest's address comes. So each account has
its default VPC and nothing else, a default subnet in each zone, and all of them show that network's
CIDR.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from ipaddress import IPv4Network

import attrs
from sqlalchemy import bindparam, delete, select

from pycloud.identity.accounts import get_account
from pycloud.ids import ADMIN_ACCOUNT, AccountId, SubnetId, VpcId, mint
from pycloud.state.database import Database
from pycloud.state.schema import vpcs
from pycloud.state.transaction import Transaction

_OF = select(vpcs).where(vpcs.c.account == bindparam("account"))
_OF_SOME = select(vpcs).where(vpcs.c.account.in_(bindparam("accounts", expanding=True)))


@attrs.frozen
class VPC:
    """The network of an account."""

    id: VpcId
    account: AccountId
    cidr: str
    created_at: datetime

    def subnet(self, zone: str) -> Subnet:
        """Return the default subnet of a zone. It follows from the VPC and the zone, and so does its
        id.
        """
        return Subnet(_subnet_id(self.id, zone), self.id, self.account, zone, self.cidr)


@attrs.frozen
class Subnet:
    """A zone's part of a VPC."""

    id: SubnetId
    vpc_id: VpcId
    account: AccountId
    zone: str
    cidr: str


class VPCStore:
    """The default VPC of each account, made when it is first looked for.

    >>> import pycloud
    >>> with pycloud.SQLiteState("cloud.db") as state:
    ...     vpc = pycloud.VPCStore(state, "10.11.0.0/24").default()
    ...     print(vpc.cidr, vpc.subnet("cluster01").zone)
    10.11.0.0/24 cluster01
    """

    def __init__(self, state: Database, network: str | IPv4Network) -> None:
        self.state = state
        self.network = str(network)

    def default(self, *, account: AccountId = ADMIN_ACCOUNT) -> VPC:
        """Return the account's VPC. Raises `NotFound` if there is no such account."""
        with self.state.reading() as tx:
            found = self.of(tx, [account])
        if account in found:
            return found[account]
        with self.state.transaction() as tx:
            return self.ensure(tx, account)

    def list(self, *, account: AccountId | None = ADMIN_ACCOUNT) -> list[VPC]:
        """Return the account's VPC; with None, those of all accounts that have one, the oldest
        first. Raises `NotFound` if there is no such account.
        """
        if account is not None:
            return [self.default(account=account)]
        query = select(vpcs).order_by(vpcs.c.created_at, vpcs.c.id)
        with self.state.reading() as tx:
            return [VPC(**row._mapping) for row in tx.execute(query)]

    def ensure(self, tx: Transaction, account: AccountId) -> VPC:
        """Return the account's VPC, as part of `tx`, which may make it. Raises `NotFound` if there
        is no such account.
        """
        row = tx.execute(_OF, {"account": account}).one_or_none()
        if row is None:
            get_account(tx, account)
            tx.add_if_absent(
                vpcs, id=mint("vpc"), account=account, cidr=self.network, created_at=tx.now
            )
            row = tx.execute(_OF, {"account": account}).one()
        return VPC(**row._mapping)

    def forget(self, tx: Transaction, account: AccountId) -> None:
        """Take the account's VPC away, as part of `tx`; nothing may stand on it any more."""
        tx.execute(delete(vpcs).where(vpcs.c.account == account))

    def of(self, tx: Transaction, accounts: Iterable[AccountId]) -> dict[AccountId, VPC]:
        """Return the VPCs of those accounts that have one already."""
        rows = tx.execute(_OF_SOME, {"accounts": list(accounts)})
        return {row.account: VPC(**row._mapping) for row in rows}


@lru_cache(maxsize=1024)
def _subnet_id(vpc: VpcId, zone: str) -> SubnetId:
    return SubnetId(f"subnet-{hashlib.sha256(f'{vpc} {zone}'.encode()).hexdigest()[:17]}")
