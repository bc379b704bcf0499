"""Attributes of one instance, its console and its password."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from pycloud.aws.actions import Actions, Answer
from pycloud.aws.errors import AWSError
from pycloud.aws.reader import decoded
from pycloud.compute.records import HttpEndpoint, HttpTokens, Instance
from pycloud.ec2.call import Call
from pycloud.ec2.images import ROOT_DEVICE
from pycloud.ec2.instances import check_instance_ids, check_metadata_options, metadata_options
from pycloud.ec2.security_groups import check_group_ids
from pycloud.ec2.surroundings import Surroundings
from pycloud.ec2.taken import EC2
from pycloud.errors import WrongState

actions = Actions("ec2", EC2)

_ABOUT_STATE = {WrongState: "IncorrectInstanceState"}


@actions.action("DescribeInstanceAttribute")
def describe_instance_attribute(call: Call, *, instance_id: str, attribute: str) -> Answer:
    """One attribute; user data in base64."""
    with call.cloud.state.reading() as tx:
        one = _instance(call, instance_id)
        around = Surroundings.of(call, tx, [one])
    values = _attributes(one, around)
    if attribute not in values:
        raise AWSError(
            "InvalidParameterValue", f"Value ({attribute}) for parameter attribute is invalid"
        )
    member, value = values[attribute]
    return {"InstanceId": one.id, member: value}


def _attributes(one: Instance, around: Surroundings) -> dict[str, tuple[str, Any]]:
    return {
        "blockDeviceMapping": ("BlockDeviceMappings", []),
        "disableApiStop": ("DisableApiStop", {"Value": False}),
        "disableApiTermination": ("DisableApiTermination", {"Value": one.is_protected}),
        "ebsOptimized": ("EbsOptimized", {"Value": False}),
        "enaSupport": ("EnaSupport", {"Value": False}),
        "enclaveOptions": ("EnclaveOptions", {"Enabled": False}),
        "groupSet": ("Groups", around.groups_of(one)),
        "instanceInitiatedShutdownBehavior": (
            "InstanceInitiatedShutdownBehavior",
            {"Value": one.shutdown_behaviour},
        ),
        "instanceType": ("InstanceType", {"Value": one.type}),
        "kernel": ("KernelId", {"Value": one.kernel_id}),
        "productCodes": ("ProductCodes", []),
        "ramdisk": ("RamdiskId", {"Value": one.ramdisk_id}),
        "rootDeviceName": ("RootDeviceName", {"Value": ROOT_DEVICE}),
        "sourceDestCheck": ("SourceDestCheck", {"Value": True}),
        "sriovNetSupport": ("SriovNetSupport", {}),
        "userData": ("UserData", {"Value": _encoded(one.user_data)}),
    }


@actions.action("ModifyInstanceAttribute", codes=_ABOUT_STATE)
def modify_instance_attribute(
    call: Call,
    *,
    instance_id: str,
    attribute: str | None = None,
    value: str | None = None,
    instance_type: Mapping[str, str] | None = None,
    user_data: Mapping[str, bytes] | None = None,
    disable_api_termination: Mapping[str, bool] | None = None,
    instance_initiated_shutdown_behavior: Mapping[str, str] | None = None,
    groups: Sequence[str] | None = None,
    source_dest_check: Mapping[str, bool] | None = None,
    disable_api_stop: Mapping[str, bool] | None = None,
) -> Answer:
    """One attribute at a time, as in AWS: in today's form, or as old tools send it."""
    given: dict[str, Any] = {
        "instanceType": instance_type and instance_type.get("Value"),
        "userData": user_data and user_data.get("Value", b""),
        "disableApiTermination": disable_api_termination and disable_api_termination.get("Value"),
        "instanceInitiatedShutdownBehavior": instance_initiated_shutdown_behavior
        and instance_initiated_shutdown_behavior.get("Value"),
        "groupSet": groups,
        "sourceDestCheck": source_dest_check and source_dest_check.get("Value"),
        "disableApiStop": disable_api_stop and disable_api_stop.get("Value"),
    }
    asked = {name: new for name, new in given.items() if new is not None}
    if attribute is not None:
        asked |= {attribute: _read(attribute, value)}
    if len(asked) != 1:
        raise AWSError(
            "InvalidParameterCombination" if asked else "MissingParameter",
            "The request must contain one attribute to change",
        )
    [(name, new)] = asked.items()
    _modify(call, _instance(call, instance_id), name, new)
    return None


