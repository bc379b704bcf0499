"""`ImageRegistry`: kernels, ramdisks and machine images, their bytes kept in a bucket."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from io import BytesIO
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

import attrs
from sqlalchemy import bindparam, delete, exists, or_, select, update
from sqlalchemy.exc import IntegrityError

from pycloud import limits
from pycloud.compute import imageformat
from pycloud.compute.bundles import stream_of
from pycloud.compute.imageformat import ImageFacts
from pycloud.compute.records import Image, ImageKind, InstanceState
from pycloud.compute.sources import FileSource, ObjectSource, Source, bundle_at, is_manifest
from pycloud.errors import Duplicate, InvalidValue, NotFound, NotOwner
from pycloud.identity.accounts import get_account
from pycloud.identity.certificates import CertificateStore
from pycloud.ids import ADMIN_ACCOUNT, AccountId, ImageId, mint
from pycloud.names import checked_name, checked_text
from pycloud.state.database import Database
from pycloud.state.schema import images, instances, launch_permissions
from pycloud.state.transaction import Transaction
from pycloud.storage.buckets import BucketStore
from pycloud.tags import TagStore, check_tags

_PREFIX = {ImageKind.MACHINE: "emi", ImageKind.KERNEL: "eki", ImageKind.RAMDISK: "eri"}
_BUCKET = "pycloud-images"
_CHUNK = 1024 * 1024
_KERNEL_ARGS = "root=/dev/vda rw console=ttyS0"
_REGISTRATION_S = 3600
"""Between an image's bytes and its record there is less time than this."""
_SHARED = exists().where(
    launch_permissions.c.image_id == images.c.id,
    launch_permissions.c.grantee == bindparam("account"),
)
_KNOWN = select(images).where(images.c.id == bindparam("image"))
_VISIBLE = or_(images.c.account == bindparam("account"), images.c.is_public, _SHARED)
_BY_ID = select(images).where(images.c.id == bindparam("image"), _VISIBLE, images.c.registered)


