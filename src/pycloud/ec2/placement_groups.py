"""Placement groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pycloud.aws.actions import Actions, Answer
from pycloud.aws.errors import AWSError
from pycloud.compute.records import PlacementGroup
from pycloud.ec2.answers import picked, put_tags, tag_set, tags_for
from pycloud.ec2.call import Call, check_ids
from pycloud.ec2.filters import Filter, chosen
from pycloud.ec2.taken import EC2
from pycloud.errors import Duplicate, InUse

actions = Actions("ec2", EC2)

_FILTERS = {
    "group-arn": "GroupArn",
    "group-name": "GroupName",
    "spread-level": "SpreadLevel",
    "state": "State",
    "strategy": "Strategy",
}


@actions.action("CreatePlacementGroup", codes={Duplicate: "InvalidPlacementGroup.Duplicate"})
def create_placement_group(
    call: Call,
    *,
    group_name: str | None = None,
    strategy: str = "cluster",
    partition_count: int | None = None,
    spread_level: str = "rack",
    tag_specifications: Sequence[Mapping[str, Any]] | None = None,
) -> Answer:
    """A spread group keeps its instances on nodes of their own: a node stands for AWS's rack."""
    if group_name is None:
        raise AWSError("MissingParameter", "The request must contain the parameter GroupName")
    if spread_level != "rack":
        raise AWSError(
            "InvalidParameterValue", f"SpreadLevel {spread_level} is for Outposts; here it is rack"
        )
    tags = tags_for("placement-group", tag_specifications)
    with call.cloud.state.transaction() as tx:
        group = call.cloud.placement_groups.create(
            group_name, strategy, partitions=partition_count, account=call.account
        )
        put_tags(call, tx, group.id, tags)
    return {"PlacementGroup": _described(call, group, tags)}


@actions.action("DeletePlacementGroup", codes={InUse: "InvalidPlacementGroup.InUse"})
def delete_placement_group(call: Call, *, group_name: str) -> Answer:
    """Only an empty one."""
    with call.cloud.state.transaction() as tx:
        group = call.cloud.placement_groups.find(tx, group_name, account=call.account)
        call.cloud.placement_groups.delete(group_name, account=call.account)
        call.cloud.tags.forget(tx, [group.id])
    return None


@actions.action("DescribePlacementGroups")
def describe_placement_groups(
    call: Call,
    *,
    group_names: Sequence[str] | None = None,
    group_ids: Sequence[str] | None = None,
    filters: Sequence[Filter] | None = None,
) -> Answer:
    """By name; other accounts' too for the administrator, with `verbose`."""
    account, names = call.whose(group_names)
    ids = list(group_ids or ())
    check_ids(ids, ["pg"], "InvalidPlacementGroupId.Malformed")
    with call.cloud.state.reading() as tx:
        found = call.cloud.placement_groups.list(account=account)
        tags = call.cloud.tags.of(tx, [one.id for one in found])
    items = [_described(call, one, tags.get(one.id)) for one in found]
    items = picked(items, "GroupName", names, "InvalidPlacementGroup.Unknown")
    items = picked(items, "GroupId", ids, "InvalidPlacementGroup.Unknown")
    return {"PlacementGroups": chosen(items, filters, _FILTERS)}


def _described(call: Call, group: PlacementGroup, tags: Mapping[str, str] | None) -> dict[str, Any]:
    arn = f"arn:aws:ec2:{call.cloud.region}:{group.account}:placement-group/{group.name}"
    return {
        "GroupName": group.name,
        "State": "available",
        "Strategy": str(group.strategy),
        "PartitionCount": group.partitions,
        "GroupId": group.id,
        "GroupArn": arn,
        "SpreadLevel": "rack" if group.strategy == "spread" else None,
        "Tags": tag_set(tags),
    }
