"""One account can neither see nor touch another's resources: every action, with a stranger's ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import pytest
from botocore.exceptions import ClientError

from pycloud.ec2.actions import ACTIONS
from pycloud.ids import ADMIN_ACCOUNT
from pycloud.testing.images import kernel_bytes
from tests.ec2.things import HTTPS, PUBLIC_KEY, STRANGER, Things, code_of

_NO_INSTANCE = "InvalidInstanceID.NotFound"
_NO_IMAGE = "InvalidAMIID.NotFound"
_NO_GROUP = "InvalidGroup.NotFound"
_NO_TEMPLATE = "InvalidLaunchTemplateId.NotFound"
_NO_ALLOCATION = "InvalidAllocationID.NotFound"
_NO_VPC = "InvalidVpcID.NotFound"
_ID = {"InstanceId": "{running}"}
_IDS = {"InstanceIds": ["{running}"]}
_RULE = {"GroupId": "{db_group}", "IpPermissions": [HTTPS]}


@attrs.frozen
class Asked:
    """What a stranger asks, and how that ends; None if the answer has nothing of the owner's."""

    parameters: Mapping[str, Any]
    code: str | None = None


def _own(**parameters: Any) -> Asked:
    """Something in the stranger's own account: it is answered, without anything of the owner's."""
    return Asked(parameters)


