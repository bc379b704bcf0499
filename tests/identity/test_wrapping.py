"""What is encrypted for the cloud, and what users sign, as bundles of images have it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from pycloud.errors import InvalidValue, StateError
from pycloud.identity.identity import Identity
from pycloud.identity.sealing import Seal
from pycloud.ids import ADMIN_ACCOUNT
from pycloud.state.database import Database

SEAL = Seal(bytes(32))


def _encrypt(certificate: str, secret: bytes) -> bytes:
    key = x509.load_pem_x509_certificate(certificate.encode()).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    return key.encrypt(secret, padding.PKCS1v15())


def _sign(private_key: str, text: bytes) -> bytes:
    key = serialization.load_pem_private_key(private_key.encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key.sign(text, padding.PKCS1v15(), hashes.SHA1())


def test_what_was_encrypted_for_the_cloud_is_read_by_any_process_with_its_seal(
    state: Database,
) -> None:
    wrapped = _encrypt(Identity(state, SEAL).certificates.cloud(), b"a secret")
    assert Identity(state, SEAL).certificates.unwrap(wrapped) == b"a secret"
    with pytest.raises(StateError, match="sealed with another key"):
        Identity(state, Seal(b"another key, of 32 bytes exactly")).certificates.unwrap(wrapped)


def test_what_was_encrypted_for_another_is_not_told_from_noise(state: Database) -> None:
    """Neither answer may say anything about somebody else's secret."""
    certificates = Identity(state, SEAL).certificates
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    wrapped = other.encrypt(b"a secret", padding.PKCS1v15())
    for noise in (wrapped, bytes(256), b"\x01" * 256):
        try:
            assert certificates.unwrap(noise) != b"a secret"
        except InvalidValue as refusal:
            assert "not encrypted for the cloud" in str(refusal)  # noqa: PT017 - both may be
    for length in (0, 255, 257, 10_000):
        with pytest.raises(InvalidValue, match="not encrypted for the cloud's certificate"):
            certificates.unwrap(bytes(length))


def test_a_signature_is_a_users_of_the_account_or_the_clouds(state: Database) -> None:
    identity = Identity(state, SEAL)
    account = identity.accounts.create("strangers").id
    user = identity.users.get("admin", account=account)
    _, private_key = identity.certificates.create(user)
    signature = _sign(private_key, b"text")
    has_signed = identity.certificates.has_signed
    assert has_signed(b"text", signature, account=account)
    assert has_signed(b"text", signature, account=ADMIN_ACCOUNT)
    assert not has_signed(b"another text", signature, account=account)
    assert not has_signed(b"text", signature[:-1], account=account)
    assert not has_signed(b"text", b"", account=account)
    others = identity.accounts.create("others").id
    assert not has_signed(b"text", signature, account=others)


def test_a_certificate_without_an_rsa_key_signs_nothing(state: Database) -> None:
    identity = Identity(state, SEAL)
    user = identity.users.get("admin")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "admin")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    identity.certificates.upload(
        user, certificate.public_bytes(serialization.Encoding.PEM).decode()
    )
    signature = key.sign(b"text", ec.ECDSA(hashes.SHA1()))
    assert not identity.certificates.has_signed(b"text", signature, account=ADMIN_ACCOUNT)
