"""`ImageRegistry`: kernels, ramdisks and machine images, their bytes kept in a bucket."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import attrs
from sqlalchemy import bindparam, delete, exists, or_, select, update
from sqlalchemy.exc import IntegrityError

from pycloud.compute import imageformat
from pycloud.compute.imageformat import ImageFacts
from pycloud.compute.records import Image, ImageKind, InstanceState
from pycloud.errors import Duplicate, InvalidValue, NotFound
from pycloud.identity.accounts import get_account
from pycloud.ids import ADMIN_ACCOUNT, AccountId, ImageId, mint
from pycloud.names import checked_name
from pycloud.state.database import Database
from pycloud.state.schema import images, instances
from pycloud.state.transaction import Transaction
from pycloud.storage.buckets import BucketStore

_PREFIX = {ImageKind.MACHINE: "emi", ImageKind.KERNEL: "eki", ImageKind.RAMDISK: "eri"}
_BUCKET = "pycloud-images"
_REGISTRATION_S = 3600
"""Between an image's bytes and its record there is less time than this."""
_BY_ID = select(images).where(
    images.c.id == bindparam("image"), images.c.account == bindparam("account"), images.c.registered
)


class ImageRegistry:
    """Registers images by their content and opens them for the nodes.

    >>> import pycloud
    >>> from pycloud.drivers.files import FileBlobs
    >>> with pycloud.SQLiteState("cloud.db") as state:
    ...     images = pycloud.ImageRegistry(state, pycloud.BucketStore(state, FileBlobs("blobs")))
    ...     images.register_kernel("/etc/hostname")
    Traceback (most recent call last):
    pycloud.errors.InvalidValue: ...
    """

    def __init__(self, state: Database, buckets: BucketStore) -> None:
        self.state = state
        self.buckets = buckets

    def register_kernel(
        self, path: Path | str, *, name: str | None = None, account: AccountId = ADMIN_ACCOUNT
    ) -> Image:
        """Register a kernel (EKI). Raises `InvalidValue`, `Duplicate`."""
        return self._register(ImageKind.KERNEL, Path(path), name, account)

    def register_ramdisk(
        self, path: Path | str, *, name: str | None = None, account: AccountId = ADMIN_ACCOUNT
    ) -> Image:
        """Register a ramdisk (ERI). Raises `InvalidValue`, `Duplicate`."""
        return self._register(ImageKind.RAMDISK, Path(path), name, account)

    def register_machine(
        self,
        path: Path | str,
        *,
        name: str | None = None,
        kernel: ImageId | None = None,
        ramdisk: ImageId | None = None,
        kernel_args: str = "root=/dev/vda rw console=ttyS0",
        account: AccountId = ADMIN_ACCOUNT,
    ) -> Image:
        """Register a machine image (EMI), raw or qcow2.

        With a `kernel` (and a `ramdisk`) the guest boots that, with `kernel_args` on its command
        line; without one, the image must be a whole disk with a boot loader. Raises `InvalidValue`,
        `NotFound`, `Duplicate`.
        """
        if ramdisk is not None and kernel is None:
            raise InvalidValue("a ramdisk needs a kernel: give kernel= too")
        if not kernel_args.isprintable():
            raise InvalidValue(f"kernel arguments are one line of text, not {kernel_args!r}")
        return self._register(
            ImageKind.MACHINE,
            Path(path),
            name,
            account,
            kernel_id=kernel,
            ramdisk_id=ramdisk,
            kernel_args=kernel_args if kernel is not None else "",
        )

    def list(self, *, account: AccountId = ADMIN_ACCOUNT) -> list[Image]:
        """Return the account's registered images, the oldest first."""
        query = select(images).where(images.c.account == account, images.c.registered)
        with self.state.reading() as tx:
            rows = tx.execute(query.order_by(images.c.created_at, images.c.id))
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
        """Return a registered image, as part of `tx`. Raises `NotFound`, and `InvalidValue` if
        it is not of `kind`.
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
        Raises `NotFound`.
        """
        with self.state.transaction() as tx:
            record = self.find(tx, image, account=account)
            # The name is free from now on.
            tx.execute(
                update(images)
                .where(images.c.id == image)
                .values(registered=False, name=f"{record.name[:200]} {image}")
            )
            tx.record("image.deregistered", image)
            tx.nudge()

    def open(self, image: ImageId) -> BinaryIO:
        """Open the bytes of an image, registered or not; the caller closes. Raises `NotFound`."""
        with self.state.reading() as tx:
            record = self.known(tx, image)
        return self.buckets.get(record.bucket, record.key)

    def known(self, tx: Transaction, image: ImageId) -> Image:
        """Return an image, registered or not, whoever's it is. Raises `NotFound`."""
        row = tx.execute(select(images).where(images.c.id == image)).one_or_none()
        if row is None:
            raise NotFound("image", image)
        return _image(row)

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
            tx.execute(delete(images).where(images.c.id.in_(gone)))
            kept = set(tx.execute(select(images.c.key)).scalars())
            horizon = tx.now - timedelta(seconds=_REGISTRATION_S)
        if _BUCKET not in self.buckets.list_buckets():
            return
        for stored in self.buckets.list(_BUCKET):
            orphan = stored.key.encode() not in kept and stored.created_at < horizon
            if orphan or stored.key in gone:
                self.buckets.remove(_BUCKET, stored.key)

    def _register(
        self,
        kind: ImageKind,
        path: Path,
        name: str | None,
        account: AccountId,
        *,
        kernel_id: ImageId | None = None,
        ramdisk_id: ImageId | None = None,
        kernel_args: str = "",
    ) -> Image:
        name = checked_name("image", path.name if name is None else name)
        facts = _inspected(path, kind, has_kernel=kernel_id is not None)
        id_ = ImageId(mint(_PREFIX[kind]))
        with self.state.reading() as tx:
            self._check(tx, account, name, kernel_id, ramdisk_id)
        self._store(path, id_)
        try:
            with self.state.transaction() as tx:
                self._check(tx, account, name, kernel_id, ramdisk_id)
                record = Image(
                    id=id_,
                    account=account,
                    kind=kind,
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
                )
                values = attrs.asdict(record)
                tx.execute(images.insert().values(values | {"key": record.key.encode()}))
                tx.record("image.registered", id_, name)
        except IntegrityError:
            self.buckets.remove(_BUCKET, id_)
            raise Duplicate(f"there is an image {name!r} already") from None
        except BaseException:
            self.buckets.remove(_BUCKET, id_)
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

    def _store(self, path: Path, id_: ImageId) -> None:
        with contextlib.suppress(Duplicate):
            self.buckets.create(_BUCKET)
        with path.open("rb") as stream:
            self.buckets.put(_BUCKET, id_, stream)


def _image(row: Any) -> Image:
    values = dict(row._mapping) | {"kind": ImageKind(row.kind), "key": row.key.decode()}
    return Image(**values)


def _inspected(path: Path, kind: ImageKind, *, has_kernel: bool) -> ImageFacts:
    try:
        with path.open("rb") as stream:
            facts = imageformat.inspect(stream)
    except OSError as error:
        raise InvalidValue(f"cannot read the image {path}: {error.strerror}") from error
    imageformat.require(facts, kind)
    if kind is ImageKind.MACHINE and not has_kernel and facts.has_partition_table is False:
        raise InvalidValue(
            f"{path.name} is a bare file system, without a boot loader: "
            "give kernel= (and ramdisk=), or a whole-disk image"
        )
    return facts
