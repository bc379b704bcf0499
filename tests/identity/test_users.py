"""Who acts for an account."""

from __future__ import annotations

import pytest

from pycloud.errors import Duplicate, InUse, InvalidValue, NotFound
from pycloud.identity.accounts import Account
from pycloud.identity.identity import Identity
from pycloud.identity.users import User
from pycloud.ids import AccountId
from tests.races import meanwhile


def test_a_user_is_found_by_name_in_its_account(
    identity: Identity, research: Account, alice: User
) -> None:
    namesake = identity.users.create("alice", path="/lab/", account=research.id)
    assert identity.users.get("alice") == alice
    assert identity.users.get("alice", account=research.id) == namesake != alice
    assert alice.arn == "arn:aws:iam::000000000001:user/alice"
    assert namesake.arn == f"arn:aws:iam::{research.id}:user/lab/alice"
    with pytest.raises(NotFound, match="no user 'bob'"):
        identity.users.get("bob")


def test_ids_are_of_iams_form(alice: User) -> None:
    assert alice.id.startswith("AIDA")
    assert len(alice.id) == 21


def test_names_and_paths_that_are_not_allowed(identity: Identity) -> None:
    for name in ("", "x" * 65, "a b", "a/b", "größe", "a\n", "a:b", "a*", "\0"):
        with pytest.raises(InvalidValue, match="cannot name a user: 1 to 64"):
            identity.users.create(name)
    for path in ("", "lab", "/lab", "lab/", "/la b/", "/ü/", "/" + "x" * 511 + "/"):
        with pytest.raises(InvalidValue, match="path begins and ends with a slash"):
            identity.users.create("bob", path=path)


def test_names_that_are_allowed(identity: Identity) -> None:
    for name in ("x" * 64, "a_b+c=d,e.f@g-h", "..", "0"):
        assert identity.users.create(name) == identity.users.get(name)


def test_a_name_is_taken_once(identity: Identity, alice: User) -> None:
    with pytest.raises(Duplicate, match="there is a user 'alice' already"):
        identity.users.create(alice.name)


def test_users_are_listed_by_name_and_path(identity: Identity, alice: User) -> None:
    identity.users.create("bob", path="/lab/optics/")
    assert [one.name for one in identity.users.list()] == ["admin", "alice", "bob"]
    assert [one.name for one in identity.users.list(path_prefix="/lab/")] == ["bob"]


def test_an_account_that_is_not_there_has_no_users(identity: Identity) -> None:
    nobodys = AccountId("123456789012")
    for call in (identity.users.get, identity.users.create):
        with pytest.raises(NotFound, match="no account '123456789012'"):
            call("admin", account=nobodys)
    with pytest.raises(NotFound, match="no account"):
        identity.users.list(account=nobodys)


def test_admin_is_there_from_the_beginning_and_once(
    identity: Identity, another: Identity, research: Account
) -> None:
    made: list[User] = []
    found = meanwhile(
        identity.state,
        lambda: made.append(identity.users.get("admin", account=research.id)),
        lambda: another.users.get("admin", account=research.id),
    )
    assert [found] == made == identity.users.list(account=research.id)


def test_admin_stays(identity: Identity) -> None:
    with pytest.raises(InvalidValue, match="the user admin belongs to the account"):
        identity.users.delete("admin")


def test_a_user_with_keys_or_certificates_stays(identity: Identity, alice: User) -> None:
    key, _ = identity.access_keys.create(alice)
    with pytest.raises(InUse, match="user 'alice' still has access keys"):
        identity.users.delete("alice")
    identity.access_keys.delete(alice, key.id)
    certificate, _ = identity.certificates.create(alice)
    with pytest.raises(InUse, match="user 'alice' still has certificates"):
        identity.users.delete("alice")
    identity.certificates.delete(alice, certificate.id)
    identity.users.delete("alice")
    with pytest.raises(NotFound):
        identity.users.delete("alice")


def test_a_user_is_not_deleted_from_under_a_new_key(
    identity: Identity, another: Identity, alice: User
) -> None:
    with pytest.raises(InUse):
        meanwhile(
            identity.state,
            lambda: identity.access_keys.create(alice),
            lambda: another.users.delete("alice"),
        )
    assert len(identity.access_keys.list(alice)) == 1


def test_a_deleted_user_gets_no_key(identity: Identity, another: Identity, alice: User) -> None:
    with pytest.raises(NotFound, match="no user 'alice'"):
        meanwhile(
            identity.state,
            lambda: identity.users.delete("alice"),
            lambda: another.access_keys.create(alice),
        )
