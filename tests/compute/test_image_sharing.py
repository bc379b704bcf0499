"""Who may launch an image, and that nobody slips another one in."""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from pycloud.compute.images import ImageRegistry
from pycloud.compute.records import Image, ImageKind
from pycloud.drivers.files import FileBlobs
from pycloud.errors import Duplicate, InvalidValue, NotFound, NotOwner
from pycloud.identity.accounts import AccountStore
from pycloud.ids import ADMIN_ACCOUNT, AccountId, BlobId, ImageId
from pycloud.state.database import Database
from pycloud.storage.blobs import OpenBlob
from pycloud.storage.buckets import BucketStore
from pycloud.testing.images import SimImages, kernel_bytes, machine_bytes, register_sim_images
from pycloud.testing.world import SimWorld
from tests.races import meanwhile

_MIB = 1024**2
NOBODYS = ImageId("emi-0123456789abcdef0")


@pytest.fixture
def blobs(tmp_path: Path) -> FileBlobs:
    return FileBlobs(tmp_path / "blobs")


@pytest.fixture
def registry(state: Database, blobs: FileBlobs) -> Iterator[ImageRegistry]:
    buckets = BucketStore(state, blobs)
    yield ImageRegistry(state, buckets)
    assert buckets.sweep() == 0, "bytes without an object were left"


@pytest.fixture
def images(registry: ImageRegistry) -> SimImages:
    return register_sim_images(registry)


@pytest.fixture
def machine(images: SimImages) -> Image:
    return images.machine


@pytest.fixture
def research(state: Database) -> AccountId:
    return AccountStore(state).create("research").id


def _seen(registry: ImageRegistry, account: AccountId) -> list[ImageId]:
    return [one.id for one in registry.list(account=account)]


# Sharing


def test_an_image_is_its_owners_alone(
    registry: ImageRegistry, machine: Image, research: AccountId
) -> None:
    assert machine.id in _seen(registry, ADMIN_ACCOUNT)
    assert _seen(registry, research) == []
    calls: list[Callable[[], object]] = [
        lambda: registry.get(machine.id, account=research),
        lambda: registry.grantees(machine.id, account=research),
        lambda: registry.share(machine.id, public=True, account=research),
        lambda: registry.unshare(machine.id, account=research),
        lambda: registry.describe_as(machine.id, "mine", account=research),
        lambda: registry.deregister(machine.id, account=research),
        lambda: registry.share(NOBODYS),
    ]
    for call in calls:
        with pytest.raises(NotFound, match="no image"):
            call()


def test_a_shared_image_is_seen_and_not_changed(
    registry: ImageRegistry, machine: Image, research: AccountId
) -> None:
    registry.share(machine.id, add=[research])
    assert registry.grantees(machine.id) == [research]
    assert _seen(registry, research) == [machine.id]
    calls: list[Callable[[], object]] = [
        lambda: registry.grantees(machine.id, account=research),
        lambda: registry.share(machine.id, public=True, account=research),
        lambda: registry.unshare(machine.id, account=research),
        lambda: registry.describe_as(machine.id, "mine", account=research),
        lambda: registry.deregister(machine.id, account=research),
    ]
    for call in calls:
        with pytest.raises(NotOwner, match=f"{machine.id} belongs to another account"):
            call()
    assert registry.get(machine.id, account=research) == machine


def test_sharing_is_taken_back(
    registry: ImageRegistry, machine: Image, research: AccountId
) -> None:
    for _ in range(2):
        registry.share(machine.id, add=[research], public=True)
    registry.share(machine.id, remove=[research, AccountId("999999999999")])
    assert registry.grantees(machine.id) == []
    assert registry.get(machine.id, account=research).is_public, "it is still all the world's"
    registry.share(machine.id, add=[research], public=False)
    registry.unshare(machine.id)
    assert registry.grantees(machine.id) == []
    assert _seen(registry, research) == []


def test_an_image_is_shared_with_numbers_of_accounts(
    registry: ImageRegistry, machine: Image
) -> None:
    registry.share(machine.id, add=[AccountId("999999999999")])  # whoever that will be
    for wrong in ("research", "99999999999", "９９９９９９９９９９９９", "all"):
        with pytest.raises(InvalidValue, match="a number of 12 digits, not"):
            registry.share(machine.id, add=[AccountId(wrong)])
    many = [AccountId(f"{n:012}") for n in range(501)]
    with pytest.raises(InvalidValue, match="500 accounts at a time, not 501"):
        registry.share(machine.id, add=many)
    assert registry.grantees(machine.id) == ["999999999999"]