BY_STRANGERS: dict[str, list[Asked]] = {
    "AllocateAddress": [_own()],
    "AssociateAddress": [
        Asked({"AllocationId": "{free_eip}", **_ID}, _NO_ALLOCATION),
        Asked({"PublicIp": "{free_ip}", **_ID}, "InvalidAddress.NotFound"),
    ],
    "AuthorizeSecurityGroupEgress": [Asked(_RULE, _NO_GROUP)],
    "AuthorizeSecurityGroupIngress": [
        Asked(_RULE, _NO_GROUP),
        Asked(
            {
                "GroupName": "default",
                "IpPermissions": [
                    {
                        "IpProtocol": "-1",
                        "UserIdGroupPairs": [{"GroupId": "{web_group}", "UserId": "000000000001"}],
                    }
                ],
            },
            _NO_GROUP,
        ),
    ],
    "CreateAccessKey": [Asked({"UserName": "alice"}, "NoSuchEntity")],
    "CreateAccount": [Asked({"AccountName": "more"}, "AccessDenied")],
    "CreateKeyPair": [_own(KeyName="web", KeyType="ed25519")],
    "CreateLaunchTemplate": [
        _own(LaunchTemplateName="web", LaunchTemplateData={"InstanceType": "m1.small"})
    ],
    "CreateLaunchTemplateVersion": [
        Asked(
            {"LaunchTemplateId": "{template}", "LaunchTemplateData": {"KeyName": "x"}}, _NO_TEMPLATE
        )
    ],
    "CreatePlacementGroup": [_own(GroupName="apart", Strategy="spread")],
    "CreateSecurityGroup": [
        _own(GroupName="db", Description="mine"),
        Asked({"GroupName": "x", "Description": "x", "VpcId": "{vpc}"}, _NO_VPC),
    ],
    "CreateTags": [
        Asked({"Resources": [f"{{{name}}}"], "Tags": [{"Key": "made", "Value": "away"}]}, code)
        for name, code in {
            "running": _NO_INSTANCE,
            "own_image": _NO_IMAGE,
            "public_image": "AuthFailure",
            "shared_image": "AuthFailure",
            "web_group": _NO_GROUP,
            "ingress_rule": "InvalidID",
            "template": _NO_TEMPLATE,
            "key": "InvalidID",
            "apart": "InvalidID",
            "used_eip": "InvalidID",
            "eni": "InvalidID",
            "vpc": "InvalidID",
            "subnet": "InvalidID",
        }.items()
    ],
    "CreateUser": [_own(UserName="alice")],
    "DeleteAccessKey": [Asked({"AccessKeyId": "{access_key}"}, "NoSuchEntity")],
    "DeleteAccount": [Asked({"AccountName": "stranger"}, "AccessDenied")],
    "DeleteKeyPair": [_own(KeyName="web"), _own(KeyPairId="{key}")],
    "DeleteLaunchTemplate": [Asked({"LaunchTemplateId": "{template}"}, _NO_TEMPLATE)],
    "DeleteLaunchTemplateVersions": [
        Asked({"LaunchTemplateId": "{template}", "Versions": ["2"]}, _NO_TEMPLATE)
    ],
    "DeletePlacementGroup": [Asked({"GroupName": "parts"}, "InvalidPlacementGroup.Unknown")],
    "DeleteSecurityGroup": [Asked({"GroupId": "{db_group}"}, _NO_GROUP)],
    "DeleteTags": [
        Asked({"Resources": ["{running}"]}, _NO_INSTANCE),
        Asked({"Resources": ["{public_image}"]}, "AuthFailure"),
        Asked({"Resources": ["{vpc}"], "Tags": [{"Key": "made"}]}, "InvalidID"),
    ],
    "DeleteUser": [Asked({"UserName": "bob"}, "NoSuchEntity")],
    "DeregisterImage": [
        Asked({"ImageId": "{own_image}"}, _NO_IMAGE),
        Asked({"ImageId": "{public_image}"}, "AuthFailure"),
    ],
    "DescribeAccountAttributes": [_own()],
    "DescribeAddresses": [
        _own(),
        _own(PublicIps=["verbose"]),
        Asked({"AllocationIds": ["{used_eip}"]}, _NO_ALLOCATION),
        Asked({"PublicIps": ["{used_ip}"]}, "InvalidAddress.NotFound"),
    ],
    "DescribeAddressesAttribute": [
        _own(),
        Asked({"AllocationIds": ["{used_eip}"]}, _NO_ALLOCATION),
    ],
    "DescribeAvailabilityZones": [_own(), _own(ZoneNames=["verbose"])],
    "DescribeImageAttribute": [
        Asked({"ImageId": "{own_image}", "Attribute": "description"}, _NO_IMAGE),
        Asked({"ImageId": "{public_image}", "Attribute": "launchPermission"}, "AuthFailure"),
    ],
    "DescribeImages": [
        _own(),
        _own(ImageIds=["verbose"]),
        Asked({"ImageIds": ["{own_image}"]}, _NO_IMAGE),
    ],
    "DescribeInstanceAttribute": [Asked({**_ID, "Attribute": "userData"}, _NO_INSTANCE)],
    "DescribeInstances": [_own(), _own(InstanceIds=["verbose"]), Asked(_IDS, _NO_INSTANCE)],
    "DescribeInstanceStatus": [
        _own(IncludeAllInstances=True),
        _own(InstanceIds=["verbose"]),
        Asked(_IDS, _NO_INSTANCE),
    ],
    "DescribeInstanceTypeOfferings": [_own()],
    "DescribeInstanceTypes": [_own()],
    "DescribeKeyPairs": [
        _own(),
        _own(KeyNames=["verbose"]),
        Asked({"KeyPairIds": ["{key}"]}, "InvalidKeyPair.NotFound"),
    ],
    "DescribeLaunchTemplates": [
        _own(),
        _own(LaunchTemplateIds=["verbose"]),
        Asked({"LaunchTemplateIds": ["{template}"]}, _NO_TEMPLATE),
    ],
    "DescribeLaunchTemplateVersions": [
        _own(Versions=["$Latest"]),
        Asked({"LaunchTemplateId": "{template}"}, _NO_TEMPLATE),
    ],
    "DescribeNetworkInterfaces": [
        _own(),
        Asked({"NetworkInterfaceIds": ["{eni}"]}, "InvalidNetworkInterfaceID.NotFound"),
    ],
    "DescribePlacementGroups": [
        _own(),
        _own(GroupNames=["verbose"]),
        Asked({"GroupIds": ["{apart}"]}, "InvalidPlacementGroup.Unknown"),
        Asked({"GroupNames": ["parts"]}, "InvalidPlacementGroup.Unknown"),
    ],
    "DescribeRegions": [_own()],
    "DescribeSecurityGroupRules": [
        _own(),
        Asked({"SecurityGroupRuleIds": ["{ingress_rule}"]}, "InvalidSecurityGroupRuleId.NotFound"),
    ],
    "DescribeSecurityGroups": [
        _own(),
        _own(GroupNames=["verbose"]),
        Asked({"GroupIds": ["{web_group}"]}, _NO_GROUP),
        Asked({"GroupNames": ["web"]}, _NO_GROUP),
    ],
    "DescribeSubnets": [
        _own(),
        Asked({"SubnetIds": ["{subnet}"]}, "InvalidSubnetID.NotFound"),
    ],
    "DescribeTags": [
        _own(),
        _own(Filters=[{"Name": "resource-id", "Values": ["{running}", "{public_image}"]}]),
    ],
    "DescribeVpcAttribute": [Asked({"VpcId": "{vpc}", "Attribute": "enableDnsSupport"}, _NO_VPC)],
    "DescribeVpcs": [_own(), Asked({"VpcIds": ["{vpc}"]}, _NO_VPC)],
    "DisassociateAddress": [
        Asked({"AssociationId": "{association}"}, "InvalidAssociationID.NotFound"),
        Asked({"PublicIp": "{used_ip}"}, "InvalidAddress.NotFound"),
    ],
    "GetCallerIdentity": [_own()],
    "GetConsoleOutput": [Asked(_ID, _NO_INSTANCE)],
    "GetPasswordData": [Asked(_ID, _NO_INSTANCE)],
    "GetSessionToken": [_own()],
    "GetUser": [_own(), Asked({"UserName": "bob"}, "NoSuchEntity")],
    "ImportKeyPair": [_own(KeyName="stranger", PublicKeyMaterial=PUBLIC_KEY)],
    "ListAccessKeys": [_own(), Asked({"UserName": "bob"}, "NoSuchEntity")],
    "ListAccountAliases": [_own()],
    "ListAccounts": [Asked({}, "AccessDenied")],
    "ListUsers": [_own()],
    "ModifyImageAttribute": [
        Asked({"ImageId": "{own_image}", "Description": {"Value": "x"}}, _NO_IMAGE),
        Asked(
            {"ImageId": "{public_image}", "LaunchPermission": {"Remove": [{"Group": "all"}]}},
            "AuthFailure",
        ),
    ],
    "ModifyInstanceAttribute": [
        Asked(
            {"InstanceId": "{protected}", "DisableApiTermination": {"Value": False}}, _NO_INSTANCE
        )
    ],
    "ModifyInstanceMetadataOptions": [Asked({**_ID, "HttpTokens": "optional"}, _NO_INSTANCE)],
    "ModifyLaunchTemplate": [
        Asked({"LaunchTemplateId": "{template}", "DefaultVersion": "2"}, _NO_TEMPLATE)
    ],
    "MonitorInstances": [Asked({"InstanceIds": ["{stopped}"]}, _NO_INSTANCE)],
    "RebootInstances": [Asked(_IDS, _NO_INSTANCE)],
    "RegisterImage": [Asked({"Name": "mine", "ImageLocation": "disks/web.img"}, "InvalidManifest")],
    "ReleaseAddress": [
        Asked({"AllocationId": "{free_eip}"}, _NO_ALLOCATION),
        Asked({"PublicIp": "{free_ip}"}, "InvalidAddress.NotFound"),
    ],
    "ResetImageAttribute": [
        Asked({"ImageId": "{own_image}", "Attribute": "launchPermission"}, _NO_IMAGE),
        Asked({"ImageId": "{shared_image}", "Attribute": "launchPermission"}, "AuthFailure"),
    ],
    "ResetInstanceAttribute": [Asked({**_ID, "Attribute": "kernel"}, _NO_INSTANCE)],
    "RevokeSecurityGroupEgress": [Asked(_RULE, _NO_GROUP)],
    "RevokeSecurityGroupIngress": [
        Asked({"GroupId": "{db_group}", "SecurityGroupRuleIds": ["{ingress_rule}"]}, _NO_GROUP),
        Asked(
            {"GroupName": "default", "SecurityGroupRuleIds": ["{ingress_rule}"]},
            "InvalidSecurityGroupRuleId.NotFound",
        ),
    ],
    "RunInstances": [
        Asked({"MinCount": 1, "MaxCount": 1, **parameters}, code)
        for parameters, code in (
            ({"ImageId": "{own_image}"}, _NO_IMAGE),
            ({"LaunchTemplate": {"LaunchTemplateId": "{template}"}}, _NO_TEMPLATE),
            ({"ImageId": "{public_image}", "SecurityGroupIds": ["{web_group}"]}, _NO_GROUP),
            ({"ImageId": "{public_image}", "SubnetId": "{subnet}"}, "InvalidSubnetID.NotFound"),
            (
                {"ImageId": "{public_image}", "Placement": {"GroupId": "{apart}"}},
                "InvalidPlacementGroup.Unknown",
            ),
            ({"ImageId": "{public_image}", "KeyName": "bob"}, "InvalidKeyPair.NotFound"),
        )
    ],
    "StartInstances": [Asked({"InstanceIds": ["{stopped}"]}, _NO_INSTANCE)],
    "StopInstances": [Asked(_IDS, _NO_INSTANCE)],
    "TerminateInstances": [Asked(_IDS, _NO_INSTANCE)],
    "UnmonitorInstances": [Asked(_IDS, _NO_INSTANCE)],
    "UpdateAccessKey": [
        Asked({"AccessKeyId": "{access_key}", "Status": "Inactive"}, "NoSuchEntity")
    ],
    "UpdateSecurityGroupRuleDescriptionsEgress": [Asked(_RULE, _NO_GROUP)],
    "UpdateSecurityGroupRuleDescriptionsIngress": [Asked(_RULE, _NO_GROUP)],
}
_VISIBLE = {"public_image", "shared_image", "eki", "eri"}
"""What others may see: images that are shared with them, and what those boot with."""


