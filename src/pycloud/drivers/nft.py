"""The packet rules of one cloud on one node: a pure function from wires to the text that `nft`
loads.

Two tables, both called `pycloud_<tag>` and both replaced in one transaction: `arp`, and `inet` for
everything else. No other table is looked at. A packet that another table drops stays dropped, and
one that these accept can still be dropped by others: see nft(8), "verdict statements". Rules know
taps by name, so they are in force before a tap exists.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from pycloud.drivers.commands import run
from pycloud.network.records import Wire

METADATA_ADDRESS = "169.254.169.254"
"""Where guests ask for their metadata ("Access instance metadata" in the EC2 user guide)."""


def ruleset(
    table: str,
    wires: Sequence[Wire],
    *,
    uplinks: Collection[str] = (),
    guarded: Collection[str] = (),
    metadata_port: int,
    service_ports: Collection[int] = (),
) -> str:
    """Return the whole ruleset of a cloud, for one `nft -f -`.

    Guests reach the `service_ports` of their gateway's address. They may get out through `uplinks`.
    What comes in through `guarded` goes to pycloud's taps and nowhere else: these are uplinks that
    forwarded nothing before there were guests.
    """
    return "\n".join(
        [
            _fresh("arp", table),
            _arp(table, wires),
            _fresh("inet", table),
            f"table inet {table} {{",
            *_sets(wires),
            _set("uplinks", "ifname", map(_quoted, sorted(uplinks))),
            _set("guarded", "ifname", map(_quoted, sorted(guarded))),
            _CHAINS.format(
                metadata=METADATA_ADDRESS, port=metadata_port, services=_services(service_ports)
            ),
            "}",
            "",
        ]
    )


def load(text: str) -> None:
    """Put a ruleset into force, all of it or nothing. Raises `Cannot` or `TryLater`."""
    run(["nft", "-f", "-"], package="nftables", stdin=text)


def unload(table: str) -> None:
    """Remove the ruleset, if it is there. Raises `Cannot` or `TryLater`."""
    load(
        "\n".join(f"table {family} {table}\ndelete table {family} {table}" for family in _FAMILIES)
    )


_FAMILIES = ("arp", "inet")


def _fresh(family: str, table: str) -> str:
    """Deleting what is not there is an error, so it is made first."""
    return f"table {family} {table}\ndelete table {family} {table}"


def _sets(wires: Sequence[Wire]) -> list[str]:
    """One look-up per packet, however many guests there are."""
    return [
        _set("taps", "ifname", (_quoted(wire.device) for wire in wires)),
        _set("machines", "ifname . ether_addr", (_machine(wire) for wire in wires)),
        _set("senders", "ifname . ether_addr . ipv4_addr", (_sender(wire) for wire in wires)),
        _set(
            "gateways",
            "ifname . ipv4_addr",
            (f"{_quoted(wire.device)} . {wire.gateway}" for wire in wires),
        ),
        _set("guests", "ipv4_addr", (str(wire.address) for wire in wires)),
    ]


def _set(name: str, type_: str, elements: Iterable[str]) -> str:
    listed = ",\n      ".join(elements)
    # nft takes no empty list of elements.
    content = f"\n    elements = {{\n      {listed}\n    }}" if listed else ""
    return f"  set {name} {{\n    type {type_}{content}\n  }}"


def _quoted(device: str) -> str:
    return f'"{device}"'


def _machine(wire: Wire) -> str:
    return f"{_quoted(wire.device)} . {wire.mac}"


def _sender(wire: Wire) -> str:
    return f"{_machine(wire)} . {wire.address}"


def _arp(table: str, wires: Sequence[Wire]) -> str:
    """A guest speaks ARP in its own name only, or it could fill the host's one neighbour table."""
    return "\n".join(
        [
            f"table arp {table} {{",
            _set("taps", "ifname", (_quoted(wire.device) for wire in wires)),
            _set("senders", "ifname . ether_addr . ipv4_addr", (_sender(wire) for wire in wires)),
            "  chain input {",
            "    type filter hook input priority filter; policy accept;",
            "    iifname != @taps accept",
            "    iifname . arp saddr ether . arp saddr ip @senders accept",
            "    drop",
            "  }",
            "}",
        ]
    )


def _services(ports: Collection[int]) -> str:
    """Return the rule that lets guests reach these ports of their gateway."""
    if not ports:
        return ""
    listed = ", ".join(map(str, sorted(ports)))
    return f"    iifname . ip daddr @gateways tcp dport {{ {listed} }} accept\n"


_CHAINS = """\
  chain spoofing {{
    type filter hook prerouting priority raw; policy accept;
    iifname != @taps accept
    iifname . ether saddr . ip saddr @senders accept
    iifname . ether saddr @machines ip saddr 0.0.0.0 goto nameless
    drop
  }}
  chain nameless {{
    ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept
    drop
  }}
  chain metadata {{
    type nat hook prerouting priority dstnat; policy accept;
    iifname @taps ip daddr {metadata} tcp dport 80 redirect to :{port}
  }}
  chain input {{
    type filter hook input priority filter; policy accept;
    iifname != @taps accept
    ct state established accept
    ct state related ct original ip daddr @guests accept
    udp sport 68 udp dport 67 accept
    iifname . ip daddr @gateways udp dport 53 accept
    iifname . ip daddr @gateways tcp dport 53 accept
    iifname . ip daddr @gateways icmp type echo-request accept
{services}    tcp dport {port} ct status dnat accept
    drop
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname @guarded oifname != "pc*" drop
    iifname @taps oifname @taps accept
    iifname @taps ip daddr 169.254.0.0/16 drop
    iifname @taps oifname @uplinks accept
    iifname @taps drop
    oifname @taps iifname @uplinks ct state established,related accept
    oifname @taps drop
  }}
  chain masquerading {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname @uplinks ip saddr @guests masquerade
  }}"""
