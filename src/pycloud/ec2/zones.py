"""Regions and availability zones; with `verbose`, how much room a zone has, as the Eucalyptus tools
print it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from pycloud.aws.actions import Actions, Answer
from pycloud.ec2.answers import picked
from pycloud.ec2.call import Call
from pycloud.ec2.filters import Filter, chosen
from pycloud.ec2.taken import EC2

actions = Actions("ec2", EC2)

_ZONE_FILTERS = {
    "group-name": "GroupName",
    "message": "Messages.Message",
    "opt-in-status": "OptInStatus",
    "region-name": "RegionName",
    "state": "State",
    "zone-id": "ZoneId",
    "zone-name": "ZoneName",
    "zone-type": "ZoneType",
}
_REGION_FILTERS = {
    "endpoint": "Endpoint",
    "opt-in-status": "OptInStatus",
    "region-name": "RegionName",
}
_NO_OPT_IN = "opt-in-not-required"


@actions.action("DescribeRegions", harmless={"AllRegions": "the one region needs no opting in"})
def describe_regions(
    call: Call,
    *,
    region_names: Sequence[str] | None = None,
    filters: Sequence[Filter] | None = None,
) -> Answer:
    """The cloud is one region."""
    region = {
        "RegionName": call.cloud.region,
        "Endpoint": urlsplit(call.endpoint).netloc,
        "OptInStatus": _NO_OPT_IN,
    }
    items = picked([region], "RegionName", region_names or (), "InvalidParameterValue")
    return {"Regions": chosen(items, filters, _REGION_FILTERS, tags_of=None)}


@actions.action(
    "DescribeAvailabilityZones",
    harmless={"AllAvailabilityZones": "no zone needs opting in"},
)
def describe_availability_zones(
    call: Call,
    *,
    zone_names: Sequence[str] | None = None,
    zone_ids: Sequence[str] | None = None,
    filters: Sequence[Filter] | None = None,
) -> Answer:
    """The administrator sees the room of each zone with `verbose`."""
    account, names = call.whose(zone_names)
    items = picked(_zones(call), "ZoneName", names, "InvalidParameterValue")
    items = picked(items, "ZoneId", zone_ids or (), "InvalidParameterValue")
    items = chosen(items, filters, _ZONE_FILTERS, tags_of=None)
    if account is None:
        items = [row for zone in items for row in _with_room(call, zone)]
    return {"AvailabilityZones": items}


def zone_ids(call: Call) -> dict[str, str]:
    """Return the ids of the zones by their names."""
    names = call.cloud.scheduler.zones()
    return {name: f"{call.cloud.region}-az{number}" for number, name in enumerate(names, 1)}


def _zones(call: Call) -> list[dict[str, Any]]:
    region = call.cloud.region
    return [
        {
            "ZoneName": name,
            "ZoneId": id_,
            "State": "available",
            "OptInStatus": _NO_OPT_IN,
            "RegionName": region,
            "GroupName": region,
            "NetworkBorderGroup": region,
            "ZoneType": "availability-zone",
            "Messages": [],
        }
        for name, id_ in zone_ids(call).items()
    ]


def _with_room(call: Call, zone: Any) -> Iterator[dict[str, Any]]:
    """Give rows that look like zones ("euca-describe-availability-zones", Eucalyptus command
    reference).
    """
    name, region = zone["ZoneName"], call.cloud.region
    host = urlsplit(call.endpoint).hostname
    yield {**zone, "State": f"{host} arn:euca:eucalyptus:{name}:cluster:{name}/"}
    yield _row("vm types", "free / max   cpu   ram  disk", region)
    kinds = call.cloud.types.list()
    capacity = call.cloud.capacity(zone=name)
    for kind in kinds:
        room = capacity[kind.name]
        text = (
            f"{room.free:04d} / {room.total:04d}  {kind.cpus:2d}   "
            f"{kind.memory_mib:4d}  {kind.disk_gib:4d}"
        )
        yield _row(kind.name, text, region)


def _row(name: str, text: str, region: str) -> dict[str, Any]:
    return {"ZoneName": f"|- {name}", "State": text, "RegionName": region, "Messages": []}
