"""Security groups and their rules."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.ec2.conftest import Served
from tests.ec2.things import HTTPS, NOWHERE, Refusal, Things, by_name, code_of, tags

_RED = [{"Name": "colour", "Values": ["red"]}]
_EVERYTHING = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
_NEW = {"IpPermissions": [{**HTTPS, "FromPort": 80, "ToPort": 80}]}
_WAYS = ("Ingress", "Egress")
_MANY_TAGS = [{"Key": f"k{n}"} for n in range(51)]
_DB = {"GroupId": "{db_group}"}


def _rule(**changes: Any) -> list[dict[str, Any]]:
    return [{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, **changes}]


_CIDR = {"IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
_RULES: list[tuple[list[dict[str, Any]], str]] = [
    (_rule(), "MissingParameter"),
    ([{"IpRanges": [{"CidrIp": "10.0.0.0/8"}]}], "MissingParameter"),
    (_rule(IpRanges=[{"CidrIp": "10.0.0.0/33"}]), "InvalidParameterValue"),
    (_rule(Ipv6Ranges=[{"CidrIpv6": "x"}]), "InvalidParameterValue"),
    (_rule(IpProtocol="carrier-pigeon", **_CIDR), "InvalidParameterValue"),
    (_rule(FromPort=2, **_CIDR), "InvalidParameterValue"),
    (_rule(ToPort=65536, **_CIDR), "InvalidParameterValue"),
    ([{"IpProtocol": "tcp", **_CIDR}], "InvalidParameterValue"),
    ([{"IpProtocol": "icmp", "FromPort": 256, "ToPort": 0, **_CIDR}], "InvalidParameterValue"),
    (_rule(UserIdGroupPairs=[{"GroupId": "web"}]), "InvalidGroupId.Malformed"),
    (_rule(UserIdGroupPairs=[{"GroupId": f"sg-{NOWHERE}"}]), "InvalidGroup.NotFound"),
    (_rule(UserIdGroupPairs=[{"GroupName": "nobodys"}]), "InvalidGroup.NotFound"),
    (
        _rule(UserIdGroupPairs=[{"GroupId": "{web_group}", "UserId": "111122223333"}]),
        "InvalidGroup.NotFound",
    ),
    (
        _rule(UserIdGroupPairs=[{"GroupId": "{web_group}", "VpcId": f"vpc-{NOWHERE}"}]),
        "InvalidVpcID.NotFound",
    ),
    (_rule(UserIdGroupPairs=[{"UserId": "000000000001"}]), "MissingParameter"),
    (_rule(PrefixListIds=[{"PrefixListId": "pl-12345678"}]), "UnsupportedOperation"),
]
"""Rules that can't be, whatever is done with them."""
_BY_RULES = [f"{verb}SecurityGroup{way}" for verb in ("Authorize", "Revoke") for way in _WAYS]
_DESCRIPTIONS = [f"UpdateSecurityGroupRuleDescriptions{way}" for way in _WAYS]
REFUSALS = [
    Refusal("CreateSecurityGroup", {"Description": "x"}, "MissingParameter"),
    Refusal("CreateSecurityGroup", {"GroupName": "x"}, "MissingParameter"),
    *(
        Refusal("CreateSecurityGroup", {"GroupName": "x", "Description": "x", **asked}, code)
        for asked, code in (
            ({"GroupName": "web"}, "InvalidGroup.Duplicate"),
            ({"GroupName": "default"}, "InvalidParameterValue"),
            ({"GroupName": "sg-web"}, "InvalidParameterValue"),
            ({"GroupName": "x" * 256}, "InvalidParameterValue"),
            ({"Description": "x" * 256}, "InvalidParameterValue"),
            ({"VpcId": "vpc"}, "InvalidVpcID.Malformed"),
            ({"VpcId": f"vpc-{NOWHERE}"}, "InvalidVpcID.NotFound"),
            (
                {"TagSpecifications": [{"ResourceType": "security-group", "Tags": _MANY_TAGS}]},
                "TagLimitExceeded",
            ),
        )
    ),
    Refusal("DeleteSecurityGroup", {"GroupName": "default"}, "CannotDelete"),
    Refusal("DeleteSecurityGroup", {"GroupId": "{web_group}"}, "DependencyViolation"),
    *(
        Refusal(action, {**others, **group}, code)
        for action, others in (
            ("DeleteSecurityGroup", {}),
            *((action, _NEW) for action in (*_BY_RULES, *_DESCRIPTIONS)),
        )
        for group, code in (
            ({}, "MissingParameter"),
            ({"GroupId": "web"}, "InvalidGroupId.Malformed"),
            ({"GroupId": f"sg-{NOWHERE}"}, "InvalidGroup.NotFound"),
            ({"GroupName": "nobodys"}, "InvalidGroup.NotFound"),
        )
        # Those of egress take an id alone.
        if "GroupName" not in group or not action.endswith("SecurityGroupEgress")
    ),
    *(Refusal(action, _DB, "MissingParameter") for action in (*_BY_RULES, *_DESCRIPTIONS)),
    *(
        Refusal(action, {**_DB, **asked, "CidrIp": "10.0.0.0/8"}, code)
        for action in _BY_RULES
        for asked, code in ((_NEW, "InvalidParameterCombination"), ({}, "MissingParameter"))
    ),
    *(
        Refusal(action, {**_DB, "GroupName": "web", **others}, "InvalidParameterCombination")
        for action, others in (
            ("DeleteSecurityGroup", {}),
            ("AuthorizeSecurityGroupIngress", _NEW),
            ("RevokeSecurityGroupIngress", _NEW),
        )
    ),
    *(
        Refusal(action, {**_DB, "IpPermissions": rules}, code)
        for action in (*_BY_RULES, *_DESCRIPTIONS)
        for rules, code in _RULES
    ),
    *(
        Refusal(f"AuthorizeSecurityGroup{way}", {**_DB, **asked}, code)
        for way in _WAYS
        for asked, code in (
            ({"IpPermissions": [HTTPS]}, "InvalidPermission.Duplicate"),
            ({"IpPermissions": _rule(**_CIDR) * 2}, "InvalidParameterValue"),
            (
                {"IpPermissions": [_rule(FromPort=n, ToPort=n, **_CIDR)[0] for n in range(61)]},
                "RulesPerSecurityGroupLimitExceeded",
            ),
            (
                {
                    **_NEW,
                    "TagSpecifications": [
                        {"ResourceType": "security-group-rule", "Tags": _MANY_TAGS}
                    ],
                },
                "TagLimitExceeded",
            ),
        )
    ),
    *(
        Refusal(f"RevokeSecurityGroup{way}", {**_DB, **asked}, code)
        for way in _WAYS
        for asked, code in (
            (_NEW, "InvalidPermission.NotFound"),
            ({"SecurityGroupRuleIds": ["sgr"]}, "InvalidSecurityGroupRuleId.Malformed"),
            (
                {"SecurityGroupRuleIds": [f"sgr-{NOWHERE}"]},
                "InvalidSecurityGroupRuleId.NotFound",
            ),
        )
    ),
    *(Refusal(action, {**_DB, **_NEW}, "InvalidPermission.NotFound") for action in _DESCRIPTIONS),
    Refusal("DescribeSecurityGroups", {"GroupIds": ["web"]}, "InvalidGroupId.Malformed"),
    Refusal("DescribeSecurityGroups", {"GroupIds": [f"sg-{NOWHERE}"]}, "InvalidGroup.NotFound"),
    Refusal("DescribeSecurityGroups", {"GroupNames": ["web", "x"]}, "InvalidGroup.NotFound"),
    Refusal(
        "DescribeSecurityGroupRules",
        {"SecurityGroupRuleIds": ["web"]},
        "InvalidSecurityGroupRuleId.Malformed",
    ),
    Refusal(
        "DescribeSecurityGroupRules",
        {"SecurityGroupRuleIds": [f"sgr-{NOWHERE}"]},
        "InvalidSecurityGroupRuleId.NotFound",
    ),
    *(
        Refusal(action, asked, code)
        for action, ids in (
            ("DescribeSecurityGroups", {"GroupIds": ["{web_group}"]}),
            ("DescribeSecurityGroupRules", {"SecurityGroupRuleIds": ["{ingress_rule}"]}),
        )
        for asked, code in (
            ({**ids, "MaxResults": 5}, "InvalidParameterCombination"),
            ({"MaxResults": 1001}, "InvalidParameterValue"),
            ({"NextToken": "soon"}, "InvalidNextToken"),
            ({"Filters": _RED}, "InvalidParameterValue"),
        )
    ),
]


