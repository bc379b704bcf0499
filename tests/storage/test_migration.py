"""Objects that an older version wrote are kept, as the one version of their key."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

import pycloud.state
from pycloud.drivers.files import FileBlobs
from pycloud.state.database import Database
from pycloud.state.postgres import PostgresState
from pycloud.state.sqlite import SQLiteState
from pycloud.storage.buckets import BucketStore
from pycloud.storage.records import Versioning
from tests.conftest import NewDatabase

CONTENT = b"what was there before\n" * 5000
CREATED_AT = 1_700_000_000_000_000


def _older(place: Path, url: str | None) -> Database:
    """Make a database with the schema of revision 0006, with a bucket and an object."""
    driver = (
        f"sqlite:///{place}" if url is None else url.replace("postgresql:", "postgresql+psycopg:")
    )
    engine = create_engine(driver)
    config = Config()
    config.set_main_option(
        "script_location", str(Path(str(pycloud.state.__file__)).parent / "migrations")
    )
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0006")
        connection.execute(
            text("INSERT INTO buckets VALUES ('holiday', '000000000001', :at)"), {"at": CREATED_AT}
        )
        blob = place.parent / "blobs" / "ab" / ("ab" * 16)
        blob.parent.mkdir(parents=True)
        blob.write_bytes(CONTENT)
        row = {
            "key": "a/ü".encode(),
            "blob": blob.name,
            "size": len(CONTENT),
            "etag": hashlib.md5(CONTENT).hexdigest(),
            "at": CREATED_AT,
        }
        connection.execute(
            text("INSERT INTO objects VALUES ('holiday', :key, :blob, :size, :etag, :at)"), row
        )
    engine.dispose()
    return SQLiteState(place) if url is None else PostgresState(url)


def test_objects_outlive_the_migration(new_database: NewDatabase, tmp_path: Path) -> None:
    with _older(tmp_path / "cloud.db", new_database()) as state:
        store = BucketStore(state, FileBlobs(tmp_path / "blobs"))
        [found] = store.list("holiday").objects
        assert (found.key, found.version_id, found.is_latest) == ("a/ü", "null", True)
        assert found.account == store.get_bucket("holiday").account == "000000000001"
        with store.get("holiday", "a/ü") as stream:
            assert stream.read() == CONTENT
        assert store.sweep(older_than_s=0) == 0
        assert store.scrub().damaged == ()
        store.copy("holiday", "a/ü", "holiday", "copy")
        store.set_versioning("holiday", Versioning.ENABLED)
        store.put("holiday", "a/ü", io.BytesIO(b"new"))
        versions = store.list_versions("holiday", prefix="a").versions
        assert [one.version_id == "null" for one in versions] == [False, True]
        for key in ("a/ü", "copy"):
            store.delete("holiday", key, version_id="null")
        assert list(store.blobs.all()) == []
