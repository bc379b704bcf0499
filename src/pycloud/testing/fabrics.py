"""What every `Fabric` must do, checked on a real or simulated node."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network

from pycloud.errors import DriverError
from pycloud.ids import InstanceId
from pycloud.network.fabric import Fabric
from pycloud.network.records import Wire

SUBNET = IPv4Network("10.213.64.0/24")
"""The subnet that the checks use, and that the node must have free."""


def check_fabric(make: Callable[[], Fabric]) -> None:
    """Check the whole contract. Raises `AssertionError` saying what is broken.

    `make` returns a new driver, each time for the same cloud on the same node. The node must have
    no wires of that cloud, and `SUBNET` must be free; so it is again afterwards.

    >>> from pycloud.drivers.sim import SimFabric, SimHost
    >>> host = SimHost()
    >>> check_fabric(lambda: SimFabric(host))
    """
    _expect(make(), set(), "before anything was applied")
    try:
        for check in (
            _check_accepts_its_own_subnet,
            _check_applies,
            _check_applies_twice,
            _check_replaces,
            _check_gives_an_address_again,
            _check_is_remembered_by_the_node,
            _check_refuses_contradictions,
        ):
            check(make)
            make().apply([])
            _expect(make(), set(), "after nothing was applied")
        make().apply([])
        _expect(make(), set(), "after nothing was applied twice")
    finally:
        make().apply([])


def wire(number: int, *, address: int | None = None) -> Wire:
    """Return a wire of `SUBNET`: the one of instance `number`, 0 to 200."""
    place = SUBNET[4 + (number if address is None else address)]
    hostname = "ip-" + str(place).replace(".", "-")
    id_ = InstanceId(f"i-{number:012x}fab1c")
    return Wire(id=id_, address=place, subnet=SUBNET, gateway=SUBNET[1], hostname=hostname)


def _check_accepts_its_own_subnet(make: Callable[[], Fabric]) -> None:
    fabric = make()
    fabric.check(SUBNET)
    fabric.apply([wire(0)])
    fabric.check(SUBNET)
    make().check(SUBNET)


def _check_applies(make: Callable[[], Fabric]) -> None:
    fabric = make()
    for count in (1, 3, 2):
        fabric.apply([wire(number) for number in range(count)])
        _expect(fabric, set(range(count)), f"after {count} wires were applied")


def _check_applies_twice(make: Callable[[], Fabric]) -> None:
    fabric = make()
    for _ in range(2):
        fabric.apply([wire(0), wire(1)])
        _expect(fabric, {0, 1}, "after the same wires were applied again")
    fabric.apply([wire(1), wire(0)])
    _expect(fabric, {0, 1}, "after the same wires were applied in another order")


def _check_replaces(make: Callable[[], Fabric]) -> None:
    fabric = make()
    fabric.apply([wire(0), wire(1)])
    fabric.apply([wire(2), wire(3)])
    _expect(fabric, {2, 3}, "after other wires were applied")


def _check_gives_an_address_again(make: Callable[[], Fabric]) -> None:
    fabric = make()
    fabric.apply([wire(0)])
    fabric.apply([wire(1, address=0)])
    _expect(fabric, {1}, "after another instance got the address")


def _check_is_remembered_by_the_node(make: Callable[[], Fabric]) -> None:
    make().apply([wire(0), wire(1)])
    _expect(make(), {0, 1}, "seen by a new driver")
    make().apply([wire(1)])
    _expect(make(), {1}, "after a new driver had applied one wire less")


def _check_refuses_contradictions(make: Callable[[], Fabric]) -> None:
    fabric = make()
    fabric.apply([wire(0)])
    try:
        fabric.apply([wire(0), wire(1), wire(2, address=1)])
    except DriverError:
        pass
    else:
        raise AssertionError("two wires with one address must raise TryLater or Cannot")
    _expect(fabric, {0}, "after a contradiction was refused")


def _expect(fabric: Fabric, numbers: set[int], when: str) -> None:
    wanted, found = {wire(number).id for number in numbers}, set(fabric.found())
    assert found == wanted, f"{when}, found() must be {sorted(wanted)}, not {sorted(found)}"
