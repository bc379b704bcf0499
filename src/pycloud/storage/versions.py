"""The rows of objects: every version and delete marker is one. What is decided here is decided in
the caller's transaction, under the lock of the key.

The versions of a key are ordered by `rank`: the newer has the smaller, so that indexes give the
newest first. A version id begins with the rank, so that it is found without an index of its own.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
from sqlalchemy import bindparam, delete, select, update

from pycloud.errors import NotFound, PreconditionFailed
from pycloud.ids import AccountId, BlobId
from pycloud.state.schema import buckets, contents, objects
from pycloud.state.transaction import Transaction
from pycloud.storage.checksums import checksum_of
from pycloud.storage.parts import free_parts
from pycloud.storage.records import (
    About,
    Bucket,
    Deleted,
    Retention,
    StoredObject,
    Versioning,
)

NULL = "null"
_RANK_TOP = 1 << 62
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_RANK_DIGITS = 16
_RANDOM_BYTES = 8

_OF_KEY = (objects.c.bucket == bindparam("b_bucket")) & (objects.c.key == bindparam("b_key"))
_AT_RANK = _OF_KEY & (objects.c.rank == bindparam("b_rank"))
_LATEST = select(objects).where(_OF_KEY).order_by(objects.c.rank).limit(1)
_BY_RANK = select(objects).where(_AT_RANK)
_NULL_ONE = select(objects).where(_OF_KEY, objects.c.version_id == NULL)
_FORMER_NULL = _NULL_ONE.where(objects.c.rank >= bindparam("b_rank"))
_BUCKET = select(buckets).where(buckets.c.name == bindparam("b_bucket"))
LATEST = (
    *("bucket", "key", "rank", "version_id", "is_delete_marker", "etag"),
    *("content_id", "blob", "parts_id"),
)
"""The columns of the latest version that `add_version` and `check_conditions` ask for."""
_INSERT = objects.insert()
_COVER = update(objects).where(_AT_RANK).values(is_latest=False, is_shown=False)
_UNCOVER = update(objects).where(_AT_RANK)
_DELETE = delete(objects).where(_AT_RANK)
_DELETE_CONTENT = delete(contents).where(contents.c.id == bindparam("b_content"))
_NAMES_BLOB = select(objects.c.rank).where(objects.c.blob == bindparam("b_blob")).limit(1)


@attrs.define
class Freed:
    """What nothing names any more, once the transaction is committed."""

    blobs: list[BlobId] = attrs.field(factory=list)


def lock_keys(tx: Transaction, *places: tuple[str, bytes]) -> None:
    """Keep others from deciding on the versions of these keys until the commit."""
    tx.lock_names(f"objects/{bucket}/".encode() + key for bucket, key in places)


def get_bucket(tx: Transaction, bucket: str) -> Bucket:
    """Return a bucket. Raises `NotFound`."""
    row = tx.execute(_BUCKET, {"b_bucket": bucket}).one_or_none()
    if row is None:
        raise NotFound("bucket", bucket)
    return bucket_of(row)


def share_bucket(tx: Transaction, bucket: str) -> Bucket:
    """Return a bucket that nobody deletes or changes until the commit. Raises `NotFound`."""
    row = tx.execute(tx.locked(_BUCKET, read=True), {"b_bucket": bucket}).one_or_none()
    if row is None:
        raise NotFound("bucket", bucket)
    return bucket_of(row)


def bucket_of(row: Any) -> Bucket:
    """Return the record of a row."""
    account, versioning = AccountId(row.account), Versioning(row.versioning)
    return Bucket(row.name, account, row.created_at, versioning, row.object_lock)


def find_latest(tx: Transaction, bucket: str, key: bytes) -> Any | None:
    """Return the row of the latest version or delete marker."""
    return tx.execute(_LATEST, {"b_bucket": bucket, "b_key": key}).one_or_none()


def find_version(tx: Transaction, bucket: str, key: bytes, version_id: str) -> Any | None:
    """Return the row of a version or delete marker."""
    place: dict[str, Any] = {"b_bucket": bucket, "b_key": key}
    if version_id == NULL:
        return tx.execute(_NULL_ONE, place).one_or_none()
    rank = rank_of(version_id)
    if rank is None:
        return None
    row = tx.execute(_BY_RANK, place | {"b_rank": rank}).one_or_none()
    return None if row is None or row.version_id != version_id else row


def get_version(tx: Transaction, bucket: str, key: bytes, version_id: str | None) -> Any:
    """Return the row of an object, or of that version of it, which may be a delete marker. Raises
    `NotFound` of a bucket, an object or a version.
    """
    if version_id is None:
        row = find_latest(tx, bucket, key)
        missing = NotFound("object", f"{bucket}/{key.decode()}")
        found = row is not None and not row.is_delete_marker
    else:
        row = find_version(tx, bucket, key, version_id)
        missing = NotFound("version", f"{bucket}/{key.decode()}@{version_id}")
        found = row is not None
    if not found:
        get_bucket(tx, bucket)
        raise missing
    return row


def _version_id(rank: int) -> str:
    return f"{rank:0{_RANK_DIGITS}x}{secrets.token_hex(_RANDOM_BYTES)}"


def rank_of(version_id: str) -> int | None:
    """Return the rank that a version id tells of, or None if it is none."""
    digits = version_id[:_RANK_DIGITS]
    if len(version_id) != _RANK_DIGITS + 2 * _RANDOM_BYTES:
        return None
    try:
        return int(digits, 16) if digits == digits.lower() else None
    except ValueError:
        return None


def check_conditions(
    row: Any | None, key: str, *, if_match: str | None, if_none_match: str | None
) -> None:
    """Hold the latest version against the conditions of a write ("Conditional requests"). Raises
    `NotFound`, `PreconditionFailed`.
    """
    present = None if row is None or row.is_delete_marker else row
    if if_match is not None:
        if present is None:
            raise NotFound("object", key)
        if if_match not in ("*", present.etag):
            raise PreconditionFailed("if_match", f"the ETag of {key!r} is {present.etag}")
    if if_none_match is not None and present is not None and if_none_match in ("*", present.etag):
        raise PreconditionFailed("if_none_match", f"there is {key!r}, with ETag {present.etag}")


def add_version(
    tx: Transaction, bucket: Bucket, key: bytes, latest: Any | None, values: Mapping[str, Any]
) -> tuple[StoredObject, Freed]:
    """Put a new version, or a delete marker, over those that there are; return what it is, and
    what became free. `values` are the columns that are not of the version's own place.
    """
    is_null = bucket.versioning is not Versioning.ENABLED
    rank = _next_rank(tx.now, latest)
    row: dict[str, Any] = {
        **_NO_VALUES,
        **values,
        "bucket": bucket.name,
        "key": key,
        "rank": rank,
        "version_id": NULL if is_null else _version_id(rank),
        "is_latest": True,
        "is_shown": not values.get("is_delete_marker", False),
        "created_at": tx.now,
    }
    # Columns that are left out are NULL too, and cost nothing.
    tx.execute(_INSERT, {name: value for name, value in row.items() if value is not None})
    freed = Freed()
    if latest is not None:
        # After the insert: what the new version shares with a former one is not free.
        _cover(tx, bucket, latest, freed, is_null=is_null)
    return stored_object(_Row(row)), freed


def remove_version(tx: Transaction, row: Any) -> Freed:
    """Delete a version or a delete marker for good; what was under it shows again."""
    freed = Freed()
    _delete_row(tx, row, freed)
    if row.is_latest:
        former = find_latest(tx, row.bucket, row.key)
        if former is not None:
            shown = {"is_latest": True, "is_shown": not former.is_delete_marker}
            tx.execute(_UNCOVER, _place(former) | shown)
    return freed


def delete_object(
    tx: Transaction, bucket: Bucket, key: bytes, row: Any | None
) -> tuple[Deleted, Freed]:
    """Delete the latest version of a key, whose row is given: so that it can be had back, where
    the bucket keeps versions.
    """
    name = key.decode()
    if bucket.versioning is Versioning.OFF:
        return Deleted(name), Freed() if row is None else remove_version(tx, row)
    marker = {"is_delete_marker": True, "account": bucket.account}
    stored, freed = add_version(tx, bucket, key, row, marker)
    return Deleted(name, stored.version_id, is_delete_marker=True), freed


def delete_version(tx: Transaction, row: Any) -> tuple[Deleted, Freed]:
    """Delete one version for good."""
    deleted = Deleted(row.key.decode(), row.version_id, row.is_delete_marker)
    return deleted, remove_version(tx, row)


def described(about: About) -> dict[str, Any]:
    """Return the columns that say what an object is to be, besides its bytes."""
    retention = about.retention
    return {
        "account": about.account,
        "storage_class": about.storage_class,
        "retention_mode": None if retention is None else retention.mode,
        "retained_until": None if retention is None else retention.until,
        "legal_hold": about.legal_hold,
        "headers": dumped(about.headers),
        "metadata": dumped(about.metadata),
        "tags": dumped(about.tags),
        "acl": about.acl,
    }


def stored_object(row: Any) -> StoredObject:
    """Return the record of a row."""
    retention = None
    if row.retained_until is not None:
        retention = Retention(row.retention_mode, row.retained_until)
    return StoredObject(
        bucket=row.bucket,
        key=row.key.decode(),
        size_bytes=row.size_bytes,
        etag=row.etag,
        created_at=row.created_at,
        account=AccountId(row.account),
        version_id=row.version_id,
        is_latest=row.is_latest,
        is_delete_marker=row.is_delete_marker,
        headers=loaded(row.headers),
        metadata=loaded(row.metadata),
        tags=loaded(row.tags),
        acl=row.acl,
        storage_class=row.storage_class,
        checksum=checksum_of(row.checksum),
        part_count=row.part_count,
        encryption=row.encryption,
        retention=retention,
        legal_hold=row.legal_hold,
    )


def dumped(pairs: Mapping[str, str]) -> str:
    """Return the text that is kept of a mapping."""
    return json.dumps(dict(pairs), ensure_ascii=False) if pairs else "{}"


def loaded(text: str) -> dict[str, str]:
    """Return the mapping that `dumped` wrote."""
    if text == "{}":
        return {}
    found: dict[str, str] = json.loads(text)
    return found


class _Row:
    """A row that was just written, read like one of the database."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__.update(values)


