"""The values of the network room: subnets and wires."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import attrs

from pycloud.ids import InstanceId, InterfaceId


def mac_of(address: IPv4Address) -> str:
    """Return the MAC address of the guest that has `address`.

    It follows from the address (a locally administered prefix and the four bytes), so whoever gets
    an address next gets the same MAC: no DHCP lease and no neighbour entry can be stale.

    >>> mac_of(IPv4Address("10.11.0.5"))
    '0e:cd:0a:0b:00:05'
    """
    return f"0e:cd:{address.packed.hex(':')}"


def interface_of(instance: str) -> InterfaceId:
    """Return the id of an instance's network interface: there is one for each, so it follows from
    the instance's.

    >>> interface_of("i-1234567890abcdef0")
    'eni-1234567890abcdef0'
    """
    return InterfaceId(f"eni-{instance.partition('-')[2]}")


@attrs.frozen
class Wire:
    """One guest's network interface, as its node shall have it."""

    id: InstanceId
    address: IPv4Address
    subnet: IPv4Network
    gateway: IPv4Address
    hostname: str

    @property
    def mac(self) -> str:
        """The interface's MAC address, as `0e:cd:…`."""
        return mac_of(self.address)

    @property
    def device(self) -> str:
        """The name of the host's end: at most 15 bytes, guessable from the instance's id."""
        return "pc" + self.id.removeprefix("i-")[:12]
