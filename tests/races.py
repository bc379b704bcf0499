"""What happens when two decide at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from sqlalchemy import text

from pycloud.state.database import Database
from pycloud.state.sqlite import SQLiteState

_WAIT_S = 20
_WAITING = text(
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND wait_event_type = 'Lock'"
)

Result = TypeVar("Result")


def meanwhile(
    state: Database,
    first: Callable[[], object],
    second: Callable[[], Result],
    *,
    then: Callable[[], object] = lambda: None,
) -> Result:
    """Do `first` and `then` in a transaction, and begin `second` between them in another thread.
    Returns what `second` does, or raises what it raises.
    """
    with ThreadPoolExecutor(1) as other:
        with state.transaction():
            first()
            result = other.submit(second)
            _wait_until_it_waits(state, result)
            then()
        return result.result(_WAIT_S)


def _wait_until_it_waits(state: Database, result: Future[Any]) -> None:
    """Return when `result` waits for a lock, or is there. SQLite has one writer: whoever else
    wants to write waits by itself.
    """
    if isinstance(state, SQLiteState):
        return
    deadline = time.monotonic() + _WAIT_S
    with state.engine.connect() as connection:
        while not result.done() and not connection.execute(_WAITING).scalar_one():
            connection.rollback()
            assert time.monotonic() < deadline, "it neither waits nor ends"
            wait([result], timeout=0.005)
