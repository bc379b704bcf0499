"""X.509 certificates, with which old tools sign, and the cloud's own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from pycloud import limits
from pycloud.clock import ManualClock
from pycloud.errors import InvalidValue, LimitExceeded, NotFound
from pycloud.identity.identity import Identity
from pycloud.identity.users import User
from tests.races import meanwhile


def _own_pem() -> str:
    """Return a certificate such as people make themselves."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "alice")])
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(key.public_key()).serial_number(1)
    made = builder.not_valid_before(begin).not_valid_after(begin + timedelta(days=9000))
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def test_a_certificate_comes_with_its_key(identity: Identity, alice: User) -> None:
    made, private = identity.certificates.create(alice)
    assert private.startswith("-----BEGIN RSA PRIVATE KEY-----\n")
    key = serialization.load_pem_private_key(private.encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    loaded = x509.load_pem_x509_certificate(made.pem.encode())
    assert loaded.public_key() == key.public_key()
    loaded.verify_directly_issued_by(loaded)
    assert loaded.subject.rfc4514_string() == "CN=alice.000000000001"
    assert loaded.not_valid_before_utc < identity.state.clock.now() < loaded.not_valid_after_utc
    assert (made.is_active, made.is_generated, len(made.id)) == (True, True, 32)
    assert identity.certificates.list(alice) == [made]


def test_a_user_has_two(identity: Identity, alice: User, clock: ManualClock) -> None:
    uploaded = identity.certificates.upload(alice, _own_pem())
    clock.advance(seconds=1)
    first, _ = identity.certificates.create(alice)
    with pytest.raises(LimitExceeded, match="user 'alice' has 2 certificates already"):
        identity.certificates.create(alice)
    with pytest.raises(LimitExceeded):
        identity.certificates.upload(alice, _own_pem())
    second, _ = identity.certificates.create(alice, replace=True)
    assert identity.certificates.list(alice) == [uploaded, second]
    assert first.id != second.id


def test_what_a_user_uploaded_is_not_replaced(identity: Identity, alice: User) -> None:
    uploaded = [identity.certificates.upload(alice, _own_pem()) for _ in range(2)]
    with pytest.raises(LimitExceeded):
        identity.certificates.create(alice, replace=True)
    assert len(identity.certificates.list(alice)) == len(uploaded)


def test_two_who_make_the_second_one_at_once_make_one(
    identity: Identity, another: Identity, alice: User
) -> None:
    identity.certificates.upload(alice, _own_pem())
    with pytest.raises(LimitExceeded):
        meanwhile(
            identity.state,
            lambda: identity.certificates.upload(alice, _own_pem()),
            lambda: another.certificates.upload(alice, _own_pem()),
        )


def test_what_is_no_certificate_is_refused(identity: Identity, alice: User) -> None:
    empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    for pem in ("", "hello", empty, "\ud800"):
        with pytest.raises(InvalidValue, match=r"not an X\.509 certificate in PEM"):
            identity.certificates.upload(alice, pem)
    with pytest.raises(InvalidValue, match="at most 16384 characters"):
        identity.certificates.upload(alice, _own_pem() + " " * limits.CERTIFICATE_CHARS)


def test_only_the_certificate_itself_is_kept(identity: Identity, alice: User) -> None:
    pem = _own_pem()
    kept = identity.certificates.upload(alice, f"Subject: \0 alice\n{pem}\0")
    assert identity.certificates.list(alice) == [kept]
    assert kept.pem == pem


def test_a_certificate_is_switched_off_and_deleted_by_its_user(
    identity: Identity, alice: User
) -> None:
    kept = identity.certificates.upload(alice, _own_pem())
    admin = identity.users.get("admin")
    with pytest.raises(NotFound, match=f"no certificate '{kept.id}'"):
        identity.certificates.set_active(admin, kept.id, is_active=False)
    with pytest.raises(NotFound, match=f"no certificate '{kept.id}'"):
        identity.certificates.delete(admin, kept.id)
    identity.certificates.set_active(alice, kept.id, is_active=False)
    assert [one.is_active for one in identity.certificates.list(alice)] == [False]
    identity.certificates.delete(alice, kept.id)
    assert identity.certificates.list(alice) == []


def test_the_cloud_has_one_certificate(identity: Identity, another: Identity) -> None:
    made: list[str] = []
    found = meanwhile(
        identity.state,
        lambda: made.append(identity.certificates.cloud()),
        another.certificates.cloud,
    )
    assert [found] == made == [identity.certificates.cloud()]
    assert x509.load_pem_x509_certificate(found.encode()).subject.rfc4514_string() == "CN=pycloud"


def test_a_deleted_user_gets_none(identity: Identity, alice: User) -> None:
    identity.users.delete("alice")
    with pytest.raises(NotFound, match="no user 'alice'"):
        identity.certificates.upload(alice, _own_pem())
