"""Access logs: where they go, what a line says, and when lines are delivered."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any, TypeVar
from urllib.parse import quote
from wsgiref.util import setup_testing_defaults

import attrs
import pytest

from pycloud import limits
from pycloud.drivers.serve import WsgiServer
from pycloud.ids import ADMIN_ACCOUNT, AccountId
from pycloud.s3 import S3App
from pycloud.s3.actions import ACTIONS
from pycloud.s3.log_lines import operation_of
from pycloud.s3.owners import canonical_id
from pycloud.s3.request import read_head
from tests.s3.conftest import STRANGER, AccountKeys, MovableClock, Served, in_threads, refused

ADMIN_ARN = f"arn:aws:iam::{ADMIN_ACCOUNT}:user/admin"
NAMES = re.findall(
    r"\w+",
    """
    owner bucket time remote_ip requester request_id operation key request_uri status error
    bytes_sent object_size total_ms turn_around_ms referrer user_agent version_id host_id
    signature cipher auth host tls access_point acl
    """,
)
T = TypeVar("T")
FIELD = re.compile(r'\[[^]]*\]|"[^"]*"|\S+')


@attrs.frozen
class Logged:
    """A bucket whose log goes to another; and the app, which tells when."""

    served: Served
    app: S3App
    clock: MovableClock
    bucket: str
    target: str
    s3: Any

    def delivered(self) -> list[str]:
        """Return the lines of the objects that were delivered, and the keys' order."""
        store = self.served.store
        found = []
        for one in store.each(self.target, prefix="log/"):
            with store.get(self.target, one.key) as stream:
                found += stream.read().decode().splitlines()
        return found

    def lines(self, count: int) -> list[dict[str, str]]:
        """Return as many lines, as soon as there are so many: a line is made when the client has
        its answer already.
        """

        def found() -> list[str]:
            self.app.deliver_logs()
            return self.delivered()

        return [_fields(line) for line in _soon(found, lambda lines: len(lines) >= count)]

    def line(self) -> dict[str, str]:
        """Return the only line."""
        [line] = self.lines(1)
        return line


def _fields(line: str) -> dict[str, str]:
    return dict(zip(NAMES, FIELD.findall(line), strict=True))


def _soon(ask: Callable[[], T], is_so: Callable[[T], bool]) -> T:
    """Ask until it is so, and return the answer."""
    deadline = time.monotonic() + 20
    while not is_so(found := ask()):
        assert time.monotonic() < deadline, found
        time.sleep(0.01)
    return found


class _AppOfTheTest:
    """Serves the app of the test that runs: one server is enough for all."""

    app: S3App

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.app(environ, start_response)


@pytest.fixture(scope="module")
def current() -> _AppOfTheTest:
    return _AppOfTheTest()


@pytest.fixture(scope="module")
def server(current: _AppOfTheTest) -> Iterator[WsgiServer]:
    with WsgiServer(current, threads=8, body_bytes=0) as server:
        yield server


@pytest.fixture(scope="module")
def client(served: Served, server: WsgiServer) -> Any:
    return attrs.evolve(served, port=server.port).client()


@pytest.fixture
def logged(
    served: Served,
    current: _AppOfTheTest,
    server: WsgiServer,
    client: Any,
    bucket: str,
    fresh_name: str,
) -> Logged:
    clock = MovableClock()
    current.app = S3App(served.store, AccountKeys(), clock=clock)
    here = attrs.evolve(served, clock=clock, port=server.port)
    served.store.create_bucket(fresh_name)
    client.put_bucket_logging(Bucket=bucket, BucketLoggingStatus=_to(fresh_name))
    return Logged(here, current.app, clock, bucket, fresh_name, client)


def _to(target: str, **more: Any) -> dict[str, Any]:
    return {"LoggingEnabled": {"TargetBucket": target, "TargetPrefix": "log/", **more}}


# The setting


def test_a_log_is_said_read_and_ended(logged: Logged) -> None:
    given = _to(logged.target, TargetObjectKeyFormat={"SimplePrefix": {}})
    for said in (given, _to(logged.target), _to(logged.bucket, TargetPrefix="")):
        logged.s3.put_bucket_logging(Bucket=logged.bucket, BucketLoggingStatus=said)
        found = logged.s3.get_bucket_logging(Bucket=logged.bucket)
        assert found["LoggingEnabled"] == said["LoggingEnabled"]
    logged.s3.put_bucket_logging(Bucket=logged.bucket, BucketLoggingStatus={})
    assert "LoggingEnabled" not in logged.s3.get_bucket_logging(Bucket=logged.bucket)


