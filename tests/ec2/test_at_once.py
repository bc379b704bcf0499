"""The same request from many at once: one has it, the others hear why not; nobody hears of a fault."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from pycloud.aws.callers import Caller, Credential
from pycloud.ec2 import EC2App
from pycloud.identity.identity import Identity
from pycloud.identity.sealing import Seal
from pycloud.ids import AccountId
from pycloud.network.addresses import IPPool
from pycloud.network.elastic import ElasticAddresses
from pycloud.testing.world import SimWorld
from tests.conftest import new_postgres_database
from tests.ec2.wire import Wire

_MANY = 6


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
)
def world(request: pytest.FixtureRequest) -> Iterator[SimWorld]:
    """One for all tests of a database, each with an account of its own."""
    url = None
    if request.param == "postgres":
        url = new_postgres_database(request.getfixturevalue("postgres_server"))
    with SimWorld(nodes=2, postgres_url=url) as world:
        cloud = world.cloud
        public = IPPool(cloud.state, "203.0.113.0/28", name="public")
        cloud.elastic = ElasticAddresses(cloud.state, public)
        cloud.identity = Identity(cloud.state, Seal(bytes(32)))
        cloud.images.share(world.images.machine.id, public=True)
        yield world


@pytest.fixture
def crowd(world: SimWorld) -> Iterator[Crowd]:
    with ThreadPoolExecutor(_MANY) as threads:
        yield Crowd(world, threads)


class AnyKeys:
    """One key for each account there may be, named after it."""

    def find(self, access_key_id: str, session_token: str | None) -> Credential | None:
        """Return the credential of `AKIA<account>`."""
        account = AccountId(access_key_id.removeprefix("AKIA"))
        return Credential("secret", Caller(account, f"AIDA{account}", "admin"))


class Crowd:
    """Many clients of one cloud, of an account that has nothing yet."""

    def __init__(self, world: SimWorld, threads: ThreadPoolExecutor) -> None:
        self.world = world
        self._threads = threads
        app = EC2App(world.cloud, keys=AnyKeys())
        identity = world.cloud.identity
        assert identity is not None
        self._account = identity.accounts.create(f"a{secrets.token_hex(8)}").id
        self._wires = [Wire(app) for _ in range(_MANY)]

    def ask(self, action: str, service: str = "ec2", **arguments: Any) -> list[str]:
        """Let all of them ask for the same; return the codes of the refusals."""
        return [code for code, _ in self._asked(service, action, arguments) if code]

    def first(self, action: str, service: str = "ec2", **arguments: Any) -> Any:
        """Let all of them ask for the same; return one of the answers."""
        return next(answer for code, answer in self._asked(service, action, arguments) if not code)

    def _asked(self, service: str, action: str, arguments: dict[str, Any]) -> list[tuple[str, Any]]:
        ready = Barrier(_MANY)

        def ask(wire: Wire) -> tuple[str, Any]:
            ready.wait()
            answer = wire.call(service, action, arguments, account=self._account)
            return answer.get("Error", {}).get("Code", ""), answer

        return list(self._threads.map(ask, self._wires))


@pytest.mark.parametrize(
    "first",
    ["DescribeVpcs", "DescribeSecurityGroups", "DescribeSubnets", "DescribeAccountAttributes"],
)
def test_what_an_account_has_by_default_is_made_once(crowd: Crowd, first: str) -> None:
    assert crowd.ask(first) == []
    assert len(crowd.first("DescribeVpcs")["Vpcs"]) == 1
    assert len(crowd.first("DescribeSecurityGroups")["SecurityGroups"]) == 1


def test_a_launch_with_a_token_happens_once(crowd: Crowd) -> None:
    image = str(crowd.world.images.machine.id)
    asked: dict[str, Any] = {"ImageId": image, "MinCount": 1, "MaxCount": 1, "ClientToken": "once"}
    assert crowd.ask("RunInstances", **asked) == []
    [run] = crowd.first("DescribeInstances")["Reservations"]
    [one] = run["Instances"]
    assert crowd.ask("TerminateInstances", InstanceIds=[one["InstanceId"]]) == []


@pytest.mark.parametrize(
    ("action", "arguments", "code"),
    [
        ("CreateKeyPair", {"KeyName": "a", "KeyType": "ed25519"}, "InvalidKeyPair.Duplicate"),
        ("CreateSecurityGroup", {"GroupName": "a", "Description": "a"}, "InvalidGroup.Duplicate"),
        (
            "CreatePlacementGroup",
            {"GroupName": "a", "Strategy": "spread"},
            "InvalidPlacementGroup.Duplicate",
        ),
        (
            "CreateLaunchTemplate",
            {"LaunchTemplateName": "small", "LaunchTemplateData": {"InstanceType": "m1.small"}},
            "InvalidLaunchTemplateName.AlreadyExistsException",
        ),
    ],
)
def test_a_thing_is_made_once(
    crowd: Crowd, action: str, arguments: dict[str, Any], code: str
) -> None:
    assert crowd.ask(action, **arguments) == [code] * (_MANY - 1)


def test_addresses_are_given_to_the_last_one(crowd: Crowd) -> None:
    assert crowd.world.cloud.elastic is not None
    free = 11 - len(crowd.world.cloud.elastic.list(account=None))
    refused = crowd.ask("AllocateAddress") + crowd.ask("AllocateAddress")
    assert refused == ["InsufficientAddressCapacity"] * (2 * _MANY - free)
    for one in crowd.first("DescribeAddresses")["Addresses"]:
        crowd.ask("ReleaseAddress", AllocationId=one["AllocationId"])


def test_users_and_keys_at_once(crowd: Crowd) -> None:
    taken = crowd.ask("CreateUser", "iam", UserName="alice")
    assert taken == ["EntityAlreadyExists"] * (_MANY - 1)
    full = crowd.ask("CreateAccessKey", "iam", UserName="alice")
    assert full == ["LimitExceeded"] * (_MANY - 2)
    assert crowd.ask("GetUser", "iam") == []
    keys = crowd.first("ListAccessKeys", "iam", UserName="alice")["AccessKeyMetadata"]
    gone = crowd.ask("DeleteAccessKey", "iam", UserName="alice", AccessKeyId=keys[0]["AccessKeyId"])
    assert gone == ["NoSuchEntity"] * (_MANY - 1)


def test_groups_rules_and_tags_at_once(crowd: Crowd) -> None:
    crowd.ask("CreateSecurityGroup", GroupName="web", Description="web")
    [group] = crowd.first("DescribeSecurityGroups", GroupNames=["web"])["SecurityGroups"]
    rule: dict[str, Any] = {
        "GroupId": group["GroupId"],
        "IpProtocol": "tcp",
        "CidrIp": "10.0.0.0/8",
    }
    rule |= {"FromPort": 22, "ToPort": 22}
    added = crowd.ask("AuthorizeSecurityGroupIngress", **rule)
    assert added == ["InvalidPermission.Duplicate"] * (_MANY - 1)
    tags: dict[str, Any] = {
        "Resources": [group["GroupId"]],
        "Tags": [{"Key": "Name", "Value": "web"}],
    }
    assert crowd.ask("CreateTags", **tags) == []
    assert crowd.ask("DeleteTags", **tags) == []
    removed = crowd.ask("RevokeSecurityGroupIngress", **rule)
    assert removed == ["InvalidPermission.NotFound"] * (_MANY - 1)
    gone = crowd.ask("DeleteSecurityGroup", GroupId=group["GroupId"])
    assert gone == ["InvalidGroup.NotFound"] * (_MANY - 1)


def test_addresses_and_instances_at_once(crowd: Crowd) -> None:
    image = str(crowd.world.images.machine.id)
    assert crowd.ask("RunInstances", ImageId=image, MinCount=1, MaxCount=1) == []
    crowd.world.settle()
    runs = crowd.first("DescribeInstances")["Reservations"]
    ids = [one["InstanceId"] for run in runs for one in run["Instances"]]
    assert len(ids) == _MANY
    crowd.ask("AllocateAddress")
    address = crowd.first("DescribeAddresses")["Addresses"][0]
    which = {"AllocationId": address["AllocationId"], "InstanceId": ids[0]}
    assert crowd.ask("AssociateAddress", **which) == []
    assert set(crowd.ask("DisassociateAddress", PublicIp=address["PublicIp"])) <= {
        "InvalidAddress.NotFound",
        "InvalidAssociationID.NotFound",
    }
    gone = crowd.ask("ReleaseAddress", AllocationId=address["AllocationId"])
    assert gone == ["InvalidAllocationID.NotFound"] * (_MANY - 1)
    assert crowd.ask("StopInstances", InstanceIds=ids) == []
    assert (
        crowd.ask("ModifyInstanceMetadataOptions", InstanceId=ids[0], HttpTokens="required") == []
    )
    assert crowd.ask("TerminateInstances", InstanceIds=ids) == []