class ImageRegistry:
    """Registers images by their content and opens them for the nodes.

    With `certificates`, an identity's, it takes images from bundles of Eucalyptus and EC2, too.

    >>> import pycloud
    >>> from pycloud.drivers.files import FileBlobs
    >>> with pycloud.SQLiteState("cloud.db") as state:
    ...     images = pycloud.ImageRegistry(state, pycloud.BucketStore(state, FileBlobs("blobs")))
    ...     images.register_kernel("/etc/hostname")
    Traceback (most recent call last):
    pycloud.errors.InvalidValue: ...
    """

    def __init__(
        self,
        state: Database,
        buckets: BucketStore,
        *,
        certificates: CertificateStore | None = None,
    ) -> None:
        self.state = state
        self.buckets = buckets
        self.certificates = certificates
        self._tags = TagStore(state)

    def register_kernel(
        self, path: Path | str, *, name: str | None = None, account: AccountId = ADMIN_ACCOUNT
    ) -> Image:
        """Register a kernel (EKI). Raises `InvalidValue`, `Duplicate`."""
        return self._register(ImageKind.KERNEL, FileSource(Path(path)), name, account)

    def register_ramdisk(
        self, path: Path | str, *, name: str | None = None, account: AccountId = ADMIN_ACCOUNT
    ) -> Image:
        """Register a ramdisk (ERI). Raises `InvalidValue`, `Duplicate`."""
        return self._register(ImageKind.RAMDISK, FileSource(Path(path)), name, account)

    def register_machine(
        self,
        path: Path | str,
        *,
        name: str | None = None,
        kernel: ImageId | None = None,
        ramdisk: ImageId | None = None,
        kernel_args: str = _KERNEL_ARGS,
        account: AccountId = ADMIN_ACCOUNT,
    ) -> Image:
        """Register a machine image (EMI), raw or qcow2.

        With a `kernel` (and a `ramdisk`) the guest boots that, with `kernel_args` on its command
        line; without one, the image must be a whole disk with a boot loader. Raises `InvalidValue`,
        `NotFound`, `Duplicate`.
        """
        if not kernel_args.isprintable():
            raise InvalidValue(f"kernel arguments are one line of text, not {kernel_args!r}")
        return self._register(
            ImageKind.MACHINE,
            FileSource(Path(path)),
            name,
            account,
            kernel_id=kernel,
            ramdisk_id=ramdisk,
            kernel_args=kernel_args if kernel is not None else "",
        )

    def register_object(
        self,
        bucket: str,
        key: str,
        *,
        name: str | None = None,
        description: str = "",
        kernel: ImageId | None = None,
        ramdisk: ImageId | None = None,
        tags: Mapping[str, str] | None = None,
        account: AccountId = ADMIN_ACCOUNT,
    ) -> Image:
        """Register what an object in a bucket of the account is: a machine image, a kernel or a
        ramdisk. The bytes are copied, so the object may go.

        If the object is the manifest of a bundle (`….manifest.xml`), it is the image in the parts
        beside it, with the kernel and the ramdisk that the manifest names, where none are given.
        Raises `InvalidValue` (for a bundle, `InvalidBundle`), `NotFound`, `Duplicate`, and
        `LimitExceeded` for too many `tags`.
        """
        if self.buckets.get_bucket(bucket).account != account:
            raise NotFound("bucket", bucket)
        kind: ImageKind | None = None
        source: Source = ObjectSource(self.buckets, bucket, key)
        if is_manifest(self.buckets, bucket, key):
            bundle = bundle_at(
                self.buckets, bucket, key, certificates=self.certificates, account=account
            )
            source, kind = bundle, bundle.manifest.kind
            kernel = kernel or bundle.manifest.kernel_id
            ramdisk = ramdisk or bundle.manifest.ramdisk_id
        return self._register(
            kind,
            source,
            name,
            account,
            kernel_id=kernel,
            ramdisk_id=ramdisk,
            kernel_args=_KERNEL_ARGS if kernel is not None else "",
            description=description,
            tags=tags or {},
        )

    def list(self, *, account: AccountId | None = ADMIN_ACCOUNT) -> list[Image]:
        """Return the registered images that the account may launch, the oldest first; with None,
        those of all accounts.
        """
        query = select(images).where(images.c.registered)
        if account is not None:
            query = query.where(_VISIBLE)
        with self.state.reading() as tx:
            rows = tx.execute(
                query.order_by(images.c.created_at, images.c.id), {"account": account}
            )
            return [_image(row) for row in rows]

    def get(self, image: ImageId, *, account: AccountId = ADMIN_ACCOUNT) -> Image:
        """Return a registered image. Raises `NotFound`."""
        with self.state.reading() as tx:
            return self.find(tx, image, account=account)

    def find(
        self,
        tx: Transaction,
        image: ImageId,
        *,
        account: AccountId,
        kind: ImageKind | None = None,
    ) -> Image:
        """Return a registered image that the account may launch, as part of `tx`. Raises
        `NotFound`, and `InvalidValue` if it is not of `kind`.
        """
        # Locked, so that it is not deregistered while something is built on it.
        values = {"image": image, "account": account}
        row = tx.execute(tx.locked(_BY_ID, read=True), values).one_or_none()
        if row is None:
            raise NotFound("image", image)
        if kind is not None and row.kind != kind:
            raise InvalidValue(f"{image} is a {row.kind} image; a {kind} image is needed here")
        return _image(row)

    def deregister(self, image: ImageId, *, account: AccountId = ADMIN_ACCOUNT) -> None:
        """Take an image away; its instances stay, and its bytes until the last of them is gone.
        Raises `NotFound`, `NotOwner`.
        """
        with self.state.transaction() as tx:
            record = self._owned(tx, image, account)
            # The name is free from now on.
            tx.execute(
                update(images)
                .where(images.c.id == image)
                .values(registered=False, name=f"{record.name[:200]} {image}")
            )
            tx.record("image.deregistered", image)
            tx.nudge()

    # Who may launch an image ("Share an AMI", EC2 user guide)

    def grantees(
        self, image: ImageId, *, account: AccountId = ADMIN_ACCOUNT
    ) -> Sequence[AccountId]:
        """Return the accounts that may launch the image besides its owner. Raises `NotFound`,
        `NotOwner`.
        """
        query = select(launch_permissions.c.grantee).where(launch_permissions.c.image_id == image)
        with self.state.reading() as tx:
            self._owned(tx, image, account)
            found = tx.execute(query.order_by(launch_permissions.c.grantee)).scalars()
            return [AccountId(grantee) for grantee in found]

    def grants(
        self, tx: Transaction, *, account: AccountId
    ) -> Mapping[ImageId, Sequence[AccountId]]:
        """Return which accounts may launch each image of this one that is shared."""
        query = (
            select(launch_permissions)
            .join_from(launch_permissions, images)
            .where(images.c.account == account)
        )
        rows = tx.execute(query.order_by(launch_permissions.c.image_id))
        return {
            image: [row.grantee for row in mine]
            for image, mine in groupby(rows, key=lambda row: ImageId(row.image_id))
        }

    def share(
        self,
        image: ImageId,
        *,
        add: Iterable[AccountId] = (),
        remove: Iterable[AccountId] = (),
        public: bool | None = None,
        account: AccountId = ADMIN_ACCOUNT,
    ) -> None:
        """Let other accounts launch the image, or all (`public`), or no longer. Raises
        `InvalidValue`, `NotFound`, `NotOwner`.
        """
        added, removed = _checked_grantees(add), _checked_grantees(remove)
        with self.state.transaction() as tx:
            self._owned(tx, image, account)
            mine = launch_permissions.c.image_id == image
            tx.execute(
                delete(launch_permissions).where(mine, launch_permissions.c.grantee.in_(removed))
            )
            for grantee in added:
                tx.add_if_absent(launch_permissions, image_id=image, grantee=grantee)
            if public is not None:
                tx.execute(update(images).where(images.c.id == image).values(is_public=public))
            tx.record("image.shared", image)

    def unshare(self, image: ImageId, *, account: AccountId = ADMIN_ACCOUNT) -> None:
        """Let nobody but its owner launch the image. Raises `NotFound`, `NotOwner`."""
        with self.state.transaction():
            grantees = self.grantees(image, account=account)
            self.share(image, remove=grantees, public=False, account=account)

    def describe_as(
        self, image: ImageId, description: str, *, account: AccountId = ADMIN_ACCOUNT
    ) -> None:
        """Give the image another description. Raises `InvalidValue`, `NotFound`, `NotOwner`."""
        checked_text("the description of an image", description)
        with self.state.transaction() as tx:
            self._owned(tx, image, account)
            tx.execute(update(images).where(images.c.id == image).values(description=description))

    def open(self, image: ImageId) -> BinaryIO:
        """Open the bytes of an image, registered or not; the caller closes. Raises `NotFound`."""
        with self.state.reading() as tx:
            record = self.known(tx, image)
        return self.buckets.get(record.bucket, record.key)

    def known(self, tx: Transaction, image: ImageId) -> Image:
        """Return an image, registered or not, whoever's it is. Raises `NotFound`."""
        row = tx.execute(_KNOWN, {"image": image}).one_or_none()
        if row is None:
            raise NotFound("image", image)
        return _image(row)

    def _owned(self, tx: Transaction, image: ImageId, account: AccountId) -> Image:
        # Locked for a change at once: two that only shared it would wait for each other then.
        tx.execute(tx.locked(select(images.c.id).where(images.c.id == image))).all()
        found = self.find(tx, image, account=account)
        if found.account != account:
            raise NotOwner(f"{image} belongs to another account, which alone may change it")
        return found

    def needed(self, tx: Transaction) -> dict[ImageId, Image]:
        """Return the images that nodes may keep: those registered, and those that instances use."""
        alive = instances.c.state != InstanceState.TERMINATED
        uses = or_(
            instances.c.image_id == images.c.id,
            instances.c.kernel_id == images.c.id,
            instances.c.ramdisk_id == images.c.id,
        )
        used = exists().where(alive, uses)
        rows = tx.execute(select(images).where(or_(images.c.registered, used)))
        return {ImageId(row.id): _image(row) for row in rows}

    def sweep(self) -> None:
        """Forget deregistered images that no instance mentions any more, and bytes that a crash
        left without an image.
        """
        alive = or_(
            instances.c.image_id == images.c.id,
            instances.c.kernel_id == images.c.id,
            instances.c.ramdisk_id == images.c.id,
        )
        with self.state.transaction() as tx:
            unused = select(images.c.id).where(~images.c.registered, ~exists().where(alive))
            gone = [ImageId(id_) for id_ in tx.execute(unused).scalars()]
            tx.execute(delete(launch_permissions).where(launch_permissions.c.image_id.in_(gone)))
            tx.execute(delete(images).where(images.c.id.in_(gone)))
            kept = set(tx.execute(select(images.c.key)).scalars())
            horizon = tx.now - timedelta(seconds=_REGISTRATION_S)
        if self.buckets.find_bucket(_BUCKET) is None:
            return
        for stored in self.buckets.each(_BUCKET):
            orphan = stored.key.encode() not in kept and stored.created_at < horizon
            if orphan or stored.key in gone:
                self.buckets.delete(_BUCKET, stored.key)

    def _register(
        self,
        kind: ImageKind | None,
        source: Source,
        name: str | None,
        account: AccountId,
        *,
        kernel_id: ImageId | None = None,
        ramdisk_id: ImageId | None = None,
        kernel_args: str = "",
        description: str = "",
        tags: Mapping[str, str] = MappingProxyType({}),
    ) -> Image:
        name = checked_name("image", source.name if name is None else name)
        checked_text("the description of an image", description)
        check_tags(tags)
        if ramdisk_id is not None and kernel_id is None:
            raise InvalidValue("a ramdisk needs a kernel: give kernel= too")
        with self.state.reading() as tx:
            self._check(tx, account, name, kernel_id, ramdisk_id)
        size = _size_of(source)
        with _begun(source) as (head, stream):
            facts = _checked(source, head, size, kind, has_kernel=kernel_id is not None)
            id_ = ImageId(mint(_PREFIX[facts.kind]))
            self._store(source, stream_of(_whole(head, stream)), size, id_)
        try:
            with self.state.transaction() as tx:
                self._check(tx, account, name, kernel_id, ramdisk_id)
                record = Image(
                    id=id_,
                    account=account,
                    kind=facts.kind,
                    name=name,
                    format=facts.format,
                    size_bytes=facts.size_bytes,
                    virtual_size_bytes=facts.virtual_size_bytes,
                    kernel_id=kernel_id,
                    ramdisk_id=ramdisk_id,
                    kernel_args=kernel_args,
                    bucket=_BUCKET,
                    key=id_,
                    registered=True,
                    created_at=tx.now,
                    description=description,
                    location=source.location or f"{_BUCKET}/{id_}",
                )
                values = attrs.asdict(record)
                tx.execute(images.insert().values(values | {"key": record.key.encode()}))
                self._tags.put(tx, [id_], tags, account=account)
                tx.record("image.registered", id_, name)
        except IntegrityError:
            self.buckets.delete(_BUCKET, id_)
            raise Duplicate(f"there is an image {name!r} already") from None
        except BaseException:
            self.buckets.delete(_BUCKET, id_)
            raise
        return record

    def _check(
        self,
        tx: Transaction,
        account: AccountId,
        name: str,
        kernel: ImageId | None,
        ramdisk: ImageId | None,
    ) -> None:
        get_account(tx, account)
        taken = select(images.c.id).where(images.c.account == account, images.c.name == name)
        if tx.execute(taken).first():
            raise Duplicate(f"there is an image {name!r} already")
        if kernel is not None:
            self.find(tx, kernel, account=account, kind=ImageKind.KERNEL)
        if ramdisk is not None:
            self.find(tx, ramdisk, account=account, kind=ImageKind.RAMDISK)

    def _store(self, source: Source, stream: BinaryIO, size: int, id_: ImageId) -> None:
        """Keep the bytes. What was looked at is what is kept: the source is read once."""
        if self.buckets.find_bucket(_BUCKET) is None:
            with contextlib.suppress(Duplicate):
                self.buckets.create_bucket(_BUCKET)
        stored = self.buckets.put(_BUCKET, id_, stream)
        if stored.size_bytes != size:
            self.buckets.delete(_BUCKET, id_)
            raise InvalidValue(
                f"{source.name} had {size} bytes and then {stored.size_bytes}: register it when "
                "nobody writes to it"
            )