@by_name(REFUSALS)
def test_refused(things: Things, refusal: Refusal) -> None:
    things.check(refusal)


def test_no_refusal_has_changed_anything(things: Things) -> None:
    rules = things.ask("DescribeSecurityGroupRules", {"Filters": [_group_filter("{db_group}")]})
    # One each way for two CIDRs and a group, and what every group lets out.
    assert len(rules["SecurityGroupRules"]) == 7


def _group_filter(id_: str) -> dict[str, Any]:
    return {"Name": "group-id", "Values": [id_]}


def _shown(api: Any, id_: str) -> dict[str, Any]:
    [shown] = api.describe_security_groups(GroupIds=[id_])["SecurityGroups"]
    return dict(shown)


@pytest.fixture
def group(api: Any, request: pytest.FixtureRequest) -> str:
    made = api.create_security_group(GroupName=request.node.name, Description="of a test")
    return str(made["GroupId"])


def test_made_and_deleted(api: Any) -> None:
    vpc = api.describe_vpcs()["Vpcs"][0]["VpcId"]
    made = api.create_security_group(
        GroupName="g", Description="x", VpcId=vpc, **tags("security-group")
    )
    shown = _shown(api, made["GroupId"])
    assert (shown["GroupName"], shown["Description"], shown["VpcId"]) == ("g", "x", vpc)
    assert shown["Tags"] == made["Tags"] == [{"Key": "made", "Value": "here"}]
    assert shown["SecurityGroupArn"] == made["SecurityGroupArn"]
    assert shown["IpPermissions"] == []
    assert shown["IpPermissionsEgress"][0]["IpRanges"] == [{"CidrIp": "0.0.0.0/0"}]
    by_filter = api.describe_security_groups(
        Filters=[{"Name": "group-name", "Values": ["g"]}, {"Name": "vpc-id", "Values": [vpc]}]
    )
    assert by_filter["SecurityGroups"] == [shown]
    assert api.delete_security_group(GroupName="g")["GroupId"] == made["GroupId"]
    with pytest.raises(ClientError) as refused:
        _shown(api, made["GroupId"])
    assert code_of(refused) == "InvalidGroup.NotFound"


