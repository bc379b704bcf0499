"""Buckets: made, listed, looked at, deleted."""

from __future__ import annotations

from typing import Any

import pytest

from tests.s3.conftest import STRANGER, Served, refused


def test_a_bucket_is_made_found_and_deleted(s3: Any, fresh_name: str) -> None:
    assert s3.create_bucket(Bucket=fresh_name)["Location"] == f"/{fresh_name}"
    assert s3.head_bucket(Bucket=fresh_name)["BucketRegion"] == "pycloud"
    assert s3.get_bucket_location(Bucket=fresh_name)["LocationConstraint"] == "pycloud"
    assert fresh_name in [one["Name"] for one in s3.list_buckets()["Buckets"]]
    s3.delete_bucket(Bucket=fresh_name)
    with refused("404"):
        s3.head_bucket(Bucket=fresh_name)
    with refused("NoSuchBucket"):
        s3.list_objects_v2(Bucket=fresh_name)


@pytest.mark.parametrize("constraint", ["pycloud", "us-east-1", "EU"])
def test_a_location_that_tools_name(s3: Any, fresh_name: str, constraint: str) -> None:
    s3.create_bucket(
        Bucket=fresh_name, CreateBucketConfiguration={"LocationConstraint": constraint}
    )
    s3.head_bucket(Bucket=fresh_name)


def test_a_location_that_is_elsewhere(s3: Any, fresh_name: str) -> None:
    with refused("InvalidLocationConstraint"):
        s3.create_bucket(
            Bucket=fresh_name, CreateBucketConfiguration={"LocationConstraint": "eu-west-3"}
        )


def test_the_root_of_old_clients_is_read(served: Served, s3: Any, fresh_name: str) -> None:
    url = s3.generate_presigned_url("create_bucket", {"Bucket": fresh_name})
    body = b"<CreateBucketConstraint><LocationConstraint>EU</LocationConstraint></CreateBucketConstraint>"
    assert served.ask("PUT", url.removeprefix(served.url), body=body).status == 200


@pytest.mark.parametrize("name", ["ab", "Upper", "under_score", "a..b", "192.168.1.1", "-a-b"])
def test_a_name_that_is_none(served: Served, s3: Any, name: str) -> None:
    s3 = served.client()
    s3.meta.events.unregister("before-parameter-build.s3", _validate(s3))
    with refused("InvalidBucketName"):
        s3.create_bucket(Bucket=name)


def _validate(_client: Any) -> Any:
    from botocore.handlers import validate_bucket_name

    return validate_bucket_name


def test_a_name_that_is_taken(s3: Any, stranger: Any, bucket: str) -> None:
    with refused("BucketAlreadyOwnedByYou"):
        s3.create_bucket(Bucket=bucket)
    with refused("BucketAlreadyExists"):
        stranger.create_bucket(Bucket=bucket)


def test_what_is_said_of_a_new_bucket(s3: Any, fresh_name: str) -> None:
    with refused("InvalidBucketAclWithObjectOwnership"):
        s3.create_bucket(
            Bucket=fresh_name, ObjectOwnership="BucketOwnerEnforced", ACL="public-read"
        )
    s3.create_bucket(
        Bucket=fresh_name,
        ObjectOwnership="ObjectWriter",
        ACL="public-read",
        CreateBucketConfiguration={"Tags": [{"Key": "team", "Value": "sea"}]},
    )
    assert len(s3.get_bucket_acl(Bucket=fresh_name)["Grants"]) == 2
    assert s3.get_bucket_tagging(Bucket=fresh_name)["TagSet"][0]["Key"] == "team"
    rules = s3.get_bucket_ownership_controls(Bucket=fresh_name)["OwnershipControls"]["Rules"]
    assert rules == [{"ObjectOwnership": "ObjectWriter"}]


def test_one_account_does_not_see_another_s(s3: Any, stranger: Any, bucket: str) -> None:
    assert bucket not in [one["Name"] for one in stranger.list_buckets()["Buckets"]]
    with refused("403"):
        stranger.head_bucket(Bucket=bucket)
    with refused("AccessDenied"):
        stranger.delete_bucket(Bucket=bucket)
    assert s3.list_buckets()["Owner"]["ID"] != stranger.list_buckets()["Owner"]["ID"]


