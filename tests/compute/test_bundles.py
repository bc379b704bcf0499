"""Bundles are read as their bundlers made them, and whatever is wrong with one is said."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import re
import secrets
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pycloud import limits
from pycloud.compute.bundles import InvalidBundle, read_manifest, symmetric, unpack
from pycloud.compute.records import ImageKind
from pycloud.state.sqlite import SQLiteState
from tests.compute.bundling import IV, KEY, Objects, Signer, tar_of

MIB = 1024**2
IMAGE = b"".join(hashlib.sha256(bytes([number])).digest() for number in range(256))


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signer]:
    with SQLiteState(tmp_path_factory.mktemp("signer") / "cloud.db") as state:
        yield Signer.on(state)


# Good ones


@settings(max_examples=40, deadline=None)
@given(image=st.binary(min_size=1, max_size=20_000), part_bytes=st.integers(16, 5000))
def test_any_image_in_parts_of_any_size_comes_out_as_it_was(
    signer: Signer, image: bytes, part_bytes: int
) -> None:
    assert signer.unpacked(signer.bundle(image, part_bytes=part_bytes)) == image


@given(sizes=st.lists(st.integers(1, 3000), min_size=1))
def test_an_image_is_read_in_any_pieces(bundle: tuple[Signer, Objects], sizes: list[int]) -> None:
    signer, objects = bundle
    manifest = read_manifest(objects["disk.manifest.xml"])
    unwrap = signer.identity.certificates.unwrap
    key, iv = symmetric(unwrap(manifest.wrapped_key), "key"), unwrap(manifest.wrapped_iv)
    with unpack(
        manifest, key, symmetric(iv, "IV"), lambda name: io.BytesIO(objects[name])
    ) as stream:
        pieces = [stream.read(size) for size in sizes]
        assert b"".join([*pieces, stream.read()]) == IMAGE


@pytest.fixture(scope="module")
def bundle(signer: Signer) -> tuple[Signer, Objects]:
    return signer, signer.bundle(IMAGE)


@pytest.mark.parametrize("digested", ["archive", "image", "nothing"])
def test_a_bundle_of_the_commands_that_bundlers_run(
    signer: Signer, tmp_path: Path, digested: str
) -> None:
    """GNU tar with holes, gzip, openssl and split, and the manifest as euca2ools writes it."""
    image = tmp_path / "sparse.img"
    with image.open("wb") as file:
        for at in (0, 5 * MIB, 9 * MIB):
            file.seek(at)
            file.write(secrets.token_bytes(300_000))
        file.truncate(10 * MIB)
    (tmp_path / "cloud.pem").write_text(signer.bundler.cloud_certificate)
    (tmp_path / "user.pem").write_text(signer.bundler.private_key)
    _shell(
        tmp_path,
        f"tar c -S sparse.img > archive && gzip -c archive > packed && "
        f"openssl enc -e -aes-128-cbc -K {KEY.hex()} -iv {IV.hex()} -in packed -out encrypted && "
        f"split -b 300000 -d encrypted sparse.img.part. && "
        f"for it in {KEY.hex()} {IV.hex()}; do printf %s $it | "
        f"openssl pkeyutl -encrypt -certin -inkey cloud.pem -out wrapped.$it; done",
    )
    assert (tmp_path / "archive").stat().st_size < 2 * MIB, "the archive has no holes"
    digests = {
        "archive": hashlib.sha1((tmp_path / "archive").read_bytes()).hexdigest(),
        "image": hashlib.sha1(image.read_bytes()).hexdigest(),
        "nothing": "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    }
    parts = sorted(tmp_path.glob("sparse.img.part.*"))
    assert len(parts) > 2
    listed = "".join(
        f'<part index="{index}"><filename>{part.name}</filename><digest algorithm="SHA1">'
        f"{hashlib.sha1(part.read_bytes()).hexdigest()}</digest></part>"
        for index, part in enumerate(parts)
    )
    signed = (
        "<machine_configuration><architecture>x86_64</architecture></machine_configuration>"
        "<image><name>sparse.img</name><user>000000000001</user><type>machine</type>"
        f'<digest algorithm="SHA1">{digests[digested]}</digest><size>{10 * MIB}</size>'
        f"<bundled_size>{sum(part.stat().st_size for part in parts)}</bundled_size>"
        '<ec2_encrypted_key algorithm="AES-128-CBC">'
        f"{(tmp_path / f'wrapped.{KEY.hex()}').read_bytes().hex()}</ec2_encrypted_key>"
        '<user_encrypted_key algorithm="AES-128-CBC">00</user_encrypted_key>'
        f"<ec2_encrypted_iv>{(tmp_path / f'wrapped.{IV.hex()}').read_bytes().hex()}"
        f'</ec2_encrypted_iv><parts count="{len(parts)}">{listed}</parts></image>'
    )
    (tmp_path / "signed").write_text(signed)
    _shell(tmp_path, "openssl dgst -sha1 -sign user.pem -out signature signed")
    signature = (tmp_path / "signature").read_bytes().hex()
    text = f"<manifest>{signed}<signature>{signature}</signature></manifest>".encode()
    manifest = read_manifest(text)
    assert signer.identity.certificates.has_signed(
        manifest.signed, manifest.signature, account=signer.identity.users.get("admin").account
    )
    objects = {part.name: part.read_bytes() for part in parts}
    assert signer.unpacked(objects | {"sparse.img.manifest.xml": text}) == image.read_bytes()


def _shell(folder: Path, command: str) -> None:
    done = subprocess.run(["bash", "-ec", command], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("<type>machine</type>", None),
        ("<type>kernel</type>", ImageKind.KERNEL),
        ("<type>ramdisk</type>", ImageKind.RAMDISK),
        ("", None),
    ],
)
def test_a_manifest_says_what_its_image_is(
    bundle: tuple[Signer, Objects], said: str, kind: ImageKind | None
) -> None:
    text = bundle[1]["disk.manifest.xml"].replace(b"<type>machine</type>", said.encode())
    assert read_manifest(text).kind is kind


@pytest.mark.parametrize(
    ("configuration", "kind", "kernel", "ramdisk"),
    [
        ("<kernel_id>true</kernel_id>", ImageKind.KERNEL, None, None),
        ("<ramdisk_id>yes</ramdisk_id>", ImageKind.RAMDISK, None, None),
        (
            "<kernel_id>eki-6D8A3A5C</kernel_id><ramdisk_id>eri-0C3A3D5E</ramdisk_id>",
            None,
            "eki-6D8A3A5C",
            "eri-0C3A3D5E",
        ),
        ("<kernel_id>aki-88aa75e1</kernel_id>", None, None, None),
        ("<kernel_id>windows</kernel_id>", None, None, None),
        (
            "<block_device_mapping><mapping><virtual>root</virtual><device>/dev/sda1</device>"
            "</mapping></block_device_mapping>",
            None,
            None,
            None,
        ),
    ],
)
def test_a_manifest_names_kernel_and_ramdisk(
    bundle: tuple[Signer, Objects],
    configuration: str,
    kind: ImageKind | None,
    kernel: str | None,
    ramdisk: str | None,
) -> None:
    more = f"</architecture>{configuration}".encode()
    manifest = read_manifest(bundle[1]["disk.manifest.xml"].replace(b"</architecture>", more))
    assert (manifest.kind, manifest.kernel_id, manifest.ramdisk_id) == (kind, kernel, ramdisk)


# Broken, missing, swapped, tampered parts


@given(data=st.data())
def test_one_changed_byte_is_found_and_its_part_named(
    bundle: tuple[Signer, Objects], data: st.DataObject
) -> None:
    signer, objects = bundle
    name = data.draw(st.sampled_from(sorted(name for name in objects if ".part." in name)))
    at = data.draw(st.integers(0, len(objects[name]) - 1))
    changed = bytearray(objects[name])
    changed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(InvalidBundle, match=rf"part {int(name[-2:])} \({name}\) is not what"):
        signer.unpacked(objects | {name: bytes(changed)})


def test_parts_that_are_swapped_cut_off_or_longer(bundle: tuple[Signer, Objects]) -> None:
    signer, objects = bundle
    first, second = objects["disk.part.00"], objects["disk.part.01"]
    for part, changes in (
        (0, {"disk.part.00": second, "disk.part.01": first}),
        (1, {"disk.part.01": second[:-1]}),
        (1, {"disk.part.01": second + b"\0"}),
        (1, {"disk.part.01": b""}),
    ):
        with pytest.raises(InvalidBundle, match=rf"part {part} \(disk.part.0{part}\) is not what"):
            signer.unpacked(objects | changes)


def test_nothing_is_whole_before_all_is_right(signer: Signer) -> None:
    """Who reads just as many bytes as the image should have does not get them all."""
    archive = tar_of(("disk", IMAGE))
    objects = signer.packed(archive, len(IMAGE), digest="0" * 40)
    manifest = read_manifest(objects["disk.manifest.xml"])
    with (
        unpack(manifest, KEY, IV, lambda name: io.BytesIO(objects[name])) as stream,
        pytest.raises(InvalidBundle, match="the image is not what the manifest says"),
    ):
        stream.read(len(IMAGE))


@pytest.mark.parametrize("wrong", ["key", "iv"])
def test_a_wrong_key_is_no_image(bundle: tuple[Signer, Objects], wrong: str) -> None:
    signer, objects = bundle
    manifest = read_manifest(objects["disk.manifest.xml"])
    unwrap = signer.identity.certificates.unwrap
    right = {
        "key": symmetric(unwrap(manifest.wrapped_key), "key"),
        "iv": symmetric(unwrap(manifest.wrapped_iv), "IV"),
    }
    used = right | {wrong: bytes(16)}
    with (
        unpack(manifest, used["key"], used["iv"], lambda name: io.BytesIO(objects[name])) as stream,
        pytest.raises(InvalidBundle, match="its key is another one"),
    ):
        stream.read()


@pytest.mark.parametrize(
    "inside", [b"", b"00", bytes(16), b"g" * 32, b"00" * 15, b"00" * 17, "ü".encode() * 16]
)
def test_a_key_is_32_hexadecimal_digits(inside: bytes) -> None:
    with pytest.raises(InvalidBundle, match="not encrypted for this cloud's certificate"):
        symmetric(inside, "key")


# Archives that no bundler makes


def _link(name: str, target: str) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info.tobuf() + bytes(1024)


def _pax(size: int) -> bytes:
    """An extended header of so many bytes, before a file."""
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, size
    return info.tobuf() + bytes(size) + tar_of(("disk", b"x"))


def _pax_sparse(pieces: bytes) -> bytes:
    """A sparse file of newer GNU tars, whose pieces are listed before its data."""
    info = tarfile.TarInfo("disk")
    info.size = len(pieces)
    info.pax_headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "disk",
        "GNU.sparse.realsize": "10",
    }
    return info.tobuf(tarfile.PAX_FORMAT) + pieces


def _long_names(count: int) -> bytes:
    """Headers of long names, each for the next."""
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1
    return (info.tobuf() + b"x".ljust(512, b"\0")) * count


def _sparse(*extents: tuple[int, int], size: int, stored: int = 5) -> bytes:
    """A sparse file of GNU tar, with these extents."""
    info = tarfile.TarInfo("disk")
    info.type, info.size = tarfile.GNUTYPE_SPARSE, stored
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    for index, (offset, count) in enumerate(extents):
        header[386 + 24 * index : 410 + 24 * index] = b"%011o\0%011o\0" % (offset, count)
    header[483:495] = b"%011o\0" % size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + b"bytes".ljust(512, b"\0") + bytes(1024)


def test_an_honest_sparse_file(signer: Signer) -> None:
    assert signer.unpacked(signer.packed(_sparse((3, 5), size=10), 10)) == b"\0\0\0bytes\0\0"


@pytest.mark.parametrize(
    ("archive", "size", "complaint"),
    [
        (tar_of(), 1, "the archive in this bundle is empty"),
        (tar_of(("disk", b"one"), ("more", b"two")), 3, "holds several files"),
        (tar_of(("/etc/passwd", b"one")), 3, "names a path: '/etc/passwd'"),
        (tar_of(("../../disk", b"one")), 3, "names a path"),
        (tar_of(("disk", b""), kind=tarfile.DIRTYPE), 1, "no plain file"),
        (tar_of(("disk", b""), kind=tarfile.CHRTYPE), 1, "no plain file"),
        (_link("disk", "/etc/shadow"), 1, "no plain file"),
        (tar_of(("disk", b"one")), 4, "the image has 3 bytes, and the manifest says 4"),
        (tar_of(("disk", IMAGE))[:5000], len(IMAGE), "cannot be unpacked at part 0"),
        (b"Dear Sir or Madam, " * 100, 3, "cannot be unpacked at part 0"),
        (b"", 3, "cannot be unpacked at part 0"),
        (tar_of(("disk", b"one")) + bytes(16 * MIB), 3, "is larger than"),
        (_pax(16 * MIB), 1, "is larger than"),
        (_pax_sparse(b"99999\n12"), 10, "cannot be unpacked at part 0"),
        (_long_names(2000) + tar_of(("disk", b"one")), 3, "cannot be unpacked at part 0"),
        (_sparse((3, 8), size=10), 10, "has pieces behind its end"),
        (_sparse((5, 3), (0, 2), size=10), 10, "out of order"),
        (_sparse((0, 5), size=10, stored=2**60), 10, "cannot be unpacked at part 0"),
    ],
)
def test_an_archive_that_is_not_one_file_is_refused(
    signer: Signer, archive: bytes, size: int, complaint: str
) -> None:
    objects = signer.packed(archive, size)
    manifest = read_manifest(objects["disk.manifest.xml"])
    with (
        unpack(manifest, KEY, IV, lambda name: io.BytesIO(objects[name])) as stream,
        pytest.raises(InvalidBundle, match=complaint),
    ):
        stream.read(64 * MIB)  # what never ends is read no further than this


@pytest.mark.parametrize(
    "compress",
    [
        lambda archive: archive,
        lambda archive: gzip.compress(archive)[:-9],
        lambda archive: gzip.compress(archive)[:-8] + bytes(8),
        lambda archive: gzip.compress(archive) + b"garbage",
        lambda archive: gzip.compress(archive)[:10] + b"\xff" * 50,
        lambda _: b"",
    ],
)
def test_what_gzip_would_refuse_is_refused(
    signer: Signer, compress: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(InvalidBundle, match="cannot be unpacked at part 0"):
        signer.unpacked(signer.packed(tar_of(("disk", IMAGE)), len(IMAGE), compress=compress))


@pytest.mark.parametrize("end", [b"", Random(0).randbytes(50_000)])
def test_what_breaks_in_the_middle_is_refused(signer: Signer, end: bytes) -> None:
    archive = tar_of(("disk", secrets.token_hex(300_000).encode()))
    compressed = gzip.compress(archive)[:200_000] + end
    objects = signer.packed(archive, 600_000, compress=lambda _: compressed)
    with pytest.raises(InvalidBundle, match="cannot be unpacked at part 0"):
        signer.unpacked(objects)


def test_a_bomb_ends_where_its_limit_is(signer: Signer) -> None:
    """One MiB that would become one GiB: read up to the limit, and no further."""
    bomb = gzip.compress(bytes(64 * MIB), 9) * 16
    objects = signer.packed(b"", 1, compress=lambda _: gzip.compress(tar_of(("disk", b"x"))) + bomb)
    assert len(objects["disk.part.00"]) < 2 * MIB
    with pytest.raises(InvalidBundle, match=f"larger than {2 * limits.BUNDLE_HEAD_BYTES + 1} "):
        signer.unpacked(objects)


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, 511), change=st.binary(min_size=1, max_size=24), sparse=st.booleans())
def test_a_header_of_nonsense_is_refused_or_read_and_breaks_nothing(
    signer: Signer, at: int, change: bytes, sparse: bool
) -> None:
    archive = bytearray(_sparse((0, 2), (4, 3), size=10) if sparse else tar_of(("disk", b"x" * 10)))
    archive[at : at + len(change)] = change
    header = archive[:148] + b" " * 8 + archive[156:512]
    archive[148:156] = b"%06o\0 " % sum(header)
    with contextlib.suppress(InvalidBundle):
        assert len(signer.unpacked(signer.packed(bytes(archive), 10))) == 10


# Manifests


def _without(name: str) -> Callable[[bytes], bytes]:
    pattern = re.compile(rf"<{name}[ >].*?</{name}>".encode(), re.DOTALL)
    return lambda text: pattern.sub(b"", text, count=1)


def _with(before: str, after: str) -> Callable[[bytes], bytes]:
    return lambda text: text.replace(before.encode(), after.encode(), 1)


_BOMB = "<!DOCTYPE m [<!ENTITY a 'aaaaaaaa'>" + "".join(
    f"<!ENTITY {one} '{f'&{former};' * 10}'>"
    for former, one in zip("abcdefgh", "bcdefghi", strict=True)
)
_REQUIRED = ["image", "machine_configuration", "architecture", "digest", "size", "bundled_size"]
_REQUIRED += ["ec2_encrypted_key", "ec2_encrypted_iv", "parts", "filename", "signature"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        *((_without(name), "the manifest has no <|a bundle has 1 to") for name in _REQUIRED),
        (lambda _: b"", "not XML"),
        (lambda _: b"Dear Sir or Madam", "not XML"),
        (lambda _: b"<html></html>", "begins with <html>"),
        (lambda text: text[:-20], "not XML"),
        (lambda text: text + text, "not XML"),
        (lambda text: text.decode().encode("utf-16"), "not text in UTF-8|not XML"),
        (lambda text: text.replace(b"disk", b"\xff"), "not text in UTF-8"),
        (lambda text: text.replace(b"disk", b"\0"), "not XML"),
        (_with("<manifest>", f"{_BOMB}]><manifest>&i;"), "no document type"),
        (_with("<manifest>", "<!DOCTYPE m SYSTEM 'file:///etc/passwd'><manifest>"), "no document"),
        (
            _with(
                "<manifest>", "<!DOCTYPE m [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><manifest>&x;"
            ),
            "no document type",
        ),
        (_with("<name>disk", "<name>&undefined;"), "not XML"),
        (_with("<size>", "<size>-"), "number of bytes"),
        (_with("<size>", "<size>99999999999999999999"), "number of bytes"),
        (_with("<size>8192", "<size>٨"), "number of bytes"),
        (_with("<ec2_encrypted_iv>", "<ec2_encrypted_iv>xyz"), "is hexadecimal"),
        (_with("<signature>", "<signature>xyz"), "is hexadecimal"),
        (_with('"AES-128-CBC"', '"AES-256-CBC"'), "encrypted with AES-128-CBC, not 'AES-256-CBC'"),
        (_with('algorithm="SHA1"', 'algorithm="MD5"'), "digests of a bundle are SHA1, not 'MD5'"),
        (_with("x86_64", "arm64"), "the architecture is x86_64 or i386 here, not 'arm64'"),
        (_with('count="', 'count="1'), "parts and has"),
        (_with('index="1"', 'index="0"'), "each once"),
        (_with('index="1"', 'index="01"'), "each once"),
        (_with('index="1"', 'index="99"'), "each once"),
        (_with("<filename>disk", "<filename>../other/disk"), "part 0 has the name of a file"),
        (_with("<filename>disk.part.00", "<filename>.."), "part 0 has the name of a file"),
        (_with("<filename>disk.part.00", "<filename>a&#10;b"), "part 0 has the name of a file"),
        (_with('<digest algorithm="SHA1">', '<digest algorithm="SHA1">0'), "40 hexadecimal digits"),
    ],
)
def test_a_manifest_that_is_none_is_refused(
    bundle: tuple[Signer, Objects], change: Callable[[bytes], bytes], complaint: str
) -> None:
    text = bundle[1]["disk.manifest.xml"]
    changed = change(text)
    assert changed != text
    with pytest.raises(InvalidBundle, match=complaint):
        read_manifest(changed)


def test_a_manifest_is_no_larger_than_its_limits(bundle: tuple[Signer, Objects]) -> None:
    text = bundle[1]["disk.manifest.xml"]
    with pytest.raises(InvalidBundle, match=f"at most {limits.MANIFEST_BYTES} bytes"):
        read_manifest(text + b" " * limits.MANIFEST_BYTES)
    part = re.compile(rb"<part index.*?</part>", re.DOTALL)
    with pytest.raises(InvalidBundle, match=f"1 to {limits.BUNDLE_PARTS} parts, not 10001"):
        read_manifest(_without("parts")(text).replace(b"</image>", _many_parts(part, text)))
    deep = b"<a>" * 500_000 + b"</a>" * 500_000
    with pytest.raises(InvalidBundle, match="no <image>"):
        read_manifest(
            b"<manifest><machine_configuration></machine_configuration>%b</manifest>" % deep
        )


def _many_parts(part: re.Pattern[bytes], text: bytes) -> bytes:
    found = part.search(text)
    assert found is not None
    return b"<parts>" + found[0] * (limits.BUNDLE_PARTS + 1) + b"</parts></image>"


def test_only_what_was_signed_is_read(bundle: tuple[Signer, Objects]) -> None:
    """A signed text in a comment, and another one for the reader."""
    signer, objects = bundle
    text = objects["disk.manifest.xml"]
    signed = read_manifest(text).signed
    other = signed.replace(b"disk.part.00", b"evil.part.00")
    for tricked in (
        text.replace(signed, b"<!--" + signed + b"-->" + other),
        text.replace(signed, b"<x><![CDATA[" + signed + b"]]></x>" + other),
    ):
        manifest = read_manifest(tricked)
        assert manifest.parts[0].name == "disk.part.00"
        assert manifest.signed == signed
    manifest = read_manifest(text.replace(signed, other))
    assert manifest.parts[0].name == "evil.part.00"
    account = signer.identity.users.get("admin").account
    has_signed = signer.identity.certificates.has_signed
    assert not has_signed(manifest.signed, manifest.signature, account=account)
    assert has_signed(signed, manifest.signature, account=account)


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_garbage_in_a_manifest_is_refused(
    bundle: tuple[Signer, Objects], before: bytes, within: bytes
) -> None:
    text = bundle[1]["disk.manifest.xml"]
    for garbled in (
        before,
        b"<manifest>" + before + within,
        text.replace(b"<parts", within + b"<parts"),
    ):
        with contextlib.suppress(InvalidBundle):
            read_manifest(garbled)


def test_sizes_and_parts_are_what_the_manifest_says(bundle: tuple[Signer, Objects]) -> None:
    _, objects = bundle
    parts = {name: content for name, content in objects.items() if ".part." in name}
    manifest = read_manifest(objects["disk.manifest.xml"])
    assert manifest.size_bytes == len(IMAGE)
    assert manifest.bundled_size_bytes == sum(map(len, parts.values()))
    assert [part.name for part in manifest.parts] == sorted(parts)
