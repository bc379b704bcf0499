"""What one node shall be, and what its report means: two pure functions, from rows and to changes.

A turn of the loop is `plan_node` → `NodeController.apply` → `absorb`. Everything is decided here or
in a transaction, nothing while a plan is carried out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import IPv4Network

import attrs

from pycloud import limits
from pycloud.compute.hypervisor import FoundDomain, FoundHost, OffReason, Power
from pycloud.compute.records import Image, Instance, InstanceState
from pycloud.ids import DiskId, ImageId, InstanceId, NodeName
from pycloud.network.records import Wire
from pycloud.storage.records import Disk

_GIB = 1024**3


class Wish(StrEnum):
    """What a guest shall be on its node."""

    ON = "on"
    OFF = "off"
    """Not running; its disk stays."""
    GONE = "gone"


@attrs.frozen
class GuestPlan:
    """One guest, as its node shall have it."""

    id: InstanceId
    wish: Wish
    boot: int
    seen: bool
    """Whether it was found running with this boot: then it is not started again if it is off by
    itself.
    """
    force: bool
    """Whether the time for gentleness is over."""
    console_kept: bool
    """Whether the last words of a guest that shall go are in the state, so that it may go."""
    cpus: int
    memory_mib: int
    wire: Wire | None
    """None once its address may be another's."""
    disk: Disk
    bases: tuple[Disk, ...]
    """What must be there before the disk and the domain: the machine image, and kernel and
    ramdisk where it has them.
    """
    kernel: DiskId | None
    ramdisk: DiskId | None
    kernel_args: str


@attrs.frozen
class NodePlan:
    """All guests of a node, and the images whose bytes it may keep."""

    node: NodeName
    guests: tuple[GuestPlan, ...]
    images: frozenset[ImageId]


@attrs.frozen
class GuestReport:
    """What became of one guest's plan."""

    id: InstanceId
    domain: FoundDomain | None
    """As it was found at the end."""
    gone: bool = False
    """Nothing of it is left on the node."""
    console: bytes | None = attrs.field(default=None, repr=False)
    failure: str | None = None
    final: bool = False
    """Whether trying again would fail again."""


@attrs.frozen
class NodeReport:
    """What became of a node's plan."""

    node: NodeName
    host: FoundHost
    disk_gib: int
    guests: tuple[GuestReport, ...]
    problem: str | None = None
    """What is wrong with the node as a whole, though it answers."""


def plan_node(
    node: NodeName,
    instances: Iterable[Instance],
    images: Mapping[ImageId, Image],
    network: IPv4Network,
    consoles: frozenset[InstanceId],
    now: datetime,
) -> NodePlan:
    """Return what `node` shall be. `instances` are all of the node's that the state still knows,
    the terminated ones too.
    """
    bases = {id_: _base(image) for id_, image in images.items()}
    guests = tuple(
        _plan_guest(instance, images, bases, network, instance.id in consoles, now)
        for instance in instances
        if not (instance.state is InstanceState.TERMINATED and instance.image_id not in images)
    )
    return NodePlan(node, guests, frozenset(images))


def _plan_guest(
    instance: Instance,
    images: Mapping[ImageId, Image],
    bases: Mapping[ImageId, Disk],
    network: IPv4Network,
    console_kept: bool,
    now: datetime,
) -> GuestPlan:
    image = images[instance.image_id]
    needed = (instance.image_id, instance.kernel_id, instance.ramdisk_id)
    return GuestPlan(
        id=instance.id,
        wish=_WISHES[instance.state],
        boot=instance.boot,
        seen=instance.seen_boot == instance.boot,
        force=_is_over(instance, now),
        console_kept=console_kept,
        cpus=instance.cpus,
        memory_mib=instance.memory_mib,
        wire=_wire(instance, network),
        disk=Disk(
            DiskId(instance.id),
            instance.disk_gib * _GIB,
            base=DiskId(instance.image_id),
            base_format=image.format,
        ),
        bases=tuple(bases[id_] for id_ in needed if id_ is not None and id_ in bases),
        kernel=None if instance.kernel_id is None else DiskId(instance.kernel_id),
        ramdisk=None if instance.ramdisk_id is None else DiskId(instance.ramdisk_id),
        kernel_args=image.kernel_args,
    )


_WISHES = {
    InstanceState.PENDING: Wish.ON,
    InstanceState.RUNNING: Wish.ON,
    InstanceState.STOPPING: Wish.OFF,
    InstanceState.STOPPED: Wish.OFF,
    InstanceState.SHUTTING_DOWN: Wish.GONE,
    InstanceState.TERMINATED: Wish.GONE,
}