def test_two_who_share_one_image_at_once_both_do(
    registry: ImageRegistry,
    machine: Image,
    research: AccountId,
    make_state: Callable[[], Database],
) -> None:
    with make_state() as other:
        elsewhere = ImageRegistry(other, registry.buckets)
        meanwhile(
            registry.state,
            lambda: registry.share(machine.id, add=[research], public=True),
            lambda: elsewhere.share(machine.id, add=[AccountId("999999999999")]),
        )
    assert registry.get(machine.id).is_public
    assert registry.grantees(machine.id) == sorted([research, "999999999999"])


def test_whoever_uses_an_image_and_then_shares_it_waits_for_nobody(
    registry: ImageRegistry, machine: Image, make_state: Callable[[], Database]
) -> None:
    with make_state() as other:
        elsewhere = ImageRegistry(other, registry.buckets)
        meanwhile(
            registry.state,
            lambda: registry.get(machine.id),
            lambda: elsewhere.describe_as(machine.id, "second"),
            then=lambda: registry.share(machine.id, public=True),
        )
    image = registry.get(machine.id)
    assert (image.is_public, image.description) == (True, "second")


def test_a_deregistered_image_is_shared_with_nobody(
    registry: ImageRegistry, machine: Image, research: AccountId
) -> None:
    registry.share(machine.id, add=[research], public=True)
    registry.deregister(machine.id)
    assert machine.id not in [*_seen(registry, research), *_seen(registry, ADMIN_ACCOUNT)]
    with pytest.raises(NotFound):
        registry.get(machine.id, account=research)
    registry.sweep()
    with pytest.raises(NotFound):
        registry.open(machine.id)


def test_whoever_sees_an_image_launches_it_and_keeps_it(tmp_path: Path) -> None:
    with SimWorld(tmp_path, nodes=1) as world:
        cloud, image = world.cloud, world.images.machine.id
        research = AccountStore(cloud.state).create("research").id
        with pytest.raises(NotFound, match="no image"):
            cloud.run_instances(image, account=research)
        # Its kernel and ramdisk need not be shared: they come with it.
        cloud.images.share(image, add=[research])
        [instance] = cloud.run_instances(image, account=research)
        cloud.images.unshare(image)
        cloud.images.deregister(image)
        for _ in range(3):
            cloud.tick()
        [running] = cloud.describe_instances(account=research)
        assert (running.state, running.kernel_id) == ("running", world.images.kernel.id)
        cloud.reboot_instances([instance.id], account=research)


# From a bucket


@pytest.fixture
def bucket(registry: ImageRegistry) -> str:
    registry.buckets.create_bucket("uploads")
    return "uploads"


def _put(registry: ImageRegistry, bucket: str, key: str, content: bytes) -> None:
    registry.buckets.put(bucket, key, io.BytesIO(content))


def test_an_object_is_registered_as_what_it_is(registry: ImageRegistry, bucket: str) -> None:
    _put(registry, bucket, "boot/vmlinuz", kernel_bytes())
    _put(registry, bucket, "disk.img", machine_bytes())
    kernel = registry.register_object(bucket, "boot/vmlinuz")
    assert (kernel.kind, kernel.name, kernel.location) == (
        *(ImageKind.KERNEL, "vmlinuz"),
        "uploads/boot/vmlinuz",
    )
    machine = registry.register_object(
        bucket, "disk.img", name="disk", description="größer", kernel=kernel.id
    )
    assert (machine.kind, machine.name, machine.description) == (
        *(ImageKind.MACHINE, "disk"),
        "größer",
    )
    assert registry.list() == [kernel, machine]
    registry.buckets.delete(bucket, "disk.img")
    with registry.open(machine.id) as stream:
        assert stream.read() == machine_bytes(), "the bytes are the image's own"