_NO_VALUES: dict[str, Any] = {column.name: None for column in objects.columns} | {
    "size_bytes": 0,
    "etag": "",
    "storage_class": "STANDARD",
    "is_delete_marker": False,
    "legal_hold": False,
    "has_sums": False,
    "headers": "{}",
    "metadata": "{}",
    "tags": "{}",
}


def _place(row: Any) -> dict[str, Any]:
    return {"b_bucket": row.bucket, "b_key": row.key, "b_rank": row.rank}


def _next_rank(now: datetime, latest: Any | None) -> int:
    """Return a rank that is newer than the latest's, whatever the clock says."""
    rank = _RANK_TOP - (now - _EPOCH) // _MICROSECOND
    return rank if latest is None else min(rank, latest.rank - 1)


def _cover(tx: Transaction, bucket: Bucket, latest: Any, freed: Freed, *, is_null: bool) -> None:
    """Make `latest` a former version, or, if the new one takes its place, delete it."""
    null = latest if is_null and latest.version_id == NULL else None
    if null is None:
        tx.execute(_COVER, _place(latest))
        if is_null:
            place = _place(latest) | {"b_rank": latest.rank}
            null = tx.execute(_FORMER_NULL, place).one_or_none()
    if null is not None:
        _delete_row(tx, null, freed)


def _delete_row(tx: Transaction, row: Any, freed: Freed) -> None:
    tx.execute(_DELETE, _place(row))
    if row.content_id is not None:
        tx.execute(_DELETE_CONTENT, {"b_content": row.content_id})
    if row.parts_id is not None:
        free_parts(tx, row.parts_id)
    if row.blob is not None and not tx.execute(_NAMES_BLOB, {"b_blob": row.blob}).first():
        freed.blobs.append(BlobId(row.blob))
