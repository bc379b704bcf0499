"""Objects that arrive in parts, and copies."""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from typing import Any

import pytest

from tests.s3.conftest import Served, in_threads, refused

PART = 5 * 1024**2


def _upload(s3: Any, bucket: str, parts: list[bytes], **begun: Any) -> Any:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="a", **begun)["UploadId"]
    named = [
        {
            "PartNumber": number,
            "ETag": s3.upload_part(
                Bucket=bucket, Key="a", UploadId=upload, PartNumber=number, Body=body
            )["ETag"],
        }
        for number, body in enumerate(parts, 1)
    ]
    return upload, named


def test_parts_make_an_object(s3: Any, bucket: str) -> None:
    parts = [os.urandom(PART), os.urandom(PART), b"end"]
    upload, named = _upload(s3, bucket, parts, Metadata={"x": "1"}, ContentType="text/plain")
    listed = s3.list_parts(Bucket=bucket, Key="a", UploadId=upload, MaxParts=2)
    assert [one["Size"] for one in listed["Parts"]] == [PART, PART]
    assert (listed["IsTruncated"], listed["NextPartNumberMarker"]) == (True, 2)
    rest = s3.list_parts(Bucket=bucket, Key="a", UploadId=upload, PartNumberMarker=2)
    assert [one["PartNumber"] for one in rest["Parts"]] == [3]
    with refused("404"):
        s3.head_object(Bucket=bucket, Key="a")
    done = s3.complete_multipart_upload(
        Bucket=bucket, Key="a", UploadId=upload, MultipartUpload={"Parts": named}
    )
    digests = b"".join(hashlib.md5(part).digest() for part in parts)
    assert done["ETag"] == f'"{hashlib.md5(digests).hexdigest()}-3"'
    found = s3.get_object(Bucket=bucket, Key="a")
    assert found["Body"].read() == b"".join(parts)
    assert (found["Metadata"], found["ContentType"]) == ({"x": "1"}, "text/plain")
    second = s3.get_object(Bucket=bucket, Key="a", PartNumber=2)
    assert (second["PartsCount"], second["Body"].read()) == (3, parts[1])
    with refused("InvalidPartNumber"):
        s3.get_object(Bucket=bucket, Key="a", PartNumber=4)
    with refused("NoSuchUpload"):
        s3.list_parts(Bucket=bucket, Key="a", UploadId=upload)
    across = s3.get_object(Bucket=bucket, Key="a", Range=f"bytes={PART - 2}-{PART + 1}")
    assert across["Body"].read() == parts[0][-2:] + parts[1][:2]


def test_what_is_wrong_with_parts(s3: Any, bucket: str) -> None:
    upload, named = _upload(s3, bucket, [b"small", b"end"])

    def complete(parts: Any) -> None:
        s3.complete_multipart_upload(
            Bucket=bucket, Key="a", UploadId=upload, MultipartUpload={"Parts": parts}
        )

    with refused("EntityTooSmall"):
        complete(named)
    with refused("InvalidPartOrder"):
        complete(named[::-1])
    with refused("InvalidPart"):
        complete([{"PartNumber": 1, "ETag": '"other"'}])
    with refused("InvalidPart"):
        complete([{"PartNumber": 7, "ETag": named[0]["ETag"]}])
    with refused("MalformedXML"):
        complete([])
    for number in (0, 10_001):
        with refused("InvalidArgument"):
            s3.upload_part(Bucket=bucket, Key="a", UploadId=upload, PartNumber=number, Body=b"")
    with refused("NoSuchUpload"):
        s3.upload_part(Bucket=bucket, Key="a", UploadId="nonsense", PartNumber=1, Body=b"")
    complete(named[:1])
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"small"


def test_uploads_are_listed_and_aborted(s3: Any, bucket: str) -> None:
    begun = {
        key: s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        for key in ("a", "b/1", "b/2")
    }
    page = s3.list_multipart_uploads(Bucket=bucket)
    assert {one["Key"]: one["UploadId"] for one in page["Uploads"]} == begun
    page = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert [one["Key"] for one in page["Uploads"]] == ["a"]
    assert [one["Prefix"] for one in page["CommonPrefixes"]] == ["b/"]
    pages = s3.get_paginator("list_multipart_uploads").paginate(
        Bucket=bucket, PaginationConfig={"PageSize": 1}
    )
    assert [one["Key"] for page in pages for one in page.get("Uploads", [])] == list(begun)
    for key, upload in begun.items():
        s3.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    with refused("NoSuchUpload"):
        s3.abort_multipart_upload(Bucket=bucket, Key="a", UploadId=begun["a"])


