"""Every filter of every Describe action chooses by what it says: a value of the thing that was made,
and one that nothing has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import pytest
from botocore.exceptions import ClientError

from pycloud.ec2 import (
    addresses,
    images,
    instance_types,
    instances,
    interfaces,
    key_pairs,
    launch_templates,
    placement_groups,
    rules,
    security_groups,
    tags,
    vpcs,
    zones,
)
from pycloud.ec2.actions import ACTIONS
from tests.ec2.things import Things, code_of


@attrs.frozen
class Filtered:
    """A Describe action, and what its filters are to find."""

    action: str
    key: str
    """Where the answer has the things."""
    id_key: str
    thing: str
    """The id of the thing that is to be found."""
    members: Mapping[str, str]
    """The source's filters."""
    values: Mapping[str, str]
    """A value of the thing for each filter, ids in braces."""
    parameters: Mapping[str, Any] = attrs.field(factory=dict)
    tagged: bool = True

    def __str__(self) -> str:
        return self.action


_MADE = "20??-*Z"
FILTERED = [
    Filtered(
        "DescribeInstances",
        "Reservations",
        "InstanceId",
        "{running}",
        instances._FILTERS,
        {
            "architecture": "x86_64",
            "availability-zone": "cluster01",
            "client-token": "running",
            "current-instance-boot-mode": "legacy-bios",
            "dns-name": "{used_ip}",
            "enclave-options.enabled": "false",
            "group-id": "{web_group}",
            "group-name": "web",
            "hibernation-options.configured": "false",
            "hypervisor": "xen",
            "image-id": "{own_image}",
            "instance-id": "{running}",
            "instance-state-code": "16",
            "instance-state-name": "running",
            "instance-type": "m1.small",
            "instance.group-id": "{web_group}",
            "instance.group-name": "web",
            "ip-address": "{used_ip}",
            "kernel-id": "{eki}",
            "key-name": "web",
            "launch-index": "0",
            "launch-time": _MADE,
            "maintenance-options.auto-recovery": "disabled",
            "metadata-options.http-endpoint": "enabled",
            "metadata-options.http-put-response-hop-limit": "2",
            "metadata-options.http-tokens": "required",
            "monitoring-state": "enabled",
            "network-interface.addresses.association.ip-owner-id": "000000000001",
            "network-interface.addresses.association.public-ip": "{used_ip}",
            "network-interface.addresses.primary": "true",
            "network-interface.addresses.private-ip-address": "{address}",
            "network-interface.association.ip-owner-id": "000000000001",
            "network-interface.association.public-ip": "{used_ip}",
            "network-interface.attachment.attach-time": _MADE,
            "network-interface.attachment.attachment-id": "eni-attach-*",
            "network-interface.attachment.delete-on-termination": "true",
            "network-interface.attachment.device-index": "0",
            "network-interface.attachment.status": "attached",
            "network-interface.group-id": "{web_group}",
            "network-interface.group-name": "web",
            "network-interface.mac-address": "??:??:??:??:??:??",
            "network-interface.network-interface-id": "{eni}",
            "network-interface.owner-id": "000000000001",
            "network-interface.private-dns-name": "ip-*.pycloud.internal",
            "network-interface.source-dest-check": "true",
            "network-interface.status": "in-use",
            "network-interface.subnet-id": "{subnet}",
            "network-interface.vpc-id": "{vpc}",
            "owner-id": "000000000001",
            "placement-group-name": "parts",
            "placement-partition-number": "1",
            "platform-details": "Linux/UNIX",
            "private-dns-name": "ip-*.pycloud.internal",
            "private-ip-address": "{address}",
            "ramdisk-id": "{eri}",
            "reservation-id": "{running_reservation}",
            "root-device-name": "/dev/vda",
            "root-device-type": "instance-store",
            "source-dest-check": "true",
            "subnet-id": "{subnet}",
            "tenancy": "default",
            "usage-operation": "RunInstances",
            "virtualization-type": "hvm",
            "vpc-id": "{vpc}",
        },
    ),
    Filtered(
        "DescribeInstances",
        "Reservations",
        "InstanceId",
        "{terminated}",
        instances._FILTERS,
        {
            "state-reason-code": "Client.UserInitiatedShutdown",
            "state-reason-message": "*User initiated shutdown",
        },
    ),
    Filtered(
        "DescribeInstanceStatus",
        "InstanceStatuses",
        "InstanceId",
        "{running}",
        instances._STATUS_FILTERS,
        {
            "availability-zone": "cluster01",
            "instance-state-code": "16",
            "instance-state-name": "running",
            "instance-status.reachability": "passed",
            "instance-status.status": "ok",
            "system-status.reachability": "passed",
            "system-status.status": "ok",
        },
        tagged=False,
    ),
    Filtered(
        "DescribeImages",
        "Images",
        "ImageId",
        "{own_image}",
        images._FILTERS,
        {
            "architecture": "x86_64",
            "creation-date": _MADE,
            "description": "an image that is own",
            "hypervisor": "xen",
            "image-id": "{own_image}",
            "image-type": "machine",
            "is-public": "false",
            "kernel-id": "{eki}",
            "manifest-location": "disks/web.img",
            "name": "own",
            "owner-id": "000000000001",
            "ramdisk-id": "{eri}",
            "root-device-name": "/dev/vda",
            "root-device-type": "instance-store",
            "state": "available",
            "virtualization-type": "hvm",
        },
    ),
    Filtered(
        "DescribeKeyPairs",
        "KeyPairs",
        "KeyPairId",
        "{key}",
        key_pairs._FILTERS,
        {"fingerprint": "{fingerprint}", "key-name": "web", "key-pair-id": "{key}"},
    ),
    Filtered(
        "DescribeAvailabilityZones",
        "AvailabilityZones",
        "ZoneName",
        "cluster01",
        zones._ZONE_FILTERS,
        {
            "group-name": "pycloud",
            "opt-in-status": "opt-in-not-required",
            "region-name": "pycloud",
            "state": "available",
            "zone-id": "pycloud-az1",
            "zone-name": "cluster01",
            "zone-type": "availability-zone",
        },
        tagged=False,
    ),
    Filtered(
        "DescribeRegions",
        "Regions",
        "RegionName",
        "pycloud",
        zones._REGION_FILTERS,
        {
            "endpoint": "127.0.0.1:*",
            "opt-in-status": "opt-in-not-required",
            "region-name": "pycloud",
        },
        tagged=False,
    ),
    Filtered(
        "DescribeInstanceTypes",
        "InstanceTypes",
        "InstanceType",
        "m1.large",
        instance_types._FILTERS,
        {
            "auto-recovery-supported": "false",
            "bare-metal": "false",
            "burstable-performance-supported": "false",
            "current-generation": "true",
            "free-tier-eligible": "false",
            "hypervisor": "nitro",
            "instance-storage-info.total-size-in-gb": "10",
            "instance-storage-supported": "true",
            "instance-type": "m1.*",
            "memory-info.size-in-mib": "512",
            "processor-info.supported-architecture": "x86_64",
            "supported-boot-mode": "legacy-bios",
            "supported-root-device-type": "instance-store",
            "supported-usage-class": "on-demand",
            "supported-virtualization-type": "hvm",
            "vcpu-info.default-cores": "2",
            "vcpu-info.default-vcpus": "2",
        },
        tagged=False,
    ),
    Filtered(
        "DescribeInstanceTypeOfferings",
        "InstanceTypeOfferings",
        "InstanceType",
        "m1.large",
        instance_types._OFFERING_FILTERS,
        {"instance-type": "m1.large", "location": "cluster02"},
        {"LocationType": "availability-zone"},
        tagged=False,
    ),
    Filtered(
        "DescribeTags",
        "Tags",
        "ResourceId",
        "{web_group}",
        tags._FILTERS,
        {
            "key": "made",
            "resource-id": "{web_group}",
            "resource-type": "security-group",
            "value": "here",
        },
    ),
    Filtered(
        "DescribePlacementGroups",
        "PlacementGroups",
        "GroupId",
        "{apart}",
        placement_groups._FILTERS,
        {
            "group-arn": "arn:aws:ec2:pycloud:000000000001:placement-group/apart",
            "group-name": "apart",
            "spread-level": "rack",
            "state": "available",
            "strategy": "spread",
        },
    ),
    Filtered(
        "DescribeLaunchTemplates",
        "LaunchTemplates",
        "LaunchTemplateId",
        "{template}",
        launch_templates._FILTERS,
        {"create-time": _MADE, "launch-template-name": "web"},
    ),
    Filtered(
        "DescribeLaunchTemplateVersions",
        "LaunchTemplateVersions",
        "LaunchTemplateId",
        "{template}",
        launch_templates._VERSION_FILTERS,
        {
            "create-time": _MADE,
            "http-endpoint": "enabled",
            "http-tokens": "required",
            "image-id": "{emi}",
            "instance-type": "m1.large",
            "is-default-version": "false",
            "kernel-id": "{eki}",
            "ram-disk-id": "{eri}",
        },
        {"LaunchTemplateName": "web"},
        tagged=False,
    ),
    Filtered(
        "DescribeSecurityGroups",
        "SecurityGroups",
        "GroupId",
        "{db_group}",
        security_groups._FILTERS,
        {
            "description": "of db",
            "egress.ip-permission.cidr": "0.0.0.0/0",
            "egress.ip-permission.from-port": "443",
            "egress.ip-permission.group-id": "{web_group}",
            "egress.ip-permission.ipv6-cidr": "::/0",
            "egress.ip-permission.protocol": "udp",
            "egress.ip-permission.to-port": "54",
            "egress.ip-permission.user-id": "000000000001",
            "group-id": "{db_group}",
            "group-name": "d?",
            "ip-permission.cidr": "0.0.0.0/0",
            "ip-permission.from-port": "53",
            "ip-permission.group-id": "{web_group}",
            "ip-permission.ipv6-cidr": "::/0",
            "ip-permission.protocol": "udp",
            "ip-permission.to-port": "54",
            "ip-permission.user-id": "000000000001",
            "owner-id": "000000000001",
            "vpc-id": "{vpc}",
        },
    ),
    Filtered(
        "DescribeSecurityGroupRules",
        "SecurityGroupRules",
        "SecurityGroupRuleId",
        "{ingress_rule}",
        rules._FILTERS,
        {"group-id": "{db_group}", "security-group-rule-id": "{ingress_rule}"},
    ),
    Filtered(
        "DescribeVpcs",
        "Vpcs",
        "VpcId",
        "{vpc}",
        vpcs._VPC_FILTERS,
        {
            "cidr": "10.11.0.0/16",
            "cidr-block-association.association-id": "vpc-cidr-assoc-*",
            "cidr-block-association.cidr-block": "10.11.0.0/16",
            "cidr-block-association.state": "associated",
            "dhcp-options-id": "default",
            "is-default": "true",
            "isDefault": "true",
            "owner-id": "000000000001",
            "state": "available",
            "vpc-id": "{vpc}",
        },
    ),
    Filtered(
        "DescribeSubnets",
        "Subnets",
        "SubnetId",
        "{subnet}",
        vpcs._SUBNET_FILTERS,
        {
            "availability-zone": "cluster01",
            "availabilityZone": "cluster01",
            "available-ip-address-count": "655??",
            "cidr": "10.11.0.0/16",
            "cidr-block": "10.11.0.0/16",
            "cidrBlock": "10.11.0.0/16",
            "default-for-az": "true",
            "defaultForAz": "true",
            "map-public-ip-on-launch": "true",
            "owner-id": "000000000001",
            "state": "available",
            "subnet-arn": "arn:aws:ec2:pycloud:000000000001:subnet/{subnet}",
            "subnet-id": "{subnet}",
            "vpc-id": "{vpc}",
        },
    ),
    Filtered(
        "DescribeNetworkInterfaces",
        "NetworkInterfaces",
        "NetworkInterfaceId",
        "{eni}",
        interfaces._FILTERS,
        {
            "addresses.association.public-ip": "{used_ip}",
            "addresses.primary": "true",
            "addresses.private-ip-address": "{address}",
            "association.allocation-id": "{used_eip}",
            "association.association-id": "{association}",
            "association.ip-owner-id": "000000000001",
            "association.public-dns-name": "{used_ip}",
            "association.public-ip": "{used_ip}",
            "attachment.attach-time": _MADE,
            "attachment.attachment-id": "eni-attach-*",
            "attachment.delete-on-termination": "true",
            "attachment.device-index": "0",
            "attachment.instance-id": "{running}",
            "attachment.instance-owner-id": "000000000001",
            "attachment.status": "attached",
            "availability-zone": "cluster01",
            "group-id": "{web_group}",
            "group-name": "web",
            "interface-type": "interface",
            "mac-address": "??:??:??:??:??:??",
            "network-interface-id": "{eni}",
            "owner-id": "000000000001",
            "private-dns-name": "ip-*.pycloud.internal",
            "private-ip-address": "{address}",
            "requester-managed": "false",
            "source-dest-check": "true",
            "status": "in-use",
            "subnet-id": "{subnet}",
            "vpc-id": "{vpc}",
        },
    ),
    Filtered(
        "DescribeAddresses",
        "Addresses",
        "AllocationId",
        "{used_eip}",
        addresses._FILTERS,
        {
            "allocation-id": "{used_eip}",
            "association-id": "{association}",
            "domain": "vpc",
            "instance-id": "{running}",
            "network-border-group": "pycloud",
            "network-interface-id": "{eni}",
            "network-interface-owner-id": "000000000001",
            "private-ip-address": "{address}",
            "public-ip": "{used_ip}",
        },
    ),
]
UNMATCHED = {
    "DescribeInstances": {"reason": "nothing failed"},
    "DescribeImages": {
        "owner-alias": "no image is Amazon's",
        "platform": "it is there for Windows alone",
    },
    "DescribeAvailabilityZones": {"message": "no zone has a message"},
    "DescribeNetworkInterfaces": {"description": "it is empty"},
}
"""Filters that no thing can match, with the reason."""


