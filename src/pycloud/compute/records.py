"""The values of the compute room: what is wanted, and what was last found."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Address
from typing import Literal

import attrs

from pycloud.ids import AccountId, ImageId, InstanceId, KeyPairId, NodeName, ReservationId


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


HttpTokens = Literal["optional", "required"]
"""Whether the metadata service answers this guest without a token (IMDSv1)."""


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

    @property
    def hostname(self) -> str:
        """The name by which other guests find it, as AWS forms it from the address."""
        return f"ip-{str(self.address).replace('.', '-')}"

    @property
    def settled(self) -> bool:
        """Whether nothing more is to be done for it."""
        if self.state is InstanceState.RUNNING:
            return self.seen_boot == self.boot
        return self.state in (InstanceState.STOPPED, InstanceState.TERMINATED)


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
    used_cpus: int
    used_memory_mib: int
    used_disk_gib: int
    problem: str | None
    """Why it cannot be used at the moment."""
    host_boot: str

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
