"""Images come from files, objects and bundles; what is refused leaves nothing behind."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import cast

import attrs
import pytest

from pycloud import limits
from pycloud.compute.bundles import InvalidBundle
from pycloud.compute.images import ImageRegistry
from pycloud.compute.records import Image, ImageKind
from pycloud.drivers.files import FileBlobs
from pycloud.errors import Duplicate, InvalidValue, NotFound
from pycloud.ids import ImageId
from pycloud.state.database import Database
from pycloud.state.sqlite import SQLiteState
from pycloud.storage.buckets import BucketStore
from pycloud.testing.bundles import Bundler
from pycloud.testing.images import kernel_bytes, machine_bytes, ramdisk_bytes
from pycloud.testing.world import ProcessDiedError, SimWorld
from tests.compute.bundling import Objects, Signer, left_over, tar_of

MACHINE = machine_bytes()


@attrs.frozen
class Shop:
    """A registry whose administrator has a bucket `centos`."""

    signer: Signer
    images: ImageRegistry
    folder: Path

    @property
    def buckets(self) -> BucketStore:
        return self.images.buckets

    def put(self, objects: Objects, prefix: str = "") -> None:
        for name, content in objects.items():
            self.buckets.put("centos", prefix + name, io.BytesIO(content))

    def put_bundle(
        self,
        image: bytes,
        name: str,
        *,
        kind: ImageKind = ImageKind.MACHINE,
        kernel: str | None = None,
        ramdisk: str | None = None,
        bundler: Bundler | None = None,
        prefix: str = "",
    ) -> str:
        """Upload a bundle; return the manifest's key."""
        made = (bundler or self.signer.bundler).bundle(
            io.BytesIO(image), name, kind=kind, kernel=kernel, ramdisk=ramdisk, part_bytes=500
        )
        self.put(dict(made), prefix)
        return f"{prefix}{name}.manifest.xml"

    def register(self, key: str, *, kernel: ImageId | None = None) -> Image:
        return self.images.register_object("centos", key, kernel=kernel)

    def bytes_of(self, image: Image) -> bytes:
        with self.images.open(image.id) as stream:
            return stream.read()

    def kept(self) -> int:
        """Return how many files there are, when nothing is half-written and all is named."""
        assert self.buckets.sweep() == 0, "bytes without an object were left"
        files = left_over(self.folder)
        assert [name for name in files if name.endswith(".part")] == []
        return len(files)


def _shop(state: Database, folder: Path) -> Shop:
    signer = Signer.on(state)
    buckets = BucketStore(state, FileBlobs(folder))
    buckets.create_bucket("centos")
    images = ImageRegistry(state, buckets, certificates=signer.identity.certificates)
    return Shop(signer, images, folder)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with SQLiteState(tmp_path / "cloud.db") as state:
        yield _shop(state, tmp_path / "blobs")


def test_the_images_of_the_article(state: Database, tmp_path: Path) -> None:
    """A kernel and a ramdisk in bundles, and the machine image whose manifest names them."""
    shop = _shop(state, tmp_path / "blobs")
    kernel = shop.register(shop.put_bundle(kernel_bytes(), "vmlinuz", kernel="true"))
    ramdisk = shop.register(shop.put_bundle(ramdisk_bytes(), "initrd.img", ramdisk="true"))
    key = shop.put_bundle(MACHINE, "centos6.img", kernel=kernel.id, ramdisk=ramdisk.id)
    machine = shop.register(key)
    assert (kernel.kind, ramdisk.kind) == (ImageKind.KERNEL, ImageKind.RAMDISK)
    assert (kernel.id[:4], ramdisk.id[:4], machine.id[:4]) == ("eki-", "eri-", "emi-")
    assert machine.location == "centos/centos6.img.manifest.xml"
    assert (machine.name, machine.kind) == ("centos6.img", ImageKind.MACHINE)
    assert (machine.kernel_id, machine.ramdisk_id) == (kernel.id, ramdisk.id)
    assert machine.kernel_args
    assert shop.bytes_of(machine) == MACHINE
    assert machine.size_bytes == machine.virtual_size_bytes == len(MACHINE)
    assert shop.images.get(machine.id) == machine


