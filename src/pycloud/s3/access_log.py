"""`AccessLog`: what was asked of buckets that want to know, as objects in a bucket of their choice.

Lines are gathered in memory, and delivered when they are many or old, after an answer was sent: best
effort, as in S3. What a crash, a store that fails or a target that is gone takes is lost; a request
never fails for it.

Source: "Logging requests with server access logging" (S3 user guide).
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from io import BytesIO
from secrets import token_hex
from typing import Any, Final

import attrs

from pycloud import limits
from pycloud.clock import Clock
from pycloud.errors import Refused
from pycloud.ids import AccountId
from pycloud.s3.log_lines import Seen
from pycloud.storage.buckets import BucketStore
from pycloud.storage.reading import FileSpan
from pycloud.storage.records import About, Bucket

LOGGING: Final = "logging"
"""The kind of a bucket's setting that says where its log goes: `LoggingEnabled` as JSON."""

_log = logging.getLogger("pycloud.s3")


@attrs.frozen
class Target:
    """Where lines go, and whose they are."""

    account: AccountId
    bucket: str
    prefix: str

    def key_at(self, moment: datetime) -> str:
        """Return a key that no other delivery has ("Log object key format")."""
        return f"{self.prefix}{moment:%Y-%m-%d-%H-%M-%S}-{token_hex(8).upper()}"


class AccessLog:
    """Gathers lines, and delivers them; for many threads."""

    def __init__(self, buckets: BucketStore, clock: Clock) -> None:
        self._buckets = buckets
        self._clock = clock
        self._lock = threading.Lock()
        self._batches: dict[Target, _Batch] = {}
        """In the order of their first lines."""
        self._held_bytes = 0
        """Of those, and of those that are being delivered."""
        self._is_full = False

    def follow(self, body: Iterable[Any], seen: Seen | None) -> Iterable[Any]:
        """Return the body of an answer; when it was sent, there is a line about the request, and
        lines that are due are delivered.
        """
        if seen is not None:
            return _Followed(body, lambda sent: self._finish(seen, sent))
        return _Followed(body, lambda _sent: self._deliver_due()) if self._is_due() else body

    def deliver(self) -> None:
        """Deliver all lines that there are by now."""
        with self._lock:
            taken, self._batches = self._batches, {}
        for target, batch in taken.items():
            self._deliver(target, batch)

    def _finish(self, seen: Seen, sent_bytes: int) -> None:
        target = _target_of(seen.bucket)
        self._add(target, seen.line(sent_bytes, time.perf_counter()))
        self._deliver_due(target)

    def _add(self, target: Target, line: str) -> None:
        data = f"{line}\n".encode()
        now = self._clock.now()
        with self._lock:
            was_full = self._is_full
            self._is_full = self._held_bytes + len(data) > limits.ACCESS_LOG_HELD_BYTES
            if not self._is_full:
                self._held_bytes += len(data)
                self._batches.setdefault(target, _Batch(now)).lines.append(data)
                return
        if not was_full:
            _log.warning("lines of the log for bucket %s are lost: too many wait", target.bucket)

    def _is_due(self) -> bool:
        """Return whether the oldest lines are to be delivered."""
        if not self._batches:
            return False
        now = self._clock.now()
        with self._lock:
            oldest = next(iter(self._batches.values()), None)
            return oldest is not None and oldest.is_due(now)

    def _deliver_due(self, mine: Target | None = None) -> None:
        """Deliver the oldest lines, or those for `mine`, if they are due: at most one object, so
        that nobody's next request waits for long.
        """
        now = self._clock.now()
        with self._lock:
            crowded = self._held_bytes > limits.ACCESS_LOG_HELD_BYTES // 2
            for target in (next(iter(self._batches), None), mine):
                batch = None if target is None else self._batches.get(target)
                if batch is not None and (crowded or batch.is_due(now)):
                    break
            else:
                return
            assert target is not None
            del self._batches[target]
        self._deliver(target, batch)

    def _deliver(self, target: Target, batch: _Batch) -> None:
        try:
            self._store(target, b"".join(batch.lines))
        except Exception as error:  # noqa: BLE001 - no request fails for the log's sake
            count, where = len(batch.lines), target.bucket
            _log.warning("%d lines of the log for bucket %s are lost: %s", count, where, error)
        finally:
            with self._lock:
                self._held_bytes -= batch.size_bytes

    def _store(self, target: Target, data: bytes) -> None:
        if self._buckets.get_bucket(target.bucket).account != target.account:
            raise Refused(f"bucket {target.bucket!r} is another account's by now")
        key = target.key_at(self._clock.now())
        about = About(account=target.account, headers={"content-type": "text/plain"})
        self._buckets.put(target.bucket, key, BytesIO(data), about=about)


@attrs.define
class _Batch:
    """Lines for one target."""

    since: datetime
    lines: list[bytes] = attrs.field(factory=list)

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.lines))

    def is_due(self, now: datetime) -> bool:
        age = now - self.since
        is_old = age >= timedelta(seconds=limits.ACCESS_LOG_S)
        return is_old or len(self.lines) >= limits.ACCESS_LOG_LINES


class _Followed:
    """A body that counts what it gives, and says how much that was when it is closed (PEP 3333)."""

    def __init__(self, body: Iterable[Any], when_sent: Callable[[int], None]) -> None:
        self._body = body
        self._when_sent = when_sent
        self._sent_bytes = 0

    def __iter__(self) -> Iterator[Any]:
        for piece in self._body:
            size = piece.size_bytes if isinstance(piece, FileSpan) else len(piece)
            yield piece
            self._sent_bytes += size

    def close(self) -> None:
        """Close the body, and finish the request."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            try:
                self._when_sent(self._sent_bytes)
            except Exception:  # noqa: BLE001 - the answer is sent, whatever becomes of the log
                _log.exception("a line of an access log is lost")


def _target_of(bucket: Bucket) -> Target:
    asked = json.loads(bucket.settings[LOGGING])
    return Target(bucket.account, asked["TargetBucket"], asked["TargetPrefix"])
