"""Taps: the host's ends of the wires, with their address, route and neighbour.

A tap carries its cloud and its instance in its alias, `pycloud/<cloud>/<instance>`, so nothing
needs to be remembered elsewhere. It is made persistent last: whoever dies half-way leaves none
behind.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, BinaryIO

import attrs

from pycloud.drivers.netlink import OUR_PROTOCOL
from pycloud.drivers.routes import Route, host_routes
from pycloud.errors import Cannot
from pycloud.ids import InstanceId
from pycloud.network.records import Wire, mac_of

_TUNSETIFF, _TUNSETPERSIST, _TUNSETOWNER = 0x400454CA, 0x400454CB, 0x400454CC  # linux/if_tun.h
_NEW_TAP = 0x0002 | 0x1000 | 0x4000 | 0x8000  # tap, no packet information, vnet_hdr, exclusive
_IFF_UP = 0x1  # linux/if.h
_ANY_SCOPE = 255  # RT_SCOPE_NOWHERE of linux/rtnetlink.h
_NUD_PERMANENT = 0x80  # linux/neighbour.h

_SETTINGS = {
    "forwarding": 1,
    "proxy_arp": 1,  # guests of one subnet ask for each other, and the host answers
    "rp_filter": 1,  # a second line against false senders, should the rules be flushed
    "accept_redirects": 0,
    "send_redirects": 0,
}


@attrs.frozen
class Tap:
    """A tap of pycloud's, this cloud's or another's; `link` is what netlink tells of it."""

    index: int
    device: str
    cloud: str
    id: InstanceId
    link: Any = attrs.field(repr=False, eq=False)

    def is_lasting(self, leaving_group: int) -> bool:
        """Tell whether nobody died, or is, in the middle of making or removing it."""
        data = self.link.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA")
        is_leaving = self.link.get_attr("IFLA_GROUP") == leaving_group
        return bool(data.get_attr("IFLA_TUN_PERSIST")) and not is_leaving


def all_taps(netlink: Any) -> list[Tap]:
    """Return all taps of pycloud's on this host."""
    links = netlink.link("dump", kind="tun")
    return [tap for link in links if (tap := _read(link)) is not None]


def make(netlink: Any, cloud: str, wire: Wire, mtu_bytes: int) -> None:
    """Make the tap of a wire, which appears as a whole or not at all. Raises `Cannot` if the name
    is taken.
    """
    with open("/dev/net/tun", "r+b", buffering=0) as tun:
        _claim(tun, wire.device)
        index = socket.if_nametoindex(wire.device)
        netlink.link("set", index=index, ifalias=f"pycloud/{cloud}/{wire.id}")
        _shape(netlink, index, wire, mtu_bytes)
        # Without an owner, every user of the host could open it.
        fcntl.ioctl(tun, _TUNSETOWNER, os.geteuid())
        fcntl.ioctl(tun, _TUNSETPERSIST, 1)


def mend(
    netlink: Any,
    taps: Mapping[int, tuple[Tap, Wire]],
    routes: Sequence[Route],
    mtu_bytes: int,
) -> None:
    """Put right what is not as it shall be on the taps, given by index."""
    addresses = _addresses(netlink)
    neighbours = _neighbours(netlink)
    for index, (tap, wire) in taps.items():
        right_address, right_route = (str(wire.gateway), 32), IPv4Network(wire.address)
        there = addresses.get(index, set())
        ways = host_routes(routes, index)
        for address, length in there - {right_address}:
            netlink.addr("del", index=index, address=address, prefixlen=length)
        for way in ways - {right_route}:
            netlink.route("del", dst=str(way), oif=index, proto=OUR_PROTOCOL, scope=_ANY_SCOPE)
        is_reachable = (index, str(wire.address), wire.mac) in neighbours and right_route in ways
        if not (is_reachable and right_address in there and _is_sound(tap, wire, mtu_bytes)):
            _shape(netlink, index, wire, mtu_bytes)


def remove(netlink: Any, taps: Sequence[Tap], group: int) -> None:
    """Remove taps, and with them all that hangs on them.

    They leave as the one device group of that number, which nothing else may have: one after the
    other, each takes the kernel some 15 ms.
    """
    for tap in taps:
        with _unless_gone():
            netlink.link("set", index=tap.index, group=group)
    if taps:
        with _unless_gone():
            netlink.link("del", group=group)


@contextlib.contextmanager
def _unless_gone() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if getattr(error, "code", None) != errno.ENODEV:
            raise


def _read(link: Any) -> Tap | None:
    words = (link.get_attr("IFLA_IFALIAS") or "").split("/")
    if len(words) != 3 or words[0] != "pycloud":
        return None
    return Tap(link["index"], link.get_attr("IFLA_IFNAME"), words[1], InstanceId(words[2]), link)


def _claim(tun: BinaryIO, device: str) -> None:
    """Make a tap that is there for as long as `tun` is open."""
    try:
        fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _NEW_TAP))
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        text = f"there is a network device {device} already, and it is not this cloud's"
        raise Cannot(text) from error


def _shape(netlink: Any, index: int, wire: Wire, mtu_bytes: int) -> None:
    """Give a tap all that it needs; it goes up only when it is otherwise ready."""
    netlink.link("set", index=index, address=mac_of(wire.gateway), mtu=mtu_bytes)
    _write_settings(wire.device)
    netlink.addr("replace", index=index, address=str(wire.gateway), prefixlen=32)
    netlink.link("set", index=index, state="up")
    host = f"{wire.address}/32"
    netlink.route("replace", dst=host, oif=index, proto=OUR_PROTOCOL, scope="link")
    netlink.neigh(
        "replace", ifindex=index, dst=str(wire.address), lladdr=wire.mac, state="permanent"
    )


def _write_settings(device: str) -> None:
    net = Path("/proc/sys/net")
    for name, value in _SETTINGS.items():
        (net / "ipv4/conf" / device / name).write_text(str(value))
    (net / "ipv4/neigh" / device / "proxy_delay").write_text("0")
    with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
        (net / "ipv6/conf" / device / "disable_ipv6").write_text("1")


def _is_sound(tap: Tap, wire: Wire, mtu_bytes: int) -> bool:
    link, families = tap.link, tap.link.get_attr("IFLA_AF_SPEC")
    ipv4, ipv6 = families.get_attr("AF_INET"), families.get_attr("AF_INET6")
    return bool(
        link["flags"] & _IFF_UP
        and link.get_attr("IFLA_ADDRESS") == mac_of(wire.gateway)
        and link.get_attr("IFLA_MTU") == mtu_bytes
        and all(ipv4[name] == value for name, value in _SETTINGS.items())
        and (ipv6 is None or ipv6.get_attr("IFLA_INET6_CONF")["disable_ipv6"])
    )


def _addresses(netlink: Any) -> dict[int, set[tuple[str, int]]]:
    found: dict[int, set[tuple[str, int]]] = {}
    for message in netlink.get_addr(family=socket.AF_INET):
        address = (message.get_attr("IFA_LOCAL"), message["prefixlen"])
        found.setdefault(message["index"], set()).add(address)
    return found


def _neighbours(netlink: Any) -> set[tuple[int, str, str]]:
    """Return the permanent ones as interface, address and MAC."""
    return {
        (message["ifindex"], message.get_attr("NDA_DST"), message.get_attr("NDA_LLADDR"))
        for message in netlink.get_neighbours(family=socket.AF_INET)
        if message["state"] & _NUD_PERMANENT
    }