def test_a_stranger_sees_and_touches_nothing(things: Things) -> None:
    assert {name for _, name in ACTIONS} == {*BY_STRANGERS}
    before = everything(things)
    hidden = {value for name, value in things.ids.items() if name not in _VISIBLE}
    hidden -= {things.ids["fingerprint"]}  # that of a public key, which anybody may import
    for (service, name), _ in sorted(ACTIONS.items()):
        for asked in BY_STRANGERS[name]:
            _check(things, service, name, asked, hidden)
    assert everything(things) == before


def _check(things: Things, service: str, name: str, asked: Asked, hidden: set[str]) -> None:
    answer, code = things.outcome(name, asked.parameters, service=service, account=STRANGER)
    assert code == asked.code, f"{name} {asked.parameters}"
    shown = repr(answer)
    assert not [id_ for id_ in hidden if f"'{id_}'" in shown], f"{name}: {shown}"


def everything(things: Things) -> dict[str, Any]:
    """Return what the owner sees."""
    answers = {
        name: things.ask(name, {}, service=service) for service, name in ACTIONS if name in _OWNERS
    }
    for answer in answers.values():
        del answer["ResponseMetadata"]
    return answers


_OWNERS = (
    "DescribeAddresses",
    "DescribeImages",
    "DescribeInstances",
    "DescribeKeyPairs",
    "DescribeLaunchTemplates",
    "DescribeNetworkInterfaces",
    "DescribePlacementGroups",
    "DescribeSecurityGroupRules",
    "DescribeSecurityGroups",
    "DescribeSubnets",
    "DescribeTags",
    "DescribeVpcs",
    "ListUsers",
)


