"""Regions and availability zones."""

from __future__ import annotations

from typing import Any

from tests.ec2.things import Refusal, Things, by_name

_RED = [{"Name": "colour", "Values": ["red"]}]
REFUSALS = [
    Refusal("DescribeRegions", {"RegionNames": ["moon"]}, "InvalidParameterValue"),
    Refusal("DescribeRegions", {"Filters": _RED}, "InvalidParameterValue"),
    Refusal("DescribeAvailabilityZones", {"ZoneNames": ["moon"]}, "InvalidParameterValue"),
    Refusal("DescribeAvailabilityZones", {"ZoneIds": ["moon"]}, "InvalidParameterValue"),
    Refusal("DescribeAvailabilityZones", {"Filters": _RED}, "InvalidParameterValue"),
]


@by_name(REFUSALS)
def test_refused(things: Things, refusal: Refusal) -> None:
    things.check(refusal)


def test_the_one_region(api: Any) -> None:
    [region] = api.describe_regions(RegionNames=["pycloud"], AllRegions=True)["Regions"]
    assert region["RegionName"] == "pycloud"
    assert region["Endpoint"].startswith("127.0.0.1:")


def test_zones_by_name_and_id(api: Any) -> None:
    zones = api.describe_availability_zones(AllAvailabilityZones=True)["AvailabilityZones"]
    assert [zone["ZoneName"] for zone in zones] == ["cluster01", "cluster02"]
    for zone in zones:
        by_name_ = api.describe_availability_zones(ZoneNames=[zone["ZoneName"]])
        by_id = api.describe_availability_zones(ZoneIds=[zone["ZoneId"]])
        assert by_name_["AvailabilityZones"] == by_id["AvailabilityZones"] == [zone]


def test_the_room_of_one_zone(api: Any, emi: str) -> None:
    def rows() -> dict[str, str]:
        answer = api.describe_availability_zones(ZoneNames=["verbose", "cluster02"])
        return {zone["ZoneName"]: zone["State"] for zone in answer["AvailabilityZones"]}

    before = rows()
    assert [*before][:2] == ["cluster02", "|- vm types"]
    assert before["cluster02"].startswith("127.0.0.1 arn:euca:eucalyptus:cluster02:cluster:")
    free = int(before["|- m1.small"][:4])
    api.run_instances(
        ImageId=emi, MinCount=2, MaxCount=2, Placement={"AvailabilityZone": "cluster02"}
    )
    assert int(rows()["|- m1.small"][:4]) == free - 2
    assert rows()["|- m1.small"][4:] == before["|- m1.small"][4:]
