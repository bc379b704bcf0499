"""The conformance checks of the `Hypervisor` contract: what pycloud relies on, for any driver."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from ipaddress import IPv4Network

import attrs

from pycloud.compute.hypervisor import Domain, FoundDomain, Hypervisor, Power
from pycloud.drivers.sim import SimBlocks, SimFabric, SimHost
from pycloud.ids import DiskId, InstanceId
from pycloud.network.records import Wire
from pycloud.storage.records import Disk

_LIMIT_S = 30


def check_hypervisor(make: Callable[[], Hypervisor], domain: Domain) -> None:
    """Call the drivers that `make` gives through a guest's life; raises `AssertionError` where one
    breaks the contract.

    All of them must stand on one host, and know no domain `domain.id` at first. `domain` is one
    that can be started: on, of boot 1, with its disk and device in place. Whatever happens, it is
    removed in the end.

    >>> from pycloud.drivers.sim import SimHost, SimHypervisor
    >>> from pycloud.testing.hypervisors import check_hypervisor, sim_domain
    >>> host = SimHost()
    >>> check_hypervisor(lambda: SimHypervisor(host), sim_domain(host))
    """
    try:
        _check_start(make, domain)
        _check_restart(make, domain)
        _check_end(make, domain)
    finally:
        make().remove(domain.id)
    assert domain.id not in make().found().domains, "what was removed is still found"
    assert make().console(domain.id) == b"", "the console of a removed domain is still there"
    make().remove(domain.id)


def sim_domain(host: SimHost) -> Domain:
    """Return a domain that starts on a simulated host, with its wire and disk there."""
    id_ = InstanceId("i-0123456789abcdef0")
    network = IPv4Network("10.11.0.0/24")
    wire = Wire(id_, network[4], network, network[1], "guest")
    SimFabric(host).apply([wire])
    disk = SimBlocks(host).ensure(Disk(DiskId(id_), 1), lambda _: io.BytesIO())
    return Domain(id_, 1, Power.ON, False, 1, 64, disk, None, None, "", wire.device, wire.mac)


def _check_start(make: Callable[[], Hypervisor], domain: Domain) -> None:
    host = make().found()
    assert domain.id not in host.domains, "the domain is there before it was made"
    assert host.cpus > 0, "a host has cores"
    assert host.memory_mib > 0, "a host has memory"
    off = attrs.evolve(domain, power=Power.OFF)
    make().ensure(off)
    assert _power(make, domain) is not Power.ON, "a domain that shall be off was started"
    make().ensure(domain)
    assert _found(make, domain).power is Power.ON, "ensure(on) returned before the domain was on"
    assert _found(make, domain).boot == 1, "the boot is not the one asked for"
    make().ensure(domain)
    assert _found(make, domain).boot == 1, "ensuring twice is not ensuring once"


def _check_restart(make: Callable[[], Hypervisor], domain: Domain) -> None:
    again = attrs.evolve(domain, boot=2, force=True)
    _until(make, again, lambda: _found(make, domain).boot == 2)
    assert _found(make, domain).power is Power.ON, "a restarted domain is not on"


def _check_end(make: Callable[[], Hypervisor], domain: Domain) -> None:
    off = attrs.evolve(domain, boot=2, power=Power.OFF, force=True)
    _until(make, off, lambda: _power(make, domain) is Power.OFF)
    found = _found(make, domain)
    assert found.off_reason is not None, "a domain that is off has a reason"
    assert found.boot == 2, "a domain that is off has forgotten its boot"
    make().ensure(attrs.evolve(domain, boot=2))
    assert _power(make, domain) is Power.OFF, "a domain that had ended with this boot was started"
    make().ensure(attrs.evolve(domain, boot=3))
    assert _found(make, domain).boot == 3, "a newer boot was not started"


def _until(make: Callable[[], Hypervisor], domain: Domain, is_so: Callable[[], bool]) -> None:
    """Ensure again and again, as the loop does."""
    deadline = time.monotonic() + _LIMIT_S
    while True:
        make().ensure(domain)
        if is_so():
            return
        assert time.monotonic() < deadline, f"{domain} did not come about within {_LIMIT_S} s"


def _found(make: Callable[[], Hypervisor], domain: Domain) -> FoundDomain:
    found = make().found().domains.get(domain.id)
    assert found is not None, "a domain that was made is not found by another driver"
    return found


def _power(make: Callable[[], Hypervisor], domain: Domain) -> Power | None:
    found = make().found().domains.get(domain.id)
    return None if found is None else found.power
