"""Objects stored and read back: keys, bytes, ranges, conditions, metadata, checksums."""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from datetime import timedelta
from email.header import decode_header, make_header
from typing import Any

import pytest

from tests.s3.conftest import Served, refused

KEYS = [
    "plain",
    "a space",
    "plus+plus",
    "per%2Fcent",
    "a//b",
    "../up/../..",
    "/absolute",
    "trailing/",
    "line\nfeed",
    "carriage\rreturn",
    "tab\tand \x01",
    "emoji 😀 é e\u0301",
    "q?a=b&c#d",
    "'\"<>&;:@=,$!*()[]{}|\\^`~",
    "x" * 1024,
    "é" * 512,
]


@pytest.mark.parametrize("key", KEYS)
def test_any_key_comes_back(s3: Any, bucket: str, key: str) -> None:
    body = key.encode() * 3
    stored = s3.put_object(Bucket=bucket, Key=key, Body=body)
    assert stored["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    found = s3.get_object(Bucket=bucket, Key=key)
    assert found["Body"].read() == body
    [listed] = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert (listed["Key"], listed["Size"], listed["ETag"]) == (key, len(body), stored["ETag"])
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": key})
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == body
    deleted = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "copy"}]})
    assert [one["Key"] for one in deleted["Deleted"]] == ["copy"]
    s3.delete_object(Bucket=bucket, Key=key)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_a_key_that_is_too_long(s3: Any, bucket: str) -> None:
    with refused("KeyTooLongError"):
        s3.put_object(Bucket=bucket, Key="x" * 1025, Body=b"")


@pytest.mark.parametrize("size", [0, 1, 16 * 1024, 16 * 1024 + 1, 3 * 1024**2 + 7])
def test_any_size_comes_back(s3: Any, bucket: str, size: int) -> None:
    body = os.urandom(size)
    s3.put_object(Bucket=bucket, Key="a", Body=body)
    head = s3.head_object(Bucket=bucket, Key="a")
    assert head["ContentLength"] == size
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == body


def test_headers_and_metadata_come_back(s3: Any, bucket: str) -> None:
    given = {
        "CacheControl": "no-cache",
        "ContentDisposition": 'attachment; filename="a.txt"',
        "ContentEncoding": "gzip",
        "ContentLanguage": "de",
        "ContentType": "text/plain",
        "Expires": "Wed, 21 Oct 2026 07:28:00 GMT",
        "Metadata": {"under_score": "1", "hy-phen": "two words"},
    }
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", **given)
    head = s3.head_object(Bucket=bucket, Key="a")
    assert head.pop("ExpiresString") == given.pop("Expires")
    assert {name: head[name] for name in given} == given


def test_the_type_is_bytes_unless_said(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    assert s3.head_object(Bucket=bucket, Key="a")["ContentType"] == "binary/octet-stream"


def test_metadata_beyond_ascii(s3: Any, bucket: str) -> None:
    # boto3 refuses to send such text itself; others do it in this way.
    s3.put_object(Bucket=bucket, Key="a", Body=b"", Metadata={"name": "=?utf-8?b?w6k=?="})
    assert s3.head_object(Bucket=bucket, Key="a")["Metadata"] == {"name": "=?utf-8?b?w6k=?="}


def test_metadata_in_raw_utf8(served: Served, s3: Any, bucket: str) -> None:
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    sent = "naïve ☃".encode().decode("latin-1")
    assert served.ask("PUT", f"/{bucket}/a", headers={"x-amz-meta-n": sent}, body=b"").status == 200
    text = s3.head_object(Bucket=bucket, Key="a")["Metadata"]["n"]
    assert str(make_header(decode_header(text))) == "naïve ☃"


def test_too_much_metadata(s3: Any, bucket: str) -> None:
    with refused("MetadataTooLarge"):
        s3.put_object(Bucket=bucket, Key="a", Body=b"", Metadata={"long": "x" * 2048})


@pytest.mark.parametrize(
    ("range_", "expected"),
    [
        ("bytes=0-0", b"0"),
        ("bytes=2-5", b"2345"),
        ("bytes=5-", b"56789"),
        ("bytes=-3", b"789"),
        ("bytes=-100", b"0123456789"),
        ("bytes=8-100", b"89"),
    ],
)
def test_a_range(s3: Any, bucket: str, range_: str, expected: bytes) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"0123456789")
    found = s3.get_object(Bucket=bucket, Key="a", Range=range_)
    assert found["Body"].read() == expected
    assert found["ResponseMetadata"]["HTTPStatusCode"] == 206
    first = b"0123456789".index(expected)
    assert found["ContentRange"] == f"bytes {first}-{first + len(expected) - 1}/10"


