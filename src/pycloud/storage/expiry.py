"""`Expiry`: carries out lifecycle rules, a bounded step at a time.

A step looks at some versions, in the order of buckets and keys, and the next one goes on where it
ended. What it finds due is decided once more under the lock of the key.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any

import attrs
from sqlalchemy import and_, bindparam, or_, select

from pycloud import limits
from pycloud.errors import Locked, NotFound
from pycloud.state.schema import bucket_settings, objects, uploads
from pycloud.state.transaction import Transaction
from pycloud.storage import locks
from pycloud.storage.lifecycle import LifecycleRules
from pycloud.storage.objects import Objects
from pycloud.storage.settings import LIFECYCLE
from pycloud.storage.uploads import Uploads
from pycloud.storage.versions import (
    Freed,
    delete_object,
    delete_version,
    find_latest,
    find_version,
    get_bucket,
    loaded,
    lock_keys,
)

_PAGE_ROWS = 1000
_TOGETHER = 100

_RULES = (
    select(bucket_settings.c.bucket, bucket_settings.c.document)
    .where(bucket_settings.c.kind == LIFECYCLE, bucket_settings.c.bucket >= bindparam("b_from"))
    .order_by(bucket_settings.c.bucket)
)
_AFTER = or_(
    objects.c.key > bindparam("b_key"),
    and_(objects.c.key == bindparam("b_key"), objects.c.rank > bindparam("b_rank")),
)
_VERSIONS = (
    select(objects)
    .where(objects.c.bucket == bindparam("b_bucket"), objects.c.key >= bindparam("b_key"), _AFTER)
    .order_by(objects.c.key, objects.c.rank)
    .limit(bindparam("b_most"))
)
_TWO = (
    select(objects.c.rank)
    .where(objects.c.bucket == bindparam("b_bucket"), objects.c.key == bindparam("b_key"))
    .limit(2)
)


@attrs.define
class _Place:
    """Where a step ended: after which version, and what is to be known of those newer than the
    next one.
    """

    bucket: str = ""
    key: bytes = b""
    rank: int = 0
    covered_at: datetime | None = None
    former: int = 0


class Expiry:
    """Carries out the lifecycle rules of all buckets."""

    def __init__(self, objects: Objects, uploads: Uploads) -> None:
        self.state = objects.state
        self._objects = objects
        self._uploads = uploads
        self._place = _Place()

    def step(self) -> int:
        """Look at some versions, and return how many were deleted."""
        left, deleted = limits.EXPIRY_ROWS, 0
        with self.state.reading() as tx:
            found = tx.execute(_RULES, {"b_from": self._place.bucket}).all()
        for row in found:
            bucket, rules = row.bucket, LifecycleRules.from_json(row.document)
            if self._place.bucket != bucket:
                self._place = _Place(bucket)
                deleted += self._abort(bucket, rules)
            while left > 0:
                looked, done = self._page(bucket, rules)
                left -= max(looked, 1)
                deleted += done
                if looked < _PAGE_ROWS:
                    break
            else:
                return deleted
        self._place = _Place()
        return deleted

    def _page(self, bucket: str, rules: LifecycleRules) -> tuple[int, int]:
        """Look at a page of versions; return how many these were, and how many were deleted."""
        place = {
            "b_bucket": bucket,
            "b_key": self._place.key,
            "b_rank": self._place.rank,
            "b_most": _PAGE_ROWS,
        }
        with self.state.reading() as tx:
            rows = tx.execute(_VERSIONS, place).all()
            due = list(self._due(rules, rows, tx.now))
        done = 0
        for at in range(0, len(due), _TOGETHER):
            some = due[at : at + _TOGETHER]
            with contextlib.suppress(NotFound):  # the bucket was deleted meanwhile
                done += self._objects.commit(bucket, partial(_expire, bucket, rules, some))
        return len(rows), done

    def _due(self, rules: LifecycleRules, rows: Any, now: datetime) -> Iterator[tuple[bytes, str]]:
        """Give the key and version of each row that is to go."""
        for row in rows:
            if row.key != self._place.key:
                self._place.covered_at, self._place.former = None, 0
            covered_at, former = self._place.covered_at, self._place.former
            if _is_due(rules, row, covered_at, former, now):
                yield row.key, row.version_id
            self._place.former += covered_at is not None
            self._place.key, self._place.rank = row.key, row.rank
            self._place.covered_at = row.created_at

    def _abort(self, bucket: str, rules: LifecycleRules) -> int:
        """Abort the uploads that are due."""
        with self.state.reading() as tx:
            found = tx.execute(select(uploads).where(uploads.c.bucket == bucket)).all()
            due = [row for row in found if rules.aborts(row.key.decode(), row.created_at, tx.now)]
        for row in due:
            try:
                self._uploads.abort(bucket, row.key.decode(), row.id)
            except NotFound:  # it was completed, or aborted, meanwhile
                continue
        return len(due)


def _is_due(
    rules: LifecycleRules, row: Any, covered_at: datetime | None, former: int, now: datetime
) -> bool:
    key, tags = row.key.decode(), loaded(row.tags)
    if row.is_latest and row.is_delete_marker:
        return rules.removes_marker(key, row.created_at, now)
    if row.is_latest:
        return rules.expires(key, row.size_bytes, tags, row.created_at, now)
    if covered_at is None:
        return False
    return rules.removes_former(key, row.size_bytes, tags, covered_at, former, now)


def _expire(
    bucket: str, rules: LifecycleRules, due: list[tuple[bytes, str]], tx: Transaction
) -> tuple[int, Freed]:
    """Delete what is still as it was found to be, and not locked."""
    lock_keys(tx, *((bucket, key) for key, _ in due))
    found = get_bucket(tx, bucket)
    freed, count = Freed(), 0
    for key, version_id in due:
        row = find_version(tx, bucket, key, version_id)
        if row is None:
            continue
        if row.is_latest and not row.is_delete_marker:
            latest = find_latest(tx, bucket, key)
            if not rules.expires(
                key.decode(), row.size_bytes, loaded(row.tags), row.created_at, tx.now
            ):
                continue  # it was written anew
            _, free = delete_object(tx, found, key, latest)
        else:
            if row.is_delete_marker and row.is_latest and _has_others(tx, bucket, key):
                continue
            try:
                locks.check_deletable(row, tx.now, bypass_governance=False)
            except Locked:
                continue
            _, free = delete_version(tx, row)
        freed.blobs += free.blobs
        count += 1
    return count, freed


def _has_others(tx: Transaction, bucket: str, key: bytes) -> bool:
    return len(tx.execute(_TWO, {"b_bucket": bucket, "b_key": key}).all()) > 1
