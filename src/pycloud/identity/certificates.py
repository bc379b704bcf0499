"""`CertificateStore`: X.509 certificates, with which old tools sign, and the cloud's own."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import attrs
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID
from sqlalchemy import delete, func, select, update

from pycloud import limits
from pycloud.errors import InvalidValue, LimitExceeded, NotFound
from pycloud.identity.sealing import Seal
from pycloud.identity.users import User, lock_user
from pycloud.ids import ADMIN_ACCOUNT, AccountId, CertificateId, UserId, mint_key_id
from pycloud.state.database import Database
from pycloud.state.schema import certificates, cloud_certificate, users

_YEARS = timedelta(days=3650)
_CLOUD = "cloud certificate"


@attrs.frozen
class Certificate:
    """A certificate of a user, without its key."""

    id: CertificateId
    user_id: UserId
    pem: str
    is_active: bool
    is_generated: bool
    """Whether it was made here, together with its key."""
    created_at: datetime


class CertificateStore:
    """Signing certificates, at most two a user ("Manage X.509 signing certificates")."""

    def __init__(self, state: Database, seal: Seal) -> None:
        self.state = state
        self._seal = seal

    def create(self, user: User, *, replace: bool = False) -> tuple[Certificate, str]:
        """Make a certificate for a new RSA key; return it with the key in PEM, which is kept
        nowhere. Raises `LimitExceeded` where there are two; with `replace`, the oldest that was
        made so goes instead.
        """
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = _signed(key, f"{user.name}.{user.account}", self.state.clock.now())
        kept = self._add(user, pem, is_generated=True, replace=replace)
        return kept, _private(key)

    def upload(self, user: User, pem: str) -> Certificate:
        """Keep a certificate of the user's own making. Raises `InvalidValue`, `LimitExceeded`."""
        if len(pem) > limits.CERTIFICATE_CHARS:
            raise InvalidValue(f"a certificate has at most {limits.CERTIFICATE_CHARS} characters")
        try:
            loaded = x509.load_pem_x509_certificate(pem.encode())
        except ValueError as error:
            raise InvalidValue(f"this is not an X.509 certificate in PEM: {error}") from None
        # Without whatever stood around it.
        return self._add(user, _pem(loaded), is_generated=False, replace=False)

    def list(self, user: User) -> list[Certificate]:
        """Return the user's certificates, the oldest first."""
        query = select(certificates).where(certificates.c.user_id == user.id)
        with self.state.reading() as tx:
            rows = tx.execute(query.order_by(certificates.c.created_at, certificates.c.id))
            return [_certificate(row) for row in rows]

    def set_active(self, user: User, id: CertificateId, *, is_active: bool) -> None:
        """Switch a certificate of the user on or off. Raises `NotFound`."""
        mine = (certificates.c.id == id) & (certificates.c.user_id == user.id)
        with self.state.transaction() as tx:
            changed = update(certificates).where(mine).values(is_active=is_active)
            if tx.execute(changed).rowcount == 0:
                raise NotFound("certificate", id)

    def delete(self, user: User, id: CertificateId) -> None:
        """Delete a certificate of the user. Raises `NotFound`."""
        mine = (certificates.c.id == id) & (certificates.c.user_id == user.id)
        with self.state.transaction() as tx:
            if tx.execute(delete(certificates).where(mine)).rowcount == 0:
                raise NotFound("certificate", id)
            tx.record("certificate.deleted", id, user.name)

    def cloud(self) -> str:
        """Return the cloud's own certificate in PEM, made when it is first asked for."""
        query = select(cloud_certificate.c.pem)
        with self.state.reading() as tx:
            found: str | None = tx.execute(query).scalar_one_or_none()
        if found is not None:
            return found
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = _signed(key, "pycloud", self.state.clock.now())
        sealed = self._seal.close(_private(key).encode(), _CLOUD)
        with self.state.transaction() as tx:
            tx.add_if_absent(cloud_certificate, id=1, pem=pem, sealed=sealed)
            made: str = tx.execute(query).scalar_one()
        return made

    def unwrap(self, wrapped: bytes) -> bytes:
        """Return what was encrypted for the cloud's certificate (RSA, PKCS #1 v1.5). Raises
        `InvalidValue` where it is seen that it was not; where it is not seen, what comes out is
        random, so that nobody learns from the answers what others encrypted (RFC 8017, 7.2.2).
        """
        query = select(cloud_certificate.c.sealed)
        self.cloud()
        with self.state.reading() as tx:
            sealed = tx.execute(query).scalar_one()
        pem = self._seal.open(sealed, _CLOUD)
        # It was made here, and sealed: to check it anew would take a hundred times as long.
        key = serialization.load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
        assert isinstance(key, rsa.RSAPrivateKey)
        try:
            return key.decrypt(wrapped, padding.PKCS1v15())
        except ValueError:
            raise InvalidValue("this was not encrypted for the cloud's certificate") from None

    def has_signed(self, text: bytes, signature: bytes, *, account: AccountId) -> bool:
        """Return whether a user of the account, or the cloud itself, signed the text (RSA, SHA-1, as
        image bundlers sign). What any user signed will do for the administrator's account, as in
        Eucalyptus. Certificates that are switched off do not count.
        """
        query = select(certificates.c.pem).join(users, users.c.id == certificates.c.user_id)
        query = query.where(certificates.c.is_active)
        if account != ADMIN_ACCOUNT:
            query = query.where(users.c.account == account)
        with self.state.reading() as tx:
            found = list(tx.execute(query).scalars())
        return any(_has_signed(pem, text, signature) for pem in [*found, self.cloud()])

    def _add(self, user: User, pem: str, *, is_generated: bool, replace: bool) -> Certificate:
        with self.state.transaction() as tx:
            lock_user(tx, user)
            mine = certificates.c.user_id == user.id
            count = tx.execute(select(func.count()).where(mine)).scalar_one()
            if count >= limits.CERTIFICATES:
                oldest = select(certificates.c.id).where(mine, certificates.c.is_generated)
                by_age = oldest.order_by(certificates.c.created_at, certificates.c.id)
                doomed = tx.execute(by_age.limit(1)).scalar_one_or_none() if replace else None
                if doomed is None:
                    raise LimitExceeded(
                        f"user {user.name!r} has {count} certificates already: delete one first"
                    )
                tx.execute(delete(certificates).where(certificates.c.id == doomed))
            id_ = CertificateId(mint_key_id("", 32))
            kept = Certificate(id_, user.id, pem, True, is_generated, tx.now)
            tx.execute(certificates.insert().values(attrs.asdict(kept)))
            tx.record("certificate.created", id_, user.name)
        return kept


def _signed(key: rsa.RSAPrivateKey, name: str, now: datetime) -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # clocks differ
        .not_valid_after(now + _YEARS)
        .sign(key, hashes.SHA256())
    )
    return _pem(certificate)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _has_signed(pem: str, text: bytes, signature: bytes) -> bool:
    key = x509.load_pem_x509_certificate(pem.encode()).public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        return False
    try:
        key.verify(signature, text, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - the bundles' own
    except InvalidSignature:
        return False
    return True


def _private(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()


def _certificate(row: Any) -> Certificate:
    return Certificate(**row._mapping)
