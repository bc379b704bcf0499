"""What both databases guarantee."""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select, text, update

from pycloud.compute.nodes import NodeStore
from pycloud.compute.records import NodeRoom
from pycloud.errors import InvalidValue, SchemaTooNew, StateError
from pycloud.ids import NodeName
from pycloud.state.database import Database
from pycloud.state.postgres import PostgresState
from pycloud.state.schema import accounts, journal, metadata, nodes, pools
from pycloud.state.sqlite import SQLiteState
from pycloud.state.transaction import Transaction, horizon, stamp

WAIT_S = 20


def test_the_migrations_lead_to_the_schema(state: Database) -> None:
    with state.engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []


def test_the_administrators_account_is_there(state: Database) -> None:
    with state.reading() as tx:
        [account] = tx.execute(select(accounts))
        assert (account.id, account.name) == ("000000000001", "admin")


def test_a_failed_transaction_leaves_nothing(state: Database) -> None:
    def fail() -> None:
        with state.transaction() as tx:
            tx.record("test", "subject")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with state.reading() as tx:
        assert tx.execute(select(journal)).all() == []


def test_a_transaction_within_another_is_part_of_it(state: Database) -> None:
    def fail() -> None:
        with state.transaction() as outer:
            with state.transaction() as inner, state.reading() as tx:
                inner.record("test", "subject")
                assert len(tx.execute(select(journal)).all()) == 1
            assert inner is outer
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    with state.transaction() as tx:
        assert tx.execute(select(journal)).all() == []


def test_a_part_that_failed_fails_the_whole(state: Database) -> None:
    def swallow() -> None:
        with state.transaction(), contextlib.suppress(LookupError), state.transaction() as inner:
            inner.record("test", "subject")
            raise LookupError

    with pytest.raises(RuntimeError, match="let its error pass"):
        swallow()
    with state.reading() as tx:
        assert tx.execute(select(journal)).all() == []


def test_a_reader_sees_one_moment(make_state: Callable[[], Database]) -> None:
    with make_state() as writer, make_state() as reader:
        with reader.reading() as tx:
            before = tx.execute(select(journal)).all()
            with writer.transaction() as other:
                other.record("test", "subject")
            assert tx.execute(select(journal)).all() == before == []
        with reader.reading() as tx:
            assert len(tx.execute(select(journal)).all()) == 1


