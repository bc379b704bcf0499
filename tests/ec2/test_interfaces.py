"""Network interfaces: each instance's one."""

from __future__ import annotations

from typing import Any

from tests.ec2.conftest import Served
from tests.ec2.things import NOWHERE, Refusal, Things, by_name, tags

_ACTION = "DescribeNetworkInterfaces"
REFUSALS = [
    Refusal(_ACTION, {"NetworkInterfaceIds": ["eni"]}, "InvalidNetworkInterfaceId.Malformed"),
    Refusal(
        _ACTION,
        {"NetworkInterfaceIds": [f"eni-{NOWHERE}"]},
        "InvalidNetworkInterfaceID.NotFound",
    ),
    Refusal(
        _ACTION, {"NetworkInterfaceIds": ["{eni}"], "MaxResults": 5}, "InvalidParameterCombination"
    ),
    Refusal(_ACTION, {"MaxResults": 4}, "InvalidParameterValue"),
    Refusal(_ACTION, {"NextToken": "soon"}, "InvalidNextToken"),
    Refusal(_ACTION, {"Filters": [{"Name": "colour", "Values": ["x"]}]}, "InvalidParameterValue"),
]


@by_name(REFUSALS)
def test_refused(things: Things, refusal: Refusal) -> None:
    things.check(refusal)


def test_it_comes_and_goes_with_its_instance(served: Served, ec2: Any, image: str) -> None:
    run = ec2.run_instances(ImageId=image, MinCount=2, MaxCount=2)["Instances"]
    ids = [one["InstanceId"] for one in run]
    [first] = run[0]["NetworkInterfaces"]
    shown = ec2.describe_network_interfaces(NetworkInterfaceIds=[first["NetworkInterfaceId"]])
    [interface] = shown["NetworkInterfaces"]
    assert interface["Attachment"]["InstanceId"] == ids[0]
    assert interface["Attachment"]["InstanceOwnerId"] == "000000000001"
    assert interface["Association"]["IpOwnerId"] == "amazon"
    assert interface["Association"]["PublicIp"] == run[0]["PrivateIpAddress"]
    assert {key: interface[key] for key in ("Groups", "MacAddress", "SubnetId", "VpcId")} == {
        key: first[key] for key in ("Groups", "MacAddress", "SubnetId", "VpcId")
    }
    served.world.settle()
    ec2.stop_instances(InstanceIds=ids)
    ec2.terminate_instances(InstanceIds=ids[:1])
    served.world.settle()
    left = ec2.describe_network_interfaces()["NetworkInterfaces"]
    assert [one["Attachment"]["InstanceId"] for one in left] == ids[1:]


def test_an_elastic_address_is_told_with_its_ids(things: Things) -> None:
    shown = things.ask(_ACTION, {"NetworkInterfaceIds": ["{eni}"]})
    [interface] = shown["NetworkInterfaces"]
    association = {
        "AllocationId": things.ids["used_eip"],
        "AssociationId": things.ids["association"],
        "IpOwnerId": "000000000001",
        "PublicDnsName": things.ids["used_ip"],
        "PublicIp": things.ids["used_ip"],
    }
    assert interface["Association"] == association
    assert interface["PrivateIpAddresses"][0]["Association"] == association


def test_it_is_tagged_by_the_launch_until_its_instance_is_gone(
    served: Served, ec2: Any, image: str
) -> None:
    run = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, **tags("network-interface"))
    [instance] = run["Instances"]
    assert instance.get("Tags", []) == []
    by_tag = [{"Name": "tag:made", "Values": ["here"]}]
    [interface] = ec2.describe_network_interfaces(Filters=by_tag)["NetworkInterfaces"]
    assert interface["TagSet"] == [{"Key": "made", "Value": "here"}]
    ids = [interface["NetworkInterfaceId"]]
    assert len(ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": ids}])["Tags"]) == 1
    ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])
    served.world.settle()
    assert ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": ids}])["Tags"] == []
