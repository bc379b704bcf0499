"""A disk that is full in the middle of a PUT."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pycloud.drivers.files import FileBlobs
from pycloud.drivers.serve import WsgiServer
from pycloud.s3 import S3App
from pycloud.state.sqlite import SQLiteState
from pycloud.storage.buckets import BucketStore
from tests.s3.conftest import AccountKeys, MovableClock, Served

MIB = 1024**2

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MiB."""
    disk = tmp_path / "blobs"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], check=True)
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.fixture
def cramped(tmp_path: Path, small_disk: Path) -> Iterator[Served]:
    """A store whose blobs are on the small disk."""
    with SQLiteState(tmp_path / "cloud.db") as state:
        store = BucketStore(state, FileBlobs(small_disk))
        app = S3App(store, AccountKeys())
        with WsgiServer(app, body_bytes=0) as server:
            yield Served(store, MovableClock(), server.port)


def _used_bytes(disk: Path) -> int:
    found = os.statvfs(disk)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


@pytest.mark.parametrize("is_upload", [False, True], ids=["object", "part"])
def test_what_does_not_fit_leaves_nothing_and_takes_nothing(
    cramped: Served, small_disk: Path, is_upload: bool
) -> None:
    s3 = cramped.client()
    s3.create_bucket(Bucket="bucket")
    kept, large = os.urandom(3 * MIB), os.urandom(12 * MIB)
    s3.put_object(Bucket="bucket", Key="key", Body=kept)
    before = _used_bytes(small_disk)
    place: dict[str, Any] = {"Bucket": "bucket", "Key": "key"}
    write = s3.put_object
    if is_upload:
        place |= {"UploadId": s3.create_multipart_upload(**place)["UploadId"], "PartNumber": 1}
        write = s3.upload_part
    with pytest.raises(ClientError) as refused:
        write(**place, Body=large)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 507
    assert refused.value.response["Error"]["Code"] == "InternalError"
    assert _used_bytes(small_disk) == before
    [listed] = s3.list_objects_v2(Bucket="bucket")["Contents"]
    assert listed["Size"] == len(kept)
    assert s3.get_object(Bucket="bucket", Key="key")["Body"].read() == kept
    s3.put_object(Bucket="bucket", Key="another", Body=kept)