def test_what_the_call_gives_comes_before_what_the_manifest_says(shop: Shop) -> None:
    kernels = [
        shop.register(shop.put_bundle(kernel_bytes(), f"vmlinuz-{n}", kind=ImageKind.KERNEL))
        for n in range(2)
    ]
    key = shop.put_bundle(MACHINE, "disk", kernel=kernels[0].id)
    assert shop.register(key, kernel=kernels[1].id).kernel_id == kernels[1].id


def test_parts_stand_beside_their_manifest(shop: Shop) -> None:
    key = shop.put_bundle(kernel_bytes(), "vmlinuz", prefix="boot/6.1/")
    image = shop.register(key)
    assert (image.name, image.location) == ("vmlinuz", "centos/boot/6.1/vmlinuz.manifest.xml")
    assert shop.bytes_of(image) == kernel_bytes()


def test_a_manifest_may_be_called_otherwise(shop: Shop) -> None:
    objects = dict(shop.signer.bundler.bundle(io.BytesIO(kernel_bytes()), "vmlinuz"))
    shop.put(objects)
    shop.put({"bundle": objects["vmlinuz.manifest.xml"]})
    assert shop.register("bundle").kind is ImageKind.KERNEL


def test_a_stranger_may_bundle_for_an_account_of_theirs_alone(shop: Shop) -> None:
    identity = shop.signer.identity
    account = identity.accounts.create("strangers").id
    _, private_key = identity.certificates.create(identity.users.get("admin", account=account))
    theirs = Bundler(identity.certificates.cloud(), private_key, account)
    key = shop.put_bundle(kernel_bytes(), "vmlinuz", bundler=theirs)
    assert shop.register(key).kind is ImageKind.KERNEL, (
        "the administrator takes what any user signed"
    )
    shop.buckets.create_bucket("theirs", account=account)
    for bundler, name in ((theirs, "good"), (shop.signer.bundler, "evil")):
        for part, content in bundler.bundle(io.BytesIO(kernel_bytes()), name):
            shop.buckets.put("theirs", part, io.BytesIO(content))
    register = shop.images.register_object
    assert register("theirs", "good.manifest.xml", account=account).account == account
    with pytest.raises(InvalidBundle, match="no certificate of this account's users"):
        register("theirs", "evil.manifest.xml", account=account)
    with pytest.raises(NotFound, match="no bucket 'centos'"):
        register("centos", key, account=account)


def test_a_certificate_that_is_switched_off_verifies_nothing(shop: Shop) -> None:
    certificates = shop.signer.identity.certificates
    user = shop.signer.identity.users.get("admin")
    [mine] = certificates.list(user)
    key = shop.put_bundle(kernel_bytes(), "vmlinuz")
    certificates.set_active(user, mine.id, is_active=False)
    with pytest.raises(InvalidBundle, match="verifies the signature"):
        shop.register(key)
    certificates.set_active(user, mine.id, is_active=True)
    assert shop.register(key)


