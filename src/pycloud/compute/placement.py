"""Where an instance may be: what is asked for, and the choosing itself, as pure functions over a
`NodeIndex`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import attrs

from pycloud import limits
from pycloud.compute.index import Need, NodeIndex
from pycloud.compute.records import GroupStrategy, NodeRoom, PlacementGroup
from pycloud.compute.types import InstanceType
from pycloud.errors import InvalidValue
from pycloud.ids import AccountId, NodeName
from pycloud.names import checked_labels


def _tuple(values: Iterable[str]) -> tuple[str, ...]:
    if isinstance(values, str):
        raise InvalidValue(f"apart_from is a list of holders: [{values!r}]")
    return tuple(values)


@attrs.frozen(kw_only=True)
class Placement:
    """Where an instance may be ("Placement", EC2 API reference); with nothing said, anywhere.

    >>> Placement(zone="cluster01", labels={"disk": "ssd"}).zone
    'cluster01'
    """

    zone: str | None = None
    node: str | None = None
    """This node and no other."""
    labels: Mapping[str, str] = attrs.field(factory=dict, converter=checked_labels)
    """What the node must be labelled with, among others."""
    group: str | None = None
    """The name of a placement group of the account."""
    partition: int | None = None
    """Which partition of the group, from 1 on; by default the one with the fewest members."""
    apart_from: tuple[str, ...] = attrs.field(default=(), converter=_tuple)
    """Holders (ids of instances) none of which may be on the same node."""
    dedicated: bool = False
    """Whether only a node will do that is dedicated to the account."""

    def __attrs_post_init__(self) -> None:
        if self.partition is not None and self.group is None:
            raise InvalidValue(f"partition {self.partition} is one of a group: give group= too")
        if len(self.apart_from) > limits.APART_MAX:
            raise InvalidValue(
                f"an instance is kept apart from at most {limits.APART_MAX} others, "
                f"not {len(self.apart_from)}"
            )


@attrs.frozen
class Member:
    """Where an instance of a placement group is."""

    node: NodeName
    zone: str
    partition: int | None


@attrs.frozen
class Pick:
    """The node that was chosen for one holder."""

    room: NodeRoom
    partition: int | None


@attrs.frozen
class Request:
    """A placement, with all that had to be looked up for it."""

    kind: InstanceType
    placement: Placement
    account: AccountId
    group: PlacementGroup | None = None
    members: tuple[Member, ...] = ()
    """The group's instances."""
    avoided: frozenset[NodeName] = frozenset()
    """Where those are from which it shall be apart."""

    def need(self, index: NodeIndex) -> Need:
        """Return what a node must have, without regard to other instances."""
        return Need(
            cpus=self.kind.cpus,
            memory_mib=self.kind.memory_mib,
            disk_gib=self.kind.disk_gib,
            zone=self.placement.zone,
            labels=frozenset(self.placement.labels.items()),
            # Accounts without nodes of their own are alike: they share what is kept in memory.
            account=self.account if index.is_owner(self.account) else None,
            dedicated=self.placement.dedicated,
        )


@attrs.frozen
class _Option:
    """One way to fulfil a request: the first that finds a node is taken."""

    zone: str | None = None
    node: NodeName | None = None
    without: frozenset[NodeName] = frozenset()
    partition: int | None = None


def pick(
    index: NodeIndex, request: Request, count: int, *, without: Collection[NodeName] = ()
) -> list[Pick]:
    """Choose nodes for `count` instances, or for as many as fit; `index` is left as it is."""
    group = request.group
    if group is not None and group.strategy is GroupStrategy.CLUSTER and not request.members:
        return _pick_one_zone(index, request, count, without)
    return _pick(index, request, count, without)


def shunned(request: Request) -> frozenset[NodeName]:
    """Return the nodes that will not do for any instance of the request because of what is on
    them.
    """
    options = list(_options(request, request.members))
    return frozenset.intersection(*(option.without for option in options)) | request.avoided


