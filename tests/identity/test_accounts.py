"""Accounts, and when they may go."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Boolean, Integer, LargeBinary, Table, select

from pycloud.compute.keypairs import KeyPairStore
from pycloud.compute.launch_templates import LaunchTemplates
from pycloud.compute.placement_groups import PlacementGroups
from pycloud.errors import Duplicate, InUse, InvalidValue, NotFound
from pycloud.identity.accounts import Account, AccountStore
from pycloud.identity.identity import Identity
from pycloud.ids import ADMIN_ACCOUNT, AccountId
from pycloud.network.addresses import IPPool
from pycloud.network.elastic import ElasticAddresses
from pycloud.network.groups import SecurityGroups
from pycloud.network.vpcs import VPCStore
from pycloud.state.columns import Instant
from pycloud.state.database import Database
from pycloud.state.schema import metadata
from pycloud.state.transaction import Transaction
from tests.identity.conftest import SEAL
from tests.races import meanwhile

OWNED = [table.name for table in metadata.sorted_tables if "account" in table.c]


def test_accounts_have_numbers_of_12_digits(identity: Identity) -> None:
    made = [identity.accounts.create(f"account{n}") for n in range(20)]
    assert all(len(one.id) == 12 and one.id.isdigit() and one.id[0] != "0" for one in made)
    assert len({one.id for one in made}) == 20


def test_an_account_is_found_by_its_name_and_number(identity: Identity, research: Account) -> None:
    assert identity.accounts.get("research") == identity.accounts.get(research.id) == research
    assert {one.name for one in identity.accounts.list()} == {"admin", "research"}
    with pytest.raises(NotFound, match="no account 'nobody'"):
        identity.accounts.get("nobody")


def test_names_that_are_not_allowed(identity: Identity) -> None:
    for name in (
        *("", "ab", "x" * 64, "Research", "-research", "research-", "re search", "größe", "a\nb"),
        # What looks like a number might be taken for another account.
        *("000000000001", "123456789012", "１２３"),
    ):
        with pytest.raises(InvalidValue, match="cannot name an account: 3 to 63"):
            identity.accounts.create(name)
    assert len(identity.accounts.list()) == 1


def test_names_that_are_allowed(identity: Identity) -> None:
    for name in ("abc", "x" * 63, "12345678901", "1234567890123", "a-1"):
        assert identity.accounts.create(name) == identity.accounts.get(name)


def test_a_name_is_taken_once(identity: Identity, research: Account) -> None:
    with pytest.raises(Duplicate, match="there is an account 'research' already"):
        identity.accounts.create(research.name)


# Deleting


def test_an_empty_account_goes_with_its_admin(identity: Identity, research: Account) -> None:
    identity.users.get("admin", account=research.id)
    identity.accounts.delete(research.id)
    with pytest.raises(NotFound):
        identity.accounts.get("research")
    with pytest.raises(NotFound):
        identity.users.get("admin", account=research.id)
    assert identity.accounts.create("research").id != research.id


def test_the_administrators_account_stays(identity: Identity) -> None:
    with pytest.raises(InvalidValue, match="administrator's account can't be deleted"):
        identity.accounts.delete(ADMIN_ACCOUNT)


def test_what_is_not_there_cannot_be_deleted(identity: Identity) -> None:
    with pytest.raises(NotFound, match="no account '123456789012'"):
        identity.accounts.delete(AccountId("123456789012"))


def test_whatever_an_account_has_keeps_it(identity: Identity, research: Account) -> None:
    owned = [name for name in OWNED if name != "users"]
    assert {"instances", "key_pairs", "buckets"} <= set(owned)
    for name in owned:
        people_say = "instances" if name == "reservations" else name.replace("_", " ")
        complaint = f"account {research.id} still has {people_say}.*: delete them"
        with pytest.raises(InUse, match=complaint):
            _delete_with(identity, name, research.id)
    identity.accounts.delete(research.id)  # with the refusals, what was added is gone


def test_users_and_what_they_prove_themselves_with_keep_an_account(
    identity: Identity, research: Account
) -> None:
    admin = identity.users.get("admin", account=research.id)
    identity.users.create("bob", account=research.id)
    with pytest.raises(InUse, match="still has the user 'bob'"):
        identity.accounts.delete(research.id)
    identity.users.delete("bob", account=research.id)
    key, _ = identity.access_keys.create(admin)
    with pytest.raises(InUse, match="still has access keys"):
        identity.accounts.delete(research.id)
    identity.access_keys.delete(admin, key.id)
    identity.certificates.create(admin)
    with pytest.raises(InUse, match="still has certificates"):
        identity.accounts.delete(research.id)
    identity.forget(admin)
    identity.accounts.delete(research.id)


def _delete_with(identity: Identity, owned: str, account: AccountId) -> None:
    with identity.state.transaction() as tx:
        _add_row(tx, metadata.tables[owned], account)
        identity.accounts.delete(account)


def _add_row(tx: Transaction, table: Table, account: AccountId) -> dict[str, Any]:
    """Add any row that is the account's; what it stands on is the administrator's."""
    row: dict[str, Any] = {}
    for column in table.c:
        if column.name == "account":
            row[column.name] = account
        elif column.nullable:
            row[column.name] = None
        elif column.foreign_keys:
            [key] = column.foreign_keys
            parent = _add_row(tx, key.column.table, ADMIN_ACCOUNT)
            row[column.name] = parent[key.column.name]
        elif isinstance(column.type, Instant):
            row[column.name] = tx.now
        elif isinstance(column.type, Boolean | Integer):
            row[column.name] = 1 if isinstance(column.type, Integer) else True
        else:
            row[column.name] = b"x" if isinstance(column.type, LargeBinary) else "x"
    tx.execute(table.insert().values(row))
    return row


# Giving it something in the same moment

Give = Callable[[Database, AccountId], object]


def _groups(state: Database) -> SecurityGroups:
    return SecurityGroups(state, VPCStore(state, "10.11.0.0/24"))


def _addresses(state: Database) -> ElasticAddresses:
    return ElasticAddresses(state, IPPool(state, "203.0.113.0/28", name="public"))


def _give_key(state: Database, account: AccountId) -> None:
    identity = Identity(state, SEAL)
    identity.access_keys.create(identity.users.get("admin", account=account))


GIFTS: list[Give] = [
    _give_key,
    lambda state, who: Identity(state, SEAL).users.create("bob", account=who),
    lambda state, who: KeyPairStore(state).create("key", account=who),
    lambda state, who: _groups(state).create("web", "", account=who),
    lambda state, who: VPCStore(state, "10.11.0.0/24").default(account=who),
    lambda state, who: LaunchTemplates(state).create("web", {}, account=who),
    lambda state, who: _addresses(state).allocate(account=who),
    lambda state, who: PlacementGroups(state).create("pg", "spread", account=who),
]


@pytest.fixture
def elsewhere(another: Identity) -> Database:
    return another.state


def test_what_was_given_a_moment_before_keeps_the_account(
    identity: Identity, elsewhere: Database
) -> None:
    for number, give in enumerate(GIFTS):
        account = identity.accounts.create(f"research{number}").id
        identity.users.get("admin", account=account)
        with pytest.raises(InUse):
            meanwhile(
                identity.state,
                partial(give, identity.state, account),
                partial(AccountStore(elsewhere).delete, account),
            )
        assert identity.accounts.get(account).id == account


def test_nobody_gives_a_deleted_account_anything(identity: Identity, elsewhere: Database) -> None:
    for number, give in enumerate(GIFTS):
        account = identity.accounts.create(f"research{number}").id
        identity.users.get("admin", account=account)
        with pytest.raises(NotFound):
            meanwhile(
                identity.state,
                partial(identity.accounts.delete, account),
                partial(give, elsewhere, account),
            )
        with identity.state.reading() as tx:
            for name in OWNED:
                owned = metadata.tables[name].c.account
                assert tx.execute(select(owned).where(owned == account)).first() is None, name