def test_no_update_is_lost_between_threads(make_state: Callable[[], Database]) -> None:
    def count(times: int) -> None:
        with make_state() as state:
            for _ in range(times):
                with state.transaction() as tx:
                    query = select(pools.c.prepared)
                    value = tx.execute(tx.locked(query)).scalar_one()
                    tx.execute(update(pools).values(prepared=value + 1))

    with make_state() as state:
        with state.transaction() as tx:
            tx.execute(pools.insert().values(name="test", network="", prepared=0))
        threads = [threading.Thread(target=count, args=(20,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with state.reading() as tx:
            assert tx.execute(select(pools.c.prepared)).scalar_one() == 120


def test_a_state_of_a_newer_schema_is_refused_and_left_alone(
    make_state: Callable[[], Database],
) -> None:
    with make_state() as state, state.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaTooNew, match=r"9999.*use the newer pycloud"):
        make_state().open()


def test_a_database_of_something_else_is_refused(make_state: Callable[[], Database]) -> None:
    state = make_state()
    engine = state._make_engine()
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE customers (id INTEGER)"))
    engine.dispose()
    with pytest.raises(StateError, match="not pycloud's"):
        state.open()


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cloud.db"
    path.write_text("This is a letter, not a database. " * 100)
    with pytest.raises(StateError, match="not a pycloud state"):
        SQLiteState(path).open()
    assert path.read_text().startswith("This is a letter")


def test_a_state_must_be_opened_first(tmp_path: Path) -> None:
    state = SQLiteState(tmp_path / "cloud.db")
    with pytest.raises(StateError, match="not open"), state.transaction():
        pass
    assert not (tmp_path / "cloud.db").exists(), "a constructor touched the disk"


def test_a_bad_url_is_refused_without_repeating_its_password() -> None:
    with pytest.raises(InvalidValue) as refusal:
        PostgresState("no url with secret in it")
    assert "secret" not in str(refusal.value)


def test_the_state_is_for_its_owners_eyes_only(tmp_path: Path) -> None:
    with SQLiteState(tmp_path / "cloud.db"):
        assert (tmp_path / "cloud.db").stat().st_mode & 0o077 == 0


def test_leadership_is_one_processs_at_a_time(make_state: Callable[[], Database]) -> None:
    with make_state() as one, make_state() as other:
        held = one.lead("loop")
        assert held is not None
        assert held.held()
        assert other.lead("loop") is None
        assert other.lead("something else") is not None
        held.release()
        assert not held.held()
        assert other.lead("loop") is not None


def test_leadership_ends_with_its_process(make_state: Callable[[], Database]) -> None:
    fork = multiprocessing.get_context("fork")
    ready = fork.Event()

    def hold() -> None:
        with make_state() as state:
            assert state.lead("loop")
            ready.set()
            threading.Event().wait()

    with make_state() as other:
        process = fork.Process(target=hold)
        process.start()
        assert ready.wait(WAIT_S)
        assert other.lead("loop") is None
        process.kill()
        process.join()
        leads = other.lead("loop")
        for _ in range(100):  # PostgreSQL notices within moments
            if leads is not None:
                break
            threading.Event().wait(0.1)
            leads = other.lead("loop")
        assert leads is not None


def test_a_nudge_reaches_other_processes_when_it_is_committed(
    make_state: Callable[[], Database],
) -> None:
    heard = threading.Event()
    with make_state() as one, make_state() as other:
        stop = other.watch(heard.set)
        try:
            for _ in range(200):  # the first may come before the watcher is ready
                with one.transaction() as tx:
                    tx.record("test", "subject")
                    tx.nudge()
                if heard.wait(0.1):
                    break
            assert heard.is_set()
        finally:
            stop()


def test_own_listeners_hear_a_nudge_only_after_the_commit(state: Database) -> None:
    heard: list[int] = []

    def look() -> None:
        with state.reading() as tx:
            heard.append(len(tx.execute(select(journal)).all()))

    unsubscribe = state.subscribe(look)
    with state.transaction() as tx:
        tx.record("test", "subject")
        tx.nudge()
        assert heard == []
    with state.transaction() as tx:
        tx.record("quiet", "subject")
    unsubscribe()
    with state.transaction() as tx:
        tx.nudge()
    assert heard == [1]


def test_a_row_is_added_once(state: Database) -> None:
    with state.transaction() as tx:
        for prepared in (1, 2):
            tx.add_if_absent(pools, name="test", network="", prepared=prepared)
        assert tx.execute(select(pools.c.prepared)).scalars().all() == [1]


def test_marks_find_every_change_and_little_else(make_state: Callable[[], Database]) -> None:
    """A change that is committed late bears an old stamp; whoever asked before must find it yet."""
    changed = nodes.c.changed

    def names_since(state: Database, mark: int) -> tuple[int, set[str]]:
        with state.reading() as tx:
            mark_next = tx.execute(select(horizon(changed, sqlite=tx.is_sqlite))).scalar_one()
            found = tx.execute(select(nodes.c.name).where(changed >= mark)).scalars()
            return mark_next, set(found)

    def touch(state: Database, name: str) -> None:
        with state.transaction() as tx:
            values = {"changed": stamp(changed, sqlite=tx.is_sqlite)}
            tx.execute(update(nodes).where(nodes.c.name == name).values(values))

    with make_state() as state, make_state() as other:
        for number in range(4):
            with state.transaction() as tx:
                room = NodeRoom(NodeName(f"node{number}"), "z", number, 1, 1, 1)
                NodeStore().add(tx, [room])
        mark, found = names_since(state, 0)
        assert found == {"node0", "node1", "node2", "node3"}
        touch(other, "node2")
        mark, found = names_since(state, mark)
        assert "node2" in found
        assert "node0" not in found
        if isinstance(state, PostgresState):
            with other.transaction() as late:
                late.execute(
                    update(nodes)
                    .where(nodes.c.name == "node1")
                    .values(changed=stamp(changed, sqlite=False))
                )
                touch(state, "node3")
                mark, found = names_since(state, mark)
                assert "node3" in found
            mark, found = names_since(state, mark)
            assert "node1" in found


def test_what_was_noted_outside_is_undone_with_the_transaction(state: Database) -> None:
    undone: list[str] = []

    def run(*, fail: bool) -> None:
        with state.transaction() as tx:
            tx.undo.append(lambda: undone.append("undone"))
            if fail:
                raise RuntimeError

    run(fail=False)
    assert undone == []
    with pytest.raises(RuntimeError):
        run(fail=True)
    assert undone == ["undone"]


def test_a_part_of_a_transaction_can_be_taken_back_alone(state: Database) -> None:
    undone: list[str] = []

    def drop(tx: Transaction) -> None:
        with tx.nested():
            tx.record("test", "dropped")
            tx.undo.append(lambda: undone.append("dropped"))
            raise RuntimeError

    with state.transaction() as tx:
        tx.record("test", "kept")
        tx.undo.append(lambda: undone.append("kept"))
        with pytest.raises(RuntimeError):
            drop(tx)
    assert undone == ["dropped"]
    with state.reading() as tx:
        assert [row.subject for row in tx.execute(select(journal))] == ["kept"]
