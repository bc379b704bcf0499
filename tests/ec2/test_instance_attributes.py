"""Attributes of one instance, in today's form and in the one that old tools send."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.ec2.conftest import Served
from tests.ec2.things import NOWHERE, Refusal, Things, by_name, code_of, unchecked

_RUNNING = {"InstanceId": "{running}"}
_STOPPED = {"InstanceId": "{stopped}"}
_WRONG = "IncorrectInstanceState"
_OF_ONE: dict[str, dict[str, Any]] = {
    "DescribeInstanceAttribute": {"Attribute": "userData"},
    "ModifyInstanceAttribute": {"DisableApiTermination": {"Value": True}},
    "ResetInstanceAttribute": {"Attribute": "kernel"},
    "ModifyInstanceMetadataOptions": {"HttpTokens": "optional"},
    "GetConsoleOutput": {},
    "GetPasswordData": {},
}


def _modify(code: str, **asked: Any) -> Refusal:
    return Refusal("ModifyInstanceAttribute", {**_STOPPED, **asked}, code)


REFUSALS = [
    *(
        Refusal(action, {"InstanceId": id_, **others}, code)
        for action, others in _OF_ONE.items()
        for id_, code in (
            ("web", "InvalidInstanceID.Malformed"),
            (f"i-{NOWHERE}", "InvalidInstanceID.NotFound"),
        )
    ),
    *(Refusal(action, others, "MissingParameter") for action, others in _OF_ONE.items()),
    Refusal("DescribeInstanceAttribute", _RUNNING, "MissingParameter"),
    Refusal("DescribeInstanceAttribute", {**_RUNNING, "Attribute": "x"}, "InvalidParameterValue"),
    Refusal("ResetInstanceAttribute", {**_RUNNING, "Attribute": "x"}, "InvalidParameterValue"),
    Refusal(
        "ResetInstanceAttribute", {**_RUNNING, "Attribute": "userData"}, "InvalidParameterValue"
    ),
    _modify("MissingParameter"),
    _modify("MissingParameter", Attribute="instanceType"),
    _modify(
        "InvalidParameterCombination",
        Attribute="kernel",
        Value="x",
        SourceDestCheck={"Value": True},
    ),
    _modify(
        "InvalidParameterCombination",
        InstanceType={"Value": "m1.large"},
        DisableApiTermination={"Value": True},
    ),
    _modify("InvalidParameterValue", InstanceType={"Value": "m9.huge"}),
    _modify("InvalidParameterValue", Attribute="instanceType", Value="m9.huge"),
    _modify("InvalidParameterValue", Attribute="colour", Value="red"),
    _modify("InvalidParameterValue", Attribute="userData", Value="not base 64"),
    _modify("InvalidParameterValue", UserData={"Value": bytes(16385)}),
    _modify("InvalidParameterValue", Attribute="disableApiTermination", Value="perhaps"),
    _modify("InvalidParameterValue", InstanceInitiatedShutdownBehavior={"Value": "burn"}),
    _modify("InvalidParameterValue", Attribute="groupSet", Value="{web_group}"),
    _modify("InvalidGroupId.Malformed", Groups=["web"]),
    _modify("InvalidGroup.NotFound", Groups=[f"sg-{NOWHERE}"]),
    _modify("InvalidParameterValue", Groups=[f"sg-{n:017x}" for n in range(6)]),
    _modify("UnsupportedOperation", SourceDestCheck={"Value": False}),
    _modify("UnsupportedOperation", Attribute="kernel", Value="{eki}"),
    _modify("UnsupportedOperation", EbsOptimized={"Value": True}),
    _modify("UnsupportedOperation", DisableApiStop={"Value": True}),
    Refusal("ModifyInstanceAttribute", {**_RUNNING, "InstanceType": {"Value": "m1.large"}}, _WRONG),
    Refusal("ModifyInstanceAttribute", {**_RUNNING, "UserData": {"Value": b"x"}}, _WRONG),
    Refusal(
        "ModifyInstanceAttribute",
        {"InstanceId": "{terminated}", "DisableApiTermination": {"Value": False}},
        _WRONG,
    ),
    Refusal(
        "ModifyInstanceMetadataOptions",
        {"InstanceId": "{terminated}", "HttpTokens": "required"},
        _WRONG,
    ),
    Refusal(
        "ModifyInstanceMetadataOptions",
        {**_RUNNING, "HttpPutResponseHopLimit": 0},
        "InvalidParameterValue",
    ),
    *(
        Refusal(
            "ModifyInstanceMetadataOptions", {**_RUNNING, option: "enabled"}, "UnsupportedOperation"
        )
        for option in ("HttpProtocolIpv6", "InstanceMetadataTags")
    ),
    Refusal(
        "ModifyInstanceMetadataOptions", {**_RUNNING, "HttpTokens": "x"}, "InvalidParameterValue"
    ),
]


@by_name(REFUSALS)
def test_refused(things: Things, refusal: Refusal) -> None:
    things.check(refusal)


@pytest.fixture(scope="module")
def stopped(shared: Served, api: Any, emi: str) -> str:
    run = api.run_instances(ImageId=emi, MinCount=1, MaxCount=1, UserData="first")
    id_ = str(run["Instances"][0]["InstanceId"])
    shared.world.settle()
    api.stop_instances(InstanceIds=[id_])
    shared.world.settle()
    return id_


def _value(api: Any, id_: str, attribute: str) -> Any:
    answer = api.describe_instance_attribute(InstanceId=id_, Attribute=attribute)
    assert answer.pop("InstanceId") == id_
    del answer["ResponseMetadata"]
    [value] = answer.values()
    return value.get("Value") if isinstance(value, dict) else value


MODIFIED: list[tuple[str, Any, Any, Any]] = [
    ("instanceType", {"InstanceType": {"Value": "m1.large"}}, "m1.medium", "m1.large"),
    ("userData", {"UserData": {"Value": b"second"}}, "dGhpcmQ=", "c2Vjb25k"),
    ("disableApiTermination", {"DisableApiTermination": {"Value": True}}, "false", True),
    (
        "instanceInitiatedShutdownBehavior",
        {"InstanceInitiatedShutdownBehavior": {"Value": "terminate"}},
        "stop",
        "terminate",
    ),
    ("sourceDestCheck", {"SourceDestCheck": {"Value": True}}, "TRUE", True),
    ("disableApiStop", {"DisableApiStop": {"Value": False}}, "false", False),
]
"""An attribute, today's form, the value of the old form, and what is told after the first."""


