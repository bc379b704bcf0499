"""A real guest's life, from both forms of image, and what happens behind the cloud's back."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from pycloud.compute.records import InstanceState
from pycloud.network.records import mac_of
from tests.guests.conftest import READY, RealCloud, wait_for


def _emulator(instance_id: str) -> int:
    """Return the process id of the guest's QEMU."""
    found = subprocess.check_output(["pgrep", "-f", f"guest={instance_id}"], text=True)
    return int(found.split()[0])


def test_a_guest_boots_from_kernel_ramdisk_and_machine_image(real: RealCloud) -> None:
    script = b"#!/bin/sh\necho user data was here >/root/note\n"
    guest = real.run(user_data=script, http_tokens="required")
    assert real.say(guest, "hostname") == guest.hostname
    assert real.say(guest, "cat /root/note") == "user data was here"
    assert guest.address is not None
    assert real.say(guest, "cat /sys/class/net/eth0/address") == mac_of(guest.address)
    # The disk has grown to the type's 5 GiB, and the file system with it.
    assert int(real.say(guest, "df -m / | tail -n 1 | awk '{print $2}'")) > 4500
    assert real.say(guest, "cat /sys/class/dmi/id/product_uuid").startswith("ec2")
    name = f"{guest.hostname}.pycloud.internal"
    assert str(guest.address) in real.say(guest, f"nslookup {name}")


def test_a_guest_boots_from_a_whole_disk(real: RealCloud) -> None:
    guest = real.run(real.disk)
    assert "/dev/vda2" in real.say(guest, "cat /proc/cmdline")
    assert int(real.say(guest, "df -m / | tail -n 1 | awk '{print $2}'")) > 4500


def test_a_guest_is_stopped_started_and_rebooted_with_its_disk(real: RealCloud) -> None:
    cloud = real.box.cloud
    guest = real.run()
    first = real.boot_id(guest)
    real.say(guest, "echo kept >/root/note; sync")
    cloud.stop_instances([guest.id])
    stopped = real.wait_state(guest, InstanceState.STOPPED)
    cloud.settle(timeout_s=30)
    assert stopped.reason is None
    assert READY in cloud.console_output(guest.id), "the console is kept while the guest is off"
    cloud.start_instances([guest.id])
    cloud.settle(timeout_s=60)
    real.wait_rebooted(guest, first)
    assert real.say(guest, "cat /root/note") == "kept"
    second = real.boot_id(guest)
    cloud.reboot_instances([guest.id])
    cloud.settle(timeout_s=90)
    real.wait_rebooted(guest, second)
    assert real.say(guest, "cat /root/note") == "kept"


def test_a_guest_may_switch_itself_off(real: RealCloud) -> None:
    guest = real.run()
    real.say(guest, "(sleep 1; poweroff) >/dev/null 2>&1 &")
    off = real.wait_state(guest, InstanceState.STOPPED)
    assert off.reason == "the guest switched itself off"


def test_the_record_tells_of_a_guest_killed_behind_the_clouds_back(real: RealCloud) -> None:
    guest = real.run()
    os.kill(_emulator(guest.id), signal.SIGKILL)
    off = real.wait_state(guest, InstanceState.STOPPED)
    assert off.reason == "the guest or its emulator died"


def test_guests_see_each_other_and_their_names(real: RealCloud) -> None:
    one, other = real.run(), real.run()
    assert "1 packets received" in real.say(one, f"ping -c 1 -W 5 {other.address}")
    assert "1 packets received" in real.say(other, f"ping -c 1 -W 5 {one.hostname}")


def test_a_full_disk_ends_a_launch_with_the_reason(real: RealCloud, tmp_path: Path) -> None:
    disks = real.box.home / "disks"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disks], check=True)
    try:
        [guest] = real.box.cloud.run_instances(real.machine.id)
        wait_for(
            "the launch is given up",
            lambda: real.look(guest).state is InstanceState.TERMINATED,
        )
        assert "no space left" in str(real.look(guest).reason)
    finally:
        subprocess.run(["umount", disks], check=True)


@pytest.mark.parametrize("form", ["machine", "disk"])
def test_a_terminated_guest_leaves_nothing(real: RealCloud, form: str) -> None:
    guest = real.run(getattr(real, form))
    real.box.cloud.terminate_instances([guest.id])
    real.box.cloud.settle(timeout_s=60)
    assert READY in real.box.cloud.console_output(guest.id)
