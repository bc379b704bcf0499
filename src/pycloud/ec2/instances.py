"""Instances: describing them, and their life after the launch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from pycloud import limits
from pycloud.aws.actions import Actions, Answer
from pycloud.aws.errors import AWSError
from pycloud.compute.records import Image, Instance, InstanceState
from pycloud.ec2.answers import tag_set
from pycloud.ec2.call import Call, check_ids
from pycloud.ec2.filters import Filter, chosen
from pycloud.ec2.images import ROOT_DEVICE
from pycloud.ec2.interfaces import described_interface
from pycloud.ec2.pages import check_size, place_of, refuse_with_ids, token_of
from pycloud.ec2.surroundings import Surroundings
from pycloud.ec2.taken import EC2, NOT_MANAGED, RESERVED
from pycloud.errors import WrongState
from pycloud.ids import AccountId, InstanceId
from pycloud.state.transaction import Transaction

actions = Actions("ec2", EC2)

_CODES = {
    InstanceState.PENDING: 0,
    InstanceState.RUNNING: 16,
    InstanceState.SILENT: 16,
    InstanceState.SHUTTING_DOWN: 32,
    InstanceState.TERMINATED: 48,
    InstanceState.STOPPING: 64,
    InstanceState.STOPPED: 80,
}
_FILTERS = {
    "architecture": "Architecture",
    "availability-zone": "Placement.AvailabilityZone",
    "client-token": "ClientToken",
    "current-instance-boot-mode": "CurrentInstanceBootMode",
    "dns-name": "PublicDnsName",
    "enclave-options.enabled": "EnclaveOptions.Enabled",
    "group-id": "SecurityGroups.GroupId",
    "group-name": "SecurityGroups.GroupName",
    "hibernation-options.configured": "HibernationOptions.Configured",
    "hypervisor": "Hypervisor",
    "image-id": "ImageId",
    "instance-id": "InstanceId",
    "instance-state-code": "State.Code",
    "instance-state-name": "State.Name",
    "instance-type": "InstanceType",
    "instance.group-id": "SecurityGroups.GroupId",
    "instance.group-name": "SecurityGroups.GroupName",
    "ip-address": "PublicIpAddress",
    "kernel-id": "KernelId",
    "key-name": "KeyName",
    "launch-index": "AmiLaunchIndex",
    "launch-time": "LaunchTime",
    "maintenance-options.auto-recovery": "MaintenanceOptions.AutoRecovery",
    "metadata-options.http-endpoint": "MetadataOptions.HttpEndpoint",
    "metadata-options.http-put-response-hop-limit": "MetadataOptions.HttpPutResponseHopLimit",
    "metadata-options.http-tokens": "MetadataOptions.HttpTokens",
    "monitoring-state": "Monitoring.State",
    "network-interface.addresses.association.ip-owner-id": "NetworkInterfaces"
    ".PrivateIpAddresses.Association.IpOwnerId",
    "network-interface.addresses.association.public-ip": "NetworkInterfaces.PrivateIpAddresses.Association.PublicIp",
    "network-interface.addresses.primary": "NetworkInterfaces.PrivateIpAddresses.Primary",
    "network-interface.addresses.private-ip-address": "NetworkInterfaces.PrivateIpAddresses.PrivateIpAddress",
    "network-interface.association.ip-owner-id": "NetworkInterfaces.Association.IpOwnerId",
    "network-interface.association.public-ip": "NetworkInterfaces.Association.PublicIp",
    "network-interface.attachment.attach-time": "NetworkInterfaces.Attachment.AttachTime",
    "network-interface.attachment.attachment-id": "NetworkInterfaces.Attachment.AttachmentId",
    "network-interface.attachment.delete-on-termination": "NetworkInterfaces.Attachment.DeleteOnTermination",
    "network-interface.attachment.device-index": "NetworkInterfaces.Attachment.DeviceIndex",
    "network-interface.attachment.status": "NetworkInterfaces.Attachment.Status",
    "network-interface.group-id": "NetworkInterfaces.Groups.GroupId",
    "network-interface.group-name": "NetworkInterfaces.Groups.GroupName",
    "network-interface.mac-address": "NetworkInterfaces.MacAddress",
    "network-interface.network-interface-id": "NetworkInterfaces.NetworkInterfaceId",
    "network-interface.owner-id": "NetworkInterfaces.OwnerId",
    "network-interface.private-dns-name": "NetworkInterfaces.PrivateDnsName",
    "network-interface.source-dest-check": "NetworkInterfaces.SourceDestCheck",
    "network-interface.status": "NetworkInterfaces.Status",
    "network-interface.subnet-id": "NetworkInterfaces.SubnetId",
    "network-interface.vpc-id": "NetworkInterfaces.VpcId",
    "owner-id": "OwnerId",
    "placement-group-name": "Placement.GroupName",
    "placement-partition-number": "Placement.PartitionNumber",
    "platform-details": "PlatformDetails",
    "private-dns-name": "PrivateDnsName",
    "private-ip-address": "PrivateIpAddress",
    "ramdisk-id": "RamdiskId",
    "reason": "StateTransitionReason",
    "reservation-id": "ReservationId",
    "root-device-name": "RootDeviceName",
    "root-device-type": "RootDeviceType",
    "source-dest-check": "SourceDestCheck",
    "state-reason-code": "StateReason.Code",
    "state-reason-message": "StateReason.Message",
    "subnet-id": "SubnetId",
    "tenancy": "Placement.Tenancy",
    "usage-operation": "UsageOperation",
    "virtualization-type": "VirtualizationType",
    "vpc-id": "VpcId",
}
_STATUS_FILTERS = {
    "availability-zone": "AvailabilityZone",
    "instance-state-code": "InstanceState.Code",
    "instance-state-name": "InstanceState.Name",
    "instance-status.reachability": "InstanceStatus.Details.Status",
    "instance-status.status": "InstanceStatus.Status",
    "system-status.reachability": "SystemStatus.Details.Status",
    "system-status.status": "SystemStatus.Status",
}
_RUNNING = (InstanceState.RUNNING, InstanceState.SILENT)
_ABOUT_STATE = {WrongState: "IncorrectInstanceState"}
_SWITCHED_OFF = "a guest that does not obey is switched off anyway"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def check_instance_ids(ids: Sequence[str]) -> list[InstanceId]:
    """Return typed ids. Raises `AWSError` for what can't be one."""
    check_ids(ids, ["i"], "InvalidInstanceID.Malformed")
    return [InstanceId(id_.lower()) for id_ in ids]


