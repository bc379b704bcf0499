"""Builds a bootable small Linux guest out of Debian's packages: kernel, busybox and dropbear, under
40 MB in all.

The packages are unpacked, never installed: installing a kernel would change the boot of the host.
The same packages give the same bytes, and what was built once is kept. Run `python -m
examples.images.build DIRECTORY`.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import attrs

_GUEST = Path(__file__).parent / "guest"
_META = {"debian": "linux-image-cloud-amd64", "ubuntu": "linux-image-virtual"}
_PACKAGES = (
    "busybox-static",
    "dropbear-bin",
    "e2fsprogs",
    "libblkid1",
    "libc6",
    "libcom-err2",
    "libcrypt1",
    "libext2fs2",
    "libgmp10",
    "libtomcrypt1",
    "libtommath1",
    "libuuid1",
    "zlib1g",
)
_MODULES = (
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "virtio_rng",
    "af_packet",
    "ext4",
    "button",
    "evdev",
)
_PROGRAMS = ("sbin/resize2fs", "usr/sbin/dropbear", "usr/bin/dropbearkey")
_TOOLS = {
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
    "depmod": "kmod",
    "modprobe": "kmod",
    "cpio": "cpio",
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "sfdisk": "fdisk",
    "mkfs.fat": "dosfstools",
    "mcopy": "mtools",
    "syslinux": "syslinux",
    "qemu-img": "qemu-utils",
}
_SYSTEM_PATHS = ":/usr/sbin:/sbin"
"""Where some of the tools are, though not on everybody's path."""

_MBR = Path("/usr/lib/syslinux/mbr/mbr.bin")
_UUID = "70796c6f-7564-4775-a573-740000000001"
_EPOCH = 1700000000
"""The time that all files bear, so that the same packages give the same bytes."""

_MIB = 1024**2
_ROOT_MIB = 24
_BOOT_MIB = 24
_BOOT_AT_MIB = 1
_ARGS = "root=/dev/vda2 rw console=ttyS0 quiet"


class BuildError(Exception):
    """The image cannot be built; the text says what is missing."""


@attrs.frozen
class GuestImages:
    """The guest's files: three for direct kernel boot, and the same as one disk."""

    kernel: Path
    ramdisk: Path
    machine: Path
    """The root file system, ext4 in qcow2."""
    disk: Path
    """All of it with a boot loader, qcow2."""


def build_images(directory: Path, progress: Callable[[str], None] = lambda _: None) -> GuestImages:
    """Return the images below `directory`, built if they are not there yet. Raises `BuildError`."""
    _check_tools()
    directory.mkdir(parents=True, exist_ok=True)
    try:
        packages = _resolve()
    except BuildError:
        kept = sorted(directory.glob("guest-*"), key=lambda path: path.stat().st_mtime)
        if not kept:
            raise
        progress("the package lists cannot be read; using the image built before")
        return _images(kept[-1])
    finished = directory / f"guest-{_key(packages)}"
    if not finished.exists():
        with tempfile.TemporaryDirectory(dir=directory, prefix="unfinished-") as name:
            work = Path(name)
            _build(work, packages, progress)
            (work / "out").rename(finished)
    return _images(finished)


def _images(folder: Path) -> GuestImages:
    return GuestImages(
        *(folder / name for name in ("vmlinuz", "initrd.img", "root.qcow2", "disk.qcow2"))
    )


def _build(work: Path, packages: list[str], progress: Callable[[str], None]) -> None:
    out, tree = work / "out", work / "tree"
    for folder in (out, tree):
        folder.mkdir()
    progress(f"fetching {len(packages)} packages")
    _run(["apt-get", "download", *packages], cwd=work)
    progress("unpacking them")
    for package in sorted(work.glob("*.deb")):
        _run(["dpkg-deb", "-x", package, tree])
    [kernel] = tree.glob("boot/vmlinuz-*")
    shutil.copy(kernel, out / "vmlinuz")
    progress("making the ramdisk")
    _make_ramdisk(work, tree, kernel.name.removeprefix("vmlinuz-"), out / "initrd.img")
    progress("making the root file system")
    _make_root(work, tree)
    _compress(work / "root.img", out / "root.qcow2")
    progress("making the disk")
    _make_disk(work, out)


def _make_ramdisk(work: Path, tree: Path, version: str, to: Path) -> None:
    root = work / "ramdisk"
    for folder in ("bin", "dev", "proc", "sys", "root", "modules"):
        (root / folder).mkdir(parents=True)
    _install(_find(tree, "bin/busybox"), root / "bin/busybox", 0o755)
    _install(_GUEST / "initramfs-init", root / "init", 0o755)
    order = []
    for module in _module_files(tree, version):
        name = module.name.partition(".ko")[0] + ".ko"
        if name not in order:
            (root / "modules" / name).write_bytes(_plain(module))
            order.append(name)
    (root / "modules/order").write_text("".join(f"{name}\n" for name in order))
    _settle_times(root)
    names = "\n".join(sorted(str(path.relative_to(root)) for path in root.rglob("*")))
    archive = ["cpio", "--quiet", "--reproducible", "-o", "-H", "newc", "-R", "0:0"]
    packed = _run(archive, cwd=root, given=names.encode())
    to.write_bytes(_run(["gzip", "-9", "-n"], given=packed))


