"""Why a request fits or does not: counts for each constraint, the nearest node, and what would
help.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import attrs

from pycloud.compute.index import Need, NodeIndex
from pycloud.compute.placement import Placement, Request, pick, shunned
from pycloud.compute.records import GroupStrategy, NodeMode, NodeRoom
from pycloud.compute.types import InstanceType
from pycloud.ids import NodeName

_TRIED = 16
"""How many nodes that rest are tried, one by one, when it is looked for what would help."""


@attrs.frozen
class Objection:
    """Something that speaks against nodes."""

    reason: str
    """In words without numbers, such as `lack memory` or `draining`."""
    nodes: int
    """How many nodes it is the first thing against."""
    text: str
    """The whole of it, as the refusal says it."""


@attrs.frozen
class Explanation:
    """What speaks for and against the nodes for one request; its text is what a refusal says."""

    kind: InstanceType
    count: int
    room_for: int
    """How many of `count` there is room for."""
    nodes: int
    fitting: int
    """How many nodes would do, for the first at least."""
    objections: tuple[Objection, ...]
    """The most frequent first. A node counts once, for the first thing that is against it."""
    nearest: str | None
    """The node that lacks least, and what: `node7 lacks 128 MiB`."""
    remedies: tuple[str, ...]
    """What would make it fit, each by itself."""

    @property
    def fits(self) -> bool:
        """Whether there is room for all."""
        return self.room_for >= self.count

    def __str__(self) -> str:
        verdict = "room" if self.fits else "no room"
        only = f", room for {self.room_for} only" if self.room_for and not self.fits else ""
        many = "1 node" if self.nodes == 1 else f"{self.nodes} nodes"
        parts = [objection.text for objection in self.objections]
        if self.fitting:
            parts.insert(0, f"{self.fitting} {'fits' if self.fitting == 1 else 'fit'}")
        text = f"{verdict} for {self.count} × {self.kind}{only}: {many}"
        text += f": {', '.join(parts)}" if parts else ""
        text += f"; nearest: {self.nearest}" if self.nearest else ""
        return text + (f"; it would fit {' or '.join(self.remedies)}" if self.remedies else "")


def explain(index: NodeIndex, request: Request, count: int) -> Explanation:
    """Say what speaks for and against each node of `index`, which is left as it is."""
    room_for = len(pick(index, request, count))
    against = _against_all(index, request)
    rooms: dict[str, list[NodeRoom]] = {}
    for room, reason in against:
        rooms.setdefault(reason, []).append(room)
    fitting = rooms.pop("", [])
    objections = tuple(
        Objection(reason, len(found), _in_words(reason, request.kind, found))
        for reason, found in sorted(rooms.items(), key=lambda item: (-len(item[1]), item[0]))
    )
    return Explanation(
        kind=request.kind,
        count=count,
        room_for=room_for,
        nodes=len(index),
        fitting=len(fitting),
        objections=objections,
        nearest=None if room_for >= count else _nearest(request.kind, rooms),
        remedies=() if room_for >= count else tuple(_remedies(index, request, count, room_for)),
    )


def _against_all(index: NodeIndex, request: Request) -> Iterator[tuple[NodeRoom, str]]:
    need = request.need(index)
    barred = shunned(request)
    member_zone = _zone_of_cluster(request)
    for room in index.rooms:
        yield room, _against(room, need, request, barred, member_zone)


def _zone_of_cluster(request: Request) -> str | None:
    group = request.group
    together = group is not None and group.strategy is GroupStrategy.CLUSTER
    return request.members[0].zone if together and request.members else None


def _against(
    room: NodeRoom,
    need: Need,
    request: Request,
    barred: frozenset[NodeName],
    member_zone: str | None,
) -> str:
    """Return the first thing that speaks against the node, in words without numbers, or nothing."""
    placement = request.placement
    if placement.node is not None and room.name != placement.node:
        return "not the node asked for"
    if need.zone is not None and room.zone != need.zone:
        return "in another zone"
    if not need.admits(room):
        return _not_admitted(room, need)
    if room.silent or room.mode is not NodeMode.ENABLED:
        return room.state.value
    if room.problem is not None:
        return f"unusable ({room.problem})"
    if member_zone is not None and room.zone != member_zone:
        return "away from its placement group"
    if room.name in barred:
        return "where it must not be" if room.name in request.avoided else "its group's already"
    return _lack(room, need)


def _lack(room: NodeRoom, need: Need) -> str:
    if room.memory_mib - room.used_memory_mib < need.memory_mib:
        return "lack memory"
    if room.cpus - room.used_cpus < need.cpus:
        return "lack cores"
    if room.disk_gib - room.used_disk_gib < need.disk_gib:
        return "lack disk"
    return ""


def _not_admitted(room: NodeRoom, need: Need) -> str:
    if room.labels.items() >= need.labels:
        return "dedicated to others" if room.dedicated_to is not None else "not dedicated"
    return "without the labels"


_LACKS: dict[str, tuple[str, Callable[[InstanceType], int], Callable[[NodeRoom], int]]] = {
    "lack memory": ("MiB", lambda kind: kind.memory_mib, lambda room: room.free_memory_mib),
    "lack cores": ("cores", lambda kind: kind.cpus, lambda room: room.free_cpus),
    "lack disk": ("GiB", lambda kind: kind.disk_gib, lambda room: room.free_disk_gib),
}


def _in_words(reason: str, kind: InstanceType, rooms: list[NodeRoom]) -> str:
    """Say how many nodes have `reason` against them, and how near the nearest came."""
    one = len(rooms) == 1
    if reason not in _LACKS:
        joined = "" if reason.startswith("lack") else "is " if one else "are "
        return f"{len(rooms)} {joined}{reason}"
    unit, needs, free = _LACKS[reason]
    most = max(rooms, key=lambda room: (free(room), -room.position))
    what = reason.replace("lack", "lacks") if one else reason
    # More than all is claimed of a node that has less than it had.
    left = f"{free(most)} free" if free(most) >= 0 else f"{-free(most)} overcommitted"
    have = left if one else f"at most {left}, on {most.name}"
    return f"{len(rooms)} {what} (needs {_amount(needs(kind), unit)}, {have})"


def _nearest(kind: InstanceType, rooms: dict[str, list[NodeRoom]]) -> str | None:
    """Name the node that lacks least of what it needs, of those against which nothing else
    speaks.
    """
    short = [room for reason in _LACKS for room in rooms.get(reason, ())]
    if not short:
        return None
    nearest = min(short, key=lambda room: (_shortfall(kind, room), room.position))
    return f"{nearest.name} lacks {' and '.join(_missing(kind, nearest))}"


def _shortfall(kind: InstanceType, room: NodeRoom) -> float:
    """Return how much the node lacks, as a share of what is needed."""
    memory_mib = kind.memory_mib - room.memory_mib + room.used_memory_mib
    cpus = kind.cpus - room.cpus + room.used_cpus
    disk_gib = kind.disk_gib - room.disk_gib + room.used_disk_gib
    return (
        (memory_mib / kind.memory_mib if memory_mib > 0 else 0)
        + (cpus / kind.cpus if cpus > 0 else 0)
        + (disk_gib / kind.disk_gib if disk_gib > 0 else 0)
    )


def _missing(kind: InstanceType, room: NodeRoom) -> Iterator[str]:
    for unit, needs, free in _LACKS.values():
        lacking = needs(kind) - free(room)
        if lacking > 0:
            yield _amount(lacking, unit)


def _amount(number: int, unit: str) -> str:
    return "1 core" if (number, unit) == (1, "cores") else f"{number} {unit}"


def _remedies(index: NodeIndex, request: Request, count: int, room_for: int) -> Iterator[str]:
    """Try the request with one constraint less, and with fewer instances."""
    if room_for:
        yield f"with at most {room_for} at once"
    placement = request.placement
    for name, free in _FREER.items():
        freer = free(placement)
        if freer == placement:
            continue
        loosened = attrs.evolve(request, placement=freer)
        if name == "group":
            loosened = attrs.evolve(loosened, group=None, members=())
        if name == "apart_from":
            loosened = attrs.evolve(loosened, avoided=frozenset())
        found = pick(index, loosened, count)
        if len(found) == count:
            yield f"without {_said(placement, name)} (on {found[0].room.name})"
    yield from _reawakened(index, request, count)


_FREER: dict[str, Callable[[Placement], Placement]] = {
    "zone": lambda placement: attrs.evolve(placement, zone=None),
    "node": lambda placement: attrs.evolve(placement, node=None),
    "labels": lambda placement: attrs.evolve(placement, labels={}),
    "partition": lambda placement: attrs.evolve(placement, partition=None),
    "group": lambda placement: attrs.evolve(placement, group=None, partition=None),
    "apart_from": lambda placement: attrs.evolve(placement, apart_from=()),
    "dedicated": lambda placement: attrs.evolve(placement, dedicated=False),
}


def _said(placement: Placement, name: str) -> str:
    value = getattr(placement, name)
    return name if name in ("apart_from", "dedicated") else f"{name}={value!r}"


def _reawakened(index: NodeIndex, request: Request, count: int) -> Iterator[str]:
    """Name a node that takes nothing now, but would make room for all if it did."""
    need = request.need(index)
    resting = (room for room in index.rooms if _would_help(room, request, need))
    for room in islice(resting, _TRIED):
        index.put(attrs.evolve(room, mode=NodeMode.ENABLED, silent=False, problem=None))
        found = pick(index, request, count)
        index.put(room)
        if len(found) == count:
            yield f"if {room.name} {'answered' if room.silent else 'were enabled'}"
            return


def _would_help(room: NodeRoom, request: Request, need: Need) -> bool:
    if room.silent:
        rests = room.mode is NodeMode.ENABLED
    else:
        rests = room.mode is not NodeMode.ENABLED and room.problem is None
    return (
        rests
        and request.placement.node in (None, room.name)
        and need.admits(room)
        and _shortfall(request.kind, room) == 0
    )
