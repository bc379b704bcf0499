"""What strangers send: never an internal error, and nothing stored."""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.s3.conftest import Served, refused

_BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    b'<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><Delete><Object><Key>&b;</Key></Object></Delete>'
)
_OUTSIDE = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    b"<Delete><Object><Key>&a;</Key></Object></Delete>"
)


@pytest.fixture
def open_bucket(s3: Any, bucket: str) -> str:
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    return bucket


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "MissingRequestBodyError"),
        (b"<Delete>", "MalformedXML"),
        (b"<Delete/>", "MalformedXML"),
        (b"nonsense", "MalformedXML"),
        (_BOMB, "MalformedXML"),
        (_OUTSIDE, "MalformedXML"),
        (b"<Delete><Object><Colour/></Object></Delete>", "MalformedXML"),
        (b"<Delete><Object/></Delete>", "MalformedXML"),
        (b"<Delete><Quiet>x</Quiet><Object><Key>a</Key></Object></Delete>", "MalformedXML"),
        (b"<Delete><Object><Key><Key>a</Key></Key></Object></Delete>", "MalformedXML"),
        ("<Delete><Object><Key>é</Key></Object></Delete>".encode("latin-1"), "MalformedXML"),
        (b"<" + b"a" * 9 * 1024**2, "MaxMessageLengthExceeded"),
    ],
)
def test_documents_that_are_refused(
    served: Served, open_bucket: str, body: bytes, code: str
) -> None:
    answer = served.ask("POST", f"/{open_bucket}?delete", body=body)
    assert answer.code == code


def test_a_document_that_is_deep(served: Served, open_bucket: str) -> None:
    answer = served.ask("POST", f"/{open_bucket}?delete", body=b"<a>" * 100_000)
    assert answer.code == "MalformedXML"


