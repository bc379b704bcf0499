"""`NodeStore`: the nodes' rows. It knows how to change them so that others notice, and how to read
what has changed; nothing of who should be where.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Any

import attrs
from sqlalchemy import (
    BigInteger,
    Row,
    Select,
    Update,
    bindparam,
    func,
    literal,
    or_,
    select,
    update,
)

from pycloud.compute.records import NodeMode, NodeRoom
from pycloud.compute.types import InstanceType
from pycloud.errors import NotFound
from pycloud.ids import AccountId, NodeName
from pycloud.state.schema import instances, nodes
from pycloud.state.transaction import Transaction, horizon, stamp

_WRITTEN = {field.name for field in attrs.fields(NodeRoom)} - {
    "name",
    "used_cpus",
    "used_memory_mib",
    "used_disk_gib",
    "turn",
}
"""What is not the claims' alone."""

_MANY = 1000
"""If more nodes than this are to be read again, all are."""


class NodeStore:
    """The rows of the nodes, each with a stamp of its last change."""

    def __init__(self) -> None:
        self._taken_back: set[NodeName] = set()
        """Nodes whose change was rolled back: that leaves no stamp."""

    def find(self, tx: Transaction, name: str) -> NodeRoom:
        """Return the node, locked. Raises `NotFound`."""
        query = select(nodes).where(nodes.c.name == name)
        row = tx.execute(tx.locked(query)).one_or_none()
        if row is None:
            raise NotFound("node", name)
        return _room(row)

    def changed_since(self, tx: Transaction, mark: int) -> tuple[int, list[NodeRoom]]:
        """Return the nodes that changed since `mark` (0 at first), and the mark for the next time.

        Some may come that did not change; none that did is missing.
        """
        taken_back: set[NodeName] = set()
        while self._taken_back:  # another thread may add to it meanwhile
            taken_back.add(self._taken_back.pop())
        since = 0 if len(taken_back) > _MANY else mark
        try:
            rows = list(tx.execute(_changed_since(tx.is_sqlite), {"since": since}))
            if since and taken_back:
                query = select(literal(rows[0].mark).label("mark"), nodes)
                rows += tx.execute(query.where(nodes.c.name.in_(sorted(taken_back))))
        except BaseException:
            self._taken_back |= taken_back
            raise
        return rows[0].mark, [_room(row) for row in rows if row.name is not None]

    def lock(self, tx: Transaction, names: Iterable[NodeName]) -> None:
        """Wait until these nodes are free for this transaction. Everyone waits in the same order."""
        query = select(nodes.c.name).where(nodes.c.name.in_(sorted(names))).order_by(nodes.c.name)
        tx.execute(tx.locked(query)).all()

    def add(self, tx: Transaction, rooms: Sequence[NodeRoom]) -> None:
        """Write new nodes, in this order after those that there are."""
        last = tx.execute(select(func.max(nodes.c.position))).scalar_one_or_none()
        first = 0 if last is None else last + 1
        for position, room in enumerate(rooms, first):
            row = _row(attrs.evolve(room, position=position))
            self._expect_undo(tx, room.name)
            tx.add_if_absent(nodes, **row, changed=stamp(nodes.c.changed, sqlite=tx.is_sqlite))

    def write(self, tx: Transaction, room: NodeRoom) -> None:
        """Write a changed node, but for what is claimed of it: that is the claims' alone."""
        self._expect_undo(tx, room.name)
        row = {name: value for name, value in _row(room).items() if name in _WRITTEN}
        tx.execute(_write(tx.is_sqlite), {"node": room.name, **row})

    def use(self, tx: Transaction, name: NodeName, kind: InstanceType, times: int = 1) -> None:
        """Count `times` instances of `kind` as claimed, whether there is room or not."""
        self._expect_undo(tx, name)
        tx.execute(_use(tx.is_sqlite), {"node": name, **_more(kind, times)})

    def use_if_fits(
        self, tx: Transaction, name: NodeName, kind: InstanceType, times: int, turn: int
    ) -> bool:
        """Count `times` instances of `kind` as claimed, unless there is no room or another
        transaction has the node; tell whether it was done.
        """
        self._expect_undo(tx, name)
        values = {"node": name, "newest": turn, **_more(kind, times)}
        return tx.execute(_use_if_fits(tx.is_sqlite), values).rowcount > 0

    def renew_marks(self, tx: Transaction) -> None:
        """Stamp anew what bears a stamp of the future: the database was moved to a server that
        counts its transactions from a lower number.
        """
        future = nodes.c.changed > horizon(nodes.c.changed, sqlite=tx.is_sqlite)
        tx.execute(
            update(nodes).where(future).values(changed=stamp(nodes.c.changed, sqlite=tx.is_sqlite))
        )

    def _expect_undo(self, tx: Transaction, name: NodeName) -> None:
        tx.undo.append(lambda: self._taken_back.add(name))

    def shown(self, tx: Transaction) -> list[NodeRoom]:
        """Return the nodes in the order of their joining; those that have left, as long as an
        instance is shown that was on them.
        """
        present = nodes.c.mode != NodeMode.GONE
        query = select(nodes).where(or_(present, nodes.c.name.in_(select(instances.c.node))))
        return [_room(row) for row in tx.execute(query.order_by(nodes.c.position))]

    def list(self, tx: Transaction) -> list[NodeRoom]:
        """Return all nodes in the order of their joining, also all that have ever left: a row that
        is deleted could tell no other process of that.
        """
        return [_room(row) for row in tx.execute(select(nodes).order_by(nodes.c.position))]


