"""A guest as libvirt describes it: a pure function from `Domain` to XML ("Domain XML format",
libvirt.org).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import xmltodict

from pycloud.compute.hypervisor import Domain
from pycloud.errors import Cannot
from pycloud.ids import InstanceId

NAMESPACE = "urn:pycloud:guest:1"
"""Of our element in a domain's metadata: by it the hypervisor remembers whose a guest is and
which boot it had.
"""

_SPARE_PORTS = 8
"""PCIe ports kept free, for disks and interfaces that are plugged in later: q35 can't make them
while it runs.
"""


@attrs.frozen
class Mark:
    """What we write into a domain's metadata."""

    cloud: str
    boot: int
    """The boot that the definition is for."""
    started: int
    """The newest boot that is known to have been started."""

    def as_dict(self) -> dict[str, Any]:
        """Return the element for xmltodict."""
        values = {"@cloud": self.cloud, "@boot": self.boot, "@started": self.started}
        return {"pycloud:guest": {"@xmlns:pycloud": NAMESPACE} | values}

    def as_element(self) -> str:
        """Return the element as libvirt's `setMetadata` takes it: without prefix."""
        return f"<guest cloud='{self.cloud}' boot='{self.boot}' started='{self.started}'/>"

    @classmethod
    def read(cls, element: str) -> Mark:
        """Read what libvirt's `metadata` gives."""
        guest = xmltodict.parse(element, process_namespaces=True, namespaces={NAMESPACE: None})
        values = guest["guest"]
        return cls(values["@cloud"], int(values["@boot"]), int(values["@started"]))


def uuid_of(id_: InstanceId) -> UUID:
    """Return the domain's UUID: it begins with `ec2`, by which cloud-init recognises EC2
    ("identify_ec2_instances").
    """
    return UUID("ec2" + hashlib.sha256(id_.encode()).hexdigest()[:29])


def domain_xml(domain: Domain, mark: Mark, accelerator: str, console: Path) -> str:
    """Return the definition of `domain`, run by `accelerator` (`kvm` or `qemu`), its serial
    console kept in `console`.
    """
    for value in (domain.disk, domain.kernel, domain.ramdisk, domain.kernel_args):
        if value is not None and not value.isprintable():
            raise Cannot(
                f"{value!r} cannot stand in a domain's definition: it has control characters"
            )
    uuid = str(uuid_of(domain.id))
    definition = {
        "@type": accelerator,
        "name": domain.id,
        "uuid": uuid,
        "metadata": mark.as_dict(),
        "memory": {"@unit": "MiB", "#text": str(domain.memory_mib)},
        "vcpu": str(domain.cpus),
        "os": _boot(domain),
        "sysinfo": _smbios(uuid),
        "features": {"acpi": None, "apic": None},
        # Emulated guests get all that TCG can do; on KVM "max" is refused by some hosts.
        "cpu": {"@mode": "host-passthrough" if accelerator == "kvm" else "maximum"},
        "clock": {"@offset": "utc"},
        "on_poweroff": "destroy",
        "on_reboot": "restart",
        "on_crash": "destroy",
        "devices": _devices(domain, console),
    }
    return str(xmltodict.unparse({"domain": definition}, full_document=False, pretty=True))


def _boot(domain: Domain) -> dict[str, Any]:
    machine = {"type": {"@arch": "x86_64", "@machine": "q35", "#text": "hvm"}}
    smbios = {"smbios": {"@mode": "sysinfo"}}
    if domain.kernel is None:
        return machine | {"boot": {"@dev": "hd"}} | smbios
    direct = {"kernel": domain.kernel, "initrd": domain.ramdisk, "cmdline": domain.kernel_args}
    return machine | {key: value for key, value in direct.items() if value} | smbios


def _smbios(uuid: str) -> dict[str, Any]:
    values = {"manufacturer": "pycloud", "product": "pycloud", "serial": uuid, "uuid": uuid}
    entries = [{"@name": name, "#text": value} for name, value in values.items()]
    return {"@type": "smbios", "system": {"entry": entries}}


def _devices(domain: Domain, console: Path) -> dict[str, Any]:
    return {
        "controller": [
            {"@type": "pci", "@model": "pcie-root"},
            *({"@type": "pci", "@model": "pcie-root-port"} for _ in range(_SPARE_PORTS)),
            {"@type": "usb", "@model": "none"},
        ],
        "disk": {
            "@type": "file",
            "@device": "disk",
            "driver": {"@name": "qemu", "@type": "qcow2", "@discard": "unmap"},
            "source": {"@file": domain.disk},
            "target": {"@dev": "vda", "@bus": "virtio"},
        },
        "interface": {
            "@type": "ethernet",
            "mac": {"@address": domain.mac},
            "target": {"@dev": domain.device, "@managed": "no"},
            "model": {"@type": "virtio"},
        },
        "serial": {
            "@type": "file",
            "source": {"@path": str(console), "@append": "on"},
            "target": {"@port": "0"},
        },
        "memballoon": {"@model": "virtio"},
        "rng": {"@model": "virtio", "backend": {"@model": "random", "#text": "/dev/urandom"}},
    }