@actions.action("DescribeInstances", harmless={"IncludeManagedResources": NOT_MANAGED})
def describe_instances(
    call: Call,
    *,
    instance_ids: Sequence[str] | None = None,
    filters: Sequence[Filter] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Answer:
    """Instances by reservation, in the order of their launch; pages count instances."""
    account, ids = call.whose(instance_ids)
    with call.cloud.state.reading() as tx:

        def shown(found: Sequence[Instance]) -> list[dict[str, Any]]:
            return chosen(described(call, tx, found), filters, _FILTERS)

        items, token = _page(call, account, ids, max_results, next_token, shown)
    return {"Reservations": [*_reservations(items)], "NextToken": token}


def described(call: Call, tx: Transaction, found: Sequence[Instance]) -> list[dict[str, Any]]:
    """Return instances as an answer has them; besides, each has `OwnerId` and `ReservationId`,
    which belong to its reservation.
    """
    around = Surroundings.of(call, tx, found)
    return [_described(call, one, around) for one in found]


def reservation(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return instances of one launch as an answer has them."""
    first = items[0]
    return {
        "ReservationId": first["ReservationId"],
        "OwnerId": first["OwnerId"],
        # Old tools print the groups of the reservation.
        "Groups": first["SecurityGroups"],
        "Instances": [_without_reservation(one) for one in items],
    }


def _without_reservation(item: Mapping[str, Any]) -> dict[str, Any]:
    own = dict(item)
    del own["ReservationId"], own["OwnerId"]
    return own


def _page(
    call: Call,
    account: AccountId | None,
    ids: Sequence[str],
    max_results: int | None,
    next_token: str | None,
    shown: Callable[[Sequence[Instance]], Sequence[Mapping[str, Any]]],
) -> tuple[list[Mapping[str, Any]], str | None]:
    """Return what is `shown` of the instances with these ids; without ids read on until a page is
    full, or nothing is left. Raises `NotFound`, `AWSError`.
    """
    refuse_with_ids(ids, max_results)
    check_size(max_results, 5, 1000)
    if ids:
        found = call.cloud.describe_instances(check_instance_ids(ids), account=account)
        return [*shown(found)], None
    most = max_results or limits.INSTANCES_PER_READ
    items: list[Mapping[str, Any]] = []
    seen: dict[str, Instance] = {}
    after = None if next_token is None else _place(next_token)
    while True:
        found = call.cloud.page_of_instances(account=account, after=after, most=most)
        items += shown(found)
        seen |= {one.id: one for one in found}
        if len(found) < most and (max_results is None or len(items) <= max_results):
            return items, None
        if max_results is not None and len(items) >= max_results:
            items = items[:max_results]
            return items, _token(seen[items[-1]["InstanceId"]])
        after = _place_of(found[-1])
        # Filters may choose few of many: then small pages would take as many queries.
        most = min(2 * most, limits.INSTANCES_PER_READ)


def _place(token: str) -> tuple[datetime, int, str]:
    microseconds, index, id_ = place_of(token, int, int, str)
    try:
        launched_at = _EPOCH + int(microseconds) * _MICROSECOND
    except OverflowError:
        launched_at = None
    if launched_at is None or not 0 <= int(index) <= limits.INSTANCES_PER_CALL:
        raise AWSError("InvalidNextToken", "The NextToken is not one that an answer has given")
    return launched_at, int(index), str(id_)


def _token(last: Instance) -> str:
    launched_at, index, id_ = _place_of(last)
    return token_of(((launched_at - _EPOCH) // _MICROSECOND, index, id_))


def _place_of(one: Instance) -> tuple[datetime, int, str]:
    return one.launched_at, one.launch_index, one.id


def _reservations(items: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for _, members in groupby(items, key=lambda item: item["ReservationId"]):
        yield reservation([*members])


def _described(call: Call, one: Instance, around: Surroundings) -> dict[str, Any]:
    image = around.images[one.image_id]
    groups = around.groups_of(one)
    address = None if one.address is None else str(one.address)
    elastic = around.elastic.get(one.id)
    # The cloud's network is routed: without an elastic address others reach it at its own.
    public = address if elastic is None else str(elastic.address)
    interface = described_interface(call, one, around)
    return {
        "OwnerId": one.account,
        "ReservationId": one.reservation_id,
        "AmiLaunchIndex": one.launch_index,
        "ImageId": one.image_id,
        "InstanceId": one.id,
        "InstanceType": one.type,
        "KernelId": one.kernel_id,
        "RamdiskId": one.ramdisk_id,
        "KeyName": one.key_name,
        "LaunchTime": one.launched_at,
        "Monitoring": monitoring(one),
        "Placement": {
            "AvailabilityZone": one.zone,
            "GroupName": one.group or "",
            "PartitionNumber": one.partition,
            "Tenancy": "default",
        },
        "PrivateDnsName": _private_name(call, one),
        "PrivateIpAddress": address,
        "ProductCodes": [],
        "PublicDnsName": _public_name(one, public),
        "PublicIpAddress": public,
        "State": state(one.state),
        "StateTransitionReason": one.reason or "",
        "StateReason": _reason(one),
        "SubnetId": interface["SubnetId"] if interface else None,
        "VpcId": interface["VpcId"] if interface else None,
        "NetworkInterfaces": [interface] if interface else [],
        "SecurityGroups": groups,
        "SourceDestCheck": True,
        "Tags": tag_set(around.tags.get(one.id)),
        "BlockDeviceMappings": [],
        "ClientToken": around.client_tokens.get(one.reservation_id) or "",
        "EbsOptimized": False,
        "CpuOptions": {"CoreCount": one.cpus, "ThreadsPerCore": 1},
        "MetadataOptions": metadata_options(one),
        "MaintenanceOptions": {"AutoRecovery": "disabled"},
        **_of_image(image),
    }


def _of_image(image: Image) -> dict[str, Any]:
    return {
        "Architecture": "x86_64",
        "Hypervisor": "xen",
        "PlatformDetails": "Linux/UNIX",
        "UsageOperation": "RunInstances",
        "RootDeviceName": ROOT_DEVICE,
        "RootDeviceType": "instance-store",
        "VirtualizationType": "hvm",
        "CurrentInstanceBootMode": "legacy-bios",
        "BootMode": None if image.kernel_id else "legacy-bios",
        "HibernationOptions": {"Configured": False},
        "EnclaveOptions": {"Enabled": False},
    }


def state(value: InstanceState) -> dict[str, Any]:
    """Return a state as an answer has it; what nobody hears of is still running for AWS."""
    shown = InstanceState.RUNNING if value is InstanceState.SILENT else value
    return {"Code": _CODES[value], "Name": str(shown)}


def metadata_options(one: Instance) -> dict[str, Any]:
    """Return how the metadata service treats an instance."""
    return {
        "State": "applied",
        "HttpTokens": one.http_tokens,
        "HttpPutResponseHopLimit": one.http_hop_limit,
        "HttpEndpoint": one.http_endpoint,
        "HttpProtocolIpv6": "disabled",
        "InstanceMetadataTags": "disabled",
    }


def check_metadata_options(ipv6: str | None, tags: str | None) -> None:
    """Raise `AWSError` for what the metadata service has not, unless it is to be switched off."""
    if ipv6 == "enabled":
        raise AWSError("UnsupportedOperation", "HttpProtocolIpv6 is disabled: guests have no IPv6")
    if tags == "enabled":
        raise AWSError(
            "UnsupportedOperation", "InstanceMetadataTags is disabled: tags are not in the metadata"
        )


def monitoring(one: Instance) -> dict[str, str]:
    """Return whether an instance is monitored in detail."""
    return {"State": "enabled" if one.is_monitored else "disabled"}


def _private_name(call: Call, one: Instance) -> str:
    if one.address is None:
        return _nowhere(one)
    return f"{one.hostname}.{call.cloud.domain}"


def _public_name(one: Instance, public: str | None) -> str:
    # No name server answers for the guests outside: an address is what can be reached.
    return public or _nowhere(one)


def _nowhere(one: Instance) -> str:
    """As the Eucalyptus tools know it while there is no address yet; AWS's, once there is none."""
    return "0.0.0.0" if one.state is InstanceState.PENDING else ""  # noqa: S104 - nothing listens


def _reason(one: Instance) -> dict[str, str] | None:
    """Return why an instance is as it is ("StateReason", EC2 API reference)."""
    if one.state in (InstanceState.SHUTTING_DOWN, InstanceState.TERMINATED):
        if one.reason is None:
            return {
                "Code": "Client.UserInitiatedShutdown",
                "Message": "Client.UserInitiatedShutdown: User initiated shutdown",
            }
        return {"Code": "Server.InternalError", "Message": f"Server.InternalError: {one.reason}"}
    return None if one.reason is None else {"Code": "pending", "Message": one.reason}


# Their life


@actions.action(
    "StartInstances",
    codes=_ABOUT_STATE,
    harmless={"AdditionalInfo": RESERVED},
)
def start_instances(call: Call, *, instance_ids: Sequence[str]) -> Answer:
    """Of stopped ones."""
    return {"StartingInstances": _changed(call, instance_ids, call.cloud.start_instances)}


@actions.action(
    "StopInstances",
    codes=_ABOUT_STATE,
    harmless={"Force": _SWITCHED_OFF, "SkipOsShutdown": _SWITCHED_OFF},
)
def stop_instances(call: Call, *, instance_ids: Sequence[str], hibernate: bool = False) -> Answer:
    """Their disks and addresses stay."""
    if hibernate:
        raise AWSError("UnsupportedHibernationConfiguration", "No instance here can hibernate")
    return {"StoppingInstances": _changed(call, instance_ids, call.cloud.stop_instances)}


@actions.action("RebootInstances", codes=_ABOUT_STATE)
def reboot_instances(call: Call, *, instance_ids: Sequence[str]) -> Answer:
    """Of running ones."""
    call.cloud.reboot_instances(check_instance_ids(instance_ids), account=call.account)
    return None


@actions.action(
    "TerminateInstances",
    harmless={"Force": _SWITCHED_OFF, "SkipOsShutdown": _SWITCHED_OFF},
)
def terminate_instances(call: Call, *, instance_ids: Sequence[str]) -> Answer:
    """With all that is theirs."""
    changes = _changed(call, instance_ids, call.cloud.terminate_instances)
    return {"TerminatingInstances": changes}


def _changed(
    call: Call, ids: Sequence[str], change: Callable[..., Sequence[Instance]]
) -> list[dict[str, Any]]:
    """Do it, and return the states before and after."""
    wanted = check_instance_ids(ids)
    with call.cloud.state.transaction():
        before = call.cloud.describe_instances(wanted, account=call.account)
        after = change(wanted, account=call.account)
    return [
        {
            "InstanceId": now.id,
            # In the model's order: libcloud reads the first name that it finds.
            "CurrentState": state(now.state),
            "PreviousState": state(then.state),
        }
        for then, now in zip(before, after, strict=True)
    ]


@actions.action("DescribeInstanceStatus", harmless={"IncludeManagedResources": NOT_MANAGED})
def describe_instance_status(
    call: Call,
    *,
    instance_ids: Sequence[str] | None = None,
    include_all_instances: bool = False,
    filters: Sequence[Filter] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Answer:
    """Of running instances, unless all are asked for."""
    account, ids = call.whose(instance_ids)

    def shown(found: Sequence[Instance]) -> list[dict[str, Any]]:
        known = [one for one in found if include_all_instances or one.state in _RUNNING]
        return chosen(map(_status, known), filters, _STATUS_FILTERS, tags_of=None)

    with call.cloud.state.reading():
        items, token = _page(call, account, ids, max_results, next_token, shown)
    return {"InstanceStatuses": items, "NextToken": token}


def _status(one: Instance) -> dict[str, Any]:
    # "insufficient-data" is AWS's word for a host that nobody hears of.
    health = {
        InstanceState.RUNNING: ("ok", "passed"),
        InstanceState.SILENT: ("insufficient-data", "insufficient-data"),
    }.get(one.state, ("not-applicable", None))
    summary: dict[str, Any] = {"Status": health[0]}
    if health[1] is not None:
        summary["Details"] = [{"Name": "reachability", "Status": health[1]}]
    return {
        "InstanceId": one.id,
        "AvailabilityZone": one.zone,
        "InstanceState": state(one.state),
        "InstanceStatus": summary,
        "SystemStatus": summary,
        "Events": [],
    }


@actions.action("MonitorInstances", codes=_ABOUT_STATE)
def monitor_instances(call: Call, *, instance_ids: Sequence[str]) -> Answer:
    """Written down; there are no metrics yet that it would refine."""
    return _monitored(call, instance_ids, monitored=True)


@actions.action("UnmonitorInstances", codes=_ABOUT_STATE)
def unmonitor_instances(call: Call, *, instance_ids: Sequence[str]) -> Answer:
    """Written down; there are no metrics yet that it would refine."""
    return _monitored(call, instance_ids, monitored=False)


def _monitored(call: Call, ids: Sequence[str], *, monitored: bool) -> Answer:
    with call.cloud.state.transaction():
        changed = [
            call.cloud.modify_instance(id_, monitored=monitored, account=call.account)
            for id_ in check_instance_ids(ids)
        ]
    return {
        "InstanceMonitorings": [
            {"InstanceId": one.id, "Monitoring": monitoring(one)} for one in changed
        ]
    }
