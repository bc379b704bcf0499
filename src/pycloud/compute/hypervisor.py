"""What a node's hypervisor driver must do: the `Hypervisor` contract and the values it speaks
in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Protocol

import attrs

from pycloud.ids import InstanceId


class Power(StrEnum):
    """Whether a domain is executing."""

    ON = "on"
    OFF = "off"


class OffReason(StrEnum):
    """Why a domain is off, as far as the hypervisor knows."""

    SHUTDOWN = "shutdown"
    """The guest switched itself off, or obeyed the power button."""
    DESTROYED = "destroyed"
    """Someone pulled the plug."""
    CRASHED = "crashed"
    """The guest or its emulator died."""
    UNKNOWN = "unknown"
    """Nobody saw it: the host was restarted, or it was never started."""


@attrs.frozen
class Domain:
    """One guest, as it shall be.

    `boot` counts the starts that users asked for: a domain that is off with an older boot shall be
    started, and one that runs with an older boot shall be restarted. A domain that is off with
    *this* boot has ended by itself, and stays off.
    """

    id: InstanceId
    boot: int
    power: Power
    force: bool
    """Whether the time for switching off gently is over."""
    cpus: int
    memory_mib: int
    disk: str
    """What `Blocks.ensure` returned for the root disk (qcow2)."""
    kernel: str | None
    ramdisk: str | None
    kernel_args: str
    device: str
    """The host's end of its wire."""
    mac: str


@attrs.frozen
class FoundDomain:
    """One guest, as it was found."""

    id: InstanceId
    boot: int
    power: Power
    off_reason: OffReason | None = None
    """Set if and only if it is off."""
    problem: str | None = None
    """What is wrong with a domain that is on, in words: paused by a full disk, for one."""


@attrs.frozen
class FoundHost:
    """A hypervisor and all its domains of this cloud, as they were found."""

    cpus: int
    memory_mib: int
    accelerator: str
    """`kvm`, or `qemu` for emulation, or `simulated`."""
    host_boot: str
    """Changes when the host was restarted; empty if that can't be known."""
    domains: Mapping[InstanceId, FoundDomain]


class Hypervisor(Protocol):
    """Runs the guests of one node. Every verb may raise `TryLater` or `Cannot`."""

    def found(self) -> FoundHost:
        """Tell what is there, from the world itself."""
        ...

    def ensure(self, domain: Domain) -> None:
        """Bring the domain one step nearer to what it shall be, and return without waiting for the
        guest.

        Off → defined and started, if its boot is newer than the one it last had. On, and shall be
        off or restarted → the power button is pressed, or with `force` the plug is pulled. What is
        already so is left alone.
        """
        ...

    def remove(self, id: InstanceId) -> None:
        """Make the domain and its console not exist; nothing happens where there are none."""
        ...

    def console(self, id: InstanceId) -> bytes:
        """Return the end of what the guest wrote to its serial console, at most
        `limits.CONSOLE_BYTES`; empty if there is none.
        """
        ...

    def watch(self, on_change: Callable[[], None]) -> Callable[[], None]:
        """Call `on_change` from now on whenever a domain changes or the connection returns; the
        result ends that.

        A hint only: missing one costs at most a period of the loop.
        """
        ...
