"""One state in two processes, and an account besides the administrator's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pycloud.identity.accounts import AccountStore
from pycloud.ids import AccountId
from pycloud.state.database import Database


@pytest.fixture
def elsewhere(state: Database, make_state: Callable[[], Database]) -> Iterator[Database]:
    """The same state in another process."""
    with make_state() as other:
        other.clock = state.clock
        yield other


@pytest.fixture
def research(state: Database) -> AccountId:
    return AccountStore(state).create("research").id
