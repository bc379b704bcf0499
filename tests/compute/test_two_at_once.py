"""Two schedulers whose transactions are open at the same time, in any order, on one PostgreSQL.

Whoever would have to wait for the other gets an error instead, since both are played by one thread.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from typing import ClassVar

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import delete, select
from sqlalchemy.exc import OperationalError

from pycloud.compute.placement import Placement
from pycloud.compute.policies import Greedy, Policy, RoundRobin, Spread
from pycloud.compute.scheduler import ClusterScheduler
from pycloud.compute.types import InstanceType
from pycloud.drivers.sim import SimHost, sim_node
from pycloud.errors import NoRoom, StateBusy
from pycloud.state.postgres import PostgresState
from pycloud.state.schema import claims, nodes, placement_groups
from pycloud.state.transaction import Transaction

KINDS = [InstanceType("small", 1, 256, 5), InstanceType("large", 2, 1024, 20)]
NODES = {"node1": 3, "node2": 2}
GROUPS = ("spread", "partition")


@attrs.define
class Held:
    """Where a holder is."""

    node: str
    cpus: int
    group: str | None
    partition: int | None


@attrs.define
class Controller:
    """One process: its scheduler, its open transaction, and what that has done so far."""

    scheduler: ClusterScheduler
    open: ExitStack | None = None
    tx: Transaction | None = None
    claimed: dict[str, Held] = attrs.field(factory=dict)
    released: set[str] = attrs.field(factory=set)


class TwoAtOnce(RuleBasedStateMachine):
    """At any moment what is committed is right, and each sees it and its own."""

    url: ClassVar[str]

    @initialize(policy=st.sampled_from([RoundRobin(), Greedy(), Spread()]))
    def begin_anew(self, policy: Policy) -> None:
        self.held: dict[str, Held] = {}
        self.count = 0
        self.both = [self._controller(policy) for _ in range(2)]
        first = self.both[0].scheduler
        with first.state.transaction() as tx:
            for table in (claims, placement_groups, nodes):
                tx.execute(delete(table))
        for one in self.both:
            one.scheduler.open()
        for strategy in GROUPS:
            first.groups.create(strategy, strategy)

    def teardown(self) -> None:
        for who in range(len(getattr(self, "both", ()))):
            self._end(who, commit=False)
            self.both[who].scheduler.state.close()

    @rule(
        who=st.integers(0, 1),
        kind=st.sampled_from(KINDS),
        node=st.sampled_from([None, None, None, "node2"]),
        count=st.integers(1, 4),
        least=st.sampled_from([1, 1, 2, 4]),
    )
    def claim(self, who: int, kind: InstanceType, node: str | None, count: int, least: int) -> None:
        self._claim(who, kind, Placement(node=node), count, least)

    @rule(who=st.integers(0, 1), group=st.sampled_from(GROUPS), count=st.integers(1, 2))
    def claim_in_a_group(self, who: int, group: str, count: int) -> None:
        self._claim(who, KINDS[0], Placement(group=group), count, least=1)

    @rule(who=st.integers(0, 1), which=st.integers(0, 9))
    def release(self, who: int, which: int) -> None:
        if not self.held:
            return
        tx = self._transaction(who)
        holder = sorted(self.held)[which % len(self.held)]
        try:
            with tx.nested():
                self.both[who].scheduler.give_back(tx, holder)
        except OperationalError:
            assert self.both[1 - who].tx is not None, "waited for nobody"
            return
        self.both[who].released.add(holder)

    @rule(who=st.integers(0, 1), commit=st.sampled_from([True, True, False]))
    def end(self, who: int, commit: bool) -> None:
        self._end(who, commit=commit)

    @rule(name=st.sampled_from(sorted(NODES)), who=st.integers(0, 1))
    def drain_for_a_while(self, who: int, name: str) -> None:
        """Nothing that is decided meanwhile goes there."""
        self._end(who, commit=True)
        scheduler = self.both[who].scheduler
        try:
            scheduler.drain(name)
        except StateBusy:
            assert self.both[1 - who].tx is not None, "waited for nobody"
            return
        assert name not in {room.name for room in scheduler._live().usable()}
        scheduler.enable(name)

    @invariant()
    def what_is_committed_is_right(self) -> None:
        if not hasattr(self, "both"):
            return
        with self.both[0].scheduler.state.engine.connect() as connection:
            rows = {row.holder: row.node for row in connection.execute(select(claims))}
            used = {row.name: row.used_cpus for row in connection.execute(select(nodes))}
        assert rows == {holder: held.node for holder, held in self.held.items()}
        summed: Counter[str] = Counter()
        for held in self.held.values():
            summed[held.node] += held.cpus
        assert used == {name: summed[name] for name in NODES}
        assert all(used[name] <= size for name, size in NODES.items()), "overfull"
        alone = Counter(held.node for held in self.held.values() if held.group == "spread")
        assert all(count == 1 for count in alone.values()), "two of a spread group share a node"
        parts = {(held.node, held.partition) for held in self.held.values() if held.partition}
        assert len({node for node, _ in parts}) == len(parts), "two partitions share a node"

    def _claim(
        self, who: int, kind: InstanceType, placement: Placement, count: int, least: int
    ) -> None:
        tx, least = self._transaction(who), min(least, count)
        holders = [f"h{self.count + n}" for n in range(count)]
        self.count += count
        room = self._room_for(who, kind, placement)
        try:
            with tx.nested():
                picks = self.both[who].scheduler.claim(tx, kind, holders, placement, least=least)
        except OperationalError:
            assert self.both[1 - who].tx is not None, "waited for nobody"
            return
        except NoRoom:
            assert placement.group is not None or room < least, "refused, though there is room"
            return
        if placement.group is None:
            assert len(picks) == min(count, room)
        for holder, picked in zip(holders, picks, strict=False):
            self.both[who].claimed[holder] = Held(
                picked.room.name, kind.cpus, placement.group, picked.partition
            )

    def _controller(self, policy: Policy) -> Controller:
        sims = [sim_node(name, SimHost(cpus=cpus)) for name, cpus in NODES.items()]
        return Controller(ClusterScheduler(PostgresState(self.url).open(), sims, policy=policy))

    def _transaction(self, who: int) -> Transaction:
        """Return the open transaction of one of them, or begin it."""
        one = self.both[who]
        if one.tx is None:
            one.open = ExitStack()
            one.tx = one.open.enter_context(one.scheduler.state.transaction())
        return one.tx

    def _end(self, who: int, *, commit: bool) -> None:
        one = self.both[who]
        if one.open is None:
            return
        if commit:
            one.open.close()
            self.held |= one.claimed
            for holder in one.released:
                self.held.pop(holder, None)
        else:
            with pytest.raises(ZeroDivisionError), one.open:
                raise ZeroDivisionError
        one.open, one.tx, one.claimed, one.released = None, None, {}, set()

    def _room_for(self, who: int, kind: InstanceType, placement: Placement) -> int:
        """Count on paper how many would fit, but for groups, as this one sees it."""
        one = self.both[who]
        seen = {**self.held, **one.claimed}
        total = 0
        for name, cpus in NODES.items():
            if placement.node in (None, name):
                used = sum(
                    held.cpus
                    for holder, held in seen.items()
                    if held.node == name and holder not in one.released
                )
                total += (cpus - used) // kind.cpus
        return total


@pytest.mark.postgres
class TestTwoAtOnce(TwoAtOnce.TestCase):  # type: ignore[misc,valid-type]
    """On one database, emptied for each story."""

    settings = settings(max_examples=20, stateful_step_count=30, deadline=None)

    @pytest.fixture(autouse=True)
    def database(self, postgres_server: str) -> None:
        import psycopg

        with psycopg.connect(postgres_server.format("postgres"), autocommit=True) as connection:
            connection.execute("CREATE DATABASE two_at_once")
            connection.execute("ALTER DATABASE two_at_once SET lock_timeout = '20ms'")
        TwoAtOnce.url = postgres_server.format("two_at_once")
