"""Any story: calls, turns, crashes, refusals, restarted hosts and a second controller, in any
order; at rest, hosts = rows.
"""

from __future__ import annotations

import shutil
import tempfile
from functools import partial
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pycloud.compute.hypervisor import OffReason, Power
from pycloud.compute.placement import Placement
from pycloud.compute.records import InstanceState
from pycloud.drivers.sim import Fault
from pycloud.errors import InUse, NoRoom, WrongState
from pycloud.ids import InstanceId
from pycloud.testing.world import ProcessDiedError, SimWorld

VERBS = ("hypervisor.ensure", "hypervisor.remove", "fabric.apply", "blocks.ensure", "blocks.remove")
instance_numbers = st.integers(0, 5)
hosts = st.sampled_from(["node1", "node2"])


class Story(RuleBasedStateMachine):
    """What users, time and bad luck do to a cloud of two nodes."""

    @initialize(obedient=st.booleans())
    def begin(self, obedient: bool) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pycloud-story-"))
        self.world = SimWorld(self.folder, cpus=3, obedient=obedient).__enter__()
        self.known: list[InstanceId] = []
        self.going: set[InstanceId] = set()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            for name, host in self.world.hosts.items():
                host.answers = True
                self._or_die(partial(self.world.cloud.scheduler.enable, name))
            self._or_die(lambda: self.world.settle(turns=400))
            self.world.restart()
            self.world.settle(turns=400)
            self.world.check_at_rest()
            self._check_promises()
        finally:
            self.world.__exit__()
            shutil.rmtree(self.folder)

    @rule(count=st.integers(1, 3), least=st.integers(1, 3))
    def run(self, count: int, least: int) -> None:
        def launch() -> None:
            made = self.world.cloud.run_instances(
                self.world.images.machine.id, count=count, min_count=min(least, count)
            )
            self.known += [one.id for one in made]

        self._or_die(launch)

    @rule(group=st.sampled_from(["spread", "partition", "cluster"]), count=st.integers(1, 3))
    def run_in_a_group(self, group: str, count: int) -> None:
        def launch() -> None:
            groups = self.world.cloud.placement_groups
            if group not in {one.name for one in groups.list()}:
                groups.create(group, group)
            made = self.world.cloud.run_instances(
                self.world.images.machine.id,
                count=count,
                min_count=1,
                placement=Placement(group=group),
            )
            self.known += [one.id for one in made]

        self._or_die(launch)

    @rule(host=hosts, mode=st.sampled_from(["drain", "maintain", "enable"]))
    def change_mode(self, host: str, mode: str) -> None:
        self._or_die(lambda: getattr(self.world.cloud.scheduler, mode)(host))

    @rule()
    def leave_and_join(self) -> None:
        """The second node leaves, if nothing is on it, and joins again."""

        def act() -> None:
            self.world.cloud.leave("node2")
            self.world.cloud.join(self.world.node("node2"))

        self._or_die(act)

    @rule(which=instance_numbers)
    def stop(self, which: int) -> None:
        self._ask(which, lambda id_: self.world.cloud.stop_instances([id_]))

    @rule(which=instance_numbers)
    def start(self, which: int) -> None:
        self._ask(which, lambda id_: self.world.cloud.start_instances([id_]))

    @rule(which=instance_numbers)
    def reboot(self, which: int) -> None:
        self._ask(which, lambda id_: self.world.cloud.reboot_instances([id_]))

    @rule(which=instance_numbers, kind=st.sampled_from(["m1.small", "m1.large"]))
    def resize(self, which: int, kind: str) -> None:
        self._ask(which, lambda id_: self.world.cloud.modify_instance(id_, type=kind))

    @rule(which=instance_numbers)
    def terminate(self, which: int) -> None:
        def ask(id_: InstanceId) -> None:
            self.world.cloud.terminate_instances([id_])
            self.going.add(id_)

        self._ask(which, ask)

    @rule()
    def turn(self) -> None:
        self._or_die(self.world.cloud.tick)

    @rule(seconds=st.sampled_from([1, 30, 1000]))
    def wait(self, seconds: int) -> None:
        self.world.clock.advance(seconds)

    @rule(n=st.integers(0, 12))
    def die_soon(self, n: int) -> None:
        self.world.crash_at(n)

    @rule()
    def die_now(self) -> None:
        self.world.restart()

    @rule(host=hosts, verb=st.sampled_from(VERBS), fault=st.sampled_from(Fault))
    def go_wrong(self, host: str, verb: str, fault: Fault) -> None:
        self.world.hosts[host].fault(verb, fault)

    @rule(host=hosts, answers=st.booleans())
    def cut_off(self, host: str, answers: bool) -> None:
        self.world.hosts[host].answers = answers

    @rule(host=hosts)
    def restart_host(self, host: str) -> None:
        self.world.hosts[host].restart()

    @rule(host=hosts, reason=st.sampled_from(OffReason))
    def kill_a_guest(self, host: str, reason: OffReason) -> None:
        for id_, domain in self.world.hosts[host].domains.items():
            if domain.power is Power.ON:
                self.world.hosts[host].kill(id_, reason)
                break

    @rule()
    def second_controller(self) -> None:
        """Another process opens the same state: it may serve, but turns nothing while the first
        one leads.
        """
        self._or_die(self._serve_beside)

    def _serve_beside(self) -> None:
        self.world.cloud.tick()  # now this one leads
        with self.world.another_process() as other:
            assert other.tick() is False
            assert other.describe_instances() == self.world.cloud.describe_instances()

    @invariant()
    def no_room_or_address_is_given_twice(self) -> None:
        if not hasattr(self, "world"):
            return
        for room in self.world.cloud.describe_nodes():
            assert 0 <= room.used_cpus <= room.cpus or room.problem
            assert room.used_memory_mib >= 0
            assert room.used_disk_gib >= 0
        alive = [
            one
            for one in self.world.cloud.describe_instances()
            if one.state is not InstanceState.TERMINATED
        ]
        assert len(alive) == len({one.address for one in alive})
        spread = [one.node for one in alive if one.group == "spread"]
        assert len(spread) == len(set(spread)), "two of a spread group share a node"
        parts = {(one.node, one.partition) for one in alive if one.group == "partition"}
        assert len(parts) == len({node for node, _ in parts}), "two partitions share a node"

    def _ask(self, which: int, ask) -> None:  # type: ignore[no-untyped-def]
        present = [one.id for one in self.world.cloud.describe_instances()]
        if present:
            self._or_die(lambda: ask(present[which % len(present)]))

    def _or_die(self, act) -> None:  # type: ignore[no-untyped-def]
        try:
            act()
        except ProcessDiedError:
            self.world.restart()
        except (NoRoom, WrongState, InUse):
            pass

    def _check_promises(self) -> None:
        """What was acknowledged is there, or was forgotten an hour after its termination."""
        states = {one.id: one.state for one in self.world.cloud.describe_instances()}
        for id_ in self.going:
            assert states.get(id_, InstanceState.TERMINATED) is InstanceState.TERMINATED


TestAnyStory = Story.TestCase
TestAnyStory.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
