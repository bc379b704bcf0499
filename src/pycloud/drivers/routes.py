"""Routes of the host: those of a cloud's subnets, and those that a subnet must not overlap.

A subnet's route carries its cloud in its metric, so nothing needs to be remembered elsewhere.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterator, Sequence
from ipaddress import IPv4Network
from typing import Any

import attrs

from pycloud.drivers.netlink import OUR_PROTOCOL

_MAIN_TABLE = 254  # linux/rtnetlink.h, as the two below
_UNICAST = 1
_UNREACHABLE = 7


@attrs.frozen
class Route:
    """An entry of one of the host's routing tables; `index` is the interface's, if it leads to one."""

    destination: IPv4Network
    kind: int
    index: int | None
    protocol: int
    metric: int
    table: int

    @property
    def is_default(self) -> bool:
        """Tell whether it leads to the rest of the world; VPNs split that route into two halves."""
        return self.destination.prefixlen <= 1

    def is_subnet_of(self, metric: int) -> bool:
        """Tell whether it was made by `add_subnet`."""
        return (self.kind, self.protocol, self.metric) == (_UNREACHABLE, OUR_PROTOCOL, metric)


def all_routes(netlink: Any) -> list[Route]:
    """Return the IPv4 routes of all tables."""
    messages = netlink.get_routes(family=socket.AF_INET)
    return [route for message in messages for route in _read(message)]


def host_routes(routes: Sequence[Route], index: int) -> set[IPv4Network]:
    """Return where our routes through one interface lead."""
    return {
        route.destination
        for route in routes
        if (route.index, route.protocol, route.kind) == (index, OUR_PROTOCOL, _UNICAST)
    }


def uplinks(routes: Sequence[Route]) -> set[str]:
    """Return the names of the interfaces that lead to the rest of the world."""
    return {
        socket.if_indextoname(route.index)
        for route in routes
        if route.is_default and route.table == _MAIN_TABLE and route.index is not None
    }


def overlap(
    subnet: IPv4Network, routes: Sequence[Route], *, metric: int, ours: Collection[int]
) -> str | None:
    """Name a route that overlaps `subnet`, unless it is a default route, a subnet's of `metric`, or
    through our interfaces.
    """
    for route in routes:
        is_ours = route.index in ours or route.is_subnet_of(metric)
        if not is_ours and not route.is_default and route.destination.overlaps(subnet):
            return f"{route.destination}{_through(route)}"
    return None


def missing_subnets(
    subnets: Collection[IPv4Network], routes: Sequence[Route], *, metric: int
) -> list[IPv4Network]:
    """Return those that have no route yet."""
    return sorted(set(subnets) - {r.destination for r in routes if r.is_subnet_of(metric)})


def add_subnet(netlink: Any, subnet: IPv4Network, *, metric: int) -> None:
    """Let nothing for the unassigned addresses of `subnet` leave the host."""
    _tell(netlink, "replace", subnet, metric)


def remove_subnets(
    netlink: Any, routes: Sequence[Route], *, metric: int, but: Collection[IPv4Network] = ()
) -> None:
    """Remove the routes of all subnets but those."""
    for route in routes:
        if route.is_subnet_of(metric) and route.destination not in but:
            _tell(netlink, "del", route.destination, metric)


def _tell(netlink: Any, verb: str, subnet: IPv4Network, metric: int) -> None:
    # Unlike a blackhole, an unreachable route tells the host's own programs "no route to host".
    netlink.route(verb, dst=str(subnet), type="unreachable", priority=metric, proto=OUR_PROTOCOL)


def _read(message: Any) -> Iterator[Route]:
    """Yield one route for each interface that the message names."""
    destination = IPv4Network((message.get_attr("RTA_DST") or 0, message["dst_len"]))
    hops = message.get_attr("RTA_MULTIPATH") or ()
    for index in [hop["oif"] for hop in hops] or [message.get_attr("RTA_OIF")]:
        yield Route(
            destination=destination,
            kind=message["type"],
            index=index,
            protocol=message["proto"],
            metric=message.get_attr("RTA_PRIORITY") or 0,
            table=message.get_attr("RTA_TABLE") or message["table"],
        )


def _through(route: Route) -> str:
    if route.index is None:
        return f" (metric {route.metric})"
    try:
        return f" through {socket.if_indextoname(route.index)}"
    except OSError:
        return f" through interface {route.index}"
