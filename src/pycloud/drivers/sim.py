"""Simulated drivers: a hypervisor, a network and disks that are only told of, for scale, for faults
and for planning.

They are ordinary drivers. What happens in them is in a `SimHost`, which outlives the drivers as a
real host does: make new drivers on the same host and they find what the former ones left.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence, Set
from enum import StrEnum
from ipaddress import IPv4Network
from typing import Any

import attrs

from pycloud import limits
from pycloud.compute.hypervisor import Domain, FoundDomain, FoundHost, OffReason, Power
from pycloud.compute.node import NodeController
from pycloud.errors import Cannot, InvalidValue, TryLater
from pycloud.ids import DiskId, InstanceId
from pycloud.network.records import Wire
from pycloud.storage.records import Disk, Opener

Boundary = Callable[[str], None]
"""Called before and after everything that changes the world, with what it is: a place to die at."""

_GIB = 1024**3


class Fault(StrEnum):
    """What can go wrong with a call."""

    REFUSE = "refuse"
    """It fails for good, and nothing happened."""
    FAIL = "fail"
    """It fails for now, and nothing happened."""
    LOSE_REPLY = "lose reply"
    """It is done, but the caller hears that it failed."""


class SimHost:
    """A simulated machine with its guests, wires and disks.

    `fault(verb, fault)` makes the next call of a verb (such as `hypervisor.ensure`) go wrong;
    `obedient=False` gives guests that ignore the power button; each change takes `delay_s` more.

    >>> host = SimHost(cpus=4, memory_mib=2048, disk_gib=100)
    >>> host.fault("blocks.ensure", Fault.REFUSE)
    """

    def __init__(
        self,
        *,
        cpus: int = 16,
        memory_mib: int = 16384,
        disk_gib: int = 1000,
        obedient: bool = True,
        delay_s: float = 0.0,
        boundary: Boundary = lambda _: None,
    ) -> None:
        if min(cpus, memory_mib, disk_gib) < 1:
            raise InvalidValue(
                f"a host has at least 1 core, 1 MiB and 1 GiB, not {cpus}, {memory_mib}, {disk_gib}"
            )
        self.cpus = cpus
        self.memory_mib = memory_mib
        self.disk_gib = disk_gib
        self.obedient = obedient
        self.delay_s = delay_s
        self.boundary = boundary
        self.domains: dict[InstanceId, FoundDomain] = {}
        self.consoles: dict[InstanceId, bytes] = {}
        self.wires: dict[InstanceId, Wire] = {}
        self.disks: dict[DiskId, Disk] = {}
        self.boots = 1
        self.answers = True
        self.watchers: list[Callable[[], None]] = []
        self._faults: list[tuple[str, Fault]] = []
        self._lock = threading.RLock()

    def fault(self, verb: str, fault: Fault) -> None:
        """Make the next call of `verb` go wrong."""
        self._faults.append((verb, fault))

    def restart(self) -> None:
        """Lose power and come back: all guests are off, and nobody saw why."""
        with self._lock:
            self.boots += 1
            for id_ in list(self.domains):
                self._turn_off(id_, OffReason.UNKNOWN)
            self.wires.clear()
            self.consoles.clear()

    def kill(self, id_: InstanceId, reason: OffReason = OffReason.DESTROYED) -> None:
        """End a guest behind the cloud's back."""
        with self._lock:
            self._turn_off(id_, reason)
        self.tell()

    def tell(self) -> None:
        """Let those who watch know that something changed."""
        for watcher in list(self.watchers):
            watcher()

    def _turn_off(self, id_: InstanceId, reason: OffReason) -> None:
        domain = self.domains[id_]
        if domain.power is Power.ON:
            self.domains[id_] = attrs.evolve(domain, power=Power.OFF, off_reason=reason)

    def answer(self) -> None:
        """Raise `TryLater` unless the host can be reached."""
        if not self.answers:
            raise TryLater("the simulated host does not answer")

    def call(self, verb: str, subject: str, act: Callable[[], None]) -> None:
        """Carry out something that changes the world, with the faults and boundaries that were
        asked for.
        """
        self.answer()
        fault = self._next_fault(verb)
        if fault is Fault.REFUSE:
            raise Cannot(f"{verb} of {subject} was refused, as asked for")
        if fault is Fault.FAIL:
            raise TryLater(f"{verb} of {subject} failed, as asked for")
        self.boundary(f"before {verb} {subject}")
        time.sleep(self.delay_s)
        with self._lock:
            act()
        self.boundary(f"after {verb} {subject}")
        if fault is Fault.LOSE_REPLY:
            raise TryLater(f"the reply to {verb} of {subject} was lost, as asked for")

    def _next_fault(self, verb: str) -> Fault | None:
        with self._lock:
            for place, (faulty, fault) in enumerate(self._faults):
                if faulty == verb:
                    del self._faults[place]
                    return fault
        return None


