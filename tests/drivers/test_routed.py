"""`RoutedFabric` with real packets, in a network namespace of its own: the machine is not touched.

A guest is a namespace whose `eth0` is a tap, joined to the host's tap by a thread that copies
frames, as QEMU does.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import http.client
import http.server
import importlib.util
import os
import random
import re
import select
import shutil
import signal
import socket
import socketserver
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import attrs
import pytest

from pycloud.drivers.routed import RoutedFabric
from pycloud.errors import Cannot, InvalidValue
from pycloud.ids import InstanceId
from pycloud.network.records import Wire, mac_of
from pycloud.testing.fabrics import SUBNET, check_fabric, wire

_TOOLS = ("nft", "dnsmasq", "ip", "busybox", "nsenter", "sysctl")
_MISSING = [tool for tool in _TOOLS if not shutil.which(tool)]
if importlib.util.find_spec("pyroute2") is None:
    _MISSING.append("pyroute2")
pytestmark = [
    pytest.mark.guests,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not Path("/dev/net/tun").exists(), reason="needs /dev/net/tun"),
    pytest.mark.skipif(bool(_MISSING), reason=f"needs {', '.join(_MISSING)}"),
]

_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)
_PATIENCE_S = 10.0
_OUTSIDE, _UPLINK = "198.51.100.1", "198.51.100.2"
_GATEWAY = str(SUBNET[1])
_GATEWAY_MAC = mac_of(SUBNET[1])
_OTHER_SUBNET = IPv4Network("10.213.65.0/24")

_ON_LEASE = """\
#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add $ip/$mask dev $interface
ip route add default via $router
env > {answer}
"""


class Network:
    """A network namespace, kept by a process that does nothing."""

    def __init__(self) -> None:
        with _new_network():
            _run("ip", "link", "set", "lo", "up")
            self.keeper = subprocess.Popen(["sleep", "infinity"])

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        with _back_again():
            _enter(f"/proc/{self.keeper.pid}/ns/net")
            yield

    def run(self, *command: str, check: bool = True) -> str:
        return _run("nsenter", "-t", str(self.keeper.pid), "-n", *command, check=check)

    def pings(self, address: str, *options: str) -> bool:
        """Tell whether a ping is answered; one that is lost would wait a second."""
        answer = self.run("busybox", "ping", "-c1", "-W1", *options, address, check=False)
        return "1 packets received" in answer

    def reaches(self, address: str, *options: str) -> bool:
        """Tell whether a ping is answered within some: a busy machine may lose the first."""
        return any(self.pings(address, *options) for _ in range(8))

    def close(self) -> None:
        self.keeper.kill()
        self.keeper.wait()


class Guest(Network):
    """A guest on a wire: its `eth0` has the wire's MAC, and is up."""

    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self.wire = wire
        self.host_end = _open_tap(wire.device)
        with self.inside():
            self.guest_end = _open_tap("eth0")
            _run("ip", "link", "set", "eth0", "address", wire.mac, "up")
        self.stop, self.stopper = os.pipe()
        self.pump = threading.Thread(target=self._copy)
        self.pump.start()

    def configure(self) -> Guest:
        """Give it by hand what DHCP would give."""
        self.run("ip", "addr", "add", f"{self.wire.address}/24", "dev", "eth0")
        self.run("ip", "route", "add", "default", "via", str(self.wire.gateway))
        return self

    def ask_for_lease(self, directory: Path) -> dict[str, str]:
        """Run a DHCP client; return what it was given, empty if nothing."""
        answer, script = directory / "answer", directory / "on-lease"
        answer.unlink(missing_ok=True)
        script.write_text(_ON_LEASE.format(answer=answer))
        script.chmod(0o755)
        options = ["-O", "mtu", "-O", "hostname", "-O", "staticroutes"]
        client = [
            "busybox",
            "udhcpc",
            "-i",
            "eth0",
            "-f",
            "-n",
            "-q",
            "-t2",
            "-T1",
            "-s",
            str(script),
        ]
        self.run(*client, *options, check=False)
        if not answer.exists():
            return {}
        return dict(line.split("=", 1) for line in answer.read_text().splitlines() if "=" in line)

    def connects(self, address: str, port: int) -> bool:
        with self.inside(), contextlib.suppress(OSError):
            socket.create_connection((address, port), timeout=0.5).close()
            return True
        return False

    def look_up(self, name: str, *, server: str = _GATEWAY) -> str:
        return self.run("busybox", "nslookup", name, server, check=False)

    def close(self) -> None:
        os.write(self.stopper, b".")
        self.pump.join()
        for descriptor in (self.host_end, self.guest_end, self.stop, self.stopper):
            os.close(descriptor)
        super().close()

    def _copy(self) -> None:
        across = {self.host_end: self.guest_end, self.guest_end: self.host_end}
        while True:
            ready, _, _ = select.select([*across, self.stop], [], [])
            if self.stop in ready:
                return
            for end in ready:
                # EIO: one of the two is down, or gone.
                with contextlib.suppress(OSError):
                    os.write(across[end], os.read(end, 65536))


