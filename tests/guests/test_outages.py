"""The hypervisor's daemon dies, rules are flushed, and a network is asked for that the host has already."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from pycloud.compute.records import InstanceState
from pycloud.errors import InvalidValue
from pycloud.network.addresses import IPPool
from tests.guests.conftest import RealCloud, wait_for

ROOT = Path(__file__).parents[2]


def _start_libvirtd() -> None:
    script = f"set -euo pipefail; . {ROOT}/scripts/prepare.sh; start_hypervisor"
    subprocess.run(["bash", "-c", script], check=True, stdin=subprocess.DEVNULL)


@pytest.mark.skipif(
    Path("/run/systemd/system").exists(),
    reason="libvirtd is the service manager's, not ours to kill",
)
def test_libvirtd_is_killed_and_its_guests_live_on(real: RealCloud) -> None:
    guest = real.run()
    boot = real.boot_id(guest)
    cloud = real.box.cloud
    for pid in subprocess.check_output(["pgrep", "-x", "libvirtd"], text=True).split():
        os.kill(int(pid), signal.SIGKILL)
    try:
        wait_for(
            "the node's problem is told", lambda: cloud.describe_nodes()[0].problem, limit_s=30
        )
        assert real.boot_id(guest) == boot, "the guest does not need the daemon"
    finally:
        _start_libvirtd()
    wait_for("the node is well", lambda: cloud.describe_nodes()[0].problem is None, limit_s=60)
    assert real.look(guest).state is InstanceState.RUNNING
    assert real.boot_id(guest) == boot
    cloud.reboot_instances([guest.id])
    cloud.settle(timeout_s=90)
    real.wait_rebooted(guest, boot)


def test_rules_that_someone_flushed_come_back(real: RealCloud) -> None:
    guest = real.run()
    table = real.box.node.fabric.table  # type: ignore[attr-defined]
    subprocess.run(["nft", "delete", "table", "inet", table], check=True)
    real.box.cloud.settle(timeout_s=30)
    rules = subprocess.check_output(["nft", "list", "table", "inet", table], text=True)
    assert f"pc{guest.id.removeprefix('i-')[:12]}" in rules


def test_addresses_that_overlap_the_hosts_routes_are_refused(real: RealCloud) -> None:
    subprocess.run(["ip", "link", "add", "pctest1", "type", "bridge"], check=True)
    try:
        subprocess.run(["ip", "address", "add", "198.18.7.1/24", "dev", "pctest1"], check=True)
        pool = IPPool(real.box.cloud.state, "198.18.0.0/16", name="overlapping")
        with pytest.raises(InvalidValue, match=r"overlaps the route to 198\.18\.7\."):
            real.box.node.check(pool.network)
    finally:
        subprocess.run(["ip", "link", "delete", "pctest1"], check=True)
