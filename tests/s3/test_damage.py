"""Bytes that changed where they lie, and objects that change while they are read."""

from __future__ import annotations

import http.client
import os
from pathlib import Path
from typing import Any

import pytest

from pycloud.drivers.files import FileBlobs
from tests.s3.conftest import Served

MIB = 1024**2


def _blob_of(served: Served, body: bytes) -> Path:
    """Return the file that begins with these bytes."""
    assert isinstance(served.store.blobs, FileBlobs)
    for place in served.store.blobs.directory.rglob("*"):
        if place.is_file() and place.read_bytes()[:1000] == body[:1000]:
            return place
    raise AssertionError("no file has these bytes")


def _spoil(place: Path, at: int) -> None:
    with place.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


def _path(served: Served, s3: Any, bucket: str) -> str:
    url: str = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a"})
    return url.removeprefix(served.url)


def test_bytes_that_rotted_are_not_served(served: Served, s3: Any, bucket: str) -> None:
    body = os.urandom(3 * MIB)
    s3.put_object(Bucket=bucket, Key="a", Body=body)
    path = _path(served, s3, bucket)
    place = _blob_of(served, body)
    _spoil(place, 2 * MIB + 5)
    with pytest.raises(http.client.IncompleteRead) as broken:
        served.ask("GET", path)
    assert broken.value.partial == body[: 2 * MIB]  # what was right was sent, and no more
    good = served.ask("GET", path, headers={"Range": "bytes=0-99"})
    assert good.body == body[:100]
    bad = served.ask("GET", path, headers={"Range": f"bytes={2 * MIB}-{2 * MIB + 9}"})
    assert (bad.status, bad.code) == (500, "InternalError")
    _spoil(place, 5)
    answer = served.ask("GET", path)
    assert (answer.status, answer.code) == (500, "InternalError")


def test_an_object_that_goes_while_it_is_read(served: Served, s3: Any, bucket: str) -> None:
    body = os.urandom(24 * MIB)
    s3.put_object(Bucket=bucket, Key="a", Body=body)
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    connection.request("GET", _path(served, s3, bucket))
    answer = connection.getresponse()
    begun = answer.read(1000)
    s3.delete_object(Bucket=bucket, Key="a")
    s3.put_object(Bucket=bucket, Key="a", Body=b"another")
    assert begun + answer.read() == body
    connection.close()
