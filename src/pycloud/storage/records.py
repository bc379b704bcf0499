"""The values of the storage room."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import BinaryIO

import attrs

from pycloud.ids import ADMIN_ACCOUNT, AccountId, DiskId, ImageId

Opener = Callable[[ImageId], BinaryIO]
"""Opens an image's bytes for reading, from the start; the caller closes."""


@attrs.frozen
class Disk:
    """One file or volume on a node, as it shall be.

    Without `base` it is an image's bytes themselves (a kernel, a ramdisk, or a base that others
    stand on), `size_bytes` long and never written to. With `base` it is a guest's disk of
    `size_bytes`, copy-on-write over the disk called `base`.
    """

    id: DiskId
    size_bytes: int
    base: DiskId | None = None
    base_format: str = "raw"
    """`raw` or `qcow2`: how the bytes of the base (or, without one, of this disk) are to be
    read.
    """


class Versioning(StrEnum):
    """What becomes of an object's former bytes when it is written again ("Using versioning")."""

    OFF = ""
    """They go. So it is in a bucket that was never told otherwise."""
    ENABLED = "enabled"
    """They stay, under their version id."""
    SUSPENDED = "suspended"
    """Those called `null` go; other versions stay."""


@attrs.frozen
class Bucket:
    """A bucket, without its objects and settings."""

    name: str
    account: AccountId
    created_at: datetime
    versioning: Versioning = Versioning.OFF
    object_lock: bool = False
    """Whether its versions can be locked: once so, it stays so."""
    settings: Mapping[str, str] = attrs.field(factory=dict)
    """Its documents by kind, as `BucketStore.get_bucket` gives them; other verbs leave them out."""


@attrs.frozen
class Checksum:
    """A checksum of an object's bytes, beside its MD5."""

    algorithm: str
    """`CRC32`, `CRC32C`, `CRC64NVME`, `SHA1` or `SHA256`."""
    value: str
    """Base64, as S3 has it; that of a composite one ends with a hyphen and the number of parts."""
    kind: str = "full"
    """`full`, of all bytes; or `composite`, of the checksums of the parts."""


@attrs.frozen
class Retention:
    """Until when a version can't be deleted ("Locking objects with Object Lock")."""

    mode: str
    """`governance`, which those who may can pass by; or `compliance`, which nobody can."""
    until: datetime


@attrs.frozen
class About:
    """What an object that is written shall be, besides its bytes."""

    account: AccountId = ADMIN_ACCOUNT
    """Whose object it is."""
    headers: Mapping[str, str] = attrs.field(factory=dict)
    """Lower-case names and values that are given back with the bytes, such as `content-type`."""
    metadata: Mapping[str, str] = attrs.field(factory=dict)
    """The user's own."""
    tags: Mapping[str, str] = attrs.field(factory=dict)
    acl: str | None = None
    storage_class: str = "STANDARD"
    encryption: str | None = None
    """None: as the bucket's setting `encryption` says. `AES256`: with a key of the store's."""
    customer_key: bytes | None = attrs.field(default=None, repr=False)
    """32 bytes that only the customer has: it is encrypted with them, and they are not kept."""
    retention: Retention | None = None
    """None: as the bucket's setting `object-lock` says."""
    legal_hold: bool = False


@attrs.frozen
class Expected:
    """What the bytes that are written must be; if they are not, nothing is stored."""

    size_bytes: int | None = None
    md5: str | None = None
    """In hexadecimal."""
    algorithm: str | None = None
    """A checksum of this kind is made, and kept with the object: see `Checksum`."""
    value: str | Callable[[], str | None] | None = None
    """What that checksum must be, in base64; or a function that knows when all bytes were read."""


@attrs.frozen
class PartSize:
    """One part of an object that was uploaded in parts."""

    number: int
    size_bytes: int
    checksum: Checksum | None = None


