"""pycloud as the S3 engine of another pycloud's blobs."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from pycloud.drivers.s3_blobs import S3Blobs
from pycloud.ids import ADMIN_ACCOUNT
from pycloud.state.sqlite import SQLiteState
from pycloud.storage.buckets import BucketStore
from pycloud.testing.blobs import check_blobs
from tests.s3.conftest import Served

_MIB = 1024**2


def _blobs(served: Served, prefix: str) -> S3Blobs:
    return S3Blobs(
        served.url,
        "engine",
        prefix=prefix,
        access_key=f"AKIA{ADMIN_ACCOUNT}",
        secret_key="secret",
        region="pycloud",
    )


def test_it_keeps_the_blobs_of_another(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pycloud.drivers.s3_blobs._PART_BYTES", 5 * _MIB)
    served.store.create_bucket("engine")
    check_blobs(lambda: _blobs(served, "check/"))
    content = os.urandom(6 * _MIB)
    with SQLiteState(tmp_path / "cloud.db") as state:
        store = BucketStore(state, _blobs(served, "store/"))
        store.create_bucket("holiday")
        store.put("holiday", "beach", io.BytesIO(content))
        with store.get("holiday", "beach") as stream:
            assert stream.read() == content
            assert b"".join(stream.blocks(5 * _MIB, 5 * _MIB + 9)) == content[5 * _MIB :][:10]
        assert store.scrub().damaged == ()
        [blob] = served.store.each("engine", prefix="store/")
        assert blob.part_count == 2
        store.delete("holiday", "beach")
        assert store.sweep(older_than_s=0) == 0, "it stays for an hour, for those who read"
    for one in served.store.each("engine"):
        served.store.delete("engine", one.key)
    served.store.delete_bucket("engine")
