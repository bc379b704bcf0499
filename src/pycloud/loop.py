"""The loop that makes true what was decided: plan → apply → absorb, node by node.

It is level-triggered. A nudge (a commit, an event of a hypervisor) or the period wakes it; neither
carries data, so a lost one costs time and nothing else. A start, a crash, a retry, a node's reboot
and drift are one and the same path. One process at a time turns it, the one that holds the state's
leadership `loop`.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import attrs
from sqlalchemy import delete

from pycloud import limits
from pycloud.compute.images import ImageRegistry
from pycloud.compute.instances import InstanceStore
from pycloud.compute.plan import (
    GuestReport,
    NodePlan,
    NodeReport,
    absorb,
    give_up_overdue,
    plan_node,
)
from pycloud.compute.records import Instance, InstanceState
from pycloud.compute.scheduler import ClusterScheduler, merged
from pycloud.errors import DriverError, NotSettled, StateError
from pycloud.ids import NodeName
from pycloud.network.addresses import IPPool
from pycloud.state.database import Database, Leadership
from pycloud.state.schema import journal
from pycloud.state.transaction import Transaction

_LOOK_EVERY_S = 0.05
"""How often `settle` looks, besides whenever the loop tells of something."""

_log = logging.getLogger("pycloud.loop")


class Loop:
    """Turns the nodes of one cloud. `CloudController` makes it; `tick`, `settle` and `nudge` are
    its public verbs.
    """

    def __init__(
        self,
        state: Database,
        scheduler: ClusterScheduler,
        instances: InstanceStore,
        images: ImageRegistry,
        addresses: IPPool,
        *,
        workers: int = 8,
    ) -> None:
        self.state = state
        self.scheduler = scheduler
        self.instances = instances
        self.images = images
        self.addresses = addresses
        self.workers = workers
        self._leadership: Leadership | None = None
        self._turning = threading.RLock()
        self._wake = threading.Condition()
        self._nudges = 0
        self._rounds = 0
        self._round_wanted = False
        self._stirred: set[NodeName] = set()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._failures: dict[NodeName, int] = {}
        self._not_before: dict[NodeName, float] = {}
        self._tidied = datetime.min.replace(tzinfo=UTC)

    # What others call

    def nudge(self, node: NodeName | None = None) -> None:
        """Wake the loop: there may be something to do, on `node` though its records are settled."""
        with self._wake:
            if node is not None:
                self._stirred.add(node)
            self._nudges += 1
            self._wake.notify_all()

    def tick(self) -> bool:
        """Turn the loop once over all nodes, in this thread. Returns False if another process is
        turning it.
        """
        with self._turning:
            if not self.lead():
                return False
            self._turn(list(self.scheduler.nodes), mend=True)
            self._tidy()
        with self._wake:
            self._rounds += 1
            self._wake.notify_all()
        return True

    def settle(self, timeout_s: float) -> None:
        """Return when reality is what was asked for. Raises `NotSettled`, naming what is still
        under way.
        """
        deadline = time.monotonic() + timeout_s
        first = self._rounds
        self._round_wanted = True
        self.nudge()
        while True:
            if self._thread is None:
                self.tick()
            pending = self._under_way()
            if not pending and (self._rounds > first or self._leadership is None):
                return
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise NotSettled(
                    f"after {timeout_s:g} s still under way: {'; '.join(pending) or 'a turn'}"
                )
            with self._wake:
                self._wake.wait(min(left_s, _LOOK_EVERY_S))

    def lead(self) -> bool:
        """Tell whether this process turns the loop; take the place if it is free."""
        if self._leadership is not None and not self._leadership.held():
            self._leadership = None
        if self._leadership is None:
            self._leadership = self.state.lead("loop")
        return self._leadership is not None

    def start(self) -> None:
        """Turn in a thread from now on."""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="pycloud-loop", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, after the turn it is in, and let another process turn."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._leadership is not None:
            self._leadership.release()
            self._leadership = None

    # The thread

    def _run(self) -> None:
        due, heard = 0.0, -1
        while not self._stopping:
            round_due = time.monotonic() >= due or self._round_wanted
            try:
                if round_due:
                    self._round_wanted = False
                    self.tick()
                    due = time.monotonic() + limits.LOOP_PERIOD_S
                busy = self._turn_unsettled()
            except StateError as error:
                _log.warning("the state does not answer: %s", error)
                busy = True
            except Exception:  # noqa: BLE001 - the loop must outlive a defect in a driver
                _log.exception("a turn failed")
                busy = True
            heard = self._rest(heard, due, busy=busy)

    def _rest(self, heard: int, due: float, *, busy: bool) -> int:
        """Wait for a nudge newer than `heard`, or for the time; return the newest."""
        until = time.monotonic() + limits.BUSY_PERIOD_S if busy else due
        with self._wake:
            while not self._stopping and self._nudges == heard:
                left_s = until - time.monotonic()
                if left_s <= 0 or not self._wake.wait(left_s):
                    break
            return self._nudges

    def _turn_unsettled(self) -> bool:
        """Turn the nodes that have something to do; return whether any have."""
        with self._turning:
            if not self.lead():
                return True  # to take over within a busy period once the place is free
            with self._wake:
                stirred, self._stirred = self._stirred, set()
            with self.state.reading() as tx:
                unsettled = self.instances.unsettled_nodes(tx)
            now = time.monotonic()
            ready = [name for name in self.scheduler.nodes if name in unsettled | stirred]
            due = [name for name in ready if self._not_before.get(name, 0) <= now]
            self._turn(due, mend=False)
        return bool(unsettled)

    # One turn

    def _turn(self, names: list[NodeName], *, mend: bool) -> None:
        """Plan, apply and absorb for these nodes; with `mend`, drift is looked for everywhere."""
        if not names:
            return
        plans = self._plans(names)
        if self.workers == 1 or len(plans) == 1:
            for plan, rows in plans:
                self._turn_node(plan, rows, mend=mend)
            return
        with ThreadPoolExecutor(self.workers, thread_name_prefix="pycloud-turn") as pool:
            turns = [pool.submit(self._turn_node, plan, rows, mend=mend) for plan, rows in plans]
        for turn in turns:
            turn.result()

    def _plans(self, names: list[NodeName]) -> list[tuple[NodePlan, list[Instance]]]:
        with self.state.reading() as tx:
            images = self.images.needed(tx)
            consoles = self.instances.with_console(tx)
            by_node: dict[NodeName, list[Instance]] = {name: [] for name in names}
            for instance in self.instances.list(tx, nodes=names):
                by_node[instance.node].append(instance)
            network = self.addresses.network
            return [
                (plan_node(name, rows, images, network, consoles, tx.now), rows)
                for name, rows in by_node.items()
            ]

    def _turn_node(self, plan: NodePlan, rows: list[Instance], *, mend: bool) -> None:
        node = self.scheduler.nodes[plan.node]
        try:
            report = node.apply(plan, self.images.open, mend=mend)
        except DriverError as error:
            self._back_off(plan.node)
            self._absorb_silence(plan.node, rows, str(error))
            return
        self._failures.pop(plan.node, None)
        self._not_before.pop(plan.node, None)
        if any(guest.failure and not guest.final for guest in report.guests):
            self._back_off(plan.node)
        self._absorb(report, rows)

    def _back_off(self, name: NodeName) -> None:
        """Ask a node that failed again after 1, 2, 4 … s."""
        failures = self._failures.get(name, 0)
        self._failures[name] = failures + 1
        wait_s = min(2**failures, limits.BACKOFF_MAX_S)
        self._not_before[name] = time.monotonic() + wait_s

    def _absorb(self, report: NodeReport, rows: list[Instance]) -> None:
        """Write what is new. In the usual case nothing is, and nothing is written."""
        room = self.scheduler.nodes[report.node].room_of(report)
        if report.problem is not None:
            room = attrs.evolve(room, problem=report.problem)
        with self.state.reading() as tx:
            former = self.scheduler.room(tx, report.node)
        restarted = "" not in (former.host_boot, room.host_boot) and (
            former.host_boot != room.host_boot
        )
        guests = {guest.id: guest for guest in report.guests}
        now = self.state.clock.now()
        new = {
            row.id
            for row in rows
            if row.id in guests and _is_news(row, guests[row.id], now, restarted=restarted)
        }
        if not new and former == merged(former, room):
            return
        with self.state.transaction() as tx:
            # Instances are locked before nodes, here as in the verbs: no two wait for each other.
            found = self.instances.find(tx, sorted(new))
            self.scheduler.refresh(tx, room)
            for instance in found:
                self._absorb_guest(tx, instance, guests[instance.id], restarted=restarted)

    def _absorb_guest(
        self, tx: Transaction, instance: Instance, report: GuestReport, *, restarted: bool
    ) -> None:
        """Apply a report to the record as it is by now: its user may have changed their mind
        meanwhile.
        """
        if report.console is not None:
            self.instances.keep_console(tx, instance.id, report.console)
            tx.nudge()
        changed = absorb(instance, report, tx.now, host_restarted=restarted)
        if changed != instance:
            self._write(tx, instance, changed)

    def _absorb_silence(self, name: NodeName, rows: list[Instance], problem: str) -> None:
        with self.state.transaction() as tx:
            pending = [row.id for row in rows if row.state is InstanceState.PENDING]
            found = self.instances.find(tx, sorted(pending))
            former = self.scheduler.room(tx, name)
            if former.problem != problem:
                self.scheduler.refresh(tx, attrs.evolve(former, problem=problem))
                tx.record("node.problem", name, problem)
            for instance in found:
                changed = give_up_overdue(instance, tx.now, problem)
                if changed != instance:
                    self._write(tx, instance, changed)

    def _write(self, tx: Transaction, before: Instance, after: Instance) -> None:
        """Write a changed record, and give back what it holds no longer."""
        if after.state is not before.state:
            self._give_back(tx, after)
            tx.record(f"instance.{after.state}", after.id, after.reason or "")
            tx.nudge()
        if after.state is InstanceState.TERMINATED:
            after = attrs.evolve(after, address=None)
        self.instances.write(tx, after)

    def _give_back(self, tx: Transaction, after: Instance) -> None:
        """A stopped instance keeps its disk and address; a terminated one keeps nothing."""
        if after.state is InstanceState.STOPPED:
            self.scheduler.keep_disk(tx, after.id)
        elif after.state is InstanceState.TERMINATED:
            self.scheduler.give_back(tx, after.id)
            self.addresses.give_back(tx, after.id)

    # Around the turns

    def _tidy(self) -> None:
        """Once in a while, forget what is too old to be shown, and images that nothing needs."""
        now = self.state.clock.now()
        if now - self._tidied < timedelta(seconds=limits.TIDY_PERIOD_S):
            return
        self._tidied = now
        with self.state.transaction() as tx:
            self.instances.forget_old(tx)
            horizon = tx.now - timedelta(days=limits.JOURNAL_DAYS)
            tx.execute(delete(journal).where(journal.c.at < horizon))
        self.images.sweep()

    def _under_way(self) -> list[str]:
        """Say for each instance that is not settled what is still to be done."""
        with self.state.reading() as tx:
            unsettled = [instance for instance in self.instances.list(tx) if not instance.settled]
        return [
            f"{instance.id} is {instance.state}"
            + (f" ({instance.reason})" if instance.reason else "")
            for instance in unsettled
        ]


def _is_news(row: Instance, report: GuestReport, now: datetime, *, restarted: bool) -> bool:
    return report.console is not None or absorb(row, report, now, host_restarted=restarted) != row
