"""`Uploads`: objects that arrive in parts. The parts are blobs, and stay so: completing an upload
names them, and copies nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from pycloud import limits
from pycloud.state.database import Database
from pycloud.storage.blobs import Blobs, Readable
from pycloud.storage.records import (
    About,
    Expected,
    Part,
    PartChoice,
    PartListing,
    StoredObject,
    Upload,
    UploadListing,
)

_AS_THEY_COME = Expected()
_PLAIN = About()


class Uploads:
    """The uploads of a `BucketStore`, as its `uploads`."""

    def __init__(self, state: Database, blobs: Blobs) -> None:
        self.state = state
        self.blobs = blobs

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
        raise NotImplementedError

    def get(self, bucket: str, key: str, upload_id: str) -> Upload:
        """Return an upload that is under way. Raises `NotFound` of a bucket or an upload."""
        raise NotImplementedError

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
        raise NotImplementedError

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
        raise NotImplementedError

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
        raise NotImplementedError

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
        raise NotImplementedError

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
        raise NotImplementedError

    def abort(self, bucket: str, key: str, upload_id: str) -> None:
        """Give an upload up, with its parts. Raises `NotFound`."""
        raise NotImplementedError