@pytest.mark.parametrize("range_", ["bytes=1-0", "bytes=0-1,3-4", "lines=1-2", "bytes=-", "x"])
def test_what_is_no_range_is_all(s3: Any, bucket: str, range_: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"0123456789")
    found = s3.get_object(Bucket=bucket, Key="a", Range=range_)
    assert found["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert found["Body"].read() == b"0123456789"


@pytest.mark.parametrize(("body", "range_"), [(b"0123", "bytes=4-"), (b"", "bytes=0-")])
def test_a_range_that_is_not_there(s3: Any, bucket: str, body: bytes, range_: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=body)
    with refused("InvalidRange"):
        s3.get_object(Bucket=bucket, Key="a", Range=range_)


def test_a_range_of_a_large_object(s3: Any, bucket: str) -> None:
    body = os.urandom(3 * 1024**2)
    s3.put_object(Bucket=bucket, Key="a", Body=body)
    found = s3.get_object(Bucket=bucket, Key="a", Range=f"bytes=1000000-{2 * 1024**2}")
    assert found["Body"].read() == body[1000000 : 2 * 1024**2 + 1]


def test_conditions_of_a_read(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="a", Body=b"x")["ETag"]
    moment = s3.head_object(Bucket=bucket, Key="a")["LastModified"]
    before, after = moment - timedelta(hours=1), moment + timedelta(hours=1)

    def get(**conditions: Any) -> Any:
        return s3.get_object(Bucket=bucket, Key="a", **conditions)

    for fine in (
        {"IfMatch": etag},
        {"IfMatch": "*"},
        {"IfMatch": etag, "IfUnmodifiedSince": before},
        {"IfNoneMatch": '"other"'},
        {"IfNoneMatch": '"other"', "IfModifiedSince": after},
        {"IfModifiedSince": before},
        {"IfUnmodifiedSince": moment},
    ):
        assert get(**fine)["Body"].read() == b"x", fine
    for known in (
        {"IfNoneMatch": etag},
        {"IfNoneMatch": "*"},
        {"IfNoneMatch": etag, "IfModifiedSince": before},
        {"IfModifiedSince": moment},
    ):
        with refused("304"):
            get(**known)
    for failed in ({"IfMatch": '"other"'}, {"IfUnmodifiedSince": before}):
        with refused("PreconditionFailed"):
            get(**failed)
        with refused("412"):
            s3.head_object(Bucket=bucket, Key="a", **failed)


def test_conditions_of_a_write(s3: Any, bucket: str) -> None:
    first = s3.put_object(Bucket=bucket, Key="a", Body=b"1", IfNoneMatch="*")["ETag"]
    with refused("PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="a", Body=b"2", IfNoneMatch="*")
    with refused("PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="a", Body=b"2", IfMatch='"other"')
    s3.put_object(Bucket=bucket, Key="a", Body=b"2", IfMatch=first)
    with refused("NoSuchKey"):
        s3.put_object(Bucket=bucket, Key="b", Body=b"2", IfMatch=first)
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"2"


def test_headers_of_the_answer_are_replaced(served: Served, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    found = s3.get_object(
        Bucket=bucket,
        Key="a",
        ResponseContentType="text/html",
        ResponseContentDisposition="attachment\r\nX-Evil: yes",
    )
    assert found["ContentType"] == "text/html"
    assert "x-evil" not in found["ResponseMetadata"]["HTTPHeaders"]
    s3.put_object_acl(Bucket=bucket, Key="a", ACL="public-read")
    answer = served.ask("GET", f"/{bucket}/a?response-content-type=text/html")
    assert (answer.status, answer.code) == (400, "InvalidRequest")


# Checksums


def _sums(body: bytes) -> dict[str, str]:
    return {
        "CRC32": base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode(),
        "SHA1": base64.b64encode(hashlib.sha1(body).digest()).decode(),
        "SHA256": base64.b64encode(hashlib.sha256(body).digest()).decode(),
    }


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_a_checksum_in_a_header(s3: Any, bucket: str, algorithm: str) -> None:
    member, good = f"Checksum{algorithm}", _sums(b"sand")[algorithm]
    stored = s3.put_object(Bucket=bucket, Key="a", Body=b"sand", **{member: good})
    assert (stored[member], stored["ChecksumType"]) == (good, "FULL_OBJECT")
    found = s3.get_object(Bucket=bucket, Key="a", ChecksumMode="ENABLED")
    assert (found["Body"].read(), found[member]) == (b"sand", good)
    with refused("BadDigest"):
        s3.put_object(Bucket=bucket, Key="b", Body=b"sand", **{member: _sums(b"other")[algorithm]})
    with refused("InvalidRequest"):
        s3.put_object(Bucket=bucket, Key="b", Body=b"sand", **{member: "bm9uc2Vuc2U="})
    with refused("404"):
        s3.head_object(Bucket=bucket, Key="b")


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_a_checksum_that_the_client_works_out(s3: Any, bucket: str, algorithm: str) -> None:
    if algorithm in ("CRC32C", "CRC64NVME"):
        pytest.importorskip("awscrt")
    stored = s3.put_object(Bucket=bucket, Key="a", Body=b"sand", ChecksumAlgorithm=algorithm)
    assert f"Checksum{algorithm}" in stored
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"sand"


def test_a_checksum_in_a_trailer(served: Served, s3: Any, bucket: str) -> None:
    body = b"sand" * 1000
    good = _sums(body)["SHA256"]

    def put(value: str) -> Any:
        sent = b"%x\r\n%s\r\n0\r\nx-amz-checksum-sha256:%s\r\n\r\n" % (
            len(body),
            body,
            value.encode(),
        )
        headers = {
            "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            "x-amz-decoded-content-length": str(len(body)),
            "x-amz-trailer": "x-amz-checksum-sha256",
            "content-encoding": "aws-chunked,gzip",
        }
        return served.ask("PUT", f"/{bucket}/a", headers=headers, body=sent)

    s3.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    assert put(_sums(b"other")["SHA256"]).code == "BadDigest"
    with refused("404"):
        s3.head_object(Bucket=bucket, Key="a")
    assert put(good).status == 200
    found = s3.get_object(Bucket=bucket, Key="a", ChecksumMode="ENABLED")
    assert (found["Body"].read(), found["ChecksumSHA256"]) == (body, good)
    assert found["ContentEncoding"] == "gzip"


def test_an_md5(served: Served, s3: Any, bucket: str) -> None:
    good = base64.b64encode(hashlib.md5(b"sand").digest()).decode()
    s3.put_object(Bucket=bucket, Key="a", Body=b"sand", ContentMD5=good)
    with refused("BadDigest"):
        s3.put_object(Bucket=bucket, Key="b", Body=b"other", ContentMD5=good)
    with refused("InvalidDigest"):
        s3.put_object(Bucket=bucket, Key="b", Body=b"other", ContentMD5="c2hvcnQ=")
    with refused("404"):
        s3.head_object(Bucket=bucket, Key="b")


# Encryption


def test_encryption_with_a_key_of_the_store(s3: Any, bucket: str) -> None:
    body = os.urandom(200_000)
    stored = s3.put_object(Bucket=bucket, Key="a", Body=body, ServerSideEncryption="AES256")
    assert stored["ServerSideEncryption"] == "AES256"
    found = s3.get_object(Bucket=bucket, Key="a", Range="bytes=70000-140000")
    assert found["Body"].read() == body[70000:140001]
    assert found["ServerSideEncryption"] == "AES256"
    with refused("NotImplemented"):
        s3.put_object(Bucket=bucket, Key="b", Body=b"", ServerSideEncryption="aws:kms")


def test_encryption_with_a_key_of_the_customer(s3: Any, bucket: str) -> None:
    key, body = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}, os.urandom(100_000)
    s3.put_object(Bucket=bucket, Key="a", Body=body, **key)
    found = s3.get_object(Bucket=bucket, Key="a", **key)
    assert (found["Body"].read(), found["SSECustomerAlgorithm"]) == (body, "AES256")
    with refused("InvalidRequest"):
        s3.get_object(Bucket=bucket, Key="a")
    with refused("400"):
        s3.head_object(Bucket=bucket, Key="a")
    with refused("AccessDenied"):
        s3.get_object(Bucket=bucket, Key="a", **{**key, "SSECustomerKey": "x" * 32})
    with refused("InvalidArgument"):
        s3.put_object(Bucket=bucket, Key="b", Body=b"", **{**key, "SSECustomerKey": "short"})
    copied = {f"CopySource{name}": value for name, value in key.items()}
    s3.copy_object(Bucket=bucket, Key="plain", CopySource={"Bucket": bucket, "Key": "a"}, **copied)
    assert s3.get_object(Bucket=bucket, Key="plain")["Body"].read() == body
