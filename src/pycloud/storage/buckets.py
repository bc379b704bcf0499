"""`BucketStore`: named objects in named buckets. Bytes are in the `Blobs`, or, if they are few, in
the database; which bytes an object is, says a row.

Bytes are durable before the row that names them; bytes that no row names are swept. So a crash
costs space, never data. Whoever holds the store may do all with it: who may do what is for those to
decide who hand it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pycloud import limits
from pycloud.ids import ADMIN_ACCOUNT, AccountId
from pycloud.state.database import Database
from pycloud.storage.blobs import Blobs, Readable
from pycloud.storage.encryption import Sealing
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
        self.seal = seal
        self.uploads = Uploads(state, blobs)
        """Objects that are uploaded in parts."""

    # Buckets

    def create_bucket(
        self, bucket: str, *, account: AccountId = ADMIN_ACCOUNT, object_lock: bool = False
    ) -> Bucket:
        """Make a bucket; with `object_lock` its versions can be locked, and are kept from the
        first. Raises `InvalidValue` for a name that S3 does not allow, `Duplicate`, `LimitExceeded`.
        """
        raise NotImplementedError

    def delete_bucket(self, bucket: str) -> None:
        """Delete an empty bucket, with its settings. Uploads that were begun in it are aborted.
        Raises `NotFound`, `InUse` while it has versions or delete markers.
        """
        raise NotImplementedError

    def get_bucket(self, bucket: str) -> Bucket:
        """Return a bucket. Raises `NotFound`."""
        raise NotImplementedError

    def find_bucket(self, bucket: str) -> Bucket | None:
        """Return a bucket, or None if there is none."""
        raise NotImplementedError

    def list_buckets(self, *, account: AccountId | None = ADMIN_ACCOUNT) -> list[Bucket]:
        """Return the account's buckets by name; with None, those of all accounts."""
        raise NotImplementedError

    def set_versioning(self, bucket: str, versioning: Versioning) -> None:
        """Say what becomes of former versions from now on. Raises `NotFound`; `InvalidValue` for
        `OFF`, which is never again; `WrongState` for other than `ENABLED` with object locks.
        """
        raise NotImplementedError

    def enable_object_lock(self, bucket: str) -> None:
        """Let the versions of a bucket be locked, from now on and for ever. Raises `NotFound`,
        `WrongState` unless its versioning is enabled.
        """
        raise NotImplementedError

    def setting(self, bucket: str, kind: str) -> str | None:
        """Return a document of the bucket's, or None. Raises `NotFound`."""
        raise NotImplementedError

    def set_setting(self, bucket: str, kind: str, document: str | None) -> None:
        """Keep a document of the bucket's, or, with None, forget it.

        Most kinds are any text of the caller's. The store itself carries out, and checks, three:
        `lifecycle` (`LifecycleRules`), `object-lock` (`DefaultRetention`) and `encryption`
        (`DefaultEncryption`), JSON documents that these classes read and write. Raises `NotFound`,
        `InvalidValue`.
        """
        raise NotImplementedError

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
        raise NotImplementedError

    def head(self, bucket: str, key: str, *, version_id: str | None = None) -> StoredObject:
        """Return what is known of an object, or of that version of it. Raises `NotFound` of a
        bucket, an object (also if the latest is a delete marker) or a version; a delete marker that
        is asked for by its version is returned.
        """
        raise NotImplementedError

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
        raise NotImplementedError

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
        raise NotImplementedError

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
        raise NotImplementedError

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
        raise NotImplementedError

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
        raise NotImplementedError

    def set_tags(
        self, bucket: str, key: str, tags: Mapping[str, str], *, version_id: str | None = None
    ) -> StoredObject:
        """Give a version other tags. Raises `NotFound`, `InvalidValue`, `WrongState` for a delete
        marker.
        """
        raise NotImplementedError

    def set_acl(
        self, bucket: str, key: str, acl: str | None, *, version_id: str | None = None
    ) -> StoredObject:
        """Give a version another ACL document. Raises `NotFound`, `WrongState`."""
        raise NotImplementedError

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
        raise NotImplementedError

    def set_legal_hold(
        self, bucket: str, key: str, on: bool, *, version_id: str | None = None
    ) -> StoredObject:
        """Keep a version from being deleted until this is taken back. Raises `NotFound`,
        `WrongState` ("PutObjectLegalHold").
        """
        raise NotImplementedError

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
        raise NotImplementedError

    def each(self, bucket: str, *, prefix: str = "") -> Iterator[StoredObject]:
        """Give all objects whose keys begin with `prefix`, page after page. Raises `NotFound`."""
        raise NotImplementedError

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
        raise NotImplementedError

    # Housekeeping

    def expire(self) -> int:
        """Carry out a step of the buckets' lifecycle rules; return how much it deleted. Each step
        goes on where the last one ended, and looks at a bounded number of versions.
        """
        raise NotImplementedError

    def sweep(self, *, older_than_s: float = limits.ORPHAN_S) -> int:
        """Remove bytes that no object names, and return how many blobs that were. What was written
        lately stays: its object may be about to be recorded. Safe beside writers and readers.
        """
        raise NotImplementedError

    def scrub(
        self, *, after: tuple[str, str] | None = None, most: int = limits.LIST_KEYS
    ) -> ScrubReport:
        """Read the bytes of up to `most` versions, and report those that are not what was written.
        Damaged blobs are put into quarantine: they are kept, and never given out.
        """
        raise NotImplementedError
