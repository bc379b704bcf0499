"""Versions and delete markers, and objects deleted."""

from __future__ import annotations

import json
from typing import Any

from tests.s3.conftest import STRANGER, Served, refused


def test_a_version_is_kept_and_read(s3: Any, versioned: str) -> None:
    first = s3.put_object(Bucket=versioned, Key="a", Body=b"1")["VersionId"]
    second = s3.put_object(Bucket=versioned, Key="a", Body=b"2")["VersionId"]
    assert first != second
    found = s3.get_object(Bucket=versioned, Key="a")
    assert (found["Body"].read(), found["VersionId"]) == (b"2", second)
    old = s3.get_object(Bucket=versioned, Key="a", VersionId=first)
    assert (old["Body"].read(), old["VersionId"]) == (b"1", first)
    with refused("NoSuchVersion"):
        s3.get_object(Bucket=versioned, Key="a", VersionId="nonsense")


def test_a_delete_marker(s3: Any, versioned: str) -> None:
    first = s3.put_object(Bucket=versioned, Key="a", Body=b"1")["VersionId"]
    marker = s3.delete_object(Bucket=versioned, Key="a")
    try:
        s3.get_object(Bucket=versioned, Key="a")
    except s3.exceptions.NoSuchKey as error:
        headers = error.response["ResponseMetadata"]["HTTPHeaders"]
        assert headers["x-amz-delete-marker"] == "true"
        assert headers["x-amz-version-id"] == marker["VersionId"]
    with refused("MethodNotAllowed"):
        s3.get_object(Bucket=versioned, Key="a", VersionId=marker["VersionId"])
    with refused("405"):
        s3.head_object(Bucket=versioned, Key="a", VersionId=marker["VersionId"])
    assert s3.get_object(Bucket=versioned, Key="a", VersionId=first)["Body"].read() == b"1"
    gone = s3.delete_object(Bucket=versioned, Key="a", VersionId=marker["VersionId"])
    assert (gone["DeleteMarker"], gone["VersionId"]) == (True, marker["VersionId"])
    assert s3.get_object(Bucket=versioned, Key="a")["Body"].read() == b"1"


def test_versioning_is_said_and_suspended(s3: Any, bucket: str) -> None:
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    assert "VersionId" not in s3.put_object(Bucket=bucket, Key="a", Body=b"0")
    for status in ("Enabled", "Suspended"):
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == status
    assert s3.put_object(Bucket=bucket, Key="a", Body=b"1")["VersionId"] == "null"
    assert s3.delete_object(Bucket=bucket, Key="a")["VersionId"] == "null"
    with refused("IllegalVersioningConfigurationException"):
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={})
    with refused("NotImplemented"):
        s3.put_bucket_versioning(
            Bucket=bucket, VersioningConfiguration={"Status": "Enabled", "MFADelete": "Enabled"}
        )


def test_deleting_what_is_not_there(s3: Any, bucket: str) -> None:
    answer = s3.delete_object(Bucket=bucket, Key="nothing")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204


def test_a_conditional_delete(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="a", Body=b"1")["ETag"]
    with refused("PreconditionFailed"):
        s3.delete_object(Bucket=bucket, Key="a", IfMatch='"other"')
    s3.delete_object(Bucket=bucket, Key="a", IfMatch=etag)
    with refused("404"):
        s3.head_object(Bucket=bucket, Key="a")


def test_many_are_deleted(s3: Any, versioned: str) -> None:
    versions = {
        key: s3.put_object(Bucket=versioned, Key=key, Body=b"x")["VersionId"] for key in "abc"
    }
    answer = s3.delete_objects(
        Bucket=versioned,
        Delete={"Objects": [{"Key": "a"}, {"Key": "b", "VersionId": versions["b"]}]},
    )
    first, second = answer["Deleted"]
    assert (first["Key"], first["DeleteMarker"]) == ("a", True)
    assert second == {"Key": "b", "VersionId": versions["b"]}
    quiet = s3.delete_objects(Bucket=versioned, Delete={"Objects": [{"Key": "c"}], "Quiet": True})
    assert "Deleted" not in quiet
    etag = s3.put_object(Bucket=versioned, Key="d", Body=b"x")["ETag"]
    answer = s3.delete_objects(
        Bucket=versioned,
        Delete={"Objects": [{"Key": "d", "ETag": '"no"'}, {"Key": "d", "ETag": etag}]},
    )
    assert [one["Code"] for one in answer["Errors"]] == ["PreconditionFailed"]
    assert [one["Key"] for one in answer["Deleted"]] == ["d"]


def test_many_are_deleted_one_by_one(served: Served, s3: Any, bucket: str) -> None:
    for key in ("open/a", "shut/a"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": STRANGER},
        "Action": "s3:DeleteObject",
        "Resource": f"arn:aws:s3:::{bucket}/open/*",
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Statement": [statement]}))
    answer = served.client(STRANGER).delete_objects(
        Bucket=bucket, Delete={"Objects": [{"Key": "open/a"}, {"Key": "shut/a"}]}
    )
    assert [one["Key"] for one in answer["Deleted"]] == ["open/a"]
    assert [(one["Key"], one["Code"]) for one in answer["Errors"]] == [("shut/a", "AccessDenied")]


def test_too_many(s3: Any, bucket: str) -> None:
    with refused("MalformedXML"):
        s3.delete_objects(
            Bucket=bucket, Delete={"Objects": [{"Key": str(number)} for number in range(1001)]}
        )