class Frames:
    """Frames that come by at a device from now on."""

    def __init__(self, device: str) -> None:
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.bind((device, 0))
        self.socket.setblocking(False)
        self.seen: list[bytes] = []

    def any_has(self, address: IPv4Address | str) -> bool:
        """Tell whether an address was in one of them; ARP is not looked at."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.seen.append(self.socket.recv(65536))
        packed = IPv4Address(address).packed
        return any(frame[12:14] == b"\x08\x00" and packed in frame for frame in self.seen)


@attrs.define
class Lab:
    """A host in a network of its own, and what was made on it."""

    directory: Path
    cleanup: contextlib.ExitStack

    def fabric(
        self,
        cloud: str = "test",
        *,
        outbound: bool = False,
        metadata_port: int = 8775,
        service_ports: Sequence[int] = (),
    ) -> RoutedFabric:
        fabric = RoutedFabric(
            self.directory,
            cloud=cloud,
            outbound=outbound,
            metadata_port=metadata_port,
            service_ports=service_ports,
        )
        self.cleanup.callback(fabric.apply, [])
        return fabric

    def guest(self, wire: Wire) -> Guest:
        guest = Guest(wire)
        self.cleanup.callback(guest.close)
        return guest

    def guests(self, fabric: RoutedFabric, count: int) -> list[Guest]:
        """Apply the first wires, and put a guest at each."""
        wires = [wire(number) for number in range(count)]
        fabric.apply(wires)
        return [self.guest(wire).configure() for wire in wires]

    def outside(self) -> Network:
        """Give the host an uplink with a default route, and return what is there."""
        world = self.join("uplink", _UPLINK, _OUTSIDE)
        _run("ip", "route", "add", "default", "via", _OUTSIDE)
        return world

    def join(self, device: str, here: str, there: str) -> Network:
        """Give the host a network of the addresses `here` and `there`, and return what is there."""
        network = Network()
        self.cleanup.callback(network.close)
        peer = ["peer", "name", "eth0", "netns", str(network.keeper.pid)]
        _run("ip", "link", "add", device, "type", "veth", *peer)
        # Its link-local address would come some time later.
        _write(f"ipv6/conf/{device}/disable_ipv6", "1")
        _run("ip", "addr", "add", f"{here}/24", "dev", device)
        _run("ip", "link", "set", device, "up")
        network.run("ip", "addr", "add", f"{there}/24", "dev", "eth0")
        network.run("ip", "link", "set", "eth0", "up")
        return network

    def watch(self, device: str, at: Network | None = None) -> Frames:
        with at.inside() if at else contextlib.nullcontext():
            frames = Frames(device)
        self.cleanup.callback(frames.socket.close)
        return frames

    def serve(self, address: str, port: int, at: Network | None = None) -> None:
        """Answer HTTP requests with the caller's address."""
        with at.inside() if at else contextlib.nullcontext():
            server = _Server((address, port), _Mirror)
        thread = threading.Thread(target=functools.partial(server.serve_forever, 0.02))
        thread.start()
        self.cleanup.callback(server.server_close)
        self.cleanup.callback(thread.join)
        self.cleanup.callback(server.shutdown)


class _Server(socketserver.ThreadingTCPServer):
    # Not http.server's own, which looks up its name.
    allow_reuse_address = True
    daemon_threads = True


