"""RunInstances: what a launch may ask for, with a template and without, and what it tells then."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.ec2.conftest import Served
from tests.ec2.things import NOWHERE, PUBLIC_KEY, Refusal, Things, by_name, code_of

_EMI: dict[str, Any] = {"ImageId": "{emi}", "MinCount": 1, "MaxCount": 1}
_TAGS = [{"Key": "Name", "Value": "a"}]


def _refused(code: str, **asked: Any) -> Refusal:
    return Refusal("RunInstances", {**_EMI, **asked}, code)


REFUSALS = [
    Refusal("RunInstances", {"MinCount": 1, "MaxCount": 1}, "MissingParameter"),
    Refusal("RunInstances", {"ImageId": "{emi}", "MaxCount": 1}, "MissingParameter"),
    _refused("InvalidAMIID.Malformed", ImageId="centos"),
    _refused("InvalidAMIID.NotFound", ImageId=f"emi-{NOWHERE}"),
    _refused("InvalidParameterValue", ImageId="{eki}"),
    _refused("InvalidParameterValue", MinCount=0),
    _refused("InvalidParameterValue", MinCount=2),
    _refused("InvalidParameterValue", MaxCount=1001),
    _refused("InvalidParameterValue", InstanceType="m9.huge"),
    _refused("InvalidKeyPair.NotFound", KeyName="nobody"),
    _refused("InvalidParameterValue", UserData="x" * 16385),
    _refused("InvalidParameterValue", Placement={"AvailabilityZone": "moon"}),
    _refused("InvalidPlacementGroup.Unknown", Placement={"GroupName": "nobodys"}),
    _refused("InvalidPlacementGroup.Unknown", Placement={"GroupId": f"pg-{NOWHERE}"}),
    _refused("InvalidParameterValue", Placement={"GroupName": "parts", "PartitionNumber": 4}),
    _refused("InvalidParameterValue", Placement={"PartitionNumber": 1}),
    _refused("UnsupportedOperation", Placement={"Tenancy": "dedicated"}),
    _refused("InvalidGroupId.Malformed", SecurityGroupIds=["web"]),
    _refused("InvalidGroup.NotFound", SecurityGroupIds=[f"sg-{NOWHERE}"]),
    _refused("InvalidGroup.NotFound", SecurityGroups=["nobodys"]),
    _refused("InvalidSubnetID.Malformed", SubnetId="subnet"),
    _refused("InvalidSubnetID.NotFound", SubnetId=f"subnet-{NOWHERE}"),
    _refused(
        "InvalidParameterValue", SubnetId="{subnet}", Placement={"AvailabilityZone": "cluster02"}
    ),
    _refused(
        "InvalidParameterCombination",
        SubnetId="{subnet}",
        NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": "{subnet}"}],
    ),
    _refused(
        "InvalidParameterCombination",
        SecurityGroupIds=["{web_group}"],
        NetworkInterfaces=[{"DeviceIndex": 0}],
    ),
    _refused("UnsupportedOperation", NetworkInterfaces=[{"DeviceIndex": 1}]),
    _refused("UnsupportedOperation", NetworkInterfaces=[{"DeviceIndex": 0}, {"DeviceIndex": 1}]),
    _refused("InvalidParameterValue", MetadataOptions={"HttpTokens": "sometimes"}),
    _refused("InvalidParameterValue", MetadataOptions={"HttpPutResponseHopLimit": 65}),
    _refused("UnsupportedOperation", MetadataOptions={"HttpProtocolIpv6": "enabled"}),
    _refused("UnsupportedOperation", MetadataOptions={"InstanceMetadataTags": "enabled"}),
    _refused("InvalidParameterValue", InstanceInitiatedShutdownBehavior="burn"),
    _refused("UnsupportedOperation", KernelId="{eri}"),
    _refused("UnsupportedOperation", RamdiskId="{eki}"),
    _refused("UnsupportedOperation", DisableApiStop=True),
    _refused("UnsupportedOperation", EnclaveOptions={"Enabled": True}),
    _refused("UnsupportedHibernationConfiguration", HibernationOptions={"Configured": True}),
    _refused("UnsupportedOperation", InstanceMarketOptions={"MarketType": "spot"}),
    _refused("UnsupportedOperation", BlockDeviceMappings=[{"DeviceName": "/dev/sdb"}]),
    _refused("UnsupportedOperation", IamInstanceProfile={"Name": "web"}),
    _refused("UnsupportedOperation", PrivateIpAddress="10.11.0.99"),
    _refused("InvalidParameterValue", ClientToken="x" * 65),
    _refused("IdempotentParameterMismatch", ClientToken="running"),
    _refused("InvalidParameterValue", TagSpecifications=[{"ResourceType": "moon", "Tags": _TAGS}]),
    _refused(
        "InvalidParameterValue", TagSpecifications=[{"ResourceType": "key-pair", "Tags": _TAGS}]
    ),
    _refused(
        "InvalidParameterValue",
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "aws:x"}]}],
    ),
    _refused(
        "InvalidParameterValue",
        TagSpecifications=[{"ResourceType": "instance", "Tags": _TAGS * 2}],
    ),
    _refused(
        "MissingParameter",
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Value": "x"}]}],
    ),
    _refused(
        "TagLimitExceeded",
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": f"k{n}"} for n in range(51)]}
        ],
    ),
    _refused("InsufficientInstanceCapacity", InstanceType="hs1.8xlarge"),
    _refused("InsufficientInstanceCapacity", MinCount=999, MaxCount=1000),
    _refused(
        "InsufficientInstanceCapacity", Placement={"GroupName": "apart"}, MinCount=2, MaxCount=2
    ),
    *(
        _refused(code, LaunchTemplate=template)
        for template, code in (
            ({"LaunchTemplateId": "lt-web"}, "InvalidLaunchTemplateId.Malformed"),
            ({"LaunchTemplateId": f"lt-{NOWHERE}"}, "InvalidLaunchTemplateId.NotFound"),
            (
                {"LaunchTemplateName": "nobodys"},
                "InvalidLaunchTemplateName.NotFoundException",
            ),
            (
                {"LaunchTemplateName": "web", "Version": "9"},
                "InvalidLaunchTemplateId.VersionNotFound",
            ),
            ({"LaunchTemplateName": "web", "Version": "first"}, "InvalidParameterValue"),
            ({"Version": "1"}, "MissingParameter"),
            (
                {"LaunchTemplateName": "web", "LaunchTemplateId": "{template}"},
                "InvalidParameterCombination",
            ),
        )
    ),
]


@by_name(REFUSALS)
def test_refused(things: Things, refusal: Refusal) -> None:
    before = things.served.world.cloud.describe_instances()
    things.check(refusal)
    assert things.served.world.cloud.describe_instances() == before


Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def run(shared: Served, api: Any, emi: str) -> Run:
    """Launches one instance and returns what the launch told of it, which is also what is told
    afterwards.
    """

    def run(**asked: Any) -> dict[str, Any]:
        asked = {"ImageId": emi, "MinCount": 1, "MaxCount": 1, **asked}
        answer = api.run_instances(**{key: value for key, value in asked.items() if value})
        [made] = answer["Instances"]
        [shown] = api.describe_instances(InstanceIds=[made["InstanceId"]])["Reservations"]
        assert shown["Instances"] == [made]
        assert shown["ReservationId"] == answer["ReservationId"]
        api.terminate_instances(InstanceIds=[made["InstanceId"]])
        shared.world.settle()
        return dict(made)

    return run


def _attribute(api: Any, id_: str, name: str, member: str) -> Any:
    return api.describe_instance_attribute(InstanceId=id_, Attribute=name)[member].get("Value")


def test_everything_that_a_launch_may_ask_for(shared: Served, api: Any, emi: str, run: Run) -> None:
    images = shared.world.images
    api.import_key_pair(KeyName="launch", PublicKeyMaterial=PUBLIC_KEY)
    group = api.create_security_group(GroupName="launch", Description="x")["GroupId"]
    api.create_placement_group(GroupName="launch", Strategy="partition", PartitionCount=2)
    made = run(
        InstanceType="m1.large",
        KeyName="launch",
        UserData="#!/bin/sh",
        Placement={
            "AvailabilityZone": "cluster02",
            "GroupName": "launch",
            "PartitionNumber": 2,
            "Tenancy": "default",
        },
        SecurityGroups=["launch", "default"],
        Monitoring={"Enabled": True},
        MetadataOptions={
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 3,
            "HttpEndpoint": "disabled",
            "HttpProtocolIpv6": "disabled",
            "InstanceMetadataTags": "disabled",
        },
        InstanceInitiatedShutdownBehavior="terminate",
        KernelId=images.kernel.id,
        RamdiskId=images.ramdisk.id,
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "one"}]},
            {"ResourceType": "volume", "Tags": [{"Key": "Name", "Value": "disk"}]},
        ],
        ClientToken="everything",
        EbsOptimized=False,
        DisableApiTermination=False,
        DisableApiStop=False,
        HibernationOptions={"Configured": False},
        EnclaveOptions={"Enabled": False},
        CreditSpecification={"CpuCredits": "standard"},
    )
    assert made["State"] == {"Code": 0, "Name": "pending"}
    assert (made["ImageId"], made["InstanceType"], made["KeyName"]) == (emi, "m1.large", "launch")
    assert made["Placement"] == {
        "AvailabilityZone": "cluster02",
        "GroupName": "launch",
        "PartitionNumber": 2,
        "Tenancy": "default",
    }
    assert [one["GroupName"] for one in made["SecurityGroups"]] == ["default", "launch"]
    assert group in [one["GroupId"] for one in made["SecurityGroups"]]
    assert made["Monitoring"] == {"State": "enabled"}
    options = made["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpEndpoint"]) == ("required", "disabled")
    assert options["HttpPutResponseHopLimit"] == 3
    assert (made["KernelId"], made["RamdiskId"]) == (images.kernel.id, images.ramdisk.id)
    assert made["Tags"] == [{"Key": "Name", "Value": "one"}]
    assert made["ClientToken"] == "everything"
    id_ = made["InstanceId"]
    data = _attribute(api, id_, "userData", "UserData")
    assert base64.b64decode(data) == b"#!/bin/sh"
    behaviour = "InstanceInitiatedShutdownBehavior"
    assert _attribute(api, id_, "instanceInitiatedShutdownBehavior", behaviour) == "terminate"


def test_what_is_not_asked_for_is_as_in_the_documentation(run: Run) -> None:
    made = run()
    assert made["InstanceType"] == "m1.small"
    assert [one["GroupName"] for one in made["SecurityGroups"]] == ["default"]
    assert made["Monitoring"] == {"State": "disabled"}
    assert made["MetadataOptions"]["HttpTokens"] == "optional"
    assert made.get("Tags", []) == []
    assert "KeyName" not in made
    [interface] = made["NetworkInterfaces"]
    assert interface["Association"] == {
        "IpOwnerId": "amazon",
        "PublicDnsName": made["PrivateIpAddress"],
        "PublicIp": made["PublicIpAddress"],
    }


def test_as_many_as_there_is_room_for(served: Served, ec2: Any, image: str) -> None:
    answer = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1000, InstanceType="m1.xlarge")
    launched = answer["Instances"]
    assert 1 < len(launched) < 1000
    assert [one["AmiLaunchIndex"] for one in launched] == [*range(len(launched))]
    with pytest.raises(ClientError) as refused:
        ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, InstanceType="m1.xlarge")
    assert code_of(refused) == "InsufficientInstanceCapacity"
    assert "2 nodes" in str(refused.value)


def test_when_the_addresses_are_over(served: Served, ec2: Any, image: str) -> None:
    pool = served.world.cloud.addresses
    with served.world.cloud.state.transaction() as tx:
        for number in range(pool.size):
            pool.take(tx, f"other-{number}")
    with pytest.raises(ClientError) as refused:
        ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)
    assert code_of(refused) == "InsufficientFreeAddressesInSubnet"
    assert ec2.describe_instances()["Reservations"] == []


@pytest.mark.parametrize("through_interface", [False, True])
def test_in_a_subnet(api: Any, run: Run, through_interface: bool) -> None:
    [subnet] = api.describe_subnets(
        Filters=[{"Name": "availability-zone", "Values": ["cluster02"]}]
    )["Subnets"]
    group = api.describe_security_groups(GroupNames=["default"])["SecurityGroups"][0]["GroupId"]
    where = {"SubnetId": subnet["SubnetId"]}
    if through_interface:
        interface = {"DeviceIndex": 0, "Groups": [group], "AssociatePublicIpAddress": True}
        made = run(NetworkInterfaces=[interface | where])
    else:
        made = run(SecurityGroupIds=[group], **where)
    assert made["Placement"]["AvailabilityZone"] == "cluster02"
    assert made["SubnetId"] == subnet["SubnetId"]
    assert [one["GroupId"] for one in made["SecurityGroups"]] == [group]


def test_a_placement_group_by_its_id(api: Any, run: Run) -> None:
    made = api.create_placement_group(GroupName="by-id", Strategy="cluster")["PlacementGroup"]
    assert run(Placement={"GroupId": made["GroupId"]})["Placement"]["GroupName"] == "by-id"


# Client tokens


def test_the_same_token_is_the_same_launch(api: Any, emi: str) -> None:
    asked = {"ImageId": emi, "MinCount": 2, "MaxCount": 2, "ClientToken": "once"}
    first, again = api.run_instances(**asked), api.run_instances(**asked)
    assert first["ReservationId"] == again["ReservationId"]
    assert first["Instances"] == again["Instances"]
    with pytest.raises(ClientError) as refused:
        api.run_instances(**asked | {"InstanceType": "m1.large"})
    assert code_of(refused) == "IdempotentParameterMismatch"


def test_the_same_token_when_the_instance_is_gone(shared: Served, api: Any, emi: str) -> None:
    asked = {"ImageId": emi, "MinCount": 1, "MaxCount": 1, "ClientToken": "gone"}
    id_ = api.run_instances(**asked)["Instances"][0]["InstanceId"]
    api.terminate_instances(InstanceIds=[id_])
    shared.world.settle()
    [again] = api.run_instances(**asked)["Instances"]
    assert (again["InstanceId"], again["State"]["Name"]) == (id_, "terminated")


# Launch templates


@pytest.fixture(scope="module")
def template(shared: Served, api: Any, emi: str) -> str:
    images = shared.world.images
    api.import_key_pair(KeyName="template", PublicKeyMaterial=PUBLIC_KEY)
    group = api.create_security_group(GroupName="template", Description="x")["GroupId"]
    api.create_security_group(GroupName="request", Description="x")
    made = api.create_launch_template(
        LaunchTemplateName="all",
        LaunchTemplateData={
            "ImageId": emi,
            "InstanceType": "m1.medium",
            "KeyName": "template",
            "UserData": base64.b64encode(b"from the template").decode(),
            "Placement": {"AvailabilityZone": "cluster02"},
            "SecurityGroupIds": [group],
            "Monitoring": {"Enabled": True},
            "MetadataOptions": {"HttpTokens": "required"},
            "InstanceInitiatedShutdownBehavior": "terminate",
            "KernelId": images.kernel.id,
            "RamDiskId": images.ramdisk.id,
            "HibernationOptions": {"Configured": False},
            "TagSpecifications": [
                {
                    "ResourceType": "instance",
                    "Tags": [{"Key": "Name", "Value": "t"}, {"Key": "team", "Value": "t"}],
                }
            ],
        },
    )
    return str(made["LaunchTemplate"]["LaunchTemplateId"])


def _tags(shown: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in shown["Tags"]}


def test_a_template_says_everything(api: Any, run: Run, template: str) -> None:
    made = run(ImageId=None, LaunchTemplate={"LaunchTemplateId": template})
    assert (made["InstanceType"], made["KeyName"]) == ("m1.medium", "template")
    assert made["Placement"]["AvailabilityZone"] == "cluster02"
    assert [one["GroupName"] for one in made["SecurityGroups"]] == ["template"]
    assert made["Monitoring"] == {"State": "enabled"}
    assert made["MetadataOptions"]["HttpTokens"] == "required"
    data = _attribute(api, made["InstanceId"], "userData", "UserData")
    assert base64.b64decode(data) == b"from the template"
    assert _tags(made) == {
        "Name": "t",
        "team": "t",
        "aws:ec2launchtemplate:id": template,
        "aws:ec2launchtemplate:version": "1",
    }


def test_the_request_goes_before_the_template(api: Any, run: Run, template: str) -> None:
    made = run(
        LaunchTemplate={"LaunchTemplateName": "all"},
        InstanceType="m1.large",
        UserData="from the request",
        SecurityGroups=["request"],
        Monitoring={"Enabled": False},
        TagSpecifications=[
            {
                "ResourceType": "instance",
                "Tags": [{"Key": "Name", "Value": "r"}, {"Key": "owner", "Value": "r"}],
            }
        ],
    )
    assert (made["InstanceType"], made["KeyName"]) == ("m1.large", "template")
    assert [one["GroupName"] for one in made["SecurityGroups"]] == ["request"]
    assert made["Monitoring"] == {"State": "disabled"}
    data = _attribute(api, made["InstanceId"], "userData", "UserData")
    assert base64.b64decode(data) == b"from the request"
    tags = _tags(made)
    assert (tags["Name"], tags["team"], tags["owner"]) == ("r", "t", "r")


def test_the_version_that_is_named(api: Any, run: Run, emi: str) -> None:
    for number, kind in enumerate(("m1.small", "m1.medium", "m1.large"), 1):
        data = {"ImageId": emi, "InstanceType": kind}
        if number == 1:
            api.create_launch_template(LaunchTemplateName="versions", LaunchTemplateData=data)
        else:
            api.create_launch_template_version(
                LaunchTemplateName="versions", LaunchTemplateData=data
            )
    api.modify_launch_template(LaunchTemplateName="versions", DefaultVersion="2")
    for version, kind in (
        (None, "m1.medium"),
        ("$Default", "m1.medium"),
        ("$Latest", "m1.large"),
        ("1", "m1.small"),
    ):
        named = {"LaunchTemplateName": "versions"} | ({"Version": version} if version else {})
        made = run(ImageId=None, LaunchTemplate=named)
        assert made["InstanceType"] == kind
    api.delete_launch_template_versions(LaunchTemplateName="versions", Versions=["3"])
    latest = {"LaunchTemplateName": "versions", "Version": "$Latest"}
    assert run(ImageId=None, LaunchTemplate=latest)["InstanceType"] == "m1.medium"


def test_a_template_with_an_interface_and_groups_in_the_request(
    api: Any, run: Run, emi: str
) -> None:
    group = api.describe_security_groups(GroupNames=["default"])["SecurityGroups"][0]["GroupId"]
    subnet = api.describe_subnets()["Subnets"][0]
    interface = {"DeviceIndex": 0, "Groups": [group], "SubnetId": subnet["SubnetId"]}
    api.create_launch_template(
        LaunchTemplateName="interface",
        LaunchTemplateData={"ImageId": emi, "NetworkInterfaces": [interface]},
    )
    named = {"LaunchTemplate": {"LaunchTemplateName": "interface"}}
    made = run(ImageId=None, **named)
    assert made["Placement"]["AvailabilityZone"] == subnet["AvailabilityZone"]
    with pytest.raises(ClientError) as refused:
        run(ImageId=None, SecurityGroups=["default"], **named)
    assert code_of(refused) == "InvalidParameterCombination"


def test_what_a_template_asks_for_in_vain_is_refused_at_the_launch(
    api: Any, run: Run, emi: str
) -> None:
    wants: list[tuple[dict[str, Any], str]] = [
        ({"ImageId": f"emi-{NOWHERE}"}, "InvalidAMIID.NotFound"),
        ({"KeyName": "nobodys"}, "InvalidKeyPair.NotFound"),
        ({"UserData": "not base 64"}, "InvalidParameterValue"),
        ({"InstanceType": "m1.small"}, "MissingParameter"),
        ({"DisableApiStop": True}, "UnsupportedOperation"),
    ]
    for number, (data, code) in enumerate(wants):
        name = f"vain-{number}"
        image = {} if code == "MissingParameter" else {"ImageId": emi}
        api.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=image | data)
        with pytest.raises(ClientError) as refused:
            run(ImageId=None, LaunchTemplate={"LaunchTemplateName": name})
        assert code_of(refused) == code, data


def test_tags_of_the_cloud_are_not_its_users(api: Any, emi: str, template: str) -> None:
    named = {"LaunchTemplate": {"LaunchTemplateId": template}}
    [made] = api.run_instances(ImageId=emi, MinCount=1, MaxCount=1, **named)["Instances"]
    id_ = made["InstanceId"]
    own = {"Key": "aws:ec2launchtemplate:id", "Value": "x"}
    for call in (api.create_tags, api.delete_tags):
        with pytest.raises(ClientError) as refused:
            call(Resources=[id_], Tags=[own])
        assert code_of(refused) == "InvalidParameterValue"
    api.create_tags(Resources=[id_], Tags=[{"Key": f"k{n}", "Value": ""} for n in range(48)])
    api.delete_tags(Resources=[id_])
    filters = [
        {"Name": "resource-id", "Values": [id_]},
        {"Name": "key", "Values": ["aws:ec2launchtemplate:id"]},
    ]
    assert [one["Value"] for one in api.describe_tags(Filters=filters)["Tags"]] == [template]
    assert len(api.describe_tags(Filters=filters[:1])["Tags"]) == 2
