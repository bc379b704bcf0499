"""`S3App`: a WSGI callable that speaks S3."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from http.client import responses
from os import urandom
from typing import Any, Final

import attrs

from pycloud import limits
from pycloud.aws.callers import Keys
from pycloud.aws.chunks import MODES
from pycloud.aws.errors import AWSError
from pycloud.aws.rest_actions import RestAction
from pycloud.aws.rest_routes import routes
from pycloud.clock import Clock, SystemClock
from pycloud.errors import PyCloudError
from pycloud.s3 import checksums, cors, post
from pycloud.s3.access import Asker, Gate
from pycloud.s3.access_log import LOGGING, AccessLog
from pycloud.s3.actions import ACTIONS
from pycloud.s3.body import read_document
from pycloud.s3.call import Call, Reply
from pycloud.s3.codes import error_of, status_of
from pycloud.s3.documents import error_document
from pycloud.s3.known import KnownBuckets
from pycloud.s3.log_lines import Seen
from pycloud.s3.permissions import permission_of
from pycloud.s3.request import S3Request, read_head
from pycloud.s3.signing import caller_of
from pycloud.storage.buckets import BucketStore
from pycloud.storage.records import Bucket

_log = logging.getLogger("pycloud.s3")

StartResponse = Callable[..., Any]

_PAYLOAD: Final = "x-amz-content-sha256"
_HOST_ID: Final = "pycloud"
_WITHOUT_BUCKET: Final = frozenset({"ListBuckets", "CreateBucket"})
"""Actions that are carried out where there is no bucket."""
_OWN_CHECKS: Final = frozenset({"ListBuckets", "CreateBucket", "DeleteObjects"})
"""Actions that see to permissions themselves: there is no bucket yet, or there are many keys."""


class S3App:
    """Buckets as a WSGI callable, at path style and, below each of the `domains`, at virtual-host
    style.

    `keys` know the access keys, `clock` tells whether a signature is too old, `region` is what
    GetBucketLocation says. Lines of buckets' access logs wait in memory for a while: call
    `deliver_logs()` when there are no more requests. Raises `InvalidValue` if botocore is missing.

    >>> import pycloud
    >>> from pycloud.aws.callers import FixedKeys
    >>> from pycloud.drivers.files import FileBlobs
    >>> from pycloud.s3 import S3App
    >>> with pycloud.SQLiteState("cloud.db") as state:
    ...     buckets = pycloud.BucketStore(state, FileBlobs("blobs"))
    ...     app = S3App(buckets, FixedKeys({"AKIDEXAMPLE": "a secret"}))
    """

    def __init__(
        self,
        buckets: BucketStore,
        keys: Keys,
        *,
        region: str = "pycloud",
        domains: Sequence[str] = (),
        clock: Clock | None = None,
    ) -> None:
        self.buckets = buckets
        self.region = region
        self.domains = tuple(domain.lower().strip(".") for domain in domains)
        self._keys = keys
        self._known = KnownBuckets(buckets)
        self._clock = clock or SystemClock()
        self._access_log = AccessLog(buckets, self._clock)
        routes()  # so that the first request does not wait for it

    def __call__(
        self, environ: Mapping[str, Any], start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer one request."""
        began = time.perf_counter()
        request = _Request(self.buckets, self._known, self._keys, self.region, self._clock.now())
        answer = request.answer(environ, self.domains)
        headers = [
            ("x-amz-request-id", request.id),
            ("x-amz-id-2", _HOST_ID),
            *answer.headers,
        ]
        _log.info(
            "%s %s by %s: %s in %.1f ms",
            request.id,
            request.action or environ["REQUEST_METHOD"],
            request.who,
            request.outcome,
            (time.perf_counter() - began) * 1e3,
        )
        start_response(f"{answer.status} {responses[answer.status]}", headers)
        return self._access_log.follow(answer.body, request.seen(answer, began))

    def deliver_logs(self) -> None:
        """Deliver the lines of buckets' access logs that wait. What can't be delivered is lost: S3
        promises no more ("Logging requests with server access logging").
        """
        self._access_log.deliver()


