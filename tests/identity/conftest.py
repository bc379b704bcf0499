"""Accounts and users on each database, sealed with a key of zeros."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pycloud.clock import ManualClock
from pycloud.identity.accounts import Account
from pycloud.identity.identity import Identity
from pycloud.identity.sealing import Seal
from pycloud.identity.users import User
from pycloud.state.database import Database

SEAL = Seal(bytes(32))


@pytest.fixture
def clock(state: Database) -> ManualClock:
    assert isinstance(state.clock, ManualClock)
    return state.clock


@pytest.fixture
def identity(state: Database) -> Identity:
    return Identity(state, SEAL)


@pytest.fixture
def another(state: Database, make_state: Callable[[], Database]) -> Iterator[Identity]:
    """The same accounts and users, in another process."""
    with make_state() as other:
        other.clock = state.clock
        yield Identity(other, SEAL)


@pytest.fixture
def alice(identity: Identity) -> User:
    return identity.users.create("alice")


@pytest.fixture
def research(identity: Identity) -> Account:
    return identity.accounts.create("research")