def _walk() -> Iterator[Any]:
    for one in FILTERED:
        for name, value in one.values.items():
            yield pytest.param(one, name, value, id=f"{one}-{name}")
        if one.tagged:
            for name, value in (("tag:made", "here"), ("tag:made", "h*"), ("tag-key", "made")):
                yield pytest.param(one, name, value, id=f"{one}-{name}={value}")


def _found(things: Things, one: Filtered, name: str, *values: str) -> list[str]:
    filters = [{"Name": name, "Values": list(values)}]
    answer = things.ask(one.action, {**one.parameters, "Filters": filters})
    items = answer[one.key]
    if one.key == "Reservations":
        items = [item for reservation in items for item in reservation["Instances"]]
    return [item[one.id_key] for item in items]


@pytest.mark.parametrize(("one", "name", "value"), [*_walk()])
def test_a_filter_finds_what_has_its_value_and_nothing_else(
    things: Things, one: Filtered, name: str, value: str
) -> None:
    found = _found(things, one, name, "neither", value)
    assert things.filled(one.thing) in found
    assert _found(things, one, name, "no such value") == []
    assert _found(things, one, name, f"{things.filled(value)}x") == []


def test_every_filter_is_walked() -> None:
    tested: dict[str, set[str]] = {}
    declared: dict[str, set[str]] = {}
    for one in FILTERED:
        tested.setdefault(one.action, set()).update(one.values)
        declared.setdefault(one.action, set()).update(one.members)
    for action, names in declared.items():
        assert tested[action] | {*UNMATCHED.get(action, ())} == names, action
    takers = {one.name for one in ACTIONS.values() if "Filters" in one.parameters}
    assert takers == {*declared}