class _Mirror(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = self.client_address[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def lab() -> Iterator[Lab]:
    # Not tmp_path: dnsmasq reads its files as an unprivileged user.
    directory = Path(tempfile.mkdtemp(prefix="pycloud-net-"))
    directory.chmod(0o755)
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(shutil.rmtree, directory)
        cleanup.enter_context(_new_network())
        _run("ip", "link", "set", "lo", "up")
        yield Lab(directory, cleanup)


def test_it_keeps_the_contract(lab: Lab) -> None:
    lab.outside()
    check_fabric(lambda: lab.fabric(outbound=True))
    assert list(lab.directory.iterdir()) == []


class TestLease:
    def test_a_guest_gets_its_own(self, lab: Lab) -> None:
        lab.fabric().apply([wire(0), wire(1)])
        lease = lab.guest(wire(1)).ask_for_lease(lab.directory)
        assert {
            "ip": str(wire(1).address),
            "mask": "24",
            "router": _GATEWAY,
            "dns": _GATEWAY,
            "serverid": _GATEWAY,
            "hostname": wire(1).hostname,
            "domain": "pycloud.internal",
            "mtu": "1500",
            "lease": str(0xFFFFFFFF),
            "staticroutes": f"169.254.169.254/32 {_GATEWAY} 0.0.0.0/0 {_GATEWAY}",
        }.items() <= lease.items()

    def test_a_guest_that_came_later_gets_its_own(self, lab: Lab) -> None:
        fabric = lab.fabric()
        fabric.apply([wire(0)])
        before = _dnsmasq(lab)
        fabric.apply([wire(0), wire(1)])
        assert lab.guest(wire(1)).ask_for_lease(lab.directory)["ip"] == str(wire(1).address)
        assert _dnsmasq(lab) == before

    def test_the_next_instance_gets_the_same_address(self, lab: Lab) -> None:
        fabric = lab.fabric()
        for number in (0, 1):
            fabric.apply([wire(number, address=7)])
            guest = Guest(wire(number, address=7))
            assert guest.ask_for_lease(lab.directory)["ip"] == str(SUBNET[11])
            guest.close()

    def test_it_leaves_the_neighbour_permanent(self, lab: Lab) -> None:
        lab.fabric().apply([wire(0)])
        assert lab.guest(wire(0)).ask_for_lease(lab.directory)
        assert "PERMANENT" in _run("ip", "neigh", "show", str(wire(0).address))

    def test_another_mac_gets_none(self, lab: Lab) -> None:
        lab.fabric().apply([wire(0), wire(1)])
        guest = lab.guest(wire(0))
        guest.run("ip", "link", "set", "eth0", "address", wire(1).mac)
        assert guest.ask_for_lease(lab.directory) == {}


class TestNames:
    def test_forward_and_reverse(self, lab: Lab) -> None:
        guest, _ = lab.guests(lab.fabric(), 2)
        full = f"{wire(1).hostname}.pycloud.internal"
        assert f"Address: {wire(1).address}" in guest.look_up(full)
        assert full in guest.look_up(str(wire(1).address))

    def test_a_guest_that_left_has_none(self, lab: Lab) -> None:
        fabric = lab.fabric()
        guest, _ = lab.guests(fabric, 2)
        fabric.apply([wire(0)])
        full = f"{wire(1).hostname}.pycloud.internal"
        assert _soon(lambda: str(wire(1).address) not in guest.look_up(full))

    def test_the_hosts_own_names_are_not_told(self, lab: Lab) -> None:
        [guest] = lab.guests(lab.fabric(), 1)
        assert "127." not in guest.look_up("localhost.localdomain")

    def test_other_names_come_from_upstream_only_with_a_way_out(self, lab: Lab) -> None:
        world = lab.outside()
        options = (
            "-k -C /dev/null --pid-file= --no-resolv --no-hosts --address=/example.org/203.0.113.9"
        )
        enter = ["nsenter", "-t", str(world.keeper.pid), "-n"]
        name_server = subprocess.Popen([*enter, "dnsmasq", *options.split()])
        lab.cleanup.callback(name_server.wait)
        lab.cleanup.callback(name_server.kill)
        answers = []
        for outbound in (True, False):
            fabric = RoutedFabric(
                lab.directory, cloud="test", outbound=outbound, upstream_dns=[_OUTSIDE]
            )
            lab.cleanup.callback(fabric.apply, [])
            fabric.apply([wire(0)])
            guest = Guest(wire(0)).configure()
            found = _soon(
                lambda guest=guest: "203.0.113.9" in guest.look_up("example.org"),  # type: ignore[misc]
                _PATIENCE_S if outbound else 0,
            )
            answers.append(found)
            guest.close()
        assert answers == [True, False]


class TestGuests:
    def test_reach_each_other_the_gateway_and_the_host_reaches_them(self, lab: Lab) -> None:
        one, two = lab.guests(lab.fabric(), 2)
        assert one.reaches(str(two.wire.address))
        assert two.reaches(str(one.wire.address))
        assert one.reaches(_GATEWAY)
        lab.serve(str(one.wire.address), 22, at=one)
        assert _get(str(one.wire.address), 22) == _GATEWAY

    def test_tell_the_host_that_a_port_is_closed(self, lab: Lab) -> None:
        [guest] = lab.guests(lab.fabric(), 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(2)
            client.connect((str(guest.wire.address), 9))
            client.send(b"anybody?")
            with pytest.raises(ConnectionRefusedError):
                client.recv(1)

    def test_reach_each_other_without_delay(self, lab: Lab) -> None:
        one, two = lab.guests(lab.fabric(), 2)
        one.pings(_GATEWAY)
        start = time.monotonic()
        assert one.reaches(str(two.wire.address))
        assert time.monotonic() - start < 0.4

    def test_cannot_take_each_others_address(self, lab: Lab) -> None:
        one, two = lab.guests(lab.fabric(), 2)
        one.run("ip", "addr", "add", "10.213.64.77/24", "dev", "eth0")
        assert not one.pings(str(two.wire.address), "-I", "10.213.64.77")
        one.run("ip", "addr", "add", "203.0.113.7/32", "dev", "eth0")
        assert not one.pings(_GATEWAY, "-I", "203.0.113.7")
        assert one.reaches(str(two.wire.address))

    def test_are_held_to_their_address_by_the_rules_alone(self, lab: Lab) -> None:
        one, two = lab.guests(lab.fabric(), 2)
        for device in ("all", one.wire.device):
            _write(f"ipv4/conf/{device}/rp_filter", "0")
        one.run("ip", "addr", "add", "10.213.64.77/24", "dev", "eth0")
        seen = lab.watch("eth0", at=two)
        one.pings(str(two.wire.address), "-I", "10.213.64.77")
        assert one.reaches(str(two.wire.address))
        assert not seen.any_has("10.213.64.77")
        assert seen.any_has(one.wire.address)

    def test_cannot_take_another_mac(self, lab: Lab) -> None:
        one, _ = lab.guests(lab.fabric(), 2)
        one.run("ip", "neigh", "replace", _GATEWAY, "lladdr", _GATEWAY_MAC, "dev", "eth0")
        one.run("ip", "link", "set", "eth0", "address", wire(1).mac)
        one.run("ip", "neigh", "replace", _GATEWAY, "lladdr", _GATEWAY_MAC, "dev", "eth0")
        assert not one.pings(_GATEWAY)

    def test_cannot_fill_the_hosts_neighbour_table(self, lab: Lab) -> None:
        lab.outside()
        [guest] = lab.guests(lab.fabric(), 1)
        # As systemd has it: then every address that has a route may come from anywhere.
        _write("ipv4/conf/all/rp_filter", "2")
        guest.run("ip", "addr", "add", "203.0.113.7/32", "dev", "eth0")
        arping = ["busybox", "arping", "-c1", "-w1", "-I", "eth0"]
        guest.run(*arping, "-s", "203.0.113.7", _GATEWAY, check=False)
        assert guest.reaches(_GATEWAY)
        assert "203.0.113.7" not in _run("ip", "neigh")

    def test_have_no_ipv6(self, lab: Lab) -> None:
        one, two = lab.guests(lab.fabric(), 2)
        for guest, address in ((one, "fd00::1"), (two, "fd00::2")):
            guest.run("ip", "addr", "add", f"{address}/64", "dev", "eth0", "nodad", check=False)
        assert "inet6" not in _run("ip", "addr", "show", "dev", one.wire.device)
        assert not one.pings("fd00::2", "-6")

    def test_cannot_meddle_with_the_hosts_own_connections(self, lab: Lab) -> None:
        """An ICMP error that quotes a connection counts as related to it, whoever sends it."""
        world = lab.outside()
        [guest] = lab.guests(lab.fabric(outbound=True), 1)
        lab.serve(_OUTSIDE, 80, at=world)
        with socket.create_connection((_OUTSIDE, 80), timeout=2) as connection:
            seen = _unreachables()
            with guest.inside(), socket.socket(socket.AF_INET, socket.SOCK_RAW, 1) as raw:
                raw.sendto(_unreachable(connection), (_UPLINK, 0))
            assert guest.reaches(_GATEWAY)
            assert _unreachables() == seen

    def test_of_another_subnet_are_reached_too(self, lab: Lab) -> None:
        far = _elsewhere(0)
        lab.fabric().apply([wire(0), far])
        one, two = lab.guest(wire(0)), lab.guest(far)
        assert one.ask_for_lease(lab.directory)["router"] == _GATEWAY
        assert two.ask_for_lease(lab.directory)["router"] == str(_OTHER_SUBNET[1])
        assert one.reaches(str(far.address))


class TestHost:
    def test_nothing_else_of_it_is_reached_by_any_of_its_addresses(self, lab: Lab) -> None:
        lab.outside()
        for outbound in (False, True):
            fabric = lab.fabric(outbound=outbound)
            [guest] = lab.guests(fabric, 1)
            lab.serve("0.0.0.0", 2200 + outbound)
            for address in (_GATEWAY, _UPLINK, "127.0.0.1"):
                assert not guest.connects(address, 2200 + outbound), (address, outbound)
            assert not guest.pings(_UPLINK)
            assert guest.connects(_GATEWAY, 53)
            fabric.apply([])

    def test_the_metadata_service_is_reached_at_its_address_only(self, lab: Lab) -> None:
        guest, other = lab.guests(lab.fabric(), 2)
        lab.serve(_GATEWAY, 8775)
        for each in (guest, other):
            with each.inside():
                assert _get("169.254.169.254", 80) == str(each.wire.address)
        assert not guest.connects(_GATEWAY, 8775)
        assert not guest.connects(_GATEWAY, 80)
        assert not guest.connects("169.254.169.254", 443)

    def test_services_are_reached_at_the_gateway_alone(self, lab: Lab) -> None:
        lab.outside()
        [guest] = lab.guests(lab.fabric(outbound=True, service_ports=[8774]), 1)
        lab.serve(_GATEWAY, 8774)
        lab.serve(_UPLINK, 8774)
        with guest.inside():
            assert _get(_GATEWAY, 8774) == str(guest.wire.address)
        assert not guest.connects(_UPLINK, 8774)
        assert not guest.connects(_GATEWAY, 8773)

    def test_the_metadata_service_is_reached_on_the_link_too(self, lab: Lab) -> None:
        """Some guests ask for the MAC of 169.254.169.254; a default route of the host answers."""
        lab.outside()
        [guest] = lab.guests(lab.fabric(), 1)
        lab.serve(_GATEWAY, 8775)
        guest.run("ip", "route", "add", "169.254.0.0/16", "dev", "eth0")
        with guest.inside():
            assert _get("169.254.169.254", 80) == str(guest.wire.address)

    def test_packets_for_nobody_stay(self, lab: Lab) -> None:
        world = lab.outside()
        [guest] = lab.guests(lab.fabric(outbound=True), 1)
        seen = lab.watch("eth0", at=world)
        nobody = str(SUBNET[99])
        with pytest.raises(OSError, match="No route to host"):
            socket.create_connection((nobody, 80), timeout=1)
        assert not guest.pings(nobody)
        assert guest.reaches(_OUTSIDE)
        assert not seen.any_has(nobody)

    def test_it_is_as_before_when_all_have_gone(self, lab: Lab) -> None:
        lab.outside()
        _run("ip", "link", "add", "virbr9", "type", "bridge")
        _run("ip", "addr", "add", "192.0.2.1/24", "dev", "virbr9")
        _run("ip", "link", "set", "virbr9", "up")
        _nft("table ip theirs { chain f { type filter hook forward priority 0; policy drop; }; }")
        before = _picture()
        fabric = lab.fabric(outbound=True)
        fabric.apply([wire(number) for number in range(3)])
        during = _picture()
        assert "pycloud_" in during
        assert "table ip theirs" in during
        fabric.apply([])
        assert _picture() == before
        assert list(lab.directory.iterdir()) == []


class TestOutside:
    def test_there_is_no_way_out_unless_asked_for(self, lab: Lab) -> None:
        world = lab.outside()
        world.run("ip", "route", "add", str(SUBNET), "via", _UPLINK)
        [guest] = lab.guests(lab.fabric(outbound=False), 1)
        assert not guest.pings(_OUTSIDE)
        assert not world.pings(str(guest.wire.address))
        assert _value("ipv4/conf/uplink/forwarding") == "0"

    def test_guests_get_out_behind_the_hosts_address(self, lab: Lab) -> None:
        world = lab.outside()
        [guest] = lab.guests(lab.fabric(outbound=True), 1)
        lab.serve(_OUTSIDE, 80, at=world)
        with guest.inside():
            assert _get(_OUTSIDE, 80) == _UPLINK
        assert guest.reaches(_OUTSIDE)

    def test_nobody_gets_in(self, lab: Lab) -> None:
        world = lab.outside()
        [guest] = lab.guests(lab.fabric(outbound=True), 1)
        world.run("ip", "route", "add", str(SUBNET), "via", _UPLINK)
        assert not world.pings(str(guest.wire.address))
        assert guest.reaches(_OUTSIDE)

    def test_link_local_services_of_the_hosts_own_cloud_are_not_reached(self, lab: Lab) -> None:
        world = lab.outside()
        world.run("ip", "addr", "add", "169.254.169.123/32", "dev", "eth0")
        _run("ip", "route", "add", "169.254.169.123", "via", _OUTSIDE)
        [guest] = lab.guests(lab.fabric(outbound=True), 1)
        assert not guest.pings("169.254.169.123")

    def test_other_networks_of_the_host_are_not_reached(self, lab: Lab) -> None:
        lab.outside()
        inner = lab.join("inner", "192.0.2.1", "192.0.2.2")
        _write("ipv4/conf/inner/forwarding", "1")
        inner.run("ip", "route", "add", "default", "via", "192.0.2.1")
        [guest] = lab.guests(lab.fabric(outbound=True), 1)
        assert not guest.pings("192.0.2.2")
        assert not inner.pings(str(guest.wire.address))
        assert inner.reaches("192.0.2.1")

    def test_the_uplink_forwards_for_guests_only(self, lab: Lab) -> None:
        world = lab.outside()
        inner = lab.join("inner", "192.0.2.1", "192.0.2.2")
        world.run("ip", "route", "add", "192.0.2.0/24", "via", _UPLINK)
        lab.guests(lab.fabric(outbound=True), 1)
        assert _value("ipv4/conf/uplink/forwarding") == "1"
        seen = lab.watch("eth0", at=inner)
        world.pings("192.0.2.2")
        assert world.reaches(_UPLINK)
        assert not seen.any_has("192.0.2.2")

    def test_an_uplink_that_forwarded_before_does_so_afterwards(self, lab: Lab) -> None:
        lab.outside()
        _write("ipv4/conf/uplink/forwarding", "1")
        fabric = lab.fabric(outbound=True)
        fabric.apply([wire(0)])
        assert "guarded {\n\t\ttype ifname\n\t}" in _run("nft", "list", "ruleset")
        fabric.apply([])
        assert _value("ipv4/conf/uplink/forwarding") == "1"

    def test_a_host_that_begins_to_forward_meanwhile_goes_on(self, lab: Lab) -> None:
        lab.outside()
        fabric = lab.fabric(outbound=True)
        fabric.apply([wire(0)])
        _write("ipv4/ip_forward", "1")
        fabric.apply([wire(0)])
        assert "guarded {\n\t\ttype ifname\n\t}" in _run("nft", "list", "ruleset")
        fabric.apply([])
        assert _value("ipv4/conf/uplink/forwarding") == "1"

    def test_the_way_out_can_be_closed(self, lab: Lab) -> None:
        lab.outside()
        [guest] = lab.guests(lab.fabric(outbound=True), 1)
        assert guest.reaches(_OUTSIDE)
        lab.fabric(outbound=False).apply([wire(0)])
        assert not guest.pings(_OUTSIDE)
        assert _value("ipv4/conf/uplink/forwarding") == "0"


class TestTwoClouds:
    def test_live_side_by_side_and_apart(self, lab: Lab) -> None:
        lab.outside()
        one, two = lab.fabric("one", outbound=True), lab.fabric("two", outbound=True)
        one.apply([wire(0)])
        two.check(_OTHER_SUBNET)
        two.apply([_elsewhere(0)])
        a, b = lab.guest(wire(0)), lab.guest(_elsewhere(0))
        assert a.ask_for_lease(lab.directory)["router"] == _GATEWAY
        assert b.ask_for_lease(lab.directory)["router"] == str(_OTHER_SUBNET[1])
        assert not a.pings(str(_elsewhere(0).address))
        assert not a.pings(str(_OTHER_SUBNET[1]))
        assert a.reaches(_OUTSIDE)
        assert b.reaches(_OUTSIDE)
        assert (one.found(), two.found()) == ({wire(0).id}, {_elsewhere(0).id})

    def test_one_goes_and_the_other_stays(self, lab: Lab) -> None:
        lab.outside()
        before = _picture()
        one, two = lab.fabric("one", outbound=True), lab.fabric("two", outbound=True)
        one.apply([wire(0)])
        two.apply([_elsewhere(0)])
        one.apply([])
        guest = lab.guest(_elsewhere(0))
        assert guest.ask_for_lease(lab.directory)["ip"] == str(_elsewhere(0).address)
        assert guest.reaches(_OUTSIDE)
        two.apply([])
        assert _picture() == before

    def test_cannot_have_one_subnet(self, lab: Lab) -> None:
        one, two = lab.fabric("one"), lab.fabric("two")
        one.apply([wire(0)])
        with pytest.raises(InvalidValue, match=r"10\.213\.64\.0/24"):
            two.check(IPv4Network("10.213.0.0/16"))
        with pytest.raises(Cannot, match="overlaps"):
            two.apply([wire(1)])
        assert two.found() == set()


class TestOverlap:
    @pytest.mark.parametrize(
        ("network", "subnet"),
        [
            ("10.213.64.1/24", "10.213.64.0/24"),
            ("10.213.64.200/32", "10.213.64.0/24"),
            ("10.213.64.1/25", "10.213.0.0/16"),
            ("10.0.0.1/8", "10.213.64.0/24"),
        ],
    )
    def test_with_a_network_of_the_host_is_refused(
        self, lab: Lab, network: str, subnet: str
    ) -> None:
        _run("ip", "link", "add", "lan", "type", "bridge")
        _run("ip", "addr", "add", network, "dev", "lan")
        _run("ip", "link", "set", "lan", "up")
        with pytest.raises(InvalidValue, match="through lan"):
            lab.fabric().check(IPv4Network(subnet))

    @pytest.mark.parametrize("half", ["0.0.0.0/0", "0.0.0.0/1"])
    def test_with_a_default_route_is_none(self, lab: Lab, half: str) -> None:
        lab.outside()
        _run("ip", "route", "replace", half, "via", _OUTSIDE)
        lab.fabric().check(SUBNET)

    def test_that_came_later_is_refused_when_wires_are_made(self, lab: Lab) -> None:
        fabric = lab.fabric()
        fabric.check(SUBNET)
        _run("ip", "route", "add", "blackhole", "10.213.64.0/26")
        with pytest.raises(Cannot, match=r"10\.213\.64\.0/26"):
            fabric.apply([wire(0)])


class TestDrift:
    def test_of_rules(self, lab: Lab) -> None:
        fabric = lab.fabric()
        fabric.apply([wire(0)])
        before = _picture()
        _run("nft", "flush", "ruleset")
        _nft(f"table inet {fabric.table} {{ set taps {{ type ipv4_addr; }}; chain other {{ }}; }}")
        fabric.apply([wire(0)])
        assert _picture() == before

    @pytest.mark.parametrize(
        "command",
        [
            "ip link del {device}",
            "ip link set {device} down",
            "ip link set {device} name other",
            "ip link set {device} mtu 1280",
            "ip link set {device} address 02:00:00:00:00:01",
            "ip addr flush dev {device}",
            "ip addr add 192.0.2.1/24 dev {device}",
            "ip route flush dev {device}",
            "ip route replace 10.213.64.4 dev {device} proto static metric 5",
            "ip route add 10.213.64.77 dev {device} proto 112",
            "ip neigh flush dev {device} nud permanent",
            "ip neigh replace 10.213.64.4 lladdr 02:00:00:00:00:01 dev {device} nud permanent",
            "sysctl -qw net.ipv4.conf.{device}.forwarding=0",
            "sysctl -qw net.ipv4.conf.{device}.proxy_arp=0",
            "sysctl -qw net.ipv6.conf.{device}.disable_ipv6=0",
            "ip route flush type unreachable",
        ],
    )
    def test_of_devices_and_routes(self, lab: Lab, command: str) -> None:
        fabric = lab.fabric()
        fabric.apply([wire(0), wire(1)])
        before = _picture()
        _run(*command.format(device=wire(0).device).split())
        assert _picture() != before
        fabric.apply([wire(0), wire(1)])
        after = _picture()
        if "proto static" not in command:
            assert after == before
        guest = lab.guest(wire(0)).configure()
        assert guest.reaches(_GATEWAY)

    def test_of_dnsmasq(self, lab: Lab) -> None:
        fabric = lab.fabric()
        fabric.apply([wire(0)])
        guest = lab.guest(wire(0))
        os.kill(_dnsmasq(lab), signal.SIGKILL)
        fabric.apply([wire(0)])
        assert guest.ask_for_lease(lab.directory)

    def test_of_dnsmasqs_files(self, lab: Lab) -> None:
        fabric = lab.fabric()
        fabric.apply([wire(0)])
        shutil.rmtree(lab.directory / "test")
        fabric.apply([wire(0)])
        assert lab.guest(wire(0)).ask_for_lease(lab.directory)
        fabric.apply([])
        assert not _processes_of(lab)

    def test_of_the_folder_that_was_given(self, lab: Lab) -> None:
        lab.fabric().apply([wire(0)])
        before = _dnsmasq(lab)
        moved = RoutedFabric(lab.directory / "moved", cloud="test", outbound=False)
        lab.cleanup.callback(moved.apply, [])
        moved.apply([wire(0)])
        assert before not in _processes_of(lab)
        assert lab.guest(wire(0)).ask_for_lease(lab.directory)

    def test_another_process_with_dnsmasqs_number_is_left_alone(self, lab: Lab) -> None:
        fabric = lab.fabric()
        fabric.apply([wire(0)])
        os.kill(_dnsmasq(lab), signal.SIGKILL)
        with subprocess.Popen(["sleep", "infinity"]) as bystander:
            (lab.directory / "test" / "dnsmasq.pid").write_text(f"{bystander.pid}\n")
            fabric.apply([wire(0)])
            fabric.apply([])
            assert bystander.poll() is None
            bystander.kill()

    def test_of_an_uplink(self, lab: Lab) -> None:
        lab.outside()
        fabric = lab.fabric(outbound=True)
        [guest] = lab.guests(fabric, 1)
        _write("ipv4/conf/uplink/forwarding", "0")
        fabric.apply([wire(0)])
        assert guest.reaches(_OUTSIDE)


class TestFailure:
    def test_without_privileges_it_says_what_to_do(self, lab: Lab) -> None:
        fabric = lab.fabric()
        os.seteuid(65534)
        try:
            with pytest.raises(Cannot, match="CAP_NET_ADMIN"):
                fabric.apply([wire(0)])
        finally:
            os.seteuid(0)

    def test_a_device_of_somebody_elses_is_left_alone(self, lab: Lab) -> None:
        _run("ip", "link", "add", wire(0).device, "type", "bridge")
        with pytest.raises(Cannot, match=wire(0).device):
            lab.fabric().apply([wire(0)])
        assert "bridge" in _run("ip", "-d", "link", "show", wire(0).device)

    def test_a_folder_that_dnsmasq_cannot_read_is_refused(self, lab: Lab) -> None:
        lab.directory.chmod(0o700)
        with pytest.raises(Cannot, match="/run/pycloud"):
            lab.fabric().apply([wire(0)])

    def test_a_name_server_in_the_way_is_named(self, lab: Lab) -> None:
        lab.cleanup.enter_context(other := socket.create_server(("0.0.0.0", 53)))
        with pytest.raises(Cannot, match=r"dnsmasq: .*Address already in use"):
            lab.fabric().apply([wire(0)])
        other.close()

    @pytest.mark.parametrize(
        "change",
        [
            {"hostname": "a\nb"},
            {"hostname": "a.b"},
            {"address": IPv4Address("10.0.0.1")},
            {"address": SUBNET[1]},
            {"id": InstanceId('i-"; drop')},
        ],
    )
    def test_a_wire_that_cannot_be_is_refused(self, lab: Lab, change: dict[str, object]) -> None:
        with pytest.raises(Cannot, match="cannot be a wire"):
            lab.fabric().apply([attrs.evolve(wire(0), **change)])  # type: ignore[arg-type]

    def test_who_is_killed_at_any_moment_leaves_what_the_next_can_mend(self, lab: Lab) -> None:
        lab.outside()
        before = _picture()
        chance = random.Random(7)
        for _ in range(25):
            with subprocess.Popen(
                [sys.executable, "-c", _RESTLESS, lab.directory], stdout=-1
            ) as victim:
                assert victim.stdout is not None
                victim.stdout.read(1)
                time.sleep(chance.uniform(0, 0.25))
                victim.kill()
            fabric = lab.fabric(outbound=True)
            if chance.random() < 0.5:
                fabric.apply([wire(0)])
                assert fabric.found() == {wire(0).id}
            fabric.apply([])
            assert _picture() == before
            assert not _processes_of(lab)


def test_two_hundred_guests(lab: Lab) -> None:
    fabric = lab.fabric()
    wires = [wire(number) for number in range(200)]
    fabric.apply(wires)
    assert len(fabric.found()) == 200
    last = lab.guest(wires[-1])
    assert last.ask_for_lease(lab.directory)["ip"] == str(wires[-1].address)
    other = lab.guest(wires[0]).configure()
    assert last.reaches(str(other.wire.address))
    fabric.apply(wires[:1])
    assert fabric.found() == {wires[0].id}
    assert other.reaches(_GATEWAY)


def test_threads_take_turns(lab: Lab) -> None:
    fabric = lab.fabric()
    failures: list[BaseException] = []

    def play(number: int) -> None:
        try:
            for count in range(4):
                fabric.apply([wire(number), wire(50 + count)])
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=play, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(fabric.found()) == 2


@pytest.mark.parametrize(
    "settings",
    [
        {"cloud": ""},
        {"cloud": "../x"},
        {"cloud": "a b"},
        {"domain": "a..b"},
        {"metadata_port": 0},
        {"service_ports": [70_000]},
        {"mtu_bytes": 100},
        {"upstream_dns": ["ns.example.org"]},
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(InvalidValue):
        RoutedFabric(**settings)  # type: ignore[arg-type]


_RESTLESS = """
import sys
from pycloud.drivers.routed import RoutedFabric
from pycloud.testing.fabrics import wire
fabric = RoutedFabric(sys.argv[1], cloud="test")
fabric.found()
print(flush=True)
while True:
    fabric.apply([wire(number) for number in range(3)])
    fabric.apply([])
"""


def _elsewhere(number: int) -> Wire:
    """Return a wire of another subnet, to go to another cloud or the same."""
    place = _OTHER_SUBNET[4 + number]
    return Wire(
        id=InstanceId(f"i-e{number:011x}fab1c"),
        address=place,
        subnet=_OTHER_SUBNET,
        gateway=_OTHER_SUBNET[1],
        hostname="ip-" + str(place).replace(".", "-"),
    )


@contextlib.contextmanager
def _back_again() -> Iterator[None]:
    """Come back to the network of this thread afterwards."""
    with open("/proc/thread-self/ns/net") as here:
        try:
            yield
        finally:
            _check(_LIBC.setns(here.fileno(), _CLONE_NEWNET))


@contextlib.contextmanager
def _new_network() -> Iterator[None]:
    with _back_again():
        _check(_LIBC.unshare(_CLONE_NEWNET))
        yield


def _enter(network: str) -> None:
    with open(network) as there:
        _check(_LIBC.setns(there.fileno(), _CLONE_NEWNET))


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _open_tap(name: str) -> int:
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x1002))
    return tap


def _run(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


def _nft(text: str) -> None:
    subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True)


def _get(address: str, port: int) -> str:
    connection = http.client.HTTPConnection(address, port, timeout=3)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def _soon(fact: Callable[[], bool], patience_s: float = _PATIENCE_S) -> bool:
    deadline = time.monotonic() + patience_s
    while not fact():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _unreachable(connection: socket.socket) -> bytes:
    """Return an ICMP error (RFC 792) that quotes the last packet of a connection."""
    (here, port), (there, other_port) = connection.getsockname(), connection.getpeername()
    quoted = struct.pack(
        "!BBHHHBBH4s4sHHI",
        *(0x45, 0, 40, 1, 0, 64, 6, 0),
        *(socket.inet_aton(here), socket.inet_aton(there), port, other_port, 1),
    )
    head = struct.pack("!BBHHH", 3, 4, 0, 0, 600)
    words = struct.unpack(f"!{len(head + quoted) // 2}H", head + quoted)
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return head[:2] + struct.pack("!H", ~total & 0xFFFF) + head[4:] + quoted


def _unreachables() -> int:
    """Return how many ICMP errors this host took in."""
    names, values = [
        line.split()
        for line in Path("/proc/thread-self/net/snmp").read_text().splitlines()
        if line.startswith("Icmp:")
    ]
    return int(values[names.index("InDestUnreachs")])


def _value(setting: str) -> str:
    return Path("/proc/sys/net", setting).read_text().strip()


def _write(setting: str, value: str) -> None:
    Path("/proc/sys/net", setting).write_text(value)


def _dnsmasq(lab: Lab) -> int:
    return int((lab.directory / "test" / "dnsmasq.pid").read_text())


def _processes_of(lab: Lab) -> list[int]:
    """Return the processes that name the lab's folder on their command line."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(lab.directory).encode() in place.read_bytes():
                found.append(int(place.parent.name))
    return found


def _picture() -> str:
    """Return all of the network: links, addresses, routes, neighbours, rules and settings."""
    parts = [
        _run("ip", "-o", "-d", "link"),
        _run("ip", "-o", "addr"),
        _run("ip", "-d", "route", "show", "table", "all"),
        _run("ip", "neigh", "show", "nud", "permanent"),
        _run("nft", "list", "ruleset"),
    ]
    for place in sorted(Path("/proc/sys/net").rglob("*")):
        # A key that the kernel makes up when a server first asks for it, and a counter.
        if place.name in ("tcp_fastopen_key", "nf_conntrack_count"):
            continue
        with contextlib.suppress(OSError, UnicodeDecodeError):
            parts.append(f"{place}={place.read_text()}")
    return _lasting("\n".join(parts))


def _lasting(text: str) -> str:
    """Leave out numbers of interfaces and places in lists, and whether somebody holds a tap."""
    for passing in (
        r"^\d+: ",
        r"NO-CARRIER,|,LOWER_UP",
        r"state \w+",
        r" linkdown",
        r"gc_timer +\S+",
    ):
        text = re.sub(passing, "", text, flags=re.MULTILINE)
    return "\n".join(sorted(text.splitlines()))
