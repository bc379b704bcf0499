"""Temporary credentials, and how they end."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest

from pycloud import limits
from pycloud.clock import ManualClock
from pycloud.errors import InvalidValue
from pycloud.identity.identity import Identity
from pycloud.identity.sealing import Seal
from pycloud.identity.sessions import Sessions
from pycloud.identity.users import User


def test_a_session_stands_for_its_user_in_every_process(
    identity: Identity, another: Identity, alice: User
) -> None:
    session = identity.sessions.create(alice)
    for one in (identity, another):
        found = one.find(session.access_key_id, session.token)
        assert found is not None
        assert (found.secret, found.user) == (session.secret, alice)
    assert session.access_key_id.startswith("ASIA")
    assert session.secret not in repr(session)
    assert session.token not in repr(session)


def test_a_session_ends_with_its_time(identity: Identity, alice: User, clock: ManualClock) -> None:
    clock.advance(seconds=0.75)  # an expiry is told in whole seconds, and is kept to
    session = identity.sessions.create(alice, duration_s=limits.SESSION_MIN_S)
    assert session.expires_at.microsecond == 0
    clock.advance(
        seconds=(session.expires_at - clock.now() - timedelta(milliseconds=1)).total_seconds()
    )
    assert identity.sessions.find(session.access_key_id, session.token) is not None
    clock.advance(seconds=0.001)
    assert identity.sessions.find(session.access_key_id, session.token) is None


def test_a_session_lasts_as_long_as_was_asked(identity: Identity, alice: User) -> None:
    now = identity.state.clock.now().replace(microsecond=0)
    assert identity.sessions.create(alice).expires_at - now == timedelta(hours=12)
    longest = identity.sessions.create(alice, duration_s=limits.SESSION_MAX_S)
    assert longest.expires_at - now == timedelta(hours=36)


def test_durations_that_are_not_allowed(identity: Identity, alice: User) -> None:
    for duration_s in (-1, 0, 899, 129_601, 10**12):
        with pytest.raises(InvalidValue, match=f"lasts 900 to 129600 s, not {duration_s}"):
            identity.sessions.create(alice, duration_s=duration_s)


def test_a_session_ends_with_its_user(identity: Identity, another: Identity, alice: User) -> None:
    session = identity.sessions.create(alice)
    identity.forget(alice)
    identity.users.create("alice")  # somebody else of that name
    assert another.find(session.access_key_id, session.token) is None


def test_a_changed_token_stands_for_nobody(identity: Identity, alice: User) -> None:
    session = identity.sessions.create(alice)
    token = base64.b64decode(session.token)
    for place in range(len(token)):
        changed = bytearray(token)
        changed[place] ^= 1
        text = base64.b64encode(changed).decode()
        assert identity.sessions.find(session.access_key_id, text) is None, place


def test_what_is_no_token_stands_for_nobody(identity: Identity, alice: User) -> None:
    session = identity.sessions.create(alice)
    for token in ("", "!", "AAAA", session.token[:8], "A" * 10_000, "ünlesbar", "QQ", "\0"):
        assert identity.find(session.access_key_id, token) is None


def test_key_and_token_belong_together(identity: Identity, alice: User) -> None:
    one, other = (identity.sessions.create(alice) for _ in range(2))
    assert identity.find(one.access_key_id, other.token) is None
    assert identity.find(one.access_key_id, None) is None
    lasting, _ = identity.access_keys.create(alice)
    assert identity.find(lasting.id, one.token) is None


def test_a_token_sealed_elsewhere_stands_for_nobody(identity: Identity, alice: User) -> None:
    foreign = Sessions(identity.state, Seal(bytes(31) + b"\1")).create(alice)
    assert identity.find(foreign.access_key_id, foreign.token) is None


def test_a_sealed_secret_is_no_token(identity: Identity, alice: User) -> None:
    # Whoever can write to the database has sealed values; none of them opens as a session.
    sealed = Seal(bytes(32)).close(b'["ASIA", "x", "AIDA", 99999999999]', "access key ASIA")
    assert identity.find("ASIA", base64.b64encode(sealed).decode()) is None
