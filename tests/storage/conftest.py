"""A store on each database, with a folder of blobs; and what to put into it."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import delete

from pycloud.clock import ManualClock
from pycloud.drivers.files import FileBlobs
from pycloud.identity.sealing import Seal
from pycloud.state.database import Database
from pycloud.state.postgres import PostgresState
from pycloud.state.schema import metadata
from pycloud.state.sqlite import SQLiteState
from pycloud.storage.buckets import BucketStore

SMALL = b"sand"
LARGE = os.urandom(1024 * 1024 + 77)
_TABLES = ("parts", "uploads", "contents", "objects", "parting_blobs", "bucket_settings", "buckets")


@pytest.fixture(
    scope="session", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
)
def another_state(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Database]:
    """Makes states, not open yet, that all stand on one database: one for all tests of this
    folder, because making one takes longer than most of them.
    """
    if request.param == "sqlite":
        place = tmp_path_factory.mktemp("state") / "cloud.db"
        return lambda: SQLiteState(place, clock=ManualClock())
    import psycopg

    server: str = request.getfixturevalue("postgres_server")
    name = f"test_{uuid4().hex}"
    with psycopg.connect(server.format("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return lambda: PostgresState(server.format(name), clock=ManualClock())


@pytest.fixture(scope="session")
def _open_state(another_state: Callable[[], Database]) -> Iterator[Database]:
    with another_state() as state:
        yield state


@pytest.fixture
def state(_open_state: Database) -> Iterator[Database]:
    """An open state without buckets."""
    _open_state.clock = ManualClock()
    yield _open_state
    with _open_state.transaction() as tx:
        for name in _TABLES:
            tx.execute(delete(metadata.tables[name]))


@pytest.fixture
def store(state: Database, tmp_path: Path) -> Iterator[BucketStore]:
    """A store with a bucket `holiday`; in the end it has no bytes that nothing names."""
    store = BucketStore(state, FileBlobs(tmp_path / "blobs"), seal=Seal(bytes(32)))
    store.create_bucket("holiday")
    yield store
    assert store.sweep(older_than_s=0) == 0, "bytes without an object were left"


def put(store: BucketStore, key: str, data: bytes = SMALL, bucket: str = "holiday") -> str:
    """Put an object; return its version's id."""
    return store.put(bucket, key, io.BytesIO(data)).version_id


def read(
    store: BucketStore, key: str, version_id: str | None = None, *, bucket: str = "holiday"
) -> bytes:
    """Return an object's bytes."""
    with store.get(bucket, key, version_id=version_id) as stream:
        return stream.read()


def keys(store: BucketStore, bucket: str = "holiday") -> list[str]:
    """Return the keys of a bucket."""
    return [one.key for one in store.each(bucket)]


def files(store: BucketStore) -> list[Path]:
    """Return the files of the store's blobs."""
    assert isinstance(store.blobs, FileBlobs)
    return [path for path in store.blobs.directory.rglob("*") if path.is_file()]
