"""Security groups and their rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pycloud.aws.actions import Actions, Answer
from pycloud.aws.errors import AWSError
from pycloud.ec2.answers import picked, put_tags, tag_set, tags_for
from pycloud.ec2.call import Call, check_ids
from pycloud.ec2.filters import Filter, chosen
from pycloud.ec2.pages import page, refuse_with_ids
from pycloud.ec2.taken import EC2
from pycloud.errors import Duplicate, InUse, InvalidValue, LimitExceeded
from pycloud.ids import RuleId, SecurityGroupId
from pycloud.network.groups import SecurityGroup
from pycloud.network.rules import Rule, StoredRule

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
_RULE_FILTERS = {"group-id": "GroupId", "security-group-rule-id": "SecurityGroupRuleId"}
_RULE_CODES = {
    Duplicate: "InvalidPermission.Duplicate",
    LimitExceeded: "RulesPerSecurityGroupLimitExceeded",
}

Permissions = Sequence[Mapping[str, Any]] | None


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
        check_ids([vpc_id], ["vpc"], "InvalidVpcID.Malformed")
        if vpc_id != call.cloud.vpcs.default(account=call.account).id:
            raise AWSError("InvalidVpcID.NotFound", f"The vpc ID {vpc_id!r} does not exist")
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
        group = _find(call, group_id, group_name)
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


@actions.action("DescribeSecurityGroupRules")
def describe_security_group_rules(
    call: Call,
    *,
    security_group_rule_ids: Sequence[str] | None = None,
    filters: Sequence[Filter] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Answer:
    """One by one."""
    ids = security_group_rule_ids or ()
    check_ids(ids, ["sgr"], "InvalidSecurityGroupRuleId.Malformed")
    refuse_with_ids(ids, max_results)
    call.cloud.groups.ensure_default(account=call.account)
    with call.cloud.state.reading() as tx:
        found = call.cloud.groups.list(account=call.account)
        rules = call.cloud.groups.rules([one.id for one in found])
        tags = call.cloud.tags.of(tx, [stored.id for stored in rules])
    items = [_rule_described(call, stored, tags.get(stored.id)) for stored in rules]
    items = picked(items, "SecurityGroupRuleId", ids, "InvalidSecurityGroupRuleId.NotFound")
    items = chosen(items, filters, _RULE_FILTERS)
    shown, token = page(items, "SecurityGroupRuleId", max_results, next_token)
    return {"SecurityGroupRules": shown, "NextToken": token}


@actions.action("AuthorizeSecurityGroupIngress", codes=_RULE_CODES)
def authorize_security_group_ingress(
    call: Call,
    *,
    group_id: str | None = None,
    group_name: str | None = None,
    ip_permissions: Permissions = None,
    ip_protocol: str | None = None,
    from_port: int | None = None,
    to_port: int | None = None,
    cidr_ip: str | None = None,
    source_security_group_name: str | None = None,
    source_security_group_owner_id: str | None = None,
    tag_specifications: Sequence[Mapping[str, Any]] | None = None,
) -> Answer:
    """In today's form, or with one rule's values at the top, as old tools send it."""
    permissions = _asked(
        ip_permissions,
        ip_protocol,
        from_port,
        to_port,
        cidr_ip,
        source_security_group_name,
        source_security_group_owner_id,
    )
    tags = tags_for("security-group-rule", tag_specifications)
    return _authorize(call, group_id, group_name, permissions, tags, is_egress=False)


@actions.action("AuthorizeSecurityGroupEgress", codes=_RULE_CODES)
def authorize_security_group_egress(
    call: Call,
    *,
    group_id: str,
    ip_permissions: Permissions = None,
    ip_protocol: str | None = None,
    from_port: int | None = None,
    to_port: int | None = None,
    cidr_ip: str | None = None,
    tag_specifications: Sequence[Mapping[str, Any]] | None = None,
) -> Answer:
    """In today's form, or with one rule's values at the top."""
    permissions = _asked(ip_permissions, ip_protocol, from_port, to_port, cidr_ip, None, None)
    tags = tags_for("security-group-rule", tag_specifications)
    return _authorize(call, group_id, None, permissions, tags, is_egress=True)


@actions.action("RevokeSecurityGroupIngress")
def revoke_security_group_ingress(
    call: Call,
    *,
    group_id: str | None = None,
    group_name: str | None = None,
    ip_permissions: Permissions = None,
    security_group_rule_ids: Sequence[str] | None = None,
    ip_protocol: str | None = None,
    from_port: int | None = None,
    to_port: int | None = None,
    cidr_ip: str | None = None,
    source_security_group_name: str | None = None,
    source_security_group_owner_id: str | None = None,
) -> Answer:
    """By what the rules are, or by their ids."""
    permissions = _asked(
        ip_permissions,
        ip_protocol,
        from_port,
        to_port,
        cidr_ip,
        source_security_group_name,
        source_security_group_owner_id,
    )
    rules = (permissions, security_group_rule_ids)
    return _revoke(call, group_id, group_name, *rules, is_egress=False)


@actions.action("RevokeSecurityGroupEgress")
def revoke_security_group_egress(
    call: Call,
    *,
    group_id: str,
    ip_permissions: Permissions = None,
    security_group_rule_ids: Sequence[str] | None = None,
    ip_protocol: str | None = None,
    from_port: int | None = None,
    to_port: int | None = None,
    cidr_ip: str | None = None,
) -> Answer:
    """By what the rules are, or by their ids."""
    permissions = _asked(ip_permissions, ip_protocol, from_port, to_port, cidr_ip, None, None)
    rules = (permissions, security_group_rule_ids)
    return _revoke(call, group_id, None, *rules, is_egress=True)


@actions.action("UpdateSecurityGroupRuleDescriptionsIngress")
def update_security_group_rule_descriptions_ingress(
    call: Call,
    *,
    group_id: str | None = None,
    group_name: str | None = None,
    ip_permissions: Permissions = None,
) -> Answer:
    """Of rules that are there."""
    return _redescribe(call, group_id, group_name, ip_permissions, is_egress=False)


@actions.action("UpdateSecurityGroupRuleDescriptionsEgress")
def update_security_group_rule_descriptions_egress(
    call: Call,
    *,
    group_id: str | None = None,
    group_name: str | None = None,
    ip_permissions: Permissions = None,
) -> Answer:
    """Of rules that are there."""
    return _redescribe(call, group_id, group_name, ip_permissions, is_egress=True)


# From a request


def _authorize(
    call: Call,
    group_id: str | None,
    group_name: str | None,
    permissions: Permissions,
    tags: Mapping[str, str],
    *,
    is_egress: bool,
) -> Answer:
    with call.cloud.state.transaction() as tx:
        group = _find(call, group_id, group_name)
        added = call.cloud.groups.authorize(
            group.id, _rules(call, permissions), is_egress=is_egress, account=call.account
        )
        call.cloud.tags.put(tx, [stored.id for stored in added], tags, account=call.account)
    described = [_rule_described(call, stored, tags) for stored in added]
    return {"Return": True, "SecurityGroupRules": described}


def _revoke(
    call: Call,
    group_id: str | None,
    group_name: str | None,
    permissions: Permissions,
    ids: Sequence[str] | None,
    *,
    is_egress: bool,
) -> Answer:
    check_ids(ids or (), ["sgr"], "InvalidSecurityGroupRuleId.Malformed")
    with call.cloud.state.transaction() as tx:
        gone = call.cloud.groups.revoke(
            _find(call, group_id, group_name).id,
            [] if ids and not permissions else _rules(call, permissions),
            ids=[RuleId(id_) for id_ in ids or ()],
            is_egress=is_egress,
            account=call.account,
        )
        call.cloud.tags.forget(tx, [stored.id for stored in gone])
    return {
        "Return": True,
        "UnknownIpPermissions": [],
        "RevokedSecurityGroupRules": [_revoked(stored) for stored in gone],
    }


def _redescribe(
    call: Call,
    group_id: str | None,
    group_name: str | None,
    permissions: Permissions,
    *,
    is_egress: bool,
) -> Answer:
    with call.cloud.state.transaction():
        group = _find(call, group_id, group_name)
        call.cloud.groups.describe_rules(
            group.id, _rules(call, permissions), is_egress=is_egress, account=call.account
        )
    return {"Return": True}


def _find(call: Call, id_: str | None, name: str | None) -> SecurityGroup:
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


def _asked(
    permissions: Permissions,
    protocol: str | None,
    from_port: int | None,
    to_port: int | None,
    cidr: str | None,
    source_name: str | None,
    source_owner: str | None,
) -> Permissions:
    """Return the permissions of a request, or the one that it has in the form of old tools. Raises
    `AWSError` for both at once, and for half a one.
    """
    if {protocol, from_port, to_port, cidr, source_name, source_owner} == {None}:
        return permissions
    if permissions:
        raise AWSError(
            "InvalidParameterCombination",
            "The parameter IpPermissions may not be used in combination with a rule beside it",
        )
    if protocol is None and source_name is None:
        raise AWSError("MissingParameter", "The request must contain the parameter IpProtocol")
    permission: dict[str, Any] = {
        "IpProtocol": protocol or "-1",
        "FromPort": from_port,
        "ToPort": to_port,
    }
    if cidr is not None:
        permission["IpRanges"] = [{"CidrIp": cidr}]
    if source_name is not None:
        pair = {"GroupName": source_name}
        if source_owner is not None:
            pair["UserId"] = source_owner
        permission["UserIdGroupPairs"] = [pair]
    return [permission]


def _rules(call: Call, permissions: Permissions) -> list[Rule]:
    if not permissions:
        raise AWSError("MissingParameter", "The request must contain the parameter IpPermissions")
    return [rule for permission in permissions for rule in _rules_of(call, permission)]


def _rules_of(call: Call, permission: Mapping[str, Any]) -> Iterator[Rule]:
    """Give a permission's rules: one for each of its peers."""
    protocol = permission.get("IpProtocol")
    if protocol is None:
        raise AWSError("MissingParameter", "The request must contain the parameter IpProtocol")
    what = (protocol, permission.get("FromPort"), permission.get("ToPort"))
    peers = 0
    for member, key in (("IpRanges", "CidrIp"), ("Ipv6Ranges", "CidrIpv6")):
        for one in permission.get(member) or ():
            peers += 1
            yield Rule(*what, cidr=one.get(key) or "", description=one.get("Description", ""))
    for pair in permission.get("UserIdGroupPairs") or ():
        peers += 1
        source = _source(call, pair)
        yield Rule(*what, source_group_id=source, description=pair.get("Description", ""))
    if not peers:
        raise AWSError("MissingParameter", "A permission names CIDRs or groups")


