"""Who one is, and temporary credentials."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from pycloud.ec2 import EC2App
from pycloud.identity.identity import Identity
from pycloud.identity.sealing import Seal
from pycloud.ids import ADMIN_ACCOUNT
from tests.ec2.conftest import Served, Stage
from tests.ec2.things import STRANGER, Refusal, Things, by_name, code_of

REFUSALS = [
    Refusal("GetSessionToken", {"DurationSeconds": seconds}, "ValidationError", service="sts")
    for seconds in (899, 129601)
] + [
    Refusal(
        "GetSessionToken",
        {"SerialNumber": "arn:aws:iam::1:mfa/x"},
        "UnsupportedOperation",
        service="sts",
    ),
]


@by_name(REFUSALS)
def test_refused(things: Things, refusal: Refusal) -> None:
    things.check(refusal)


def test_the_caller(things: Things) -> None:
    for account in (ADMIN_ACCOUNT, STRANGER):
        caller = things.served.client("sts", account).get_caller_identity()
        assert caller["Account"] == account
        assert caller["Arn"] == f"arn:aws:iam::{account}:user/admin"
        assert caller["UserId"].startswith("AIDA")


@pytest.fixture
def own_keys(served: Served, stage: Stage) -> Served:
    """A cloud that knows its users and their keys itself."""
    cloud = served.world.cloud
    cloud.identity = Identity(cloud.state, Seal(bytes(32)))
    return stage.mount_app(served.world, EC2App(cloud))


def _client(service: str, served: Served, key: str, secret: str, token: str | None = None) -> Any:
    options = served.options() | {
        "aws_access_key_id": key,
        "aws_secret_access_key": secret,
        "aws_session_token": token,
    }
    return boto3.client(service, **options)


def test_a_session_is_the_same_user_until_it_ends(own_keys: Served) -> None:
    identity = own_keys.world.cloud.identity
    assert identity is not None
    alice = identity.users.create("alice")
    key, secret = identity.access_keys.create(alice)
    sts = _client("sts", own_keys, key.id, secret)
    made = sts.get_session_token(DurationSeconds=900)["Credentials"]
    parts = made["AccessKeyId"], made["SecretAccessKey"]
    session = _client("sts", own_keys, *parts, made["SessionToken"])
    assert session.get_caller_identity()["Arn"] == alice.arn
    with pytest.raises(ClientError) as refused:
        _client("sts", own_keys, *parts).get_caller_identity()
    assert code_of(refused) == "AuthFailure"
    own_keys.world.clock.advance(seconds=901)
    with pytest.raises(ClientError) as refused:
        session.get_caller_identity()
    assert code_of(refused) == "AuthFailure"


def test_a_session_makes_nothing_that_outlasts_it(own_keys: Served) -> None:
    identity = own_keys.world.cloud.identity
    assert identity is not None
    admin = identity.users.get("admin")
    made = identity.sessions.create(admin)
    parts = made.access_key_id, made.secret, made.token
    assert _client("iam", own_keys, *parts).create_user(UserName="carol")
    with pytest.raises(ClientError) as refused:
        _client("sts", own_keys, *parts).get_session_token()
    assert code_of(refused) == "AccessDenied"
    with pytest.raises(ClientError) as refused:
        _client("iam", own_keys, *parts).create_access_key(UserName="carol")
    assert code_of(refused) == "AccessDenied"
    assert identity.access_keys.list(identity.users.get("carol")) == []


def test_a_key_that_is_switched_off_or_deleted_lets_nobody_in(own_keys: Served) -> None:
    identity = own_keys.world.cloud.identity
    assert identity is not None
    key, secret = identity.access_keys.create(identity.users.get("admin"))
    admin = _client("iam", own_keys, key.id, secret)
    admin.create_user(UserName="bob")
    made = admin.create_access_key(UserName="bob")["AccessKey"]
    bob = _client("sts", own_keys, made["AccessKeyId"], made["SecretAccessKey"])
    assert bob.get_caller_identity()["Arn"].endswith("user/bob")
    named = {"UserName": "bob", "AccessKeyId": made["AccessKeyId"]}
    admin.update_access_key(Status="Inactive", **named)
    with pytest.raises(ClientError) as refused:
        bob.get_caller_identity()
    assert code_of(refused) == "AuthFailure"
    admin.update_access_key(Status="Active", **named)
    assert bob.get_caller_identity()["Arn"].endswith("user/bob")
    admin.delete_access_key(**named)
    with pytest.raises(ClientError) as refused:
        bob.get_caller_identity()
    assert code_of(refused) == "AuthFailure"


def test_users_that_are_kept_elsewhere_have_no_sessions_here(served: Served) -> None:
    with pytest.raises(ClientError) as refused:
        served.client("sts").get_session_token()
    assert code_of(refused) == "UnsupportedOperation"
