"""`InstanceStore`: the instances' records and the one table of what users may do with them when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from ipaddress import IPv4Address
from typing import Any

import attrs
from sqlalchemy import Select, bindparam, delete, or_, select, tuple_, update

from pycloud import limits
from pycloud.compute.records import Instance, InstanceState
from pycloud.errors import NotFound, WrongState
from pycloud.ids import AccountId, InstanceId, NodeName, ReservationId
from pycloud.state.columns import Instant
from pycloud.state.database import Database
from pycloud.state.schema import consoles, instances, reservations
from pycloud.state.transaction import Transaction

_FIELDS = tuple(field.name for field in attrs.fields(Instance))
_STATE, _ADDRESS = _FIELDS.index("state"), _FIELDS.index("address")
_ALL = select(*(instances.c[name] for name in _FIELDS))
"""The columns in the order of the record's fields, so that a row fills one by position: by the row's
own keys it takes six times as long.
"""
_INSERT = instances.insert()
_WRITE = update(instances).where(instances.c.id == bindparam("wanted"))
_FIND = _ALL.where(instances.c.id.in_(bindparam("ids", expanding=True))).order_by(instances.c.id)
_FIND_OWN = _FIND.where(instances.c.account == bindparam("owner"))
_RESERVE = reservations.insert()
_TOKENS = select(reservations.c.id, reservations.c.client_token).where(
    reservations.c.id.in_(bindparam("ids", expanding=True)),
    reservations.c.client_token.is_not(None),
)


class Verb(StrEnum):
    """What a user asks of an instance that exists."""

    START = "start"
    STOP = "stop"
    REBOOT = "reboot"
    TERMINATE = "terminate"


_S = InstanceState
TRANSITIONS: dict[tuple[Verb, InstanceState], InstanceState] = {
    (Verb.START, _S.STOPPED): _S.PENDING,
    (Verb.START, _S.PENDING): _S.PENDING,
    (Verb.START, _S.RUNNING): _S.RUNNING,
    (Verb.STOP, _S.PENDING): _S.STOPPING,
    (Verb.STOP, _S.RUNNING): _S.STOPPING,
    (Verb.STOP, _S.STOPPING): _S.STOPPING,
    (Verb.STOP, _S.STOPPED): _S.STOPPED,
    (Verb.REBOOT, _S.RUNNING): _S.RUNNING,
    (Verb.TERMINATE, _S.PENDING): _S.SHUTTING_DOWN,
    (Verb.TERMINATE, _S.RUNNING): _S.SHUTTING_DOWN,
    (Verb.TERMINATE, _S.STOPPING): _S.SHUTTING_DOWN,
    (Verb.TERMINATE, _S.STOPPED): _S.SHUTTING_DOWN,
    (Verb.TERMINATE, _S.SHUTTING_DOWN): _S.SHUTTING_DOWN,
    (Verb.TERMINATE, _S.TERMINATED): _S.TERMINATED,
}
"""Where each verb leads ("Instance lifecycle", EC2 user guide); what is not here is refused."""

_UNSETTLED = (
    select(instances.c.node)
    .where(
        or_(
            instances.c.state.in_([_S.PENDING, _S.STOPPING, _S.SHUTTING_DOWN]),
            (instances.c.state == _S.RUNNING) & (instances.c.seen_boot < instances.c.boot),
        )
    )
    .distinct()
)
_ORDER = (instances.c.launched_at, instances.c.launch_index, instances.c.id)
_STATES = {str(state): state for state in InstanceState}


class InstanceStore:
    """Instances by id. It knows what a verb means for a record; nothing of nodes or addresses."""

    def __init__(self, state: Database) -> None:
        self.state = state

    def add(self, tx: Transaction, instance: Instance) -> None:
        """Write a new instance."""
        tx.execute(_INSERT, _row(instance))
        tx.record("instance.run", instance.id, f"{instance.type} on {instance.node}")

    def find(
        self, tx: Transaction, wanted: Iterable[InstanceId], *, account: AccountId | None = None
    ) -> list[Instance]:
        """Return the instances with these ids, in that order, locked. Raises `NotFound` for the
        first that is not there.
        """
        ids = list(dict.fromkeys(wanted))
        query = _FIND if account is None else _FIND_OWN
        rows = tx.execute(tx.locked(query), {"ids": ids, "owner": account})
        found = {row.id: _instance(row) for row in rows}
        for id_ in ids:
            if id_ not in found:
                raise NotFound("instance", id_)
        return [found[id_] for id_ in ids]

    def list(
        self,
        tx: Transaction,
        *,
        account: AccountId | None = None,
        nodes: Sequence[NodeName] | None = None,
    ) -> list[Instance]:
        """Return the instances in the order of their launch."""
        query = _ALL.order_by(*_ORDER)
        if account is not None:
            query = query.where(instances.c.account == account)
        if nodes is not None:
            query = query.where(instances.c.node.in_(nodes))
        return [_instance(row) for row in tx.execute(query)]

    def page(
        self,
        tx: Transaction,
        *,
        account: AccountId | None,
        after: tuple[datetime, int, str] | None,
        most: int,
    ) -> Sequence[Instance]:
        """Return at most so many instances in the order of `list`, those after the one that was
        launched then, with that launch index and id.
        """
        launched_at, index, id_ = after or (None, None, None)
        values = {
            "owner": account,
            "launched_at": launched_at,
            "index": index,
            "id": id_,
            "most": most,
        }
        query = _page(of_one=account is not None, from_start=after is None)
        return [_instance(row) for row in tx.execute(query, values)]

    def at(self, tx: Transaction, address: IPv4Address) -> Instance | None:
        """Return the instance that has `address` now."""
        query = _ALL.where(instances.c.address == str(address), instances.c.state != _S.TERMINATED)
        row = tx.execute(query).one_or_none()
        return None if row is None else _instance(row)

    def unsettled_nodes(self, tx: Transaction) -> set[NodeName]:
        """Return the nodes on which something is still to be done."""
        return {NodeName(name) for name in tx.execute(_UNSETTLED).scalars()}

    def want(self, tx: Transaction, instance: Instance, verb: Verb) -> Instance:
        """Do what `verb` means for the record, and return it as it is then. Raises `WrongState`."""
        to = TRANSITIONS.get((verb, instance.state))
        if to is None:
            raise WrongState(f"cannot {verb} {instance.id}: it is {instance.state}{_why(instance)}")
        if to is instance.state and verb is not Verb.REBOOT:
            return instance
        again = verb in (Verb.START, Verb.REBOOT)
        boot = instance.boot + 1 if again else instance.boot
        changed = attrs.evolve(instance, state=to, boot=boot, reason=None, changed_at=tx.now)
        if verb is Verb.START:
            tx.execute(delete(consoles).where(consoles.c.instance_id == instance.id))
        self.write(tx, changed)
        tx.record(f"instance.{verb}", instance.id)
        tx.nudge()
        return changed

    def give_up(self, tx: Transaction, instance: Instance, reason: str) -> None:
        """Write that an instance is terminated, without anybody having seen to it."""
        gone = attrs.evolve(
            instance,
            state=InstanceState.TERMINATED,
            reason=reason,
            address=None,
            changed_at=tx.now,
        )
        self.write(tx, gone)
        tx.record("instance.terminated", instance.id, reason)

    def write(self, tx: Transaction, instance: Instance) -> None:
        """Write a changed instance."""
        tx.execute(_WRITE, _row(instance) | {"wanted": instance.id})

    def keep_console(self, tx: Transaction, id_: InstanceId, output: bytes) -> None:
        """Keep the last words of a guest, in place of former ones."""
        tx.execute(delete(consoles).where(consoles.c.instance_id == id_))
        tail = output[-limits.CONSOLE_BYTES :]
        tx.execute(consoles.insert().values(instance_id=id_, output=tail, taken_at=tx.now))

    def kept_console(self, tx: Transaction, id_: InstanceId) -> bytes | None:
        """Return the last words of a guest that is off."""
        query = select(consoles.c.output).where(consoles.c.instance_id == id_)
        output: bytes | None = tx.execute(query).scalar_one_or_none()
        return output

    def with_console(self, tx: Transaction) -> frozenset[InstanceId]:
        """Return the ids of the instances whose last words are kept."""
        return frozenset(map(InstanceId, tx.execute(select(consoles.c.instance_id)).scalars()))

    def forget_old(self, tx: Transaction) -> Sequence[InstanceId]:
        """Delete what was terminated longer ago than it stays visible, and return the ids."""
        old = select(instances.c.id).where(
            instances.c.state == _S.TERMINATED,
            instances.c.changed_at < tx.now - timedelta(seconds=limits.TERMINATED_VISIBLE_S),
        )
        ids = [InstanceId(id_) for id_ in tx.execute(old).scalars()]
        if ids:
            tx.execute(delete(consoles).where(consoles.c.instance_id.in_(ids)))
            tx.execute(delete(instances).where(instances.c.id.in_(ids)))
            left = select(instances.c.reservation_id)
            tx.execute(delete(reservations).where(reservations.c.id.not_in(left)))
        return ids

    def client_tokens(
        self, tx: Transaction, reservation_ids: Iterable[ReservationId]
    ) -> dict[ReservationId, str]:
        """Return the client tokens of those reservations that were made with one."""
        rows = tx.execute(_TOKENS, {"ids": list(reservation_ids)})
        return {row.id: row.client_token for row in rows}

    def reserve(
        self,
        tx: Transaction,
        reservation: ReservationId,
        account: AccountId,
        client_token: str | None,
        request: str,
    ) -> None:
        """Write a new reservation."""
        row = {
            "id": reservation,
            "account": account,
            "client_token": client_token,
            "request": request,
            "created_at": tx.now,
        }
        tx.execute(_RESERVE, row)

    def by_token(
        self, tx: Transaction, account: AccountId, client_token: str
    ) -> tuple[str, Sequence[Instance]] | None:
        """Return the request that was made with `client_token`, and its instances."""
        query = select(reservations).where(
            reservations.c.account == account, reservations.c.client_token == client_token
        )
        row = tx.execute(query).one_or_none()
        if row is None:
            return None
        made = _ALL.where(instances.c.reservation_id == row.id)
        rows = tx.execute(made.order_by(instances.c.launch_index))
        return row.request, [_instance(found) for found in rows]


@cache
def _page(*, of_one: bool, from_start: bool) -> Select[Any]:
    """Return the query of a page: of one account's instances or of all, from the first one or after
    another.
    """
    query = _ALL.order_by(*_ORDER).limit(bindparam("most"))
    if of_one:
        query = query.where(instances.c.account == bindparam("owner"))
    if not from_start:
        place = tuple_(bindparam("launched_at", type_=Instant), bindparam("index"), bindparam("id"))
        query = query.where(tuple_(*_ORDER) > place)
    return query


def _row(instance: Instance) -> dict[str, Any]:
    values = attrs.asdict(instance, recurse=False)
    values["address"] = None if instance.address is None else str(instance.address)
    return values


def _instance(row: Any) -> Instance:
    values = list(row)
    values[_STATE] = _STATES[values[_STATE]]
    if values[_ADDRESS] is not None:
        values[_ADDRESS] = IPv4Address(values[_ADDRESS])
    return Instance(*values)


def _why(instance: Instance) -> str:
    return f" ({instance.reason})" if instance.reason else ""
