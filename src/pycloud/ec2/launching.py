"""RunInstances: what a request and its launch template ask for, as one launch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pycloud.aws.actions import Actions, Answer
from pycloud.aws.errors import AWSError
from pycloud.aws.reader import decoded
from pycloud.compute.placement import Placement
from pycloud.ec2.answers import tags_for
from pycloud.ec2.call import Call
from pycloud.ec2.images import check_image_ids
from pycloud.ec2.instances import check_metadata_options, described, reservation
from pycloud.ec2.launch_templates import named_version
from pycloud.ec2.security_groups import group_ids
from pycloud.ec2.taken import EC2, NO_CREDITS, NO_VOLUMES, RESERVED
from pycloud.ec2.vpcs import zone_of_subnet
from pycloud.errors import Duplicate, InvalidValue
from pycloud.ids import ImageId, SecurityGroupId

actions = Actions("ec2", EC2)

_DEFAULT_TYPE = "m1.small"
_GROUPS = frozenset({"SecurityGroupIds", "SecurityGroups"})
_ORIGIN_ID = "aws:ec2launchtemplate:id"
_ORIGIN_VERSION = "aws:ec2launchtemplate:version"
"""The tags by which Terraform finds what an instance was launched from ("Launch instances using a
launch template", EC2 user guide).
"""


@actions.action(
    "RunInstances",
    codes={Duplicate: "IdempotentParameterMismatch"},
    harmless={
        "AdditionalInfo": RESERVED,
        "CreditSpecification": NO_CREDITS,
        "EbsOptimized": NO_VOLUMES,
    },
)
def run_instances(
    call: Call,
    *,
    min_count: int,
    max_count: int,
    image_id: str | None = None,
    instance_type: str | None = None,
    key_name: str | None = None,
    user_data: str | None = None,
    placement: Mapping[str, Any] | None = None,
    security_group_ids: Sequence[str] | None = None,
    security_groups: Sequence[str] | None = None,
    subnet_id: str | None = None,
    network_interfaces: Sequence[Mapping[str, Any]] | None = None,
    monitoring: Mapping[str, Any] | None = None,
    metadata_options: Mapping[str, Any] | None = None,
    disable_api_stop: bool | None = None,
    disable_api_termination: bool | None = None,
    enclave_options: Mapping[str, Any] | None = None,
    hibernation_options: Mapping[str, Any] | None = None,
    instance_initiated_shutdown_behavior: str | None = None,
    kernel_id: str | None = None,
    ramdisk_id: str | None = None,
    tag_specifications: Sequence[Mapping[str, Any]] | None = None,
    launch_template: Mapping[str, Any] | None = None,
    client_token: str | None = None,
) -> Answer:
    """From an image, or from a launch template whose values the request's own go before."""
    given = {
        "ImageId": image_id,
        "InstanceType": instance_type,
        "KeyName": key_name,
        "UserData": user_data,
        "Placement": placement,
        "SecurityGroupIds": security_group_ids,
        "SecurityGroups": security_groups,
        "NetworkInterfaces": network_interfaces,
        "Monitoring": monitoring,
        "MetadataOptions": metadata_options,
        "DisableApiStop": disable_api_stop,
        "DisableApiTermination": disable_api_termination,
        "EnclaveOptions": enclave_options,
        "HibernationOptions": hibernation_options,
        "InstanceInitiatedShutdownBehavior": instance_initiated_shutdown_behavior,
        "KernelId": kernel_id,
        "RamDiskId": ramdisk_id,
        "TagSpecifications": tag_specifications,
    }
    asked = {key: value for key, value in given.items() if value is not None}
    origin: Mapping[str, str] = {}
    if launch_template is not None:
        template, version = named_version(call, launch_template)
        asked = _merged(version.data, asked)
        origin = {_ORIGIN_ID: template.id, _ORIGIN_VERSION: str(version.version)}
    launched = call.cloud.run_instances(
        **_launch(call, asked, subnet_id),
        system_tags=origin,
        min_count=min_count,
        count=max_count,
        client_token=client_token or None,
        account=call.account,
    )
    with call.cloud.state.reading() as tx:
        return reservation(described(call, tx, launched))


def _merged(template: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is asked for: the request's own values go before the template's, groups as a
    whole, however they are named, tags one by one.
    """
    merged = {**template, **own}
    if not _GROUPS.isdisjoint(own):
        for member in _GROUPS.difference(own):
            merged.pop(member, None)
    tags = [*(template.get("TagSpecifications") or ()), *(own.get("TagSpecifications") or ())]
    return merged | {"TagSpecifications": tags}


def _launch(call: Call, asked: Mapping[str, Any], subnet_id: str | None) -> dict[str, Any]:
    """Return the arguments of `CloudController.run_instances`."""
    image_id = asked.get("ImageId")
    if image_id is None:
        raise AWSError("MissingParameter", "The request must contain the parameter ImageId")
    check_image_ids([image_id])
    _check_abilities(asked)
    _check_kernel(call, image_id, asked)
    interface = _interface(asked, subnet_id)
    subnet = subnet_id or interface.get("SubnetId")
    options = asked.get("MetadataOptions") or {}
    specifications = asked.get("TagSpecifications")
    return {
        "image": ImageId(image_id),
        "type": asked.get("InstanceType", _DEFAULT_TYPE),
        "key": asked.get("KeyName"),
        "user_data": _user_data(asked.get("UserData")),
        "placement": _placement(call, asked.get("Placement") or {}, subnet),
        "groups": _groups(call, asked, interface),
        "monitored": bool((asked.get("Monitoring") or {}).get("Enabled", False)),
        "protected": bool(asked.get("DisableApiTermination", False)),
        "shutdown_behaviour": asked.get("InstanceInitiatedShutdownBehavior", "stop"),
        "http_tokens": options.get("HttpTokens", "optional"),
        "http_hop_limit": options.get("HttpPutResponseHopLimit", 1),
        "http_endpoint": options.get("HttpEndpoint", "enabled"),
        # Volumes are not tagged here: an instance has none, only its own disk.
        "tags": tags_for("instance", specifications, "volume", "network-interface"),
        "interface_tags": tags_for("network-interface", specifications, "volume", "instance"),
    }


def _check_abilities(asked: Mapping[str, Any]) -> None:
    """Raise `AWSError` for what no instance here can do; that it shall not is no more than true."""
    if (asked.get("HibernationOptions") or {}).get("Configured"):
        raise AWSError("UnsupportedHibernationConfiguration", "No instance here can hibernate")
    if (asked.get("EnclaveOptions") or {}).get("Enabled"):
        raise AWSError("UnsupportedOperation", "No instance here can have enclaves")
    if asked.get("DisableApiStop"):
        raise AWSError(
            "UnsupportedOperation", "Instances here are not protected from StopInstances"
        )
    options = asked.get("MetadataOptions") or {}
    check_metadata_options(options.get("HttpProtocolIpv6"), options.get("InstanceMetadataTags"))


def _check_kernel(call: Call, image_id: str, asked: Mapping[str, Any]) -> None:
    """Kernel and ramdisk belong to the image; naming them again is allowed."""
    for member, name in (("KernelId", "kernel_id"), ("RamDiskId", "ramdisk_id")):
        wanted = asked.get(member)
        if wanted is None:
            continue
        image = call.cloud.images.get(ImageId(image_id), account=call.account)
        if getattr(image, name) != wanted:
            raise AWSError(
                "UnsupportedOperation",
                f"{image_id} boots with {getattr(image, name)}; register another image to boot {wanted}",
            )


def _interface(asked: Mapping[str, Any], subnet_id: str | None) -> Mapping[str, Any]:
    """Return the one interface that may be described instead of subnet and groups."""
    interfaces = asked.get("NetworkInterfaces") or []
    if not interfaces:
        return {}
    if len(interfaces) > 1 or interfaces[0].get("DeviceIndex", 0) != 0:
        raise AWSError("UnsupportedOperation", "An instance here has one interface, at index 0")
    if subnet_id or asked.get("SecurityGroupIds") or asked.get("SecurityGroups"):
        raise AWSError(
            "InvalidParameterCombination",
            "Network interfaces and an instance-level subnet ID or security groups may not be "
            "specified on the same request",
        )
    only: Mapping[str, Any] = interfaces[0]
    return only


def _groups(
    call: Call, asked: Mapping[str, Any], interface: Mapping[str, Any]
) -> list[SecurityGroupId] | None:
    ids = [*(asked.get("SecurityGroupIds") or ()), *(interface.get("Groups") or ())]
    return group_ids(call, ids, asked.get("SecurityGroups") or ()) or None


def _placement(call: Call, asked: Mapping[str, Any], subnet: str | None) -> Placement:
    if asked.get("Tenancy", "default") != "default":
        raise AWSError(
            "UnsupportedOperation", "Tenancy is default here; nodes are dedicated by their owner"
        )
    zone = asked.get("AvailabilityZone") or None
    if subnet is not None:
        there = zone_of_subnet(call, subnet)
        if zone not in (None, there):
            raise AWSError(
                "InvalidParameterValue", f"Subnet {subnet} is in zone {there}, not in {zone}"
            )
        zone = there
    return Placement(
        zone=zone,
        group=_group_name(call, asked),
        partition=asked.get("PartitionNumber"),
    )


def _group_name(call: Call, asked: Mapping[str, Any]) -> str | None:
    group_id = asked.get("GroupId")
    if group_id is None:
        return asked.get("GroupName") or None
    for group in call.cloud.placement_groups.list(account=call.account):
        if group.id == group_id:
            return group.name
    raise AWSError("InvalidPlacementGroup.Unknown", f"The Placement Group {group_id!r} is unknown")


def _user_data(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        return decoded(text)
    except ValueError:
        raise InvalidValue("UserData is not base64") from None