def test_what_is_not_there_or_no_image_is_refused(
    registry: ImageRegistry, bucket: str, research: AccountId
) -> None:
    _put(registry, bucket, "text", b"hello")
    _put(registry, bucket, "disk.img", machine_bytes())
    with pytest.raises(NotFound, match="no bucket 'nowhere'"):
        registry.register_object("nowhere", "disk.img")
    with pytest.raises(NotFound, match="no object 'uploads/nothing'"):
        registry.register_object(bucket, "nothing")
    with pytest.raises(NotFound, match="no bucket 'uploads'"):
        registry.register_object(bucket, "disk.img", account=research)
    with pytest.raises(InvalidValue, match="not an image"):
        registry.register_object(bucket, "text")
    with pytest.raises(InvalidValue, match="a bare file system, without a boot loader"):
        registry.register_object(bucket, "disk.img")
    with pytest.raises(NotFound, match="no image"):
        registry.register_object(bucket, "disk.img", kernel=ImageId("eki-0123456789abcdef0"))
    with pytest.raises(InvalidValue, match="the description of an image"):
        registry.register_object(bucket, "disk.img", description="a\nb")
    assert registry.list() == []


def test_a_name_is_taken_once(registry: ImageRegistry, images: SimImages, bucket: str) -> None:
    _put(registry, bucket, "kernel", kernel_bytes())
    with pytest.raises(Duplicate, match="there is an image 'kernel' already"):
        registry.register_object(bucket, "kernel")
    registry.deregister(images.kernel.id)
    assert registry.register_object(bucket, "kernel").name == "kernel"


class _Swapping(FileBlobs):
    """Blobs of which somebody puts something else in place of one, at the n-th read from now."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.reads_left = 0
        self.swap: Callable[[], None] = lambda: None

    def read(self, blob: BlobId) -> OpenBlob:
        stream = super().read(blob)
        self.reads_left -= 1
        if self.reads_left == 0:
            self.swap()
        return stream


def _qcow2(*, backing: int) -> bytes:
    """Return the head of a qcow2 disk that stands on another file, unless `backing` is 0."""
    head = struct.pack(">4sIQIIQI", b"QFI\xfb", 2, backing, 9, 16, _MIB, 0)
    return head.ljust(32 * 1024, b"\0")  # more than is kept in the database


def test_what_is_swapped_while_it_is_registered_is_not_slipped_in(
    state: Database, tmp_path: Path
) -> None:
    blobs = _Swapping(tmp_path / "blobs")
    registry = ImageRegistry(state, BucketStore(state, blobs))
    registry.buckets.create_bucket("uploads")
    good, evil = _qcow2(backing=0), _qcow2(backing=512)
    blobs.swap = partial(_put, registry, "uploads", "disk", evil)
    swapped = True
    for n in range(1, 10):
        _put(registry, "uploads", "disk", good)
        blobs.reads_left = n
        with contextlib.suppress(InvalidValue):
            image = registry.register_object("uploads", "disk", name=f"disk{n}")
            swapped = blobs.reads_left <= 0
            with registry.open(image.id) as stream:
                assert stream.read() == good
    assert not swapped, "the last time nothing happened"
    assert len(list(registry.buckets.each("pycloud-images"))) == len(registry.list())


def test_nobody_takes_the_bucket_that_images_are_kept_in(
    registry: ImageRegistry, research: AccountId, bucket: str
) -> None:
    with pytest.raises(Duplicate, match="'pycloud-images' is kept for a bucket of the cloud's own"):
        registry.buckets.create_bucket("pycloud-images", account=research)
    _put(registry, bucket, "kernel", kernel_bytes())
    registry.register_object(bucket, "kernel")
    assert registry.buckets.get_bucket("pycloud-images").account == ADMIN_ACCOUNT


def test_two_who_register_one_name_at_once_register_one(
    registry: ImageRegistry, bucket: str, make_state: Callable[[], Database], blobs: FileBlobs
) -> None:
    _put(registry, bucket, "kernel", kernel_bytes())
    with make_state() as other:
        elsewhere = ImageRegistry(other, BucketStore(other, blobs))
        elsewhere.register_object(bucket, "kernel", name="first")
        with pytest.raises(Duplicate, match="'kernel' already"):
            meanwhile(
                registry.state,
                lambda: registry.register_object(bucket, "kernel"),
                lambda: elsewhere.register_object(bucket, "kernel"),
            )
    assert sorted(one.name for one in registry.list()) == ["first", "kernel"]
    assert len(list(registry.buckets.each("pycloud-images"))) == 2
