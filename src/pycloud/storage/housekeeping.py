"""Sweeps bytes that nothing names, and scrubs those that something does."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import islice
from typing import Any

from sqlalchemy import and_, bindparam, delete, or_, select

from pycloud import limits
from pycloud.errors import Cannot, Damaged, InvalidValue
from pycloud.ids import BlobId
from pycloud.state.database import Database
from pycloud.state.schema import objects, parting_blobs, parts
from pycloud.state.transaction import Transaction
from pycloud.storage.blobs import Blobs, FoundBlob
from pycloud.storage.names import encoded_text
from pycloud.storage.opening import pieces_of
from pycloud.storage.reading import Piece, StoredBytes
from pycloud.storage.records import Damage, ScrubReport
from pycloud.storage.versions import find_version

_AT_ONCE = 500
_AFTER = or_(
    objects.c.bucket > bindparam("b_bucket"),
    and_(objects.c.bucket == bindparam("b_bucket"), objects.c.key > bindparam("b_key")),
)
_PLACES = (
    select(objects.c.bucket, objects.c.key)
    .where(objects.c.bucket >= bindparam("b_bucket"), _AFTER)
    .distinct()
    .order_by(objects.c.bucket, objects.c.key)
    .limit(bindparam("b_most"))
)
_VERSIONS = (
    select(objects)
    .where(objects.c.bucket == bindparam("b_bucket"), objects.c.key == bindparam("b_key"))
    .order_by(objects.c.rank)
)


class Sweeper:
    """Removes blobs that nothing names and that were not written to lately."""

    def __init__(self, state: Database, blobs: Blobs) -> None:
        self._state = state
        self._blobs = blobs
        self._rest: Iterator[FoundBlob] | None = None

    def sweep(self, older_than_s: float) -> int:
        """Look at all blobs; return how many were removed."""
        found = self._blobs.all()
        count = remove_parted(self._state, self._blobs)
        while some := list(islice(found, _AT_ONCE)):
            count += self._remove_unnamed(some, older_than_s)
        return count

    def step(self) -> int:
        """Look at some blobs, and at others the next time; return how many were removed."""
        count = remove_parted(self._state, self._blobs)
        self._rest = self._rest or self._blobs.all()
        some = list(islice(self._rest, _AT_ONCE))
        if not some:
            self._rest = None
        return count + self._remove_unnamed(some, limits.ORPHAN_S)

    def _remove_unnamed(self, some: Sequence[FoundBlob], older_than_s: float) -> int:
        old = [found.id for found in some if found.age_s >= older_than_s]
        if not old:
            return 0
        with self._state.reading() as tx:
            orphans = set(old) - _named(tx, old)
        for blob in orphans:
            self._blobs.remove(blob)
        return len(orphans)


def remove_parted(state: Database, blobs: Blobs) -> int:
    """Remove the blobs of objects in parts that were deleted so long ago that nobody reads them any
    more; return how many. The blobs go first: what a crash leaves is tried again.
    """
    with state.reading() as tx:
        over = tx.now - timedelta(seconds=limits.READING_S)
        query = select(parting_blobs.c.blob).where(parting_blobs.c.parted_at <= over)
        due = [BlobId(blob) for blob in tx.execute(query.limit(limits.EXPIRY_ROWS)).scalars()]
    for at in range(0, len(due), _AT_ONCE):
        some = due[at : at + _AT_ONCE]
        for blob in some:
            blobs.remove(blob)
        with state.transaction() as tx:
            tx.execute(delete(parting_blobs).where(parting_blobs.c.blob.in_(some)))
    return len(due)


def _named(tx: Transaction, some: Sequence[BlobId]) -> set[BlobId]:
    """Return those of the blobs that something names."""
    named: set[BlobId] = set()
    for column in (objects.c.blob, parts.c.blob, parting_blobs.c.blob):
        named.update(tx.execute(select(column).where(column.in_(some))).scalars())
    return named


def scrub(state: Database, blobs: Blobs, after: tuple[str, str] | None, most: int) -> ScrubReport:
    """Read all versions of up to `most` keys, and put what is damaged into quarantine."""
    if most < 1:
        raise InvalidValue(f"a scrub reads at least 1 key, not {most}")
    bucket, key = ("", "") if after is None else after
    place = {"b_bucket": bucket, "b_key": encoded_text(key, "the key"), "b_most": most + 1}
    with state.reading() as tx:
        places = tx.execute(_PLACES, place).all()
    count, size, damaged = 0, 0, []
    for one in places[:most]:
        with state.reading() as tx:
            rows = tx.execute(_VERSIONS, {"b_bucket": one.bucket, "b_key": one.key}).all()
        for row in rows:
            count += 1
            size += row.size_bytes
            reason = _damage(state, blobs, row)
            if reason is not None:
                damaged.append(Damage(row.bucket, row.key.decode(), row.version_id, reason))
    goes_on = len(places) > most
    last = (places[most - 1].bucket, places[most - 1].key.decode()) if goes_on else None
    return ScrubReport(count, size, tuple(damaged), last)


def _damage(state: Database, blobs: Blobs, row: Any) -> str | None:
    """Return what is wrong with the bytes of a version, or None."""
    try:
        with state.reading() as tx:
            pieces = pieces_of(tx, row)
    except Damaged as error:
        return str(error)
    for piece in pieces:
        try:
            _check(piece, blobs, row)
        except Damaged as error:
            if piece.blob is not None:
                blobs.quarantine(piece.blob)
            return str(error)
        except Cannot as error:
            with state.reading() as tx:
                if find_version(tx, row.bucket, row.key, row.version_id) is None:
                    return None  # it was deleted meanwhile
            return str(error)
    return None


def _check(piece: Piece, blobs: Blobs, row: Any) -> None:
    """Raise `Damaged` unless the bytes of a piece are what was written."""
    stored, digest = StoredBytes(piece, blobs), hashlib.md5(usedforsecurity=False)
    try:
        for data in stored.all():
            if not piece.has_sums:
                digest.update(data)
    finally:
        stored.close()
    if not piece.has_sums and digest.hexdigest() != row.etag:
        raise Damaged(f"the MD5 of a blob of {stored.size_bytes} bytes is not what was written")
