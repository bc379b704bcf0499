"""Real processes that place on one database at the same time."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from multiprocessing.synchronize import Barrier

from sqlalchemy import select

from pycloud.compute.placement import Placement
from pycloud.compute.scheduler import Capacity, ClusterScheduler
from pycloud.compute.types import InstanceType
from pycloud.drivers.sim import SimHost, sim_node
from pycloud.errors import NoRoom
from pycloud.state.database import Database
from pycloud.state.postgres import PostgresState
from pycloud.state.schema import claims
from pycloud.state.sqlite import SQLiteState

PROCESSES, EACH = 8, 40
SIZES = (7, 30, 1, 12, 25, 3)
SMALL = InstanceType("m1.small", cpus=1, memory_mib=256, disk_gib=5)


def _scheduler(state: Database) -> ClusterScheduler:
    hosts = (SimHost(cpus=size) for size in SIZES)
    return ClusterScheduler(state, [sim_node(f"node{n}", host) for n, host in enumerate(hosts)])


def _place(
    place: str, number: int, begin: Barrier, results: multiprocessing.Queue[list[tuple[str, str]]]
) -> None:
    """Place, and give back a third of it, in a process of its own."""
    state = SQLiteState(place) if place.endswith(".db") else PostgresState(place)
    held: list[tuple[str, str]] = []
    with state:
        scheduler = _scheduler(state)
        scheduler.open()
        begin.wait(60)
        for attempt in range(EACH):
            holder = f"{number}-{attempt}"
            try:
                apart = Placement(group="few") if attempt == 0 else Placement()
                held.append((holder, scheduler.place(SMALL, holder, apart)))
            except NoRoom:
                continue
            if attempt % 3 == 2:
                scheduler.release(held.pop(0)[0])
    results.put(held)


def test_no_node_is_overfull_and_no_claim_is_lost(state: Database) -> None:
    scheduler = _scheduler(state)
    scheduler.open()
    scheduler.groups.create("few", "spread")
    held = _together(_place_of(state))
    with state.reading() as tx:
        rows = {row.holder: row.node for row in tx.execute(select(claims))}
        rooms = scheduler.rooms(tx)
    assert rows == dict(held), "what was acknowledged is there, and nothing else"
    used = Counter(rows.values())
    for room, size in zip(rooms, SIZES, strict=True):
        assert room.used_cpus == used[room.name] <= size
    firsts = [node for holder, node in held if holder.endswith("-0")]
    assert len(set(firsts)) == len(firsts), "a spread group shares a node"
    free = sum(SIZES) - len(rows)
    assert scheduler.capacity([SMALL])["m1.small"] == Capacity(free, sum(SIZES))


def _place_of(state: Database) -> str:
    if isinstance(state, SQLiteState):
        return str(state.path)
    assert isinstance(state, PostgresState)
    return state.engine.url.render_as_string(hide_password=False)


def _together(place: str) -> list[tuple[str, str]]:
    context = multiprocessing.get_context("spawn")
    begin, results = context.Barrier(PROCESSES), context.Queue()
    workers = [
        context.Process(target=_place, args=(place, number, begin, results))
        for number in range(PROCESSES)
    ]
    for worker in workers:
        worker.start()
    held = [one for _ in workers for one in results.get(timeout=120)]
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    return held
