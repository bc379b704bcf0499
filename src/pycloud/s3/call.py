"""`Call`: what every action is given; `Reply`: what one answers that is more than a document."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cached_property
from itertools import chain
from typing import Any, Final

import attrs

from pycloud.aws.callers import Caller
from pycloud.aws.errors import AWSError
from pycloud.aws.payloads import Readable
from pycloud.aws.requests import Authenticated
from pycloud.aws.rest_actions import RestAction, RestActions
from pycloud.ids import AccountId
from pycloud.s3.access import Asker, Gate
from pycloud.s3.body import open_body
from pycloud.s3.documents import NAMESPACE
from pycloud.s3.known import KnownBuckets
from pycloud.s3.request import S3Request
from pycloud.storage.buckets import BucketStore
from pycloud.storage.reading import FileSpan, ObjectStream
from pycloud.storage.records import Bucket

HARMLESS: Final = {
    "ChecksumAlgorithm": "the checksum itself comes along",
    "ContentMD5": "every body is held against it anyway",
    "RequestPayer": "nothing is paid here",
    "MFA": "no bucket can ask for a second factor",
    "BucketKeyEnabled": "there is no key management service to spare",
    "TransitionDefaultMinimumObjectSize": "there is one class of storage",
}


def new_actions() -> RestActions:
    """Return a list for the actions of one module."""
    return RestActions(HARMLESS, NAMESPACE)


@attrs.frozen(slots=False)
class Call:
    """One request, authenticated; of a bucket that is there, if it is about one."""

    buckets: BucketStore
    known: KnownBuckets
    region: str
    request: S3Request
    action: RestAction
    asker: Asker
    request_id: str
    gate: Gate | None

    @property
    def now(self) -> datetime:
        """When it came."""
        return self.asker.now

    @property
    def caller(self) -> Caller | None:
        """Who signed it, None if nobody did."""
        return self.asker.caller

    @property
    def account(self) -> AccountId:
        """The caller's account; objects of the anonymous are the bucket owner's."""
        if self.caller is not None:
            return self.caller.account
        return self.bucket.account

    @property
    def account_of_caller(self) -> AccountId:
        """The caller's account. Raises `AWSError` if nobody signed."""
        if self.caller is None:
            raise AWSError("AccessDenied", "Access Denied")
        return self.caller.account

    @property
    def access(self) -> Gate:
        """Who may do what in the bucket."""
        assert self.gate is not None  # the request names a bucket
        return self.gate

    @property
    def bucket(self) -> Bucket:
        """The bucket."""
        return self.access.bucket

    @property
    def name(self) -> str:
        """The bucket's name."""
        return self.bucket.name

    @property
    def key(self) -> str:
        """The object's key."""
        return self.request.key

    @cached_property
    def body(self) -> Readable:
        """The decoded bytes of the request, verified as far as they are signed."""
        authenticated: Authenticated | None = self.asker.authenticated
        return open_body(self.request, authenticated)

    def trailers(self) -> Mapping[str, str]:
        """Return the headers that came after the body."""
        found: Mapping[str, str] = getattr(self.body, "trailers", {})
        return found

    def gate_of(self, bucket: str) -> Gate:
        """Return who may do what in another bucket. Raises `NotFound`."""
        if bucket == self.name:
            return self.access
        return Gate(self.buckets, self.known.get(bucket), self.asker)

    def set_setting(self, kind: str, document: str | None) -> None:
        """Keep a document of the bucket's, or forget it."""
        self.buckets.set_setting(self.name, kind, document)


class Bytes:
    """The bytes of an answer, as an iterable; for servers that send spans of files, also as those.

    The first of them are verified at once, so that damage is an error, and not a broken answer.
    """

    def __init__(self, stream: ObjectStream, first: int, last: int, *, as_spans: bool) -> None:
        self._stream = stream
        give: Callable[[int, int], Iterator[bytes | FileSpan]]
        give = stream.spans if as_spans else stream.blocks
        rest = give(first, last)
        self._all = chain([next(rest)], rest)

    def __iter__(self) -> Iterator[Any]:
        """Give them in pieces."""
        return self._all

    def close(self) -> None:
        """Give back what is open."""
        self._stream.close()


@attrs.frozen
class Reply:
    """An answer with a status of its own, or with bytes."""

    members: Mapping[str, Any] = attrs.field(factory=dict)
    status: int | None = None
    bytes: Bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    document: str | None = None
    """The body, where the model does not describe it."""


def not_implemented(what: str) -> AWSError:
    """Return the refusal of what exists in S3, but not here."""
    return AWSError(
        "NotImplemented",
        f"A header or part of the request you provided implies functionality that "
        f"is not implemented: {what}",
    )
