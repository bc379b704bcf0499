"""Security groups, as a whole; single rules are in `rules.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pycloud.aws.actions import Actions, Answer
from pycloud.aws.errors import AWSError
from pycloud.ec2.answers import picked, put_tags, tag_set, tags_for
from pycloud.ec2.call import Call, check_ids
from pycloud.ec2.filters import Filter, chosen
from pycloud.ec2.pages import page, refuse_with_ids
from pycloud.ec2.taken import EC2
from pycloud.ec2.vpcs import check_vpc
from pycloud.errors import Duplicate, InUse, InvalidValue, LimitExceeded
from pycloud.ids import SecurityGroupId
from pycloud.network.groups import SecurityGroup
from pycloud.network.rules import StoredRule

actions = Actions("ec2", EC2)

_FILTERS = {
    "description": "Description",
    "egress.ip-permission.cidr": "IpPermissionsEgress.IpRanges.CidrIp",
    "egress.ip-permission.from-port": "IpPermissionsEgress.FromPort",
    "egress.ip-permission.group-id": "IpPermissionsEgress.UserIdGroupPairs.GroupId",
    "egress.ip-permission.ipv6-cidr": "IpPermissionsEgress.Ipv6Ranges.CidrIpv6",
    "egress.ip-permission.protocol": "IpPermissionsEgress.IpProtocol",
    "egress.ip-permission.to-port": "IpPermissionsEgress.ToPort",
    "egress.ip-permission.user-id": "IpPermissionsEgress.UserIdGroupPairs.UserId",
    "group-id": "GroupId",
    "group-name": "GroupName",
    "ip-permission.cidr": "IpPermissions.IpRanges.CidrIp",
    "ip-permission.from-port": "IpPermissions.FromPort",
    "ip-permission.group-id": "IpPermissions.UserIdGroupPairs.GroupId",
    "ip-permission.ipv6-cidr": "IpPermissions.Ipv6Ranges.CidrIpv6",
    "ip-permission.protocol": "IpPermissions.IpProtocol",
    "ip-permission.to-port": "IpPermissions.ToPort",
    "ip-permission.user-id": "IpPermissions.UserIdGroupPairs.UserId",
    "owner-id": "OwnerId",
    "vpc-id": "VpcId",
}


def check_group_ids(ids: Sequence[str]) -> None:
    """Raise `AWSError` for what can't be a security group's id."""
    check_ids(ids, ["sg"], "InvalidGroupId.Malformed")


def group_ids(call: Call, ids: Sequence[str], names: Sequence[str]) -> list[SecurityGroupId]:
    """Return the ids of groups that a request names by id and by name. Raises `AWSError`."""
    check_group_ids(ids)
    return [
        *(SecurityGroupId(id_) for id_ in ids),
        *(_by_name(call, name).id for name in names),
    ]


@actions.action(
    "CreateSecurityGroup",
    codes={Duplicate: "InvalidGroup.Duplicate", LimitExceeded: "SecurityGroupLimitExceeded"},
)
def create_security_group(
    call: Call,
    *,
    group_name: str,
    description: str,
    vpc_id: str | None = None,
    tag_specifications: Sequence[Mapping[str, Any]] | None = None,
) -> Answer:
    """In the default VPC."""
    if vpc_id is not None:
        check_vpc(call, vpc_id)
    tags = tags_for("security-group", tag_specifications)
    with call.cloud.state.transaction() as tx:
        made = call.cloud.groups.create(group_name, description, account=call.account)
        put_tags(call, tx, made.id, tags)
    return {"GroupId": made.id, "Tags": tag_set(tags), "SecurityGroupArn": _arn(call, made)}


@actions.action(
    "DeleteSecurityGroup", codes={InUse: "DependencyViolation", InvalidValue: "CannotDelete"}
)
def delete_security_group(
    call: Call, *, group_id: str | None = None, group_name: str | None = None
) -> Answer:
    """Only one that nothing stands on."""
    with call.cloud.state.transaction() as tx:
        group = find_group(call, group_id, group_name)
        # Locked, also if it was named: a rule that came meanwhile would leave its tags behind.
        call.cloud.groups.find(tx, group.id, account=call.account)
        rules = call.cloud.groups.rules([group.id])
        call.cloud.groups.delete(group.id, account=call.account)
        call.cloud.tags.forget(tx, [group.id, *(stored.id for stored in rules)])
    return {"Return": True, "GroupId": group.id}


@actions.action("DescribeSecurityGroups")
def describe_security_groups(
    call: Call,
    *,
    group_ids: Sequence[str] | None = None,
    group_names: Sequence[str] | None = None,
    filters: Sequence[Filter] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Answer:
    """With their rules; those of all accounts for the administrator, with `verbose`."""
    account, names = call.whose(group_names)
    ids = group_ids or ()
    check_group_ids(ids)
    refuse_with_ids(ids, max_results)
    call.cloud.groups.ensure_default(account=call.account)
    with call.cloud.state.reading() as tx:
        found = call.cloud.groups.list(account=account)
        rules = _by_group(call.cloud.groups.rules([one.id for one in found]))
        tags = call.cloud.tags.of(tx, [one.id for one in found])
    items = [_described(call, one, rules.get(one.id, ()), tags.get(one.id)) for one in found]
    items = picked(items, "GroupId", ids, "InvalidGroup.NotFound")
    items = picked(items, "GroupName", names, "InvalidGroup.NotFound")
    items = chosen(items, filters, _FILTERS)
    shown, token = page(items, "GroupId", max_results, next_token)
    return {"SecurityGroups": shown, "NextToken": token}


def find_group(call: Call, id_: str | None, name: str | None) -> SecurityGroup:
    """Return the group that a request names by id or by name. Raises `NotFound`, `AWSError`."""
    if id_ is not None:
        check_group_ids([id_])
        with call.cloud.state.reading() as tx:
            found = call.cloud.groups.find(tx, SecurityGroupId(id_), account=call.account)
        if name not in (None, found.name):
            raise AWSError(
                "InvalidParameterCombination", f"{id_} is called {found.name!r}, not {name!r}"
            )
        return found
    if name is None:
        raise AWSError("MissingParameter", "The request must contain GroupId or GroupName")
    return _by_name(call, name)


def _by_name(call: Call, name: str) -> SecurityGroup:
    for group in call.cloud.groups.list(account=call.account):
        if group.name == name:
            return group
    raise AWSError("InvalidGroup.NotFound", f"The security group {name!r} does not exist")


def _described(
    call: Call,
    group: SecurityGroup,
    rules: Sequence[StoredRule],
    tags: Mapping[str, str] | None,
) -> dict[str, Any]:
    return {
        "GroupId": group.id,
        "GroupName": group.name,
        "Description": group.description,
        "OwnerId": group.account,
        "VpcId": group.vpc_id,
        "SecurityGroupArn": _arn(call, group),
        "IpPermissions": _permissions(group, [one for one in rules if not one.is_egress]),
        "IpPermissionsEgress": _permissions(group, [one for one in rules if one.is_egress]),
        "Tags": tag_set(tags),
    }


def _by_group(rules: Sequence[StoredRule]) -> dict[str, list[StoredRule]]:
    found: dict[str, list[StoredRule]] = {}
    for stored in rules:
        found.setdefault(stored.group_id, []).append(stored)
    return found


def _arn(call: Call, group: SecurityGroup) -> str:
    return f"arn:aws:ec2:{call.cloud.region}:{group.account}:security-group/{group.id}"


def _permissions(group: SecurityGroup, rules: Sequence[StoredRule]) -> list[dict[str, Any]]:
    """Return rules with the same protocol and ports as one permission each, as AWS shows them."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for stored in rules:
        rule = stored.rule
        what = (rule.protocol, rule.from_port, rule.to_port)
        empty: dict[str, Any] = {
            "IpProtocol": rule.protocol,
            "FromPort": rule.from_port,
            "ToPort": rule.to_port,
            "IpRanges": [],
            "Ipv6Ranges": [],
            "PrefixListIds": [],
            "UserIdGroupPairs": [],
        }
        permission = found.setdefault(what, empty)
        about = {"Description": rule.description or None}
        if rule.source_group_id is not None:
            pair = {"GroupId": rule.source_group_id, "UserId": group.account, **about}
            permission["UserIdGroupPairs"].append(pair)
        elif ":" in (rule.cidr or ""):
            permission["Ipv6Ranges"].append({"CidrIpv6": rule.cidr, **about})
        else:
            permission["IpRanges"].append({"CidrIp": rule.cidr, **about})
    return list(found.values())
