"""`AccessLog`: what was asked of buckets that want to know, as objects in a bucket of their choice.

Lines are gathered in memory, and delivered when they are many or old, after an answer was sent: best
effort, as in S3. What a crash, a store that fails or a target that is gone takes is lost; a request
never fails for it.

Sources: "Logging requests with server access logging", "Amazon S3 server access log format" (S3 user
guide).
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from io import BytesIO
from secrets import token_hex
from typing import Any, Final
from urllib.parse import quote

import attrs

from pycloud import limits
from pycloud.aws.callers import Caller
from pycloud.aws.errors import AWSError
from pycloud.aws.requests import Authenticated
from pycloud.aws.rest_routes import routes
from pycloud.clock import Clock
from pycloud.errors import Refused
from pycloud.ids import AccountId
from pycloud.s3.body import length_of
from pycloud.s3.owners import canonical_id
from pycloud.s3.request import S3Request
from pycloud.storage.buckets import BucketStore
from pycloud.storage.reading import FileSpan
from pycloud.storage.records import About, Bucket

LOGGING: Final = "logging"
"""The kind of a bucket's setting that says where its log goes: `LoggingEnabled` as JSON."""

_log = logging.getLogger("pycloud.s3")

_NONE: Final = "-"
_MONTHS: Final = "JanFebMarAprMayJunJulAugSepOctNovDec"
"""As logs have them, whatever this machine's language is."""
_PLAIN: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != '"')
"""What stands in a field as it is: neither a space nor a quote."""
_COPIES: Final = frozenset({"CopyObject", "UploadPartCopy"})
_RESOURCES: Final[Mapping[str, str]] = {
    "AbortMultipartUpload": "UPLOAD",
    "CompleteMultipartUpload": "UPLOAD",
    "CreateMultipartUpload": "UPLOADS",
    "DeleteObjects": "MULTI_OBJECT_DELETE",
    "GetBucketLogging": "LOGGING_STATUS",
    "GetObjectAcl": "ACL",
    "ListMultipartUploads": "UPLOADS",
    "ListObjectVersions": "BUCKETVERSIONS",
    "ListObjects": "BUCKET",
    "ListObjectsV2": "BUCKET",
    "ListParts": "UPLOAD",
    "PostObject": "BUCKET",
    "Preflight": "PREFLIGHT",
    "PutBucketLogging": "LOGGING_STATUS",
    "PutObjectAcl": "ACL",
    "UploadPart": "PART",
    "UploadPartCopy": "PART",
    **{f"{verb}BucketPolicy": "BUCKETPOLICY" for verb in ("Get", "Put", "Delete")},
}
"""What actions are about, in the words of logs, where that does not follow from their names."""


@attrs.frozen
class Target:
    """Where lines go, and whose they are."""

    account: AccountId
    bucket: str
    prefix: str

    def key_at(self, moment: datetime) -> str:
        """Return a key that no other delivery has ("Log object key format")."""
        return f"{self.prefix}{moment:%Y-%m-%d-%H-%M-%S}-{token_hex(8).upper()}"


