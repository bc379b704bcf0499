"""`KnownBuckets`: buckets with their settings, as they were a moment ago.

Each request asks for one, mostly for the same. What this process changes is seen at once, what another
one changes within `limits.BUCKET_KNOWN_S`: S3 itself says that settings of buckets take a while
("Amazon S3 data consistency model"). Objects are never remembered.
"""

from __future__ import annotations

import time

from pycloud import limits
from pycloud.storage.buckets import BucketStore
from pycloud.storage.records import Bucket


class KnownBuckets:
    """Asks the store, and remembers for a moment."""

    def __init__(self, store: BucketStore) -> None:
        self._store = store
        self._known: dict[str, tuple[float, Bucket]] = {}
        self._changes = 0

    def get(self, name: str) -> Bucket:
        """Return a bucket. Raises `NotFound`."""
        now = time.monotonic()
        found = self._known.get(name)
        if found is not None and now - found[0] < limits.BUCKET_KNOWN_S:
            return found[1]
        changes = self._changes
        bucket = self._store.get_bucket(name)
        if changes != self._changes:
            return bucket  # it may have been read just before a change
        if len(self._known) >= limits.BUCKETS_KNOWN:
            self._known.clear()
        self._known[name] = (now, bucket)
        return bucket

    def forget(self, name: str) -> None:
        """Ask anew the next time: the bucket was changed."""
        self._changes += 1
        self._known.pop(name, None)
