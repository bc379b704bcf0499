"""`SimWorld`: simulated hosts under a real state, with a clock that stands still and a process that
can die at any boundary.

A boundary is the moment before or after anything that outlives the process: a driver's call, a
commit. `crash_at(n)` lets the process die at the n-th one from now; `restart()` is the next process
on the same hosts and the same state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import select

from pycloud.clock import Clock, ManualClock
from pycloud.cloud import CloudController
from pycloud.compute.hypervisor import Power
from pycloud.compute.images import ImageRegistry
from pycloud.compute.node import NodeController
from pycloud.compute.policies import Policy
from pycloud.compute.records import Instance, InstanceState
from pycloud.compute.scheduler import ClusterScheduler
from pycloud.drivers.files import FileBlobs
from pycloud.drivers.sim import SimHost, sim_node
from pycloud.errors import NotSettled
from pycloud.ids import DiskId, InstanceId
from pycloud.network.addresses import IPPool
from pycloud.network.elastic import ElasticAddresses
from pycloud.state.database import Database
from pycloud.state.postgres import PostgresState
from pycloud.state.schema import claims, instance_groups
from pycloud.state.sqlite import SQLiteState
from pycloud.state.transaction import Transaction
from pycloud.storage.buckets import BucketStore
from pycloud.testing.images import SimImages, register_sim_images

_PUBLIC = "203.0.113.0/24"


class ProcessDiedError(BaseException):
    """The simulated process died here. Not an `Exception`: nothing in the process may catch it."""


class SimWorld:
    """Hosts, a state below `directory` (by default one that is removed in the end), and one
    controller process at a time.

    The hosts `node1`, `node2` … are all alike, and stand in the `zones` in turn. What happens by
    chance is chosen with `random`, which begins with `seed`: the same seed gives the same world, down
    to the ids. So worlds on one `postgres_url` need seeds of their own.

    >>> from pycloud.testing import SimWorld
    >>> with SimWorld(nodes=2) as world:
    ...     [instance] = world.cloud.run_instances(world.images.machine.id)
    ...     world.settle()
    ...     world.check_at_rest()
    ...     world.cloud.describe_instances()[0].state.value
    'running'
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        nodes: int = 2,
        zones: Sequence[str] = ("cluster01",),
        seed: int = 0,
        network: str = "10.11.0.0/16",
        policy: Policy | None = None,
        postgres_url: str | None = None,
        **host: Any,
    ) -> None:
        self._temporary: TemporaryDirectory[str] | None = None
        if directory is None:
            self._temporary = TemporaryDirectory(prefix="pycloud-sim-")
            directory = Path(self._temporary.name)
        self.directory = directory
        self.random, self._ids = Random(seed), Random(seed)  # noqa: S311 - chance, no secret
        self.network = network
        self.policy = policy
        self.postgres_url = postgres_url
        self.clock = ManualClock()
        self.boundaries: list[str] = []
        self._crash_at: int | None = None
        self._dead = False
        self.hosts: dict[str, SimHost] = {}
        self.options: dict[str, dict[str, Any]] = {}
        """What each node's `NodeController` is told, such as its zone."""
        for number in range(nodes):
            self.add_host(f"node{number + 1}", {"zone": zones[number % len(zones)]}, **host)
        self.cloud: CloudController = self.another_process()
        self.images: SimImages

    def __enter__(self) -> SimWorld:
        self.cloud.open()
        self.images = register_sim_images(self.cloud.images)
        return self

    def __exit__(self, *exception: object) -> None:
        self.cloud.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    def add_host(self, name: str, options: dict[str, Any] | None = None, **host: Any) -> None:
        """Put up another host; it is no node of the cloud until it has joined, or the process is
        restarted. `options` are those of `NodeController`, `host` those of `SimHost`.
        """
        self.hosts[name] = SimHost(boundary=self.boundary, **host)
        self.options[name] = options or {}

    def node(self, name: str) -> NodeController:
        """Return a new controller for a host, for `cloud.join`."""
        return sim_node(name, self.hosts[name], **self.options[name])

    def lose_hosts(self, count: int) -> list[str]:
        """Let as many hosts die, guests and all, as `count` says; return which they are."""
        alive = sorted(name for name, host in self.hosts.items() if host.answers)
        lost = sorted(self.random.sample(alive, count))
        for name in lost:
            self.hosts[name].restart()
            self.hosts[name].answers = False
        return lost

    def crash_at(self, n: int) -> None:
        """Let the process die at the `n`-th boundary from now, counted from 0."""
        self._crash_at = len(self.boundaries) + n

    def boundary(self, what: str) -> None:
        """Pass a boundary, or die at it. The dead pass none."""
        if self._dead or self._crash_at == len(self.boundaries):
            self._dead = True
            raise ProcessDiedError(what)
        self.boundaries.append(what)

    def restart(self) -> None:
        """End the process, as the kernel would, and start the next one on the same state."""
        self._dead = True
        self.cloud.close()
        self._dead, self._crash_at = False, None
        self.cloud = self.another_process()
        self.cloud.open()

    def settle(self, turns: int = 40) -> None:
        """Turn the loop, time passing, until everything is settled. Raises `NotSettled`."""
        for _ in range(turns):
            self.cloud.tick()
            unsettled = [one for one in self.cloud.describe_instances() if not one.settled]
            if not unsettled:
                # Once more: what was decided in the last turn about settled ones is carried out
                # too.
                self.cloud.tick()
                self.cloud.tick()
                return
            self.clock.advance(seconds=5)
        raise NotSettled(f"after {turns} turns still under way: {unsettled}")

    def check_at_rest(self) -> None:
        """Assert that the hosts hold just what the rows say, and that every claim and address is
        accounted for.
        """
        instances = self.cloud.describe_instances()
        for instance in instances:
            self._check_instance(instance)
        alive = {one.id: one for one in instances if one.state is not InstanceState.TERMINATED}
        for name, host in self.hosts.items():
            if not host.answers:
                continue
            here = {id_ for id_, one in alive.items() if one.node == name}
            assert set(host.domains) <= here, f"leaked domains on {name}"
            assert set(host.wires) <= here, f"leaked wires on {name}"
            guests = {disk for disk in host.disks if disk.startswith("i-")}
            assert guests <= here, f"leaked disks on {name}"
        held = {str(address): holder for address, holder in self.cloud.addresses.held().items()}
        assert held == {str(one.address): one.id for one in alive.values()}, "addresses"
        self._check_claims(alive)
        self._check_network(set(alive))

    def _check_instance(self, instance: Instance) -> None:
        host = self.hosts.get(instance.node)
        if host is None or instance.state is InstanceState.SILENT:
            silent = (InstanceState.TERMINATED, InstanceState.SILENT)
            assert instance.state in silent, f"{instance}, but its host is gone"
            return
        domain = host.domains.get(instance.id)
        on = domain is not None and domain.power is Power.ON
        assert on == (instance.state is InstanceState.RUNNING), f"{instance} but {domain}"
        assert (instance.id in host.wires) == on, f"wire of {instance}"
        has_disk = DiskId(instance.id) in host.disks
        if instance.state in (InstanceState.RUNNING, InstanceState.TERMINATED):
            assert has_disk == on, f"disk of {instance}"
        if domain is not None and on:
            assert domain.boot == instance.boot, f"{instance} but {domain}"

    def _check_claims(self, alive: dict[Any, Instance]) -> None:
        with self.cloud.state.reading() as tx:
            held = tx.execute(select(claims)).all()
        holders = {claim.holder for claim in held}
        assert holders == set(alive), "claims"
        for room in self.cloud.describe_nodes():
            running = [
                one
                for one in alive.values()
                if one.node == room.name
                and one.state in (InstanceState.RUNNING, InstanceState.SILENT)
            ]
            used = (sum(one.cpus for one in running), sum(one.memory_mib for one in running))
            assert used == (room.used_cpus, room.used_memory_mib), f"room of {room}"
            here = [claim for claim in held if claim.node == room.name]
            claimed = (sum(one.cpus for one in here), sum(one.memory_mib for one in here))
            assert used == claimed, f"claims of {room}"
            assert room.used_memory_mib <= room.memory_mib, f"{room} is overfull"

    def _check_network(self, alive: set[InstanceId]) -> None:
        with self.cloud.state.reading() as tx:
            holders = set(tx.execute(select(instance_groups.c.instance_id)).scalars())
        assert holders == alive, "security groups"
        if self.cloud.elastic is not None:
            elastic = self.cloud.elastic.list(account=None)
            leads = {one.instance_id for one in elastic if one.instance_id is not None}
            assert leads <= alive, "elastic addresses lead to what is gone"
            held = self.cloud.elastic.pool.held()
            assert held == {one.address: one.id for one in elastic}, "public addresses"

    def another_process(self) -> CloudController:
        """Return one more controller, not open yet, for the same hosts and the same state."""
        state = self._state()
        buckets = BucketStore(state, FileBlobs(self.directory / "blobs"))
        nodes = [self.node(name) for name in self.hosts]
        return CloudController(
            state,
            scheduler=ClusterScheduler(state, nodes, policy=self.policy),
            addresses=IPPool(state, self.network),
            images=ImageRegistry(state, buckets),
            elastic=ElasticAddresses(state, IPPool(state, _PUBLIC, name="public")),
            background=False,
            workers=1,
            mint=lambda prefix: f"{prefix}-{self._ids.getrandbits(68):017x}",
        )

    def _state(self) -> Database:
        if self.postgres_url is not None:
            return _MortalPostgres(self.postgres_url, self.clock, self.boundary)
        return _MortalSQLite(self.directory / "cloud.db", self.clock, self.boundary)


class _MortalSQLite(SQLiteState):
    """SQLite, with a boundary on both sides of each commit."""

    def __init__(self, path: Path, clock: Clock, boundary: Callable[[str], None]) -> None:
        super().__init__(path, clock=clock)
        self._boundary = boundary

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        with super().transaction() as tx:
            yield tx
            self._boundary("before commit")
        self._boundary("after commit")


class _MortalPostgres(PostgresState):
    """PostgreSQL, with a boundary on both sides of each commit."""

    def __init__(self, url: str, clock: Clock, boundary: Callable[[str], None]) -> None:
        super().__init__(url, clock=clock)
        self._boundary = boundary

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        with super().transaction() as tx:
            yield tx
            self._boundary("before commit")
        self._boundary("after commit")
