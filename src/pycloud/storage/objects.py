"""`Objects`: what is done with the objects of a `BucketStore`, one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import attrs
from sqlalchemy import bindparam, select, update
from sqlalchemy.exc import IntegrityError

from pycloud import limits
from pycloud.errors import (
    Cannot,
    Damaged,
    DiskFull,
    InvalidValue,
    NotFound,
    Refused,
    StateBusy,
    WrongState,
)
from pycloud.ids import BlobId
from pycloud.state.database import Database
from pycloud.state.schema import bucket_settings, buckets, objects
from pycloud.state.transaction import Transaction
from pycloud.storage import locks
from pycloud.storage.blobs import Blobs, Readable
from pycloud.storage.checksums import checksum_text
from pycloud.storage.commits import SharedCommits
from pycloud.storage.encryption import BY_CUSTOMER, DefaultEncryption, Keys, Sealing
from pycloud.storage.locks import DefaultRetention
from pycloud.storage.names import check_metadata, check_tags, checked_key
from pycloud.storage.opening import check_no_marker, opened
from pycloud.storage.parts import page_of_parts, part_size_of, part_with_blobs
from pycloud.storage.reading import ObjectStream
from pycloud.storage.records import (
    About,
    Bucket,
    Deleted,
    Expected,
    PartSize,
    Retention,
    StoredObject,
)
from pycloud.storage.settings import ENCRYPTION, OBJECT_LOCK, find_setting
from pycloud.storage.versions import (
    LATEST,
    Freed,
    add_version,
    bucket_of,
    check_conditions,
    delete_object,
    delete_version,
    described,
    dumped,
    find_latest,
    find_version,
    get_bucket,
    get_version,
    lock_keys,
    stored_object,
)
from pycloud.storage.writing import Incoming, Kept

_DELETED_TOGETHER = 100
"""Keys of one transaction: PostgreSQL has room for some thousand locks."""

_FULL = ("disk is full", "No space left on device")
"""What SQLite and PostgreSQL say then."""

_T = TypeVar("_T")
_BUCKET = select(
    buckets,
    select(bucket_settings.c.document)
    .where(bucket_settings.c.bucket == buckets.c.name, bucket_settings.c.kind == ENCRYPTION)
    .scalar_subquery()
    .label("default_encryption"),
).where(buckets.c.name == bindparam("b_bucket"))
_OF_KEY = (objects.c.bucket == buckets.c.name) & (objects.c.key == bindparam("b_key"))
_TARGET = (
    _BUCKET.add_columns(*(objects.c[name] for name in LATEST))
    .select_from(buckets.outerjoin(objects, _OF_KEY))
    .order_by(objects.c.rank)
    .limit(1)
)
"""The bucket, and what the latest version of a key is in it: a small put is mostly statements."""


@attrs.frozen
class Condition:
    """What must be true of the present object for it to be written or deleted."""

    if_match: str | None = None
    if_none_match: str | None = None

    def check(self, row: Any | None, key: str) -> None:
        """Raise `NotFound` or `PreconditionFailed` if it is not so."""
        check_conditions(row, key, if_match=self.if_match, if_none_match=self.if_none_match)


class Objects:
    """Writes, reads and deletes versions of objects."""

    def __init__(self, state: Database, blobs: Blobs, seal: Sealing | None) -> None:
        self.state = state
        self.blobs = blobs
        self.seal = seal
        self.commits = SharedCommits(state)

    def prepare(self, bucket: str, about: About) -> tuple[Bucket, Keys]:
        """Return the bucket that something is about to be written to, and the keys for it. Raises
        `NotFound`, `InvalidValue`, `WrongState`, `WrongKey`.
        """
        check_metadata(about.metadata)
        check_tags(about.tags)
        with self.state.reading() as tx:
            row = tx.execute(_BUCKET, {"b_bucket": bucket}).one_or_none()
            if row is None:
                raise NotFound("bucket", bucket)
            return self._prepare(tx, row, about)

    def _prepare(self, tx: Transaction, row: Any, about: About) -> tuple[Bucket, Keys]:
        found, encryption = bucket_of(row), about.encryption
        if about.customer_key is not None:
            encryption = BY_CUSTOMER
        elif encryption is None and row.default_encryption is not None:
            encryption = DefaultEncryption.from_json(row.default_encryption).algorithm
        if about.retention is not None:
            locks.check_retention(about.retention, tx.now)
        if (about.retention is not None or about.legal_hold) and not found.object_lock:
            raise WrongState(f"bucket {found.name!r} was not made for object locks")
        return found, Keys(self.seal, encryption, about.customer_key)

    def put(
        self,
        bucket: str,
        key: str,
        stream: Readable,
        about: About,
        expected: Expected,
        condition: Condition,
    ) -> StoredObject:
        """Write an object."""
        name = checked_key(key)
        incoming = Incoming(stream, expected)
        data = incoming.start(limits.SMALL_OBJECT_BYTES)
        if data is None:
            found, keys = self.prepare(bucket, about)
            kept = incoming.write(self.blobs, keys)

            def name_it(tx: Transaction) -> tuple[StoredObject, Freed]:
                lock_keys(tx, (bucket, name))
                present = same_bucket(tx, found)
                latest = find_latest(tx, bucket, name)
                values = _columns(tx, about, kept, keys)
                return self.add(tx, present, name, latest, values, condition)

            return self.commit(bucket, name_it, [kept])
        check_metadata(about.metadata)
        check_tags(about.tags)

        def keep(tx: Transaction) -> tuple[StoredObject, Freed]:
            # All in one transaction: for a small object another one would be a good part of it.
            lock_keys(tx, (bucket, name))
            row = tx.execute(_TARGET, {"b_bucket": bucket, "b_key": name}).one_or_none()
            if row is None:
                raise NotFound("bucket", bucket)
            found, keys = self._prepare(tx, row, about)
            latest = None if row.rank is None else row
            values = _columns(tx, about, incoming.hold(data, keys), keys)
            return self.add(tx, found, name, latest, values, condition)

        return self.commit(bucket, keep)

    def commit(
        self,
        bucket: str,
        act: Callable[[Transaction], tuple[_T, Freed]],
        kept: Sequence[Kept] = (),
    ) -> _T:
        """Run `act`, which changes something in the bucket, in a transaction; afterwards remove what
        became free, or, if nothing was changed, what was kept for it. Raises `DiskFull` also for the
        database's disk.
        """
        try:
            result, freed = self.commits.run(lambda tx: self._parted(tx, *act(tx)))
        except IntegrityError as error:
            self._forget(kept)
            raise NotFound("bucket", bucket) from error  # it was deleted meanwhile
        except Refused:
            # Only then: after any other error the commit may have happened all the same, and what
            # is not named is swept one day.
            self._forget(kept)
            raise
        except StateBusy as error:
            if any(words in str(error) for words in _FULL):
                raise DiskFull(f"no space left for the database: {error}") from error
            raise
        self.remove(freed.blobs)
        return result

    def _parted(self, tx: Transaction, result: _T, freed: Freed) -> tuple[_T, Freed]:
        """Leave blobs that somebody may be reading to be removed later, if so it must be."""
        if self.blobs.holds_open or not freed.blobs:
            return result, freed
        part_with_blobs(tx, freed.blobs)
        return result, Freed()

    def remove(self, blobs: Iterable[BlobId]) -> None:
        """Remove blobs that nothing names any more."""
        for blob in blobs:
            self.blobs.remove(blob)

    def add(
        self,
        tx: Transaction,
        bucket: Bucket,
        key: bytes,
        latest: Any | None,
        values: dict[str, Any],
        condition: Condition,
    ) -> tuple[StoredObject, Freed]:
        """Put a version over those that there are, the latest of which is given, in a transaction
        that has locked its key.
        """
        condition.check(latest, key.decode())
        if bucket.object_lock and values["retained_until"] is None:
            values = values | self._default_retention(tx, bucket.name)
        return add_version(tx, bucket, key, latest, values)

    def _default_retention(self, tx: Transaction, bucket: str) -> dict[str, Any]:
        document = find_setting(tx, bucket, OBJECT_LOCK)
        if document is None:
            return {}
        retention = DefaultRetention.from_json(document).begin(tx.now)
        return {"retention_mode": retention.mode, "retained_until": retention.until}

    def _forget(self, kept: Sequence[Kept]) -> None:
        for one in kept:
            one.forget(self.blobs)

    def head(self, bucket: str, key: str, version_id: str | None) -> StoredObject:
        """Return what is known of a version."""
        name = checked_key(key)
        with self.state.reading() as tx:
            return stored_object(get_version(tx, bucket, name, version_id))

    def get(
        self, bucket: str, key: str, version_id: str | None, customer_key: bytes | None
    ) -> ObjectStream:
        """Open a version."""
        name = checked_key(key)
        former = None
        while True:
            with self.state.reading() as tx:
                row, pieces = opened(tx, bucket, name, version_id)
            try:
                keys = Keys(self.seal, row.encryption, customer_key)
                return ObjectStream(stored_object(row), self.blobs, pieces, keys)
            except Cannot as error:
                # Somebody may have deleted it between the row and the bytes; if not, they are gone.
                if former is not None and former == (row.rank, row.blob):
                    raise Damaged(f"the bytes of {bucket}/{key} can't be read: {error}") from error
                former = (row.rank, row.blob)

    def parts(
        self, bucket: str, key: str, version_id: str | None, after: int, most: int
    ) -> list[PartSize]:
        """Return the parts that a version was uploaded in."""
        name = checked_key(key)
        with self.state.reading() as tx:
            row = get_version(tx, bucket, name, version_id)
            if row.parts_id is None:
                return []
            return [part_size_of(one) for one in page_of_parts(tx, row.parts_id, after, most)]

    def delete(
        self,
        bucket: str,
        key: str,
        version_id: str | None,
        condition: Condition,
        *,
        bypass_governance: bool,
    ) -> Deleted:
        """Delete an object or a version."""
        name = checked_key(key)

        def act(tx: Transaction) -> tuple[Deleted, Freed]:
            lock_keys(tx, (bucket, name))
            return _delete(
                tx, get_bucket(tx, bucket), name, version_id, condition, bypass_governance
            )

        return self.commit(bucket, act)

    def delete_many(
        self, bucket: str, wanted: Sequence[tuple[str, str | None]], *, bypass_governance: bool
    ) -> list[Deleted | Exception]:
        """Delete many, some at a time."""
        if len(wanted) > limits.DELETED_AT_ONCE:
            raise InvalidValue(f"at most {limits.DELETED_AT_ONCE} keys at once, not {len(wanted)}")
        results: list[Deleted | Exception] = []
        for at in range(0, len(wanted), _DELETED_TOGETHER):
            some = wanted[at : at + _DELETED_TOGETHER]
            results += self.commit(bucket, partial(_delete_some, bucket, some, bypass_governance))
        return results

    def change(
        self,
        bucket: str,
        key: str,
        version_id: str | None,
        decide: Callable[[Transaction, Any], Mapping[str, Any]],
    ) -> StoredObject:
        """Change columns of a version to what `decide` says of its row."""
        name = checked_key(key)

        def act(tx: Transaction) -> tuple[StoredObject, Freed]:
            lock_keys(tx, (bucket, name))
            row = get_version(tx, bucket, name, version_id)
            check_no_marker(row)
            place = (objects.c.bucket == bucket) & (objects.c.key == name)
            changed = update(objects).where(place, objects.c.rank == row.rank)
            tx.execute(changed.values(**decide(tx, row)))
            return stored_object(find_version(tx, bucket, name, row.version_id)), Freed()

        return self.commit(bucket, act)

    def set_tags(
        self, bucket: str, key: str, version_id: str | None, tags: Mapping[str, str]
    ) -> StoredObject:
        """Give a version other tags."""
        check_tags(tags)
        return self.change(bucket, key, version_id, lambda _tx, _row: {"tags": dumped(tags)})

    def set_retention(
        self,
        bucket: str,
        key: str,
        version_id: str | None,
        retention: Retention | None,
        *,
        bypass_governance: bool,
    ) -> StoredObject:
        """Give a version another retention."""

        def decide(tx: Transaction, row: Any) -> Mapping[str, Any]:
            _check_locks(tx, bucket)
            if retention is not None:
                locks.check_retention(retention, tx.now)
            locks.check_change(row, retention, tx.now, bypass_governance=bypass_governance)
            if retention is None:
                return {"retention_mode": None, "retained_until": None}
            return {"retention_mode": retention.mode, "retained_until": retention.until}

        return self.change(bucket, key, version_id, decide)

    def set_legal_hold(
        self, bucket: str, key: str, version_id: str | None, *, on: bool
    ) -> StoredObject:
        """Put a version under a legal hold, or take that back."""

        def decide(tx: Transaction, _row: Any) -> Mapping[str, Any]:
            _check_locks(tx, bucket)
            return {"legal_hold": on}

        return self.change(bucket, key, version_id, decide)


def same_bucket(tx: Transaction, bucket: Bucket) -> Bucket:
    """Return the bucket as it is now. Raises `NotFound` if it was deleted since, and made anew."""
    present = get_bucket(tx, bucket.name)
    if present.created_at != bucket.created_at:
        raise NotFound("bucket", bucket.name)
    return present


def _columns(tx: Transaction, about: About, kept: Kept, keys: Keys) -> dict[str, Any]:
    """Return the columns of a version whose bytes are kept."""
    return {
        **described(about),
        "size_bytes": kept.size_bytes,
        "etag": kept.md5,
        "checksum": checksum_text(kept.checksum),
        "encryption": keys.encryption,
        **kept.place(tx),
    }


def _check_locks(tx: Transaction, bucket: str) -> None:
    if not get_bucket(tx, bucket).object_lock:
        raise WrongState(f"bucket {bucket!r} was not made for object locks")


def _delete(
    tx: Transaction,
    bucket: Bucket,
    key: bytes,
    version_id: str | None,
    condition: Condition,
    bypass_governance: bool,
) -> tuple[Deleted, Freed]:
    latest = find_latest(tx, bucket.name, key)
    condition.check(latest, key.decode())
    if version_id is None:
        return delete_object(tx, bucket, key, latest)
    row = find_version(tx, bucket.name, key, version_id)
    if row is None:
        return Deleted(key.decode(), version_id), Freed()
    locks.check_deletable(row, tx.now, bypass_governance=bypass_governance)
    return delete_version(tx, row)


def _delete_some(
    bucket: str,
    wanted: Sequence[tuple[str, str | None]],
    bypass_governance: bool,
    tx: Transaction,
) -> tuple[list[Deleted | Exception], Freed]:
    found = get_bucket(tx, bucket)
    names: list[bytes | InvalidValue] = [_name_or_error(key) for key, _ in wanted]
    lock_keys(tx, *((bucket, name) for name in names if isinstance(name, bytes)))
    results: list[Deleted | Exception] = []
    freed = Freed()
    for name, (_, version_id) in zip(names, wanted, strict=True):
        if isinstance(name, InvalidValue):
            results.append(name)
            continue
        try:
            done, free = _delete(tx, found, name, version_id, Condition(), bypass_governance)
        except Refused as error:  # raised before anything of that key was changed
            results.append(error)
        else:
            results.append(done)
            freed.blobs += free.blobs
    return results, freed


def _name_or_error(key: str) -> bytes | InvalidValue:
    try:
        return checked_key(key)
    except InvalidValue as error:
        return error