@pytest.mark.parametrize(("attribute", "asked", "old", "told"), MODIFIED)
def test_modified_in_today_s_form_and_in_the_old_one(
    shared: Served, api: Any, stopped: str, attribute: str, asked: Any, old: str, told: Any
) -> None:
    api.modify_instance_attribute(InstanceId=stopped, **asked)
    assert _value(api, stopped, attribute) == told
    api.modify_instance_attribute(InstanceId=stopped, Attribute=attribute, Value=old)
    meant: Any = {"false": False, "TRUE": True}.get(old, old)
    assert _value(api, stopped, attribute) == meant


def test_the_groups_of_an_instance_are_changed_while_it_runs(
    shared: Served, api: Any, emi: str
) -> None:
    run = api.run_instances(ImageId=emi, MinCount=1, MaxCount=1)
    id_ = run["Instances"][0]["InstanceId"]
    shared.world.settle()
    wanted = [
        api.create_security_group(GroupName=name, Description="x")["GroupId"] for name in "ab"
    ]
    api.modify_instance_attribute(InstanceId=id_, Groups=wanted)
    assert [one["GroupId"] for one in _value(api, id_, "groupSet")] == wanted
    shown = api.describe_instances(InstanceIds=[id_])["Reservations"][0]["Instances"][0]
    assert [one["GroupName"] for one in shown["SecurityGroups"]] == ["a", "b"]
    with pytest.raises(ClientError):
        api.modify_instance_attribute(InstanceId=id_, Groups=[wanted[0], f"sg-{NOWHERE}"])
    assert [one["GroupId"] for one in _value(api, id_, "groupSet")] == wanted


