"""Tags: on every kind of thing, in the call that makes it and afterwards."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.ec2.things import NOWHERE, Refusal, Things, by_name, code_of

_TAG = [{"Key": "k", "Value": "v"}]
_RED = [{"Name": "colour", "Values": ["red"]}]
_NOT_THERE = {
    f"i-{NOWHERE}": "InvalidInstanceID.NotFound",
    f"emi-{NOWHERE}": "InvalidAMIID.NotFound",
    f"sg-{NOWHERE}": "InvalidGroup.NotFound",
    f"lt-{NOWHERE}": "InvalidLaunchTemplateId.NotFound",
    f"sgr-{NOWHERE}": "InvalidID",
    f"key-{NOWHERE}": "InvalidID",
    f"pg-{NOWHERE}": "InvalidID",
    f"eipalloc-{NOWHERE}": "InvalidID",
    f"eni-{NOWHERE}": "InvalidID",
    f"vpc-{NOWHERE}": "InvalidID",
    f"subnet-{NOWHERE}": "InvalidID",
    "web": "InvalidID",
    "i-web": "InvalidID",
    "moon-12345678": "InvalidID",
}


def _create(code: str, tags: Any, resources: Any = ("{running}",)) -> Refusal:
    return Refusal("CreateTags", {"Resources": list(resources), "Tags": tags}, code)


REFUSALS = [
    *(_create(code, _TAG, [id_]) for id_, code in _NOT_THERE.items()),
    *(Refusal("DeleteTags", {"Resources": [id_]}, code) for id_, code in _NOT_THERE.items()),
    Refusal("CreateTags", {"Tags": _TAG}, "MissingParameter"),
    Refusal("CreateTags", {"Resources": ["{running}"]}, "MissingParameter"),
    Refusal("DeleteTags", {"Tags": _TAG}, "MissingParameter"),
    _create("InvalidParameterValue", _TAG, [f"i-{n:017x}" for n in range(1001)]),
    _create("MissingParameter", [{"Value": "v"}]),
    _create("InvalidParameterValue", _TAG * 2),
    _create("InvalidParameterValue", [{"Key": "k" * 129}]),
    _create("InvalidParameterValue", [{"Key": "k", "Value": "v" * 257}]),
    _create("InvalidParameterValue", [{"Key": "AWS:k", "Value": "v"}]),
    _create("TagLimitExceeded", [{"Key": f"k{n}"} for n in range(50)]),
    _create("TagLimitExceeded", [{"Key": f"k{n}"} for n in range(51)]),
    Refusal(
        "DeleteTags",
        {"Resources": ["{running}"], "Tags": [{"Key": "aws:x"}]},
        "InvalidParameterValue",
    ),
    Refusal("DescribeTags", {"MaxResults": 4}, "InvalidParameterValue"),
    Refusal("DescribeTags", {"NextToken": "soon"}, "InvalidNextToken"),
    Refusal("DescribeTags", {"Filters": _RED}, "InvalidParameterValue"),
]


@by_name(REFUSALS)
def test_refused(things: Things, refusal: Refusal) -> None:
    before = things.ask("DescribeTags", {})["Tags"]
    things.check(refusal)
    assert things.ask("DescribeTags", {})["Tags"] == before


KINDS = {
    "running": "instance",
    "own_image": "image",
    "key": "key-pair",
    "web_group": "security-group",
    "ingress_rule": "security-group-rule",
    "apart": "placement-group",
    "template": "launch-template",
    "used_eip": "elastic-ip",
    "eni": "network-interface",
    "vpc": "vpc",
    "subnet": "subnet",
}


@pytest.mark.parametrize("name", KINDS)
def test_a_tag_comes_and_goes(things: Things, name: str) -> None:
    id_ = f"{{{name}}}"

    def told() -> dict[str, tuple[str, str]]:
        tags = things.ask("DescribeTags", {"Filters": [{"Name": "resource-id", "Values": [id_]}]})
        return {tag["Key"]: (tag["Value"], tag["ResourceType"]) for tag in tags["Tags"]}

    kind = KINDS[name]
    made = {"made": ("here", kind)}
    assert told() == made
    things.ask("CreateTags", {"Resources": [id_], "Tags": [{"Key": "new", "Value": "1"}]})
    things.ask("CreateTags", {"Resources": [id_], "Tags": [{"Key": "new", "Value": "2"}]})
    assert told() == made | {"new": ("2", kind)}
    things.ask("DeleteTags", {"Resources": [id_], "Tags": [{"Key": "new", "Value": "1"}]})
    assert told() == made | {"new": ("2", kind)}
    things.ask("DeleteTags", {"Resources": [id_], "Tags": [{"Key": "new"}, {"Key": "other"}]})
    assert told() == made


DESCRIBED = {
    "running": ("DescribeInstances", "InstanceIds"),
    "own_image": ("DescribeImages", "ImageIds"),
    "key": ("DescribeKeyPairs", "KeyPairIds"),
    "web_group": ("DescribeSecurityGroups", "GroupIds"),
    "ingress_rule": ("DescribeSecurityGroupRules", "SecurityGroupRuleIds"),
    "apart": ("DescribePlacementGroups", "GroupIds"),
    "template": ("DescribeLaunchTemplates", "LaunchTemplateIds"),
    "used_eip": ("DescribeAddresses", "AllocationIds"),
    "eni": ("DescribeNetworkInterfaces", "NetworkInterfaceIds"),
    "vpc": ("DescribeVpcs", "VpcIds"),
    "subnet": ("DescribeSubnets", "SubnetIds"),
}


@pytest.mark.parametrize("name", DESCRIBED)
def test_tags_are_told_where_the_thing_is_described(things: Things, name: str) -> None:
    action, member = DESCRIBED[name]
    answer = things.ask(action, {member: [f"{{{name}}}"]})
    assert repr(answer).count("[{'Key': 'made', 'Value': 'here'}]") == 1


def test_on_all_or_on_none(things: Things) -> None:
    resources = ["{running}", "{own_image}", f"sg-{NOWHERE}"]
    _, code = things.outcome("CreateTags", {"Resources": resources, "Tags": _TAG})
    assert code == "InvalidGroup.NotFound"
    found = things.ask("DescribeTags", {"Filters": [{"Name": "key", "Values": ["k"]}]})
    assert found["Tags"] == []


def test_all_tags_of_a_thing_are_deleted_at_once(api: Any) -> None:
    group = api.create_security_group(GroupName="tagged", Description="x")["GroupId"]
    api.create_tags(Resources=[group], Tags=[{"Key": f"k{n}", "Value": ""} for n in range(50)])
    with pytest.raises(ClientError) as refused:
        api.create_tags(Resources=[group], Tags=[{"Key": "k50", "Value": ""}])
    assert code_of(refused) == "TagLimitExceeded"
    api.create_tags(Resources=[group], Tags=[{"Key": "k49", "Value": "another"}])
    api.delete_tags(Resources=[group])
    filters = [{"Name": "resource-id", "Values": [group]}]
    assert api.describe_tags(Filters=filters)["Tags"] == []


def test_an_empty_value_is_a_value(api: Any) -> None:
    group = api.create_security_group(GroupName="empty", Description="x")["GroupId"]
    api.create_tags(Resources=[group], Tags=[{"Key": "k", "Value": "v"}])
    api.delete_tags(Resources=[group], Tags=[{"Key": "k", "Value": ""}])
    filters = [{"Name": "resource-id", "Values": [group]}]
    assert len(api.describe_tags(Filters=filters)["Tags"]) == 1
    api.create_tags(Resources=[group], Tags=[{"Key": "k", "Value": ""}])
    assert api.describe_tags(Filters=filters)["Tags"][0]["Value"] == ""


GONE: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "key-pair": ("create_key_pair", {"KeyName": "g", "KeyType": "ed25519"}, "KeyPairId", "key"),
    "security-group": (
        "create_security_group",
        {"GroupName": "g", "Description": "x"},
        "GroupId",
        "sg",
    ),
    "elastic-ip": ("allocate_address", {}, "AllocationId", "eip"),
}


@pytest.mark.parametrize("kind", GONE)
def test_tags_go_with_the_thing(api: Any, kind: str) -> None:
    make, asked, member, _ = GONE[kind]
    made = getattr(api, make)(TagSpecifications=[{"ResourceType": kind, "Tags": _TAG}], **asked)
    id_ = made[member]
    filters = [{"Name": "resource-id", "Values": [id_]}]
    assert len(api.describe_tags(Filters=filters)["Tags"]) == 1
    undo = {
        "key-pair": (api.delete_key_pair, "KeyPairId"),
        "security-group": (api.delete_security_group, "GroupId"),
        "elastic-ip": (api.release_address, "AllocationId"),
    }
    delete, name = undo[kind]
    delete(**{name: id_})
    assert api.describe_tags(Filters=filters)["Tags"] == []
