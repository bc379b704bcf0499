"""pycloud: assemble your own AWS-compatible cloud in Python.

    cloud                         the public verbs: CloudController
    loop                          makes true what was decided
    compute  storage  network     machines · bytes · addresses: stores that decide, plans, contracts
    of drivers
    identity                      whom things belong to
    state                         one database, SQLite or PostgreSQL
    drivers                       the outer wall: libvirt, taps, files, and simulated ones
    metadata                      what guests ask at 169.254.169.254

A floor may use those below it; compute, storage, network and identity keep to themselves, but that
compute uses storage and network. Nothing
here imports `drivers` or `testing`: users do, so that every extra stays optional.

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
    from pycloud.errors import BadDigest as BadDigest
    from pycloud.errors import Cannot as Cannot
    from pycloud.errors import Damaged as Damaged
    from pycloud.errors import DiskFull as DiskFull
    from pycloud.errors import DriverError as DriverError
    from pycloud.errors import Duplicate as Duplicate
    from pycloud.errors import Incomplete as Incomplete
    from pycloud.errors import InUse as InUse
    from pycloud.errors import InvalidValue as InvalidValue
    from pycloud.errors import LimitExceeded as LimitExceeded
    from pycloud.errors import Locked as Locked
    from pycloud.errors import NoAddress as NoAddress
    from pycloud.errors import NoRoom as NoRoom
    from pycloud.errors import NotFound as NotFound
    from pycloud.errors import NotOwner as NotOwner
    from pycloud.errors import NotSettled as NotSettled
    from pycloud.errors import PreconditionFailed as PreconditionFailed
    from pycloud.errors import Protected as Protected
    from pycloud.errors import PyCloudError as PyCloudError
    from pycloud.errors import Refused as Refused
    from pycloud.errors import SchemaTooNew as SchemaTooNew
    from pycloud.errors import StateBusy as StateBusy
    from pycloud.errors import StateError as StateError
    from pycloud.errors import TooSmall as TooSmall
    from pycloud.errors import TryLater as TryLater
    from pycloud.errors import WrongKey as WrongKey
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
    from pycloud.storage.blobs import FoundBlob as FoundBlob
    from pycloud.storage.blobs import OpenBlob as OpenBlob
    from pycloud.storage.blobs import Readable as Readable
    from pycloud.storage.blobs import WrittenBlob as WrittenBlob
    from pycloud.storage.blocks import Blocks as Blocks
    from pycloud.storage.buckets import BucketStore as BucketStore
    from pycloud.storage.encryption import DefaultEncryption as DefaultEncryption
    from pycloud.storage.encryption import Sealing as Sealing
    from pycloud.storage.lifecycle import LifecycleRule as LifecycleRule
    from pycloud.storage.lifecycle import LifecycleRules as LifecycleRules
    from pycloud.storage.locks import DefaultRetention as DefaultRetention
    from pycloud.storage.reading import FileSpan as FileSpan
    from pycloud.storage.reading import ObjectStream as ObjectStream
    from pycloud.storage.records import About as About
    from pycloud.storage.records import Bucket as Bucket
    from pycloud.storage.records import Checksum as Checksum
    from pycloud.storage.records import Damage as Damage
    from pycloud.storage.records import Deleted as Deleted
    from pycloud.storage.records import Disk as Disk
    from pycloud.storage.records import Expected as Expected
    from pycloud.storage.records import Listing as Listing
    from pycloud.storage.records import Part as Part
    from pycloud.storage.records import PartChoice as PartChoice
    from pycloud.storage.records import PartListing as PartListing
    from pycloud.storage.records import PartSize as PartSize
    from pycloud.storage.records import Retention as Retention
    from pycloud.storage.records import ScrubReport as ScrubReport
    from pycloud.storage.records import StoredObject as StoredObject
    from pycloud.storage.records import Upload as Upload
    from pycloud.storage.records import UploadListing as UploadListing
    from pycloud.storage.records import Versioning as Versioning
    from pycloud.storage.records import VersionListing as VersionListing
    from pycloud.storage.uploads import Uploads as Uploads
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
            "BadDigest",
            "Cannot",
            "Damaged",
            "DiskFull",
            "DriverError",
            "Duplicate",
            "InUse",
            "Incomplete",
            "InvalidValue",
            "LimitExceeded",
            "Locked",
            "NoAddress",
            "NoRoom",
            "NotFound",
            "NotOwner",
            "NotSettled",
            "PreconditionFailed",
            "Protected",
            "PyCloudError",
            "Refused",
            "SchemaTooNew",
            "StateBusy",
            "StateError",
            "TooSmall",
            "TryLater",
            "WrongKey",
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
            "FoundBlob",
            "OpenBlob",
            "Readable",
            "WrittenBlob",
        ),
        "storage.blocks": ("Blocks",),
        "storage.buckets": ("BucketStore",),
        "storage.encryption": (
            "DefaultEncryption",
            "Sealing",
        ),
        "storage.lifecycle": (
            "LifecycleRule",
            "LifecycleRules",
        ),
        "storage.locks": ("DefaultRetention",),
        "storage.reading": (
            "FileSpan",
            "ObjectStream",
        ),
        "storage.uploads": ("Uploads",),
        "storage.records": (
            "About",
            "Bucket",
            "Checksum",
            "Damage",
            "Deleted",
            "Disk",
            "Expected",
            "Listing",
            "Part",
            "PartChoice",
            "PartListing",
            "PartSize",
            "Retention",
            "ScrubReport",
            "StoredObject",
            "Upload",
            "UploadListing",
            "VersionListing",
            "Versioning",
        ),
        "tags": ("TagStore",),
    }.items()
    for name in names
}

__all__ = [
    "ADMIN_ACCOUNT",
    "DEFAULT_TYPES",
    "VPC",
    "About",
    "AccessKey",
    "AccessKeyId",
    "AccessKeyStore",
    "Account",
    "AccountId",
    "AccountStore",
    "AllocationId",
    "AssociationId",
    "BadDigest",
    "BlobId",
    "Blobs",
    "Blocks",
    "Bucket",
    "BucketStore",
    "Cannot",
    "Capacity",
    "Certificate",
    "CertificateId",
    "CertificateStore",
    "Checksum",
    "Clock",
    "CloudController",
    "ClusterScheduler",
    "CreatedKeyPair",
    "Damage",
    "Damaged",
    "Database",
    "DefaultEncryption",
    "DefaultRetention",
    "Deleted",
    "Disk",
    "DiskFull",
    "DiskId",
    "Domain",
    "DriverError",
    "Duplicate",
    "ElasticAddress",
    "ElasticAddresses",
    "Endpoints",
    "Expected",
    "Explanation",
    "Fabric",
    "FileSpan",
    "FoundBlob",
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
    "Incomplete",
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
    "LifecycleRule",
    "LifecycleRules",
    "LimitExceeded",
    "Listing",
    "Locked",
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
    "ObjectStream",
    "Objection",
    "OffReason",
    "OpenBlob",
    "Part",
    "PartChoice",
    "PartListing",
    "PartSize",
    "Placement",
    "PlacementGroup",
    "PlacementGroups",
    "Policy",
    "PostgresState",
    "Power",
    "PowerSave",
    "PreconditionFailed",
    "Protected",
    "PyCloudError",
    "Readable",
    "Refused",
    "ReservationId",
    "Retention",
    "RoundRobin",
    "Rule",
    "RuleId",
    "SQLiteState",
    "SchemaTooNew",
    "ScrubReport",
    "Seal",
    "Sealing",
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
    "TooSmall",
    "TryLater",
    "Upload",
    "UploadListing",
    "Uploads",
    "User",
    "UserId",
    "UserStore",
    "VPCStore",
    "VersionListing",
    "Versioning",
    "VpcId",
    "Wire",
    "WrittenBlob",
    "WrongKey",
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