def _module_files(tree: Path, version: str) -> list[Path]:
    """Return the modules' files, each after those that it needs; what is built into the kernel
    has none.
    """
    _run(["depmod", "-b", tree, version])
    files: list[Path] = []
    for module in _MODULES:
        command = ["modprobe", "-d", tree, "-S", version, "--show-depends", module]
        lines = _run(command).decode().splitlines()
        files += [Path(line.split()[1]) for line in lines if line.startswith("insmod ")]
    return files


def _plain(module: Path) -> bytes:
    """Return a module uncompressed: busybox loads no other."""
    if module.suffix == ".xz":
        return lzma.decompress(module.read_bytes())
    if module.suffix == ".zst":
        return _run(["zstd", "-dcq", module])
    return module.read_bytes()


def _make_root(work: Path, tree: Path) -> None:
    root = work / "root"
    folders = "bin dev etc/dropbear etc/init.d etc/udhcpc lib lib64 proc root run sbin sys tmp"
    for folder in (*folders.split(), "usr/bin", "usr/sbin", "var"):
        (root / folder).mkdir(parents=True)
    busybox = _find(tree, "bin/busybox")
    _install(busybox, root / "bin/busybox", 0o755)
    for applet in sorted(_run([busybox, "--list-full"]).decode().split()):
        link = root / applet
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to("/bin/busybox")
    for program in _PROGRAMS:
        _install_program(tree, program, root)
    for name, place in (
        ("boot", "etc/init.d/boot"),
        ("default.script", "etc/udhcpc/default.script"),
    ):
        _install(_GUEST / name, root / place, 0o755)
    _install(_GUEST / "inittab", root / "etc/inittab", 0o644)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/shells").write_text("/bin/sh\n")
    _settle_times(root)
    _make_ext4(root, work / "root.img")


def _install_program(tree: Path, program: str, root: Path) -> None:
    """Install a program with the libraries that the packages' own loader finds for it."""
    source = _find(tree, program)
    (root / program).unlink(missing_ok=True)
    _install(source, root / program, 0o755)
    loader = next(path for path in tree.rglob("ld-linux-x86-64.so.2") if path.exists())
    paths = ":".join(sorted({str(path.parent) for path in tree.rglob("lib*.so.*")}))
    listed = _run([loader, "--library-path", paths, "--list", source]).decode()
    for library in re.findall(r"=> (\S+)", listed):
        if "ld-linux" not in library:
            _install(Path(library), root / "lib" / Path(library).name, 0o755)
    _install(loader, root / "lib64" / loader.name, 0o755)


def _make_ext4(root: Path, to: Path) -> None:
    """Make a file system of a folder's files, all of them of one time."""
    with to.open("wb") as file:
        file.truncate(_ROOT_MIB * _MIB)
    # 64bit and resize_inode let it grow to any disk, online.
    options = f"hash_seed={_UUID},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0"
    command = ["mke2fs", "-q", "-t", "ext4", "-m", "0", "-J", "size=4", "-N", "2048", "-U", _UUID]
    _run([*command, "-E", options, "-d", root, to], at_epoch=True)
    # mke2fs takes the change times as they are on the host.
    script = to.with_suffix(".debugfs")
    names = [f"/{path.relative_to(root)}" for path in sorted(root.rglob("*"))]
    script.write_text(
        "".join(
            f'set_inode_field "{name}" {field} @{_EPOCH:#x}\n'
            for name in ["/", *names]
            for field in ("ctime", "atime", "mtime", "crtime")
        )
        + "".join(
            f'set_inode_field "{name}" {field} 0\n' for name in names for field in ("uid", "gid")
        )
    )
    _run(["debugfs", "-w", "-f", script, to], at_epoch=True)
    script.unlink()


