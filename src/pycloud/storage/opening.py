"""Where the bytes of a version are."""

from __future__ import annotations

import zlib
from typing import Any

from sqlalchemy import bindparam, select

from pycloud.errors import Damaged, WrongState
from pycloud.ids import BlobId
from pycloud.state.schema import contents, objects
from pycloud.state.transaction import Transaction
from pycloud.storage.parts import all_parts
from pycloud.storage.reading import Piece
from pycloud.storage.versions import get_version

_OPENED = (
    select(objects, contents.c.data, contents.c.crc)
    .select_from(objects.outerjoin(contents, contents.c.id == objects.c.content_id))
    .where(objects.c.bucket == bindparam("b_bucket"), objects.c.key == bindparam("b_key"))
    .order_by(objects.c.rank)
    .limit(1)
)
"""The latest version, with its bytes if these are few: what is asked for most takes one statement."""
_CONTENT = select(contents.c.data, contents.c.crc).where(contents.c.id == bindparam("b_content"))


def opened(
    tx: Transaction, bucket: str, key: bytes, version_id: str | None
) -> tuple[Any, list[Piece]]:
    """Return the row of a version, and where its bytes are. Raises like `get_version`."""
    row: Any = None
    if version_id is None:
        row = tx.execute(_OPENED, {"b_bucket": bucket, "b_key": key}).one_or_none()
        if row is not None and row.content_id is not None:
            return row, [_small_piece(row, row)]
    if row is None or row.is_delete_marker:
        row = get_version(tx, bucket, key, version_id)
    check_no_marker(row)
    return row, pieces_of(tx, row)


def _small_piece(row: Any, content: Any) -> Piece:
    """Return the bytes of a small object. Raises `Damaged`."""
    if zlib.crc32(content.data) != content.crc:
        raise Damaged(f"the bytes of {row.key.decode()!r} are not what was written")
    return Piece(row.size_bytes, data=content.data, sealed_key=row.sealed_key)


def pieces_of(tx: Transaction, row: Any) -> list[Piece]:
    """Return where the bytes of a version are."""
    if row.parts_id is not None:
        return [_part_piece(part) for part in all_parts(tx, row.parts_id)]
    if row.content_id is not None:
        content = tx.execute(_CONTENT, {"b_content": row.content_id}).one()
        return [_small_piece(row, content)]
    if row.blob is None:
        return []
    return [Piece(row.size_bytes, None, BlobId(row.blob), row.has_sums, row.sealed_key)]


def _part_piece(part: Any) -> Piece:
    blob = None if part.blob is None else BlobId(part.blob)
    return Piece(part.size_bytes, None, blob, True, part.sealed_key)


def check_no_marker(row: Any) -> None:
    """Raise `WrongState` for a delete marker: it has no bytes, and nothing that could be changed."""
    if row.is_delete_marker:
        raise WrongState(f"version {row.version_id} of {row.key.decode()!r} is a delete marker")