@attrs.frozen
class StoredObject:
    """A version of an object, without its bytes; or a delete marker."""

    bucket: str
    key: str
    size_bytes: int
    etag: str
    """Without quotes. The MD5 in hexadecimal; of an object in parts, that of the parts' MD5s, a
    hyphen and how many they are.
    """
    created_at: datetime
    """When it was last modified, S3 would say."""
    account: AccountId
    """Whose object it is."""
    version_id: str = "null"
    is_latest: bool = True
    is_delete_marker: bool = False
    headers: Mapping[str, str] = attrs.field(factory=dict)
    """Lower-case names and values that are given back with the bytes, such as `content-type`."""
    metadata: Mapping[str, str] = attrs.field(factory=dict)
    """The user's own."""
    tags: Mapping[str, str] = attrs.field(factory=dict)
    acl: str | None = None
    """A document of the adapter's."""
    storage_class: str = "STANDARD"
    checksum: Checksum | None = None
    part_count: int | None = None
    """How many parts it was uploaded in; None for one that was not. `BucketStore.parts` has them."""
    encryption: str | None = None
    """None, `AES256` (with a key of the store's) or `customer` (with a key that only they have)."""
    retention: Retention | None = None
    legal_hold: bool = False


@attrs.frozen
class Deleted:
    """What a delete did."""

    key: str
    version_id: str | None = None
    """The version that went, or that of the delete marker that was made; None where the bucket has
    no versions.
    """
    is_delete_marker: bool = False
    """Whether that is a delete marker: one that was made, or one that went."""


@attrs.frozen
class Listing:
    """One page of a bucket's objects, in the order of their keys' bytes."""

    objects: tuple[StoredObject, ...] = ()
    prefixes: tuple[str, ...] = ()
    """What keys have in common up to the delimiter, each once, instead of those keys."""
    next: str | None = None
    """Given as `after`, it leads to the next page; None on the last. It is the last key or common
    prefix of this page.
    """

    @property
    def is_truncated(self) -> bool:
        """Whether there is more."""
        return self.next is not None


@attrs.frozen
class VersionListing:
    """One page of a bucket's versions and delete markers: by key, the newest first."""

    versions: tuple[StoredObject, ...] = ()
    prefixes: tuple[str, ...] = ()
    next_key: str | None = None
    """Given as `key_marker` and `version_marker`, they lead to the next page; None on the last."""
    next_version: str | None = None

    @property
    def is_truncated(self) -> bool:
        """Whether there is more."""
        return self.next_key is not None


@attrs.frozen
class Upload:
    """An object that is being uploaded in parts."""

    id: str
    bucket: str
    key: str
    account: AccountId
    created_at: datetime
    storage_class: str = "STANDARD"
    checksum_algorithm: str | None = None
    checksum_kind: str = "composite"
    encryption: str | None = None


@attrs.frozen
class UploadListing:
    """One page of a bucket's uploads: by key, then by id."""

    uploads: tuple[Upload, ...] = ()
    prefixes: tuple[str, ...] = ()
    next_key: str | None = None
    next_upload: str | None = None

    @property
    def is_truncated(self) -> bool:
        """Whether there is more."""
        return self.next_key is not None


@attrs.frozen
class Part:
    """One part of an upload."""

    number: int
    etag: str
    size_bytes: int
    created_at: datetime
    checksum: Checksum | None = None


@attrs.frozen
class PartListing:
    """One page of an upload's parts, by number."""

    upload: Upload
    parts: tuple[Part, ...] = ()
    next: int | None = None
    """Given as `after`, it leads to the next page; None on the last."""


@attrs.frozen
class PartChoice:
    """A part as the one who completes an upload names it."""

    number: int
    etag: str
    checksum: str | None = None
    """In base64, of the upload's algorithm; where given it must be right."""


@attrs.frozen
class Damage:
    """A version whose bytes are no longer those that were written."""

    bucket: str
    key: str
    version_id: str
    reason: str


@attrs.frozen
class ScrubReport:
    """What a scrub read and found."""

    objects: int
    size_bytes: int
    damaged: tuple[Damage, ...] = ()
    next: tuple[str, str] | None = None
    """Given as `after`, it goes on from there; None when all was read."""
