"""`NodeController`: carries out the plan of one node through its three drivers. It chooses nothing.

The order is what keeps a crash harmless: a guest's disk and wire are there before its domain, and
leave after it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network

import attrs

from pycloud import limits
from pycloud.compute.hypervisor import Domain, FoundDomain, FoundHost, Hypervisor, Power
from pycloud.compute.plan import GuestPlan, GuestReport, NodePlan, NodeReport, Wish
from pycloud.compute.records import NodeRoom
from pycloud.errors import Cannot, DriverError, InvalidValue
from pycloud.ids import AccountId, DiskId, ImageId, NodeName
from pycloud.names import checked_labels, checked_name
from pycloud.network.fabric import Fabric
from pycloud.storage.blocks import Blocks
from pycloud.storage.records import Opener

_GIB = 1024**3


class NodeController:
    """One machine that runs guests.

    What it offers is what its hypervisor and its disks have, less what is reserved, with cores
    counted `cpu_overcommit` times and memory `memory_overcommit` times. `labels` say what is
    special about it, for placements that ask for it; on a node that is `dedicated_to` an account,
    only that account's instances run. `workers` guests are started at the same time.

    >>> from pycloud import NodeController, NodePlan
    >>> from pycloud.drivers.sim import SimBlocks, SimFabric, SimHypervisor
    >>> node = NodeController("node1", hypervisor=SimHypervisor(), fabric=SimFabric(), blocks=SimBlocks())
    >>> nothing = NodePlan("node1", guests=(), images=frozenset())
    >>> report = node.apply(nothing, open_image=lambda image: None)
    >>> report.host.accelerator, report.guests
    ('simulated', ())

    Raises `InvalidValue` for a bad name or label, or factors that can't be.
    """

    def __init__(
        self,
        name: str,
        *,
        hypervisor: Hypervisor,
        fabric: Fabric,
        blocks: Blocks,
        zone: str = "cluster01",
        labels: Mapping[str, str] | None = None,
        dedicated_to: AccountId | None = None,
        reserved_cpus: int = 0,
        reserved_memory_mib: int = 0,
        reserved_disk_gib: int = 0,
        cpu_overcommit: float = 1.0,
        memory_overcommit: float = 1.0,
        workers: int = 8,
    ) -> None:
        self.name = NodeName(checked_name("node", name))
        self.zone = checked_name("zone", zone)
        self.hypervisor = hypervisor
        self.fabric = fabric
        self.blocks = blocks
        self.labels = checked_labels(labels or {})
        self.dedicated_to = dedicated_to
        factors = (cpu_overcommit, memory_overcommit)
        if not all(0 < factor < limits.OVERCOMMIT_MAX for factor in factors) or workers < 1:
            raise InvalidValue(
                f"node {name!r}: overcommit factors are above 0 and below {limits.OVERCOMMIT_MAX}, "
                f"not {cpu_overcommit} and {memory_overcommit}; workers are 1 or more, not {workers}"
            )
        reserved = (reserved_cpus, reserved_memory_mib, reserved_disk_gib)
        if min(reserved) < 0:
            raise InvalidValue(f"node {name!r}: what is reserved is 0 or more, not {reserved}")
        self.reserved_cpus, self.reserved_memory_mib, self.reserved_disk_gib = reserved
        self.cpu_overcommit = cpu_overcommit
        self.memory_overcommit = memory_overcommit
        self.workers = workers

    def check(self, network: IPv4Network) -> None:
        """Raise `InvalidValue` if guests here can't have addresses of `network`."""
        self.fabric.check(network)

    def watch(self, on_change: Callable[[], None]) -> Callable[[], None]:
        """Call `on_change` when a guest changes; the result ends that."""
        return self.hypervisor.watch(on_change)

    def room(self, *, joins: bool = True) -> NodeRoom:
        """Ask the drivers what this node has. If they do not answer, all is 0 and `problem` says
        why; so it does if nothing is left of what it has, unless it `joins`: then that raises
        `InvalidValue`.
        """
        try:
            host, disk_gib = self.hypervisor.found(), self.blocks.capacity_bytes() // _GIB
        except DriverError as error:
            return self._room_of(0, 0, 0, problem=str(error))
        room = self._offer(host, disk_gib)
        if joins and room.problem is not None:
            raise InvalidValue(f"node {self.name!r}: {room.problem}")
        return room

    def room_of(self, report: NodeReport) -> NodeRoom:
        """Return what this node has, as a report shows it."""
        room = self._offer(report.host, report.disk_gib)
        return attrs.evolve(room, problem=report.problem or room.problem)

    def apply(self, plan: NodePlan, open_image: Opener, *, mend: bool = True) -> NodeReport:
        """Bring the node one step nearer to `plan` and report what is there now.

        With `mend`, the network is put right also where the plan changes nothing in it: that takes
        a while.

        What fails for one guest is in its report. Raises `TryLater` or `Cannot` if the node as a
        whole does not answer.
        """
        return _Turn(self, plan, open_image, mend=mend).carry_out()

    def _offer(self, host: FoundHost, disk_gib: int) -> NodeRoom:
        cpus = int((host.cpus - self.reserved_cpus) * self.cpu_overcommit)
        memory_mib = int((host.memory_mib - self.reserved_memory_mib) * self.memory_overcommit)
        disk_gib -= self.reserved_disk_gib
        problem = None
        if min(cpus, memory_mib, disk_gib) < 1:
            problem = (
                f"it offers nothing: {cpus} cores, {memory_mib} MiB, {disk_gib} GiB are left "
                "of what it has; reserve less"
            )
        room = self._room_of(max(cpus, 0), max(memory_mib, 0), max(disk_gib, 0), problem=problem)
        return attrs.evolve(room, host_boot=host.host_boot)

    def _room_of(
        self, cpus: int, memory_mib: int, disk_gib: int, *, problem: str | None
    ) -> NodeRoom:
        return NodeRoom(
            name=self.name,
            zone=self.zone,
            position=0,
            cpus=cpus,
            memory_mib=memory_mib,
            disk_gib=disk_gib,
            problem=problem,
            labels=self.labels,
            dedicated_to=self.dedicated_to,
        )


