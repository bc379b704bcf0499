"""`Uploads`: objects that arrive in parts. The parts are blobs, and stay so: completing an upload
names them, and copies nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, delete, select

from pycloud import limits
from pycloud.errors import (
    BadDigest,
    Incomplete,
    InvalidValue,
    LimitExceeded,
    NotFound,
    PreconditionFailed,
    TooSmall,
)
from pycloud.state.schema import objects, uploads
from pycloud.state.transaction import Transaction
from pycloud.storage.blobs import Readable
from pycloud.storage.checksums import (
    FULL,
    check_kind,
    checksum_of,
    checksum_text,
    etag_of_parts,
    of_parts,
    usual_kind,
)
from pycloud.storage.encryption import Keys
from pycloud.storage.listing import list_uploads, upload_of
from pycloud.storage.names import checked_key
from pycloud.storage.objects import Condition, Objects
from pycloud.storage.parts import (
    all_parts,
    free_parts,
    free_some_parts,
    page_of_parts,
    part_of,
    replace_part,
)
from pycloud.storage.ranges import Range
from pycloud.storage.records import (
    About,
    Checksum,
    Expected,
    Part,
    PartChoice,
    PartListing,
    StoredObject,
    Upload,
    UploadListing,
)
from pycloud.storage.versions import (
    Freed,
    described,
    find_latest,
    get_bucket,
    lock_keys,
    share_bucket,
    stored_object,
)
from pycloud.storage.walks import Page
from pycloud.storage.writing import Incoming, Kept

_AS_THEY_COME = Expected()
_PLAIN = About()
_ID_BYTES = 24
_DESCRIBED = (
    "account",
    "storage_class",
    "retention_mode",
    "retained_until",
    "legal_hold",
    "headers",
    "metadata",
    "tags",
    "acl",
    "encryption",
)
_UPLOAD = select(uploads).where(
    uploads.c.id == bindparam("b_id"),
    uploads.c.bucket == bindparam("b_bucket"),
    uploads.c.key == bindparam("b_key"),
)
_FORGET = delete(uploads).where(uploads.c.id == bindparam("b_id"))
_COMPLETED = select(objects).where(
    objects.c.bucket == bindparam("b_bucket"),
    objects.c.key == bindparam("b_key"),
    objects.c.parts_id == bindparam("b_id"),
)


class Uploads:
    """The uploads of a `BucketStore`, as its `uploads`."""

    def __init__(self, objects: Objects) -> None:
        self.state = objects.state
        self.blobs = objects.blobs
        self._objects = objects

    def begin(
        self,
        bucket: str,
        key: str,
        *,
        about: About = _PLAIN,
        checksum_algorithm: str | None = None,
        checksum_kind: str | None = None,
    ) -> Upload:
        """Begin an upload. The checksum's kind is `composite` or `full`; None is what is usual for
        the algorithm. Raises `NotFound`, `InvalidValue` ("CreateMultipartUpload").
        """
        name = checked_key(key)
        if checksum_algorithm is not None:
            checksum_kind = checksum_kind or usual_kind(checksum_algorithm)
            check_kind(checksum_algorithm, checksum_kind)
        found, keys = self._objects.prepare(bucket, about)

        def act(tx: Transaction) -> tuple[Upload, Freed]:
            share_bucket(tx, found.name)
            row = described(about) | {
                "id": secrets.token_hex(_ID_BYTES),
                "bucket": bucket,
                "key": name,
                "created_at": tx.now,
                "checksum_algorithm": checksum_algorithm,
                "checksum_kind": checksum_kind or FULL,
                "encryption": keys.encryption,
            }
            tx.execute(uploads.insert(), row)
            return upload_of(_upload(tx, bucket, name, row["id"])), Freed()

        return self._objects.commit(bucket, act)

    def get(self, bucket: str, key: str, upload_id: str) -> Upload:
        """Return an upload that is under way. Raises `NotFound` of a bucket or an upload."""
        name = checked_key(key)
        with self.state.reading() as tx:
            return upload_of(_upload(tx, bucket, name, upload_id))

    def put_part(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        number: int,
        stream: Readable,
        *,
        expected: Expected = _AS_THEY_COME,
        customer_key: bytes | None = None,
    ) -> Part:
        """Store a part, in place of what was there under its number. Raises `NotFound`,
        `InvalidValue`, `BadDigest`, `Incomplete`, `LimitExceeded`, `WrongKey` ("UploadPart").
        """
        name = checked_key(key)
        _check_number(number)
        upload = self.get(bucket, key, upload_id)
        keys = Keys(self._objects.seal, upload.encryption, customer_key)
        expected = _summed(upload, expected)
        incoming = Incoming(stream, expected)
        nothing = incoming.start(0)
        kept = incoming.write(self.blobs, keys) if nothing is None else incoming.hold(b"", keys)
        return self._objects.commit(
            bucket, lambda tx: _write_part(tx, bucket, name, upload_id, number, kept), [kept]
        )

    def copy_part(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        number: int,
        source_bucket: str,
        source_key: str,
        *,
        source_version: str | None = None,
        source_if_match: str | None = None,
        source_customer_key: bytes | None = None,
        first: int = 0,
        last: int | None = None,
        customer_key: bytes | None = None,
    ) -> Part:
        """Store bytes `first` to `last`, that one included, of an object as a part. Raises like
        `put_part` and `BucketStore.get`; `InvalidValue` for a range that is not there
        ("UploadPartCopy").
        """
        with self._objects.get(
            source_bucket, source_key, source_version, source_customer_key
        ) as stream:
            etag = stream.stored.etag
            if source_if_match is not None and source_if_match not in ("*", etag):
                raise PreconditionFailed("source_if_match", f"the ETag of {source_key!r} is {etag}")
            last = stream.size_bytes - 1 if last is None else last
            if not 0 <= first <= last < stream.size_bytes and (first, last) != (0, -1):
                raise InvalidValue(
                    f"bytes {first} to {last} are not in the {stream.size_bytes} of {source_key!r}"
                )
            return self.put_part(
                bucket,
                key,
                upload_id,
                number,
                Range(stream, first, last),
                expected=Expected(size_bytes=last + 1 - first),
                customer_key=customer_key,
            )

    def list_parts(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        *,
        after: int = 0,
        most: int = limits.LIST_KEYS,
    ) -> PartListing:
        """Return a page of the parts with numbers above `after`. Raises `NotFound`."""
        name = checked_key(key)
        if not 0 <= most <= limits.LIST_KEYS:
            raise InvalidValue(f"a page has 0 to {limits.LIST_KEYS} parts, not {most}")
        with self.state.reading() as tx:
            upload = upload_of(_upload(tx, bucket, name, upload_id))
            rows = page_of_parts(tx, upload_id, after, most + 1)
        shown = tuple(part_of(row) for row in rows[:most])
        is_truncated = len(rows) > most and bool(shown)
        return PartListing(upload, shown, shown[-1].number if is_truncated else None)

    def list(
        self,
        bucket: str,
        *,
        prefix: str = "",
        delimiter: str = "",
        key_marker: str = "",
        upload_marker: str = "",
        most: int = limits.LIST_KEYS,
    ) -> UploadListing:
        """Return a page of the uploads under way, by key and id. Raises `NotFound`
        ("ListMultipartUploads").
        """
        within = upload_marker if key_marker and upload_marker else None
        page = Page(bucket, prefix, delimiter, key_marker, most, within)
        with self.state.reading() as tx:
            return list_uploads(tx, page)

    def complete(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        chosen: Sequence[PartChoice],
        *,
        checksum: str | None = None,
        size_bytes: int | None = None,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> StoredObject:
        """Make the object of the chosen parts; the others go. Once more, it returns the same object.

        `checksum`, in base64, and `size_bytes` are what the object must have. Raises `NotFound` of
        a bucket, an upload or a `part` (also for another ETag), `InvalidValue` for an order that is
        not ascending, `TooSmall` for a part, `BadDigest`, `Incomplete`, `PreconditionFailed`,
        `LimitExceeded` ("CompleteMultipartUpload").
        """
        name = checked_key(key)
        condition = Condition(if_match, if_none_match)

        def act(tx: Transaction) -> tuple[StoredObject, Freed]:
            found = share_bucket(tx, bucket)
            lock_keys(tx, (bucket, name))
            place = {"b_bucket": bucket, "b_key": name, "b_id": upload_id}
            row = tx.execute(tx.locked(_UPLOAD), place).one_or_none()
            if row is None:  # it may be completed already
                done = tx.execute(_COMPLETED, place).one_or_none()
                if done is not None:
                    return stored_object(done), Freed()
                raise NotFound("upload", upload_id)
            values = _assembled(tx, row, chosen, checksum, size_bytes)
            latest = find_latest(tx, bucket, name)
            result = self._objects.add(tx, found, name, latest, values, condition)
            tx.execute(_FORGET, {"b_id": upload_id})
            return result

        return self._objects.commit(bucket, act)

    def abort(self, bucket: str, key: str, upload_id: str) -> None:
        """Give an upload up, with its parts. Raises `NotFound`."""
        name = checked_key(key)

        def act(tx: Transaction) -> tuple[None, Freed]:
            place = {"b_bucket": bucket, "b_key": name, "b_id": upload_id}
            if tx.execute(tx.locked(_UPLOAD), place).one_or_none() is None:
                get_bucket(tx, bucket)
                raise NotFound("upload", upload_id)
            free_parts(tx, upload_id)
            tx.execute(_FORGET, {"b_id": upload_id})
            return None, Freed()

        self._objects.commit(bucket, act)


def _upload(tx: Transaction, bucket: str, key: bytes, upload_id: str) -> Any:
    place = {"b_bucket": bucket, "b_key": key, "b_id": upload_id}
    row = tx.execute(_UPLOAD, place).one_or_none()
    if row is None:
        get_bucket(tx, bucket)
        raise NotFound("upload", upload_id)
    return row


def _check_number(number: int) -> None:
    if not 1 <= number <= limits.PARTS:
        raise InvalidValue(f"a part has a number from 1 to {limits.PARTS}, not {number}")


def _summed(upload: Upload, expected: Expected) -> Expected:
    """Have the part summed up as the upload needs it."""
    algorithm = upload.checksum_algorithm
    if algorithm is None or expected.algorithm == algorithm:
        return expected
    if expected.algorithm is not None:
        raise InvalidValue(
            f"the parts of this upload have a {algorithm}, and not a {expected.algorithm}"
        )
    return Expected(expected.size_bytes, expected.md5, algorithm)


def _write_part(
    tx: Transaction, bucket: str, key: bytes, upload_id: str, number: int, kept: Kept
) -> tuple[Part, Freed]:
    # Others may write parts at the same time, but nobody completes or aborts the upload.
    place = {"b_bucket": bucket, "b_key": key, "b_id": upload_id}
    if tx.execute(tx.locked(_UPLOAD, read=True), place).one_or_none() is None:
        raise NotFound("upload", upload_id)
    tx.lock_names([f"part/{upload_id}/{number}".encode()])
    values = {
        "parts_id": upload_id,
        "number": number,
        "blob": kept.blob,
        "size_bytes": kept.size_bytes,
        "etag": kept.md5,
        "checksum": checksum_text(kept.checksum),
        "sealed_key": kept.sealed_key,
        "created_at": tx.now,
    }
    former = replace_part(tx, values)
    part = Part(number, kept.md5, kept.size_bytes, tx.now, kept.checksum)
    return part, Freed([] if former is None else [former])


def _assembled(
    tx: Transaction,
    upload: Any,
    chosen: Sequence[PartChoice],
    checksum: str | None,
    size_bytes: int | None,
) -> dict[str, Any]:
    """Return the columns of the object that the chosen parts make; the others are forgotten."""
    present = {row.number: row for row in all_parts(tx, upload.id)}
    rows = _chosen(present, chosen)
    total = sum(row.size_bytes for row in rows)
    if size_bytes is not None and size_bytes != total:
        raise Incomplete(f"{size_bytes} bytes were announced, and the parts have {total}")
    if total > limits.OBJECT_BYTES:
        raise LimitExceeded(f"an object has at most {limits.OBJECT_BYTES} bytes, not {total}")
    whole = _whole_checksum(upload, rows, checksum)
    kept = {row.number for row in rows}
    free_some_parts(tx, [row for number, row in present.items() if number not in kept])
    return {name: getattr(upload, name) for name in _DESCRIBED} | {
        "size_bytes": total,
        "etag": etag_of_parts([row.etag for row in rows]),
        "checksum": checksum_text(whole),
        "parts_id": upload.id,
        "part_count": len(rows),
    }


def _chosen(present: dict[int, Any], chosen: Sequence[PartChoice]) -> list[Any]:
    """Return the rows of the chosen parts. Raises `InvalidValue`, `NotFound`, `TooSmall`,
    `BadDigest`.
    """
    if not 1 <= len(chosen) <= limits.PARTS:
        raise InvalidValue(f"an object is made of 1 to {limits.PARTS} parts, not {len(chosen)}")
    numbers = [choice.number for choice in chosen]
    if numbers != sorted(set(numbers)):
        raise InvalidValue("the parts are to be given in ascending order, each once")
    rows = []
    for choice in chosen:
        row = present.get(choice.number)
        if row is None or row.etag != choice.etag:
            raise NotFound("part", f"{choice.number} with ETag {choice.etag}")
        found = checksum_of(row.checksum)
        if choice.checksum is not None and (found is None or found.value != choice.checksum):
            raise NotFound("part", f"{choice.number} with checksum {choice.checksum}")
        rows.append(row)
    for row in rows[:-1]:
        if row.size_bytes < limits.PART_MIN_BYTES:
            raise TooSmall(
                f"part {row.number} has {row.size_bytes} bytes; all but the last have at least "
                f"{limits.PART_MIN_BYTES}"
            )
    return rows


def _whole_checksum(upload: Any, rows: Sequence[Any], expected: str | None) -> Checksum | None:
    """Return the checksum of the object. Raises `BadDigest`."""
    if upload.checksum_algorithm is None:
        if expected is not None:
            raise InvalidValue("the upload was begun without a checksum's algorithm")
        return None
    sums = [(checksum_of(row.checksum), row.size_bytes) for row in rows]
    values = [(one.value, size) for one, size in sums if one is not None]
    whole = of_parts(upload.checksum_algorithm, upload.checksum_kind, values)
    if expected is not None and expected != whole.value:
        raise BadDigest(whole.algorithm, expected, whole.value)
    return whole
