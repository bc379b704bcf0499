"""Elastic addresses."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.ec2.conftest import Served, counted_statements
from tests.ec2.things import NOWHERE, Refusal, Things, by_name, code_of, tags

_FREE = {"AllocationId": "{free_eip}"}
_NO_ALLOCATION = "InvalidAllocationID.NotFound"
_MANY_TAGS = [{"ResourceType": "elastic-ip", "Tags": [{"Key": f"k{n}"} for n in range(51)]}]


def _associate(code: str, **asked: Any) -> Refusal:
    return Refusal("AssociateAddress", asked, code)


REFUSALS = [
    Refusal("AllocateAddress", {"Address": "203.0.113.9"}, "UnsupportedOperation"),
    Refusal("AllocateAddress", {"Domain": "moon"}, "InvalidParameterValue"),
    Refusal("AllocateAddress", {"TagSpecifications": _MANY_TAGS}, "TagLimitExceeded"),
    Refusal("DescribeAddresses", {"PublicIps": ["203.0.113.9"]}, "InvalidAddress.NotFound"),
    Refusal("DescribeAddresses", {"AllocationIds": [f"eipalloc-{NOWHERE}"]}, _NO_ALLOCATION),
    Refusal("DescribeAddresses", {"AllocationIds": ["eip"]}, _NO_ALLOCATION),
    Refusal(
        "DescribeAddresses",
        {"Filters": [{"Name": "colour", "Values": ["red"]}]},
        "InvalidParameterValue",
    ),
    Refusal(
        "DescribeAddressesAttribute", {"AllocationIds": [f"eipalloc-{NOWHERE}"]}, _NO_ALLOCATION
    ),
    Refusal("DescribeAddressesAttribute", {"AllocationIds": ["eip"]}, _NO_ALLOCATION),
    Refusal("DescribeAddressesAttribute", {"Attribute": "colour"}, "InvalidParameterValue"),
    Refusal("DescribeAddressesAttribute", {"MaxResults": 1001}, "InvalidParameterValue"),
    Refusal("DescribeAddressesAttribute", {"NextToken": "soon"}, "InvalidNextToken"),
    _associate("MissingParameter", **_FREE),
    _associate("MissingParameter", InstanceId="{running}"),
    _associate(
        "InvalidParameterCombination", **_FREE, PublicIp="{free_ip}", InstanceId="{running}"
    ),
    _associate(_NO_ALLOCATION, AllocationId=f"eipalloc-{NOWHERE}", InstanceId="{running}"),
    _associate("InvalidAddress.NotFound", PublicIp="203.0.113.9", InstanceId="{running}"),
    _associate("InvalidInstanceID.Malformed", **_FREE, InstanceId="web"),
    _associate("InvalidInstanceID.NotFound", **_FREE, InstanceId=f"i-{NOWHERE}"),
    _associate("InvalidNetworkInterfaceId.Malformed", **_FREE, NetworkInterfaceId="eni"),
    _associate("InvalidNetworkInterfaceID.NotFound", **_FREE, NetworkInterfaceId=f"eni-{NOWHERE}"),
    _associate("IncorrectInstanceState", **_FREE, InstanceId="{terminated}"),
    _associate(
        "InvalidParameterValue", **_FREE, InstanceId="{running}", PrivateIpAddress="10.11.0.99"
    ),
    _associate("Resource.AlreadyAssociated", AllocationId="{used_eip}", InstanceId="{stopped}"),
    _associate(
        "Resource.AlreadyAssociated",
        PublicIp="{used_ip}",
        InstanceId="{stopped}",
        AllowReassociation=False,
    ),
    Refusal("DisassociateAddress", {}, "MissingParameter"),
    Refusal("DisassociateAddress", {"PublicIp": "203.0.113.9"}, "InvalidAddress.NotFound"),
    Refusal(
        "DisassociateAddress",
        {"AssociationId": f"eipassoc-{NOWHERE}"},
        "InvalidAssociationID.NotFound",
    ),
    Refusal("ReleaseAddress", {}, "MissingParameter"),
    Refusal("ReleaseAddress", {**_FREE, "PublicIp": "{free_ip}"}, "InvalidParameterCombination"),
    Refusal("ReleaseAddress", {"AllocationId": f"eipalloc-{NOWHERE}"}, _NO_ALLOCATION),
    Refusal("ReleaseAddress", {"PublicIp": "203.0.113.9"}, "InvalidAddress.NotFound"),
    Refusal("ReleaseAddress", {"AllocationId": "{used_eip}"}, "InvalidIPAddress.InUse"),
]


@by_name(REFUSALS)
def test_refused(things: Things, refusal: Refusal) -> None:
    before = things.ask("DescribeAddresses", {})["Addresses"]
    things.check(refusal)
    assert things.ask("DescribeAddresses", {})["Addresses"] == before


@pytest.fixture
def running(served: Served, ec2: Any, image: str) -> list[dict[str, Any]]:
    run = ec2.run_instances(ImageId=image, MinCount=2, MaxCount=2)
    served.world.settle()
    return list(run["Instances"])


def _where(ec2: Any) -> dict[str, str]:
    return {one["PublicIp"]: one["InstanceId"] for one in ec2.describe_addresses()["Addresses"]}


def test_from_the_allocation_to_the_release(ec2: Any, running: list[dict[str, Any]]) -> None:
    made = ec2.allocate_address(Domain="vpc", **tags("elastic-ip"))
    allocation = {"AllocationId": made["AllocationId"]}
    [shown] = ec2.describe_addresses(AllocationIds=[made["AllocationId"]])["Addresses"]
    assert shown["PublicIp"] == made["PublicIp"]
    assert shown["Tags"] == [{"Key": "made", "Value": "here"}]
    assert shown["InstanceId"] == ""
    first, second = running
    told = ec2.associate_address(InstanceId=first["InstanceId"], **allocation)
    [shown] = ec2.describe_addresses(PublicIps=[made["PublicIp"]])["Addresses"]
    assert shown["AssociationId"] == told["AssociationId"]
    assert shown["PrivateIpAddress"] == first["PrivateIpAddress"]
    seen = ec2.describe_instances(InstanceIds=[first["InstanceId"]])["Reservations"][0]["Instances"]
    assert seen[0]["PublicIpAddress"] == made["PublicIp"]
    again = ec2.associate_address(InstanceId=first["InstanceId"], **allocation)
    assert again["AssociationId"] == told["AssociationId"]
    moved = ec2.associate_address(
        NetworkInterfaceId=second["NetworkInterfaces"][0]["NetworkInterfaceId"],
        PrivateIpAddress=second["PrivateIpAddress"],
        AllowReassociation=True,
        **allocation,
    )
    assert _where(ec2) == {made["PublicIp"]: second["InstanceId"]}
    ec2.disassociate_address(AssociationId=moved["AssociationId"])
    assert _where(ec2) == {made["PublicIp"]: ""}
    ec2.release_address(**allocation)
    assert _where(ec2) == {}


def test_as_old_tools_do_it(ec2: Any, running: list[dict[str, Any]]) -> None:
    address = {"PublicIp": ec2.allocate_address()["PublicIp"]}
    for one in running:
        ec2.associate_address(InstanceId=one["InstanceId"], **address)
    assert _where(ec2) == {address["PublicIp"]: running[1]["InstanceId"]}
    ec2.disassociate_address(**address)
    ec2.disassociate_address(**address)
    ec2.release_address(**address)
    assert _where(ec2) == {}


def test_an_instance_has_one(ec2: Any, running: list[dict[str, Any]]) -> None:
    ids = [ec2.allocate_address()["AllocationId"] for _ in range(2)]
    for id_ in ids:
        ec2.associate_address(AllocationId=id_, InstanceId=running[0]["InstanceId"])
    found = ec2.describe_addresses()["Addresses"]
    assert sorted(one["InstanceId"] for one in found) == ["", running[0]["InstanceId"]]


def test_it_leads_nowhere_when_the_instance_is_gone(
    served: Served, ec2: Any, running: list[dict[str, Any]]
) -> None:
    made = ec2.allocate_address()
    ec2.associate_address(AllocationId=made["AllocationId"], InstanceId=running[0]["InstanceId"])
    ec2.terminate_instances(InstanceIds=[running[0]["InstanceId"]])
    assert _where(ec2) == {made["PublicIp"]: running[0]["InstanceId"]}
    served.world.settle()
    assert _where(ec2) == {made["PublicIp"]: ""}


def test_when_there_are_no_more(ec2: Any) -> None:
    for _ in range(11):  # of a /28, without five
        ec2.allocate_address()
    with pytest.raises(ClientError) as refused:
        ec2.allocate_address()
    assert code_of(refused) == "InsufficientAddressCapacity"


def test_an_account_has_so_many(ec2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pycloud.limits.ELASTIC_ADDRESSES", 1)
    ec2.allocate_address()
    with pytest.raises(ClientError) as refused:
        ec2.allocate_address()
    assert code_of(refused) == "AddressLimitExceeded"


def test_a_cloud_without_public_addresses(served: Served, ec2: Any) -> None:
    served.world.cloud.elastic = None
    assert ec2.describe_addresses()["Addresses"] == []
    with pytest.raises(ClientError) as refused:
        ec2.allocate_address()
    assert code_of(refused) == "InsufficientAddressCapacity"
    with pytest.raises(ClientError) as refused:
        ec2.release_address(AllocationId=f"eipalloc-{NOWHERE}")
    assert code_of(refused) == "InvalidAllocationID.NotFound"


def test_no_address_leads_back_to_a_name(things: Things) -> None:
    told = things.ask(
        "DescribeAddressesAttribute",
        {"AllocationIds": ["{free_eip}"], "Attribute": "domain-name"},
    )
    assert told["Addresses"] == [
        {"AllocationId": things.ids["free_eip"], "PublicIp": things.ids["free_ip"]}
    ]


def test_describing_many_reads_no_more_often(served: Served, ec2: Any, image: str) -> None:
    run = ec2.run_instances(ImageId=image, MinCount=8, MaxCount=8)["Instances"]
    counts = []
    for number, one in enumerate(run, 1):
        made = ec2.allocate_address()
        ec2.associate_address(AllocationId=made["AllocationId"], InstanceId=one["InstanceId"])
        if number in (1, 8):
            with counted_statements(served) as statements:
                ec2.describe_addresses()
            counts.append(len(statements))
    assert counts[0] == counts[1]
