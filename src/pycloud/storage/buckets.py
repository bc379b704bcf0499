"""`BucketStore`: named objects in named buckets. Bytes are in the `Blobs`, or, if they are few, in
the database; which bytes an object is, says a row.

Bytes are durable before the row that names them; bytes that no row names are swept. So a crash
costs space, never data. Whoever holds the store may do all with it: who may do what is for those to
decide who hand it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from pycloud import limits
from pycloud.errors import Duplicate, NotFound
from pycloud.ids import ADMIN_ACCOUNT, AccountId
from pycloud.state.database import Database
from pycloud.state.schema import buckets
from pycloud.storage import copies, housekeeping, listing, settings
from pycloud.storage.blobs import Blobs, Readable
from pycloud.storage.copies import Source, Wanted
from pycloud.storage.encryption import Sealing
from pycloud.storage.expiry import Expiry
from pycloud.storage.housekeeping import Sweeper
from pycloud.storage.objects import Condition, Objects
from pycloud.storage.reading import ObjectStream
from pycloud.storage.records import (
    About,
    Bucket,
    Deleted,
    Expected,
    Listing,
    PartSize,
    Retention,
    ScrubReport,
    StoredObject,
    Versioning,
    VersionListing,
)
from pycloud.storage.uploads import Uploads
from pycloud.storage.versions import bucket_of, get_bucket
from pycloud.storage.walks import Page

_AS_THEY_COME = Expected()
_PLAIN = About()


class BucketStore:
    """Buckets of objects.

    `seal` keeps the keys with which objects are encrypted (`pycloud.Seal` is one); without it none
    can be encrypted with a key of the store's.

    >>> import io, pycloud
    >>> from pycloud.drivers.files import FileBlobs
    >>> with pycloud.SQLiteState("cloud.db") as state:
    ...     store = pycloud.BucketStore(state, FileBlobs("blobs"))
    ...     store.create_bucket("holiday").name
    ...     store.put("holiday", "beach.txt", io.BytesIO(b"sand")).size_bytes
    ...     with store.get("holiday", "beach.txt") as stream:
    ...         stream.read()
    'holiday'
    4
    b'sand'
    """

    def __init__(self, state: Database, blobs: Blobs, *, seal: Sealing | None = None) -> None:
        self.state = state
        self.blobs = blobs
        self._objects = Objects(state, blobs, seal)
        self.uploads = Uploads(self._objects)
        """Objects that are uploaded in parts."""
        self._expiry = Expiry(self._objects, self.uploads)
        self._sweeper = Sweeper(state, blobs)

    # Buckets

    def create_bucket(
        self, bucket: str, *, account: AccountId = ADMIN_ACCOUNT, object_lock: bool = False
    ) -> Bucket:
        """Make a bucket; with `object_lock` its versions can be locked, and are kept from the
        first. Raises `InvalidValue` for a name that S3 does not allow, `Duplicate`, `LimitExceeded`.
        """
        try:
            with self.state.transaction() as tx:
                return settings.add_bucket(tx, bucket, account, object_lock=object_lock)
        except IntegrityError:
            raise Duplicate(f"there is a bucket {bucket!r} already") from None

    def delete_bucket(self, bucket: str) -> None:
        """Delete an empty bucket, with its settings. Uploads that were begun in it are aborted.
        Raises `NotFound`, `InUse` while it has versions or delete markers.
        """
        with self.state.transaction() as tx:
            settings.remove_bucket(tx, bucket)

    def get_bucket(self, bucket: str) -> Bucket:
        """Return a bucket, with its settings. Raises `NotFound`."""
        with self.state.reading() as tx:
            return settings.whole_bucket(tx, bucket)

    def find_bucket(self, bucket: str) -> Bucket | None:
        """Return a bucket, or None if there is none."""
        try:
            return self.get_bucket(bucket)
        except NotFound:
            return None

    def list_buckets(self, *, account: AccountId | None = ADMIN_ACCOUNT) -> list[Bucket]:
        """Return the account's buckets by name; with None, those of all accounts."""
        query = select(buckets).order_by(buckets.c.name)
        if account is not None:
            query = query.where(buckets.c.account == account)
        with self.state.reading() as tx:
            return [bucket_of(row) for row in tx.execute(query)]

    def set_versioning(self, bucket: str, versioning: Versioning) -> None:
        """Say what becomes of former versions from now on. Raises `NotFound`; `InvalidValue` for
        `OFF`, which is never again; `WrongState` for other than `ENABLED` with object locks.
        """
        with self.state.transaction() as tx:
            settings.change_versioning(tx, bucket, Versioning(versioning))

    def enable_object_lock(self, bucket: str) -> None:
        """Let the versions of a bucket be locked, from now on and for ever. Raises `NotFound`,
        `WrongState` unless its versioning is enabled.
        """
        with self.state.transaction() as tx:
            settings.allow_locks(tx, bucket)

    def setting(self, bucket: str, kind: str) -> str | None:
        """Return a document of the bucket's, or None. Raises `NotFound`."""
        with self.state.reading() as tx:
            get_bucket(tx, bucket)
            return settings.find_setting(tx, bucket, kind)

    def set_setting(self, bucket: str, kind: str, document: str | None) -> None:
        """Keep a document of the bucket's, or, with None, forget it.

        Most kinds are any text of the caller's. The store itself carries out, and checks, three:
        `lifecycle` (`LifecycleRules`), `object-lock` (`DefaultRetention`) and `encryption`
        (`DefaultEncryption`), JSON documents that these classes read and write. Raises `NotFound`,
        `InvalidValue`.
        """
        with self.state.transaction() as tx:
            settings.change_setting(tx, bucket, kind, document)

    # Objects

    def put(
        self,
        bucket: str,
        key: str,
        stream: Readable,
        *,
        about: About = _PLAIN,
        expected: Expected = _AS_THEY_COME,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> StoredObject:
        """Store what `stream` gives as object `key`: in place of what was there, or beside it where
        the bucket keeps versions. It is durable when this returns.

        With `if_match` only if the present object has that ETag; with `if_none_match`, an ETag or
        `*`, only if it has not, or there is none. Raises `NotFound` (also of the object, for
        `if_match`), `InvalidValue`, `PreconditionFailed`, `BadDigest`, `Incomplete`,
        `LimitExceeded` ("PutObject", "Conditional writes"); `DiskFull`, `Cannot`.
        """
        condition = Condition(if_match, if_none_match)
        return self._objects.put(bucket, key, stream, about, expected, condition)

    def head(self, bucket: str, key: str, *, version_id: str | None = None) -> StoredObject:
        """Return what is known of an object, or of that version of it. Raises `NotFound` of a
        bucket, an object (also if the latest is a delete marker) or a version; a delete marker that
        is asked for by its version is returned.
        """
        return self._objects.head(bucket, key, version_id)

    def get(
        self,
        bucket: str,
        key: str,
        *,
        version_id: str | None = None,
        customer_key: bytes | None = None,
    ) -> ObjectStream:
        """Open the object's bytes; the caller closes. What is opened is read to its end, whatever
        becomes of the object; `stored` of the stream is what it is.

        Raises `NotFound` like `head`, `WrongKey`, `WrongState` for a delete marker; `Damaged`, also
        when read: bytes that are not those that were written are never given out.
        """
        return self._objects.get(bucket, key, version_id, customer_key)

    def parts(
        self,
        bucket: str,
        key: str,
        *,
        version_id: str | None = None,
        after: int = 0,
        most: int = limits.LIST_KEYS,
    ) -> list[PartSize]:
        """Return the parts of an object that was uploaded in parts, those with numbers above
        `after`; none of one that was not. Raises `NotFound`.
        """
        return self._objects.parts(bucket, key, version_id, after, most)

    def copy(
        self,
        source_bucket: str,
        source_key: str,
        bucket: str,
        key: str,
        *,
        source_version: str | None = None,
        source_if_match: str | None = None,
        source_customer_key: bytes | None = None,
        about: About = _PLAIN,
        keep_metadata: bool = True,
        keep_tags: bool = True,
        algorithm: str | None = None,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> StoredObject:
        """Make an object with the bytes of another, which is the same unless its bytes must be
        written anew: encrypted otherwise, or with another checksum (`algorithm`).

        `about` says all of it but for what is kept: `keep_metadata` keeps the headers and metadata
        of the source, `keep_tags` its tags. Raises like `get` and `put`; `PreconditionFailed` also
        if the source has not the ETag `source_if_match` ("CopyObject").
        """
        source = Source(
            source_bucket, source_key, source_version, source_if_match, source_customer_key
        )
        condition = Condition(if_match, if_none_match)
        wanted = Wanted(bucket, key, about, keep_metadata, keep_tags, algorithm, condition)
        return copies.copy(self._objects, source, wanted)

    def delete(
        self,
        bucket: str,
        key: str,
        *,
        version_id: str | None = None,
        if_match: str | None = None,
        bypass_governance: bool = False,
    ) -> Deleted:
        """Delete an object (where the bucket keeps versions: put a delete marker over it), or, for
        good, one version. Nothing happens where there is none, as in S3.

        Raises `NotFound` for the bucket, `Locked`, `PreconditionFailed` ("DeleteObject").
        """
        condition = Condition(if_match)
        return self._objects.delete(
            bucket, key, version_id, condition, bypass_governance=bypass_governance
        )

    def delete_many(
        self,
        bucket: str,
        wanted: Sequence[tuple[str, str | None]],
        *,
        bypass_governance: bool = False,
    ) -> list[Deleted | Exception]:
        """Delete keys, each with a version id or None, and say for each what became of it. Raises
        `NotFound` for the bucket, `InvalidValue` for more than 1 000 ("DeleteObjects").
        """
        return self._objects.delete_many(bucket, wanted, bypass_governance=bypass_governance)

    def set_tags(
        self, bucket: str, key: str, tags: Mapping[str, str], *, version_id: str | None = None
    ) -> StoredObject:
        """Give a version other tags. Raises `NotFound`, `InvalidValue`, `WrongState` for a delete
        marker.
        """
        return self._objects.set_tags(bucket, key, version_id, tags)

    def set_acl(
        self, bucket: str, key: str, acl: str | None, *, version_id: str | None = None
    ) -> StoredObject:
        """Give a version another ACL document. Raises `NotFound`, `WrongState`."""
        return self._objects.change(bucket, key, version_id, lambda _tx, _row: {"acl": acl})

    def set_retention(
        self,
        bucket: str,
        key: str,
        retention: Retention | None,
        *,
        version_id: str | None = None,
        bypass_governance: bool = False,
    ) -> StoredObject:
        """Keep a version from being deleted until a date. Raises `NotFound`; `WrongState` where the
        bucket has no object locks, or for a delete marker; `InvalidValue`; `Locked` for less than
        there is already, unless that is `governance` and to be passed by ("PutObjectRetention").
        """
        return self._objects.set_retention(
            bucket, key, version_id, retention, bypass_governance=bypass_governance
        )

    def set_legal_hold(
        self, bucket: str, key: str, on: bool, *, version_id: str | None = None
    ) -> StoredObject:
        """Keep a version from being deleted until this is taken back. Raises `NotFound`,
        `WrongState` ("PutObjectLegalHold").
        """
        return self._objects.set_legal_hold(bucket, key, version_id, on=on)

    # Lists

    def list(
        self,
        bucket: str,
        *,
        prefix: str = "",
        delimiter: str = "",
        after: str = "",
        most: int = limits.LIST_KEYS,
    ) -> Listing:
        """Return a page of the objects whose keys begin with `prefix` and come after `after`, in
        the order of their bytes. Keys that have the delimiter after the prefix are given as their
        common prefixes. Raises `NotFound` ("ListObjectsV2").
        """
        with self.state.reading() as tx:
            return listing.list_objects(tx, Page(bucket, prefix, delimiter, after, most))

    def each(self, bucket: str, *, prefix: str = "") -> Iterator[StoredObject]:
        """Give all objects whose keys begin with `prefix`, page after page. Raises `NotFound`."""
        return listing.pages(lambda after: self.list(bucket, prefix=prefix, after=after))

    def list_versions(
        self,
        bucket: str,
        *,
        prefix: str = "",
        delimiter: str = "",
        key_marker: str = "",
        version_marker: str | None = None,
        most: int = limits.LIST_KEYS,
    ) -> VersionListing:
        """Return a page of all versions and delete markers that come after `key_marker`, and, with
        `version_marker`, of those of that key after that version. Raises `NotFound`,
        `InvalidValue` for a marker that is no version ("ListObjectVersions").
        """
        page = Page(bucket, prefix, delimiter, key_marker, most)
        with self.state.reading() as tx:
            return listing.list_versions(tx, page, version_marker)

    # Housekeeping

    def tidy(self) -> int:
        """Do a step of housekeeping, and return how much it removed: carry out lifecycle rules, and
        sweep. Each step goes on where the last one ended, and looks at a bounded number of versions
        and blobs. The loop of a cloud calls it every minute.
        """
        return self.expire() + self._sweeper.step()

    def expire(self) -> int:
        """Carry out a step of the buckets' lifecycle rules; return how much it deleted."""
        return self._expiry.step()

    def sweep(self, *, older_than_s: float = limits.ORPHAN_S) -> int:
        """Remove bytes that no object names, and return how many blobs that were. What was written
        lately stays: its object may be about to be recorded. Safe beside writers and readers.
        """
        return self._sweeper.sweep(older_than_s)

    def scrub(
        self, *, after: tuple[str, str] | None = None, most: int = limits.LIST_KEYS
    ) -> ScrubReport:
        """Read the bytes of up to `most` versions, and report those that are not what was written.
        Damaged blobs are put into quarantine: they are kept, and never given out.
        """
        return housekeeping.scrub(self.state, self.blobs, after, most)