@attrs.frozen
class _Answer:
    status: int
    headers: list[tuple[str, str]]
    body: Iterable[bytes]


class _Request:
    """One request on its way to an answer; remembers how far it came, for the log."""

    def __init__(
        self, buckets: BucketStore, known: KnownBuckets, keys: Keys, region: str, now: datetime
    ) -> None:
        self.id = urandom(8).hex().upper()
        self.action = ""
        self.who = "anonymous"
        self.outcome = "ok"
        self._buckets = buckets
        self._known = known
        self._keys = keys
        self._region = region
        self._now = now
        self._resource = "/"
        self._gate: Gate | None = None
        self._asker: Asker | None = None
        self._request: S3Request | None = None

    def answer(self, environ: Mapping[str, Any], domains: Sequence[str]) -> _Answer:
        """Return the answer, whatever happens."""
        is_head = environ["REQUEST_METHOD"] == "HEAD"
        try:
            self._request = read_head(environ, domains)
            self._resource = self._request.resource
            found = self._carry_out(self._request)
        except AWSError as error:
            found = self._refusal(error, is_head=is_head)
        except PyCloudError as error:
            if not hasattr(error, "code") and error_of(error).code == "InternalError":
                _log.exception("%s %s failed", self.id, self.action)
            found = self._refusal(error_of(error), is_head=is_head)
        except Exception:  # noqa: BLE001 - whatever it is, the client must get an answer
            _log.exception("%s %s failed", self.id, self.action)
            refusal = AWSError(
                "InternalError", "We encountered an internal error. Please try again."
            )
            found = self._refusal(refusal, is_head=is_head)
        return found

    def seen(self, answer: _Answer, began_s: float) -> Seen | None:
        """Return what a bucket's access log says of it; None if there is no such log."""
        bucket, asker, gate = self._bucket(), self._asker, self._gate
        if self._request is None or bucket is None or LOGGING not in bucket.settings:
            return None
        return Seen(
            request=self._request,
            bucket=bucket,
            caller=None if asker is None else asker.caller,
            signed=None if asker is None else asker.authenticated,
            id=self.id,
            host_id=_HOST_ID,
            action=self.action,
            status=answer.status,
            error="" if self.outcome == "ok" else self.outcome,
            headers=answer.headers,
            needed_acl=gate is not None and gate.needed_acl,
            at=self._now,
            began_s=began_s,
            answered_s=time.perf_counter(),
        )

    def _bucket(self) -> Bucket | None:
        """Return the bucket that was asked, also by those who were refused at the door."""
        if self._gate is not None:
            return self._gate.bucket
        name = "" if self._request is None else self._request.bucket
        if not name or self.outcome == "NoSuchBucket":
            return None
        try:
            return self._known.get(name)
        except Exception:  # noqa: BLE001 - the answer is given, whatever becomes of the log
            return None

    def _carry_out(self, request: S3Request) -> _Answer:
        if request.method == "OPTIONS":
            self.action = "Preflight"
            return _plain(cors.preflight(self._buckets, request))
        if post.is_upload(request):
            return self._post(request)
        caller, authenticated = caller_of(request, self._keys, self._now)
        if caller is not None:
            self.who = caller.arn
        self._asker = Asker(request, caller, authenticated, self._now)
        action = self._find(request)
        call = self._call(action, self._asker)
        if not action.streams and request.headers.get(_PAYLOAD) in MODES:
            raise AWSError("NotImplemented", f"{action.name} takes no body in signed chunks")
        given = action.read(request.headers, request.query)
        self._check(call, given)
        if not action.streams and request.method in ("PUT", "POST"):
            self._read_body(call, given)
        try:
            return self._written(action, self._handled(call, given))
        finally:
            if request.level == "bucket" and request.method in ("PUT", "DELETE"):
                self._known.forget(request.bucket)

    def _post(self, request: S3Request) -> _Answer:
        self.action = "PostObject"
        put = ACTIONS["PutObject"]
        return _plain(
            post.upload(self._call(put, Asker(request, None, None, self._now)), self._keys)
        )

    def _call(self, action: RestAction, asker: Asker) -> Call:
        name = asker.request.bucket
        if name and action.name not in _WITHOUT_BUCKET:
            self._gate = Gate(self._buckets, self._known.get(name), asker)
        return Call(
            self._buckets,
            self._known,
            self._region,
            asker.request,
            action,
            asker,
            self.id,
            self._gate,
        )

    def _handled(self, call: Call, given: dict[str, Any]) -> Any:
        try:
            return call.action.handler(call, given)
        except PyCloudError as error:
            refusal = error_of(error)
        except AWSError as error:
            refusal = error
        if refusal.code == "NoSuchKey" and not call.access.allows("s3:ListBucket"):
            # Whoever may not list learns not what there is ("GetObject").
            raise AWSError("AccessDenied", "Access Denied")
        raise refusal

    def _find(self, request: S3Request) -> RestAction:
        copies = "x-amz-copy-source" in request.headers
        self.action = routes().find(request.method, request.level, request.query, copies=copies)
        action = ACTIONS.get(self.action)
        if action is None:
            raise AWSError("NotImplemented", f"This cloud does not carry out {self.action}")
        return action

    def _check(self, call: Call, given: Mapping[str, Any]) -> None:
        """See that the caller may do that."""
        if self._gate is None:
            return
        if len(call.key.encode("utf-8", "replace")) > limits.KEY_BYTES:
            raise AWSError("KeyTooLongError", "Your key is too long")
        expected = given.get("ExpectedBucketOwner")
        if expected is not None and expected != call.bucket.account:
            raise AWSError("AccessDenied", "Access Denied")
        if call.action.name not in _OWN_CHECKS:
            version = given.get("VersionId")
            permission = permission_of(call.action.name, version)
            self._gate.check(permission, call.key, version_id=version)

    def _read_body(self, call: Call, given: dict[str, Any]) -> None:
        shape = call.action.input
        # Where checksums are members of the action, they are an object's, not the body's.
        has_sum = call.action.takes.isdisjoint(checksums.MEMBERS)
        body = read_document(call.request, call.body, has_sum=has_sum)
        if shape.payload is None:
            return
        found = shape.read_body(body)
        if found is not None:
            given[shape.payload] = found

    def _written(self, action: RestAction, result: Any) -> _Answer:
        reply = result if isinstance(result, Reply) else Reply(result or {})
        headers = [*action.output.head(reply.members), *reply.headers, *self._cors()]
        status = reply.status or action.status
        if reply.bytes is not None:
            return _Answer(status, headers, reply.bytes)
        body = b"" if status in (204, 304) else self._document(action, reply)
        if body:
            kind = (
                "application/json" if action.output.payload_type == "string" else "application/xml"
            )
            headers.append(("Content-Type", kind))
        if status not in (204, 304) and not any(name == "Content-Length" for name, _ in headers):
            headers.append(("Content-Length", str(len(body))))
        return _Answer(status, headers, [body] if body else [])

    def _document(self, action: RestAction, reply: Reply) -> bytes:
        if reply.document is not None:
            return reply.document.encode()
        return action.output.body(reply.members)

    def _refusal(self, error: AWSError, *, is_head: bool) -> _Answer:
        self.outcome = error.code
        status = status_of(error)
        headers = [*getattr(error, "headers", ()), *self._cors()]
        if status == 304 or is_head:
            return _Answer(status, headers, [])
        body = error_document(error, resource=self._resource, request_id=self.id, host_id=_HOST_ID)
        headers += [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
        return _Answer(status, headers, [body])

    def _cors(self) -> list[tuple[str, str]]:
        """Return what lets a browser's page see the answer."""
        if self._gate is None or self._request is None or "origin" not in self._request.headers:
            return []
        return cors.headers_for(self._gate.setting("cors"), self._request)


def _plain(reply: Reply) -> _Answer:
    body = (reply.document or "").encode()
    headers = [*reply.headers, ("Content-Length", str(len(body)))]
    return _Answer(reply.status or 200, headers, [body] if body else [])
