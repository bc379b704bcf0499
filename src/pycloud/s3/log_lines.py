"""`Seen`: a request to a bucket that has a log, and its line.

Source: "Amazon S3 server access log format" (S3 user guide).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import quote

import attrs

from pycloud import limits
from pycloud.aws.callers import Caller
from pycloud.aws.errors import AWSError
from pycloud.aws.requests import Authenticated
from pycloud.aws.rest_routes import routes
from pycloud.s3.body import length_of
from pycloud.s3.owners import canonical_id
from pycloud.s3.request import S3Request
from pycloud.storage.records import Bucket

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
