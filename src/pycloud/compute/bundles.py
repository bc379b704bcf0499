"""Images as Eucalyptus and EC2 bundle them: a manifest in XML, and the image itself in a tar archive,
compressed, encrypted and cut into parts.

A bundle is what `euca-bundle-image` and `ec2-bundle-image` make ("Bundle an image", Eucalyptus user
guide; "AMI tools commands", EC2 user guide): tar, gzip, AES-128-CBC, parts of 10 MB. The key and the
IV stand in the manifest as hexadecimal text that is encrypted with RSA for the cloud's certificate.
Pure: this reads what it is given, a little at a time, and opens nothing itself. Whatever it reads may
be a stranger's.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import tarfile
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import BinaryIO, Final
from xml.etree import ElementTree

import attrs
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from pycloud import limits
from pycloud.compute.records import ImageKind
from pycloud.errors import InvalidValue, PyCloudError
from pycloud.ids import ImageId

_CHUNK: Final = 1024 * 1024
_AES_BYTES: Final = 16
_READS_BEYOND: Final = 8
"""An archive without its end marks is read behind its end two or three times."""
_SHA1 = re.compile(r"[0-9a-f]{40}")
_SHA1_OF_NOTHING = hashlib.sha1(b"", usedforsecurity=False).hexdigest()
_CIPHER = "AES-128-CBC"
_ARCHITECTURES = ("x86_64", "i386")
_TRUE = ("true", "yes")
_BROKEN = (
    EOFError,
    gzip.BadGzipFile,
    zlib.error,
    tarfile.TarError,
    # What tarfile comes to on headers that make no sense.
    ValueError,
    RecursionError,
)

OpenPart = Callable[[str], BinaryIO]
"""Opens the part of that name; the caller closes."""


class InvalidBundle(InvalidValue):
    """The bundle of an image is broken, or not meant for this cloud."""


@attrs.frozen
class Part:
    """One piece of the encrypted archive."""

    index: int
    name: str
    sha1: str

    def __str__(self) -> str:
        return f"part {self.index} ({self.name})"


@attrs.frozen
class Manifest:
    """What a bundle's manifest says."""

    kind: ImageKind | None
    """Kernel or ramdisk, where the bundle says that it is one; else its content tells."""
    kernel_id: ImageId | None
    ramdisk_id: ImageId | None
    size_bytes: int
    """Of the image."""
    bundled_size_bytes: int
    """Of all parts together."""
    digest: str
    wrapped_key: bytes
    wrapped_iv: bytes
    parts: tuple[Part, ...]
    signed: bytes
    """The text that the signature covers: all that was read stands in it."""
    signature: bytes


def read_manifest(text: bytes) -> Manifest:
    """Return what a manifest says. Its signature is not verified here. Raises `InvalidBundle`."""
    if len(text) > limits.MANIFEST_BYTES:
        raise InvalidBundle(f"a manifest has at most {limits.MANIFEST_BYTES} bytes")
    whole = _parsed(text)
    if whole.tag != "manifest":
        raise InvalidBundle(f"this is not a bundle's manifest: it begins with <{whole.tag[:40]}>")
    configuration, image = _section(text, b"machine_configuration"), _section(text, b"image")
    signed = configuration + image
    # Nothing is read but what was signed: in a comment there could be another text for the signature.
    content = _parsed(b"<manifest>" + signed + b"</manifest>")
    _check_choices(content)
    return Manifest(
        kind=_kind(content),
        kernel_id=_image_id(content, "kernel_id", "eki-"),
        ramdisk_id=_image_id(content, "ramdisk_id", "eri-"),
        size_bytes=_number(content, "image/size"),
        bundled_size_bytes=_number(content, "image/bundled_size"),
        digest=_sha1(_text(content, "image/digest"), "the image"),
        wrapped_key=_hexadecimal(content, "image/ec2_encrypted_key"),
        wrapped_iv=_hexadecimal(content, "image/ec2_encrypted_iv"),
        parts=_parts(content),
        signed=signed,
        signature=_hexadecimal(whole, "signature"),
    )


