"""`IPPool`: which address is whose. Decides inside transactions; what a host does with it is the
fabric's.
"""

from __future__ import annotations

from functools import cache
from ipaddress import IPv4Address, IPv4Network

from sqlalchemy import Update, bindparam, func, select, update

from pycloud import limits
from pycloud.errors import InvalidValue, NoAddress
from pycloud.names import checked_name
from pycloud.state.database import Database
from pycloud.state.schema import addresses, pools
from pycloud.state.transaction import Transaction

_BLOCK = 256
"""Rows are made this many at a time, so that a /16 costs nothing until it is used."""

_NETWORK = select(pools.c.network).where(pools.c.name == bindparam("wanted"))
_HELD = select(addresses.c.address).where(
    addresses.c.pool == bindparam("wanted"), addresses.c.holder == bindparam("taker")
)


class IPPool:
    """The addresses of one network, each held by at most one holder, each holder with at most one.

    The first four addresses and the last are never given, as in AWS ("Subnet CIDR reservations"):
    network, gateway, name server, one for later, broadcast. Those never used go first, then the one
    that has rested longest. `name` tells several pools of one state apart.

    >>> import pycloud
    >>> with pycloud.SQLiteState("cloud.db") as state:
    ...     pool = pycloud.IPPool(state, "10.11.0.0/24")
    ...     print(pool.gateway, pool.allocate("i-1"), pool.allocate("i-2"))
    10.11.0.1 10.11.0.4 10.11.0.5

    Raises `InvalidValue` for what is not a private or public IPv4 network from /16 to /28.
    """

    def __init__(
        self, state: Database, network: str | IPv4Network, *, name: str = "private"
    ) -> None:
        self.state = state
        self.network = _checked_network(network)
        self.name = checked_name("pool", name)
        self._is_known = False

    @property
    def gateway(self) -> IPv4Address:
        """The second address of the network: the node's own, as the guests see it."""
        return self.network[1]

    @property
    def size(self) -> int:
        """How many addresses can be held at once."""
        return self.network.num_addresses - 5

    def allocate(self, holder: str) -> IPv4Address:
        """Give `holder` an address, or the one that it holds. Raises `NoAddress`."""
        with self.state.transaction() as tx:
            return self.take(tx, holder)

    def release(self, holder: str) -> None:
        """Take back the address of `holder`, if it holds one."""
        with self.state.transaction() as tx:
            self.give_back(tx, holder)

    def held(self) -> dict[IPv4Address, str]:
        """Return who holds which address."""
        query = select(addresses.c.address, addresses.c.holder).where(
            addresses.c.pool == self.name, addresses.c.holder.is_not(None)
        )
        with self.state.reading() as tx:
            return {IPv4Address(row.address): row.holder for row in tx.execute(query)}

    def take(self, tx: Transaction, holder: str) -> IPv4Address:
        """Give `holder` an address, as part of `tx`. Raises `NoAddress`."""
        self._prepare(tx)
        values = {"wanted": self.name, "taker": holder}
        number = tx.execute(_HELD, values).scalar_one_or_none()
        if number is None:
            number = tx.execute(_take(tx.is_sqlite), values).scalar_one_or_none()
        if number is None:
            self._extend(tx)
            number = tx.execute(_take(tx.is_sqlite), values).scalar_one_or_none()
        if number is None:
            raise NoAddress(
                f"all {self.size} addresses of pool {self.name!r} ({self.network}) are held"
            )
        return IPv4Address(number)

    def give_back(self, tx: Transaction, holder: str) -> None:
        """Take back the address of `holder`, if it holds one, as part of `tx`."""
        latest = select(func.max(addresses.c.freed)).where(addresses.c.pool == self.name)
        tx.execute(
            update(addresses)
            .where(addresses.c.pool == self.name, addresses.c.holder == holder)
            .values(holder=None, freed=latest.scalar_subquery() + 1)
        )

    def _prepare(self, tx: Transaction) -> None:
        """Make the pool known to the state, or see that it is the network that the state knows."""
        if self._is_known:
            return
        mine = {"wanted": self.name}
        network = tx.execute(_NETWORK, mine).scalar_one_or_none()
        if network is None:
            self._add(tx)
            network = tx.execute(_NETWORK, mine).scalar_one()
        if network != str(self.network):
            raise InvalidValue(
                f"pool {self.name!r} is {network} in this state, not {self.network}: "
                "give another pool another name"
            )
        self._is_known = True
        tx.undo.append(self._forget)

    def _add(self, tx: Transaction) -> None:
        """Make the pool's row, unless another makes it: then wait until that is done."""
        first = int(self.network[4])
        tx.add_if_absent(pools, name=self.name, network=str(self.network), prepared=first)

    def _forget(self) -> None:
        self._is_known = False

    def _extend(self, tx: Transaction) -> None:
        """Make rows for the next addresses, if there are any."""
        prepared = select(pools.c.prepared).where(pools.c.name == self.name)
        first = tx.execute(tx.locked(prepared)).scalar_one_or_none()
        if first is None:
            # Known to this process, but what made it so is not committed yet.
            self._add(tx)
            first = tx.execute(tx.locked(prepared)).scalar_one()
        last = min(first + _BLOCK, int(self.network.broadcast_address))
        if first < last:
            rows = [{"pool": self.name, "address": n, "freed": 0} for n in range(first, last)]
            tx.execute(addresses.insert(), rows)
            tx.execute(update(pools).where(pools.c.name == self.name).values(prepared=last))


@cache
def _take(sqlite: bool) -> Update:
    """Take the free address that is next, passing over those that others are taking just now."""
    pool = addresses.c.pool == bindparam("wanted")
    free = (
        select(addresses.c.address)
        .where(pool, addresses.c.holder.is_(None))
        .order_by(addresses.c.freed, addresses.c.address)
        .limit(1)
    )
    if not sqlite:
        free = free.with_for_update(skip_locked=True)
    return (
        update(addresses)
        .where(pool, addresses.c.address == free.scalar_subquery())
        .values(holder=bindparam("taker"))
        .returning(addresses.c.address)
    )


def _checked_network(network: str | IPv4Network) -> IPv4Network:
    try:
        checked = IPv4Network(network)
    except ValueError as error:
        raise InvalidValue(
            f"{network!r} is not an IPv4 network ({error}); right would be '10.11.0.0/24'"
        ) from None
    if not limits.SUBNET_PREFIX_MIN <= checked.prefixlen <= limits.SUBNET_PREFIX_MAX:
        raise InvalidValue(
            f"{checked} is not between /{limits.SUBNET_PREFIX_MIN} and /{limits.SUBNET_PREFIX_MAX}"
        )
    if (
        checked.is_multicast
        or checked.is_loopback
        or checked.is_link_local
        or checked.is_unspecified
    ):
        raise InvalidValue(f"{checked} cannot be given to guests: it is a special-purpose network")
    return checked