class SimHypervisor:
    """A hypervisor without guests: a domain is on as soon as it is started, and off as soon as
    it is told.
    """

    def __init__(self, host: SimHost | None = None) -> None:
        self.host = host or SimHost()

    def found(self) -> FoundHost:
        """Tell what is there."""
        self.host.answer()
        return FoundHost(
            cpus=self.host.cpus,
            memory_mib=self.host.memory_mib,
            accelerator="simulated",
            host_boot=str(self.host.boots),
            domains=dict(self.host.domains),
        )

    def ensure(self, domain: Domain) -> None:
        """Bring the domain one step nearer to what it shall be."""
        before = self.host.domains.get(domain.id)
        step = self._step(before, domain)
        if step is not None:
            self.host.call("hypervisor.ensure", domain.id, lambda: step(domain))
            self.host.tell()

    def remove(self, id: InstanceId) -> None:
        """Make the domain and its console not exist."""

        def act() -> None:
            self.host.domains.pop(id, None)
            self.host.consoles.pop(id, None)

        self.host.call("hypervisor.remove", id, act)

    def console(self, id: InstanceId) -> bytes:
        """Return what the guest wrote: a line for each boot."""
        self.host.answer()
        return self.host.consoles.get(id, b"")[-limits.CONSOLE_BYTES :]

    def watch(self, on_change: Callable[[], None]) -> Callable[[], None]:
        """Call `on_change` whenever a domain changes."""
        self.host.watchers.append(on_change)
        return lambda: self.host.watchers.remove(on_change)

    def _step(self, before: FoundDomain | None, wanted: Domain) -> Callable[[Domain], None] | None:
        if before is None or before.power is Power.OFF:
            older = before is None or before.boot < wanted.boot
            return self._start if wanted.power is Power.ON and older else None
        if wanted.power is Power.OFF or before.boot < wanted.boot:
            if wanted.force:
                return self._pull_plug
            return self._press_button if self.host.obedient else None
        return None

    def _start(self, domain: Domain) -> None:
        if domain.id not in self.host.wires:
            raise Cannot(f"{domain.id} has no wire {domain.device}")
        if DiskId(domain.id) not in self.host.disks:
            raise Cannot(f"{domain.id} has no disk {domain.disk!r}")
        self.host.domains[domain.id] = FoundDomain(domain.id, domain.boot, Power.ON)
        line = f"simulated guest {domain.id}, boot {domain.boot}\n".encode()
        self.host.consoles[domain.id] = self.host.consoles.get(domain.id, b"") + line

    def _press_button(self, domain: Domain) -> None:
        self.host._turn_off(domain.id, OffReason.SHUTDOWN)

    def _pull_plug(self, domain: Domain) -> None:
        self.host._turn_off(domain.id, OffReason.DESTROYED)


class SimFabric:
    """A network without packets."""

    def __init__(self, host: SimHost | None = None) -> None:
        self.host = host or SimHost()

    def check(self, subnet: IPv4Network) -> None:
        """Every subnet will do."""

    def found(self) -> Set[InstanceId]:
        """Return the ids of all wires."""
        self.host.answer()
        return frozenset(self.host.wires)

    def apply(self, wires: Sequence[Wire]) -> None:
        """Make these wires exist, and no others."""
        wanted = {wire.id: wire for wire in wires}
        if len({wire.address for wire in wires}) < len(wires):
            raise Cannot("two wires have the same address")
        if wanted == self.host.wires:
            self.host.answer()
            return

        def act() -> None:
            self.host.wires.clear()
            self.host.wires.update(wanted)

        self.host.call("fabric.apply", f"{len(wires)} wires", act)


class SimBlocks:
    """Disks without bytes."""

    def __init__(self, host: SimHost | None = None) -> None:
        self.host = host or SimHost()

    def capacity_bytes(self) -> int:
        """Return how much the disks may hold."""
        self.host.answer()
        return self.host.disk_gib * _GIB

    def found(self) -> Set[DiskId]:
        """Return the ids of all disks."""
        self.host.answer()
        return frozenset(self.host.disks)

    def ensure(self, disk: Disk, open_image: Opener) -> str:
        """Make the disk exist and return a name for it."""
        if disk.id not in self.host.disks:
            if disk.base is not None and disk.base not in self.host.disks:
                raise Cannot(f"disk {disk.id} stands on {disk.base}, which is not there")
            self.host.call("blocks.ensure", disk.id, lambda: self._make(disk, open_image))
        return f"sim:{disk.id}"

    def remove(self, disk: DiskId) -> None:
        """Make the disk not exist."""
        self.host.call("blocks.remove", disk, lambda: self._forget(disk))

    def _make(self, disk: Disk, open_image: Opener) -> None:
        self.host.disks[disk.id] = disk

    def _forget(self, disk: DiskId) -> None:
        self.host.disks.pop(disk, None)


def sim_node(name: str, host: SimHost | None = None, **options: Any) -> NodeController:
    """Return a node whose three drivers share one simulated host; it does one thing after the
    other. `options` are those of `NodeController`.

    >>> sim_node("node1", SimHost(cpus=2), cpu_overcommit=4).room().cpus
    8
    """
    host = host or SimHost()
    return NodeController(
        name,
        hypervisor=SimHypervisor(host),
        fabric=SimFabric(host),
        blocks=SimBlocks(host),
        **({"workers": 1} | options),
    )
