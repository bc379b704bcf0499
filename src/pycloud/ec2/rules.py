"""Rules of security groups: in permissions, as requests have them, and one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pycloud.aws.actions import Actions, Answer
from pycloud.aws.errors import AWSError
from pycloud.ec2.answers import picked, tag_set, tags_for
from pycloud.ec2.call import Call, check_ids
from pycloud.ec2.filters import Filter, chosen
from pycloud.ec2.pages import page, refuse_with_ids
from pycloud.ec2.security_groups import find_group
from pycloud.ec2.taken import EC2
from pycloud.errors import Duplicate, LimitExceeded
from pycloud.ids import AccountId, RuleId, SecurityGroupId
from pycloud.network.rules import Rule, StoredRule

actions = Actions("ec2", EC2)

_FILTERS = {"group-id": "GroupId", "security-group-rule-id": "SecurityGroupRuleId"}
_CODES = {
    Duplicate: "InvalidPermission.Duplicate",
    LimitExceeded: "RulesPerSecurityGroupLimitExceeded",
}

Permissions = Sequence[Mapping[str, Any]] | None


@actions.action("DescribeSecurityGroupRules")
def describe_security_group_rules(
    call: Call,
    *,
    security_group_rule_ids: Sequence[str] | None = None,
    filters: Sequence[Filter] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Answer:
    """One by one; those of all accounts for the administrator, with `verbose`."""
    account, ids = call.whose(security_group_rule_ids)
    check_ids(ids, ["sgr"], "InvalidSecurityGroupRuleId.Malformed")
    refuse_with_ids(ids, max_results)
    call.cloud.groups.ensure_default(account=call.account)
    with call.cloud.state.reading() as tx:
        owners = {one.id: one.account for one in call.cloud.groups.list(account=account)}
        rules = call.cloud.groups.rules(owners)
        tags = call.cloud.tags.of(tx, [stored.id for stored in rules])
    items = [
        _described(call, stored, owners[stored.group_id], tags.get(stored.id)) for stored in rules
    ]
    items = picked(items, "SecurityGroupRuleId", ids, "InvalidSecurityGroupRuleId.NotFound")
    items = chosen(items, filters, _FILTERS)
    shown, token = page(items, "SecurityGroupRuleId", max_results, next_token)
    return {"SecurityGroupRules": shown, "NextToken": token}


@actions.action("AuthorizeSecurityGroupIngress", codes=_CODES)
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


@actions.action("AuthorizeSecurityGroupEgress", codes=_CODES)
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
        group = find_group(call, group_id, group_name)
        added = call.cloud.groups.authorize(
            group.id, _rules(call, permissions), is_egress=is_egress, account=call.account
        )
        call.cloud.tags.put(tx, [stored.id for stored in added], tags, account=call.account)
    described = [_described(call, stored, call.account, tags) for stored in added]
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
            find_group(call, group_id, group_name).id,
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
        group = find_group(call, group_id, group_name)
        call.cloud.groups.describe_rules(
            group.id, _rules(call, permissions), is_egress=is_egress, account=call.account
        )
    return {"Return": True}


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
    source = find_group(call, pair.get("GroupId"), pair.get("GroupName"))
    if pair.get("VpcId") not in (None, source.vpc_id):
        raise AWSError("InvalidVpcID.NotFound", f"{source.id} is in {source.vpc_id}")
    return source.id


# Into an answer


def _described(
    call: Call, stored: StoredRule, owner: AccountId, tags: Mapping[str, str] | None
) -> dict[str, Any]:
    source = stored.rule.source_group_id
    arn = f"arn:aws:ec2:{call.cloud.region}:{owner}:security-group-rule/{stored.id}"
    return {
        "SecurityGroupRuleId": stored.id,
        "GroupId": stored.group_id,
        "GroupOwnerId": owner,
        "IsEgress": stored.is_egress,
        "IpProtocol": stored.rule.protocol,
        "FromPort": _port(stored.rule.from_port),
        "ToPort": _port(stored.rule.to_port),
        **_cidrs(stored.rule),
        "ReferencedGroupInfo": source and {"GroupId": source, "UserId": owner},
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