def _make_disk(work: Path, out: Path) -> None:
    """Put a boot partition with syslinux and the root file system onto one disk, without
    mounting anything.
    """
    boot, raw = work / "boot.img", work / "disk.raw"
    with boot.open("wb") as file:
        file.truncate(_BOOT_MIB * _MIB)
    first_sector = _BOOT_AT_MIB * _MIB // 512
    _run(["mkfs.fat", "--invariant", "-F", "16", "-h", first_sector, boot], at_epoch=True)
    config = work / "syslinux.cfg"
    config.write_text(
        f"DEFAULT linux\nLABEL linux\nKERNEL vmlinuz\nINITRD initrd.img\nAPPEND {_ARGS}\n"
    )
    os.utime(config, (_EPOCH, _EPOCH))
    for path in (out / "vmlinuz", out / "initrd.img", config):
        os.utime(path, (_EPOCH, _EPOCH))
        _run(["mcopy", "-m", "-i", boot, path, f"::{path.name}"], at_epoch=True)
    _run(["syslinux", "--install", boot], at_epoch=True)
    root_at_mib = _BOOT_AT_MIB + _BOOT_MIB
    with raw.open("wb") as file:
        file.truncate((root_at_mib + _ROOT_MIB) * _MIB)
    table = (
        "label: dos\nlabel-id: 0x70796331\n"
        f"start={_BOOT_AT_MIB}MiB, size={_BOOT_MIB}MiB, type=e, bootable\n"
        f"start={root_at_mib}MiB, size={_ROOT_MIB}MiB, type=83\n"
    )
    _run(["sfdisk", "-q", raw], given=table.encode())
    with raw.open("r+b") as file:
        file.write(_MBR.read_bytes()[:440])
        for part, at_mib in ((boot, _BOOT_AT_MIB), (work / "root.img", root_at_mib)):
            file.seek(at_mib * _MIB)
            file.write(part.read_bytes())
    _compress(raw, out / "disk.qcow2")


def _compress(raw: Path, to: Path) -> None:
    _run(["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", raw, to])


def _resolve() -> list[str]:
    """Return the packages with their versions, so that the same list means the same bytes."""
    kernel = _META.get(_distribution())
    if kernel is None:
        raise BuildError(f"guests are built on Debian and Ubuntu, not on {_distribution()!r}")
    depends = _run(["apt-cache", "depends", "--no-recommends", "--no-suggests", kernel]).decode()
    images = re.findall(r"Depends: (linux-(?:image|modules)-\d\S*)", depends)
    more = [image.replace("linux-image", "linux-modules") for image in images]
    names = [*images, *(_PACKAGES if _distribution() == "debian" else (*_PACKAGES, *more))]
    if not images:
        raise BuildError(f"the package lists do not know {kernel}: run apt-get update")
    return _with_versions(names)


def _with_versions(names: list[str]) -> list[str]:
    told = _run(["apt-cache", "policy", *names]).decode()
    versions = dict(re.findall(r"^(\S+):\n  Installed: .*\n  Candidate: (\S+)", told, re.MULTILINE))
    unknown = [name for name in names if versions.get(name, "(none)") == "(none)"]
    if unknown:
        raise BuildError(f"the package lists do not know {', '.join(unknown)}: run apt-get update")
    return [f"{name}={versions[name]}" for name in names]


def _distribution() -> str:
    release = Path("/etc/os-release").read_text()
    found = re.search(r'^ID="?([a-z]+)', release, re.MULTILINE)
    return found[1] if found else "unknown"


def _key(packages: Iterable[str]) -> str:
    """Return what changes with the packages and with this program."""
    digest = hashlib.sha256("\n".join(packages).encode())
    for source in (Path(__file__), *sorted(_GUEST.iterdir())):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _find(tree: Path, program: str) -> Path:
    """Return a program of the packages, whether their folders are merged into /usr or not."""
    for place in (tree / program, tree / "usr" / program):
        if place.exists():
            return place
    raise BuildError(f"the packages hold no {program}")


def _install(source: Path, to: Path, mode: int) -> None:
    shutil.copyfile(source, to)
    to.chmod(mode)


def _settle_times(root: Path) -> None:
    for path in (root, *root.rglob("*")):
        os.utime(path, (_EPOCH, _EPOCH), follow_symlinks=False)


def _check_tools() -> None:
    path = os.environ["PATH"] + _SYSTEM_PATHS
    missing = sorted({_TOOLS[tool] for tool in _TOOLS if not shutil.which(tool, path=path)})
    if not _MBR.exists():
        missing.append("syslinux-common")
    if missing:
        raise BuildError(f"the image needs more tools: apt-get install {' '.join(missing)}")


def _run(
    command: Sequence[object],
    *,
    cwd: Path | None = None,
    given: bytes | None = None,
    at_epoch: bool = False,
) -> bytes:
    words = [str(word) for word in command]
    times = {"E2FSPROGS_FAKE_TIME": str(_EPOCH), "SOURCE_DATE_EPOCH": str(_EPOCH)}
    path = os.environ["PATH"] + _SYSTEM_PATHS
    env = os.environ | {"LC_ALL": "C", "PATH": path} | (times if at_epoch else {})
    done = subprocess.run(words, cwd=cwd, input=given, capture_output=True, env=env, check=False)
    if done.returncode != 0:
        raise BuildError(f"{words[0]} failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


if __name__ == "__main__":
    for field, path in attrs.asdict(build_images(Path(sys.argv[1]), print)).items():
        print(f"{field:8} {path} ({path.stat().st_size / 1e6:.1f} MB)")
