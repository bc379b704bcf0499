"""The rows of parts: of uploads under way, and, under the same id, of the objects that they became."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, delete, exists, select

from pycloud.ids import BlobId
from pycloud.state.columns import Instant
from pycloud.state.schema import parting_blobs, parts
from pycloud.state.transaction import Transaction
from pycloud.storage.checksums import checksum_of
from pycloud.storage.records import Part, PartSize

_others = parts.alias("others")
_OF = parts.c.parts_id == bindparam("b_parts")
_SHARED = exists().where(_others.c.blob == parts.c.blob, _others.c.parts_id != parts.c.parts_id)
_ALL = select(parts).where(_OF).order_by(parts.c.number)
_PAGE = (
    select(parts)
    .where(_OF, parts.c.number > bindparam("b_after"))
    .order_by(parts.c.number)
    .limit(bindparam("b_most"))
)
_ONE = select(parts).where(_OF, parts.c.number == bindparam("b_number"))
_INSERT = parts.insert()
_DELETE = delete(parts).where(_OF)
_DELETE_ONE = delete(parts).where(_OF, parts.c.number == bindparam("b_number"))
_PART_WITH = parting_blobs.insert().from_select(
    ["blob", "parted_at"],
    select(parts.c.blob, bindparam("b_now", type_=Instant)).where(
        _OF, parts.c.blob.is_not(None), ~_SHARED
    ),
)


def all_parts(tx: Transaction, parts_id: str) -> Sequence[Any]:
    """Return the rows of all parts, by number."""
    return tx.execute(_ALL, {"b_parts": parts_id}).all()


def page_of_parts(tx: Transaction, parts_id: str, after: int, most: int) -> Sequence[Any]:
    """Return the rows of up to `most` parts with numbers above `after`."""
    return tx.execute(_PAGE, {"b_parts": parts_id, "b_after": after, "b_most": most}).all()


def replace_part(tx: Transaction, values: dict[str, Any]) -> BlobId | None:
    """Write a part's row, in place of the one that is there; return the blob that went with it."""
    place = {"b_parts": values["parts_id"], "b_number": values["number"]}
    former = tx.execute(_ONE, place).one_or_none()
    if former is not None:
        tx.execute(_DELETE_ONE, place)
    tx.execute(_INSERT, values)
    return None if former is None or former.blob is None else BlobId(former.blob)


def free_some_parts(tx: Transaction, rows: Sequence[Any]) -> None:
    """Forget parts of an upload, given as rows: nobody else has their blobs."""
    if not rows:
        return
    tx.execute(_DELETE_ONE, [{"b_parts": row.parts_id, "b_number": row.number} for row in rows])
    part_with_blobs(tx, [BlobId(row.blob) for row in rows if row.blob is not None])


def part_with_blobs(tx: Transaction, blobs: Sequence[BlobId]) -> None:
    """Let blobs that nothing names be removed later: see `parting_blobs`."""
    if blobs:
        tx.execute(parting_blobs.insert(), [{"blob": blob, "parted_at": tx.now} for blob in blobs])


def copy_parts(tx: Transaction, parts_id: str, to: str) -> None:
    """Give another object the same parts: the same blobs, under another id."""
    rows = [dict(row._mapping) | {"parts_id": to} for row in all_parts(tx, parts_id)]
    tx.execute(_INSERT, rows)


def free_parts(tx: Transaction, parts_id: str) -> None:
    """Forget the parts. Their blobs, unless others have them too, stay for a while, for those who
    are reading them: see `parting_blobs`.
    """
    tx.execute(_PART_WITH, {"b_parts": parts_id, "b_now": tx.now})
    tx.execute(_DELETE, {"b_parts": parts_id})


def part_of(row: Any) -> Part:
    """Return the record of a row."""
    checksum = checksum_of(row.checksum)
    return Part(row.number, row.etag, row.size_bytes, row.created_at, checksum)


def part_size_of(row: Any) -> PartSize:
    """Return what is shown of a part of an object."""
    return PartSize(row.number, row.size_bytes, checksum_of(row.checksum))