def symmetric(unwrapped: bytes, what: str) -> bytes:
    """Return the 16 bytes of a key or an IV, which are hexadecimal text inside their RSA block.
    Raises `InvalidBundle`.
    """
    try:
        value = bytes.fromhex(unwrapped.decode("ascii"))
    except ValueError:
        value = b""
    if len(value) != _AES_BYTES:
        raise InvalidBundle(
            f"the {what} of this bundle was not encrypted for this cloud's certificate: "
            "bundle it again with the certificate that came with the credentials (EUCALYPTUS_CERT)"
        )
    return value


def unpack(manifest: Manifest, key: bytes, iv: bytes, open_part: OpenPart) -> BinaryIO:
    """Return the image of a bundle as a stream that is read once, from its start to its end.

    Parts are opened one after the other, and nothing is written. The last bytes are only given when
    all digests and sizes are right, so who has read to the end has a whole image. Reading raises
    `InvalidBundle`, which names the part where something is wrong.
    """
    return stream_of(_image(manifest, key, iv, open_part))


def stream_of(chunks: Generator[bytes]) -> BinaryIO:
    """Return the bytes of some chunks as one stream."""
    return io.BufferedReader(_Chunks(chunks), _CHUNK)


# The manifest


class _TreeWithoutDoctype(ElementTree.TreeBuilder):
    """Refuses a document type before anything in it is read: no entity, no bomb, no other file."""

    def doctype(self, _name: str, _public: str | None, _system: str | None) -> None:
        raise InvalidBundle("a manifest has no document type (<!DOCTYPE>)")


def _parsed(text: bytes) -> ElementTree.Element:
    parser = ElementTree.XMLParser(target=_TreeWithoutDoctype())  # noqa: S314 - see the target
    try:
        parser.feed(text.decode("utf-8-sig"))
        root: ElementTree.Element = parser.close()
    except UnicodeDecodeError:
        raise InvalidBundle("the manifest is not text in UTF-8") from None
    except ElementTree.ParseError as error:
        raise InvalidBundle(f"the manifest is not XML: {error}") from None
    return root


def _section(text: bytes, name: bytes) -> bytes:
    """Return an element as it stands in the text: that is what bundlers sign."""
    start = text.find(b"<%b>" % name)
    end = text.find(b"</%b>" % name, start)
    if start < 0 or end < 0:
        raise InvalidBundle(f"the manifest has no <{name.decode()}>")
    return text[start : end + len(name) + 3]


def _text(node: ElementTree.Element, path: str) -> str:
    text = (node.findtext(path) or "").strip()
    if not text:
        raise InvalidBundle(f"the manifest has no <{path.rpartition('/')[2]}>")
    return text


def _number(node: ElementTree.Element, path: str) -> int:
    text = _text(node, path)
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise InvalidBundle(f"<{path.rpartition('/')[2]}> is a number of bytes, not {text[:40]!r}")
    return int(text)


def _hexadecimal(node: ElementTree.Element, path: str) -> bytes:
    text = _text(node, path)
    try:
        return bytes.fromhex(text)
    except ValueError:
        name = path.rpartition("/")[2]
        raise InvalidBundle(f"<{name}> is hexadecimal, not {text[:40]!r}") from None


def _sha1(text: str, what: str) -> str:
    digest = text.lower()
    if not _SHA1.fullmatch(digest):
        raise InvalidBundle(
            f"the SHA-1 digest of {what} is 40 hexadecimal digits, not {text[:50]!r}"
        )
    return digest


def _check_choices(content: ElementTree.Element) -> None:
    """See that the bundle is made in the one way that is known."""
    architecture = _text(content, "machine_configuration/architecture")
    if architecture not in _ARCHITECTURES:
        raise InvalidBundle(f"the architecture is x86_64 or i386 here, not {architecture[:40]!r}")
    key = content.find("image/ec2_encrypted_key")
    cipher = _CIPHER if key is None else key.get("algorithm", _CIPHER)
    if cipher.upper() != _CIPHER:
        raise InvalidBundle(f"a bundle is encrypted with {_CIPHER}, not {cipher[:40]!r}")
    for digest in content.iter("digest"):
        algorithm = digest.get("algorithm", "SHA1")
        if algorithm.upper() != "SHA1":
            raise InvalidBundle(f"digests of a bundle are SHA1, not {algorithm[:40]!r}")