def _pick_one_zone(
    index: NodeIndex, request: Request, count: int, without: Collection[NodeName]
) -> list[Pick]:
    """Choose nodes in the zone that has room for all, or for most; the policy's own choice if
    zones are alike.
    """
    zones = [first.room.zone for first in _pick(index, request, 1, without)]
    zones += [zone for zone in index.zones if zone not in zones]
    best: list[Pick] = []
    for zone in zones:
        if request.placement.zone in (None, zone):
            placement = attrs.evolve(request.placement, zone=zone)
            found = _pick(index, attrs.evolve(request, placement=placement), count, without)
            best = max(best, found, key=len)
        if len(best) == count:
            break
    return best


def _pick(
    index: NodeIndex, request: Request, count: int, without: Collection[NodeName]
) -> list[Pick]:
    need = request.need(index)
    members = list(request.members)
    picks: list[Pick] = []
    before: dict[NodeName, NodeRoom] = {}
    while len(picks) < count:
        found = _choose(index, need, request, members, without)
        if found is None:
            break
        picks.append(found)
        if len(picks) < count:
            before.setdefault(found.room.name, found.room)
            index.put(claimed(found.room, request.kind, index.last_turn + 1))
            if request.group is not None:
                members.append(Member(found.room.name, found.room.zone, found.partition))
    for room in before.values():
        index.put(room)
    return picks


def _choose(
    index: NodeIndex,
    need: Need,
    request: Request,
    members: Sequence[Member],
    without: Collection[NodeName],
) -> Pick | None:
    for option in _options(request, members):
        barred = option.without | request.avoided | frozenset(without)
        wanted = request.placement.node or option.node
        if option.zone is not None and need.zone not in (None, option.zone):
            continue
        there = need if option.zone is None else attrs.evolve(need, zone=option.zone)
        if wanted is not None:
            name = NodeName(wanted)
            room = index.get(name) if index.fits(there, name) and name not in barred else None
        else:
            room = index.best(there, barred)
        if room is not None:
            return Pick(room, option.partition)
    return None


def _options(request: Request, members: Sequence[Member]) -> Iterator[_Option]:
    group = request.group
    if group is None:
        yield _Option()
    elif group.strategy is GroupStrategy.SPREAD:
        yield _Option(without=frozenset(member.node for member in members))
    elif group.strategy is GroupStrategy.PARTITION:
        yield from _partitions(group, request.placement.partition, members)
    else:
        for node, _ in Counter(member.node for member in members).most_common():
            yield _Option(node=node)
        yield _Option(zone=members[0].zone if members else None)


def _partitions(
    group: PlacementGroup, wanted: int | None, members: Sequence[Member]
) -> Iterator[_Option]:
    """Give the partitions, the one with the fewest members first."""
    sizes = Counter(member.partition for member in members)
    numbers = range(1, (group.partitions or 1) + 1) if wanted is None else [wanted]
    for number in sorted(numbers, key=lambda number: (sizes[number], number)):
        others = frozenset(member.node for member in members if member.partition != number)
        yield _Option(without=others, partition=number)


def claimed(room: NodeRoom, kind: InstanceType, turn: int) -> NodeRoom:
    """Return the node with an instance more."""
    return attrs.evolve(
        room,
        used_cpus=room.used_cpus + kind.cpus,
        used_memory_mib=room.used_memory_mib + kind.memory_mib,
        used_disk_gib=room.used_disk_gib + kind.disk_gib,
        turn=turn,
    )


def released(room: NodeRoom, kind: InstanceType) -> NodeRoom:
    """Return the node with an instance less."""
    return attrs.evolve(
        room,
        used_cpus=room.used_cpus - kind.cpus,
        used_memory_mib=room.used_memory_mib - kind.memory_mib,
        used_disk_gib=room.used_disk_gib - kind.disk_gib,
    )
