"""Pages: whole, without repetition, and good while things come and go."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import attrs
import pytest

from pycloud.ec2.actions import ACTIONS
from pycloud.testing.images import kernel_bytes
from tests.ec2.conftest import Served
from tests.ec2.things import HTTPS, Things


@attrs.frozen
class Paged:
    """A Describe action that gives pages."""

    action: str
    key: str
    size: int
    """Of the smallest page."""
    is_many: bool = True
    """Whether there are more things than fit into one."""
    parameters: Mapping[str, Any] = attrs.field(factory=dict)

    def __str__(self) -> str:
        return self.action


PAGED = [
    Paged("DescribeAddressesAttribute", "Addresses", 1),
    Paged("DescribeImages", "Images", 5),
    Paged("DescribeInstances", "Reservations", 5),
    Paged("DescribeInstanceStatus", "InstanceStatuses", 5, True, {"IncludeAllInstances": True}),
    Paged("DescribeInstanceTypeOfferings", "InstanceTypeOfferings", 5),
    Paged("DescribeInstanceTypes", "InstanceTypes", 5),
    Paged("DescribeLaunchTemplates", "LaunchTemplates", 1),
    Paged(
        "DescribeLaunchTemplateVersions",
        "LaunchTemplateVersions",
        1,
        True,
        {"LaunchTemplateName": "template-0"},
    ),
    Paged("DescribeNetworkInterfaces", "NetworkInterfaces", 5),
    Paged("DescribeSecurityGroupRules", "SecurityGroupRules", 5),
    Paged("DescribeSecurityGroups", "SecurityGroups", 5),
    Paged("DescribeSubnets", "Subnets", 5, is_many=False),
    Paged("DescribeTags", "Tags", 5),
    Paged("DescribeVpcs", "Vpcs", 5, is_many=False),
]
_MANY = 7


@pytest.fixture(scope="module")
def many(shared: Served) -> Things:
    """A cloud with more than a small page of each thing."""
    ec2, world = shared.client(), shared.world
    for number in range(_MANY):
        group = ec2.create_security_group(GroupName=f"group-{number}", Description="x")["GroupId"]
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[HTTPS])
        ec2.create_tags(Resources=[group], Tags=[{"Key": "Name", "Value": "x"}])
        ec2.allocate_address()
        path = world.directory / f"kernel-{number}"
        path.write_bytes(kernel_bytes())
        world.cloud.images.register_kernel(path)
        ec2.create_launch_template(
            LaunchTemplateName=f"template-{number}", LaunchTemplateData={"KeyName": "x"}
        )
        ec2.create_launch_template_version(
            LaunchTemplateName="template-0", LaunchTemplateData={"KeyName": "x"}
        )
    ec2.run_instances(ImageId=world.images.machine.id, MinCount=_MANY, MaxCount=_MANY)
    return Things(shared, {})


def _items(answer: Any, one: Paged) -> list[Any]:
    items = answer[one.key]
    if one.key == "Reservations":
        return [item for reservation in items for item in reservation["Instances"]]
    return list(items)


def test_every_action_with_pages_is_walked() -> None:
    takers = {one.name for one in ACTIONS.values() if "MaxResults" in one.parameters}
    assert takers == {one.action for one in PAGED}
    for one in ACTIONS.values():
        assert ("MaxResults" in one.parameters) == ("NextToken" in one.parameters)


@pytest.mark.parametrize("one", PAGED, ids=str)
def test_all_pages_together_are_what_one_answer_tells(many: Things, one: Paged) -> None:
    everything = _items(many.ask(one.action, one.parameters), one)
    found: list[Any] = []
    token: dict[str, str] = {}
    sizes = []
    while True:
        answer = many.ask(one.action, {**one.parameters, "MaxResults": one.size, **token})
        items = _items(answer, one)
        sizes.append(len(items))
        found += items
        if "NextToken" not in answer:
            break
        token = {"NextToken": answer["NextToken"]}
    assert found == everything
    assert set(sizes[:-1]) <= {one.size}
    assert (len(sizes) > 1) == one.is_many


@pytest.mark.parametrize("one", PAGED, ids=str)
def test_a_page_is_neither_too_small_nor_too_large(many: Things, one: Paged) -> None:
    for size in (one.size - 1, 1001):
        _, code = many.outcome(one.action, {**one.parameters, "MaxResults": size})
        assert code == "InvalidParameterValue"


def _token(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    "token",
    [
        "soon",
        "é",
        _token([]),
        _token({}),
        _token(None),
        _token([["a"]]),
        _token([1, "a"]),
        _token(["a", 1, "b"]),
        _token([1, 2, 3]),
        _token([True, 0, "i-1"]),
        _token([10**30, 0, "i-1"]),
        _token([0, -1, "i-1"]),
        _token([0, 10**9, "i-1"]),
        base64.urlsafe_b64encode(b"[" * 9999).decode(),
        base64.urlsafe_b64encode(b'"\xff"').decode(),
    ],
)
@pytest.mark.parametrize("action", ["DescribeInstances", "DescribeTags"])
def test_what_is_no_token_is_refused(many: Things, action: str, token: str) -> None:
    _, code = many.outcome(action, {"NextToken": token})
    assert code == "InvalidNextToken"


def test_a_page_goes_on_though_its_last_item_is_gone(many: Things) -> None:
    ec2 = many.served.client()
    first = ec2.describe_security_groups(MaxResults=5)
    shown = [one["GroupId"] for one in first["SecurityGroups"]]
    last = first["SecurityGroups"][-1]
    if last["GroupName"] != "default":
        ec2.delete_security_group(GroupId=last["GroupId"])
    rest = ec2.describe_security_groups(MaxResults=1000, NextToken=first["NextToken"])
    ids = [one["GroupId"] for one in rest["SecurityGroups"]]
    assert len(ids) == _MANY + 1 - 5
    assert {*ids}.isdisjoint(shown)


def test_instances_in_the_order_of_their_launch(many: Things) -> None:
    ec2, world = many.served.client(), many.served.world
    world.clock.advance(seconds=1)
    later = ec2.run_instances(ImageId=world.images.machine.id, MinCount=1, MaxCount=1)
    found = _items(many.ask("DescribeInstances", {}), PAGED[2])
    assert [one["AmiLaunchIndex"] for one in found] == [*range(_MANY), 0]
    assert found[-1]["InstanceId"] == later["Instances"][0]["InstanceId"]
