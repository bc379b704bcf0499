"""Each account has one VPC, and a subnet of it in each zone."""

from __future__ import annotations

import pytest

from pycloud.errors import NotFound
from pycloud.ids import ADMIN_ACCOUNT, AccountId
from pycloud.network.vpcs import VPC, VPCStore
from pycloud.state.database import Database
from tests.races import meanwhile

NETWORK = "10.11.0.0/24"


def test_each_account_has_its_own(state: Database, research: AccountId) -> None:
    vpcs = VPCStore(state, NETWORK)
    mine, theirs = vpcs.default(), vpcs.default(account=research)
    assert mine.id != theirs.id
    assert (mine.account, theirs.account) == (ADMIN_ACCOUNT, research)
    assert mine.cidr == theirs.cidr == NETWORK
    assert vpcs.default() == mine


def test_only_those_are_told_of_that_there_are(state: Database, research: AccountId) -> None:
    vpcs = VPCStore(state, NETWORK)
    mine = vpcs.default()
    with state.reading() as tx:
        assert vpcs.of(tx, [ADMIN_ACCOUNT, research]) == {ADMIN_ACCOUNT: mine}
        assert vpcs.of(tx, []) == {}


def test_all_that_there_are_are_listed(state: Database, research: AccountId) -> None:
    vpcs = VPCStore(state, NETWORK)
    assert vpcs.list(account=None) == []
    mine = vpcs.list()
    assert vpcs.list(account=None) == mine == [vpcs.default()]
    theirs = vpcs.list(account=research)
    assert {one.id for one in vpcs.list(account=None)} == {one.id for one in mine + theirs}


def test_subnets_follow_from_the_vpc_and_the_zone(state: Database, research: AccountId) -> None:
    vpcs = VPCStore(state, NETWORK)
    subnet = vpcs.default().subnet("cluster01")
    assert subnet == vpcs.default().subnet("cluster01")
    assert subnet.id.startswith("subnet-")
    assert len(subnet.id) == len("subnet-") + 17
    others = [
        vpcs.default().subnet("cluster02"),
        vpcs.default(account=research).subnet("cluster01"),
    ]
    assert subnet.id not in {one.id for one in others}


def test_two_who_need_it_at_once_make_one(state: Database, elsewhere: Database) -> None:
    made: list[VPC] = []
    found = meanwhile(
        state,
        lambda: made.append(VPCStore(state, NETWORK).default()),
        VPCStore(elsewhere, NETWORK).default,
    )
    assert [found] == made


def test_an_account_that_is_not_there_has_none(state: Database) -> None:
    with pytest.raises(NotFound, match="no account '123456789012'"):
        VPCStore(state, NETWORK).default(account=AccountId("123456789012"))
