"""Key material: what a key pair is made of. Pure functions; a private key only ever leaves as a
return value.

Forms and fingerprints are those of AWS ("CreateKeyPair", "ImportKeyPair", "Verify the fingerprint
of your key pair").
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, Literal

import attrs

from pycloud import limits
from pycloud.errors import InvalidValue

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

KeyKind = Literal["ed25519", "rsa"]

_RSA_BITS = 2048
_RSA_BITS_MIN = 1024
_FORMS = "an OpenSSH line (ssh-ed25519 or ssh-rsa), PEM or RFC 4716"
_PRIVATE = re.compile("BEGIN [A-Z0-9 ]*PRIVATE KEY|PuTTY-User-Key-File|Private-Lines:")
_OTHERS = {
    re.compile(r"[a-z0-9-]+-cert-v\d+@openssh\.com "): "an OpenSSH certificate",
    re.compile(r"ecdsa-sha2-[a-z0-9]+ "): "an ECDSA key",
    re.compile(r"sk-[a-z0-9-]+@openssh\.com "): "the key of a security key",
    re.compile("ssh-dss "): "a DSA key",
    re.compile("-----BEGIN CERTIFICATE"): "a certificate",
}


@attrs.frozen
class ImportedKey:
    """A public key that someone brought."""

    kind: KeyKind
    public_key: str
    """One line, as in OpenSSH's `authorized_keys`."""
    fingerprint: str


@attrs.frozen
class GeneratedKey(ImportedKey):
    """A key just made, with its private half."""

    private_key: str = attrs.field(repr=False)


def generate(kind: KeyKind) -> GeneratedKey:
    """Make a key: RSA (2048 bits, PKCS#1 PEM) or ED25519 (OpenSSH PEM). Raises `InvalidValue` for
    another kind. The fingerprint of an RSA key made here is another than if it were imported
    (SHA-1 over the private key, not MD5 over the public one): so AWS has it.

    >>> generate("ed25519").public_key.split()[0]
    'ssh-ed25519'
    """
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

    open_ = forms.NoEncryption()
    if kind == "rsa":
        key = rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS)
        pem = key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.TraditionalOpenSSL, open_)
        der = key.private_bytes(forms.Encoding.DER, forms.PrivateFormat.PKCS8, open_)
        fingerprint = _colons(hashlib.sha1(der, usedforsecurity=False).hexdigest())
        return GeneratedKey("rsa", _line(key.public_key()), fingerprint, pem.decode())
    if kind == "ed25519":
        private = ed25519.Ed25519PrivateKey.generate()
        pem = private.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.OpenSSH, open_)
        line = _line(private.public_key())
        return GeneratedKey("ed25519", line, _openssh_fingerprint(line), pem.decode())
    raise InvalidValue(f"a key is of kind 'ed25519' or 'rsa', not {kind!r}")


def read_public(data: bytes | str) -> ImportedKey:
    """Read one public key: RSA with at least 1024 bits, or ED25519, in OpenSSH, PEM or RFC 4716
    form. Its comment is not kept. Raises `InvalidValue`, whose text never repeats the material.
    """
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    key = _parsed(_text_of(data))
    line = _line(key)
    if not isinstance(key, RSAPublicKey):
        return ImportedKey("ed25519", line, _openssh_fingerprint(line))
    if key.key_size < _RSA_BITS_MIN:
        raise InvalidValue(
            f"an RSA key has at least {_RSA_BITS_MIN} bits; this one has {key.key_size}"
        )
    der = key.public_bytes(forms.Encoding.DER, forms.PublicFormat.SubjectPublicKeyInfo)
    return ImportedKey("rsa", line, _colons(hashlib.md5(der, usedforsecurity=False).hexdigest()))


def _text_of(data: bytes | str) -> str:
    if len(data) > limits.PUBLIC_KEY_BYTES:
        raise InvalidValue(
            f"a public key has at most {limits.PUBLIC_KEY_BYTES} bytes, not {len(data)}"
        )
    try:
        text = data if isinstance(data, str) else data.decode("ascii")
        text.encode("ascii")
    except UnicodeError:
        raise InvalidValue(
            f"not a public key: it is not plain text; right would be {_FORMS}"
        ) from None
    if _PRIVATE.search(text):
        raise InvalidValue(
            "this is a private key; give the public one, and keep this one to yourself"
        )
    return text.strip()


def _parsed(text: str) -> RSAPublicKey | Ed25519PublicKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    key: object
    try:
        if text.startswith("-----BEGIN"):
            key = forms.load_pem_public_key(_alone(text, "-----BEGIN").encode())
        else:
            key = forms.load_ssh_public_key(_openssh_line(text).encode())
    except InvalidValue:
        raise
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidValue(f"not a public key that can be read; right would be {_FORMS}") from None
    if isinstance(key, RSAPublicKey | Ed25519PublicKey):
        return key
    raise InvalidValue("a key pair is RSA or ED25519; this is a public key of another kind")


def _openssh_line(text: str) -> str:
    """Return the key as OpenSSH's line; refuse what cryptography would read otherwise than meant."""
    if text.startswith("---- BEGIN SSH2 PUBLIC KEY"):
        text = _line_of_rfc4716(_alone(text, "---- BEGIN"))
    if len(text.splitlines()) > 1:
        raise InvalidValue("this is more than one line; give one public key")
    _check_kind(text)
    return text


def _alone(text: str, begin: str) -> str:
    if text.count(begin) > 1:
        raise InvalidValue("this is more than one key; give one public key")
    _check_kind(text)
    return text


def _check_kind(text: str) -> None:
    for form, found in _OTHERS.items():
        if form.match(text):
            raise InvalidValue(f"a key pair is RSA or ED25519; this is {found}")


def _line_of_rfc4716(text: str) -> str:
    """Turn the SSH public key file format (RFC 4716) into OpenSSH's line."""
    body, continued = [], False
    for line in text.splitlines()[1:]:
        if line.startswith("---- END"):
            break
        header = continued or re.match(r"[!-9;-~]{1,64}:", line)
        continued = bool(header) and line.endswith("\\")
        if not header:
            body.append(line.strip())
    try:
        blob = base64.b64decode("".join(body), validate=True)
    except ValueError:
        raise ValueError("not base64") from None
    length = int.from_bytes(blob[:4], "big")
    return f"{blob[4 : 4 + length].decode('ascii')} {base64.b64encode(blob).decode()}"


def _line(key: RSAPublicKey | Ed25519PublicKey) -> str:
    from cryptography.hazmat.primitives import serialization as forms

    return key.public_bytes(forms.Encoding.OpenSSH, forms.PublicFormat.OpenSSH).decode()


def _openssh_fingerprint(line: str) -> str:
    digest = hashlib.sha256(base64.b64decode(line.split()[1])).digest()
    return base64.b64encode(digest).decode()  # AWS keeps the "=" at the end, OpenSSH does not


def _colons(digits: str) -> str:
    return ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))