def test_targets_that_are_refused(s3: Any, stranger: Any, bucket: str, fresh_name: str) -> None:
    with refused("InvalidTargetBucketForLogging"):
        s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus=_to("no-such-bucket"))
    stranger.create_bucket(Bucket=fresh_name)
    with refused("InvalidTargetBucketForLogging"):
        s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus=_to(fresh_name))
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (
            {"TargetGrants": [{"Grantee": {"Type": "Group", "URI": "x"}, "Permission": "READ"}]},
            "NotImplemented",
        ),
        (
            {"TargetObjectKeyFormat": {"PartitionedPrefix": {"PartitionDateSource": "EventTime"}}},
            "NotImplemented",
        ),
        ({"TargetPrefix": "x" * (limits.KEY_BYTES - 35)}, "KeyTooLongError"),
    ],
)
def test_what_is_refused(s3: Any, bucket: str, more: dict[str, Any], code: str) -> None:
    with refused(code):
        s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus=_to(bucket, **more))


def test_only_the_owner_says_it(s3: Any, stranger: Any, bucket: str) -> None:
    policy = (
        '{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "s3:*", '
        f'"Resource": "arn:aws:s3:::{bucket}"}}}}'
    )
    s3.put_bucket_policy(Bucket=bucket, Policy=policy)
    with refused("AccessDenied"):
        stranger.put_bucket_logging(Bucket=bucket, BucketLoggingStatus=_to(bucket))


# Lines


def test_all_fields_of_a_get(logged: Logged) -> None:
    key = "wide sea/é"
    logged.served.store.put(logged.bucket, key, BytesIO(b"sand"))
    before = datetime.now(UTC).replace(microsecond=0)
    answer = logged.s3.get_object(Bucket=logged.bucket, Key=key)
    assert answer["Body"].read() == b"sand"
    line = logged.line()
    at = datetime.strptime(line["time"], "[%d/%b/%Y:%H:%M:%S %z]")
    assert before <= at <= before + timedelta(minutes=1)
    assert line.pop("time")
    assert re.fullmatch('"Boto3/.*"', line.pop("user_agent"))
    assert int(line.pop("turn_around_ms")) <= int(line.pop("total_ms")) < 60_000
    heads = answer["ResponseMetadata"]["HTTPHeaders"]
    assert line == {
        "owner": canonical_id(ADMIN_ACCOUNT),
        "bucket": logged.bucket,
        "remote_ip": "127.0.0.1",
        "requester": ADMIN_ARN,
        "request_id": heads["x-amz-request-id"],
        "operation": "REST.GET.OBJECT",
        "key": quote(key),
        "request_uri": f'"GET /{logged.bucket}/{quote(key)} HTTP/1.1"',
        "status": "200",
        "error": "-",
        "bytes_sent": "4",
        "object_size": "4",
        "referrer": '"-"',
        "version_id": "-",
        "host_id": heads["x-amz-id-2"],
        "signature": "SigV4",
        "cipher": "-",
        "auth": "AuthHeader",
        "host": f"127.0.0.1:{logged.served.port}",
        "tls": "-",
        "access_point": "-",
        "acl": "-",
    }


def test_what_was_sent_of_how_much(logged: Logged) -> None:
    size = limits.SMALL_OBJECT_BYTES * 100
    logged.served.store.put(logged.bucket, "large", BytesIO(bytes(size)))
    place = {"Bucket": logged.bucket, "Key": "large"}
    etag = logged.s3.head_object(**place)["ETag"]
    logged.s3.get_object(**place)["Body"].read()
    logged.s3.get_object(**place, Range="bytes=7-16")["Body"].read()
    with refused("304"):
        logged.s3.get_object(**place, IfNoneMatch=etag)
    said = ("operation", "status", "bytes_sent", "object_size")
    assert sorted(_of(line, *said) for line in logged.lines(4)) == [
        ("REST.GET.OBJECT", "200", str(size), str(size)),
        ("REST.GET.OBJECT", "206", "10", str(size)),
        ("REST.GET.OBJECT", "304", "-", "-"),
        ("REST.HEAD.OBJECT", "200", "-", str(size)),
    ]


def test_writes_and_lists(logged: Logged) -> None:
    s3, place = logged.s3, {"Bucket": logged.bucket, "Key": "a"}
    s3.put_object(**place, Body=b"sand")
    s3.put_object(**place, Body=b"stones", ChecksumAlgorithm="CRC32")
    s3.copy_object(**place, CopySource=place, MetadataDirective="REPLACE")
    s3.delete_object(**place, VersionId="null")
    s3.list_objects_v2(Bucket=logged.bucket)
    s3.get_bucket_logging(Bucket=logged.bucket)
    lines = logged.lines(6)
    assert sorted(_of(line, "operation", "key", "status", "object_size") for line in lines) == [
        ("REST.COPY.OBJECT", "a", "200", "-"),
        ("REST.DELETE.OBJECT", "a", "204", "-"),
        ("REST.GET.BUCKET", "-", "200", "-"),
        ("REST.GET.LOGGING_STATUS", "-", "200", "-"),
        ("REST.PUT.OBJECT", "a", "200", "4"),
        ("REST.PUT.OBJECT", "a", "200", "6"),
    ]
    [deleted] = [line for line in lines if line["status"] == "204"]
    assert deleted["version_id"] == "null"
    assert {line["turn_around_ms"] for line in lines if "PUT" in line["operation"]} == {"-"}


