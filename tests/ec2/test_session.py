"""What people do with boto3: sessions from the first key pair to the last termination."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from pycloud.drivers.serve import WsgiServer
from pycloud.ec2 import EC2App
from tests.ec2.conftest import AccountKeys, Served, keep_ticking

_SOON = {"Delay": 0.1, "MaxAttempts": 100}


@pytest.fixture
def ticking(served: Served) -> Iterator[None]:
    with keep_ticking(served.world):
        yield


@pytest.mark.usefixtures("ticking")
def test_the_session_of_the_article(ec2: Any) -> None:
    key = ec2.create_key_pair(KeyName="eucatest")
    assert key["KeyMaterial"].startswith("-----BEGIN RSA PRIVATE KEY-----")
    assert len(key["KeyFingerprint"].split(":")) == 20

    [image] = ec2.describe_images(
        Owners=["self"], Filters=[{"Name": "image-type", "Values": ["machine"]}]
    )["Images"]
    zones = ec2.describe_availability_zones(ZoneNames=["verbose"])["AvailabilityZones"]
    assert [zone["ZoneName"] for zone in zones[:3]] == ["cluster01", "|- vm types", "|- m1.small"]
    assert zones[2]["State"] == "0016 / 0016   1    256     5"

    run = ec2.run_instances(
        ImageId=image["ImageId"],
        KeyName="eucatest",
        MinCount=1,
        MaxCount=1,
        InstanceType="m1.small",
    )
    [instance] = run["Instances"]
    assert instance["State"] == {"Code": 0, "Name": "pending"}
    ids = [instance["InstanceId"]]
    ec2.get_waiter("instance_running").wait(InstanceIds=ids, WaiterConfig=_SOON)
    [reservation] = ec2.describe_instances(InstanceIds=ids)["Reservations"]
    [running] = reservation["Instances"]
    assert running["PublicIpAddress"] == running["PrivateIpAddress"]
    assert running["Placement"]["AvailabilityZone"] == "cluster01"
    assert reservation["OwnerId"] == "000000000001"

    [change] = ec2.terminate_instances(InstanceIds=ids)["TerminatingInstances"]
    assert change["PreviousState"]["Name"] == "running"
    assert change["CurrentState"]["Name"] == "shutting-down"
    ec2.get_waiter("instance_terminated").wait(InstanceIds=ids, WaiterConfig=_SOON)
    [gone] = ec2.describe_instances(InstanceIds=ids)["Reservations"]
    assert gone["Instances"][0]["State"] == {"Code": 48, "Name": "terminated"}


@pytest.mark.usefixtures("ticking")
def test_the_resource_interface(served: Served, image: str) -> None:
    cloud = boto3.resource("ec2", **served.options())
    [instance] = cloud.create_instances(ImageId=image, MinCount=1, MaxCount=1)
    instance.wait_until_running(WaiterConfig=_SOON)
    instance.reload()
    assert instance.state["Name"] == "running"
    assert instance.vpc.is_default
    assert [group["GroupName"] for group in instance.security_groups] == ["default"]
    instance.create_tags(Tags=[{"Key": "Name", "Value": "web"}])
    assert [
        one.id for one in cloud.instances.filter(Filters=[{"Name": "tag:Name", "Values": ["web"]}])
    ]
    instance.stop()
    instance.wait_until_stopped(WaiterConfig=_SOON)
    instance.modify_attribute(InstanceType={"Value": "m1.large"})
    instance.start()
    instance.wait_until_running(WaiterConfig=_SOON)
    instance.reload()
    assert instance.instance_type == "m1.large"
    instance.terminate()
    instance.wait_until_terminated(WaiterConfig=_SOON)


def test_pages_of_instances_are_whole_and_without_repetition(ec2: Any, image: str) -> None:
    made = [
        one["InstanceId"]
        for _ in range(3)
        for one in ec2.run_instances(ImageId=image, MinCount=5, MaxCount=5)["Instances"]
    ]
    pages = ec2.get_paginator("describe_instances").paginate(PaginationConfig={"PageSize": 6})
    sizes, found = [], []
    for answer in pages:
        shown = [one["InstanceId"] for r in answer["Reservations"] for one in r["Instances"]]
        sizes.append(len(shown))
        found += shown
    assert sizes == [6, 6, 3]
    assert sorted(found) == sorted(made)


def test_a_page_goes_on_after_the_last_one_though_something_went(
    served: Served, ec2: Any, image: str
) -> None:
    ec2.run_instances(ImageId=image, MinCount=12, MaxCount=12)
    first = ec2.describe_instances(MaxResults=5)
    shown = [one["InstanceId"] for r in first["Reservations"] for one in r["Instances"]]
    ec2.terminate_instances(InstanceIds=shown[:3])
    served.world.settle()
    served.world.clock.advance(2 * 3600)
    served.world.cloud.tick()
    rest = ec2.describe_instances(MaxResults=1000, NextToken=first["NextToken"])
    left = [one["InstanceId"] for r in rest["Reservations"] for one in r["Instances"]]
    assert len(left) == 7
    assert set(left).isdisjoint(shown)


def test_a_filter_does_not_shorten_pages(ec2: Any, image: str) -> None:
    for number in range(12):
        tags = [{"Key": "parity", "Value": "odd" if number % 2 else "even"}]
        ec2.run_instances(
            ImageId=image,
            MinCount=1,
            MaxCount=1,
            TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
        )
    odd = [{"Name": "tag:parity", "Values": ["odd"]}]
    first = ec2.describe_instances(MaxResults=5, Filters=odd)
    assert sum(len(one["Instances"]) for one in first["Reservations"]) == 5
    second = ec2.describe_instances(MaxResults=5, Filters=odd, NextToken=first["NextToken"])
    assert sum(len(one["Instances"]) for one in second["Reservations"]) == 1
    assert "NextToken" not in second


def test_what_one_process_acknowledged_the_next_one_sees(served: Served, image: str) -> None:
    other = served.world.another_process()
    with other, WsgiServer(EC2App(other, keys=AccountKeys())) as server:
        options = served.options() | {"endpoint_url": f"http://127.0.0.1:{server.port}"}
        there = boto3.client("ec2", **options)
        for _ in range(5):
            [made] = served.client().run_instances(ImageId=image, MinCount=1, MaxCount=1)[
                "Instances"
            ]
            ids = [made["InstanceId"]]
            [seen] = there.describe_instances(InstanceIds=ids)["Reservations"]
            assert seen["Instances"][0]["InstanceId"] == made["InstanceId"]
            there.terminate_instances(InstanceIds=ids)
            [again] = served.client().describe_instances(InstanceIds=ids)["Reservations"]
            assert again["Instances"][0]["State"]["Name"] == "shutting-down"


def test_the_patterns_of_terraform(served: Served, ec2: Any, image: str) -> None:
    """Read before write, tags in the create call, describe right after, repeat without harm."""
    caller = served.client("sts").get_caller_identity()
    assert caller["Account"] == "000000000001"
    [vpc] = ec2.describe_vpcs(Filters=[{"Name": "isDefault", "Values": ["true"]}])["Vpcs"]
    tags = [{"ResourceType": "security-group", "Tags": [{"Key": "Name", "Value": "web"}]}]
    group = ec2.create_security_group(
        GroupName="web", Description="web", VpcId=vpc["VpcId"], TagSpecifications=tags
    )["GroupId"]
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=everything)
    https = [
        {
            "IpProtocol": "tcp",
            "FromPort": 443,
            "ToPort": 443,
            "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "all"}],
        }
    ]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=https)
    [shown] = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert shown["IpPermissionsEgress"] == []
    assert shown["IpPermissions"][0]["IpRanges"] == https[0]["IpRanges"]
    token = {"ClientToken": "terraform-1"}
    subnet = ec2.describe_subnets()["Subnets"][1]
    asked = {
        "ImageId": image,
        "MinCount": 1,
        "MaxCount": 1,
        "SubnetId": subnet["SubnetId"],
        "SecurityGroupIds": [group],
        "UserData": "echo hello",
        "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled"},
        **token,
    }
    [first] = ec2.run_instances(**asked)["Instances"]
    [again] = ec2.run_instances(**asked)["Instances"]
    assert first["InstanceId"] == again["InstanceId"]
    assert first["Placement"]["AvailabilityZone"] == subnet["AvailabilityZone"]
    assert first["SecurityGroups"] == [{"GroupName": "web", "GroupId": group}]
    for attribute in ("userData", "disableApiTermination", "instanceInitiatedShutdownBehavior"):
        ec2.describe_instance_attribute(InstanceId=first["InstanceId"], Attribute=attribute)
    data = ec2.describe_instance_attribute(InstanceId=first["InstanceId"], Attribute="userData")
    assert base64.b64decode(data["UserData"]["Value"]) == b"echo hello"


@pytest.mark.usefixtures("ticking")
def test_the_patterns_of_ansible(ec2: Any, image: str) -> None:
    """What amazon.aws.ec2_key, ec2_security_group and ec2_instance send: look first, find by tags and
    states, describe the one interface, wait until the status is ok, do nothing the second time.
    """
    with pytest.raises(ClientError, match=r"InvalidKeyPair\.NotFound"):
        ec2.describe_key_pairs(KeyNames=["ansible"])
    ec2.create_key_pair(KeyName="ansible", KeyType="ed25519")
    [vpc] = ec2.describe_vpcs(Filters=[{"Name": "isDefault", "Values": ["true"]}])["Vpcs"]
    by_name = [
        {"Name": "group-name", "Values": ["web"]},
        {"Name": "vpc-id", "Values": [vpc["VpcId"]]},
    ]
    assert ec2.describe_security_groups(Filters=by_name)["SecurityGroups"] == []
    group = ec2.create_security_group(GroupName="web", Description="web", VpcId=vpc["VpcId"])
    ec2.get_waiter("security_group_exists").wait(GroupIds=[group["GroupId"]], WaiterConfig=_SOON)
    [subnet] = ec2.describe_subnets(
        Filters=[
            {"Name": "vpc-id", "Values": [vpc["VpcId"]]},
            {"Name": "state", "Values": ["available"]},
            {"Name": "default-for-az", "Values": ["true"]},
            {"Name": "availability-zone", "Values": ["cluster02"]},
        ]
    )["Subnets"]
    tags = [{"Key": "Name", "Value": "web"}]
    sought = [
        {"Name": "tag:Name", "Values": ["web"]},
        {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
        {"Name": "subnet-id", "Values": [subnet["SubnetId"]]},
    ]
    assert ec2.describe_instances(Filters=sought)["Reservations"] == []
    interface = {
        "DeviceIndex": 0,
        "SubnetId": subnet["SubnetId"],
        "Groups": [group["GroupId"]],
        "AssociatePublicIpAddress": True,
        "DeleteOnTermination": True,
    }
    [made] = ec2.run_instances(
        ImageId=image,
        InstanceType="t1.micro",
        KeyName="ansible",
        NetworkInterfaces=[interface],
        TagSpecifications=[{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")],
        EbsOptimized=False,
        Monitoring={"Enabled": False},
        MinCount=1,
        MaxCount=1,
        ClientToken="ansible-1",
    )["Instances"]
    ids = [made["InstanceId"]]
    for waiter in ("instance_exists", "instance_running", "instance_status_ok"):
        ec2.get_waiter(waiter).wait(InstanceIds=ids, WaiterConfig=_SOON)
    [found] = ec2.describe_instances(Filters=sought)["Reservations"]
    assert [one["InstanceId"] for one in found["Instances"]] == ids, "the second time finds it"
    ec2.modify_instance_attribute(InstanceId=ids[0], DisableApiTermination={"Value": True})
    protected = ec2.describe_instance_attribute(
        InstanceId=ids[0], Attribute="disableApiTermination"
    )
    assert protected["DisableApiTermination"] == {"Value": True}
