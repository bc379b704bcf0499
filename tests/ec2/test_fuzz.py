"""Whatever is sent: the answer is what was asked for, or a refusal that tools can read; never a fault.

First what the models' shapes allow, mixed with the ids of things that there are; then bytes that no
tool would send.
"""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pycloud.aws.actions import Action
from pycloud.aws.models import service_model
from pycloud.ec2 import EC2App
from pycloud.ec2.actions import ACTIONS
from pycloud.identity.identity import Identity
from pycloud.identity.sealing import Seal
from pycloud.ids import ADMIN_ACCOUNT, AccountId
from pycloud.network.addresses import IPPool
from pycloud.network.elastic import ElasticAddresses
from pycloud.state.schema import accounts
from pycloud.testing.world import SimWorld
from tests.aws.shapes import values_of
from tests.conftest import new_postgres_database
from tests.ec2.conftest import AccountKeys
from tests.ec2.things import STRANGER
from tests.ec2.wire import Wire

_EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "12"))
"""Of each action: enough to notice what breaks; set it to 500 to look for what is not known yet."""
_ANY = settings(
    max_examples=_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
_ALL = [pytest.param(action, id=f"{action.service}-{action.name}") for action in ACTIONS.values()]


class Town:
    """A cloud with something of everything in it, for two accounts."""

    def __init__(self, world: SimWorld) -> None:
        self.world = world
        self._open()
        self.names = _furnish(world, self.wire)
        """Ids and names of what there is, by words of the members that take them."""
        self._database = world.directory / "cloud.db"
        world.cloud.close()
        self._rows = self._database.read_bytes() if self._database.exists() else b""
        world.cloud.open()

    def renew(self) -> None:
        """Let the rows be again what they were in the beginning."""
        self.world.cloud.close()
        for path in self.world.directory.glob("cloud.db-*"):
            path.unlink()
        self._database.write_bytes(self._rows)
        self.world.cloud = self.world.another_process()
        self.world.cloud.open()
        self._open()

    def _open(self) -> None:
        cloud = self.world.cloud
        public = IPPool(cloud.state, "203.0.113.0/28", name="public")
        cloud.elastic = ElasticAddresses(cloud.state, public)
        cloud.identity = Identity(cloud.state, Seal(bytes(32)))
        self.wire = Wire(EC2App(cloud, keys=AccountKeys()))


def _furnish(world: SimWorld, wire: Wire) -> dict[str, list[str]]:
    """Make something of everything, for both accounts; return what it is called."""
    image = str(world.images.machine.id)
    with world.cloud.state.transaction() as tx:
        tx.execute(accounts.insert().values(id=STRANGER, name="stranger", created_at=tx.now))
    world.cloud.images.share(world.images.machine.id, public=True)
    for account in (ADMIN_ACCOUNT, STRANGER):
        _make(wire, account, image)
    world.settle()
    made = [_called(wire, account) for account in (ADMIN_ACCOUNT, STRANGER)]
    return {word: sorted({*made[0][word], *made[1][word]}) for word in made[0]}


def _make(wire: Wire, account: AccountId, image: str) -> None:
    def call(action: str, service: str = "ec2", **arguments: Any) -> Any:
        answer = wire.call(service, action, arguments, account=account)
        assert "Error" not in answer, answer
        return answer

    call("CreateKeyPair", KeyName="eucatest", KeyType="ed25519")
    group = call("CreateSecurityGroup", GroupName="web", Description="web")["GroupId"]
    call(
        "AuthorizeSecurityGroupIngress",
        GroupId=group,
        IpPermissions=[
            {
                "IpProtocol": "tcp",
                "FromPort": 22,
                "ToPort": 22,
                "IpRanges": [{"CidrIp": "10.0.0.0/8"}],
                "UserIdGroupPairs": [{"GroupId": group}],
            }
        ],
    )
    call("CreatePlacementGroup", GroupName="apart", Strategy="spread")
    data = {"ImageId": image, "InstanceType": "m1.small"}
    call("CreateLaunchTemplate", LaunchTemplateName="small", LaunchTemplateData=data)
    call("CreateLaunchTemplateVersion", LaunchTemplateName="small", LaunchTemplateData=data)
    run = call("RunInstances", ImageId=image, MinCount=2, MaxCount=2, SecurityGroupIds=[group])
    first, second = (one["InstanceId"] for one in run["Instances"])
    call("CreateTags", Resources=[first, group], Tags=[{"Key": "Name", "Value": "web"}])
    wire.app.cloud.settle(timeout_s=30)
    call("AllocateAddress")
    call("AssociateAddress", InstanceId=first, PublicIp=call("AllocateAddress")["PublicIp"])
    call("StopInstances", InstanceIds=[second])
    call("CreateUser", "iam", UserName="alice")
    call("CreateAccessKey", "iam", UserName="alice")


def _called(wire: Wire, account: AccountId) -> dict[str, list[str]]:
    """Return the names of an account's things, by words of the members that take them."""

    def found(
        action: str, key: str, *members: str, service: str = "ec2", **asked: Any
    ) -> list[str]:
        items = wire.call(service, action, asked, account=account)[key]
        return [str(item[member]) for item in items for member in members if item.get(member)]

    runs = wire.call("ec2", "DescribeInstances", account=account)["Reservations"]
    names = {
        "Instance": [one["InstanceId"] for run in runs for one in run["Instances"]],
        "Image": found("DescribeImages", "Images", "ImageId"),
        "KeyName": found("DescribeKeyPairs", "KeyPairs", "KeyName"),
        "KeyPair": found("DescribeKeyPairs", "KeyPairs", "KeyPairId"),
        "GroupId": found("DescribeSecurityGroups", "SecurityGroups", "GroupId"),
        "GroupName": ["default", "web", "apart"],
        "Rule": found("DescribeSecurityGroupRules", "SecurityGroupRules", "SecurityGroupRuleId"),
        "PlacementGroupId": found("DescribePlacementGroups", "PlacementGroups", "GroupId"),
        "Template": found(
            "DescribeLaunchTemplates", "LaunchTemplates", "LaunchTemplateId", "LaunchTemplateName"
        ),
        "Version": ["1", "2", "$Latest", "$Default", str(2**70)],
        "Public": found("DescribeAddresses", "Addresses", "PublicIp"),
        "Allocation": found("DescribeAddresses", "Addresses", "AllocationId"),
        "Association": found("DescribeAddresses", "Addresses", "AssociationId"),
        "Vpc": found("DescribeVpcs", "Vpcs", "VpcId"),
        "Subnet": found("DescribeSubnets", "Subnets", "SubnetId"),
        "Interface": found("DescribeNetworkInterfaces", "NetworkInterfaces", "NetworkInterfaceId"),
        "Zone": found("DescribeAvailabilityZones", "AvailabilityZones", "ZoneName", "ZoneId"),
        "Type": found("DescribeInstanceTypes", "InstanceTypes", "InstanceType"),
        "User": [*found("ListUsers", "Users", "UserName", service="iam"), account, "all"],
        "AccessKey": found(
            "ListAccessKeys", "AccessKeyMetadata", "AccessKeyId", service="iam", UserName="alice"
        ),
        "Owner": [account, "self", "all"],
        "Cidr": ["10.0.0.0/8", "0.0.0.0/0", "10.0.0.1/8", "::/0", "1.2.3.4"],
        "Protocol": ["tcp", "udp", "icmp", "-1", "6", "256", str(2**70)],
        "Token": ["bWFhZA==", *_TOKENS],
        "Marker": _TOKENS,
        "Data": ["ZWNobw==", "%%%"],
        "Location": ["images/machine", "nowhere"],
        "Path": ["/", "/research/"],
        "AccountName": ["admin", "stranger", "research"],
    }
    return {**names, "Resource": sorted({name for many in names.values() for name in many})}


def _token(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


_TOKENS = [
    _token(text)
    for text in (
        '["a"]',
        '[0, 0, "i"]',
        f'[{10**30}, 0, "i"]',
        f'[{-(10**16)}, 0, "i"]',
        '[0, 0, "\\u0000"]',
        '[0, 0, "\\ud800"]',
        '["\\ud800"]',
        "[[[[]]]]",
        "NaN",
        "1" * 5000,
    )
]
_TEXTS = st.one_of(
    st.sampled_from(["verbose", "*", "", "-1", "0", "1" * 30, "e\u0301", "\u202e\U0001f600", "\0"]),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=20),
    st.text(st.characters(codec="ascii", categories=["L", "P"]), min_size=200, max_size=300),
)
_KEY = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB0Q1SjpnvH6cSQ5CGkVmEhF1DXvqWoQBbbJVtyVvXoe"
_WANTED = {
    *("DefaultVersion", "GroupId", "ImageId", "ImageLocation", "InstanceId", "IpPermissions"),
    *("Key", "LaunchTemplateName", "Name", "PublicIp", "Strategy", "Values"),
}
"""Members without which most actions come to nothing, though their models don't require them."""
_MOSTLY = st.sampled_from([True, True, True, False])
_MOST_OPTIONAL = 3
"""Members drawn of those that may be left out: with more, one of them is wrong nearly always."""


class Drawing:
    """Arguments of one action: members that are carried out, with names of what there is."""

    def __init__(self, action: Action, names: dict[str, list[str]]) -> None:
        self._action = action
        module = vars(sys.modules[action.handler.__module__])
        filters = [one for name in module if name.endswith("FILTERS") for one in module[name]]
        self._names = {**names, "Filter.Name": [*filters, "tag:Name", "tag-key"]}

    def arguments(self) -> st.SearchStrategy[dict[str, Any]]:
        """Return a strategy for the whole input."""
        model = service_model(self._action.service)
        shape = model.operation_model(self._action.name).input_shape
        if shape is None:
            return st.just({})
        return self._structure(shape, {*self._action.parameters, *self._action.harmless})

    def _values(self, shape: Any, member: str) -> st.SearchStrategy[Any]:
        if shape.type_name == "structure":
            taken = self._action.taken
            return self._structure(
                shape, {*taken.members.get(shape.name, ()), *taken.harmless.get(shape.name, ())}
            )
        if shape.type_name == "list":
            return st.lists(self._values(shape.member, member), min_size=1, max_size=3)
        if shape.type_name == "string" and not shape.enum:
            return self._strings(member)
        return {
            "integer": st.one_of(st.integers(-1, 10), values_of(shape)),
            "blob": st.one_of(st.just(_KEY), values_of(shape)),
        }.get(shape.type_name, values_of(shape))

    def _structure(self, shape: Any, members: set[str]) -> st.SearchStrategy[dict[str, Any]]:
        required = members.intersection(shape.required_members)
        optional = sorted(members.difference(required))

        @st.composite
        def drawn(draw: st.DrawFn) -> dict[str, Any]:
            some = st.lists(st.sampled_from(optional), max_size=_MOST_OPTIONAL, unique=True)
            names = {*required, *(draw(some) if optional else ())}
            names |= {name for name in optional if name in _WANTED and draw(_MOSTLY)}
            return {
                name: draw(self._values(shape.members[name], self._word(shape, name)))
                for name in sorted(names)
            }

        return drawn()

    @staticmethod
    def _word(shape: Any, member: str) -> str:
        return f"Filter.{member}" if shape.name == "Filter" else member

    def _strings(self, member: str) -> st.SearchStrategy[str]:
        fitting = [name for word in self._names if word in member for name in self._names[word]]
        fits = st.sampled_from(fitting or self._names["Resource"])
        anything = st.one_of(st.sampled_from(self._names["Resource"]), _TEXTS)
        return st.integers(0, 9).flatmap(lambda chance: fits if chance < 8 else anything)


@pytest.fixture(scope="module")
def furnished() -> Iterator[Town]:
    with SimWorld(nodes=2, zones=("cluster01", "cluster02")) as world:
        yield Town(world)


@pytest.fixture
def town(furnished: Town) -> Town:
    furnished.renew()
    return furnished


@pytest.mark.parametrize("action", _ALL)
def test_what_the_model_allows_is_answered(action: Action, town: Town) -> None:
    @_ANY
    @given(Drawing(action, town.names).arguments())
    def answered(arguments: dict[str, Any]) -> None:
        town.wire.call(action.service, action.name, arguments)

    answered()


@pytest.mark.postgres
def test_what_the_model_allows_is_answered_from_postgres(postgres_server: str) -> None:
    url = new_postgres_database(postgres_server)
    with SimWorld(nodes=2, zones=("cluster01", "cluster02"), postgres_url=url) as world:
        town = Town(world)
        drawings = {key: Drawing(action, town.names).arguments() for key, action in ACTIONS.items()}

        @settings(_ANY, max_examples=_EXAMPLES * 25)
        @given(st.sampled_from(list(drawings)), st.data())
        def answered(key: tuple[str, str], data: st.DataObject) -> None:
            town.wire.call(*key, data.draw(drawings[key]))

        answered()
