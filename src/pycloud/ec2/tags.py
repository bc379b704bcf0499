"""Tags of whatever can be tagged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pycloud import limits
from pycloud.aws.actions import Actions, Answer
from pycloud.aws.errors import AWSError
from pycloud.ec2.answers import pairs
from pycloud.ec2.call import Call, check_ids
from pycloud.ec2.filters import Filter, chosen
from pycloud.ec2.pages import page
from pycloud.ec2.taken import EC2
from pycloud.errors import LimitExceeded, NotOwner
from pycloud.ids import ImageId, InstanceId, LaunchTemplateId, SecurityGroupId
from pycloud.network.records import interface_of
from pycloud.state.transaction import Transaction

actions = Actions("ec2", EC2)

_KINDS = {
    "ami": "image",
    "aki": "image",
    "ari": "image",
    "emi": "image",
    "eki": "image",
    "eri": "image",
    "eipalloc": "elastic-ip",
    "eni": "network-interface",
    "i": "instance",
    "key": "key-pair",
    "lt": "launch-template",
    "pg": "placement-group",
    "sg": "security-group",
    "sgr": "security-group-rule",
    "subnet": "subnet",
    "vpc": "vpc",
}
"""The kind of thing by the prefix of its id ("TagSpecification", EC2 API reference)."""
_FILTERS = {
    "key": "Key",
    "resource-id": "ResourceId",
    "resource-type": "ResourceType",
    "value": "Value",
}


@actions.action("CreateTags", codes={LimitExceeded: "TagLimitExceeded"})
def create_tags(
    call: Call, *, resources: Sequence[str], tags: Sequence[Mapping[str, Any]]
) -> Answer:
    """On all of the resources, or on none."""
    ids = _checked(resources)
    with call.cloud.state.transaction() as tx:
        for id_ in ids:
            _find(call, tx, id_)
        call.cloud.tags.put(tx, ids, pairs(tags), account=call.account)
    return None


@actions.action("DeleteTags")
def delete_tags(
    call: Call, *, resources: Sequence[str], tags: Sequence[Mapping[str, Any]] | None = None
) -> Answer:
    """By key, or by key and value; without tags, all of them."""
    ids = _checked(resources)
    wanted = None if tags is None else {tag.get("Key", ""): tag.get("Value") for tag in tags}
    with call.cloud.state.transaction() as tx:
        for id_ in ids:
            _find(call, tx, id_)
        call.cloud.tags.remove(tx, ids, wanted)
    return None


@actions.action("DescribeTags")
def describe_tags(
    call: Call,
    *,
    filters: Sequence[Filter] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Answer:
    """All of the account's tags."""
    with call.cloud.state.reading() as tx:
        found = call.cloud.tags.list(tx, account=call.account)
    items = [
        {
            "ResourceId": id_,
            "ResourceType": _KINDS.get(id_.partition("-")[0], "instance"),
            "Key": key,
            "Value": value,
        }
        for id_, key, value in found
    ]
    items = chosen(items, filters, _FILTERS, tags_of=lambda tag: [tag])
    shown, token = page(items, _place, max_results, next_token)
    return {"Tags": shown, "NextToken": token}


def _place(tag: Mapping[str, str]) -> str:
    return f"{tag['ResourceId']} {tag['Key']}"


def _checked(resources: Sequence[str]) -> list[str]:
    if not 1 <= len(resources) <= limits.TAGGED_AT_ONCE:
        raise AWSError(
            "InvalidParameterValue",
            f"Tags are given to 1 to {limits.TAGGED_AT_ONCE} resources at a time, not {len(resources)}",
        )
    check_ids(resources, list(_KINDS), "InvalidID")
    # They are locked in one order, so that no two who tag the same things wait for each other.
    return sorted({id_.lower() for id_ in resources})


def _find(call: Call, tx: Transaction, id_: str) -> None:
    """Raise `NotFound`, or `AWSError`, unless the caller's account has such a thing."""
    cloud, account = call.cloud, call.account
    prefix = id_.partition("-")[0]
    if prefix == "i":
        cloud.describe_instances([InstanceId(id_)], account=account)
    elif _KINDS[prefix] == "image":
        if cloud.images.get(ImageId(id_), account=account).account != account:
            raise NotOwner(f"{id_} belongs to another account, which alone may tag it")
    elif prefix == "sg":
        cloud.groups.find(tx, SecurityGroupId(id_), account=account)
    elif prefix == "lt":
        cloud.launch_templates.find(tx, LaunchTemplateId(id_), account=account)
    elif id_ not in _others(call, prefix):
        raise AWSError("InvalidID", f"The ID {id_!r} is not valid: there is nothing of that id")


def _others(call: Call, prefix: str) -> set[str]:
    """Return the ids of all things of the account that have this prefix."""
    cloud, account = call.cloud, call.account
    if prefix == "key":
        return {one.id for one in cloud.keypairs.list(account=account)}
    if prefix == "pg":
        return {one.id for one in cloud.placement_groups.list(account=account)}
    if prefix == "eipalloc":
        found = [] if cloud.elastic is None else cloud.elastic.list(account=account)
        return {one.id for one in found}
    if prefix == "eni":
        alive = [one.id for one in cloud.describe_instances(account=account) if one.address]
        return {interface_of(id_) for id_ in alive}
    if prefix == "sgr":
        groups = cloud.groups.list(account=account)
        return {stored.id for stored in cloud.groups.rules([one.id for one in groups])}
    vpc = cloud.vpcs.default(account=account)
    if prefix == "vpc":
        return {vpc.id}
    return {vpc.subnet(zone).id for zone in cloud.scheduler.zones()}