def _is_over(instance: Instance, now: datetime) -> bool:
    """Tell whether a guest has had its time to switch itself off."""
    grace_s = limits.STOP_GRACE_S
    if instance.state is InstanceState.TERMINATED:
        return True
    if instance.state is InstanceState.SHUTTING_DOWN:
        grace_s = limits.TERMINATE_GRACE_S
    return now - instance.changed_at >= timedelta(seconds=grace_s)


def _wire(instance: Instance, network: IPv4Network) -> Wire | None:
    if instance.address is None:
        return None
    return Wire(
        id=instance.id,
        address=instance.address,
        subnet=network,
        gateway=network[1],
        hostname=instance.hostname,
    )


def _base(image: Image) -> Disk:
    return Disk(DiskId(image.id), image.size_bytes, base_format=image.format)


def absorb(
    instance: Instance, report: GuestReport, now: datetime, *, host_restarted: bool = False
) -> Instance:
    """Return the instance as the report shows it: the same one if nothing is new."""
    match instance.state:
        case InstanceState.PENDING | InstanceState.RUNNING:
            return _absorb_wanted(instance, report, now, host_restarted=host_restarted)
        case InstanceState.STOPPING if not _is_on(report.domain):
            return _moved(instance, InstanceState.STOPPED, instance.reason, now)
        case InstanceState.SHUTTING_DOWN if report.gone:
            return _moved(instance, InstanceState.TERMINATED, instance.reason, now)
        case InstanceState.STOPPING | InstanceState.SHUTTING_DOWN if report.failure:
            return attrs.evolve(instance, reason=report.failure)
        case _:
            return instance


def _absorb_wanted(
    instance: Instance, report: GuestReport, now: datetime, *, host_restarted: bool
) -> Instance:
    domain = report.domain
    if domain is not None and domain.power is Power.ON:
        if domain.boot < instance.boot:
            return instance  # being restarted
        if instance.settled and instance.reason == domain.problem:
            return instance
        up = attrs.evolve(instance, seen_boot=instance.boot, reason=domain.problem)
        if instance.state is InstanceState.RUNNING:
            return up
        return _moved(up, InstanceState.RUNNING, domain.problem, now)
    started = domain is not None and domain.boot == instance.boot
    if started or instance.seen_boot == instance.boot:
        return _ended(instance, domain, now, host_restarted=host_restarted)
    if report.failure is None:
        return instance
    if report.final or now - instance.changed_at >= timedelta(seconds=limits.LAUNCH_TIMEOUT_S):
        return _given_up(instance, report.failure, now)
    return attrs.evolve(instance, reason=f"still trying: {report.failure}")


def _ended(
    instance: Instance, domain: FoundDomain | None, now: datetime, *, host_restarted: bool
) -> Instance:
    """A guest that had been started is off though it was to be on."""
    why = None if domain is None else domain.off_reason
    if host_restarted and why in (None, OffReason.UNKNOWN):
        again = attrs.evolve(instance, boot=instance.boot + 1)
        return _moved(again, InstanceState.PENDING, f"{instance.node} was restarted", now)
    seen = attrs.evolve(instance, seen_boot=instance.boot)
    if why is None:
        return _moved(seen, InstanceState.STOPPED, f"its domain vanished from {instance.node}", now)
    if why is OffReason.SHUTDOWN and instance.shutdown_behaviour == "terminate":
        return _moved(seen, InstanceState.SHUTTING_DOWN, _ENDINGS[why], now)
    return _moved(seen, InstanceState.STOPPED, _ENDINGS[why], now)


_ENDINGS = {
    OffReason.SHUTDOWN: "the guest switched itself off",
    OffReason.DESTROYED: "its domain was destroyed behind the cloud's back",
    OffReason.CRASHED: "the guest or its emulator died",
    OffReason.UNKNOWN: "its domain is off, and the hypervisor does not know why",
}


def give_up_overdue(instance: Instance, now: datetime, problem: str) -> Instance:
    """Return a launch that is overdue as given up, because its node does not answer; any other
    as it is.
    """
    overdue = now - instance.changed_at >= timedelta(seconds=limits.LAUNCH_TIMEOUT_S)
    if instance.state is InstanceState.PENDING and overdue:
        return _given_up(instance, f"{instance.node} did not answer: {problem}", now)
    return instance


def _given_up(instance: Instance, failure: str, now: datetime) -> Instance:
    """A start that cannot be carried out: a first launch takes the way of termination, a later
    one of stopping.
    """
    first = instance.seen_boot == 0
    to = InstanceState.SHUTTING_DOWN if first else InstanceState.STOPPING
    return _moved(instance, to, failure, now)


def _moved(instance: Instance, state: InstanceState, reason: str | None, now: datetime) -> Instance:
    return attrs.evolve(instance, state=state, reason=reason, changed_at=now)


def _is_on(domain: FoundDomain | None) -> bool:
    return domain is not None and domain.power is Power.ON
