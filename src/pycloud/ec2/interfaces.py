"""Network interfaces: each instance has one, which comes and goes with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pycloud.aws.actions import Actions, Answer
from pycloud.compute.records import Instance
from pycloud.ec2.answers import picked, tag_set
from pycloud.ec2.call import Call, check_ids
from pycloud.ec2.filters import Filter, chosen
from pycloud.ec2.pages import page, refuse_with_ids
from pycloud.ec2.surroundings import Surroundings
from pycloud.ec2.taken import EC2, NOT_MANAGED
from pycloud.network.records import interface_of, mac_of

actions = Actions("ec2", EC2)

_FILTERS = {
    "addresses.association.public-ip": "PrivateIpAddresses.Association.PublicIp",
    "addresses.primary": "PrivateIpAddresses.Primary",
    "addresses.private-ip-address": "PrivateIpAddresses.PrivateIpAddress",
    "association.allocation-id": "Association.AllocationId",
    "association.association-id": "Association.AssociationId",
    "association.ip-owner-id": "Association.IpOwnerId",
    "association.public-dns-name": "Association.PublicDnsName",
    "association.public-ip": "Association.PublicIp",
    "attachment.attach-time": "Attachment.AttachTime",
    "attachment.attachment-id": "Attachment.AttachmentId",
    "attachment.delete-on-termination": "Attachment.DeleteOnTermination",
    "attachment.device-index": "Attachment.DeviceIndex",
    "attachment.instance-id": "Attachment.InstanceId",
    "attachment.instance-owner-id": "Attachment.InstanceOwnerId",
    "attachment.status": "Attachment.Status",
    "availability-zone": "AvailabilityZone",
    "description": "Description",
    "group-id": "Groups.GroupId",
    "group-name": "Groups.GroupName",
    "interface-type": "InterfaceType",
    "mac-address": "MacAddress",
    "network-interface-id": "NetworkInterfaceId",
    "owner-id": "OwnerId",
    "private-dns-name": "PrivateDnsName",
    "private-ip-address": "PrivateIpAddress",
    "requester-managed": "RequesterManaged",
    "source-dest-check": "SourceDestCheck",
    "status": "Status",
    "subnet-id": "SubnetId",
    "vpc-id": "VpcId",
}


@actions.action("DescribeNetworkInterfaces", harmless={"IncludeManagedResources": NOT_MANAGED})
def describe_network_interfaces(
    call: Call,
    *,
    network_interface_ids: Sequence[str] | None = None,
    filters: Sequence[Filter] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Answer:
    """Of the instances that are not terminated; those of all accounts for the administrator, with
    `verbose`.
    """
    account, ids = call.whose(network_interface_ids)
    check_ids(ids, ["eni"], "InvalidNetworkInterfaceId.Malformed")
    refuse_with_ids(ids, max_results)
    with call.cloud.state.reading() as tx:
        found = call.cloud.describe_instances(account=account)
        around = Surroundings.of(call, tx, found)
        tags = call.cloud.tags.of(tx, [interface_of(one.id) for one in found])
        items = [item for one in found if (item := _described(call, one, around, tags))]
    items = picked(items, "NetworkInterfaceId", ids, "InvalidNetworkInterfaceID.NotFound")
    items = chosen(items, filters, _FILTERS)
    shown, token = page(items, "NetworkInterfaceId", max_results, next_token)
    # AWS has another word for the tags of these alone.
    told = [
        {key: one[key] for key in one if key != "Tags"} | {"TagSet": one["Tags"]} for one in shown
    ]
    return {"NetworkInterfaces": told, "NextToken": token}


def _described(
    call: Call, one: Instance, around: Surroundings, tags: Mapping[str, Mapping[str, str]]
) -> dict[str, Any] | None:
    interface = described_interface(call, one, around)
    if interface is None:
        return None
    association = _elastic_association(one, around)
    holder = {"InstanceId": one.id, "InstanceOwnerId": one.account}
    private = [{**each, "Association": association} for each in interface["PrivateIpAddresses"]]
    return {
        **interface,
        "Attachment": {**interface["Attachment"], **holder},
        "Association": association,
        "AvailabilityZone": one.zone,
        "PrivateIpAddresses": private,
        "RequesterManaged": False,
        "Tags": tag_set(tags.get(interface_of(one.id))),
    }


def described_interface(call: Call, one: Instance, around: Surroundings) -> dict[str, Any] | None:
    """Return an instance's interface as an answer has it; None without an address."""
    vpc = around.vpcs.get(one.account)
    if one.address is None or vpc is None:
        return None
    private = str(one.address)
    private_name = f"{one.hostname}.{call.cloud.domain}"
    association = _association(one, around)
    digits = one.id.partition("-")[2]
    return {
        "NetworkInterfaceId": interface_of(one.id),
        "Attachment": {
            "AttachmentId": f"eni-attach-{digits}",
            "DeviceIndex": 0,
            "NetworkCardIndex": 0,
            "Status": "attached",
            "AttachTime": one.launched_at,
            "DeleteOnTermination": True,
        },
        "Association": association,
        "Description": "",
        "Groups": around.groups_of(one),
        "Ipv6Addresses": [],
        "MacAddress": mac_of(one.address),
        "OwnerId": one.account,
        "PrivateDnsName": private_name,
        "PrivateIpAddress": private,
        "PrivateIpAddresses": [
            {
                "Primary": True,
                "PrivateDnsName": private_name,
                "PrivateIpAddress": private,
                "Association": association,
            }
        ],
        "SourceDestCheck": True,
        "Status": "in-use",
        "SubnetId": vpc.subnet(one.zone).id,
        "VpcId": vpc.id,
        "InterfaceType": "interface",
    }


def _association(one: Instance, around: Surroundings) -> dict[str, Any]:
    """Return the address at which others reach the interface. Without an elastic one that is its
    own, which AWS calls Amazon's.
    """
    elastic = around.elastic.get(one.id)
    address = str(one.address if elastic is None else elastic.address)
    owner = "amazon" if elastic is None else elastic.account
    return {"PublicIp": address, "PublicDnsName": address, "IpOwnerId": owner}


def _elastic_association(one: Instance, around: Surroundings) -> dict[str, Any]:
    """Return what DescribeNetworkInterfaces tells besides."""
    elastic = around.elastic.get(one.id)
    if elastic is None:
        return _association(one, around)
    ids = {"AllocationId": elastic.id, "AssociationId": elastic.association_id}
    return _association(one, around) | ids