def _read(attribute: str, value: str | None) -> Any:
    """Return what an old tool's `Value` means for the attribute."""
    if value is None:
        raise AWSError("MissingParameter", "The request must contain the parameter Value")
    if attribute == "groupSet":
        raise AWSError(
            "InvalidParameterValue", "Groups are given as GroupId.1, GroupId.2 and so on"
        )
    if attribute == "userData":
        try:
            return decoded(value)
        except ValueError:
            raise AWSError("InvalidParameterValue", "UserData is not base64") from None
    if attribute in ("disableApiTermination", "sourceDestCheck", "disableApiStop"):
        if value.lower() not in ("true", "false"):
            raise AWSError("InvalidParameterValue", f"{attribute} is true or false, not {value!r}")
        return value.lower() == "true"
    return value


def _modify(call: Call, one: Instance, name: str, new: Any) -> None:
    if name == "sourceDestCheck":
        if new is not True:
            raise AWSError("UnsupportedOperation", "The network checks every packet's source")
        return
    if name == "disableApiStop":
        if new is not False:
            raise AWSError("UnsupportedOperation", "No instance here is protected from a stop")
        return
    if name == "groupSet":
        check_group_ids(new)
    argument = {
        "instanceType": "type",
        "userData": "user_data",
        "disableApiTermination": "protected",
        "instanceInitiatedShutdownBehavior": "shutdown_behaviour",
        "groupSet": "groups",
    }.get(name)
    if argument is None:
        raise AWSError("UnsupportedOperation", f"The attribute {name} can't be changed here")
    call.cloud.modify_instance(one.id, **{argument: new}, account=call.account)


@actions.action("ResetInstanceAttribute")
def reset_instance_attribute(call: Call, *, instance_id: str, attribute: str) -> Answer:
    """AWS resets kernel, ramdisk and sourceDestCheck: here they are always as they were."""
    one = _instance(call, instance_id)
    if attribute not in ("kernel", "ramdisk", "sourceDestCheck"):
        raise AWSError(
            "InvalidParameterValue",
            f"{attribute} of {one.id} can't be reset; kernel, ramdisk and sourceDestCheck can",
        )
    return None


@actions.action("ModifyInstanceMetadataOptions", codes=_ABOUT_STATE)
def modify_instance_metadata_options(
    call: Call,
    *,
    instance_id: str,
    http_tokens: HttpTokens | None = None,
    http_put_response_hop_limit: int | None = None,
    http_endpoint: HttpEndpoint | None = None,
    http_protocol_ipv6: str = "disabled",
    instance_metadata_tags: str = "disabled",
) -> Answer:
    """At once, also for a guest that runs."""
    check_metadata_options(http_protocol_ipv6, instance_metadata_tags)
    one = call.cloud.modify_instance(
        _instance(call, instance_id).id,
        http_tokens=http_tokens,
        http_hop_limit=http_put_response_hop_limit,
        http_endpoint=http_endpoint,
        account=call.account,
    )
    return {"InstanceId": one.id, "InstanceMetadataOptions": metadata_options(one)}


@actions.action(
    "GetConsoleOutput",
    codes=_ABOUT_STATE,
    harmless={"Latest": "the output is always the latest"},
)
def get_console_output(call: Call, *, instance_id: str) -> Answer:
    """The last 64 KB, in base64."""
    one = _instance(call, instance_id)
    output = call.cloud.console_output(one.id, account=call.account)
    return {
        "InstanceId": one.id,
        "Timestamp": call.cloud.state.clock.now(),
        "Output": _encoded(output),
    }


@actions.action("GetPasswordData")
def get_password_data(call: Call, *, instance_id: str) -> Answer:
    """Empty, as for every guest that is not Windows."""
    one = _instance(call, instance_id)
    return {"InstanceId": one.id, "Timestamp": one.launched_at, "PasswordData": ""}


def _encoded(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def _instance(call: Call, instance_id: str) -> Instance:
    ids = check_instance_ids([instance_id])
    [one] = call.cloud.describe_instances(ids, account=call.account)
    return one
