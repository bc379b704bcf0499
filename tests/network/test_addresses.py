"""Who has which address."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycloud.errors import InvalidValue, NoAddress
from pycloud.network.addresses import IPPool
from pycloud.network.records import mac_of
from pycloud.state.database import Database
from tests.races import meanwhile


def test_gives_each_holder_one_address_in_order(state: Database) -> None:
    pool = IPPool(state, "10.11.0.0/24")
    assert [str(pool.allocate(holder)) for holder in ("a", "b", "a")] == [
        "10.11.0.4",
        "10.11.0.5",
        "10.11.0.4",
    ]


def test_a_released_address_rests_while_others_can_be_had(state: Database) -> None:
    pool = IPPool(state, "10.11.0.0/28")
    everyone = [f"holder{n}" for n in range(pool.size)]
    held = {holder: pool.allocate(holder) for holder in everyone}
    for holder in ("holder7", "holder2"):
        pool.release(holder)
    assert [pool.allocate("x"), pool.allocate("y")] == [held["holder7"], held["holder2"]]


def test_an_exhausted_pool_says_so_and_gives_again_after_a_release(state: Database) -> None:
    pool = IPPool(state, "10.11.0.0/28")
    for n in range(11):
        pool.allocate(str(n))
    with pytest.raises(NoAddress, match=r"all 11 addresses of pool 'private' \(10.11.0.0/28\)"):
        pool.allocate("one more")
    pool.release("3")
    assert str(pool.allocate("one more")) == "10.11.0.7"


def test_a_large_pool_goes_beyond_its_first_rows(state: Database) -> None:
    pool = IPPool(state, "10.11.0.0/16")
    with state.transaction() as tx:
        given = [pool.take(tx, str(n)) for n in range(600)]
    assert len(set(given)) == 600
    assert given[-1] == IPv4Address("10.11.0.4") + 599


def test_many_at_once_never_get_the_same(make_state: Callable[[], Database]) -> None:
    def take(worker: int) -> list[IPv4Address]:
        with make_state() as state:
            pool = IPPool(state, "10.11.0.0/24")
            return [pool.allocate(f"{worker}-{n}") for n in range(12)]

    with make_state(), ThreadPoolExecutor(8) as workers:
        given = [address for batch in workers.map(take, range(8)) for address in batch]
    assert len(set(given)) == 96


def test_the_first_two_addresses_are_taken_at_once(state: Database) -> None:
    pool = IPPool(state, "10.11.0.0/24")
    second = meanwhile(state, lambda: pool.allocate("a"), lambda: pool.allocate("b"))
    assert str(second) == "10.11.0.5"


def test_the_last_address_is_found_by_as_many_as_there_are(
    make_state: Callable[[], Database],
) -> None:
    def take(worker: int) -> bool:
        with make_state() as state:
            try:
                IPPool(state, "10.11.0.0/28").allocate(str(worker))
            except NoAddress:
                return False
            return True

    with make_state(), ThreadPoolExecutor(8) as workers:
        assert sum(workers.map(take, range(16))) == 11


def test_two_pools_share_a_state(state: Database) -> None:
    private = IPPool(state, "10.11.0.0/24")
    public = IPPool(state, "203.0.113.0/28", name="public")
    assert (str(private.allocate("a")), str(public.allocate("a"))) == ("10.11.0.4", "203.0.113.4")
    assert private.held() == {IPv4Address("10.11.0.4"): "a"}


def test_a_pool_stays_the_network_it_was(state: Database) -> None:
    IPPool(state, "10.11.0.0/24").allocate("a")
    with pytest.raises(InvalidValue, match=r"is 10.11.0.0/24 in this state, not 10.12.0.0/24"):
        IPPool(state, "10.12.0.0/24").allocate("b")


@pytest.mark.parametrize(
    ("network", "complaint"),
    [
        ("10.11.0.5/24", "host bits set"),
        ("not a network", "not an IPv4 network"),
        ("10.0.0.0/8", "between /16 and /28"),
        ("10.0.0.0/30", "between /16 and /28"),
        ("127.0.0.0/24", "special-purpose"),
        ("169.254.0.0/16", "special-purpose"),
        ("fd00::/64", "not an IPv4 network"),
    ],
)
def test_what_is_no_network_for_guests_is_refused(
    state: Database, network: str, complaint: str
) -> None:
    with pytest.raises(InvalidValue, match=complaint):
        IPPool(state, network)


@given(st.sets(st.ip_addresses(v=4, network="10.0.0.0/8"), min_size=2))
def test_different_addresses_have_different_macs(addresses: set[IPv4Address]) -> None:
    macs = {mac_of(address) for address in addresses}
    assert len(macs) == len(addresses)
    # Locally administered, and not a group's.
    assert all(int(mac[:2], 16) & 0b11 == 0b10 for mac in macs)
