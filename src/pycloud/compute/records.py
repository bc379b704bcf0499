"""The values of the compute room: what is wanted, and what was last found."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Address
from typing import Literal

import attrs

from pycloud.ids import (
    AccountId,
    GroupId,
    ImageId,
    InstanceId,
    KeyPairId,
    NodeName,
    ReservationId,
)


class ImageKind(StrEnum):
    """What an image is for."""

    MACHINE = "machine"
    KERNEL = "kernel"
    RAMDISK = "ramdisk"


class InstanceState(StrEnum):
    """Where an instance is in its life ("Instance lifecycle", EC2 user guide)."""

    PENDING = "pending"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    SHUTTING_DOWN = "shutting-down"
    TERMINATED = "terminated"
    SILENT = "silent"
    """Shown, but never written: it was running when its node was last heard of."""


HttpTokens = Literal["optional", "required"]
"""Whether the metadata service answers this guest without a token (IMDSv1)."""

HttpEndpoint = Literal["enabled", "disabled"]
"""Whether the metadata service answers this guest at all."""

ShutdownBehaviour = Literal["stop", "terminate"]
"""What becomes of an instance whose guest switches itself off."""


@attrs.frozen
class Image:
    """A kernel, a ramdisk or a machine image, whose bytes are the object `bucket`/`key`."""

    id: ImageId
    account: AccountId
    kind: ImageKind
    name: str
    format: str
    """`raw` or `qcow2`."""
    size_bytes: int
    virtual_size_bytes: int
    """How large the disk is that the guest sees; for kernels and ramdisks, `size_bytes`."""
    kernel_id: ImageId | None
    ramdisk_id: ImageId | None
    kernel_args: str
    bucket: str
    key: str
    registered: bool
    created_at: datetime
    description: str = ""
    is_public: bool = False
    """Whether every account may launch it."""
    location: str = ""
    """The bucket and key that it was registered from."""


@attrs.frozen
class KeyPair:
    """A public key under a name. The private key is its owner's alone."""

    id: KeyPairId
    account: AccountId
    name: str
    kind: str
    """`ed25519` or `rsa`."""
    fingerprint: str
    public_key: str
    """One line, as in OpenSSH's `authorized_keys`."""
    created_at: datetime


@attrs.frozen
class CreatedKeyPair:
    """A key pair just made, with the private key, which is nowhere else."""

    key_pair: KeyPair
    private_key: str = attrs.field(repr=False)
    """PEM text."""

    @property
    def name(self) -> str:
        """The key pair's name."""
        return self.key_pair.name


@attrs.frozen
class Instance:
    """A virtual machine: what is wanted of it, and what was last found."""

    id: InstanceId
    account: AccountId
    reservation_id: ReservationId
    launch_index: int
    image_id: ImageId
    kernel_id: ImageId | None
    ramdisk_id: ImageId | None
    type: str
    cpus: int
    memory_mib: int
    disk_gib: int
    key_name: str | None
    public_key: str | None
    user_data: bytes | None = attrs.field(repr=False)
    http_tokens: HttpTokens
    http_hop_limit: int
    node: NodeName
    zone: str
    group: str | None
    """The name of its placement group."""
    partition: int | None
    address: IPv4Address | None
    state: InstanceState
    reason: str | None
    """Why it is as it is, where that is not what was asked for."""
    boot: int
    """How many starts were asked for; see `Domain.boot`."""
    seen_boot: int
    """The newest of them that was found running."""
    changed_at: datetime
    launched_at: datetime
    http_endpoint: HttpEndpoint = "enabled"
    is_protected: bool = False
    """Whether it can't be terminated until this is taken back."""
    shutdown_behaviour: ShutdownBehaviour = "stop"
    """What becomes of it when its guest switches itself off."""
    is_monitored: bool = False
    """Whether it was asked to be monitored in detail."""

    @property
    def hostname(self) -> str:
        """The name by which other guests find it, as AWS forms it from the address."""
        return f"ip-{str(self.address).replace('.', '-')}"

    @property
    def settled(self) -> bool:
        """Whether nothing more is to be done for it."""
        if self.state in (InstanceState.RUNNING, InstanceState.SILENT):
            return self.seen_boot == self.boot
        return self.state in (InstanceState.STOPPED, InstanceState.TERMINATED)


class NodeMode(StrEnum):
    """What the cloud's owner wants of a node."""

    ENABLED = "enabled"
    DRAINING = "draining"
    """It takes nothing new; what runs goes on."""
    MAINTENANCE = "maintenance"
    """It takes nothing new, and is left alone: whatever is done to it is put right afterwards."""
    GONE = "gone"
    """It has left; shown as long as an instance is shown that was on it."""


class NodeState(StrEnum):
    """What a node is, for those who look: its mode, unless it does not answer."""

    ENABLED = "enabled"
    DRAINING = "draining"
    MAINTENANCE = "maintenance"
    SILENT = "silent"
    """It has missed its reports for `limits.NODE_SILENT_S`."""
    GONE = "gone"


@attrs.frozen
class NodeRoom:
    """What a node has, and what of it is claimed."""

    name: NodeName
    zone: str
    position: int
    """When it joined: the first is 0."""
    cpus: int
    memory_mib: int
    disk_gib: int
    used_cpus: int = 0
    used_memory_mib: int = 0
    used_disk_gib: int = 0
    problem: str | None = None
    """Why it cannot be used at the moment."""
    host_boot: str = ""
    """Changes when the host was restarted; empty if that can't be known."""
    mode: NodeMode = NodeMode.ENABLED
    silent: bool = False
    labels: Mapping[str, str] = attrs.field(factory=dict)
    dedicated_to: AccountId | None = None
    """The account whose instances alone may run here."""
    turn: int = 0
    """Grows with each instance that is placed: the node with the smallest has waited longest."""

    @property
    def state(self) -> NodeState:
        """What the node is, in one word."""
        if self.silent and self.mode not in (NodeMode.GONE, NodeMode.MAINTENANCE):
            return NodeState.SILENT
        return NodeState(self.mode)

    @property
    def idle(self) -> bool:
        """Whether nothing is claimed of it."""
        return not (self.used_cpus or self.used_memory_mib or self.used_disk_gib)

    @property
    def free_cpus(self) -> int:
        """Cores that are not claimed."""
        return self.cpus - self.used_cpus

    @property
    def free_memory_mib(self) -> int:
        """Memory that is not claimed, in MiB."""
        return self.memory_mib - self.used_memory_mib

    @property
    def free_disk_gib(self) -> int:
        """Disk that is not claimed, in GiB."""
        return self.disk_gib - self.used_disk_gib


class GroupStrategy(StrEnum):
    """How the instances of a placement group stand to each other ("Placement strategies", EC2
    user guide).
    """

    CLUSTER = "cluster"
    """Close together: in one zone, and on nodes that they share where there is room."""
    SPREAD = "spread"
    """No two on one node."""
    PARTITION = "partition"
    """In numbered partitions that share no node."""


@attrs.frozen
class PlacementGroup:
    """Instances that are placed with regard to each other."""

    id: GroupId
    account: AccountId
    name: str
    strategy: GroupStrategy
    partitions: int | None
    """How many partitions there are, for that strategy alone."""
    created_at: datetime
