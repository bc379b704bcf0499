"""What is said of buckets and objects: tags, locks, lifecycle, encryption."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.s3.conftest import refused


def _tags(tags: dict[str, str]) -> dict[str, Any]:
    return {"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]}


def test_tags_of_a_bucket(s3: Any, bucket: str) -> None:
    s3.put_bucket_tagging(Bucket=bucket, Tagging=_tags({"team": "sea", "é": ""}))
    assert (
        s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == _tags({"team": "sea", "é": ""})["TagSet"]
    )
    s3.delete_bucket_tagging(Bucket=bucket)
    with refused("NoSuchTagSet"):
        s3.get_bucket_tagging(Bucket=bucket)


def test_tags_of_an_object(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"", Tagging="x=1&y=two%20words")
    assert s3.get_object_tagging(Bucket=bucket, Key="a")["TagSet"] == [
        {"Key": "x", "Value": "1"},
        {"Key": "y", "Value": "two words"},
    ]
    assert s3.head_object(Bucket=bucket, Key="a")["TagCount"] == 2
    s3.put_object_tagging(Bucket=bucket, Key="a", Tagging=_tags({"z": "3"}))
    assert s3.get_object_tagging(Bucket=bucket, Key="a")["TagSet"] == _tags({"z": "3"})["TagSet"]
    s3.delete_object_tagging(Bucket=bucket, Key="a")
    assert s3.get_object_tagging(Bucket=bucket, Key="a")["TagSet"] == []
    with refused("NoSuchKey"):
        s3.get_object_tagging(Bucket=bucket, Key="nothing")


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({f"k{number}": "" for number in range(11)}, "BadRequest"),
        ({"aws:x": "1"}, "InvalidTag"),
        ({"k" * 129: "1"}, "InvalidTag"),
        ({"k": "v" * 257}, "InvalidTag"),
    ],
)
def test_tags_that_are_refused(s3: Any, bucket: str, tags: dict[str, str], code: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"")
    with refused(code):
        s3.put_object_tagging(Bucket=bucket, Key="a", Tagging=_tags(tags))


def test_a_tag_that_stands_twice(s3: Any, bucket: str) -> None:
    with refused("InvalidTag"):
        s3.put_object(Bucket=bucket, Key="a", Body=b"", Tagging="x=1&x=2")


RULES: list[dict[str, Any]] = [
    {
        "ID": "logs",
        "Status": "Enabled",
        "Filter": {"Prefix": "log/"},
        "Expiration": {"Days": 30},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2},
    },
    {
        "ID": "old",
        "Status": "Disabled",
        "Filter": {
            "And": {
                "Prefix": "a",
                "Tags": [{"Key": "k", "Value": "v"}],
                "ObjectSizeGreaterThan": 100,
            }
        },
        "NoncurrentVersionExpiration": {"NoncurrentDays": 3, "NewerNoncurrentVersions": 2},
        "Expiration": {"ExpiredObjectDeleteMarker": True},
    },
    {
        "ID": "day",
        "Status": "Enabled",
        "Filter": {"Tag": {"Key": "k", "Value": "v"}},
        "Expiration": {"Date": datetime(2030, 1, 1, tzinfo=UTC)},
    },
    {"ID": "of-old", "Status": "Enabled", "Prefix": "x", "Expiration": {"Days": 1}},
]


def test_lifecycle_rules(s3: Any, bucket: str) -> None:
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": RULES})
    assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"] == RULES
    s3.delete_bucket_lifecycle(Bucket=bucket)
    with refused("NoSuchLifecycleConfiguration"):
        s3.get_bucket_lifecycle_configuration(Bucket=bucket)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Transitions": [{"Days": 1, "StorageClass": "GLACIER"}]}, "NotImplemented"),
        ({"Expiration": {"Days": 0}}, "InvalidArgument"),
        ({"Expiration": {"Days": 1, "Date": datetime(2030, 1, 1, tzinfo=UTC)}}, "MalformedXML"),
        ({"Expiration": {"Date": datetime(2030, 1, 1, 3, tzinfo=UTC)}}, "InvalidArgument"),
        ({"Status": "Perhaps"}, "MalformedXML"),
        ({"Prefix": "x"}, "MalformedXML"),
        ({"ID": "x" * 256}, "InvalidArgument"),
    ],
)
def test_rules_that_are_refused(s3: Any, bucket: str, change: dict[str, Any], code: str) -> None:
    rule = {"Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}, **change}
    with refused(code):
        s3.put_bucket_lifecycle_configuration(
            Bucket=bucket, LifecycleConfiguration={"Rules": [rule]}
        )


def test_encryption_by_default(s3: Any, bucket: str) -> None:
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    found = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    assert found == {"Rules": [rule]}
    assert s3.put_object(Bucket=bucket, Key="a", Body=b"x")["ServerSideEncryption"] == "AES256"
    s3.delete_bucket_encryption(Bucket=bucket)
    assert "ServerSideEncryption" not in s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    with refused("NotImplemented"):
        s3.put_bucket_encryption(
            Bucket=bucket,
            ServerSideEncryptionConfiguration={
                "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}]
            },
        )


@pytest.fixture
def locked(s3: Any, fresh_name: str) -> str:
    s3.create_bucket(Bucket=fresh_name, ObjectLockEnabledForBucket=True)
    return fresh_name


def test_a_retention(s3: Any, locked: str) -> None:
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    version = s3.put_object(
        Bucket=locked,
        Key="a",
        Body=b"x",
        ObjectLockMode="GOVERNANCE",
        ObjectLockRetainUntilDate=until,
    )["VersionId"]
    found = s3.get_object_retention(Bucket=locked, Key="a")["Retention"]
    assert found == {"Mode": "GOVERNANCE", "RetainUntilDate": until}
    head = s3.head_object(Bucket=locked, Key="a")
    assert (head["ObjectLockMode"], head["ObjectLockRetainUntilDate"]) == ("GOVERNANCE", until)
    with refused("AccessDenied"):
        s3.delete_object(Bucket=locked, Key="a", VersionId=version)
    sooner = {"Mode": "GOVERNANCE", "RetainUntilDate": until - timedelta(hours=1)}
    with refused("AccessDenied"):
        s3.put_object_retention(Bucket=locked, Key="a", Retention=sooner)
    s3.put_object_retention(
        Bucket=locked, Key="a", Retention=sooner, BypassGovernanceRetention=True
    )
    s3.delete_object(Bucket=locked, Key="a", VersionId=version, BypassGovernanceRetention=True)


def test_a_legal_hold(s3: Any, locked: str) -> None:
    version = s3.put_object(Bucket=locked, Key="a", Body=b"x")["VersionId"]
    assert s3.get_object_legal_hold(Bucket=locked, Key="a")["LegalHold"] == {"Status": "OFF"}
    s3.put_object_legal_hold(Bucket=locked, Key="a", LegalHold={"Status": "ON"})
    assert s3.head_object(Bucket=locked, Key="a")["ObjectLockLegalHoldStatus"] == "ON"
    with refused("AccessDenied"):
        s3.delete_object(Bucket=locked, Key="a", VersionId=version)
    s3.put_object_legal_hold(Bucket=locked, Key="a", LegalHold={"Status": "OFF"})
    s3.delete_object(Bucket=locked, Key="a", VersionId=version)


def test_a_retention_by_default(s3: Any, locked: str) -> None:
    found = s3.get_object_lock_configuration(Bucket=locked)["ObjectLockConfiguration"]
    assert found == {"ObjectLockEnabled": "Enabled"}
    given = {
        "ObjectLockEnabled": "Enabled",
        "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 2}},
    }
    s3.put_object_lock_configuration(Bucket=locked, ObjectLockConfiguration=given)
    found = s3.get_object_lock_configuration(Bucket=locked)["ObjectLockConfiguration"]
    assert found == given
    s3.put_object(Bucket=locked, Key="a", Body=b"x")
    assert s3.head_object(Bucket=locked, Key="a")["ObjectLockMode"] == "COMPLIANCE"


def test_locks_where_there_are_none(s3: Any, bucket: str, locked: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    with refused("InvalidRequest"):
        s3.put_object_legal_hold(Bucket=bucket, Key="a", LegalHold={"Status": "ON"})
    with refused("InvalidRequest"):
        s3.put_object(Bucket=bucket, Key="a", Body=b"x", ObjectLockLegalHoldStatus="ON")
    with refused("InvalidBucketState"):
        s3.put_object_lock_configuration(
            Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"}
        )
    with refused("InvalidBucketState"):
        s3.put_bucket_versioning(Bucket=locked, VersioningConfiguration={"Status": "Suspended"})
    past = datetime.now(UTC) - timedelta(days=1)
    with refused("InvalidArgument"):
        s3.put_object(
            Bucket=locked,
            Key="a",
            Body=b"",
            ObjectLockMode="GOVERNANCE",
            ObjectLockRetainUntilDate=past,
        )
    with refused("InvalidArgument"):
        s3.put_object(Bucket=locked, Key="a", Body=b"", ObjectLockMode="GOVERNANCE")


def test_attributes(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="a", Body=b"sand", ChecksumAlgorithm="SHA256")["ETag"]
    found = s3.get_object_attributes(
        Bucket=bucket,
        Key="a",
        ObjectAttributes=["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"],
    )
    assert (found["ETag"], found["ObjectSize"]) == (etag.strip('"'), 4)
    assert found["Checksum"]["ChecksumType"] == "FULL_OBJECT"
    assert "ObjectParts" not in found
    with refused("InvalidArgument"):
        s3.get_object_attributes(Bucket=bucket, Key="a", ObjectAttributes=["Colour"])


def test_ownership(s3: Any, bucket: str) -> None:
    rules = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=rules)
    assert s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"] == rules
    with refused("AccessControlListNotSupported"):
        s3.put_bucket_acl(Bucket=bucket, ACL="public-read")
    with refused("AccessControlListNotSupported"):
        s3.put_object(Bucket=bucket, Key="a", Body=b"", ACL="public-read")
    s3.put_object(Bucket=bucket, Key="a", Body=b"", ACL="bucket-owner-full-control")
    s3.delete_bucket_ownership_controls(Bucket=bucket)
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read")
