"""Where an image's bytes come from: a file, an object in a bucket, or a bundle of objects."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Final, Protocol

import attrs

from pycloud import limits
from pycloud.compute.bundles import (
    InvalidBundle,
    Manifest,
    read_manifest,
    symmetric,
    unpack,
)
from pycloud.errors import InvalidValue, NotFound
from pycloud.identity.certificates import CertificateStore
from pycloud.ids import AccountId
from pycloud.storage.buckets import BucketStore

_SUFFIX: Final = ".manifest.xml"
_BEFORE_XML: Final = b"\xef\xbb\xbf \t\r\n"


class Source(Protocol):
    """Gives the bytes of one image."""

    @property
    def location(self) -> str | None:
        """The bucket and key, if they are there."""

    @property
    def name(self) -> str:
        """What they are called there."""

    def size_bytes(self) -> int:
        """How many there are said to be."""

    def open(self) -> BinaryIO:
        """Open them from the start, to be read once; the caller closes."""


@attrs.frozen
class FileSource:
    """A file."""

    path: Path
    location: str | None = None

    @property
    def name(self) -> str:
        """The file's name, without its folders."""
        return self.path.name

    def size_bytes(self) -> int:
        """How long the file is."""
        return self.path.stat().st_size

    def open(self) -> BinaryIO:
        """Open the file."""
        return self.path.open("rb")


@attrs.frozen
class ObjectSource:
    """An object, as it is."""

    buckets: BucketStore
    bucket: str
    key: str

    @property
    def location(self) -> str:
        """The bucket and key."""
        return f"{self.bucket}/{self.key}"

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2] or self.key

    def size_bytes(self) -> int:
        """How long the object is."""
        return self.buckets.head(self.bucket, self.key).size_bytes

    def open(self) -> BinaryIO:
        """Open the object."""
        return self.buckets.get(self.bucket, self.key)


@attrs.frozen
class BundleSource:
    """The image whose bundle's manifest is the object; its parts stand beside it."""

    buckets: BucketStore
    bucket: str
    key: str
    manifest: Manifest
    symmetric_key: bytes = attrs.field(repr=False)
    iv: bytes = attrs.field(repr=False)

    @property
    def location(self) -> str:
        """The bucket and key of the manifest."""
        return f"{self.bucket}/{self.key}"

    @property
    def name(self) -> str:
        """The last part of the manifest's key, without `.manifest.xml`."""
        file = self.key.rpartition("/")[2]
        return file.removesuffix(_SUFFIX) or self.key

    def size_bytes(self) -> int:
        """How long the image is, as the manifest says: unpacking sees that it is so."""
        return self.manifest.size_bytes

    def open(self) -> BinaryIO:
        """Unpack the image on the way. Raises `InvalidBundle`, then and while it is read."""
        self._check_parts()
        return unpack(self.manifest, self.symmetric_key, self.iv, self._open_part)

    def _open_part(self, name: str) -> BinaryIO:
        try:
            return self.buckets.get(self.bucket, self._place(name))
        except NotFound:
            raise self._missing(name) from None

    def _check_parts(self) -> None:
        """See that all parts are there, before the first is read."""
        size = 0
        for part in self.manifest.parts:
            try:
                size += self.buckets.head(self.bucket, self._place(part.name)).size_bytes
            except NotFound:
                raise self._missing(str(part)) from None
        if size != self.manifest.bundled_size_bytes:
            raise InvalidBundle(
                f"the {len(self.manifest.parts)} parts of this bundle have {size} bytes, and the "
                f"manifest says {self.manifest.bundled_size_bytes}: one of them is cut off or another's"
            )

    def _place(self, name: str) -> str:
        return self.key[: self.key.rfind("/") + 1] + name

    def _missing(self, part: str) -> InvalidBundle:
        return InvalidBundle(f"{part} of this bundle is not beside its manifest {self.location}")


def is_manifest(buckets: BucketStore, bucket: str, key: str) -> bool:
    """Return whether an object is to be read as a bundle's manifest: it is called so, or begins like
    XML. Raises `NotFound`.
    """
    with buckets.get(bucket, key) as stream:
        return key.endswith(_SUFFIX) or stream.read(64).lstrip(_BEFORE_XML).startswith(b"<")


def bundle_at(
    buckets: BucketStore,
    bucket: str,
    key: str,
    *,
    certificates: CertificateStore | None,
    account: AccountId,
) -> BundleSource:
    """Return the bundle whose manifest is an object: signed by a user of the account, and encrypted
    for this cloud. Raises `InvalidBundle`, `NotFound`.
    """
    if certificates is None:
        raise InvalidBundle(
            "this cloud reads no bundles: its ImageRegistry was made without certificates="
        )
    with buckets.get(bucket, key) as stream:
        manifest = read_manifest(stream.read(limits.MANIFEST_BYTES + 1))
    if not certificates.has_signed(manifest.signed, manifest.signature, account=account):
        raise InvalidBundle(
            "no certificate of this account's users verifies the signature of the manifest: "
            "bundle the image again with those that came with the newest credentials"
        )
    key_bytes = symmetric(_unwrapped(certificates, manifest.wrapped_key), "key")
    iv = symmetric(_unwrapped(certificates, manifest.wrapped_iv), "IV")
    return BundleSource(buckets, bucket, key, manifest, key_bytes, iv)


def _unwrapped(certificates: CertificateStore, wrapped: bytes) -> bytes:
    try:
        return certificates.unwrap(wrapped)
    except InvalidValue:
        return b""  # refused like what came out at random