def _raw(served: Served, sent: bytes, *, ends: bool = True) -> bytes:
    """Send bytes as they are; return all that is answered."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as connection:
        connection.sendall(sent)
        if ends:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer


def test_a_body_that_ends_early(served: Served, s3: Any, open_bucket: str) -> None:
    head = f"PUT /{open_bucket}/cut HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode()
    for rest in (
        b"Content-Length: 100\r\n\r\nshort",
        b"Transfer-Encoding: chunked\r\n\r\n64\r\nshort",
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\nshort",
        b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
    ):
        answer = _raw(served, head + rest)
        assert b"IncompleteBody" in answer, rest
    with refused("404"):
        s3.head_object(Bucket=open_bucket, Key="cut")


def test_a_length_that_lies(served: Served, s3: Any, open_bucket: str) -> None:
    for announced, sent in ((10, b"4\r\nsand\r\n0\r\n\r\n"), (2, b"4\r\nsand\r\n0\r\n\r\n")):
        headers = {
            "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            "x-amz-decoded-content-length": str(announced),
        }
        answer = served.ask("PUT", f"/{open_bucket}/lie", headers=headers, body=sent)
        assert answer.code == "IncompleteBody"
    with refused("404"):
        s3.head_object(Bucket=open_bucket, Key="lie")


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 1\r\nTransfer-Encoding: chunked",
        b"Content-Length: 1\r\nContent-Length: 2",
        b"Content-Length: +1",
        b"Content-Length: -1",
        b"Content-Length: 1_0",
        b"Content-Length : 1",
        b"Transfer-Encoding: gzip, chunked",
        b"Host: y",
        b"X-Long: " + b"x" * 70_000,
    ],
)
def test_requests_that_two_could_read_differently(
    served: Served, open_bucket: str, head: bytes
) -> None:
    start = f"PUT /{open_bucket}/a HTTP/1.1\r\nHost: x\r\n".encode()
    answer = _raw(served, start + head + b"\r\n\r\nx")
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 501")), answer[:100]
    assert answer.count(b"\nHTTP/1.1 ") == 0  # no second answer


def test_no_length_at_all(served: Served, open_bucket: str) -> None:
    request = f"PUT /{open_bucket}/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    assert b"MissingContentLength" in _raw(served, request)


def test_a_refused_body_is_not_the_next_request(served: Served, bucket: str) -> None:
    inner = b"GET /inner HTTP/1.1\r\nHost: x\r\n\r\n"
    for framing in (
        b"Content-Length: %d\r\n\r\n%s" % (len(inner), inner),
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(inner), inner),
    ):
        head = f"PUT /{bucket}/a HTTP/1.1\r\nHost: x\r\n".encode()
        answer = _raw(served, head + framing)
        assert answer.count(b"<Code>AccessDenied") == 1
        assert answer.count(b"HTTP/1.1 ") == 1


def test_the_client_is_told_to_go_on(served: Served, s3: Any, open_bucket: str) -> None:
    head = (
        f"PUT /{open_bucket}/a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
        "Expect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as connection:
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 100 Continue")
        connection.sendall(b"sand")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    assert s3.get_object(Bucket=open_bucket, Key="a")["Body"].read() == b"sand"


def test_keys_that_climb(served: Served, s3: Any, open_bucket: str) -> None:
    for key in ("../../etc/passwd", "..", ".", "a/../../b", "/etc/passwd", "nul\x00", "c:\\x"):
        path = f"/{open_bucket}/{quote(key, safe='')}"
        assert served.ask("PUT", path, body=key.encode()).status == 200, key
        assert s3.get_object(Bucket=open_bucket, Key=key)["Body"].read() == key.encode()
    listed = s3.list_objects_v2(Bucket=open_bucket)["Contents"]
    assert len(listed) == 7


@pytest.mark.parametrize("path", ["/%ff", "/b%ffd/key", "/bucket/%ff%fe", "/%00", "/b?prefix=%ff"])
def test_paths_that_are_no_text(served: Served, path: str) -> None:
    assert served.ask("GET", path).status in (400, 404)


_NAMES = st.sampled_from(
    [
        "acl",
        "policy",
        "uploads",
        "uploadId",
        "partNumber",
        "versionId",
        "delete",
        "versions",
        "list-type",
        "prefix",
        "delimiter",
        "max-keys",
        "marker",
        "continuation-token",
        "tagging",
        "cors",
        "lifecycle",
        "x-id",
        "attributes",
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Signature",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-SignedHeaders",
        "AWSAccessKeyId",
        "Signature",
        "Expires",
        "response-content-type",
        "encoding-type",
        "retention",
        "legal-hold",
        "object-lock",
    ]
)
_HEADERS = st.sampled_from(
    [
        "Range",
        "If-Match",
        "If-None-Match",
        "If-Modified-Since",
        "x-amz-acl",
        "x-amz-grant-read",
        "x-amz-copy-source",
        "x-amz-tagging",
        "x-amz-content-sha256",
        "x-amz-decoded-content-length",
        "x-amz-trailer",
        "Content-MD5",
        "x-amz-checksum-crc32",
        "x-amz-date",
        "Authorization",
        "x-amz-server-side-encryption-customer-key",
        "Origin",
        "x-amz-object-lock-mode",
        "x-amz-object-lock-retain-until-date",
        "x-amz-meta-a",
        "x-amz-storage-class",
        "x-amz-metadata-directive",
        "Content-Type",
        "x-amz-object-attributes",
        "x-amz-copy-source-range",
        "x-amz-sdk-checksum-algorithm",
        "x-amz-mp-object-size",
        "x-amz-expected-bucket-owner",
        "Expires",
    ]
)
_TEXTS = st.one_of(
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20),
    st.sampled_from(
        [
            "2",
            "-1",
            "0",
            "9" * 30,
            "true",
            "bytes=0-1",
            "*",
            "a/b",
            "AWS a:b",
            "AWS4-HMAC-SHA256 ",
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            "UNSIGNED-PAYLOAD",
            "x-amz-checksum-crc32",
            "AAAAAA==",
            "GOVERNANCE",
            "public-read",
            "Tue, 24 Nov 2026 10:00:00 GMT",
            "2026-11-24T10:00:00Z",
            "multipart/form-data; boundary=x",
            "AES256",
            'id="x"',
            "a=b&c",
            "COPY",
            "crc32",
        ]
    ),
)
_SIGNING = ("Authorization", "x-amz-content-sha256", "x-amz-date")
_BODIES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([
        b"<Delete><Object><Key>a</Key></Object></Delete>",
        b"<Tagging><TagSet><Tag><Key>a</Key><Value/></Tag></TagSet></Tagging>",
        b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part>"
        b"</CompleteMultipartUpload>",
        b"<AccessControlPolicy><AccessControlList/></AccessControlPolicy>",
        b"<CORSConfiguration><CORSRule/></CORSConfiguration>",
        b"<LifecycleConfiguration><Rule><Status>Enabled</Status></Rule></LifecycleConfiguration>",
        b"<VersioningConfiguration/>",
        b"<Retention/>",
        b"<LegalHold/>",
        b'{"Statement": []}',
    ]),
)  # fmt: skip


@settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    method=st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH"]),
    place=st.sampled_from(["/", "/{}", "/{}/a", "/{}/b/", "/none/a", "/services/Walrus/{}/a"]),
    query=st.lists(st.tuples(_NAMES, _TEXTS), max_size=4),
    headers=st.dictionaries(_HEADERS, _TEXTS, max_size=4),
    body=_BODIES,
    as_owner=st.booleans(),
)
def test_no_request_is_an_internal_error(
    served: Served,
    open_bucket: str,
    method: str,
    place: str,
    query: list[tuple[str, str]],
    headers: dict[str, str],
    body: bytes,
    as_owner: bool,
) -> None:
    path = place.format(open_bucket)
    text = "&".join(f"{name}={quote(value)}" for name, value in query)
    if as_owner and headers.keys().isdisjoint(_SIGNING):
        headers = _signed(served, method, f"{path}?{text}", headers, body)
    answer = served.ask(method, f"{path}?{text}" if text else path, headers=headers, body=body)
    assert answer.status < 500 or answer.status == 501, answer
    if answer.status >= 400 and method != "HEAD":
        assert answer.code or answer.body.startswith(b"Malformed"), answer


def _signed(
    served: Served, method: str, path: str, headers: dict[str, str], body: bytes
) -> dict[str, str]:
    """Return the headers with the owner's signature, so that more than the door is knocked at."""
    host = f"127.0.0.1:{served.port}"
    request = AWSRequest(
        method, f"http://{host}{path}", data=body, headers={"Host": host, **headers}
    )
    S3SigV4Auth(Credentials("AKIA000000000001", "secret"), "s3", "pycloud").add_auth(request)
    return dict(request.headers.items())