def test_a_checksum_of_parts(s3: Any, bucket: str) -> None:
    parts = [os.urandom(PART), b"end"]
    upload, named = _upload(s3, bucket, parts, ChecksumAlgorithm="CRC32")
    sums = [zlib.crc32(part).to_bytes(4, "big") for part in parts]
    for entry, digest in zip(named, sums, strict=True):
        entry["ChecksumCRC32"] = base64.b64encode(digest).decode()
    done = s3.complete_multipart_upload(
        Bucket=bucket, Key="a", UploadId=upload, MultipartUpload={"Parts": named}
    )
    total = base64.b64encode(zlib.crc32(b"".join(sums)).to_bytes(4, "big")).decode()
    assert (done["ChecksumCRC32"], done["ChecksumType"]) == (f"{total}-2", "COMPOSITE")
    found = s3.get_object_attributes(
        Bucket=bucket, Key="a", ObjectAttributes=["ObjectParts", "ObjectSize", "ETag"]
    )
    assert found["ObjectSize"] == PART + 3
    assert [one["Size"] for one in found["ObjectParts"]["Parts"]] == [PART, 3]


def test_a_full_checksum_of_parts(s3: Any, bucket: str) -> None:
    pytest.importorskip("awscrt")
    parts = [os.urandom(PART), b"end"]
    good = base64.b64encode(zlib.crc32(b"".join(parts)).to_bytes(4, "big")).decode()
    for value, is_good in ((good, True), ("AAAAAA==", False)):
        upload, named = _upload(
            s3, bucket, parts, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT"
        )
        given = {
            "Bucket": bucket,
            "Key": "a",
            "UploadId": upload,
            "MultipartUpload": {"Parts": named},
            "ChecksumCRC32": value,
            "ChecksumType": "FULL_OBJECT",
        }
        if is_good:
            assert s3.complete_multipart_upload(**given)["ChecksumCRC32"] == good
        else:
            with refused("BadDigest"):
                s3.complete_multipart_upload(**given)


def test_a_conditional_complete(s3: Any, bucket: str) -> None:
    upload, named = _upload(s3, bucket, [b"x"])
    s3.put_object(Bucket=bucket, Key="a", Body=b"there")
    given = {
        "Bucket": bucket,
        "Key": "a",
        "UploadId": upload,
        "MultipartUpload": {"Parts": named},
    }
    with refused("PreconditionFailed"):
        s3.complete_multipart_upload(**given, IfNoneMatch="*")
    s3.complete_multipart_upload(**given)
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"x"


def test_parts_are_copied(s3: Any, bucket: str) -> None:
    body = os.urandom(PART + 100)
    s3.put_object(Bucket=bucket, Key="source", Body=body)
    source = {"Bucket": bucket, "Key": "source"}
    upload = s3.create_multipart_upload(Bucket=bucket, Key="a")["UploadId"]
    given = {"Bucket": bucket, "Key": "a", "UploadId": upload, "CopySource": source}
    named = []
    for number, range_ in enumerate((f"bytes=0-{PART - 1}", "bytes=10-19"), 1):
        part = s3.upload_part_copy(PartNumber=number, CopySourceRange=range_, **given)
        named.append({"PartNumber": number, "ETag": part["CopyPartResult"]["ETag"]})
    with refused("InvalidRange"):
        s3.upload_part_copy(PartNumber=3, CopySourceRange="bytes=0-99999999", **given)
    with refused("InvalidArgument"):
        s3.upload_part_copy(PartNumber=3, CopySourceRange="bytes=0-", **given)
    s3.complete_multipart_upload(
        Bucket=bucket, Key="a", UploadId=upload, MultipartUpload={"Parts": named}
    )
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == body[:PART] + body[10:20]


def test_an_upload_with_the_customer_s_key(s3: Any, bucket: str) -> None:
    key = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}
    upload = s3.create_multipart_upload(Bucket=bucket, Key="a", **key)["UploadId"]
    given = {"Bucket": bucket, "Key": "a", "UploadId": upload}
    with refused("InvalidRequest"):
        s3.upload_part(PartNumber=1, Body=b"secret", **given)
    etag = s3.upload_part(PartNumber=1, Body=b"secret", **given, **key)["ETag"]
    s3.complete_multipart_upload(
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]}, **given
    )
    assert s3.get_object(Bucket=bucket, Key="a", **key)["Body"].read() == b"secret"


# Copies


