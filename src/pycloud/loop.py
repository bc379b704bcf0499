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
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import attrs
from sqlalchemy import delete

from pycloud import limits
from pycloud.compute.images import ImageRegistry
from pycloud.compute.instances import InstanceStore
from pycloud.compute.live_index import ABSENT
from pycloud.compute.nodes import merged
from pycloud.compute.plan import (
    GuestReport,
    NodePlan,
    NodeReport,
    absorb,
    give_up_overdue,
    plan_node,
)
from pycloud.compute.records import Instance, InstanceState, NodeRoom
from pycloud.compute.scheduler import ClusterScheduler
from pycloud.errors import DriverError, NotSettled, StateError
from pycloud.ids import InstanceId, NodeName
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
        on_terminated: Callable[[Transaction, InstanceId], None],
        on_forgotten: Callable[[Transaction, Sequence[InstanceId]], None],
    ) -> None:
        self.state = state
        self.scheduler = scheduler
        self.instances = instances
        self.images = images
        self.addresses = addresses
        self.workers = workers
        self._on_terminated = on_terminated
        self._on_forgotten = on_forgotten
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
        self._unanswered: dict[NodeName, datetime] = {}
        """Since when the nodes do not answer that do not."""
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
            self._turn(set(self.scheduler.nodes), mend=True)
            self._miss_absent()
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
            ready = unsettled | stirred
            self._turn({one for one in ready if self._not_before.get(one, 0) <= now}, mend=False)
        return bool(unsettled)

    # One turn

    def _turn(self, names: set[NodeName], *, mend: bool) -> None:
        """Plan, apply and absorb for these nodes; with `mend`, drift is looked for everywhere."""
        if not names:
            return
        tasks = self._tasks(names)
        if self.workers == 1 or len(tasks) == 1:
            for task in tasks:
                self._turn_node(task, mend=mend)
            return
        with ThreadPoolExecutor(self.workers, thread_name_prefix="pycloud-turn") as pool:
            turns = [pool.submit(self._turn_node, task, mend=mend) for task in tasks]
        for turn in turns:
            turn.result()

    def _tasks(self, names: set[NodeName]) -> list[_Task]:
        with self.state.reading() as tx:
            rooms = {room.name: room for room in self.scheduler.attended(tx)}
            images = self.images.needed(tx)
            consoles = self.instances.with_console(tx)
            by_node: dict[NodeName, list[Instance]] = {
                name: [] for name in list(self.scheduler.nodes) if name in names and name in rooms
            }
            for instance in self.instances.list(tx, nodes=list(by_node)):
                by_node[instance.node].append(instance)
            network = self.addresses.network
            return [
                _Task(plan_node(name, rows, images, network, consoles, tx.now), rooms[name], rows)
                for name, rows in by_node.items()
            ]

    def _turn_node(self, task: _Task, *, mend: bool) -> None:
        name = task.plan.node
        node = self.scheduler.nodes.get(name)
        if node is None:
            return  # it has left since this turn was planned
        try:
            report = node.apply(task.plan, self.images.open, mend=mend)
        except DriverError as error:
            self._back_off(name)
            self._absorb_silence(task.room, task.rows, str(error))
            return
        self._failures.pop(name, None)
        self._not_before.pop(name, None)
        self._unanswered.pop(name, None)
        if any(guest.failure and not guest.final for guest in report.guests):
            self._back_off(name)
        self._absorb(report, node.room_of(report), task)

    def _back_off(self, name: NodeName) -> None:
        """Ask a node that failed again after 1, 2, 4 … s."""
        failures = self._failures.get(name, 0)
        self._failures[name] = failures + 1
        wait_s = min(2**failures, limits.BACKOFF_MAX_S)
        self._not_before[name] = time.monotonic() + wait_s

    def _absorb(self, report: NodeReport, room: NodeRoom, task: _Task) -> None:
        """Write what is new. In the usual case nothing is, and nothing is written."""
        former, rows = task.room, task.rows
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

    def _absorb_silence(self, former: NodeRoom, rows: Sequence[Instance], problem: str) -> None:
        """Write that a node does not answer, and give up the launches that wait for it too long."""
        now = self.state.clock.now()
        since = self._unanswered.setdefault(former.name, now)
        silent = former.silent or now - since >= timedelta(seconds=limits.NODE_SILENT_S)
        room = attrs.evolve(former, problem=problem, silent=silent)
        overdue = {row.id for row in rows if give_up_overdue(row, now, problem) != row}
        if not overdue and room == former:
            return
        with self.state.transaction() as tx:
            found = self.instances.find(tx, sorted(overdue))
            self.scheduler.refresh(tx, room)
            if (room.problem, room.silent) != (former.problem, former.silent):
                tx.record("node.silent" if silent else "node.problem", room.name, problem)
            for instance in found:
                self._write(tx, instance, give_up_overdue(instance, tx.now, problem))

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
            self._on_terminated(tx, after.id)

    # Around the turns

    def _miss_absent(self) -> None:
        """Treat nodes that the state knows, but nobody has given to this process, as silent."""
        with self.state.reading() as tx:
            nodes = self.scheduler.nodes
            absent = [room for room in self.scheduler.attended(tx) if room.name not in nodes]
            rows = self.instances.list(tx, nodes=[room.name for room in absent]) if absent else []
        for room in absent:
            here = [row for row in rows if row.node == room.name]
            self._absorb_silence(room, here, ABSENT)

    def _tidy(self) -> None:
        """Once in a while, forget what is too old to be shown, and images that nothing needs."""
        now = self.state.clock.now()
        if now - self._tidied < timedelta(seconds=limits.TIDY_PERIOD_S):
            return
        self._tidied = now
        with self.state.transaction() as tx:
            self._on_forgotten(tx, self.instances.forget_old(tx))
            horizon = tx.now - timedelta(days=limits.JOURNAL_DAYS)
            tx.execute(delete(journal).where(journal.c.at < horizon))
        self.images.sweep()
        self.images.buckets.tidy()

    def _under_way(self) -> list[str]:
        """Say for each instance that is not settled what is still to be done."""
        with self.state.reading() as tx:
            unsettled = [instance for instance in self.instances.list(tx) if not instance.settled]
        return [
            f"{instance.id} is {instance.state}"
            + (f" ({instance.reason})" if instance.reason else "")
            for instance in unsettled
        ]


@attrs.frozen
class _Task:
    """What there is to do on one node, and the rows it was made from."""

    plan: NodePlan
    room: NodeRoom
    rows: Sequence[Instance]


def _is_news(row: Instance, report: GuestReport, now: datetime, *, restarted: bool) -> bool:
    return report.console is not None or absorb(row, report, now, host_restarted=restarted) != row