def test_nobody_lists_or_makes_buckets(nobody: Any, fresh_name: str) -> None:
    with refused("AccessDenied"):
        nobody.list_buckets()
    with refused("AccessDenied"):
        nobody.create_bucket(Bucket=fresh_name)


def test_buckets_are_listed_in_pages(served: Served) -> None:
    client = served.client(STRANGER)
    names = [f"paged-{number}" for number in range(5)]
    for name in names:
        client.create_bucket(Bucket=name)
    pages = client.get_paginator("list_buckets").paginate(
        Prefix="paged-", PaginationConfig={"PageSize": 2}
    )
    assert [[one["Name"] for one in page["Buckets"]] for page in pages] == [
        names[:2],
        names[2:4],
        names[4:],
    ]


def test_a_bucket_with_objects_stays(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"")
    with refused("BucketNotEmpty"):
        s3.delete_bucket(Bucket=bucket)


def test_the_expected_owner_is_checked(s3: Any, bucket: str) -> None:
    s3.head_bucket(Bucket=bucket, ExpectedBucketOwner="000000000001")
    with refused("403"):
        s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=STRANGER)


def test_what_no_bucket_has(s3: Any, bucket: str) -> None:
    assert "Status" not in s3.get_bucket_accelerate_configuration(Bucket=bucket)
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    found = s3.get_bucket_notification_configuration(Bucket=bucket)
    assert not {"TopicConfigurations", "QueueConfigurations"} & set(found)
    for code, ask in {
        "NoSuchWebsiteConfiguration": s3.get_bucket_website,
        "ReplicationConfigurationNotFoundError": s3.get_bucket_replication,
        "NoSuchBucketPolicy": s3.get_bucket_policy,
        "NoSuchCORSConfiguration": s3.get_bucket_cors,
        "NoSuchLifecycleConfiguration": s3.get_bucket_lifecycle_configuration,
        "NoSuchTagSet": s3.get_bucket_tagging,
        "NoSuchPublicAccessBlockConfiguration": s3.get_public_access_block,
        "OwnershipControlsNotFoundError": s3.get_bucket_ownership_controls,
        "ObjectLockConfigurationNotFoundError": s3.get_object_lock_configuration,
        "ServerSideEncryptionConfigurationNotFoundError": s3.get_bucket_encryption,
    }.items():
        with refused(code):
            ask(Bucket=bucket)


def test_what_is_not_carried_out(s3: Any, bucket: str) -> None:
    with refused("NotImplemented"):
        s3.put_bucket_website(
            Bucket=bucket, WebsiteConfiguration={"IndexDocument": {"Suffix": "index.html"}}
        )
    with refused("NotImplemented"):
        s3.list_bucket_metrics_configurations(Bucket=bucket)
    with refused("NotImplemented"):
        s3.put_bucket_request_payment(
            Bucket=bucket, RequestPaymentConfiguration={"Payer": "Requester"}
        )


def test_a_method_that_a_place_does_not_have(served: Served, bucket: str) -> None:
    for method, path in [
        ("POST", "/"),
        ("PUT", "/"),
        ("PATCH", f"/{bucket}/key"),
        ("DELETE", f"/{bucket}/key?acl"),
        ("PUT", f"/{bucket}?location"),
    ]:
        answer = served.ask(method, path)
        assert (answer.status, answer.code) == (405, "MethodNotAllowed"), (method, path)


def test_the_document_of_an_error(served: Served, s3: Any, bucket: str) -> None:
    url = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a&b"})
    answer = served.ask("GET", url.removeprefix(served.url))
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/xml"
    text = answer.body.decode()
    assert f"<Resource>/{bucket}/a%26b</Resource>" in text
    assert f"<RequestId>{answer.headers['x-amz-request-id']}</RequestId>" in text
    assert f"<HostId>{answer.headers['x-amz-id-2']}</HostId>" in text
