"""Elastic addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pycloud.aws.actions import Actions, Answer
from pycloud.aws.errors import AWSError
from pycloud.compute.records import Instance
from pycloud.ec2.answers import picked, put_tags, tag_set, tags_for
from pycloud.ec2.call import Call, check_ids, check_one_of
from pycloud.ec2.filters import Filter, chosen
from pycloud.ec2.instances import check_instance_ids
from pycloud.ec2.pages import page
from pycloud.ec2.taken import EC2
from pycloud.errors import InUse, LimitExceeded, NoAddress, NotFound
from pycloud.ids import AccountId, AllocationId, InstanceId
from pycloud.network.elastic import ElasticAddress, ElasticAddresses
from pycloud.network.records import interface_of
from pycloud.state.transaction import Transaction

actions = Actions("ec2", EC2)

_FILTERS = {
    "allocation-id": "AllocationId",
    "association-id": "AssociationId",
    "domain": "Domain",
    "instance-id": "InstanceId",
    "network-border-group": "NetworkBorderGroup",
    "network-interface-id": "NetworkInterfaceId",
    "network-interface-owner-id": "NetworkInterfaceOwnerId",
    "private-ip-address": "PrivateIpAddress",
    "public-ip": "PublicIp",
}


@actions.action(
    "AllocateAddress",
    codes={NoAddress: "InsufficientAddressCapacity", LimitExceeded: "AddressLimitExceeded"},
    harmless={"Domain": "every address is of the VPC"},
)
def allocate_address(
    call: Call, *, tag_specifications: Sequence[Mapping[str, Any]] | None = None
) -> Answer:
    """Out of the cloud's public addresses."""
    tags = tags_for("elastic-ip", tag_specifications)
    with call.cloud.state.transaction() as tx:
        made = _store(call).allocate(account=call.account)
        put_tags(call, tx, made.id, tags)
    return {
        "PublicIp": str(made.address),
        "AllocationId": made.id,
        "Domain": "vpc",
        "PublicIpv4Pool": "amazon",
        "NetworkBorderGroup": call.cloud.region,
    }


@actions.action("DescribeAddresses")
def describe_addresses(
    call: Call,
    *,
    public_ips: Sequence[str] | None = None,
    allocation_ids: Sequence[str] | None = None,
    filters: Sequence[Filter] | None = None,
) -> Answer:
    """Of the account; those of all accounts for the administrator, with `verbose`."""
    account, addresses = call.whose(public_ips)
    ids = allocation_ids or ()
    check_ids(ids, ["eipalloc"], "InvalidAllocationID.NotFound")
    with call.cloud.state.reading() as tx:
        found = _list(call, account)
        tags = call.cloud.tags.of(tx, [one.id for one in found])
        holders = call.cloud.instances.find(
            tx, [one.instance_id for one in found if one.instance_id is not None]
        )
    private = {holder.id: str(holder.address) for holder in holders}
    items = [_described(call, one, tags.get(one.id), private) for one in found]
    items = picked(items, "PublicIp", addresses, "InvalidAddress.NotFound")
    items = picked(items, "AllocationId", ids, "InvalidAllocationID.NotFound")
    return {"Addresses": chosen(items, filters, _FILTERS)}


