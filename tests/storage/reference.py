"""A small reference model of a bucket, and a store whose process can die at any boundary."""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path

import attrs

from pycloud.clock import ManualClock
from pycloud.drivers.sim_blobs import SimBlobs, SimShelf
from pycloud.state.database import Database
from pycloud.state.sqlite import SQLiteState
from pycloud.storage.buckets import BucketStore
from pycloud.storage.records import Versioning
from pycloud.testing.world import ProcessDiedError, _MortalPostgres, _MortalSQLite

BUCKET = "holiday"
NULL = "null"
NEW = "new"
"""The id of an upload that was not told to anybody."""

Uploads = dict[str, tuple[str, dict[int, bytes]]]
"""The key and the parts of each upload."""


@attrs.define
class Version:
    """A version, or, without content, a delete marker. An id of None was not told to anybody."""

    id: str | None
    content: bytes | None


@attrs.define
class Model:
    """What the bucket holds: versions by key, the newest first, and uploads by id."""

    versioning: Versioning = Versioning.OFF
    objects: dict[str, list[Version]] = attrs.field(factory=dict)
    uploads: Uploads = attrs.field(factory=dict)

    def copy(self) -> Model:
        """Return one that can be changed alone."""
        return deepcopy(self)

    def current(self, key: str) -> bytes | None:
        """Return what a plain read gives."""
        versions = self.objects.get(key, [])
        return versions[0].content if versions else None

    def put(self, key: str, content: bytes | None) -> None:
        """Write an object or, with None, a delete marker."""
        versions = self.objects.setdefault(key, [])
        if self.versioning is Versioning.ENABLED:
            versions.insert(0, Version(None, content))
            return
        versions[:] = [one for one in versions if one.id != NULL]
        versions.insert(0, Version(NULL, content))

    def delete(self, key: str) -> None:
        """Delete an object as S3 does."""
        if self.versioning is Versioning.OFF:
            self.objects.pop(key, None)
        else:
            self.put(key, None)

    def delete_version(self, key: str, version_id: str) -> None:
        """Delete a version for good."""
        left = [one for one in self.objects.get(key, []) if one.id != version_id]
        self.objects[key] = left
        if not left:
            del self.objects[key]

    def adopt(self, found: Model) -> bool:
        """Tell whether this is what was found, and take over the ids that were not told."""
        if set(self.objects) != set(found.objects) or self.versioning != found.versioning:
            return False
        for key, versions in self.objects.items():
            others = found.objects[key]
            if len(versions) != len(others):
                return False
            for mine, other in zip(versions, others, strict=True):
                if mine.id not in (None, other.id) or mine.content != other.content:
                    return False
        if not self._same_uploads(found):
            return False
        self.objects, self.uploads = found.objects, found.uploads
        return True

    def _same_uploads(self, found: Model) -> bool:
        told = {id_: upload for id_, upload in self.uploads.items() if id_ != NEW}
        known = {id_: upload for id_, upload in found.uploads.items() if id_ in told}
        news = [upload for id_, upload in self.uploads.items() if id_ == NEW]
        rest = [upload for id_, upload in found.uploads.items() if id_ not in told]
        return _hashed(known) == _hashed(told) and rest == news

    def listed(self, prefix: str, delimiter: str) -> tuple[list[str], list[str]]:
        """Return the keys and the common prefixes of a listing without an end."""
        keys, prefixes = [], []
        for key in sorted(self.objects, key=str.encode):
            if self.current(key) is None or not key.startswith(prefix):
                continue
            at = key.find(delimiter, len(prefix)) if delimiter else -1
            if at < 0:
                keys.append(key)
            elif (common := key[: at + len(delimiter)]) not in prefixes:
                prefixes.append(common)
        return keys, prefixes


def _hashed(uploads: Uploads) -> dict[str, tuple[str, dict[int, str]]]:
    """Return the same with MD5s: these can be told when they differ."""
    return {
        id_: (key, {n: hashlib.md5(one).hexdigest() for n, one in parts.items()})
        for id_, (key, parts) in uploads.items()
    }


@cache
def _empty_database() -> bytes:
    """Return the file of a state without anything: to make one takes longer than a story."""
    with tempfile.TemporaryDirectory(prefix="pycloud-story-") as folder:
        place = Path(folder) / "cloud.db"
        with SQLiteState(place, clock=ManualClock()):
            pass
        return place.read_bytes()


class MortalStore:
    """One process at a time with a store on what the former ones left."""

    def __init__(self, folder: Path, postgres_url: str | None = None) -> None:
        self._folder = folder
        self._postgres_url = postgres_url
        self.clock = ManualClock()
        self.shelf = SimShelf(boundary=self._boundary)
        self.boundaries = 0
        self._crash_at: int | None = None
        self._is_dead = False
        self.contents: dict[str, bytes] = {}
        """What was ever written, by its MD5: so a part's content is known by its ETag."""
        self.state = self._open()
        self._start()
        self.store.create_bucket(BUCKET)

    def crash_at(self, n: int | None) -> None:
        """Let the process die at the n-th boundary from now, counted from 0."""
        self._crash_at = None if n is None else self.boundaries + n

    def survives(self, act: Callable[[], object]) -> bool:
        """Do something; return whether it was acknowledged. If not, the next process runs now."""
        try:
            act()
        except ProcessDiedError:
            self._start()
            return False
        finally:
            self._crash_at = None
        return True

    def close(self) -> None:
        """End the process."""
        self.state.close()

    def stream(self, content: bytes) -> io.BytesIO:
        """Return a stream of what is to be written."""
        self.contents[hashlib.md5(content).hexdigest()] = content
        return io.BytesIO(content)

    def found(self) -> Model:
        """Return what the store holds, all of it read."""
        model = Model(self.store.get_bucket(BUCKET).versioning)
        listing = self.store.list_versions(BUCKET)
        assert not listing.is_truncated
        for one in listing.versions:
            content = None
            if not one.is_delete_marker:
                with self.store.get(BUCKET, one.key, version_id=one.version_id) as stream:
                    content = stream.read()
            versions = model.objects.setdefault(one.key, [])
            assert one.is_latest == (not versions), f"{one} is not the latest, or is it?"
            versions.append(Version(one.version_id, content))
        for upload in self.store.uploads.list(BUCKET).uploads:
            parts = self.store.uploads.list_parts(BUCKET, upload.key, upload.id).parts
            known = {part.number: self.contents[part.etag] for part in parts}
            model.uploads[upload.id] = (upload.key, known)
        return model

    def check_at_rest(self) -> None:
        """Assert that after a sweep there are just the bytes that something names, and all whole."""
        self.clock.advance(seconds=3600)
        self.store.sweep(older_than_s=0)
        assert self.store.sweep(older_than_s=0) == 0
        assert self.shelf.unfinished == {}
        assert self.store.scrub().damaged == ()

    def _boundary(self, what: str) -> None:
        if self._is_dead or self.boundaries == self._crash_at:
            self._is_dead = True
            raise ProcessDiedError(what)
        self.boundaries += 1

    def _open(self) -> Database:
        state: Database
        if self._postgres_url is None:
            place = self._folder / "cloud.db"
            place.write_bytes(_empty_database())
            state = _MortalSQLite(place, self.clock, self._boundary)
        else:
            state = _MortalPostgres(self._postgres_url, self.clock, self._boundary)
        return state.open()

    def _start(self) -> None:
        """Begin a process: nothing is left of the former one but what is in the database, whose
        transaction was rolled back when it died, and on the shelf.
        """
        self._is_dead, self._crash_at = False, None
        self.store = BucketStore(self.state, SimBlobs(self.shelf))
