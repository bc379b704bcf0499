"""Die everywhere: at each boundary of each way of writing, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pycloud import limits
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


def _empty(process: MortalStore) -> None:
    for one in process.store.list_versions(BUCKET).versions:
        process.store.delete(BUCKET, one.key, version_id=one.version_id)
    for upload in process.store.uploads.list(BUCKET).uploads:
        process.store.uploads.abort(BUCKET, upload.key, upload.id)
    process.check_at_rest()
    assert process.shelf.blobs == {}
