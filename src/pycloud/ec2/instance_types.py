"""Instance types, and where they are offered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pycloud.aws.actions import Actions, Answer
from pycloud.compute.types import InstanceType
from pycloud.ec2.answers import picked
from pycloud.ec2.call import Call
from pycloud.ec2.filters import Filter, chosen
from pycloud.ec2.pages import page, refuse_with_ids
from pycloud.ec2.taken import EC2
from pycloud.ec2.zones import zone_ids

actions = Actions("ec2", EC2)

_FILTERS = {
    "auto-recovery-supported": "AutoRecoverySupported",
    "bare-metal": "BareMetal",
    "burstable-performance-supported": "BurstablePerformanceSupported",
    "current-generation": "CurrentGeneration",
    "free-tier-eligible": "FreeTierEligible",
    "hypervisor": "Hypervisor",
    "instance-storage-info.total-size-in-gb": "InstanceStorageInfo.TotalSizeInGB",
    "instance-storage-supported": "InstanceStorageSupported",
    "instance-type": "InstanceType",
    "memory-info.size-in-mib": "MemoryInfo.SizeInMiB",
    "processor-info.supported-architecture": "ProcessorInfo.SupportedArchitectures",
    "supported-boot-mode": "SupportedBootModes",
    "supported-root-device-type": "SupportedRootDeviceTypes",
    "supported-usage-class": "SupportedUsageClasses",
    "supported-virtualization-type": "SupportedVirtualizationTypes",
    "vcpu-info.default-cores": "VCpuInfo.DefaultCores",
    "vcpu-info.default-vcpus": "VCpuInfo.DefaultVCpus",
}
_OFFERING_FILTERS = {"instance-type": "InstanceType", "location": "Location"}


@actions.action(
    "DescribeInstanceTypes",
    harmless={"IncludeUnsupportedInRegion": "every type is offered in the one region"},
)
def describe_instance_types(
    call: Call,
    *,
    instance_types: Sequence[str] | None = None,
    filters: Sequence[Filter] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Answer:
    """The types that the cloud's owner offers."""
    refuse_with_ids(instance_types or (), max_results)
    items = [_described(kind) for kind in call.cloud.types.list()]
    items = picked(items, "InstanceType", instance_types or (), "InvalidInstanceType")
    items = chosen(items, filters, _FILTERS, tags_of=None)
    shown, token = page(items, "InstanceType", max_results, next_token, most=100)
    return {"InstanceTypes": shown, "NextToken": token}


@actions.action("DescribeInstanceTypeOfferings")
def describe_instance_type_offerings(
    call: Call,
    *,
    location_type: str = "region",
    filters: Sequence[Filter] | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Answer:
    """Every type is offered in the region and in each zone."""
    places = {
        "region": [call.cloud.region],
        "availability-zone": [*zone_ids(call)],
        "availability-zone-id": [*zone_ids(call).values()],
    }.get(location_type, [])
    items = [
        {
            "InstanceType": kind.name,
            "LocationType": location_type,
            "Location": place,
        }
        for kind in call.cloud.types.list()
        for place in places
    ]
    items = chosen(items, filters, _OFFERING_FILTERS, tags_of=None)
    shown, token = page(items, _place, max_results, next_token)
    return {"InstanceTypeOfferings": shown, "NextToken": token}


def _place(offering: Mapping[str, str]) -> str:
    return f"{offering['InstanceType']} {offering['Location']}"


def _described(kind: InstanceType) -> dict[str, Any]:
    return {
        "InstanceType": kind.name,
        "CurrentGeneration": True,
        "FreeTierEligible": False,
        "SupportedUsageClasses": ["on-demand"],
        "SupportedRootDeviceTypes": ["instance-store"],
        "SupportedVirtualizationTypes": ["hvm"],
        "SupportedBootModes": ["legacy-bios"],
        "BareMetal": False,
        "Hypervisor": "nitro",
        "ProcessorInfo": {"SupportedArchitectures": ["x86_64"]},
        "VCpuInfo": {
            "DefaultVCpus": kind.cpus,
            "DefaultCores": kind.cpus,
            "DefaultThreadsPerCore": 1,
        },
        "MemoryInfo": {"SizeInMiB": kind.memory_mib},
        "InstanceStorageSupported": True,
        "InstanceStorageInfo": {
            "TotalSizeInGB": kind.disk_gib,
            "Disks": [{"SizeInGB": kind.disk_gib, "Count": 1, "Type": "hdd"}],
        },
        "EbsInfo": {"EbsOptimizedSupport": "unsupported", "EncryptionSupport": "unsupported"},
        "NetworkInfo": {
            "MaximumNetworkInterfaces": 1,
            "MaximumNetworkCards": 1,
            "DefaultNetworkCardIndex": 0,
            "Ipv4AddressesPerInterface": 1,
            "Ipv6AddressesPerInterface": 0,
            "Ipv6Supported": False,
            "EnaSupport": "unsupported",
        },
        "PlacementGroupInfo": {"SupportedStrategies": ["cluster", "partition", "spread"]},
        "HibernationSupported": False,
        "BurstablePerformanceSupported": False,
        "DedicatedHostsSupported": False,
        "AutoRecoverySupported": False,
    }
