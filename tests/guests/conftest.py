"""Real guests: run as root where libvirt answers; elsewhere reported as skipped, with the
reason.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from examples import cloud_in_a_box as box_example
from examples.cloud_in_a_box import Box
from examples.images.build import GuestImages, build_images
from pycloud.compute.images import ImageRegistry
from pycloud.compute.records import Image, Instance, InstanceState

READY = b"pycloud-guest: ready"


def why_no_guests() -> str | None:
    """Return why no real guest can be run here."""
    if os.geteuid() != 0:
        return "real guests take root"
    if shutil.which("virsh") is None:
        return "libvirt is not installed: ./run-tests installs it"
    answer = subprocess.run(["virsh", "-c", "qemu:///system", "version"], capture_output=True)
    return None if answer.returncode == 0 else "no hypervisor answers at qemu:///system"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in this folder, and skip it where it cannot run."""
    reason = why_no_guests()
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.guests)
            if reason is not None:
                item.add_marker(pytest.mark.skip(reason=reason))


def wait_for(what: str, is_so: Callable[[], object], limit_s: float = 90) -> None:
    """Wait until `is_so`, or fail."""
    deadline = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < deadline, f"not within {limit_s} s: {what}"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def guest_images(tmp_path_factory: pytest.TempPathFactory) -> GuestImages:
    """The small guest, built once and kept between runs."""
    return build_images(Path(__file__).parents[2] / ".build/guest-images")


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that the hypervisor's user may enter; pytest's own is closed to it."""
    folder = Path(tempfile.mkdtemp(prefix="pycloud-test-", dir="/var/tmp"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@attrs.frozen
class RealCloud:
    """A cloud of this machine, with its images registered."""

    box: Box
    machine: Image
    """Boots with a kernel and a ramdisk."""
    disk: Image
    """Boots by itself."""

    def run(self, image: Image | None = None, **values: object) -> Instance:
        """Run a guest and wait until it says that it is ready."""
        box_example._key(self.box)
        wanted = (image or self.machine).id
        [instance] = self.box.cloud.run_instances(
            wanted,
            key=box_example.KEY_NAME,
            **values,  # type: ignore[arg-type]
        )
        self.box.cloud.settle(timeout_s=60)
        self.wait_ready(instance)
        return self.look(instance)

    def wait_ready(self, instance: Instance) -> None:
        """Wait until the guest has said that it is ready."""
        cloud = self.box.cloud
        wait_for(f"{instance.id} is ready", lambda: READY in cloud.console_output(instance.id))

    def boot_id(self, instance: Instance) -> str:
        """Return what changes with each boot of the guest; empty as long as it does not answer."""
        ssh = box_example._ssh(self.box, instance)
        command = [*ssh, "-o", "ConnectTimeout=2", "cat /proc/sys/kernel/random/boot_id"]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()

    def wait_rebooted(self, instance: Instance, former: str) -> None:
        """Wait until the guest answers, and not as the boot that it was."""
        wait_for(f"{instance.id} boots again", lambda: self.boot_id(instance) not in ("", former))

    def look(self, instance: Instance) -> Instance:
        """Return the instance as its record is now."""
        return self.box.cloud.describe_instances([instance.id])[0]

    def wait_state(self, instance: Instance, state: InstanceState) -> Instance:
        """Wait until the record has `state`."""
        wait_for(f"{instance.id} is {state}", lambda: self.look(instance).state is state)
        return self.look(instance)

    def say(self, instance: Instance, command: str) -> str:
        """Run a command in the guest, over SSH."""
        ssh = box_example._ssh(self.box, instance)
        done = subprocess.run([*ssh, command], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


def box_options(home: Path) -> argparse.Namespace:
    """Return the main job's options for a cloud that shares this machine with others."""
    return box_example._options(
        ["--home", str(home), "--isolated", "--ec2-port", "0", "--s3-port", "0"]
    )


def register(images: ImageRegistry, guest: GuestImages) -> tuple[Image, Image]:
    """Register the guest in both forms; return the machine image and the whole disk."""
    kernel = images.register_kernel(guest.kernel)
    ramdisk = images.register_ramdisk(guest.ramdisk)
    machine = images.register_machine(guest.machine, kernel=kernel.id, ramdisk=ramdisk.id)
    return machine, images.register_machine(guest.disk)


@pytest.fixture
def real(home: Path, guest_images: GuestImages) -> Iterator[RealCloud]:
    """An open cloud of this machine; afterwards nothing of it may be left."""
    with box_example._open(box_options(home)) as box:
        machine, disk = register(box.cloud.images, guest_images)
        yield RealCloud(box, machine, disk)
        remove_all(box)


def remove_all(box: Box) -> None:
    """Terminate all instances and assert that nothing is left of them."""
    instances = box.cloud.describe_instances()
    box.cloud.terminate_instances([one.id for one in instances])
    box.cloud.settle(timeout_s=60)
    for instance in instances:
        assert box_example._remains(box, instance) == []
