"""Public addresses, and which instance they lead to."""

from __future__ import annotations

import pytest

from pycloud import limits
from pycloud.errors import InUse, LimitExceeded, NoAddress, NotFound
from pycloud.ids import AccountId, AllocationId, InstanceId
from pycloud.network.addresses import IPPool
from pycloud.network.elastic import ElasticAddress, ElasticAddresses
from pycloud.state.database import Database
from tests.races import meanwhile

I1, I2 = InstanceId("i-1"), InstanceId("i-2")


def _elastic(state: Database) -> ElasticAddresses:
    return ElasticAddresses(state, IPPool(state, "203.0.113.0/28", name="public"))


@pytest.fixture
def elastic(state: Database) -> ElasticAddresses:
    return _elastic(state)


def _leads(elastic: ElasticAddresses) -> dict[AllocationId, InstanceId]:
    found = {one.id: one.instance_id for one in elastic.list(account=None)}
    return {id_: instance for id_, instance in found.items() if instance is not None}


def test_addresses_belong_to_accounts(elastic: ElasticAddresses, research: AccountId) -> None:
    mine, theirs = elastic.allocate(), elastic.allocate(account=research)
    assert elastic.list() == [mine]
    assert elastic.list(account=research) == [theirs]
    assert {one.id for one in elastic.list(account=None)} == {mine.id, theirs.id}
    assert elastic.pool.held() == {mine.address: mine.id, theirs.address: theirs.id}


def test_what_is_not_the_accounts_is_not_there(
    elastic: ElasticAddresses, research: AccountId
) -> None:
    mine = elastic.allocate()
    for id_, account in ((mine.id, research), (AllocationId("eipalloc-1"), mine.account)):
        with pytest.raises(NotFound, match=f"no allocation '{id_}'"):
            elastic.associate(id_, I1, account=account)
        with pytest.raises(NotFound):
            elastic.disassociate(id_, account=account)
        with pytest.raises(NotFound):
            elastic.release(id_, account=account)
    with pytest.raises(NotFound, match="no account"):
        elastic.allocate(account=AccountId("123456789012"))


def test_an_address_leads_to_one_instance_and_moves(elastic: ElasticAddresses) -> None:
    address = elastic.allocate()
    first = elastic.associate(address.id, I1)
    assert elastic.associate(address.id, I1, reassociate=False) == first
    assert elastic.list() == [first]
    with pytest.raises(InUse, match=f"{address.address} is associated with i-1 already"):
        elastic.associate(address.id, I2, reassociate=False)
    moved = elastic.associate(address.id, I2)
    assert moved.association_id not in (None, first.association_id)
    assert _leads(elastic) == {address.id: I2}


def test_an_instance_has_one_address(elastic: ElasticAddresses) -> None:
    one, other = elastic.allocate(), elastic.allocate()
    elastic.associate(one.id, I1)
    elastic.associate(other.id, I1)
    assert _leads(elastic) == {other.id: I1}
    with elastic.state.reading() as tx:
        found = elastic.of(tx, [I1, I2])
    assert {instance: address.id for instance, address in found.items()} == {I1: other.id}


def test_an_address_is_released_once_it_leads_nowhere(elastic: ElasticAddresses) -> None:
    address = elastic.allocate()
    elastic.associate(address.id, I1)
    with pytest.raises(InUse, match=f"{address.address} is associated with i-1"):
        elastic.release(address.id)
    elastic.disassociate(address.id)
    elastic.disassociate(address.id)  # it leads nowhere already
    elastic.release(address.id)
    assert elastic.list() == []
    assert elastic.pool.held() == {}
    with pytest.raises(NotFound):
        elastic.release(address.id)


def test_an_instance_that_ends_frees_its_address(elastic: ElasticAddresses) -> None:
    kept, freed = elastic.allocate(), elastic.allocate()
    elastic.associate(kept.id, I1)
    elastic.associate(freed.id, I2)
    with elastic.state.transaction() as tx:
        elastic.forget(tx, I2)
    assert _leads(elastic) == {kept.id: I1}


def test_the_last_address_is_had_once(elastic: ElasticAddresses, elsewhere: Database) -> None:
    held = [elastic.allocate() for _ in range(elastic.pool.size - 1)]
    with pytest.raises(NoAddress, match="all 11 addresses of pool 'public'"):
        meanwhile(elastic.state, elastic.allocate, _elastic(elsewhere).allocate)
    assert len(elastic.list()) == len(elastic.pool.held()) == 11
    elastic.release(held[3].id)
    assert elastic.allocate().address == held[3].address


def test_an_account_has_so_many(
    elastic: ElasticAddresses, research: AccountId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ELASTIC_ADDRESSES", 2)
    for _ in range(2):
        elastic.allocate()
    with pytest.raises(LimitExceeded, match="at most 2 elastic addresses"):
        elastic.allocate()
    elastic.allocate(account=research)


# At once


def test_two_at_once_do_not_pass_the_limit(
    elastic: ElasticAddresses, elsewhere: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ELASTIC_ADDRESSES", 2)
    elastic.allocate()
    with pytest.raises(LimitExceeded):
        meanwhile(elastic.state, elastic.allocate, _elastic(elsewhere).allocate)
    assert len(elastic.list()) == 2


def test_two_who_lead_one_address_at_once_are_one_after_the_other(
    elastic: ElasticAddresses, elsewhere: Database
) -> None:
    address = elastic.allocate()
    with pytest.raises(InUse, match="associated with i-1 already"):
        meanwhile(
            elastic.state,
            lambda: elastic.associate(address.id, I1),
            lambda: _elastic(elsewhere).associate(address.id, I2, reassociate=False),
        )
    assert _leads(elastic) == {address.id: I1}
    meanwhile(
        elastic.state,
        lambda: elastic.associate(address.id, I1),
        lambda: _elastic(elsewhere).associate(address.id, I2),
    )
    assert _leads(elastic) == {address.id: I2}


def test_two_who_lead_addresses_to_one_instance_at_once_leave_it_one(
    elastic: ElasticAddresses, elsewhere: Database
) -> None:
    one, other = elastic.allocate(), elastic.allocate()
    last: ElasticAddress = meanwhile(
        elastic.state,
        lambda: elastic.associate(one.id, I1),
        lambda: _elastic(elsewhere).associate(other.id, I1),
    )
    assert _leads(elastic) == {last.id: I1} == {other.id: I1}


def test_an_address_is_not_released_while_it_is_being_led(
    elastic: ElasticAddresses, elsewhere: Database
) -> None:
    address = elastic.allocate()
    with pytest.raises(InUse):
        meanwhile(
            elastic.state,
            lambda: elastic.associate(address.id, I1),
            lambda: _elastic(elsewhere).release(address.id),
        )
    elastic.disassociate(address.id)
    with pytest.raises(NotFound):
        meanwhile(
            elastic.state,
            lambda: elastic.release(address.id),
            lambda: _elastic(elsewhere).associate(address.id, I1),
        )
