"""Rules of security groups: what may come in, what may go out. Pure."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from ipaddress import ip_network

import attrs

from pycloud.errors import InvalidValue
from pycloud.ids import RuleId, SecurityGroupId

ANY = "-1"
_NUMBERS = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6"}
_WITH_PORTS = ("tcp", "udp")
_ICMP = ("icmp", "icmpv6")
_PORT_MAX = 65535
_ICMP_MAX = 255
_PROTOCOL_MAX = 255


@attrs.frozen
class Rule:
    """One permission: a protocol, a range of ports, and one peer."""

    protocol: str
    """`tcp`, `udp`, `icmp`, `icmpv6`, the number of another protocol, or `-1` for all."""
    from_port: int | None
    """The first port, or the ICMP type (-1 for all); None where the protocol has no ports."""
    to_port: int | None
    """The last port, or the ICMP code (-1 for all)."""
    cidr: str | None = None
    source_group_id: SecurityGroupId | None = None
    description: str = attrs.field(default="", eq=False)
    """Not part of what the rule is: two that differ in it alone are one."""


@attrs.frozen
class StoredRule:
    """A rule of a group."""

    id: RuleId
    group_id: SecurityGroupId
    is_egress: bool
    rule: Rule


ALL_OUT = Rule(ANY, None, None, cidr="0.0.0.0/0")
"""What a new group lets out."""


def checked_rule(rule: Rule) -> Rule:
    """Return the rule in its one form, or raise `InvalidValue` ("IpPermission", EC2 API
    reference).

    The CIDR's host bits are cleared, as AWS does it.
    """
    protocol = _protocol(rule.protocol)
    from_port, to_port = _ports(protocol, rule.from_port, rule.to_port)
    if (rule.cidr is None) == (rule.source_group_id is None):
        raise InvalidValue("a rule names one peer: a CIDR, or another security group")
    cidr = None if rule.cidr is None else _cidr(rule.cidr)
    return attrs.evolve(rule, protocol=protocol, from_port=from_port, to_port=to_port, cidr=cidr)


def missing_of(wanted: Iterable[Rule], present: Iterable[Rule]) -> list[Rule]:
    """Return the wanted rules that are not there."""
    there = set(present)
    return [rule for rule in wanted if rule not in there]


def _protocol(text: str) -> str:
    is_number = text.isascii() and text.isdigit() and len(text) <= 3
    number = str(int(text)) if is_number else text.lower()
    protocol = _NUMBERS.get(number, number)
    if protocol in (*_WITH_PORTS, *_ICMP, ANY):
        return protocol
    if protocol == "all":
        return ANY
    if is_number and int(number) <= _PROTOCOL_MAX:
        return protocol
    raise InvalidValue(
        f"{text!r} is not a protocol: it is tcp, udp, icmp, icmpv6, -1 for all, or a number up to {_PROTOCOL_MAX}"
    )


def _ports(protocol: str, first: int | None, last: int | None) -> tuple[int | None, int | None]:
    if protocol in _ICMP:
        kind, code = (-1 if first is None else first), (-1 if last is None else last)
        if not (-1 <= kind <= _ICMP_MAX and -1 <= code <= _ICMP_MAX):
            raise InvalidValue(f"ICMP type and code are -1 (all) to 255, not {kind} and {code}")
        if kind == -1 and code != -1:
            raise InvalidValue(f"all ICMP types (-1) have all codes (-1), not the code {code}")
        return kind, code
    if protocol not in _WITH_PORTS:
        return None, None
    if first is None or last is None:
        raise InvalidValue(f"a rule for {protocol} names its ports: the first and the last")
    if (first, last) == (-1, -1):
        return 0, _PORT_MAX
    if not 0 <= first <= last <= _PORT_MAX:
        raise InvalidValue(
            f"ports go from 0 to {_PORT_MAX}, the first one first: not {first} to {last}"
        )
    return first, last


def _cidr(text: str) -> str:
    with contextlib.suppress(ValueError):
        if "%" not in text:  # an IPv6 zone means nothing beyond one host
            return str(ip_network(text, strict=False))
    raise InvalidValue(f"{text!r} is not a network: 203.0.113.0/24 or 2001:db8::/64 would be one")