@attrs.frozen
class Seen:
    """What is known of a request when its answer begins; of a bucket that has a log."""

    request: S3Request
    bucket: Bucket
    caller: Caller | None
    signed: Authenticated | None
    id: str
    host_id: str
    action: str
    """Empty if it was refused before that was clear."""
    status: int
    error: str
    """The code of a refusal, or empty."""
    headers: Sequence[tuple[str, str]]
    """Those of the answer."""
    needed_acl: bool
    at: datetime
    began_s: float
    """By `time.perf_counter()`, like `answered_s`."""
    answered_s: float

    @property
    def target(self) -> Target:
        """Where the bucket's log goes."""
        asked = json.loads(self.bucket.settings[LOGGING])
        return Target(self.bucket.account, asked["TargetBucket"], asked["TargetPrefix"])

    def line(self, sent_bytes: int, ended_s: float) -> str:
        """Return the line of the log, without its end."""
        head = self.request.headers
        fields = (
            *self._who(),
            self.id,
            operation_of(self.request, self._action),
            quote(self.request.key) or _NONE,
            _quoted(self._request_line()),
            str(self.status),
            self.error or _NONE,
            str(sent_bytes or _NONE),
            self._object_size(),
            _milliseconds(ended_s - self.began_s),
            # When the last byte of a body came is not known.
            _NONE if _has_body(head) else _milliseconds(self.answered_s - self.began_s),
            _quoted(head.get("referer")),
            _quoted(head.get("user-agent")),
            _plain(self.request.query.get("versionId")),
            self.host_id,
            *self._how(),
            _NONE,  # there are no access points
            "Yes" if self.needed_acl else _NONE,
        )
        return " ".join(fields)

    def _who(self) -> tuple[str, ...]:
        """Return whose the bucket is, and who came when and from where."""
        month = _MONTHS[3 * self.at.month - 3 : 3 * self.at.month]
        return (
            canonical_id(self.bucket.account),
            self.bucket.name,
            f"[{self.at:%d}/{month}/{self.at:%Y:%H:%M:%S} +0000]",
            _plain(self.request.source),
            _plain(None if self.caller is None else self.caller.arn),
        )

    def _how(self) -> tuple[str, ...]:
        """Return how it was signed, and how it travelled."""
        environ, signed = self.request.environ, self.signed
        kinds = {"header": "AuthHeader", "query": "QueryString"}
        return (
            _NONE if signed is None else f"SigV{signed.version}",
            _plain(environ.get("SSL_CIPHER")),
            _NONE if signed is None else kinds[signed.how],
            _plain(self.request.host),
            _plain(environ.get("SSL_PROTOCOL")),
        )

    @property
    def _action(self) -> str:
        if self.action:
            return self.action
        request = self.request
        copies = "x-amz-copy-source" in request.headers
        try:
            return routes().find(request.method, request.level, request.query, copies=copies)
        except AWSError:
            return ""

    def _request_line(self) -> str:
        request = self.request
        query = f"?{request.raw_query}" if request.raw_query else ""
        protocol = request.environ.get("SERVER_PROTOCOL", "HTTP/1.1")
        return f"{request.method} {request.path}{query} {protocol}"

    def _object_size(self) -> str:
        if self.error or self.status == 304:
            return _NONE
        if self.action in ("PutObject", "UploadPart"):
            return str(length_of(self.request) or 0)
        if self.action not in ("GetObject", "HeadObject"):
            return _NONE
        head = {name.lower(): text for name, text in self.headers}
        return head.get("content-range", head.get("content-length", _NONE)).rpartition("/")[2]


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
        target = seen.target
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
        """Deliver the lines for `mine`, or the oldest, if they are due: at most one object, so that
        nobody's next request waits for long.
        """
        now = self._clock.now()
        with self._lock:
            crowded = self._held_bytes > limits.ACCESS_LOG_HELD_BYTES // 2
            for target in (mine, next(iter(self._batches), None)):
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


def operation_of(request: S3Request, action: str) -> str:
    """Return what a log calls an action; an unknown one (empty) is told by what it was sent to."""
    method = "COPY" if action in _COPIES else request.method
    return f"REST.{_plain(method)}.{_RESOURCES.get(action) or _resource(request, action)}"


def _resource(request: S3Request, action: str) -> str:
    """Return `LIFECYCLE` of `GetBucketLifecycleConfiguration`."""
    words = [word.upper() for word in re.findall("[A-Z][a-z0-9]*", action)][1:]
    if words and words[-1] == "CONFIGURATION":
        words.pop()
    if len(words) > 1 and words[0] == "BUCKET":
        words.pop(0)
    return "_".join(words) or request.level.upper()


def _has_body(headers: Mapping[str, str]) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def _milliseconds(duration_s: float) -> str:
    return str(round(duration_s * 1e3))


def _quoted(text: str | None) -> str:
    """Return a field in quotes, in which there is none."""
    return f'"{_escaped(text, _PLAIN + " ") or _NONE}"'


def _plain(text: str | None) -> str:
    """Return a field without spaces."""
    return _escaped(text, _PLAIN) or _NONE


def _escaped(text: str | None, safe: str) -> str:
    """Return what came over the wire, so that nobody can write a line, or a field, of their own."""
    cut = (text or "")[: limits.ACCESS_LOG_FIELD_CHARS]
    return quote(cut, safe=safe, encoding="latin-1", errors="replace")
