"""A guest as libvirt describes it, held against what was reviewed."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from pycloud.compute.hypervisor import Domain, Power
from pycloud.drivers.domain_xml import Mark, domain_xml, uuid_of
from pycloud.errors import Cannot
from pycloud.ids import InstanceId

GOLDEN = Path(__file__).parent / "golden"
DOMAIN = Domain(
    id=InstanceId("i-0123456789abcdef0"),
    boot=2,
    power=Power.ON,
    force=False,
    cpus=2,
    memory_mib=512,
    disk="/var/lib/pycloud/disks/i-0123456789abcdef0",
    kernel="/var/lib/pycloud/disks/eki-1",
    ramdisk="/var/lib/pycloud/disks/eri-1",
    kernel_args="root=/dev/vda rw console=ttyS0",
    device="pc0123456789ab",
    mac="0e:cd:0a:0b:00:04",
)
MARK = Mark("test", boot=2, started=1)
CONSOLE = Path("/var/lib/pycloud/consoles/i-0123456789abcdef0.log")


@pytest.mark.parametrize(
    ("name", "domain", "accelerator"),
    [
        ("direct-qemu", DOMAIN, "qemu"),
        ("disk-kvm", attrs.evolve(DOMAIN, kernel=None, ramdisk=None, kernel_args=""), "kvm"),
    ],
)
def test_definitions_are_as_reviewed(name: str, domain: Domain, accelerator: str) -> None:
    golden = (GOLDEN / f"{name}.xml").read_text()
    assert domain_xml(domain, MARK, accelerator, CONSOLE) + "\n" == golden


def test_odd_characters_are_escaped_and_control_characters_refused() -> None:
    odd = attrs.evolve(DOMAIN, disk="/tmp/<a> & 'b'", kernel_args='quiet "x" <y>')
    assert "&lt;a&gt; &amp; 'b'" in domain_xml(odd, MARK, "qemu", CONSOLE)
    with pytest.raises(Cannot, match="control characters"):
        domain_xml(attrs.evolve(DOMAIN, disk="/tmp/a\0b"), MARK, "qemu", CONSOLE)


def test_the_mark_is_read_back() -> None:
    element = MARK.as_element().replace("<guest", "<guest xmlns='urn:pycloud:guest:1'")
    assert Mark.read(element) == MARK


def test_the_uuid_tells_cloud_init_of_ec2() -> None:
    assert str(uuid_of(DOMAIN.id)).startswith("ec2")
    assert uuid_of(DOMAIN.id) == uuid_of(DOMAIN.id) != uuid_of(InstanceId("i-other"))