def merged(known: NodeRoom, found: NodeRoom) -> NodeRoom:
    """Return a known node with what it was found to have. One that does not answer keeps its
    former size.
    """
    named = attrs.evolve(
        known,
        problem=found.problem,
        silent=found.silent,
        zone=found.zone,
        labels=found.labels,
        dedicated_to=found.dedicated_to,
    )
    if found.problem is not None:
        return named
    return attrs.evolve(
        named,
        cpus=found.cpus,
        memory_mib=found.memory_mib,
        disk_gib=found.disk_gib,
        host_boot=found.host_boot,
    )


@cache
def _changed_since(sqlite: bool) -> Select[Any]:
    mark = select(horizon(nodes.c.changed, sqlite=sqlite).label("mark")).subquery()
    joined = mark.outerjoin(nodes, nodes.c.changed >= bindparam("since"))
    return select(mark.c.mark, nodes).select_from(joined)


_CPUS, _MEMORY, _DISK = (
    bindparam(name, type_=BigInteger) for name in ("more_cpus", "more_mib", "more_gib")
)
_USED: dict[Any, Any] = {
    nodes.c.used_cpus: nodes.c.used_cpus + _CPUS,
    nodes.c.used_memory_mib: nodes.c.used_memory_mib + _MEMORY,
    nodes.c.used_disk_gib: nodes.c.used_disk_gib + _DISK,
}
_MINE = nodes.c.name == bindparam("node")


def _more(kind: InstanceType, times: int) -> dict[str, int]:
    return {
        "more_cpus": kind.cpus * times,
        "more_mib": kind.memory_mib * times,
        "more_gib": kind.disk_gib * times,
    }


@cache
def _write(sqlite: bool) -> Update:
    changed = {"changed": stamp(nodes.c.changed, sqlite=sqlite)}
    return update(nodes).where(_MINE).values({name: bindparam(name) for name in _WRITTEN} | changed)


@cache
def _use(sqlite: bool) -> Update:
    changed = {nodes.c.changed: stamp(nodes.c.changed, sqlite=sqlite)}
    return update(nodes).where(_MINE).values(_USED | changed)


@cache
def _use_if_fits(sqlite: bool) -> Update:
    c = nodes.c
    fits = [
        _MINE,
        c.used_cpus + _CPUS <= c.cpus,
        c.used_memory_mib + _MEMORY <= c.memory_mib,
        c.used_disk_gib + _DISK <= c.disk_gib,
        c.mode == NodeMode.ENABLED,
        c.problem.is_(None),
    ]
    if not sqlite:
        # Whoever has the row now may be long about it: another node will do as well.
        free = select(c.name).where(_MINE).with_for_update(skip_locked=True)
        fits.append(c.name == free.scalar_subquery())
    placed = {
        c.turn: bindparam("newest", type_=BigInteger),
        c.changed: stamp(c.changed, sqlite=sqlite),
    }
    return update(nodes).where(*fits).values(_USED | placed)


def _row(room: NodeRoom) -> dict[str, Any]:
    labels = json.dumps(dict(room.labels), sort_keys=True)
    return {field.name: getattr(room, field.name) for field in attrs.fields(NodeRoom)} | {
        "labels": labels
    }


def _room(row: Row[Any]) -> NodeRoom:
    return NodeRoom(
        name=NodeName(row.name),
        zone=row.zone,
        position=row.position,
        cpus=row.cpus,
        memory_mib=row.memory_mib,
        disk_gib=row.disk_gib,
        used_cpus=row.used_cpus,
        used_memory_mib=row.used_memory_mib,
        used_disk_gib=row.used_disk_gib,
        problem=row.problem,
        host_boot=row.host_boot,
        mode=NodeMode(row.mode),
        silent=row.silent,
        labels=_labels(row.labels),
        dedicated_to=None if row.dedicated_to is None else AccountId(row.dedicated_to),
        turn=row.turn,
    )


@lru_cache(maxsize=1024)
def _labels(text: str) -> MappingProxyType[str, str]:
    return MappingProxyType(json.loads(text))