def _kind(content: ElementTree.Element) -> ImageKind | None:
    """Return what the bundle says it is. `euca-bundle-image --kernel true` marks a kernel."""
    declared = (content.findtext("image/type") or "").strip()
    for kind in (ImageKind.KERNEL, ImageKind.RAMDISK):
        mark = (content.findtext(f"machine_configuration/{kind}_id") or "").strip()
        if declared == kind or mark in _TRUE:
            return kind
    return None


def _image_id(content: ElementTree.Element, name: str, prefix: str) -> ImageId | None:
    """Return the id of a kernel or ramdisk, if it is one of a cloud like this: ids of EC2 (`aki-…`)
    mean nothing here, and were passed over by Eucalyptus too.
    """
    text = (content.findtext(f"machine_configuration/{name}") or "").strip()
    return ImageId(text[: limits.NAME_CHARS]) if text.startswith(prefix) else None


def _parts(content: ElementTree.Element) -> tuple[Part, ...]:
    found = content.findall("image/parts/part")
    if not 1 <= len(found) <= limits.BUNDLE_PARTS:
        raise InvalidBundle(f"a bundle has 1 to {limits.BUNDLE_PARTS} parts, not {len(found)}")
    count = content.find("image/parts")
    declared = None if count is None else count.get("count")
    if declared is not None and declared != str(len(found)):
        raise InvalidBundle(f"the manifest counts {declared[:40]!r} parts and has {len(found)}")
    by_index = {node.get("index", ""): node for node in found}
    if set(by_index) != {str(index) for index in range(len(found))}:
        raise InvalidBundle(f"parts have the indices 0 to {len(found) - 1}, each once")
    return tuple(_part(index, by_index[str(index)]) for index in range(len(found)))


def _part(index: int, node: ElementTree.Element) -> Part:
    name = _text(node, "filename")
    if "/" in name or name in (".", "..") or not name.isprintable():
        raise InvalidBundle(f"part {index} has the name of a file, not {name[:80]!r}")
    return Part(index, name, _sha1(_text(node, "digest"), f"part {index}"))


# The image


class _Chunks(io.RawIOBase):
    """Chunks of bytes as a stream."""

    def __init__(self, chunks: Generator[bytes]) -> None:
        self._chunks = chunks
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed: any buffer
        while not self._left:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._left = memoryview(chunk)
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size

    def close(self) -> None:
        self._chunks.close()
        super().close()


class _Parts:
    """The bytes of all parts, each part's digest checked when its end is reached."""

    def __init__(self, parts: Iterable[Part], open_part: OpenPart) -> None:
        self._parts = parts
        self._open = open_part
        self._current: Iterator[bytes] = iter(())
        self.at: Part | None = None

    def chunks(self) -> Generator[bytes]:
        """Give the bytes. Raises `InvalidBundle`."""
        for part in self._parts:
            self.at = part
            self._current = self._verified(part)
            yield from self._current

    def finish_part(self) -> None:
        """Read the part that was begun to its end, to see whether it is what it should be. Raises
        `InvalidBundle` if it is not.
        """
        for _ in self._current:
            pass

    def _verified(self, part: Part) -> Iterator[bytes]:
        digest = hashlib.sha1(usedforsecurity=False)
        with self._open(part.name) as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                yield chunk
        if digest.hexdigest() != part.sha1:
            raise InvalidBundle(
                f"{part} is not what the manifest says: its SHA-1 is {digest.hexdigest()}, "
                f"not {part.sha1}; upload it again"
            )