def test_who_asked_and_how(logged: Logged) -> None:
    url = logged.s3.generate_presigned_url("get_object", {"Bucket": logged.bucket, "Key": "a"})
    logged.served.store.put(logged.bucket, "a", BytesIO(b"sand"))
    logged.s3.put_object_acl(Bucket=logged.bucket, Key="a", ACL="public-read")
    place = f"/{logged.bucket}/a"
    logged.served.ask("GET", url.removeprefix(logged.served.url))
    logged.served.ask("GET", place, headers={"Referer": "http://sea.test/"})
    logged.served.ask("GET", url.removeprefix(logged.served.url) + "0")
    logged.served.ask("DELETE", place)
    with refused("AccessDenied"):
        logged.served.client(STRANGER).list_objects_v2(Bucket=logged.bucket)
    said = ("operation", "requester", "status", "error", "signature", "auth", "acl", "referrer")
    assert sorted(_of(line, *said) for line in logged.lines(6)) == sorted(
        [
            ("REST.PUT.ACL", ADMIN_ARN, "200", "-", "SigV4", "AuthHeader", "-", '"-"'),
            ("REST.GET.OBJECT", ADMIN_ARN, "200", "-", "SigV4", "QueryString", "-", '"-"'),
            ("REST.GET.OBJECT", "-", "200", "-", "-", "-", "Yes", '"http://sea.test/"'),
            ("REST.GET.OBJECT", "-", "403", "SignatureDoesNotMatch", "-", "-", "-", '"-"'),
            ("REST.DELETE.OBJECT", "-", "403", "AccessDenied", "-", "-", "-", '"-"'),
            (
                "REST.GET.BUCKET",
                f"arn:aws:iam::{STRANGER}:user/admin",
                "403",
                "AccessDenied",
                "SigV4",
                "AuthHeader",
                "-",
                '"-"',
            ),
        ]
    )


def test_nobody_writes_a_line_of_their_own(logged: Logged) -> None:
    evil = {
        "User-Agent": 'x" - - "\x85\xe9',
        "Referer": "y" * (limits.ACCESS_LOG_FIELD_CHARS + 1),
        "Host": "a b",
    }
    logged.served.ask("GET", f"/{logged.bucket}/%22%0A%20z?%22", headers=evil)
    line = logged.line()
    assert line["user_agent"] == '"x%22 - - %22%85%E9"'
    assert line["referrer"] == f'"{"y" * limits.ACCESS_LOG_FIELD_CHARS}"'
    assert (line["key"], line["host"]) == ("%22%0A%20z", "a%20b")


def test_any_server_will_do(logged: Logged) -> None:
    environ: dict[str, Any] = {
        "PATH_INFO": f"/{logged.bucket}",
        "QUERY_STRING": "list-type=2",
        "SSL_CIPHER": "TLS_AES_256_GCM_SHA384",
        "SSL_PROTOCOL": "TLSv1.3",
    }
    setup_testing_defaults(environ)
    answer: Any = logged.app(environ, lambda *_: None)
    sent = sum(map(len, answer))
    answer.close()
    line = logged.line()
    assert _of(line, "operation", "error", "bytes_sent", "remote_ip") == (
        "REST.GET.BUCKET",
        "AccessDenied",
        str(sent),
        "-",
    )
    assert _of(line, "cipher", "tls") == ("TLS_AES_256_GCM_SHA384", "TLSv1.3")


def _of(line: Mapping[str, str], *names: str) -> tuple[str, ...]:
    return tuple(line[name] for name in names)


@pytest.mark.parametrize(
    ("action", "method", "operation"),
    [
        ("GetBucketLifecycleConfiguration", "GET", "REST.GET.LIFECYCLE"),
        ("GetPublicAccessBlock", "GET", "REST.GET.PUBLIC_ACCESS_BLOCK"),
        ("PutObjectTagging", "PUT", "REST.PUT.OBJECT_TAGGING"),
        ("PutBucketPolicy", "PUT", "REST.PUT.BUCKETPOLICY"),
        ("CreateMultipartUpload", "POST", "REST.POST.UPLOADS"),
        ("UploadPartCopy", "PUT", "REST.COPY.PART"),
        ("DeleteBucket", "DELETE", "REST.DELETE.BUCKET"),
        ("DeleteObjects", "POST", "REST.POST.MULTI_OBJECT_DELETE"),
        ("", "PATCH", "REST.PATCH.OBJECT"),
    ],
)
def test_operations(action: str, method: str, operation: str) -> None:
    assert not action or action in ACTIONS
    environ = {"REQUEST_METHOD": method, "PATH_INFO": "/bucket/key"}
    assert operation_of(read_head(environ, ()), action) == operation