def test_the_default_group_lets_its_own_in(served: Served, ec2: Any) -> None:
    [default] = ec2.describe_security_groups()["SecurityGroups"]
    assert default["GroupName"] == "default"
    [inside] = default["IpPermissions"]
    assert [pair["GroupId"] for pair in inside["UserIdGroupPairs"]] == [default["GroupId"]]
    assert len(ec2.describe_security_group_rules()["SecurityGroupRules"]) == 2


@pytest.mark.parametrize("way", ["ingress", "egress"])
def test_a_rule_comes_is_described_and_goes(api: Any, group: str, way: str) -> None:
    member = "IpPermissions" if way == "ingress" else "IpPermissionsEgress"
    before = _shown(api, group)[member]
    made = getattr(api, f"authorize_security_group_{way}")(
        GroupId=group, IpPermissions=[HTTPS], **tags("security-group-rule")
    )["SecurityGroupRules"]
    assert [one["IsEgress"] for one in made] == [way == "egress"] * 2
    assert {one.get("CidrIpv4") or one["CidrIpv6"] for one in made} == {"0.0.0.0/0", "::/0"}
    assert made[0]["Tags"] == [{"Key": "made", "Value": "here"}]
    ids = [one["SecurityGroupRuleId"] for one in made]
    told = api.describe_security_group_rules(SecurityGroupRuleIds=ids)["SecurityGroupRules"]
    assert sorted(told, key=repr) == sorted(made, key=repr)
    [permission] = [one for one in _shown(api, group)[member] if one not in before]
    assert {key: permission[key] for key in HTTPS} == HTTPS
    changed = {**HTTPS, "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "anybody"}]}
    getattr(api, f"update_security_group_rule_descriptions_{way}")(
        GroupId=group, IpPermissions=[changed]
    )
    [permission] = [one for one in _shown(api, group)[member] if one not in before]
    assert permission["IpRanges"] == changed["IpRanges"]
    gone = getattr(api, f"revoke_security_group_{way}")(GroupId=group, IpPermissions=[HTTPS])
    assert {one["SecurityGroupRuleId"] for one in gone["RevokedSecurityGroupRules"]} == {*ids}
    assert gone["UnknownIpPermissions"] == []
    assert _shown(api, group)[member] == before
    filters = [{"Name": "resource-id", "Values": ids}]
    assert api.describe_tags(Filters=filters)["Tags"] == []


@pytest.mark.parametrize("way", ["ingress", "egress"])
def test_a_rule_goes_by_its_id(api: Any, group: str, way: str) -> None:
    made = getattr(api, f"authorize_security_group_{way}")(GroupId=group, IpPermissions=[HTTPS])
    first, second = made["SecurityGroupRules"]
    getattr(api, f"revoke_security_group_{way}")(
        GroupId=group, SecurityGroupRuleIds=[first["SecurityGroupRuleId"]]
    )
    left = api.describe_security_group_rules(Filters=[_group_filter(group)])["SecurityGroupRules"]
    ids = [one["SecurityGroupRuleId"] for one in left]
    assert second["SecurityGroupRuleId"] in ids
    assert first["SecurityGroupRuleId"] not in ids


def test_as_old_tools_send_it(api: Any) -> None:
    api.create_security_group(GroupName="old", Description="x")
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": "10.0.0.1/8"}
    api.authorize_security_group_ingress(GroupName="old", **ssh)
    source = {"SourceSecurityGroupName": "old", "SourceSecurityGroupOwnerId": "000000000001"}
    api.authorize_security_group_ingress(GroupName="old", **source)
    [old] = api.describe_security_groups(GroupNames=["old"])["SecurityGroups"]
    by_protocol = {one["IpProtocol"]: one for one in old["IpPermissions"]}
    assert by_protocol["tcp"]["IpRanges"] == [{"CidrIp": "10.0.0.0/8"}]
    assert by_protocol["-1"]["UserIdGroupPairs"][0]["GroupId"] == old["GroupId"]
    api.revoke_security_group_ingress(GroupName="old", **ssh)
    api.revoke_security_group_ingress(GroupName="old", **source)
    everything = {"IpProtocol": "-1", "CidrIp": "0.0.0.0/0"}
    api.revoke_security_group_egress(GroupId=old["GroupId"], **everything)
    [old] = api.describe_security_groups(GroupNames=["old"])["SecurityGroups"]
    assert old["IpPermissions"] == old["IpPermissionsEgress"] == []
    api.authorize_security_group_egress(GroupId=old["GroupId"], **everything)
    assert _shown(api, old["GroupId"])["IpPermissionsEgress"][0]["IpProtocol"] == "-1"


def test_a_group_that_others_name_is_kept(api: Any, group: str) -> None:
    other = api.create_security_group(GroupName="other", Description="x")["GroupId"]
    rule = _rule(UserIdGroupPairs=[{"GroupId": other, "UserId": "000000000001"}])
    api.authorize_security_group_ingress(GroupId=group, IpPermissions=rule)
    with pytest.raises(ClientError) as refused:
        api.delete_security_group(GroupId=other)
    assert code_of(refused) == "DependencyViolation"
    assert group in str(refused.value)
    api.delete_security_group(GroupId=group)
    api.delete_security_group(GroupId=other)


def test_a_group_goes_with_its_rules_and_their_tags(api: Any, group: str) -> None:
    made = api.authorize_security_group_ingress(
        GroupId=group, IpPermissions=[HTTPS], **tags("security-group-rule")
    )["SecurityGroupRules"]
    ids = [one["SecurityGroupRuleId"] for one in made]
    api.delete_security_group(GroupId=group)
    filters = [{"Name": "resource-id", "Values": ids}]
    assert api.describe_tags(Filters=filters)["Tags"] == []
    rules = api.describe_security_group_rules(Filters=[_group_filter(group)])
    assert rules["SecurityGroupRules"] == []


def test_a_group_has_sixty_rules_each_way(api: Any, group: str) -> None:
    many = [_rule(FromPort=n, ToPort=n, **_CIDR)[0] for n in range(60)]
    api.authorize_security_group_ingress(GroupId=group, IpPermissions=many)
    with pytest.raises(ClientError) as refused:
        api.authorize_security_group_ingress(GroupId=group, IpPermissions=[HTTPS])
    assert code_of(refused) == "RulesPerSecurityGroupLimitExceeded"


def test_an_account_has_so_many_groups(
    served: Served, ec2: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ec2.create_security_group(GroupName="one", Description="x")
    monkeypatch.setattr("pycloud.limits.GROUPS_PER_ACCOUNT", 1)
    with pytest.raises(ClientError) as refused:
        ec2.create_security_group(GroupName="too-many", Description="x")
    assert code_of(refused) == "SecurityGroupLimitExceeded"
