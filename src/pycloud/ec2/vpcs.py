"""The default VPC, its subnets, and what else tools look for beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pycloud.aws.actions import Actions, Answer
from pycloud.aws.errors import AWSError
from pycloud.ec2.answers import picked, tag_set
from pycloud.ec2.call import Call, check_ids
from pycloud.ec2.filters import Filter, chosen
from pycloud.ec2.pages import page, refuse_with_ids
from pycloud.ec2.taken import EC2
from pycloud.ids import AccountId
from pycloud.network.vpcs import VPC, Subnet

actions = Actions("ec2", EC2)

_VPC_FILTERS = {
    "cidr": "CidrBlock",
    "cidr-block-association.association-id": "CidrBlockAssociationSet.AssociationId",
    "cidr-block-association.cidr-block": "CidrBlockAssociationSet.CidrBlock",
    "cidr-block-association.state": "CidrBlockAssociationSet.CidrBlockState.State",
    "dhcp-options-id": "DhcpOptionsId",
    "is-default": "IsDefault",
    "isDefault": "IsDefault",
    "owner-id": "OwnerId",
    "state": "State",
    "vpc-id": "VpcId",
}
_SUBNET_FILTERS = {
    "availability-zone": "AvailabilityZone",
    "availabilityZone": "AvailabilityZone",
    "available-ip-address-count": "AvailableIpAddressCount",
    "cidr": "CidrBlock",
    "cidr-block": "CidrBlock",
    "cidrBlock": "CidrBlock",
    "default-for-az": "DefaultForAz",
    "defaultForAz": "DefaultForAz",
    "map-public-ip-on-launch": "MapPublicIpOnLaunch",
    "owner-id": "OwnerId",
    "state": "State",
    "subnet-arn": "SubnetArn",
    "subnet-id": "SubnetId",
    "vpc-id": "VpcId",
}


def default_vpc(call: Call) -> VPC:
    """Return the caller's VPC."""
    return call.cloud.vpcs.default(account=call.account)


def check_vpc(call: Call, vpc_id: str) -> None:
    """Raise `AWSError` unless this is the caller's VPC."""
    check_ids([vpc_id], ["vpc"], "InvalidVpcID.Malformed")
    if default_vpc(call).id != vpc_id:
        raise AWSError("InvalidVpcID.NotFound", f"The vpc ID {vpc_id!r} does not exist")


def zone_of_subnet(call: Call, subnet_id: str) -> str:
    """Return the zone in which a subnet is. Raises `AWSError`."""
    check_ids([subnet_id], ["subnet"], "InvalidSubnetID.Malformed")
    for subnet in _subnets(call, call.account):
        if subnet.id == subnet_id:
            return subnet.zone
    raise AWSError("InvalidSubnetID.NotFound", f"The subnet ID {subnet_id!r} does not exist")


@actions.action("DescribeVpcs")
def describe_vpcs(
    call: Call,
    *,
    vpc_ids: Sequence[str] | None = None,
    filters: Sequence[Filter] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Answer:
    """The default one; those of all accounts for the administrator, with `verbose`."""
    account, ids = call.whose(vpc_ids)
    check_ids(ids, ["vpc"], "InvalidVpcID.Malformed")
    refuse_with_ids(ids, max_results)
    found = _vpcs(call, account)
    with call.cloud.state.reading() as tx:
        tags = call.cloud.tags.of(tx, [one.id for one in found])
    items = [_vpc(one, tags.get(one.id)) for one in found]
    items = picked(items, "VpcId", ids, "InvalidVpcID.NotFound")
    items = chosen(items, filters, _VPC_FILTERS)
    shown, token = page(items, "VpcId", max_results, next_token)
    return {"Vpcs": shown, "NextToken": token}


@actions.action("DescribeVpcAttribute")
def describe_vpc_attribute(call: Call, *, vpc_id: str, attribute: str) -> Answer:
    """Guests have names and a name server."""
    check_vpc(call, vpc_id)
    values = {
        "enableDnsSupport": ("EnableDnsSupport", True),
        "enableDnsHostnames": ("EnableDnsHostnames", True),
        "enableNetworkAddressUsageMetrics": ("EnableNetworkAddressUsageMetrics", False),
    }
    member, value = values[attribute]
    return {"VpcId": vpc_id, member: {"Value": value}}


@actions.action("DescribeSubnets")
def describe_subnets(
    call: Call,
    *,
    subnet_ids: Sequence[str] | None = None,
    filters: Sequence[Filter] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Answer:
    """The default one of each zone; those of all accounts for the administrator, with `verbose`."""
    account, ids = call.whose(subnet_ids)
    check_ids(ids, ["subnet"], "InvalidSubnetID.Malformed")
    refuse_with_ids(ids, max_results)
    found = _subnets(call, account)
    with call.cloud.state.reading() as tx:
        tags = call.cloud.tags.of(tx, [one.id for one in found])
        free = call.cloud.addresses.size - len(call.cloud.addresses.held())
    items = [_subnet(call, one, tags.get(one.id), free) for one in found]
    items = picked(items, "SubnetId", ids, "InvalidSubnetID.NotFound")
    items = chosen(items, filters, _SUBNET_FILTERS)
    shown, token = page(items, "SubnetId", max_results, next_token)
    return {"Subnets": shown, "NextToken": token}


def _vpcs(call: Call, account: AccountId | None) -> list[VPC]:
    own = default_vpc(call)  # it is made when it is first looked for
    return [own] if account is not None else call.cloud.vpcs.list(account=None)


def _subnets(call: Call, account: AccountId | None) -> list[Subnet]:
    zones = call.cloud.scheduler.zones()
    return [vpc.subnet(zone) for vpc in _vpcs(call, account) for zone in zones]


def _vpc(one: VPC, tags: Mapping[str, str] | None) -> dict[str, Any]:
    return {
        "VpcId": one.id,
        "OwnerId": one.account,
        "State": "available",
        "CidrBlock": one.cidr,
        "CidrBlockAssociationSet": [
            {
                "AssociationId": f"vpc-cidr-assoc-{one.id[4:]}",
                "CidrBlock": one.cidr,
                "CidrBlockState": {"State": "associated"},
            }
        ],
        "Ipv6CidrBlockAssociationSet": [],
        "DhcpOptionsId": "default",
        "InstanceTenancy": "default",
        "IsDefault": True,
        "Tags": tag_set(tags),
    }


def _subnet(call: Call, one: Subnet, tags: Mapping[str, str] | None, free: int) -> dict[str, Any]:
    region = call.cloud.region
    return {
        "SubnetId": one.id,
        "VpcId": one.vpc_id,
        "OwnerId": one.account,
        "State": "available",
        "CidrBlock": one.cidr,
        "AvailableIpAddressCount": free,
        "AvailabilityZone": one.zone,
        "DefaultForAz": True,
        "MapPublicIpOnLaunch": True,
        "AssignIpv6AddressOnCreation": False,
        "Ipv6CidrBlockAssociationSet": [],
        "Tags": tag_set(tags),
        "SubnetArn": f"arn:aws:ec2:{region}:{one.account}:subnet/{one.id}",
    }