class _Turn:
    """One carrying out of one plan."""

    def __init__(
        self, node: NodeController, plan: NodePlan, open_image: Opener, *, mend: bool
    ) -> None:
        self.node = node
        self.mend = mend
        self.guests = plan.guests
        self.images = plan.images
        self.open_image = open_image
        self.host = node.hypervisor.found()
        self.disks = set(node.blocks.found())
        self.failures: dict[str, DriverError] = {}
        self.consoles: dict[str, bytes] = {}
        self.filling = threading.Lock()
        self.touched = False
        self.problem: str | None = None

    def carry_out(self) -> NodeReport:
        leaving = [guest for guest in self.guests if guest.wish is not Wish.ON]
        self._each(leaving, self._bring_down)
        starting = [guest for guest in self.guests if self._wants_start(guest)]
        self._side_by_side(self._wire, lambda: self._each(starting, self._make_disk))
        self._each([guest for guest in starting if guest.id not in self.failures], self._bring_up)
        self._each([guest for guest in self.guests if self._may_vanish(guest)], self._clear)
        self._drop_images()
        if self.touched:
            self.host = self.node.hypervisor.found()
        return NodeReport(
            node=self.node.name,
            host=self.host,
            disk_gib=self.node.blocks.capacity_bytes() // _GIB,
            guests=tuple(self._report(guest) for guest in self.guests),
            problem=self.problem,
        )

    def _domain(self, guest: GuestPlan) -> FoundDomain | None:
        return self.host.domains.get(guest.id)

    def _is_on(self, guest: GuestPlan) -> bool:
        domain = self._domain(guest)
        return domain is not None and domain.power is Power.ON

    def _wants_start(self, guest: GuestPlan) -> bool:
        """A domain that ended by itself is not started again; one that is paused or runs an
        older boot needs a push.
        """
        if guest.wish is not Wish.ON or guest.id in self.failures:
            return False
        domain = self._domain(guest)
        if domain is None:
            return not guest.seen
        if domain.power is Power.ON:
            return domain.boot != guest.boot or domain.problem is not None
        return domain.boot < guest.boot

    def _bring_down(self, guest: GuestPlan) -> None:
        if self._is_on(guest):
            self.touched = True
            self.node.hypervisor.ensure(self._as_domain(guest, Power.OFF, disk=""))
        elif self._domain(guest) is not None:
            if not guest.console_kept:
                self.consoles[guest.id] = self.node.hypervisor.console(guest.id)
            elif guest.wish is Wish.GONE:
                self.touched = True
                self.node.hypervisor.remove(guest.id)

    def _wire(self) -> None:
        """Give wires to all guests that are or shall be on, and to no other."""
        wanted = [guest for guest in self.guests if guest.wish is Wish.ON or self._is_on(guest)]
        wires = [guest.wire for guest in wanted if guest.wire is not None]
        try:
            if self.mend or {wire.id for wire in wires} != self.node.fabric.found():
                self.node.fabric.apply(wires)
        except DriverError as error:
            self.problem = str(error)
            for guest in self.guests:
                self.failures.setdefault(guest.id, error)

    def _make_disk(self, guest: GuestPlan) -> None:
        for base in guest.bases:
            with self.filling:  # several guests may stand on one base that is not there yet
                self.node.blocks.ensure(base, self.open_image)
        self.node.blocks.ensure(guest.disk, self.open_image)

    def _bring_up(self, guest: GuestPlan) -> None:
        disk = self.node.blocks.ensure(guest.disk, self.open_image)
        self.touched = True
        self.node.hypervisor.ensure(self._as_domain(guest, Power.ON, disk=disk))

    def _may_vanish(self, guest: GuestPlan) -> bool:
        """Its disk may go once its domain has gone, or never was."""
        domain = self._domain(guest)
        return (
            guest.wish is Wish.GONE
            and guest.id not in self.failures
            and guest.id not in self.consoles
            and (domain is None or domain.power is Power.OFF)
        )

    def _clear(self, guest: GuestPlan) -> None:
        if DiskId(guest.id) in self.disks:
            self.node.blocks.remove(DiskId(guest.id))

    def _drop_images(self) -> None:
        """Remove cached images that nothing needs. Disks of guests that we do not know are left
        alone.
        """
        for disk in self.disks:
            if not disk.startswith("i-") and ImageId(disk) not in self.images:
                with contextlib.suppress(DriverError):
                    self.node.blocks.remove(disk)

    def _as_domain(self, guest: GuestPlan, power: Power, *, disk: str) -> Domain:
        return Domain(
            id=guest.id,
            boot=guest.boot,
            power=power,
            force=guest.force,
            cpus=guest.cpus,
            memory_mib=guest.memory_mib,
            disk=disk,
            kernel=self._path(guest.kernel, guest),
            ramdisk=self._path(guest.ramdisk, guest),
            kernel_args=guest.kernel_args,
            device="" if guest.wire is None else guest.wire.device,
            mac="" if guest.wire is None else guest.wire.mac,
        )

    def _path(self, disk: DiskId | None, guest: GuestPlan) -> str | None:
        """Return what the hypervisor opens a kernel or ramdisk by; a domain that goes down needs
        none.
        """
        if disk is None or guest.wish is not Wish.ON:
            return None
        base = next(base for base in guest.bases if base.id == disk)
        return self.node.blocks.ensure(base, self.open_image)

    def _side_by_side(self, one: Callable[[], None], other: Callable[[], None]) -> None:
        """Do both; what neither needs of the other need not wait for it."""
        if self.node.workers == 1:
            one()
            other()
            return
        with ThreadPoolExecutor(1, thread_name_prefix=self.node.name) as pool:
            first = pool.submit(one)
            other()
            first.result()

    def _each(self, guests: Iterable[GuestPlan], act: Callable[[GuestPlan], None]) -> None:
        """Do `act` for each guest, several at a time; what fails is that guest's own."""

        def carefully(guest: GuestPlan) -> None:
            try:
                act(guest)
            except DriverError as error:
                self.failures[guest.id] = error

        todo = list(guests)
        if self.node.workers == 1 or len(todo) < 2:
            for guest in todo:
                carefully(guest)
            return
        with ThreadPoolExecutor(self.node.workers, thread_name_prefix=self.node.name) as pool:
            list(pool.map(carefully, todo))

    def _report(self, guest: GuestPlan) -> GuestReport:
        failure = self.failures.get(guest.id)
        return GuestReport(
            id=guest.id,
            domain=self._domain(guest),
            gone=self._may_vanish(guest) and self._domain(guest) is None,
            console=self.consoles.get(guest.id),
            failure=None if failure is None else str(failure),
            final=isinstance(failure, Cannot),
        )
