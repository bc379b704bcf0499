"""`RoutedFabric`: each guest on a tap of its own, reached by a host route. No bridge, and no global
setting of the host is touched.

Whose tap is whose is written on the taps, so nothing needs to be remembered; what is found is
compared with what is wanted and put right. The order keeps false senders out at every moment: rules
know taps by name and are in force before a tap exists, and a tap that leaves goes before its rules.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Collection, Mapping, Sequence, Set
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from pycloud.drivers import forwarding, nft, taps
from pycloud.drivers.dnsmasq import Dnsmasq
from pycloud.drivers.netlink import connected
from pycloud.drivers.routes import (
    Route,
    add_subnet,
    all_routes,
    missing_subnets,
    overlap,
    remove_subnets,
    uplinks,
)
from pycloud.drivers.taps import Tap
from pycloud.errors import Cannot, InvalidValue
from pycloud.ids import InstanceId
from pycloud.network.records import Wire

_CLOUD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_DEVICE = re.compile(r"pc[A-Za-z0-9_-]{1,13}")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class RoutedFabric:
    """Guests on routed taps, with dnsmasq and nftables. Needs Linux and root.

    Guests reach each other, their gateway (DHCP, DNS, ping) and the metadata service: what they ask
    of 169.254.169.254 arrives at port `metadata_port` of their gateway's address. They reach the
    `service_ports` of that address, behind which the cloud's own services are. With `outbound` they
    also get out through the interfaces of the host's default route, behind the host's address.
    They reach nothing else of the host. The host reaches them.

    Files are in `directory`/`cloud`, which everybody must be able to read; nothing in them is
    needed after a restart. Several clouds live on one host if their `cloud` and their subnets
    differ. Names of guests are `<hostname>.<domain>`; other names are looked up if `outbound`, with
    the name servers `upstream_dns`, or with those of the host if that is None.

    >>> fabric = RoutedFabric(cloud="eucatest", outbound=False)
    >>> fabric.table
    'pycloud_2f221406'

    Raises `InvalidValue` for a bad name, port, domain, address or MTU.
    """

    def __init__(
        self,
        directory: Path | str = "/run/pycloud",
        *,
        cloud: str = "pycloud",
        metadata_port: int = 8775,
        service_ports: Collection[int] = (),
        outbound: bool = True,
        domain: str = "pycloud.internal",
        upstream_dns: Sequence[IPv4Address | str] | None = None,
        mtu_bytes: int = 1500,
    ) -> None:
        _check(_CLOUD.fullmatch(cloud), f"a cloud's name has letters, digits, '_.-': not {cloud!r}")
        _check(all(map(_LABEL.fullmatch, domain.split("."))), f"{domain!r} is not a domain")
        _check(1 <= metadata_port <= 65535, f"a port is 1 to 65535, not {metadata_port}")
        for port in service_ports:
            _check(1 <= port <= 65535, f"a port is 1 to 65535, not {port}")
        _check(576 <= mtu_bytes <= 65521, f"an MTU is 576 to 65521 bytes, not {mtu_bytes}")
        self.cloud = cloud
        self.outbound = outbound
        self.metadata_port = metadata_port
        self.service_ports = tuple(service_ports)
        self.mtu_bytes = mtu_bytes
        tag = hashlib.blake2s(cloud.encode(), digest_size=4).hexdigest()
        self.table = f"pycloud_{tag}"
        self._number = int(tag, 16) or 1  # of its subnets' metric, and of taps that leave
        upstream = _servers(upstream_dns) if outbound else ()
        place = Path(directory).absolute() / cloud
        self._dnsmasq = Dnsmasq(place, self.table, domain, upstream, mtu_bytes)
        self._lock = threading.Lock()

    def check(self, subnet: IPv4Network) -> None:
        """Raise `InvalidValue` if `subnet` overlaps a route that is neither ours nor the default."""
        with connected() as netlink:
            routes = all_routes(netlink)
            mine = [tap.index for tap in taps.all_taps(netlink) if tap.cloud == self.cloud]
        self._check_overlap(subnet, routes, mine, InvalidValue)

    def found(self) -> Set[InstanceId]:
        """Return the ids of all taps of this cloud."""
        with connected() as netlink:
            return {tap.id for tap in taps.all_taps(netlink) if tap.cloud == self.cloud}

    def apply(self, wires: Sequence[Wire]) -> None:
        """Make these wires exist, and no others of this cloud; without wires, leave nothing of it.

        Raises `Cannot` (no privileges; a program or a kernel feature is missing; a subnet overlaps;
        a name or an address is taken) or `TryLater`.
        """
        _check_wires(wires)
        with self._lock, connected() as netlink:
            every = taps.all_taps(netlink)
            others = any(tap.cloud != self.cloud for tap in every)
            kept = self._drop_unwanted(netlink, every, wires)
            if wires:
                self._build(netlink, wires, kept, others=others)
            else:
                self._clear(netlink, others=others)

    def _drop_unwanted(
        self, netlink: Any, every: Sequence[Tap], wires: Sequence[Wire]
    ) -> dict[InstanceId, Tap]:
        wanted = {(wire.id, wire.device) for wire in wires}
        kept, unwanted = {}, []
        for tap in every:
            if tap.cloud != self.cloud:
                continue
            if tap.is_lasting(self._number) and (tap.id, tap.device) in wanted:
                kept[tap.id] = tap
            else:
                unwanted.append(tap)
        taps.remove(netlink, unwanted, self._number)
        return kept

    def _build(
        self, netlink: Any, wires: Sequence[Wire], kept: Mapping[InstanceId, Tap], *, others: bool
    ) -> None:
        routes = all_routes(netlink)
        subnets = {wire.subnet for wire in wires}
        for subnet in missing_subnets(subnets, routes, metric=self._number):
            self._check_overlap(subnet, routes, [tap.index for tap in kept.values()], Cannot)
            add_subnet(netlink, subnet, metric=self._number)
        ways_out = uplinks(routes) if self.outbound else set()
        forwarding.remember(ways_out)
        nft.load(self._rules(wires, ways_out))
        in_place = {kept[wire.id].index: (kept[wire.id], wire) for wire in wires if wire.id in kept}
        taps.mend(netlink, in_place, routes, self.mtu_bytes)
        for wire in wires:
            if wire.id not in kept:
                taps.make(netlink, self.cloud, wire, self.mtu_bytes)
        remove_subnets(netlink, routes, metric=self._number, but=subnets)
        forwarding.switch_on(ways_out)
        if not self.outbound and not others:
            forwarding.switch_off()
        self._dnsmasq.ensure(wires)

    def _clear(self, netlink: Any, *, others: bool) -> None:
        """Remove what is left without taps; rules last, should anything have gone wrong before."""
        self._dnsmasq.remove()
        remove_subnets(netlink, all_routes(netlink), metric=self._number)
        if not others:
            forwarding.switch_off()
        nft.unload(self.table)

    def _rules(self, wires: Sequence[Wire], ways_out: Collection[str]) -> str:
        return nft.ruleset(
            self.table,
            wires,
            uplinks=ways_out,
            guarded=forwarding.switched_on(ways_out),
            metadata_port=self.metadata_port,
            service_ports=self.service_ports,
        )

    def _check_overlap(
        self,
        subnet: IPv4Network,
        routes: Sequence[Route],
        mine: Collection[int],
        error: type[InvalidValue] | type[Cannot],
    ) -> None:
        other = overlap(subnet, routes, metric=self._number, ours=mine)
        if other is not None:
            raise error(
                f"subnet {subnet} overlaps the route to {other} of this host: choose another"
            )


def _check(fact: object, text: str) -> None:
    if not fact:
        raise InvalidValue(text)


def _servers(servers: Sequence[IPv4Address | str] | None) -> tuple[IPv4Address, ...] | None:
    try:
        return None if servers is None else tuple(IPv4Address(server) for server in servers)
    except ValueError as error:
        raise InvalidValue(f"a name server is given by its IPv4 address: {error}") from None


def _check_wires(wires: Sequence[Wire]) -> None:
    """Refuse what would be a line of its own in somebody's configuration, or somebody else's
    packets.
    """
    for wire in wires:
        sound = (
            _ID.fullmatch(wire.id)
            and _DEVICE.fullmatch(wire.device)
            and _LABEL.fullmatch(wire.hostname)
            and wire.address in wire.subnet
            and wire.gateway in wire.subnet
            and wire.address != wire.gateway
        )
        if not sound:
            raise Cannot(f"this cannot be a wire: {wire}")
    for name in ("id", "address", "device"):
        values = [getattr(wire, name) for wire in wires]
        if len(set(values)) < len(values):
            raise Cannot(f"two wires have the same {name}")