@pytest.mark.parametrize("one", FILTERED, ids=str)
def test_a_filter_that_there_is_not_is_refused(things: Things, one: Filtered) -> None:
    for name in ("colour",) if one.tagged else ("colour", "tag:made", "tag-key"):
        with pytest.raises(ClientError) as refused:
            _found(things, one, name, "red")
        assert code_of(refused) == "InvalidParameterValue"
        assert f"'{name}'" in str(refused.value)


@pytest.mark.parametrize(
    ("filters", "code"),
    [
        ([{"Values": ["running"]}], "MissingParameter"),
        ([{"Name": "instance-id"}], "InvalidParameterValue"),
        ([{"Name": "instance-id", "Values": ["i-1"] * 201}], "FilterLimitExceeded"),
    ],
)
def test_a_filter_has_a_name_and_1_to_200_values(
    things: Things, filters: list[Any], code: str
) -> None:
    with pytest.raises(ClientError) as refused:
        things.ask("DescribeInstances", {"Filters": filters})
    assert code_of(refused) == code


def test_several_filters_must_all_hold(things: Things) -> None:
    running = {"Name": "instance-state-name", "Values": ["running"]}
    spread = {"Name": "placement-group-name", "Values": ["apart"]}
    assert things.ask("DescribeInstances", {"Filters": [running, spread]})["Reservations"] == []
    stopped = {"Name": "instance-state-name", "Values": ["stopped", "running"]}
    both = things.ask("DescribeInstances", {"Filters": [stopped, spread]})["Reservations"]
    assert [one["Instances"][0]["InstanceId"] for one in both] == [things.ids["stopped"]]


def test_signs_after_a_backslash_stand_for_themselves(things: Things) -> None:
    one = FILTERED[0]
    assert _found(things, one, "instance-type", "m1.smal?")
    assert not _found(things, one, "instance-type", "m1.smal\\?")
    assert not _found(things, one, "instance-type", "m1\\*")
