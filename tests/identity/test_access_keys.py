"""The keys with which users sign, and who may ever see their secrets."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select, update

from pycloud.errors import LimitExceeded, NotFound, StateError
from pycloud.identity.access_keys import AccessKeyStore
from pycloud.identity.identity import Identity
from pycloud.identity.sealing import Seal
from pycloud.identity.users import User
from pycloud.state.schema import access_keys, journal
from pycloud.state.sqlite import SQLiteState
from tests.races import meanwhile


def test_a_key_stands_for_its_user(identity: Identity, alice: User) -> None:
    key, secret = identity.access_keys.create(alice)
    found = identity.access_keys.find(key.id)
    assert found is not None
    assert (found.secret, found.user) == (secret, alice)
    assert identity.access_keys.secret(key.id) == secret
    assert key.id.startswith("AKIA")
    assert (len(key.id), len(secret)) == (20, 40)
    assert secret not in repr(found)


def test_what_is_no_key_stands_for_nobody(identity: Identity) -> None:
    for key in ("", "AKIAAAAAAAAAAAAAAAAA", "ü", "\0", "\ud800", "x" * 10_000):
        assert identity.access_keys.find(key) is None


def test_a_user_has_two_keys(identity: Identity, alice: User) -> None:
    keys = [identity.access_keys.create(alice)[0] for _ in range(2)]
    with pytest.raises(LimitExceeded, match="user 'alice' has 2 access keys already"):
        identity.access_keys.create(alice)
    assert sorted(one.id for one in identity.access_keys.list(alice)) == sorted(
        one.id for one in keys
    )
    identity.access_keys.create(identity.users.get("admin"))


def test_two_who_make_the_second_key_at_once_make_one(
    identity: Identity, another: Identity, alice: User
) -> None:
    identity.access_keys.create(alice)
    with pytest.raises(LimitExceeded):
        meanwhile(
            identity.state,
            lambda: identity.access_keys.create(alice),
            lambda: another.access_keys.create(alice),
        )
    assert len(identity.access_keys.list(alice)) == 2


def test_a_key_that_is_switched_off_is_unknown_at_once(
    identity: Identity, another: Identity, alice: User
) -> None:
    key, _ = identity.access_keys.create(alice)
    assert another.access_keys.find(key.id) is not None
    identity.access_keys.set_active(alice, key.id, is_active=False)
    assert another.access_keys.find(key.id) is None
    assert [one.is_active for one in identity.access_keys.list(alice)] == [False]
    identity.access_keys.set_active(alice, key.id, is_active=True)
    assert another.access_keys.find(key.id) is not None


def test_a_deleted_key_is_unknown_at_once(
    identity: Identity, another: Identity, alice: User
) -> None:
    key, _ = identity.access_keys.create(alice)
    assert another.access_keys.find(key.id) is not None
    identity.access_keys.delete(alice, key.id)
    assert another.access_keys.find(key.id) is None
    for call in (identity.access_keys.secret, lambda id_: identity.access_keys.delete(alice, id_)):
        with pytest.raises(NotFound, match=f"no access key '{key.id}'"):
            call(key.id)


def test_the_key_of_a_deleted_user_is_unknown_at_once(
    identity: Identity, another: Identity, alice: User
) -> None:
    key, _ = identity.access_keys.create(alice)
    assert another.access_keys.find(key.id) is not None
    identity.forget(alice)
    assert another.access_keys.find(key.id) is None
    with pytest.raises(NotFound, match="no user 'alice'"):
        identity.access_keys.create(alice)


def test_one_user_does_not_touch_anothers_key(identity: Identity, alice: User) -> None:
    key, _ = identity.access_keys.create(alice)
    admin = identity.users.get("admin")
    with pytest.raises(NotFound):
        identity.access_keys.set_active(admin, key.id, is_active=False)
    with pytest.raises(NotFound):
        identity.access_keys.delete(admin, key.id)
    assert identity.access_keys.find(key.id) is not None


# Secrets


def test_no_secret_is_in_the_database_in_clear(tmp_path: Path) -> None:
    with SQLiteState(tmp_path / "cloud.db") as state:
        identity = Identity(state, Seal(bytes(32)))
        admin = identity.users.get("admin")
        _, secret = identity.access_keys.create(admin)
        private_key = identity.certificates.create(admin)[1]
        identity.certificates.cloud()
        session = identity.sessions.create(admin)
        identity.credentials_zip()
        with state.reading() as tx:
            told = repr(tx.execute(select(journal)).all())
        written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {"cloud.db", "cloud.db-wal"} <= set(written), "what is written is looked at"
    written["journal"] = told.encode()
    lines = private_key.splitlines()[1:3]
    for name, content in written.items():
        for clear in (secret, session.secret, session.token, "PRIVATE KEY", *lines):
            assert clear.encode() not in content, f"{clear} is in {name}"


def test_another_seal_is_named_as_such(identity: Identity, alice: User, tmp_path: Path) -> None:
    key, _ = identity.access_keys.create(alice)
    other = AccessKeyStore(identity.state, Seal.from_file(tmp_path / "other.key"))
    for call in (other.find, other.secret):
        with pytest.raises(StateError, match=f"{key.id} was sealed with another key than .*other"):
            call(key.id)


def test_a_sealed_secret_opens_only_where_it_belongs(identity: Identity, alice: User) -> None:
    first, _ = identity.access_keys.create(alice)
    second, _ = identity.access_keys.create(alice)
    with identity.state.transaction() as tx:
        sealed = select(access_keys.c.sealed).where(access_keys.c.id == first.id)
        moved = tx.execute(sealed).scalar_one()
        tx.execute(update(access_keys).where(access_keys.c.id == second.id).values(sealed=moved))
    assert identity.access_keys.find(first.id) is not None
    with pytest.raises(StateError, match=f"secret of access key {second.id} was changed or moved"):
        identity.access_keys.find(second.id)