def _source(call: Call, pair: Mapping[str, Any]) -> SecurityGroupId:
    if pair.get("UserId") not in (None, call.account):
        raise AWSError(
            "InvalidGroup.NotFound", f"No group of account {pair['UserId']} is shared with this one"
        )
    source = _find(call, pair.get("GroupId"), pair.get("GroupName"))
    if pair.get("VpcId") not in (None, source.vpc_id):
        raise AWSError("InvalidVpcID.NotFound", f"{source.id} is in {source.vpc_id}")
    return source.id


# Into an answer


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


def _rule_described(
    call: Call, stored: StoredRule, tags: Mapping[str, str] | None
) -> dict[str, Any]:
    source = stored.rule.source_group_id
    arn = f"arn:aws:ec2:{call.cloud.region}:{call.account}:security-group-rule/{stored.id}"
    return {
        "SecurityGroupRuleId": stored.id,
        "GroupId": stored.group_id,
        "GroupOwnerId": call.account,
        "IsEgress": stored.is_egress,
        "IpProtocol": stored.rule.protocol,
        "FromPort": _port(stored.rule.from_port),
        "ToPort": _port(stored.rule.to_port),
        **_cidrs(stored.rule),
        "ReferencedGroupInfo": source and {"GroupId": source, "UserId": call.account},
        "Description": stored.rule.description or None,
        "SecurityGroupRuleArn": arn,
        "Tags": tag_set(tags),
    }


def _revoked(stored: StoredRule) -> dict[str, Any]:
    return {
        "SecurityGroupRuleId": stored.id,
        "GroupId": stored.group_id,
        "IsEgress": stored.is_egress,
        "IpProtocol": stored.rule.protocol,
        "FromPort": _port(stored.rule.from_port),
        "ToPort": _port(stored.rule.to_port),
        **_cidrs(stored.rule),
        "ReferencedGroupId": stored.rule.source_group_id,
        "Description": stored.rule.description or None,
    }


def _port(port: int | None) -> int:
    """Rules by themselves have -1 where permissions leave the port out."""
    return -1 if port is None else port


def _cidrs(rule: Rule) -> dict[str, str | None]:
    is_v6 = ":" in (rule.cidr or "")
    return {"CidrIpv4": None if is_v6 else rule.cidr, "CidrIpv6": rule.cidr if is_v6 else None}
