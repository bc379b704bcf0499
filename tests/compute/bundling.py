"""An identity with a user's certificate, and bundles made with it, good and bad."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import attrs
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from pycloud.compute.bundles import read_manifest, symmetric, unpack
from pycloud.identity.identity import Identity
from pycloud.identity.sealing import Seal
from pycloud.state.database import Database
from pycloud.testing.bundles import Bundler

KEY, IV = bytes(range(16)), bytes(range(16, 32))
Objects = dict[str, bytes]


@attrs.frozen
class Signer:
    """The administrator, who bundles."""

    identity: Identity
    bundler: Bundler

    @classmethod
    def on(cls, state: Database) -> Signer:
        """Return the signer on an open state."""
        identity = Identity(state, Seal(bytes(32)))
        _, private_key = identity.certificates.create(identity.users.get("admin"))
        return cls(identity, Bundler(identity.certificates.cloud(), private_key))

    def bundle(self, image: bytes, name: str = "disk", part_bytes: int = 1000) -> Objects:
        """Return the objects of a bundle."""
        return dict(self.bundler.bundle(io.BytesIO(image), name, part_bytes=part_bytes))

    def unpacked(self, objects: Objects) -> bytes:
        """Return the image of a bundle, read to its end."""
        [manifest_name] = [name for name in objects if name.endswith(".manifest.xml")]
        manifest = read_manifest(objects[manifest_name])
        unwrap = self.identity.certificates.unwrap
        key = symmetric(unwrap(manifest.wrapped_key), "key")
        iv = symmetric(unwrap(manifest.wrapped_iv), "IV")
        with unpack(manifest, key, iv, lambda name: io.BytesIO(objects[name])) as stream:
            return stream.read()

    def packed(
        self,
        archive: bytes,
        size: int,
        *,
        compress: Callable[[bytes], bytes] = gzip.compress,
        digest: str | None = None,
        part: str = "disk.part.00",
    ) -> Objects:
        """Return a bundle, properly signed and encrypted, of whatever `archive` is."""
        padder, encryptor = PKCS7(128).padder(), Cipher(AES(KEY), CBC(IV)).encryptor()
        plain = padder.update(compress(archive)) + padder.finalize()
        content = encryptor.update(plain) + encryptor.finalize()
        image = (
            "<name>disk</name><user>000000000001</user><type>machine</type>"
            f'<digest algorithm="SHA1">{digest or hashlib.sha1(archive).hexdigest()}</digest>'
            f"<size>{size}</size><bundled_size>{len(content)}</bundled_size>"
            f'<ec2_encrypted_key algorithm="AES-128-CBC">{self.bundler.wrapped(KEY)}'
            f"</ec2_encrypted_key><ec2_encrypted_iv>{self.bundler.wrapped(IV)}</ec2_encrypted_iv>"
            f'<parts count="1"><part index="0"><filename>{part}</filename>'
            f'<digest algorithm="SHA1">{hashlib.sha1(content).hexdigest()}</digest></part></parts>'
        )
        manifest = self.bundler.manifest("<architecture>x86_64</architecture>", image)
        return {part: content, "disk.manifest.xml": manifest.encode()}


def tar_of(*members: tuple[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    """Return a tar archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.size = kind, len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def left_over(folder: Path) -> list[str]:
    """Return the names of all files below a folder of blobs."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
