"""Who may do what: the owner, another account, nobody; by policy, by ACL, and in spite of both."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from pycloud.drivers.serve import WsgiServer
from pycloud.s3 import S3App
from pycloud.s3.owners import canonical_id
from tests.s3.conftest import STRANGER, AccountKeys, Served, refused

ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"


@pytest.fixture
def filled(s3: Any, bucket: str) -> str:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", Tagging="secret=no")
    return bucket


def _allow(s3: Any, bucket: str, *statements: dict[str, Any]) -> None:
    full = [
        {
            "Effect": "Allow",
            "Principal": "*",
            "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
            **statement,
        }
        for statement in statements
    ]
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Statement": full}))


def _everything(bucket: str) -> list[tuple[str, dict[str, Any]]]:
    """Name one call of each kind."""
    place = {"Bucket": bucket, "Key": "a"}
    return [
        ("list_objects_v2", {"Bucket": bucket}),
        ("list_object_versions", {"Bucket": bucket}),
        ("list_multipart_uploads", {"Bucket": bucket}),
        ("get_bucket_acl", {"Bucket": bucket}),
        ("get_bucket_policy", {"Bucket": bucket}),
        ("get_bucket_tagging", {"Bucket": bucket}),
        ("get_bucket_location", {"Bucket": bucket}),
        ("get_bucket_versioning", {"Bucket": bucket}),
        ("get_bucket_cors", {"Bucket": bucket}),
        ("get_bucket_lifecycle_configuration", {"Bucket": bucket}),
        ("get_bucket_encryption", {"Bucket": bucket}),
        ("get_bucket_logging", {"Bucket": bucket}),
        ("get_public_access_block", {"Bucket": bucket}),
        ("put_bucket_acl", {"Bucket": bucket, "ACL": "private"}),
        ("delete_bucket_policy", {"Bucket": bucket}),
        ("delete_bucket", {"Bucket": bucket}),
        ("get_object", place),
        ("get_object_acl", place),
        ("get_object_tagging", place),
        ("get_object_attributes", {**place, "ObjectAttributes": ["ETag"]}),
        ("put_object", {**place, "Body": b"evil"}),
        ("put_object_acl", {**place, "ACL": "public-read"}),
        ("put_object_tagging", {**place, "Tagging": {"TagSet": []}}),
        ("delete_object", place),
        ("create_multipart_upload", place),
        ("upload_part", {**place, "UploadId": "x", "PartNumber": 1, "Body": b""}),
        ("list_parts", {**place, "UploadId": "x"}),
        ("abort_multipart_upload", {**place, "UploadId": "x"}),
        ("get_object", {"Bucket": bucket, "Key": "nothing"}),
    ]


@pytest.mark.parametrize("who", [STRANGER, None])
def test_others_may_do_nothing(served: Served, s3: Any, filled: str, who: str | None) -> None:
    client = served.client(who)
    for name, given in _everything(filled):
        with refused("AccessDenied"):
            getattr(client, name)(**given)
    assert s3.get_object(Bucket=filled, Key="a")["Body"].read() == b"x"


def test_a_policy_lets_in(s3: Any, stranger: Any, nobody: Any, filled: str) -> None:
    _allow(
        s3,
        filled,
        {"Action": "s3:GetObject", "Principal": {"AWS": STRANGER}},
    )
    assert stranger.get_object(Bucket=filled, Key="a")["Body"].read() == b"x"
    stranger.head_object(Bucket=filled, Key="a")
    with refused("AccessDenied"):
        nobody.get_object(Bucket=filled, Key="a")
    with refused("AccessDenied"):
        stranger.get_object(
            Bucket=filled, Key="nothing"
        )  # whether it is there is not theirs to know
    _allow(s3, filled, {"Action": ["s3:GetObject", "s3:ListBucket"]})
    assert nobody.get_object(Bucket=filled, Key="a")["Body"].read() == b"x"
    with refused("NoSuchKey"):
        nobody.get_object(Bucket=filled, Key="nothing")


def test_a_policy_shuts_out_the_owner_too(s3: Any, filled: str) -> None:
    _allow(s3, filled, {"Effect": "Deny", "Action": "s3:*"})
    calls: list[Callable[[], Any]] = [
        lambda: s3.get_object(Bucket=filled, Key="a"),
        lambda: s3.list_objects_v2(Bucket=filled),
    ]
    for call in calls:
        with refused("AccessDenied"):
            call()
    s3.get_bucket_policy(Bucket=filled)
    s3.delete_bucket_policy(Bucket=filled)  # but not from this
    s3.get_object(Bucket=filled, Key="a")


@pytest.mark.parametrize(
    ("condition", "ask", "is_allowed"),
    [
        ({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, {}, True),
        ({"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}, {}, False),
        ({"Bool": {"aws:SecureTransport": "true"}}, {}, False),
        ({"StringEquals": {"s3:prefix": "a"}}, {"Prefix": "a"}, True),
        ({"StringEquals": {"s3:prefix": "a"}}, {"Prefix": "b"}, False),
        ({"StringEquals": {"s3:prefix": "a"}}, {}, False),
        ({"NumericLessThanEquals": {"s3:max-keys": "10"}}, {"MaxKeys": 10}, True),
        ({"NumericLessThanEquals": {"s3:max-keys": "10"}}, {"MaxKeys": 11}, False),
        ({"StringEquals": {"s3:delimiter": "/"}}, {"Delimiter": "/"}, True),
        ({"StringLike": {"aws:UserAgent": "Boto3/*"}}, {}, True),
        ({"StringEquals": {"aws:PrincipalAccount": STRANGER}}, {}, True),
        ({"StringEquals": {"aws:username": "admin"}}, {}, True),
        ({"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, {}, True),
        ({"StringEquals": {"s3:authType": "REST-HEADER"}}, {}, True),
        ({"StringEquals": {"s3:signatureversion": "AWS"}}, {}, False),
    ],
)
def test_conditions_of_a_request(
    s3: Any,
    stranger: Any,
    bucket: str,
    condition: dict[str, Any],
    ask: dict[str, Any],
    is_allowed: bool,
) -> None:
    _allow(s3, bucket, {"Action": "s3:ListBucket", "Condition": condition})
    if is_allowed:
        stranger.list_objects_v2(Bucket=bucket, **ask)
    else:
        with refused("AccessDenied"):
            stranger.list_objects_v2(Bucket=bucket, **ask)


def test_conditions_on_tags(s3: Any, stranger: Any, filled: str) -> None:
    condition = {"StringEquals": {"s3:ExistingObjectTag/secret": "no"}}
    _allow(s3, filled, {"Action": "s3:GetObject", "Condition": condition})
    s3.put_object(Bucket=filled, Key="b", Body=b"y", Tagging="secret=yes")
    stranger.get_object(Bucket=filled, Key="a")
    with refused("AccessDenied"):
        stranger.get_object(Bucket=filled, Key="b")


def test_what_a_write_says_is_its_own_permission(s3: Any, stranger: Any, bucket: str) -> None:
    _allow(s3, bucket, {"Action": "s3:PutObject", "Principal": {"AWS": STRANGER}})
    stranger.put_object(Bucket=bucket, Key="a", Body=b"")
    with refused("AccessDenied"):
        stranger.put_object(Bucket=bucket, Key="a", Body=b"", Tagging="x=1")
    with refused("AccessDenied"):
        stranger.put_object(Bucket=bucket, Key="a", Body=b"", ACL="public-read")
    _allow(
        s3,
        bucket,
        {"Action": ["s3:PutObject", "s3:PutObjectTagging", "s3:PutObjectAcl"]},
    )
    stranger.put_object(Bucket=bucket, Key="a", Body=b"", Tagging="x=1", ACL="public-read")


def test_a_version_has_a_permission_of_its_own(s3: Any, stranger: Any, versioned: str) -> None:
    version = s3.put_object(Bucket=versioned, Key="a", Body=b"x")["VersionId"]
    _allow(s3, versioned, {"Action": "s3:GetObject"})
    stranger.get_object(Bucket=versioned, Key="a")
    with refused("AccessDenied"):
        stranger.get_object(Bucket=versioned, Key="a", VersionId=version)


# ACLs


@pytest.mark.parametrize(
    ("acl", "stranger_reads", "nobody_reads"),
    [
        ("private", False, False),
        ("public-read", True, True),
        ("authenticated-read", True, False),
        ("bucket-owner-full-control", False, False),
    ],
)
def test_canned_acls_of_objects(
    s3: Any,
    stranger: Any,
    nobody: Any,
    bucket: str,
    acl: str,
    stranger_reads: bool,
    nobody_reads: bool,
) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", ACL=acl)
    for client, reads in ((stranger, stranger_reads), (nobody, nobody_reads)):
        if reads:
            assert client.get_object(Bucket=bucket, Key="a")["Body"].read() == b"x"
        else:
            with refused("AccessDenied"):
                client.get_object(Bucket=bucket, Key="a")
        with refused("AccessDenied"):
            client.list_objects_v2(Bucket=bucket)


def test_canned_acls_of_buckets(s3: Any, nobody: Any, filled: str) -> None:
    s3.put_bucket_acl(Bucket=filled, ACL="public-read")
    nobody.list_objects_v2(Bucket=filled)
    with refused("AccessDenied"):
        nobody.put_object(Bucket=filled, Key="b", Body=b"")
    with refused("AccessDenied"):
        nobody.get_object(Bucket=filled, Key="a")  # the object has an ACL of its own
    s3.put_bucket_acl(Bucket=filled, ACL="public-read-write")
    nobody.put_object(Bucket=filled, Key="b", Body=b"theirs")
    assert s3.get_object(Bucket=filled, Key="b")["Body"].read() == b"theirs"
    nobody.delete_object(Bucket=filled, Key="b")


def test_grants(s3: Any, stranger: Any, filled: str) -> None:
    theirs = canonical_id(STRANGER)
    s3.put_object_acl(Bucket=filled, Key="a", GrantRead=f'id="{theirs}"')
    [grant] = s3.get_object_acl(Bucket=filled, Key="a")["Grants"]
    assert (grant["Grantee"]["ID"], grant["Permission"]) == (theirs, "READ")
    stranger.get_object(Bucket=filled, Key="a")
    with refused("AccessDenied"):
        stranger.get_object_acl(Bucket=filled, Key="a")
    found = s3.get_object_acl(Bucket=filled, Key="a")
    found.pop("ResponseMetadata")
    found["Grants"].append(
        {"Grantee": {"Type": "CanonicalUser", "ID": STRANGER}, "Permission": "READ_ACP"}
    )
    s3.put_object_acl(Bucket=filled, Key="a", AccessControlPolicy=found)
    assert len(stranger.get_object_acl(Bucket=filled, Key="a")["Grants"]) == 2
    s3.put_bucket_acl(Bucket=filled, GrantWrite=f"id={theirs}", GrantRead=f'uri="{ALL_USERS}"')
    stranger.put_object(Bucket=filled, Key="b", Body=b"theirs")
    stranger.get_object(Bucket=filled, Key="b")  # their own
    s3.get_object(Bucket=filled, Key="b")


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"GrantRead": "ann"}, "InvalidArgument"),
        ({"GrantRead": "id=short"}, "InvalidArgument"),
        ({"GrantRead": "uri=http://example.com"}, "InvalidArgument"),
        ({"GrantRead": "emailAddress=ann@example.com"}, "UnresolvableGrantByEmailAddress"),
        ({"ACL": "private", "GrantRead": f"id={STRANGER}"}, "InvalidRequest"),
        ({"ACL": "world-writable"}, "InvalidArgument"),
        ({}, "MissingSecurityHeader"),
        ({"AccessControlPolicy": {"Grants": [{"Permission": "READ"}]}}, "MalformedACLError"),
        (
            {"AccessControlPolicy": {"Owner": {"ID": canonical_id(STRANGER)}, "Grants": []}},
            "AccessDenied",
        ),
    ],
)
def test_acls_that_are_refused(s3: Any, filled: str, given: dict[str, Any], code: str) -> None:
    with refused(code):
        s3.put_object_acl(Bucket=filled, Key="a", **given)


# In spite of both


def _block(s3: Any, bucket: str, *names: str) -> None:
    s3.put_public_access_block(
        Bucket=bucket, PublicAccessBlockConfiguration=dict.fromkeys(names, True)
    )


def test_public_acls_are_blocked(s3: Any, nobody: Any, filled: str) -> None:
    s3.put_object_acl(Bucket=filled, Key="a", ACL="public-read")
    _block(s3, filled, "BlockPublicAcls")
    calls: list[Callable[[], Any]] = [
        lambda: s3.put_object_acl(Bucket=filled, Key="a", ACL="public-read"),
        lambda: s3.put_object(Bucket=filled, Key="b", Body=b"", ACL="public-read"),
        lambda: s3.put_bucket_acl(Bucket=filled, ACL="public-read"),
        lambda: s3.create_multipart_upload(Bucket=filled, Key="b", ACL="public-read"),
    ]
    for call in calls:
        with refused("AccessDenied"):
            call()
    nobody.get_object(Bucket=filled, Key="a")
    _block(s3, filled, "IgnorePublicAcls")
    with refused("AccessDenied"):
        nobody.get_object(Bucket=filled, Key="a")
    s3.delete_public_access_block(Bucket=filled)
    nobody.get_object(Bucket=filled, Key="a")


def test_public_policies_are_blocked(s3: Any, stranger: Any, nobody: Any, filled: str) -> None:
    _allow(s3, filled, {"Action": "s3:GetObject"})
    assert s3.get_bucket_policy_status(Bucket=filled)["PolicyStatus"]["IsPublic"] is True
    _block(s3, filled, "RestrictPublicBuckets")
    for client in (stranger, nobody):
        with refused("AccessDenied"):
            client.get_object(Bucket=filled, Key="a")
    s3.get_object(Bucket=filled, Key="a")
    _block(s3, filled, "BlockPublicPolicy")
    with refused("AccessDenied"):
        _allow(s3, filled, {"Action": "s3:GetObject"})
    _allow(s3, filled, {"Action": "s3:GetObject", "Principal": {"AWS": STRANGER}})
    found = s3.get_public_access_block(Bucket=filled)["PublicAccessBlockConfiguration"]
    assert found["BlockPublicPolicy"] is True
    assert found["BlockPublicAcls"] is False


def test_acls_that_do_not_count(s3: Any, nobody: Any, filled: str) -> None:
    s3.put_object_acl(Bucket=filled, Key="a", ACL="public-read")
    rules = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    s3.put_bucket_ownership_controls(Bucket=filled, OwnershipControls=rules)
    with refused("AccessDenied"):
        nobody.get_object(Bucket=filled, Key="a")


def test_a_policy_comes_back_as_it_was(s3: Any, bucket: str) -> None:
    text = json.dumps(
        {
            "Statement": {
                "Effect": "Allow",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": f"arn:aws:s3:::{bucket}/é",
            }
        },
        ensure_ascii=False,
    )
    s3.put_bucket_policy(Bucket=bucket, Policy=text)
    assert s3.get_bucket_policy(Bucket=bucket)["Policy"] == text
    with refused("MalformedPolicy"):
        s3.put_bucket_policy(Bucket=bucket, Policy="{}")


def test_what_another_process_changes_is_seen_soon(served: Served, s3: Any, filled: str) -> None:
    with WsgiServer(S3App(served.store, AccountKeys()), body_bytes=0) as server:
        other = attrs.evolve(served, port=server.port).client()
        other.get_object(Bucket=filled, Key="a")
        _allow(s3, filled, {"Effect": "Deny", "Action": "s3:GetObject"})
        with refused("AccessDenied"):
            s3.get_object(Bucket=filled, Key="a")
        deadline = time.monotonic() + 10
        with refused("AccessDenied"):
            while time.monotonic() < deadline:
                other.get_object(Bucket=filled, Key="a")