def test_what_the_cloud_encrypted_for_is_told_from_another_clouds(
    shop: Shop, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    with SQLiteState(tmp_path / "other" / "cloud.db") as state:
        other = Signer.on(state)
    bundler = attrs.evolve(shop.signer.bundler, cloud_certificate=other.bundler.cloud_certificate)
    with pytest.raises(
        InvalidBundle, match="the key of this bundle was not encrypted for this cloud"
    ):
        shop.register(shop.put_bundle(kernel_bytes(), "vmlinuz", bundler=bundler))


Damage = FunctionType


def _without_part(_: Shop, objects: Objects) -> Objects:
    return {name: content for name, content in objects.items() if name != "disk.part.02"}


def _cut_off(_: Shop, objects: Objects) -> Objects:
    return objects | {"disk.part.02": objects["disk.part.02"][:-16]}


def _swapped(_: Shop, objects: Objects) -> Objects:
    first, second = objects["disk.part.01"], objects["disk.part.02"]
    return objects | {"disk.part.01": second, "disk.part.02": first}


def _tampered(_: Shop, objects: Objects) -> Objects:
    name = max(name for name in objects if ".part." in name)
    return objects | {name: objects[name][:-1] + bytes([objects[name][-1] ^ 1])}


def _renamed(_: Shop, objects: Objects) -> Objects:
    manifest = objects["disk.manifest.xml"].replace(b"<name>disk<", b"<name>disc<")
    return objects | {"disk.manifest.xml": manifest}


def _unsigned(_: Shop, objects: Objects) -> Objects:
    text = objects["disk.manifest.xml"]
    return objects | {"disk.manifest.xml": text[: text.index(b"<signature>")] + b"</manifest>"}


def _wrongly_digested(shop: Shop, _: Objects) -> Objects:
    archive = tar_of(("disk", MACHINE))
    return shop.signer.packed(archive, len(MACHINE), digest="0" * 40)


def _several(shop: Shop, _: Objects) -> Objects:
    return shop.signer.packed(tar_of(("disk", MACHINE), ("more", b"x")), len(MACHINE))


def _no_image(shop: Shop, _: Objects) -> Objects:
    return shop.signer.packed(tar_of(("disk", b"Dear Sir")), 8)


def _no_manifest(_: Shop, __: Objects) -> Objects:
    return {"disk.manifest.xml": machine_bytes()}


def _endless(_: Shop, __: Objects) -> Objects:
    return {"disk.manifest.xml": b"<manifest>" + b" " * limits.MANIFEST_BYTES}


def _too_large(shop: Shop, _: Objects) -> Objects:
    return shop.signer.packed(tar_of(("disk", MACHINE)), limits.IMAGE_BYTES + 1)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (
            _without_part,
            r"part 2 \(disk.part.02\) of this bundle is not beside its manifest centos/_w",
        ),
        (_cut_off, "parts of this bundle have .* bytes, and the manifest says"),
        (_swapped, r"part 1 \(disk.part.01\) is not what the manifest says"),
        (_tampered, r"part (\d+) \(disk.part.\1\) is not what the manifest says"),
        (_renamed, "verifies the signature"),
        (_unsigned, "the manifest has no <signature>"),
        (_wrongly_digested, "the image is not what the manifest says"),
        (_several, "holds several files"),
        (_no_image, "not an image"),
        (_no_manifest, "the manifest is not"),
        (_endless, "a manifest has at most"),
        (_too_large, "an image has at most"),
    ],
)
def test_a_bundle_that_is_refused_leaves_nothing_behind(
    used_shop: Shop, damage: Damage, complaint: str
) -> None:
    shop, prefix = used_shop, f"{damage.__name__}/"
    shop.put(damage(shop, shop.signer.bundle(MACHINE, "disk", part_bytes=400)), prefix)
    registered, before = shop.images.list(), shop.kept()
    with pytest.raises(InvalidValue, match=complaint):
        shop.register(f"{prefix}disk.manifest.xml", kernel=registered[0].id)
    assert shop.kept() == before
    assert shop.images.list() == registered