# Delivery


def test_an_object_of_the_log(logged: Logged) -> None:
    logged.s3.head_bucket(Bucket=logged.bucket)
    logged.line()
    [listed] = logged.served.store.list(logged.target).objects
    stored = logged.served.store.head(logged.target, listed.key)
    assert re.fullmatch(r"log/\d{4}(-\d\d){5}-[0-9A-F]{16}", stored.key)
    assert (stored.account, stored.headers["content-type"]) == (ADMIN_ACCOUNT, "text/plain")


def test_many_lines_are_delivered_at_once(logged: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ACCESS_LOG_LINES", 3)
    for _ in range(7):  # on one connection, so one after the other
        logged.s3.head_bucket(Bucket=logged.bucket)
    _soon(logged.delivered, lambda lines: len(lines) == 6)
    assert len(logged.served.store.list(logged.target).objects) == 2
    assert len(logged.lines(7)) == 7


def test_old_lines_are_delivered_when_somebody_comes(logged: Logged) -> None:
    logged.served.ask("GET", f"/{logged.bucket}/a")
    logged.s3.head_bucket(Bucket=logged.target)
    assert logged.delivered() == []
    logged.clock.ahead_s += limits.ACCESS_LOG_S + 1

    def after_a_request() -> list[str]:
        logged.s3.head_bucket(Bucket=logged.target)  # a bucket that has no log
        return logged.delivered()

    assert len(_soon(after_a_request, bool)) == 1


def test_a_log_in_the_bucket_itself_does_not_grow_by_itself(logged: Logged) -> None:
    own = attrs.evolve(logged, target=logged.bucket)
    logged.s3.put_bucket_logging(Bucket=own.bucket, BucketLoggingStatus=_to(own.bucket))
    logged.s3.head_bucket(Bucket=own.bucket)
    [line] = [one for one in own.lines(1) if one["operation"] == "REST.HEAD.BUCKET"]
    assert line["bucket"] == own.bucket
    logged.app.deliver_logs()
    assert len(own.delivered()) == 1


@pytest.mark.parametrize("next_owner", [None, STRANGER])
def test_lines_for_a_target_that_is_gone_are_lost(
    logged: Logged, caplog: pytest.LogCaptureFixture, next_owner: AccountId | None
) -> None:
    logged.s3.delete_bucket(Bucket=logged.target)
    if next_owner is not None:
        logged.served.store.create_bucket(logged.target, account=next_owner)
    assert logged.served.ask("GET", f"/{logged.bucket}/a").code == "AccessDenied"

    def lost() -> bool:
        logged.app.deliver_logs()
        return f"1 lines of the log for bucket {logged.target} are lost" in caplog.text

    assert _soon(lost, bool)
    assert next_owner is None or logged.delivered() == []
    assert logged.served.ask("GET", f"/{logged.bucket}/a").code == "AccessDenied"


def test_what_waits_is_bounded(
    logged: Logged, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(limits, "ACCESS_LOG_HELD_BYTES", 10)
    logged.served.ask("GET", f"/{logged.bucket}/a")
    _soon(lambda: caplog.text, lambda text: "lines of the log" in text)
    logged.app.deliver_logs()
    assert logged.delivered() == []
    monkeypatch.setattr(limits, "ACCESS_LOG_HELD_BYTES", 500)
    logged.served.ask("GET", f"/{logged.bucket}/b")
    [line] = _soon(logged.delivered, bool)  # it is more than half of what may wait
    assert 250 < len(line) < 500


def test_each_of_many_at_once_has_a_line(logged: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ACCESS_LOG_LINES", 5)

    def ask(number: int) -> None:
        for again in range(6):
            logged.served.ask("GET", f"/{logged.bucket}/{number}-{again}")

    assert in_threads(8, ask) == [None] * 8
    keys = {line["key"] for line in logged.lines(48)}
    assert keys == {f"{number}-{again}" for number in range(8) for again in range(6)}
    assert len(logged.lines(48)) == 48


def test_a_setting_that_is_no_setting_fails_no_request(logged: Logged) -> None:
    logged.served.store.set_setting(logged.bucket, "logging", "nonsense")
    logged.s3.put_bucket_tagging(Bucket=logged.bucket, Tagging={"TagSet": []})
    assert logged.served.ask("GET", f"/{logged.bucket}/a").code == "AccessDenied"
