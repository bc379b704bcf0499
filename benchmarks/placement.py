"""How fast instances are placed: the decision alone, with its durable claim, and its refusal; what
a turn of the loop costs; and how much memory it takes.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from benchmarks.postgres import private_server
from benchmarks.report import median, report, seconds
from pycloud.compute.index import NodeIndex
from pycloud.compute.placement import Placement, Request, claimed, pick, released
from pycloud.compute.policies import Greedy, Policy, PowerSave, RoundRobin, Spread
from pycloud.compute.records import NodeRoom
from pycloud.compute.scheduler import ClusterScheduler
from pycloud.compute.types import DEFAULT_TYPES, InstanceType
from pycloud.drivers.sim import SimHost, sim_node
from pycloud.errors import NoRoom
from pycloud.ids import ADMIN_ACCOUNT, ImageId, NodeName
from pycloud.state.sqlite import SQLiteState
from pycloud.testing.world import SimWorld

TYPES = [kind for kind in DEFAULT_TYPES if kind.cpus <= 16]
TINY = InstanceType("tiny", cpus=1, memory_mib=128, disk_gib=1)
LARGE: dict[str, Any] = {"cpus": 64, "memory_mib": 262144, "disk_gib": 20000}
RUNS = 5


def main() -> None:
    """Print all figures."""
    measure_decisions()
    measure_refusal()
    measure_launches()
    measure_processes()
    measure_turn()
    measure_memory()


# The decision alone


def measure_decisions() -> None:
    """A decision is a pick, a claim and a release, of mixed types, on nodes that are half full."""
    for policy in (RoundRobin(), Greedy(), PowerSave(), Spread()):
        name = type(policy).__name__
        small, middle, big = (
            median([_decision_s(nodes, policy) for _ in range(RUNS)])
            for nodes in (100, 10_000, 100_000)
        )
        per_s = 1 / middle
        label = f"decisions, 10 000 nodes, {name}"
        report(label, per_s, "1/s", ">= 20000 1/s", met=per_s >= 20_000)
        label = f"decision at 100 000 nodes, {name}; peer: at 100 nodes"
        met = big <= 2 * small
        report(label, big * 1e6, "µs", "<= 2 x the peer", met=met, peer=small * 1e6)


def _decision_s(nodes: int, policy: Policy, times: int = 5_000) -> float:
    index, held = _half_full(nodes, policy)
    chance = random.Random(11)
    kinds = [chance.choice(TYPES) for _ in range(times)]
    requests = {kind: Request(kind, Placement(), ADMIN_ACCOUNT) for kind in TYPES}
    for request in requests.values():
        pick(index, request, 1)
    gc.collect()
    began = time.perf_counter()
    for number, kind in enumerate(kinds):
        [picked] = pick(index, requests[kind], 1)
        index.put(claimed(picked.room, kind, index.last_turn + 1))
        held.append((picked.room.name, kind))
        name, other = held[number]
        room = index.get(name)
        assert room is not None
        index.put(released(room, other))
    return (time.perf_counter() - began) / times


def _half_full(nodes: int, policy: Policy) -> tuple[NodeIndex, list[tuple[NodeName, InstanceType]]]:
    """Return nodes of 64 cores of which half are claimed, and who holds what on them, shuffled."""
    index = NodeIndex(policy)
    chance = random.Random(7)
    held: list[tuple[NodeName, InstanceType]] = []
    for position in range(nodes):
        room = NodeRoom(NodeName(f"node{position}"), "zone1", position, **LARGE)
        while room.used_cpus < 32:
            kind = chance.choice(TYPES)
            room = claimed(room, kind, position)
            held.append((room.name, kind))
        index.put(room)
    chance.shuffle(held)
    return index, held


# A refusal


def measure_refusal() -> None:
    """A refusal says for each of 10 000 nodes what is against it."""
    huge = InstanceType("huge", cpus=65, memory_mib=128, disk_gib=1)
    with SimWorld(nodes=10_000, **LARGE) as world:
        scheduler = world.cloud.scheduler
        times = [seconds(lambda: _refused(scheduler, huge)) for _ in range(20)]
    value = median(times) * 1e3
    report("refusal, explained, 10 000 nodes", value, "ms", "<= 20 ms", met=value <= 20)


def _refused(scheduler: ClusterScheduler, kind: InstanceType) -> None:
    with suppress(NoRoom):
        scheduler.place(kind, "nobody")
        raise AssertionError


# Launches, durable


def measure_launches() -> None:
    """The whole launch, committed with `synchronous=FULL`, beside bare commits of one row."""
    with SimWorld(nodes=5_000, **LARGE) as world:
        image = world.images.machine.id
        world.cloud.run_instances(image)
        launch = partial(world.cloud.run_instances, image)
        times = sorted(seconds(launch) for _ in range(3_000))
        floor = _bare_commits_per_s(world.directory)
    per_s = len(times) / sum(times)
    name = "launches, SQLite, 5 000 nodes; peer: bare commits of one row"
    report(name, per_s, "1/s", ">= 500 1/s", met=per_s >= 500, peer=floor)
    p99 = times[int(len(times) * 0.99)] * 1e3
    report("launch, p99, SQLite, 5 000 nodes", p99, "ms", "<= 10 ms", met=p99 <= 10)


def _bare_commits_per_s(directory: Path, times: int = 1_000) -> float:
    with closing(sqlite3.connect(directory / "bare.db", isolation_level=None)) as bare:
        bare.execute("PRAGMA journal_mode = WAL")
        bare.execute("PRAGMA synchronous = FULL")
        bare.execute("CREATE TABLE t (n INTEGER)")
        spent = seconds(lambda: [bare.execute("INSERT INTO t VALUES (1)") for _ in range(times)])
    return times / spent


# Several processes on one PostgreSQL


def measure_processes() -> None:
    """Launches of four processes together, beside those of one."""
    rates = {}
    for count in (1, 4):
        with private_server() as url, tempfile.TemporaryDirectory() as folder:
            rates[count] = _rate_of(count, url, Path(folder))
    name = "launches, PostgreSQL, 4 processes, 5 000 nodes; peer: 1 process"
    met = rates[4] >= 2 * rates[1]
    report(name, rates[4], "1/s", ">= 2 x the peer", met=met, peer=rates[1])


def _rate_of(count: int, url: str, folder: Path, period_s: float = 10.0) -> float:
    with SimWorld(folder, nodes=5_000, postgres_url=url, **LARGE) as world:
        context = multiprocessing.get_context("spawn")
        barrier, results = context.Barrier(count), context.Queue()
        arguments = (url, folder, world.images.machine.id, barrier, results, period_s)
        workers = [
            context.Process(target=_launch_for, args=(seed, *arguments))
            for seed in range(1, count + 1)
        ]
        for worker in workers:
            worker.start()
        launched: int = sum(results.get(timeout=300) for _ in workers)
        for worker in workers:
            worker.join()
    return launched / period_s


def _launch_for(
    seed: int,
    url: str,
    folder: Path,
    image: ImageId,
    barrier: Barrier,
    results: multiprocessing.Queue[int],
    period_s: float,
) -> None:
    world = SimWorld(folder, nodes=5_000, seed=seed, postgres_url=url, **LARGE)
    with world.cloud as cloud:
        cloud.run_instances(image)
        barrier.wait()
        end = time.perf_counter() + period_s
        launched = 0
        while time.perf_counter() < end:
            cloud.run_instances(image)
            launched += 1
        results.put(launched)


# The loop, and memory


def measure_turn() -> None:
    """A turn over 1 000 nodes with 10 000 instances that are all as they shall be."""
    with SimWorld(nodes=1_000, **LARGE) as world:
        world.cloud.types.put(TINY)
        for _ in range(10):
            world.cloud.run_instances(world.images.machine.id, type="tiny", count=1000)
        world.settle()
        times = [_cpu_seconds(world.cloud.tick) for _ in range(RUNS)]
    value = median(times)
    report("turn of the loop, idle, 1 000 nodes", value, "s of CPU", "<= 1 s", met=value <= 1)


def _cpu_seconds(act: Callable[[], object]) -> float:
    began = time.process_time()
    act()
    return time.process_time() - began


def measure_memory() -> None:
    """What a process holds that places on 10 000 nodes with 100 000 instances."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    worker = context.Process(target=_remember, args=(results,))
    worker.start()
    bare, full = results.get(timeout=600)
    worker.join()
    name = "memory, 10 000 nodes, 100 000 instances; peer: before"
    report(name, full, "MiB", "stated", met=True, peer=bare)


def _remember(results: multiprocessing.Queue[tuple[float, float]]) -> None:
    bare = _resident_mib()
    with tempfile.TemporaryDirectory() as folder, SQLiteState(Path(folder) / "cloud.db") as state:
        nodes = [sim_node(f"node{n}", SimHost(**LARGE)) for n in range(10_000)]
        scheduler = ClusterScheduler(state, nodes)
        scheduler.open()
        for first in range(0, 100_000, 1_000):
            with state.transaction() as tx:
                scheduler.claim(tx, TINY, [f"i-{first + n}" for n in range(1_000)])
        for kind in TYPES:
            scheduler.place(kind, kind.name)
        results.put((bare, _resident_mib()))


def _resident_mib() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


if __name__ == "__main__":
    main()
