"""Typed ids, and where they are minted.

An id is never a bare `str` across a boundary. The forms are those of AWS ("Resource IDs" in the EC2
user guide: a prefix and 17 lower-case hexadecimal digits); images keep their kind in the prefix, as
Eucalyptus has it.
"""

from __future__ import annotations

import secrets
from typing import NewType

AccountId = NewType("AccountId", str)
InstanceId = NewType("InstanceId", str)
ReservationId = NewType("ReservationId", str)
ImageId = NewType("ImageId", str)
KeyPairId = NewType("KeyPairId", str)
GroupId = NewType("GroupId", str)
"""Of a placement group."""
UserId = NewType("UserId", str)
AccessKeyId = NewType("AccessKeyId", str)
CertificateId = NewType("CertificateId", str)
VpcId = NewType("VpcId", str)
SubnetId = NewType("SubnetId", str)
InterfaceId = NewType("InterfaceId", str)
"""Of an instance's network interface."""
SecurityGroupId = NewType("SecurityGroupId", str)
RuleId = NewType("RuleId", str)
"""Of a security group's rule."""
AllocationId = NewType("AllocationId", str)
"""Of an elastic address."""
AssociationId = NewType("AssociationId", str)
"""Of an elastic address with an instance."""
LaunchTemplateId = NewType("LaunchTemplateId", str)
BlobId = NewType("BlobId", str)
NodeName = NewType("NodeName", str)
DiskId = NewType("DiskId", str)
"""The id of whatever a disk belongs to: an instance's (its root disk) or an image's (a cached
base).
"""

ADMIN_ACCOUNT = AccountId("000000000001")
"""The default administrator's account, there from the first migration on."""

_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def mint(prefix: str) -> str:
    """Return a new id: `prefix`, a hyphen and 17 random lower-case hexadecimal digits (68 bits)."""
    return f"{prefix}-{secrets.token_hex(9)[:17]}"


def mint_key_id(prefix: str, length: int) -> str:
    """Return a new id of IAM's form: `prefix` and so many random capitals and digits from 2 to 7
    ("IAM identifiers").
    """
    return prefix + "".join(secrets.choice(_BASE32) for _ in range(length))