def test_a_larger_type_is_there_after_the_start(shared: Served, api: Any, emi: str) -> None:
    run = api.run_instances(ImageId=emi, MinCount=1, MaxCount=1)
    id_ = run["Instances"][0]["InstanceId"]
    shared.world.settle()
    api.stop_instances(InstanceIds=[id_])
    shared.world.settle()
    api.modify_instance_attribute(InstanceId=id_, InstanceType={"Value": "hs1.8xlarge"})
    with pytest.raises(ClientError) as refused:
        api.start_instances(InstanceIds=[id_])
    assert code_of(refused) == "InsufficientInstanceCapacity"
    api.modify_instance_attribute(InstanceId=id_, InstanceType={"Value": "m1.xlarge"})
    api.start_instances(InstanceIds=[id_])
    shared.world.settle()
    shown = api.describe_instances(InstanceIds=[id_])["Reservations"][0]["Instances"][0]
    assert shown["InstanceType"] == "m1.xlarge"
    assert shown["CpuOptions"]["CoreCount"] == 2


ALL = {
    "blockDeviceMapping": [],
    "disableApiStop": False,
    "disableApiTermination": False,
    "ebsOptimized": False,
    "enaSupport": False,
    "instanceInitiatedShutdownBehavior": "stop",
    "instanceType": "m1.small",
    "kernel": "{eki}",
    "productCodes": [],
    "ramdisk": "{eri}",
    "rootDeviceName": "/dev/vda",
    "sourceDestCheck": True,
    "sriovNetSupport": None,
    "userData": None,
    "enclaveOptions": None,
}


@pytest.mark.parametrize("attribute", ALL)
def test_every_attribute_is_told(things: Things, attribute: str) -> None:
    client = unchecked(things.served)
    told = _value(client, things.ids["running"], attribute)
    assert told == things.filled(ALL[attribute])


@pytest.mark.parametrize("attribute", ["kernel", "ramdisk", "sourceDestCheck"])
def test_what_is_reset_is_as_it_was(api: Any, stopped: str, attribute: str) -> None:
    before = _value(api, stopped, attribute)
    api.reset_instance_attribute(InstanceId=stopped, Attribute=attribute)
    assert _value(api, stopped, attribute) == before


def test_metadata_options_are_changed_one_by_one(api: Any, stopped: str) -> None:
    def options() -> dict[str, Any]:
        shown = api.describe_instances(InstanceIds=[stopped])["Reservations"][0]["Instances"][0]
        return dict(shown["MetadataOptions"])

    before = options()
    for change in (
        {"HttpTokens": "required"},
        {"HttpPutResponseHopLimit": 64},
        {"HttpEndpoint": "disabled"},
    ):
        told = api.modify_instance_metadata_options(
            InstanceId=stopped, InstanceMetadataTags="disabled", **change
        )
        before |= change
        assert told["InstanceMetadataOptions"] == options() == before


def test_the_console_and_the_password(shared: Served, api: Any, emi: str) -> None:
    run = api.run_instances(ImageId=emi, MinCount=1, MaxCount=1)
    id_ = run["Instances"][0]["InstanceId"]
    shared.world.settle()
    words = api.get_console_output(InstanceId=id_)["Output"]
    assert words
    api.terminate_instances(InstanceIds=[id_])
    shared.world.settle()
    assert words in api.get_console_output(InstanceId=id_, Latest=True)["Output"]
    password = api.get_password_data(InstanceId=id_)
    assert password["PasswordData"] == ""
    assert password["InstanceId"] == id_


def test_a_console_that_the_node_does_not_give(served: Served, ec2: Any, image: str) -> None:
    run = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)
    id_ = run["Instances"][0]["InstanceId"]
    served.world.settle()
    for host in served.world.hosts.values():
        host.answers = False
    with pytest.raises(ClientError) as refused:
        ec2.get_console_output(InstanceId=id_)
    assert code_of(refused) == "IncorrectInstanceState"


def test_user_data_is_whole(api: Any, emi: str) -> None:
    data = bytes(range(256)) * 64
    run = api.run_instances(ImageId=emi, MinCount=1, MaxCount=1, UserData=data)
    id_ = run["Instances"][0]["InstanceId"]
    assert base64.b64decode(_value(api, id_, "userData")) == data