def test_a_copy_keeps_or_replaces(s3: Any, bucket: str) -> None:
    s3.put_object(
        Bucket=bucket,
        Key="a",
        Body=b"x",
        Metadata={"k": "1"},
        ContentType="text/css",
        Tagging="t=1",
    )
    source = {"Bucket": bucket, "Key": "a"}
    s3.copy_object(Bucket=bucket, Key="b", CopySource=source)
    found = s3.head_object(Bucket=bucket, Key="b")
    assert (found["Metadata"], found["ContentType"]) == ({"k": "1"}, "text/css")
    assert s3.get_object_tagging(Bucket=bucket, Key="b")["TagSet"] == [{"Key": "t", "Value": "1"}]
    s3.copy_object(
        Bucket=bucket,
        Key="c",
        CopySource=source,
        MetadataDirective="REPLACE",
        Metadata={"k": "2"},
        TaggingDirective="REPLACE",
        Tagging="t=2",
    )
    found = s3.head_object(Bucket=bucket, Key="c")
    assert (found["Metadata"], found["ContentType"]) == ({"k": "2"}, "binary/octet-stream")
    assert s3.get_object_tagging(Bucket=bucket, Key="c")["TagSet"] == [{"Key": "t", "Value": "2"}]


def test_a_copy_onto_itself(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    source = {"Bucket": bucket, "Key": "a"}
    with refused("InvalidRequest"):
        s3.copy_object(Bucket=bucket, Key="a", CopySource=source)
    s3.copy_object(
        Bucket=bucket, Key="a", CopySource=source, MetadataDirective="REPLACE", Metadata={"k": "2"}
    )
    assert s3.head_object(Bucket=bucket, Key="a")["Metadata"] == {"k": "2"}


def test_a_copy_of_a_version(s3: Any, versioned: str) -> None:
    first = s3.put_object(Bucket=versioned, Key="a", Body=b"1")["VersionId"]
    s3.put_object(Bucket=versioned, Key="a", Body=b"2")
    source = {"Bucket": versioned, "Key": "a", "VersionId": first}
    done = s3.copy_object(Bucket=versioned, Key="b", CopySource=source)
    assert done["CopySourceVersionId"] == first
    assert s3.get_object(Bucket=versioned, Key="b")["Body"].read() == b"1"


def test_conditions_of_a_copy(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="a", Body=b"x")["ETag"]
    given = {"Bucket": bucket, "Key": "b", "CopySource": {"Bucket": bucket, "Key": "a"}}
    s3.copy_object(CopySourceIfMatch=etag, **given)
    for failing in ({"CopySourceIfMatch": '"no"'}, {"CopySourceIfNoneMatch": etag}):
        with refused("PreconditionFailed"):
            s3.copy_object(**failing, **given)
    with refused("PreconditionFailed"):
        s3.copy_object(IfNoneMatch="*", **given)
    for missing, code in (
        ({"Bucket": bucket, "Key": "nothing"}, "NoSuchKey"),
        ({"Bucket": "no-such-bucket-at-all", "Key": "a"}, "NoSuchBucket"),
    ):
        with refused(code):
            s3.copy_object(Bucket=bucket, Key="b", CopySource=missing)


def test_a_copy_between_accounts(s3: Any, stranger: Any, bucket: str, fresh_name: str) -> None:
    stranger.create_bucket(Bucket=fresh_name)
    stranger.put_object(Bucket=fresh_name, Key="a", Body=b"theirs")
    source = {"Bucket": fresh_name, "Key": "a"}
    with refused("AccessDenied"):
        s3.copy_object(Bucket=bucket, Key="b", CopySource=source)
    stranger.put_object_acl(Bucket=fresh_name, Key="a", ACL="authenticated-read")
    s3.copy_object(Bucket=bucket, Key="b", CopySource=source)
    assert s3.get_object(Bucket=bucket, Key="b")["Body"].read() == b"theirs"


# At once


def test_writers_and_readers_at_once(served: Served, s3: Any, bucket: str) -> None:
    bodies = [bytes([65 + number]) * 300_000 for number in range(6)]
    s3.put_object(Bucket=bucket, Key="a", Body=bodies[0])

    def work(number: int) -> bytes:
        if number % 2:
            s3.put_object(Bucket=bucket, Key="a", Body=bodies[number])
        body: bytes = s3.get_object(Bucket=bucket, Key="a")["Body"].read()
        return body

    for found in in_threads(6, work):
        assert found in bodies


def test_complete_beside_abort(s3: Any, bucket: str) -> None:
    upload, named = _upload(s3, bucket, [b"x"])
    given = {"Bucket": bucket, "Key": "a", "UploadId": upload}

    def work(number: int) -> Any:
        if number:
            return s3.abort_multipart_upload(**given)
        return s3.complete_multipart_upload(MultipartUpload={"Parts": named}, **given)

    outcomes = in_threads(2, work)
    failed = [one for one in outcomes if isinstance(one, Exception)]
    assert len(failed) == 1
    assert "NoSuchUpload" in str(failed[0])
