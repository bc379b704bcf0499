"""`BucketStore`: named objects in named buckets. Bytes are in the `Blobs`; which bytes an object
is, says a row.

Bytes are durable before the row that names them; bytes that no row names are swept. So a crash
costs space, never data.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import BinaryIO

import attrs
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from pycloud.errors import Duplicate, InUse, InvalidValue, NotFound
from pycloud.identity.accounts import get_account
from pycloud.ids import ADMIN_ACCOUNT, AccountId, BlobId
from pycloud.state.database import Database
from pycloud.state.schema import buckets, objects
from pycloud.state.transaction import Transaction
from pycloud.storage.blobs import Blobs

_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_KEY_BYTES = 1024


@attrs.frozen
class StoredObject:
    """An object, without its bytes."""

    bucket: str
    key: str
    size_bytes: int
    etag: str
    created_at: datetime


class BucketStore:
    """Buckets of objects.

    >>> import io, pycloud
    >>> from pycloud.drivers.files import FileBlobs
    >>> with pycloud.SQLiteState("cloud.db") as state:
    ...     store = pycloud.BucketStore(state, FileBlobs("blobs"))
    ...     store.create("holiday")
    ...     print(store.put("holiday", "beach.txt", io.BytesIO(b"sand")).size_bytes)
    ...     with store.get("holiday", "beach.txt") as stream:
    ...         print(stream.read())
    4
    b'sand'
    """

    def __init__(self, state: Database, blobs: Blobs) -> None:
        self.state = state
        self.blobs = blobs

    def create(self, bucket: str, *, account: AccountId = ADMIN_ACCOUNT) -> None:
        """Make a bucket. Raises `InvalidValue` for a name that S3 does not allow, `Duplicate`."""
        _checked_bucket(bucket)
        try:
            with self.state.transaction() as tx:
                get_account(tx, account)
                tx.execute(buckets.insert().values(name=bucket, account=account, created_at=tx.now))
        except IntegrityError:
            raise Duplicate(f"there is a bucket {bucket!r} already") from None

    def delete(self, bucket: str) -> None:
        """Delete an empty bucket. Raises `NotFound`, `InUse`."""
        with self.state.transaction() as tx:
            self._locked(tx, bucket)
            if tx.execute(select(objects.c.key).where(objects.c.bucket == bucket).limit(1)).first():
                raise InUse(f"bucket {bucket!r} is not empty: delete its objects first")
            tx.execute(delete(buckets).where(buckets.c.name == bucket))

    def list_buckets(self, *, account: AccountId = ADMIN_ACCOUNT) -> list[str]:
        """Return the names of the account's buckets, sorted."""
        query = select(buckets.c.name).where(buckets.c.account == account).order_by(buckets.c.name)
        with self.state.reading() as tx:
            return list(tx.execute(query).scalars())

    def put(self, bucket: str, key: str, stream: BinaryIO) -> StoredObject:
        """Store what `stream` gives as object `key`, in place of what was there. Raises
        `NotFound`, `InvalidValue`.
        """
        name = _checked_key(key)
        with self.state.reading() as tx:
            self._locked(tx, bucket)
        written = self.blobs.write(stream)
        try:
            with self.state.transaction() as tx:
                self._locked(tx, bucket)
                former = self._take_out(tx, bucket, name)
                stored = StoredObject(bucket, key, written.size_bytes, written.md5, tx.now)
                row = attrs.asdict(stored) | {"key": name, "blob": written.id}
                tx.execute(objects.insert().values(row))
        except BaseException:
            self.blobs.remove(written.id)
            raise
        if former is not None:
            self.blobs.remove(former)
        return stored

    def head(self, bucket: str, key: str) -> StoredObject:
        """Return what is known of an object. Raises `NotFound`."""
        place = (objects.c.bucket == bucket) & (objects.c.key == _checked_key(key))
        with self.state.reading() as tx:
            row = tx.execute(select(objects).where(place)).one_or_none()
        if row is None:
            raise NotFound("object", f"{bucket}/{key}")
        return StoredObject(row.bucket, row.key.decode(), row.size_bytes, row.etag, row.created_at)

    def get(self, bucket: str, key: str) -> BinaryIO:
        """Open the object's bytes; the caller closes. Raises `NotFound`."""
        query = select(objects.c.blob).where(
            objects.c.bucket == bucket, objects.c.key == _checked_key(key)
        )
        with self.state.reading() as tx:
            blob = tx.execute(query).scalar_one_or_none()
        if blob is None:
            raise NotFound("object", f"{bucket}/{key}")
        return self.blobs.read(BlobId(blob))

    def list(self, bucket: str, *, prefix: str = "") -> list[StoredObject]:
        """Return the objects whose keys begin with `prefix`, in the order of their bytes. Raises
        `NotFound`.
        """
        query = select(objects).where(objects.c.bucket == bucket).order_by(objects.c.key)
        with self.state.reading() as tx:
            self._locked(tx, bucket)
            rows = tx.execute(query).all()
        found = (
            StoredObject(row.bucket, row.key.decode(), row.size_bytes, row.etag, row.created_at)
            for row in rows
        )
        return [stored for stored in found if stored.key.startswith(prefix)]

    def remove(self, bucket: str, key: str) -> None:
        """Delete an object; nothing happens where there is none, as in S3. Raises `NotFound` for
        the bucket.
        """
        with self.state.transaction() as tx:
            self._locked(tx, bucket)
            blob = self._take_out(tx, bucket, _checked_key(key))
        if blob is not None:
            self.blobs.remove(blob)

    def sweep(self) -> int:
        """Remove bytes that no object names and return how many blobs that were.

        Only for a store that nobody writes to meanwhile: bytes just written have no row yet.
        """
        with self.state.reading() as tx:
            named = set(tx.execute(select(objects.c.blob)).scalars())
        orphans = [blob for blob in self.blobs.all() if blob not in named]
        for blob in orphans:
            self.blobs.remove(blob)
        return len(orphans)

    def _locked(self, tx: Transaction, bucket: str) -> None:
        query = select(buckets.c.name).where(buckets.c.name == bucket)
        if tx.execute(tx.locked(query)).first() is None:
            raise NotFound("bucket", bucket)

    def _take_out(self, tx: Transaction, bucket: str, key: bytes) -> BlobId | None:
        """Delete the object's row and return the blob it named."""
        place = (objects.c.bucket == bucket) & (objects.c.key == key)
        blob = tx.execute(select(objects.c.blob).where(place)).scalar_one_or_none()
        tx.execute(delete(objects).where(place))
        return None if blob is None else BlobId(blob)


def _checked_bucket(name: str) -> str:
    """Return a name that S3 allows ("Bucket naming rules")."""
    if not _BUCKET_NAME.fullmatch(name) or ".." in name:
        raise InvalidValue(
            f"{name!r} cannot name a bucket: 3 to 63 lower-case letters, digits, dots and hyphens, "
            "beginning and ending with a letter or digit"
        )
    return name


def _checked_key(key: str) -> bytes:
    try:
        encoded = key.encode()
    except UnicodeEncodeError:
        raise InvalidValue(f"the key {key!r} is not text that UTF-8 can carry") from None
    if not 1 <= len(encoded) <= _KEY_BYTES:
        raise InvalidValue(f"a key has 1 to {_KEY_BYTES} bytes; this one has {len(encoded)}")
    return encoded