@actions.action(
    "DescribeAddressesAttribute", harmless={"Attribute": "domain-name is the one that there is"}
)
def describe_addresses_attribute(
    call: Call,
    *,
    allocation_ids: Sequence[str] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Answer:
    """The one attribute is the name that an address leads back to, and no address has one here.
    Terraform asks for it.
    """
    ids = allocation_ids or ()
    check_ids(ids, ["eipalloc"], "InvalidAllocationID.NotFound")
    found = _list(call, call.account)
    items = [{"PublicIp": str(one.address), "AllocationId": one.id} for one in found]
    items = picked(items, "AllocationId", ids, "InvalidAllocationID.NotFound")
    shown, token = page(items, "AllocationId", max_results, next_token, least=1)
    return {"Addresses": shown, "NextToken": token}


@actions.action("AssociateAddress", codes={InUse: "Resource.AlreadyAssociated"})
def associate_address(
    call: Call,
    *,
    allocation_id: str | None = None,
    public_ip: str | None = None,
    instance_id: str | None = None,
    network_interface_id: str | None = None,
    private_ip_address: str | None = None,
    allow_reassociation: bool | None = None,
) -> Answer:
    """Old tools name the address, and move it; today's name the allocation, and may."""
    instance = _instance(call, instance_id, network_interface_id)
    with call.cloud.state.transaction() as tx:
        found = _find(call, allocation_id, public_ip)
        [one] = _holders(call, tx, instance, interface=instance_id is None)
        if one.address is None:
            raise AWSError(
                "IncorrectInstanceState", f"{one.id} is {one.state}: it has no interface"
            )
        if private_ip_address not in (None, str(one.address)):
            raise AWSError(
                "InvalidParameterValue",
                f"{one.id} has the address {one.address}, not {private_ip_address}",
            )
        by_name = allocation_id is None
        reassociate = by_name if allow_reassociation is None else allow_reassociation
        made = _store(call).associate(
            found.id, one.id, reassociate=reassociate, account=call.account
        )
    return {"AssociationId": made.association_id}


@actions.action("DisassociateAddress")
def disassociate_address(
    call: Call, *, association_id: str | None = None, public_ip: str | None = None
) -> Answer:
    """Nothing happens to an address that leads nowhere."""
    with call.cloud.state.transaction():
        if association_id is not None:
            for one in _list(call, call.account):
                if one.association_id == association_id:
                    _store(call).disassociate(one.id, account=call.account)
                    return None
            raise AWSError(
                "InvalidAssociationID.NotFound",
                f"The association ID {association_id!r} does not exist",
            )
        found = _find(call, None, public_ip)
        _store(call).disassociate(found.id, account=call.account)
    return None


@actions.action(
    "ReleaseAddress",
    codes={InUse: "InvalidIPAddress.InUse"},
    harmless={"NetworkBorderGroup": "the region has one"},
)
def release_address(
    call: Call, *, allocation_id: str | None = None, public_ip: str | None = None
) -> Answer:
    """Only one that leads nowhere."""
    with call.cloud.state.transaction() as tx:
        found = _find(call, allocation_id, public_ip)
        _store(call).release(found.id, account=call.account)
        call.cloud.tags.forget(tx, [found.id])
    return None


def _store(call: Call) -> ElasticAddresses:
    if call.cloud.elastic is None:
        raise AWSError("InsufficientAddressCapacity", "This cloud has no public addresses")
    return call.cloud.elastic


def _list(call: Call, account: AccountId | None) -> list[ElasticAddress]:
    return [] if call.cloud.elastic is None else call.cloud.elastic.list(account=account)


def _find(call: Call, allocation_id: str | None, public_ip: str | None) -> ElasticAddress:
    check_one_of(AllocationId=allocation_id, PublicIp=public_ip)
    wanted = AllocationId(allocation_id or "")
    for one in _list(call, call.account):
        if one.id == wanted or str(one.address) == public_ip:
            return one
    if allocation_id is not None:
        raise AWSError(
            "InvalidAllocationID.NotFound", f"The allocation ID {allocation_id!r} does not exist"
        )
    raise AWSError("InvalidAddress.NotFound", f"Address {public_ip!r} not found")


def _instance(call: Call, instance_id: str | None, interface_id: str | None) -> InstanceId:
    """Return the instance that is meant, by its id or its interface's."""
    if interface_id is not None and instance_id is None:
        check_ids([interface_id], ["eni"], "InvalidNetworkInterfaceId.Malformed")
        return InstanceId(f"i-{interface_id.partition('-')[2]}")
    if instance_id is None:
        raise AWSError("MissingParameter", "The request must contain the parameter InstanceId")
    return check_instance_ids([instance_id])[0]


def _holders(
    call: Call, tx: Transaction, instance: InstanceId, *, interface: bool
) -> list[Instance]:
    """Return the one instance. Raises `NotFound`: of its interface, if that was named."""
    try:
        return call.cloud.instances.find(tx, [instance], account=call.account)
    except NotFound:
        if not interface:
            raise
        raise NotFound("network interface", interface_of(instance)) from None


def _described(
    call: Call,
    one: ElasticAddress,
    tags: Mapping[str, str] | None,
    private: Mapping[InstanceId, str],
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "PublicIp": str(one.address),
        "AllocationId": one.id,
        "Domain": "vpc",
        "PublicIpv4Pool": "amazon",
        "NetworkBorderGroup": call.cloud.region,
        "InstanceId": one.instance_id or "",
        "Tags": tag_set(tags),
    }
    if one.instance_id is not None:
        described |= {
            "AssociationId": one.association_id,
            "NetworkInterfaceId": interface_of(one.instance_id),
            "NetworkInterfaceOwnerId": one.account,
            "PrivateIpAddress": private[one.instance_id],
        }
    return described
