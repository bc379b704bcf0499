"""Die everywhere: at each boundary of each way of writing, on both databases."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pycloud import limits
from pycloud.drivers.files import FileBlobs
from pycloud.state.postgres import PostgresState
from pycloud.state.sqlite import SQLiteState
from pycloud.storage.buckets import BucketStore
from pycloud.storage.records import PartChoice, Versioning
from tests.conftest import NewDatabase
from tests.storage.reference import BUCKET, NEW, Model, MortalStore

Change = Callable[[Model], None]
LARGE = b"x" * 100_000
FORMER = b"y" * 50_000


def _completed(model: Model) -> None:
    model.put("parts", FORMER + b"z")
    model.uploads.clear()


STORIES: dict[str, tuple[Callable[[MortalStore], object], Change]] = {
    "put": (
        lambda process: process.store.put(BUCKET, "new", process.stream(LARGE)),
        lambda model: model.put("new", LARGE),
    ),
    "put small": (
        lambda process: process.store.put(BUCKET, "new", process.stream(b"x")),
        lambda model: model.put("new", b"x"),
    ),
    "put over another": (
        lambda process: process.store.put(BUCKET, "former", process.stream(LARGE)),
        lambda model: model.put("former", LARGE),
    ),
    "delete": (
        lambda process: process.store.delete(BUCKET, "former"),
        lambda model: model.delete("former"),
    ),
    "copy": (
        lambda process: process.store.copy(BUCKET, "former", BUCKET, "new"),
        lambda model: model.put("new", FORMER),
    ),
    "rewrite": (
        lambda process: process.store.copy(BUCKET, "former", BUCKET, "former", algorithm="CRC32"),
        lambda model: model.put("former", FORMER),
    ),
    "begin": (
        lambda process: process.store.uploads.begin(BUCKET, "new"),
        lambda model: model.uploads.update({NEW: ("new", {})}),
    ),
    "part": (
        lambda process: process.store.uploads.put_part(
            BUCKET, "parts", _upload(process), 1, process.stream(LARGE)
        ),
        lambda model: next(iter(model.uploads.values()))[1].update({1: LARGE}),
    ),
    "complete": (
        lambda process: process.store.uploads.complete(
            BUCKET, "parts", _upload(process), _chosen(process)
        ),
        _completed,
    ),
    "abort": (
        lambda process: process.store.uploads.abort(BUCKET, "parts", _upload(process)),
        lambda model: model.uploads.clear(),
    ),
    "sweep": (lambda process: process.store.sweep(older_than_s=0), lambda model: None),
}


def _upload(process: MortalStore) -> str:
    [upload] = process.store.uploads.list(BUCKET).uploads
    return upload.id


def _chosen(process: MortalStore) -> list[PartChoice]:
    parts = process.store.uploads.list_parts(BUCKET, "parts", _upload(process)).parts
    return [PartChoice(part.number, part.etag) for part in parts]


def _prepare(process: MortalStore, versioning: Versioning) -> Model:
    """Let there be an object, an upload with two parts, and bytes that nothing names."""
    store, model = process.store, Model(versioning)
    if versioning:
        store.set_versioning(BUCKET, versioning)
    version = store.put(BUCKET, "former", process.stream(FORMER)).version_id
    model.put("former", FORMER)
    model.objects["former"][0].id = version
    upload = store.uploads.begin(BUCKET, "parts").id
    for number, content in ((1, FORMER), (2, b"z")):
        store.uploads.put_part(BUCKET, "parts", upload, number, process.stream(content))
    model.uploads[upload] = ("parts", {1: FORMER, 2: b"z"})
    store.blobs.write(process.stream(LARGE))
    return model


@pytest.mark.parametrize("versioning", [Versioning.OFF, Versioning.ENABLED])
def test_a_process_may_die_at_every_boundary(
    versioning: Versioning,
    tmp_path: Path,
    new_database: NewDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "PART_MIN_BYTES", 10_000)
    process = MortalStore(tmp_path, new_database())
    for name, (act, change) in STORIES.items():
        n = 0
        while not _tell(process, versioning, act, change, n):
            n += 1
        assert n > 1, f"{name} passed too few boundaries to have been told"
    process.close()


def _tell(
    process: MortalStore,
    versioning: Versioning,
    act: Callable[[MortalStore], object],
    change: Change,
    n: int,
) -> bool:
    """Tell a story with a death at boundary `n`; return whether it was told to its end."""
    before = _prepare(process, versioning)
    after = before.copy()
    change(after)
    process.crash_at(n)
    is_acknowledged = process.survives(lambda: act(process))
    found = process.found()
    assert after.adopt(found) or (not is_acknowledged and before.adopt(found)), (n, found)
    process.check_at_rest()
    _empty(process)
    return is_acknowledged


_WRITER = """
import io, sys, threading
import pycloud
from pycloud.drivers.files import FileBlobs

place, folder = sys.argv[1:]
make = pycloud.SQLiteState if place.startswith("/") else pycloud.PostgresState
lock = threading.Lock()
with make(place) as state:
    store = pycloud.BucketStore(state, FileBlobs(folder))

    def write(writer):
        for number in range(100_000):
            size = 100 if number % 2 else 50_000
            content = f"{writer}-{number}.".encode() * size
            etag = store.put("holiday", f"{writer}-{number}", io.BytesIO(content)).etag
            with lock:
                print(f"{writer}-{number}", etag, flush=True)

    for writer in range(4):
        threading.Thread(target=write, args=(writer,), daemon=True).start()
    threading.Event().wait()
"""


def test_what_was_acknowledged_outlives_a_killed_process(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    place, folder = new_database() or str(tmp_path / "cloud.db"), tmp_path / "blobs"
    make = SQLiteState if place.startswith("/") else PostgresState
    with make(place) as state:
        store = BucketStore(state, FileBlobs(folder))
        store.create_bucket("holiday")
        command = [sys.executable, "-c", _WRITER, place, str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            acknowledged = [next(writer.stdout) for _ in range(60)]
            writer.kill()
            acknowledged += writer.stdout
        for line in acknowledged:
            if line.endswith("\n"):  # the last one may be cut off
                key, etag = line.split()
                with store.get("holiday", key) as stream:
                    assert hashlib.md5(stream.read()).hexdigest() == etag
        assert store.scrub().damaged == ()
        store.sweep(older_than_s=0)
        large = [one for one in store.each("holiday") if one.size_bytes > 20_000]
        assert len(list(store.blobs.all())) == len(large)


def _empty(process: MortalStore) -> None:
    for one in process.store.list_versions(BUCKET).versions:
        process.store.delete(BUCKET, one.key, version_id=one.version_id)
    for upload in process.store.uploads.list(BUCKET).uploads:
        process.store.uploads.abort(BUCKET, upload.key, upload.id)
    process.check_at_rest()
    assert process.shelf.blobs == {}
