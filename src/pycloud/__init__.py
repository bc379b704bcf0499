"""pycloud: assemble your own AWS-compatible cloud in Python.

    cloud                         the public verbs: CloudController
    loop                          makes true what was decided
    compute  storage  network     machines · bytes · addresses: stores that decide, plans, contracts
    of drivers
    identity                      whom things belong to
    state                         one database, SQLite or PostgreSQL
    drivers                       the outer wall: libvirt, taps, files, and simulated ones
    metadata                      what guests ask at 169.254.169.254
    aws  ec2                      the wire, and the adapter that speaks EC2 on it

A floor may use those below it; compute, storage, network and identity keep to themselves, but that
compute uses storage and network. Nothing
here imports `drivers`, `testing`, `aws` or `ec2`: users do, so that every extra stays optional.

The names below are the public face. They are imported when first used: `import pycloud` alone loads
nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from pycloud._version import __version__

if TYPE_CHECKING:
    from pycloud.clock import Clock as Clock
    from pycloud.clock import ManualClock as ManualClock
    from pycloud.clock import SystemClock as SystemClock
    from pycloud.cloud import CloudController as CloudController
    from pycloud.compute.bundles import InvalidBundle as InvalidBundle
    from pycloud.compute.explanation import Explanation as Explanation
    from pycloud.compute.explanation import Objection as Objection
    from pycloud.compute.hypervisor import Domain as Domain
    from pycloud.compute.hypervisor import FoundDomain as FoundDomain
    from pycloud.compute.hypervisor import FoundHost as FoundHost
    from pycloud.compute.hypervisor import Hypervisor as Hypervisor
    from pycloud.compute.hypervisor import OffReason as OffReason
    from pycloud.compute.hypervisor import Power as Power
    from pycloud.compute.images import ImageRegistry as ImageRegistry
    from pycloud.compute.index import Need as Need
    from pycloud.compute.index import NodeIndex as NodeIndex
    from pycloud.compute.keypairs import KeyPairStore as KeyPairStore
    from pycloud.compute.launch_templates import LaunchTemplate as LaunchTemplate
    from pycloud.compute.launch_templates import LaunchTemplates as LaunchTemplates
    from pycloud.compute.launch_templates import TemplateVersion as TemplateVersion
    from pycloud.compute.node import NodeController as NodeController
    from pycloud.compute.placement import Placement as Placement
    from pycloud.compute.placement_groups import PlacementGroups as PlacementGroups
    from pycloud.compute.plan import GuestPlan as GuestPlan
    from pycloud.compute.plan import GuestReport as GuestReport
    from pycloud.compute.plan import NodePlan as NodePlan
    from pycloud.compute.plan import NodeReport as NodeReport
    from pycloud.compute.policies import Greedy as Greedy
    from pycloud.compute.policies import Policy as Policy
    from pycloud.compute.policies import PowerSave as PowerSave
    from pycloud.compute.policies import RoundRobin as RoundRobin
    from pycloud.compute.policies import Spread as Spread
    from pycloud.compute.records import CreatedKeyPair as CreatedKeyPair
    from pycloud.compute.records import GroupStrategy as GroupStrategy
    from pycloud.compute.records import Image as Image
    from pycloud.compute.records import ImageKind as ImageKind
    from pycloud.compute.records import Instance as Instance
    from pycloud.compute.records import InstanceState as InstanceState
    from pycloud.compute.records import KeyPair as KeyPair
    from pycloud.compute.records import NodeMode as NodeMode
    from pycloud.compute.records import NodeRoom as NodeRoom
    from pycloud.compute.records import NodeState as NodeState
    from pycloud.compute.records import PlacementGroup as PlacementGroup
    from pycloud.compute.scheduler import Capacity as Capacity
    from pycloud.compute.scheduler import ClusterScheduler as ClusterScheduler
    from pycloud.compute.types import DEFAULT_TYPES as DEFAULT_TYPES
    from pycloud.compute.types import InstanceType as InstanceType
    from pycloud.compute.types import InstanceTypes as InstanceTypes
    from pycloud.errors import Cannot as Cannot
    from pycloud.errors import DriverError as DriverError
    from pycloud.errors import Duplicate as Duplicate
    from pycloud.errors import InUse as InUse
    from pycloud.errors import InvalidValue as InvalidValue
    from pycloud.errors import LimitExceeded as LimitExceeded
    from pycloud.errors import NoAddress as NoAddress
    from pycloud.errors import NoRoom as NoRoom
    from pycloud.errors import NotFound as NotFound
    from pycloud.errors import NotOwner as NotOwner
    from pycloud.errors import NotSettled as NotSettled
    from pycloud.errors import Protected as Protected
    from pycloud.errors import PyCloudError as PyCloudError
    from pycloud.errors import Refused as Refused
    from pycloud.errors import SchemaTooNew as SchemaTooNew
    from pycloud.errors import StateBusy as StateBusy
    from pycloud.errors import StateError as StateError
    from pycloud.errors import TryLater as TryLater
    from pycloud.errors import WrongState as WrongState
    from pycloud.identity.access_keys import AccessKey as AccessKey
    from pycloud.identity.access_keys import AccessKeyStore as AccessKeyStore
    from pycloud.identity.access_keys import FoundKey as FoundKey
    from pycloud.identity.accounts import Account as Account
    from pycloud.identity.accounts import AccountStore as AccountStore
    from pycloud.identity.certificates import Certificate as Certificate
    from pycloud.identity.certificates import CertificateStore as CertificateStore
    from pycloud.identity.credentials import Endpoints as Endpoints
    from pycloud.identity.identity import Identity as Identity
    from pycloud.identity.sealing import Seal as Seal
    from pycloud.identity.sessions import Session as Session
    from pycloud.identity.sessions import Sessions as Sessions
    from pycloud.identity.users import User as User
    from pycloud.identity.users import UserStore as UserStore
    from pycloud.ids import ADMIN_ACCOUNT as ADMIN_ACCOUNT
    from pycloud.ids import AccessKeyId as AccessKeyId
    from pycloud.ids import AccountId as AccountId
    from pycloud.ids import AllocationId as AllocationId
    from pycloud.ids import AssociationId as AssociationId
    from pycloud.ids import BlobId as BlobId
    from pycloud.ids import CertificateId as CertificateId
    from pycloud.ids import DiskId as DiskId
    from pycloud.ids import GroupId as GroupId
    from pycloud.ids import ImageId as ImageId
    from pycloud.ids import InstanceId as InstanceId
    from pycloud.ids import KeyPairId as KeyPairId
    from pycloud.ids import LaunchTemplateId as LaunchTemplateId
    from pycloud.ids import NodeName as NodeName
    from pycloud.ids import ReservationId as ReservationId
    from pycloud.ids import RuleId as RuleId
    from pycloud.ids import SecurityGroupId as SecurityGroupId
    from pycloud.ids import SubnetId as SubnetId
    from pycloud.ids import UserId as UserId
    from pycloud.ids import VpcId as VpcId
    from pycloud.metadata import InstanceMetadata as InstanceMetadata
    from pycloud.metadata import MetadataApp as MetadataApp
    from pycloud.network.addresses import IPPool as IPPool
    from pycloud.network.elastic import ElasticAddress as ElasticAddress
    from pycloud.network.elastic import ElasticAddresses as ElasticAddresses
    from pycloud.network.fabric import Fabric as Fabric
    from pycloud.network.groups import SecurityGroup as SecurityGroup
    from pycloud.network.groups import SecurityGroups as SecurityGroups
    from pycloud.network.records import Wire as Wire
    from pycloud.network.rules import Rule as Rule
    from pycloud.network.rules import StoredRule as StoredRule
    from pycloud.network.vpcs import VPC as VPC
    from pycloud.network.vpcs import Subnet as Subnet
    from pycloud.network.vpcs import VPCStore as VPCStore
    from pycloud.state.database import Database as Database
    from pycloud.state.postgres import PostgresState as PostgresState
    from pycloud.state.sqlite import SQLiteState as SQLiteState
    from pycloud.storage.blobs import Blobs as Blobs
    from pycloud.storage.blobs import WrittenBlob as WrittenBlob
    from pycloud.storage.blocks import Blocks as Blocks
    from pycloud.storage.buckets import BucketStore as BucketStore
    from pycloud.storage.buckets import StoredObject as StoredObject
    from pycloud.storage.records import Disk as Disk
    from pycloud.tags import TagStore as TagStore

_WHERE = {
    name: f"pycloud.{module}"
    for module, names in {
        "clock": (
            "Clock",
            "ManualClock",
            "SystemClock",
        ),
        "cloud": ("CloudController",),
        "compute.bundles": ("InvalidBundle",),
        "compute.explanation": (
            "Explanation",
            "Objection",
        ),
        "compute.hypervisor": (
            "Domain",
            "FoundDomain",
            "FoundHost",
            "Hypervisor",
            "OffReason",
            "Power",
        ),
        "compute.images": ("ImageRegistry",),
        "compute.index": (
            "Need",
            "NodeIndex",
        ),
        "compute.keypairs": ("KeyPairStore",),
        "compute.launch_templates": (
            "LaunchTemplate",
            "LaunchTemplates",
            "TemplateVersion",
        ),
        "compute.node": ("NodeController",),
        "compute.placement": ("Placement",),
        "compute.placement_groups": ("PlacementGroups",),
        "compute.plan": (
            "GuestPlan",
            "GuestReport",
            "NodePlan",
            "NodeReport",
        ),
        "compute.policies": (
            "Greedy",
            "Policy",
            "PowerSave",
            "RoundRobin",
            "Spread",
        ),
        "compute.records": (
            "CreatedKeyPair",
            "GroupStrategy",
            "Image",
            "ImageKind",
            "Instance",
            "InstanceState",
            "KeyPair",
            "NodeMode",
            "NodeRoom",
            "NodeState",
            "PlacementGroup",
        ),
        "compute.scheduler": (
            "Capacity",
            "ClusterScheduler",
        ),
        "compute.types": (
            "DEFAULT_TYPES",
            "InstanceType",
            "InstanceTypes",
        ),
        "errors": (
            "Cannot",
            "DriverError",
            "Duplicate",
            "InUse",
            "InvalidValue",
            "LimitExceeded",
            "NoAddress",
            "NoRoom",
            "NotFound",
            "NotOwner",
            "NotSettled",
            "Protected",
            "PyCloudError",
            "Refused",
            "SchemaTooNew",
            "StateBusy",
            "StateError",
            "TryLater",
            "WrongState",
        ),
        "identity.access_keys": (
            "AccessKey",
            "AccessKeyStore",
            "FoundKey",
        ),
        "identity.accounts": (
            "Account",
            "AccountStore",
        ),
        "identity.certificates": (
            "Certificate",
            "CertificateStore",
        ),
        "identity.credentials": ("Endpoints",),
        "identity.identity": ("Identity",),
        "identity.sealing": ("Seal",),
        "identity.sessions": (
            "Session",
            "Sessions",
        ),
        "identity.users": (
            "User",
            "UserStore",
        ),
        "ids": (
            "AccessKeyId",
            "AccountId",
            "ADMIN_ACCOUNT",
            "AllocationId",
            "AssociationId",
            "BlobId",
            "CertificateId",
            "DiskId",
            "GroupId",
            "ImageId",
            "InstanceId",
            "KeyPairId",
            "LaunchTemplateId",
            "NodeName",
            "ReservationId",
            "RuleId",
            "SecurityGroupId",
            "SubnetId",
            "UserId",
            "VpcId",
        ),
        "metadata": (
            "InstanceMetadata",
            "MetadataApp",
        ),
        "network.addresses": ("IPPool",),
        "network.elastic": (
            "ElasticAddress",
            "ElasticAddresses",
        ),
        "network.fabric": ("Fabric",),
        "network.groups": (
            "SecurityGroup",
            "SecurityGroups",
        ),
        "network.records": ("Wire",),
        "network.rules": (
            "Rule",
            "StoredRule",
        ),
        "network.vpcs": (
            "Subnet",
            "VPC",
            "VPCStore",
        ),
        "state.database": ("Database",),
        "state.postgres": ("PostgresState",),
        "state.sqlite": ("SQLiteState",),
        "storage.blobs": (
            "Blobs",
            "WrittenBlob",
        ),
        "storage.blocks": ("Blocks",),
        "storage.buckets": (
            "BucketStore",
            "StoredObject",
        ),
        "storage.records": ("Disk",),
        "tags": ("TagStore",),
    }.items()
    for name in names
}

__all__ = [
    "ADMIN_ACCOUNT",
    "DEFAULT_TYPES",
    "VPC",
    "AccessKey",
    "AccessKeyId",
    "AccessKeyStore",
    "Account",
    "AccountId",
    "AccountStore",
    "AllocationId",
    "AssociationId",
    "BlobId",
    "Blobs",
    "Blocks",
    "BucketStore",
    "Cannot",
    "Capacity",
    "Certificate",
    "CertificateId",
    "CertificateStore",
    "Clock",
    "CloudController",
    "ClusterScheduler",
    "CreatedKeyPair",
    "Database",
    "Disk",
    "DiskId",
    "Domain",
    "DriverError",
    "Duplicate",
    "ElasticAddress",
    "ElasticAddresses",
    "Endpoints",
    "Explanation",
    "Fabric",
    "FoundDomain",
    "FoundHost",
    "FoundKey",
    "Greedy",
    "GroupId",
    "GroupStrategy",
    "GuestPlan",
    "GuestReport",
    "Hypervisor",
    "IPPool",
    "Identity",
    "Image",
    "ImageId",
    "ImageKind",
    "ImageRegistry",
    "InUse",
    "Instance",
    "InstanceId",
    "InstanceMetadata",
    "InstanceState",
    "InstanceType",
    "InstanceTypes",
    "InvalidValue",
    "KeyPair",
    "KeyPairId",
    "KeyPairStore",
    "LaunchTemplate",
    "LaunchTemplateId",
    "LaunchTemplates",
    "LimitExceeded",
    "ManualClock",
    "MetadataApp",
    "Need",
    "NoAddress",
    "NoRoom",
    "NodeController",
    "NodeIndex",
    "NodeMode",
    "NodeName",
    "NodePlan",
    "NodeReport",
    "NodeRoom",
    "NodeState",
    "NotFound",
    "NotOwner",
    "NotSettled",
    "Objection",
    "OffReason",
    "Placement",
    "PlacementGroup",
    "PlacementGroups",
    "Policy",
    "PostgresState",
    "Power",
    "PowerSave",
    "Protected",
    "PyCloudError",
    "Refused",
    "ReservationId",
    "RoundRobin",
    "Rule",
    "RuleId",
    "SQLiteState",
    "SchemaTooNew",
    "Seal",
    "SecurityGroup",
    "SecurityGroupId",
    "SecurityGroups",
    "Session",
    "Sessions",
    "Spread",
    "StateBusy",
    "StateError",
    "StoredObject",
    "StoredRule",
    "Subnet",
    "SubnetId",
    "SystemClock",
    "TagStore",
    "TemplateVersion",
    "TryLater",
    "User",
    "UserId",
    "UserStore",
    "VPCStore",
    "VpcId",
    "Wire",
    "WrittenBlob",
    "WrongState",
    "__version__",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _WHERE:
        raise AttributeError(f"module 'pycloud' has no attribute {name!r}")
    value: object = getattr(import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, also those not imported yet."""
    return sorted(__all__)