class _Archive:
    """The tar archive: what is read of it is digested, and counted against `most`."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream = stream
        self._read = 0
        self._beyond = 0
        self.sha1 = hashlib.sha1(usedforsecurity=False)
        self.most = limits.BUNDLE_HEAD_BYTES

    def read(self, size: int) -> bytes:
        """Return the next bytes. Raises `InvalidBundle` if there are more than there may be, and
        `EOFError` if somebody goes on behind the end: tarfile would, for as long as a header says.
        """
        data = self._stream.read(size)
        self._beyond += not data
        if self._beyond > _READS_BEYOND:
            raise EOFError("the archive ends too early")
        self.sha1.update(data)
        self._read += len(data)
        if self._read > self.most:
            raise InvalidBundle(f"the archive in this bundle is larger than {self.most} bytes")
        return data


def _image(manifest: Manifest, key: bytes, iv: bytes, open_part: OpenPart) -> Generator[bytes]:
    parts = _Parts(manifest.parts, open_part)
    with closing(parts.chunks()) as encrypted:
        compressed = stream_of(_decrypted(encrypted, key, iv))
        archive = _Archive(gzip.GzipFile(fileobj=compressed))
        try:
            yield from _only_file(archive, manifest)
        except PyCloudError:
            raise
        except _BROKEN as error:
            parts.finish_part()
            raise InvalidBundle(
                f"the bundle cannot be unpacked at {parts.at}: {error}; its parts are whole, so it "
                "was not made as bundles are, or its key is another one"
            ) from error


def _decrypted(chunks: Iterator[bytes], key: bytes, iv: bytes) -> Generator[bytes]:
    decryptor = Cipher(AES(key), CBC(iv)).decryptor()
    unpadder = PKCS7(_AES_BYTES * 8).unpadder()
    for chunk in chunks:
        yield unpadder.update(decryptor.update(chunk))
    try:
        yield unpadder.update(decryptor.finalize()) + unpadder.finalize()
    except ValueError:
        raise InvalidBundle(
            "the last part of the bundle does not end as it should: it is cut off, or its key is "
            "another one"
        ) from None


def _only_file(archive: _Archive, manifest: Manifest) -> Generator[bytes]:
    """Give the bytes of the file in the archive, the last of them when everything was right."""
    # Archives may be sparse ("GNU tar", Archiving sparse files): tarfile fills the holes.
    with tarfile.open(fileobj=archive, mode="r|", bufsize=64 * 1024) as tar:  # type: ignore[call-overload]
        member = _checked_member(tar.next(), manifest)
        archive.most = 2 * limits.BUNDLE_HEAD_BYTES + manifest.size_bytes
        file, digest, last = tar.extractfile(member), hashlib.sha1(usedforsecurity=False), b""
        while chunk := file.read(_CHUNK):
            yield last
            digest.update(chunk)
            last = chunk
        if tar.next() is not None:
            raise InvalidBundle("the archive in this bundle holds several files: it must be one")
    while archive.read(_CHUNK):
        pass  # what is behind the archive's end was digested, too
    # The AMI tools and euca2ools 2 and 3 digest the archive; in between the image was digested, and
    # euca2ools 1 meant to, but took no byte of it.
    if manifest.digest not in (archive.sha1.hexdigest(), digest.hexdigest(), _SHA1_OF_NOTHING):
        raise InvalidBundle(
            f"the image is not what the manifest says: its SHA-1 is {digest.hexdigest()} and its "
            f"archive's {archive.sha1.hexdigest()}, neither is {manifest.digest}"
        )
    yield last


def _checked_member(member: tarfile.TarInfo | None, manifest: Manifest) -> tarfile.TarInfo:
    if member is None:
        raise InvalidBundle("the archive in this bundle is empty")
    if not member.isreg():
        raise InvalidBundle(f"the archive in this bundle holds {member.name[:80]!r}, no plain file")
    if member.name.startswith("/") or ".." in member.name.split("/"):
        raise InvalidBundle(f"the archive in this bundle names a path: {member.name[:80]!r}")
    if member.size != manifest.size_bytes:
        raise InvalidBundle(
            f"the image has {member.size} bytes, and the manifest says {manifest.size_bytes}"
        )
    _check_extents(member)
    return member


def _check_extents(member: tarfile.TarInfo) -> None:
    """See that the pieces of a sparse file follow each other: tarfile would look for others long."""
    pieces: list[tuple[int, int]] = getattr(member, "sparse", None) or []
    end = 0
    for offset, size in pieces:
        if (offset, size) == (0, 0):
            continue  # a place in the header that is not used
        if offset < end or size < 0:
            raise InvalidBundle("the pieces of the sparse file in this bundle are out of order")
        end = offset + size
    if end > member.size:
        raise InvalidBundle("the sparse file in this bundle has pieces behind its end")
