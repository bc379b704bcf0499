"""Copies of objects: a copy has the same bytes, and, if it can, names the same blobs."""

from __future__ import annotations

import secrets
from functools import partial
from typing import Any

import attrs
from sqlalchemy import bindparam, insert, select

from pycloud.errors import PreconditionFailed
from pycloud.state.schema import contents
from pycloud.state.transaction import Transaction
from pycloud.storage.checksums import checksum_of
from pycloud.storage.encryption import BY_CUSTOMER, Keys
from pycloud.storage.names import checked_key
from pycloud.storage.objects import Condition, Objects, same_bucket
from pycloud.storage.opening import check_no_marker
from pycloud.storage.parts import copy_parts
from pycloud.storage.records import About, Bucket, Expected, StoredObject
from pycloud.storage.versions import (
    Freed,
    described,
    find_latest,
    get_version,
    loaded,
    lock_keys,
)

_ID_BYTES = 24
_CONTENT = select(contents.c.data, contents.c.crc).where(contents.c.id == bindparam("b_content"))
_INSERT_CONTENT = insert(contents)


@attrs.frozen
class Source:
    """What is copied."""

    bucket: str
    key: str
    version_id: str | None = None
    if_match: str | None = None
    customer_key: bytes | None = attrs.field(default=None, repr=False)

    def row(self, tx: Transaction) -> Any:
        """Return its row. Raises `NotFound`, `WrongState`, `PreconditionFailed`."""
        row = get_version(tx, self.bucket, checked_key(self.key), self.version_id)
        check_no_marker(row)
        if self.if_match is not None and self.if_match not in ("*", row.etag):
            raise PreconditionFailed("source_if_match", f"the ETag of {self.key!r} is {row.etag}")
        return row


@attrs.frozen
class Wanted:
    """What the copy is to be."""

    bucket: str
    key: str
    about: About
    keep_metadata: bool = True
    keep_tags: bool = True
    algorithm: str | None = None
    condition: Condition = attrs.field(factory=Condition)

    def described(self, row: Any) -> About:
        """Return what the copy of this row is, besides its bytes."""
        about = self.about
        if self.keep_metadata:
            about = attrs.evolve(about, headers=loaded(row.headers), metadata=loaded(row.metadata))
        return attrs.evolve(about, tags=loaded(row.tags)) if self.keep_tags else about


class _ChangedError(Exception):
    """The source is not any more what it was when it was looked at."""


def copy(objects: Objects, source: Source, wanted: Wanted) -> StoredObject:
    """Copy an object. Raises like `BucketStore.copy`."""
    while True:
        with objects.state.reading() as tx:
            row = source.row(tx)
        bucket, keys = objects.prepare(wanted.bucket, wanted.described(row))
        if not _can_share(row, keys, wanted.algorithm):
            return _rewritten(objects, source, wanted)
        Keys(objects.seal, row.encryption, source.customer_key)  # refuses a key that is not used
        try:
            return objects.commit(
                wanted.bucket, partial(_shared, objects, bucket, keys, source, wanted)
            )
        except _ChangedError:
            continue


def _can_share(row: Any, keys: Keys, algorithm: str | None) -> bool:
    """Tell whether the copy can have the very bytes that are stored."""
    if BY_CUSTOMER in (row.encryption, keys.encryption) or row.encryption != keys.encryption:
        return False
    present = checksum_of(row.checksum)
    return algorithm is None or (present is not None and present.algorithm == algorithm)


def _rewritten(objects: Objects, source: Source, wanted: Wanted) -> StoredObject:
    """Write the bytes anew."""
    with objects.get(source.bucket, source.key, source.version_id, source.customer_key) as stream:
        stored = stream.stored
        if source.if_match is not None and source.if_match not in ("*", stored.etag):
            raise PreconditionFailed(
                "source_if_match", f"the ETag of {source.key!r} is {stored.etag}"
            )
        about = wanted.about
        if wanted.keep_metadata:
            about = attrs.evolve(about, headers=stored.headers, metadata=stored.metadata)
        if wanted.keep_tags:
            about = attrs.evolve(about, tags=stored.tags)
        algorithm = wanted.algorithm
        if algorithm is None and stored.checksum is not None:
            algorithm = stored.checksum.algorithm
        expected = Expected(size_bytes=stored.size_bytes, algorithm=algorithm)
        return objects.put(wanted.bucket, wanted.key, stream, about, expected, wanted.condition)


def _shared(
    objects: Objects,
    bucket: Bucket,
    keys: Keys,
    source: Source,
    wanted: Wanted,
    tx: Transaction,
) -> tuple[StoredObject, Freed]:
    """Write a row that names the same bytes."""
    name = checked_key(wanted.key)
    lock_keys(tx, (source.bucket, checked_key(source.key)), (bucket.name, name))
    row = source.row(tx)
    if not _can_share(row, keys, wanted.algorithm):
        raise _ChangedError
    values = described(wanted.described(row)) | {
        "size_bytes": row.size_bytes,
        "etag": row.etag,
        "checksum": row.checksum,
        "encryption": row.encryption,
        "blob": row.blob,
        "has_sums": row.has_sums,
        "sealed_key": row.sealed_key,
        "part_count": row.part_count,
    }
    if row.content_id is not None:
        content = tx.execute(_CONTENT, {"b_content": row.content_id}).one()
        inserted = tx.execute(_INSERT_CONTENT, dict(content._mapping)).inserted_primary_key
        assert inserted is not None  # one row was inserted
        values["content_id"] = inserted[0]
    if row.parts_id is not None:
        values["parts_id"] = secrets.token_hex(_ID_BYTES)
        copy_parts(tx, row.parts_id, values["parts_id"])
    latest = find_latest(tx, bucket.name, name)
    return objects.add(tx, same_bucket(tx, bucket), name, latest, values, wanted.condition)