def _checked_grantees(accounts: Iterable[AccountId]) -> list[AccountId]:
    checked = list(accounts)
    for account in checked:
        if not (len(account) == 12 and account.isascii() and account.isdigit()):
            raise InvalidValue(f"an account is a number of 12 digits, not {account!r}")
    if len(checked) > limits.IMAGE_GRANTEES:
        raise InvalidValue(
            f"an image is shared with {limits.IMAGE_GRANTEES} accounts at a time, not {len(checked)}"
        )
    return checked


def _image(row: Any) -> Image:
    values = dict(row._mapping) | {"kind": ImageKind(row.kind), "key": row.key.decode()}
    return Image(**values)


def _size_of(source: Source) -> int:
    """Return how large the image is said to be, if that is not too large. Raises `InvalidValue`."""
    try:
        size = source.size_bytes()
    except OSError as error:
        raise _unreadable(source, error) from error
    if size > limits.IMAGE_BYTES:
        raise InvalidValue(f"an image has at most {limits.IMAGE_BYTES} bytes, not {size}")
    return size


@contextmanager
def _begun(source: Source) -> Iterator[tuple[bytes, BinaryIO]]:
    """Open the image and read its head. Raises `InvalidValue` if that cannot be done."""
    with contextlib.ExitStack() as stack:
        try:
            stream = stack.enter_context(source.open())
            head = imageformat.head_of(stream)
        except OSError as error:
            raise _unreadable(source, error) from error
        yield head, stream


def _unreadable(source: Source, error: OSError) -> InvalidValue:
    return InvalidValue(f"cannot read the image {source.name}: {error.strerror}")


def _whole(head: bytes, rest: BinaryIO) -> Generator[bytes]:
    """Give the bytes of a stream whose head was read already."""
    yield head
    while chunk := rest.read(_CHUNK):
        yield chunk


def _checked(
    source: Source, head: bytes, size: int, kind: ImageKind | None, *, has_kernel: bool
) -> ImageFacts:
    facts = imageformat.inspect(BytesIO(head), size)
    imageformat.require(facts, kind or facts.kind)
    is_machine = facts.kind is ImageKind.MACHINE
    if has_kernel and not is_machine:
        raise InvalidValue(f"{source.name} is a {facts.what}: only a machine image boots a kernel")
    if is_machine and not has_kernel and facts.has_partition_table is False:
        raise InvalidValue(
            f"{source.name} is a bare file system, without a boot loader: "
            "give kernel= (and ramdisk=), or a whole-disk image"
        )
    return facts
