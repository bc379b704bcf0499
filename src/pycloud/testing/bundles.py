"""Makes the bundles that `euca-bundle-image` makes, for those who have no euca2ools (they need
Python 2).
"""

from __future__ import annotations

import hashlib
import os
import secrets
import tarfile
import zlib
from collections.abc import Iterator
from functools import cached_property
from typing import BinaryIO
from xml.sax.saxutils import escape

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from pycloud.compute.records import ImageKind

_CHUNK = 1024 * 1024


@attrs.frozen(slots=False)
class Bundler:
    """Bundles images for one cloud, in the name of one user.

    >>> import io, pycloud
    >>> from pycloud.testing.bundles import Bundler
    >>> with pycloud.SQLiteState("cloud.db") as state:
    ...     identity = pycloud.Identity(state, pycloud.Seal.from_file("seal.key"))
    ...     _, private_key = identity.certificates.create(identity.users.get("admin"))
    ...     bundler = Bundler(identity.certificates.cloud(), private_key)
    >>> [name for name, content in bundler.bundle(io.BytesIO(b"an image"), "centos6.img")]
    ['centos6.img.part.00', 'centos6.img.manifest.xml']
    """

    cloud_certificate: str
    """In PEM: `cloud-cert.pem` of the credentials."""
    private_key: str = attrs.field(repr=False)
    """The user's, in PEM: `euca2-…-pk.pem` of the credentials."""
    account: str = "000000000001"

    def bundle(
        self,
        image: BinaryIO,
        name: str,
        *,
        kind: ImageKind = ImageKind.MACHINE,
        kernel: str | None = None,
        ramdisk: str | None = None,
        part_bytes: int = 10 * 1024**2,
    ) -> Iterator[tuple[str, bytes]]:
        """Give the names and contents of the parts, one at a time, and at last the manifest's.
        `image` is read once, and must be seekable, to know its size first.
        """
        size = image.seek(0, os.SEEK_END)
        image.seek(0)
        key, iv = secrets.token_bytes(16), secrets.token_bytes(16)
        archive = hashlib.sha1(usedforsecurity=False)
        encrypted = _encrypted(_compressed(_archived(image, name, size), archive), key, iv)
        digests: list[str] = []
        bundled = 0
        for content in _cut(encrypted, part_bytes):
            yield f"{name}.part.{len(digests):02}", content
            digests.append(hashlib.sha1(content, usedforsecurity=False).hexdigest())
            bundled += len(content)
        configuration = _element("architecture", "x86_64")
        configuration += _element("kernel_id", kernel) + _element("ramdisk_id", ramdisk)
        described = (
            _element("name", name)
            + _element("user", self.account)
            + _element("type", str(kind))
            + f'<digest algorithm="SHA1">{archive.hexdigest()}</digest>'
            + _element("size", str(size))
            + _element("bundled_size", str(bundled))
            + self._secrets(key, iv)
            + _parts(name, digests)
        )
        yield f"{name}.manifest.xml", self.manifest(configuration, described).encode()

    def manifest(self, configuration: str, image: str) -> str:
        """Return a manifest with these contents, signed."""
        signed = f"<machine_configuration>{configuration}</machine_configuration>"
        signed += f"<image>{image}</image>"
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA1())  # noqa: S303
        return (
            '<?xml version="1.0" ?><manifest><version>2007-10-10</version>'
            "<bundler><name>pycloud</name><version>1</version><release>0</release></bundler>"
            f"{signed}<signature>{signature.hex()}</signature></manifest>"
        )

    def wrapped(self, secret: bytes) -> str:
        """Return a key or an IV as it stands in a manifest: hexadecimal text, encrypted for the
        cloud, in hexadecimal again.
        """
        return _wrapped(secret, self._cloud_key)

    def _secrets(self, key: bytes, iv: bytes) -> str:
        user = self._key.public_key()
        return (
            f'<ec2_encrypted_key algorithm="AES-128-CBC">{self.wrapped(key)}</ec2_encrypted_key>'
            f'<user_encrypted_key algorithm="AES-128-CBC">{_wrapped(key, user)}</user_encrypted_key>'
            f"<ec2_encrypted_iv>{self.wrapped(iv)}</ec2_encrypted_iv>"
            f"<user_encrypted_iv>{_wrapped(iv, user)}</user_encrypted_iv>"
        )

    @cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        key = serialization.load_pem_private_key(self.private_key.encode(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        return key

    @cached_property
    def _cloud_key(self) -> rsa.RSAPublicKey:
        key = x509.load_pem_x509_certificate(self.cloud_certificate.encode()).public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        return key


def _archived(image: BinaryIO, name: str, size: int) -> Iterator[bytes]:
    member = tarfile.TarInfo(name)
    member.size = size
    yield member.tobuf()
    while chunk := image.read(_CHUNK):
        yield chunk
    yield bytes(-size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)


def _compressed(chunks: Iterator[bytes], digest: hashlib._Hash) -> Iterator[bytes]:
    packer = zlib.compressobj(level=1, wbits=31)
    for chunk in chunks:
        digest.update(chunk)
        yield packer.compress(chunk)
    yield packer.flush()


def _encrypted(chunks: Iterator[bytes], key: bytes, iv: bytes) -> Iterator[bytes]:
    encryptor, padder = Cipher(AES(key), CBC(iv)).encryptor(), PKCS7(128).padder()
    for chunk in chunks:
        yield encryptor.update(padder.update(chunk))
    yield encryptor.update(padder.finalize()) + encryptor.finalize()


def _cut(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    left = bytearray()
    for chunk in chunks:
        left += chunk
        while len(left) >= size:
            yield bytes(left[:size])
            del left[:size]
    if left:
        yield bytes(left)


def _wrapped(secret: bytes, key: rsa.RSAPublicKey) -> str:
    return key.encrypt(secret.hex().encode(), padding.PKCS1v15()).hex()


def _element(name: str, text: str | None) -> str:
    return "" if text is None else f"<{name}>{escape(text)}</{name}>"


def _parts(name: str, digests: list[str]) -> str:
    parts = "".join(
        f'<part index="{index}"><filename>{escape(f"{name}.part.{index:02}")}</filename>'
        f'<digest algorithm="SHA1">{digest}</digest></part>'
        for index, digest in enumerate(digests)
    )
    return f'<parts count="{len(digests)}">{parts}</parts>'