def test_a_shared_image_is_launched_but_not_changed(things: Things) -> None:
    for name in ("public_image", "shared_image"):
        [shown] = things.ask("DescribeImages", {"ImageIds": [f"{{{name}}}"]}, account=STRANGER)[
            "Images"
        ]
        assert shown["OwnerId"] == "000000000001"
        run = things.ask(
            "RunInstances",
            {"ImageId": f"{{{name}}}", "MinCount": 1, "MaxCount": 1},
            account=STRANGER,
        )
        assert run["OwnerId"] == STRANGER
        ids = [run["Instances"][0]["InstanceId"]]
        with pytest.raises(ClientError) as refused:
            things.ask("TerminateInstances", {"InstanceIds": ids})
        assert code_of(refused) == _NO_INSTANCE  # not even the administrator's without a word
        things.ask("TerminateInstances", {"InstanceIds": ids}, account=STRANGER)


def test_images_executable_by_oneself_are_those_that_others_share(things: Things) -> None:
    shared = things.ask("DescribeImages", {"ExecutableUsers": ["self"]}, account=STRANGER)
    assert [one["ImageId"] for one in shared["Images"]] == [things.ids["shared_image"]]
    public = things.ask("DescribeImages", {"ExecutableUsers": ["all"]}, account=STRANGER)
    assert [one["ImageId"] for one in public["Images"]] == [things.ids["public_image"]]