@pytest.fixture(scope="module")
def used_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One for all tests that leave it as it was."""
    folder = tmp_path_factory.mktemp("shop")
    with SQLiteState(folder / "cloud.db") as state:
        shop = _shop(state, folder / "blobs")
        shop.register(shop.put_bundle(kernel_bytes(), "vmlinuz"))
        yield shop


def test_kinds_and_kernels_that_do_not_fit_are_refused(shop: Shop) -> None:
    ramdisk = shop.register(shop.put_bundle(ramdisk_bytes(), "initrd"))
    missing = "eki-00000000000000000"
    for key, complaint in (
        (shop.put_bundle(ramdisk_bytes(), "a", kind=ImageKind.KERNEL), "not a kernel image"),
        (shop.put_bundle(MACHINE, "b"), "bare file system"),
        (shop.put_bundle(MACHINE, "c", kernel=missing), f"no image '{missing}'"),
        (shop.put_bundle(MACHINE, "d", ramdisk=ramdisk.id), "a ramdisk needs a kernel"),
    ):
        with pytest.raises((InvalidValue, NotFound), match=complaint):
            shop.register(key)
    with pytest.raises(InvalidValue, match="is a ramdisk image; a kernel image is needed"):
        shop.register("b.manifest.xml", kernel=ramdisk.id)


def test_without_certificates_no_bundle_is_read(shop: Shop) -> None:
    key = shop.put_bundle(kernel_bytes(), "vmlinuz")
    plain = ImageRegistry(shop.images.state, shop.buckets)
    with pytest.raises(InvalidBundle, match="made without certificates="):
        plain.register_object("centos", key)
    shop.put({"vmlinuz": kernel_bytes()})
    assert plain.register_object("centos", "vmlinuz").kind is ImageKind.KERNEL


@pytest.mark.parametrize(("size_mib", "part_mib"), [(200, 10), (60, 60)])
def test_a_large_image_takes_little_memory(tmp_path: Path, size_mib: int, part_mib: int) -> None:
    """In parts of 10 MB, and in one that is larger than what may be held."""
    program = Path(__file__).with_name("register_large.py")
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path), str(size_mib), str(part_mib)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    grown_kib, seconds = done.stdout.split()
    assert int(grown_kib) < 40 * 1024
    assert float(seconds) < 5


# Files and plain objects


@pytest.mark.parametrize(
    ("content", "kind"), [(kernel_bytes(), ImageKind.KERNEL), (ramdisk_bytes(), ImageKind.RAMDISK)]
)
def test_an_object_is_what_its_content_is(shop: Shop, content: bytes, kind: ImageKind) -> None:
    shop.put({"boot/it": content})
    image = shop.register("boot/it")
    assert (image.kind, image.name, image.location) == (kind, "it", "centos/boot/it")
    assert shop.bytes_of(image) == content
    with pytest.raises(Duplicate):
        shop.register("boot/it")


def test_what_is_no_image_is_not_copied(shop: Shop, tmp_path: Path) -> None:
    shop.put({"letter": b"Dear Sir or Madam", "empty": b""})
    before = shop.kept()
    for key in ("letter", "empty"):
        with pytest.raises(InvalidValue, match="not an image"):
            shop.register(key)
    with pytest.raises(NotFound):
        shop.register("nothing")
    for path, complaint in ((tmp_path, "Is a directory"), (tmp_path / "nothing", "No such file")):
        with pytest.raises(InvalidValue, match=f"cannot read the image .*: {complaint}"):
            shop.images.register_kernel(path)
    assert shop.kept() == before


def test_a_file_that_is_written_to_meanwhile_is_refused(shop: Shop, tmp_path: Path) -> None:
    """A pipe has no size before it is read."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(kernel_bytes(),))
    writer.start()
    before = shop.kept()
    with pytest.raises(InvalidValue, match="pipe had 0 bytes and then 4096"):
        shop.images.register_kernel(pipe)
    writer.join()
    assert shop.kept() == before


def test_an_image_larger_than_any_is_not_read(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.write(machine_bytes())
        file.truncate(limits.IMAGE_BYTES + 512)
    with pytest.raises(InvalidValue, match="an image has at most"):
        shop.images.register_machine(path)


# Crashes


def test_a_process_may_die_at_every_boundary(tmp_path: Path) -> None:
    """A bundle is registered whole or not at all, and what is left of it is swept."""
    n, died = 0, True
    while died:
        folder = tmp_path / str(n)
        folder.mkdir()
        with SimWorld(folder) as world:
            died = _register(world, n)
        n += 1
    assert n > 4, "there were too few boundaries to die at"


def _register(world: SimWorld, n: int) -> bool:
    """Register a bundle, with a death at boundary `n`; return whether it came so far."""
    state = world.cloud.state
    signer = Signer.on(state)
    images = world.cloud.images
    images.certificates = signer.identity.certificates
    images.buckets.create_bucket("centos")
    for name, content in signer.bundle(kernel_bytes(), "vmlinuz").items():
        images.buckets.put("centos", name, io.BytesIO(content))
    former = {image.id for image in images.list()}
    world.crash_at(n)
    died = False
    made: Image | None = None
    try:
        made = images.register_object("centos", "vmlinuz.manifest.xml")
    except ProcessDiedError:
        died = True
    world.restart()
    images = world.cloud.images
    new = [image for image in images.list() if image.id not in former]
    for image in new:
        with images.open(image.id) as stream:
            assert stream.read() == kernel_bytes()
    assert died or [image.id for image in new] == [cast("Image", made).id]
    world.clock.advance(2 * 3600)
    images.sweep()
    images.buckets.sweep()
    kept = {stored.key for stored in images.buckets.each("pycloud-images")}
    assert kept == former | {image.id for image in new}
    return died
