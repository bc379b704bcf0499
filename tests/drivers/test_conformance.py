"""Every driver keeps its contract: the simulated ones, and the real ones where they can be had."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycloud.compute.hypervisor import Domain, Power
from pycloud.drivers.libvirt import LibvirtHypervisor
from pycloud.drivers.qcow2 import Qcow2Blocks
from pycloud.drivers.sim import SimBlocks, SimHost, SimHypervisor
from pycloud.errors import Cannot
from pycloud.ids import InstanceId
from pycloud.testing.blocks import check_blocks
from pycloud.testing.hypervisors import check_hypervisor, sim_domain
from tests.guests.conftest import home, why_no_guests

__all__ = ["home"]

TAP = "pctest0"


def test_simulated_drivers() -> None:
    host = SimHost()
    check_blocks(lambda: SimBlocks(host))
    check_hypervisor(lambda: SimHypervisor(host), sim_domain(host))


def test_qcow2(tmp_path: Path) -> None:
    check_blocks(lambda: Qcow2Blocks(tmp_path / "disks"))
    assert list((tmp_path / "disks").iterdir()) == [], "something is left behind"


@pytest.fixture
def domain(home: Path) -> Iterator[Domain]:
    """A guest that has a disk without a boot loader: it runs, and that is all."""
    disk = home / "disk"
    commands = [
        ["qemu-img", "create", "-q", "-f", "qcow2", str(disk), "1M"],
        ["ip", "tuntap", "add", TAP, "mode", "tap", "vnet_hdr"],
    ]
    for command in commands:
        subprocess.run(command, check=True)
    id_ = InstanceId("i-00c0ffee00c0ffee0")
    mac = "0e:cd:0a:0b:00:09"
    yield Domain(id_, 1, Power.ON, False, 1, 64, str(disk), None, None, "", TAP, mac)
    subprocess.run(["ip", "link", "delete", TAP], check=True)


@pytest.mark.guests
@pytest.mark.skipif(why_no_guests() is not None, reason=str(why_no_guests()))
def test_libvirt(domain: Domain, home: Path) -> None:
    check_hypervisor(lambda: LibvirtHypervisor(consoles=home / "consoles"), domain)
    others = LibvirtHypervisor(consoles=home / "consoles", cloud="another")
    assert domain.id not in others.found().domains


@pytest.mark.guests
@pytest.mark.skipif(why_no_guests() is not None, reason=str(why_no_guests()))
def test_a_disk_that_libvirt_may_not_reach_is_refused_with_advice(
    domain: Domain, home: Path
) -> None:
    hypervisor = LibvirtHypervisor(consoles=home / "consoles")
    home.chmod(0o700)
    try:
        with pytest.raises(Cannot, match="must be able to enter every folder"):
            hypervisor.ensure(domain)
    finally:
        home.chmod(0o711)
        hypervisor.remove(domain.id)
    assert domain.id not in hypervisor.found().domains