@pytest.fixture(scope="module")
def hers(things: Things) -> Mapping[str, str]:
    """What the stranger has of each kind that `verbose` shows, by the action that shows it."""
    ec2 = things.served.client(account=STRANGER)
    path = things.served.world.directory / "kernel"
    path.write_bytes(kernel_bytes())
    image = things.served.world.cloud.images.register_kernel(path, account=STRANGER)
    run = ec2.run_instances(ImageId=things.ids["public_image"], MinCount=1, MaxCount=1)
    things.served.world.settle()
    template = ec2.create_launch_template(
        LaunchTemplateName="hers", LaunchTemplateData={"KeyName": "x"}
    )
    placement = ec2.create_placement_group(GroupName="hers", Strategy="cluster")
    key = ec2.import_key_pair(KeyName="hers", PublicKeyMaterial=PUBLIC_KEY)
    instance = run["Instances"][0]["InstanceId"]
    interface = run["Instances"][0]["NetworkInterfaces"][0]
    rules = ec2.describe_security_group_rules()["SecurityGroupRules"]
    return {
        "DescribeAddresses": ec2.allocate_address()["AllocationId"],
        "DescribeImages": image.id,
        "DescribeInstances": instance,
        "DescribeInstanceStatus": instance,
        "DescribeKeyPairs": key["KeyPairId"],
        "DescribeLaunchTemplates": template["LaunchTemplate"]["LaunchTemplateId"],
        "DescribeNetworkInterfaces": interface["NetworkInterfaceId"],
        "DescribePlacementGroups": placement["PlacementGroup"]["GroupId"],
        "DescribeSecurityGroupRules": rules[0]["SecurityGroupRuleId"],
        "DescribeSecurityGroups": ec2.create_security_group(GroupName="hers", Description="x")[
            "GroupId"
        ],
        "DescribeSubnets": interface["SubnetId"],
        "DescribeVpcs": interface["VpcId"],
    }


VERBOSE = {
    "DescribeAddresses": ("PublicIps", "used_eip"),
    "DescribeImages": ("ImageIds", "own_image"),
    "DescribeInstances": ("InstanceIds", "running"),
    "DescribeInstanceStatus": ("InstanceIds", "running"),
    "DescribeKeyPairs": ("KeyNames", "key"),
    "DescribeLaunchTemplates": ("LaunchTemplateIds", "template"),
    "DescribeNetworkInterfaces": ("NetworkInterfaceIds", "eni"),
    "DescribePlacementGroups": ("GroupNames", "apart"),
    "DescribeSecurityGroupRules": ("SecurityGroupRuleIds", "ingress_rule"),
    "DescribeSecurityGroups": ("GroupNames", "web_group"),
    "DescribeSubnets": ("SubnetIds", "subnet"),
    "DescribeVpcs": ("VpcIds", "vpc"),
}


@pytest.mark.parametrize("action", VERBOSE)
def test_verbose_shows_all_accounts_to_the_administrator_alone(
    things: Things, hers: Mapping[str, str], action: str
) -> None:
    member, name = VERBOSE[action]
    plain = repr(things.ask(action, {}))
    verbose = repr(things.ask(action, {member: ["verbose"]}))
    strangers = repr(things.ask(action, {member: ["verbose"]}, account=STRANGER))
    assert things.ids[name] in plain
    assert hers[action] not in plain
    assert things.ids[name] in verbose
    assert hers[action] in verbose
    assert hers[action] in strangers
    assert things.ids[name] not in strangers


def test_verbose_with_an_id_finds_it_in_any_account(
    things: Things, hers: Mapping[str, str]
) -> None:
    instance = hers["DescribeInstances"]
    with pytest.raises(ClientError) as refused:
        things.ask("DescribeInstances", {"InstanceIds": [instance]})
    assert code_of(refused) == _NO_INSTANCE
    found = things.ask("DescribeInstances", {"InstanceIds": ["verbose", instance]})
    assert found["Reservations"][0]["OwnerId"] == STRANGER


def test_verbose_shows_the_room_of_zones_to_the_administrator_alone(things: Things) -> None:
    for account, rows in ((ADMIN_ACCOUNT, True), (STRANGER, False)):
        zones = things.ask(
            "DescribeAvailabilityZones", {"ZoneNames": ["verbose"]}, account=account
        )["AvailabilityZones"]
        names = [zone["ZoneName"] for zone in zones]
        assert ("|- m1.small" in names) == rows
        assert "cluster02" in names
