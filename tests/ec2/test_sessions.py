"""What can be done with temporary credentials, and what not: nothing that outlasts them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from pycloud.drivers.serve import WsgiServer
from pycloud.ec2 import EC2App
from pycloud.identity.identity import Identity
from pycloud.identity.sealing import Seal
from pycloud.testing.world import SimWorld


@pytest.fixture
def options(world: SimWorld) -> Iterator[dict[str, Any]]:
    """How boto3 signs with a session of the administrator's."""
    identity = world.cloud.identity = Identity(world.cloud.state, Seal(bytes(32)))
    key, secret = identity.usable_key(identity.users.get("admin"))
    with WsgiServer(EC2App(world.cloud)) as server:
        url = {"endpoint_url": f"http://127.0.0.1:{server.port}", "region_name": "pycloud"}
        lasting = {"aws_access_key_id": key, "aws_secret_access_key": secret}
        made = boto3.client("sts", **url, **lasting).get_session_token()["Credentials"]
        yield {
            **url,
            "aws_access_key_id": made["AccessKeyId"],
            "aws_secret_access_key": made["SecretAccessKey"],
            "aws_session_token": made["SessionToken"],
        }


def _code_of(refused: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    answer = refused.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def test_a_session_may_do_what_its_user_may(options: dict[str, Any]) -> None:
    arn = boto3.client("sts", **options).get_caller_identity()["Arn"]
    assert arn == "arn:aws:iam::000000000001:user/admin"
    assert boto3.client("ec2", **options).create_key_pair(KeyName="key")["KeyName"] == "key"


def test_a_session_makes_nothing_that_outlasts_it(options: dict[str, Any]) -> None:
    with pytest.raises(ClientError) as refused:
        boto3.client("sts", **options).get_session_token()
    assert _code_of(refused) == ("AccessDenied", 403)
    with pytest.raises(ClientError) as refused:
        boto3.client("iam", **options).create_access_key(UserName="admin")
    assert _code_of(refused) == ("AccessDenied", 403)


def test_a_session_is_over_with_its_time(options: dict[str, Any], world: SimWorld) -> None:
    world.clock.advance(seconds=12 * 3600)
    with pytest.raises(ClientError) as refused:
        boto3.client("ec2", **options).describe_instances()
    assert _code_of(refused) == ("AuthFailure", 401)
