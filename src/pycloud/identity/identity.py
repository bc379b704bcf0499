"""`Identity`: accounts, users and what they prove themselves with."""

from __future__ import annotations

import attrs
from sqlalchemy import select

from pycloud.errors import InvalidValue
from pycloud.identity.access_keys import AccessKeyStore, FoundKey
from pycloud.identity.accounts import ADMIN_USER, AccountStore
from pycloud.identity.certificates import CertificateStore
from pycloud.identity.credentials import Endpoints, credentials_zip
from pycloud.identity.sealing import Seal
from pycloud.identity.sessions import Sessions
from pycloud.identity.users import User, UserStore, lock_user
from pycloud.ids import ADMIN_ACCOUNT, AccessKeyId, AccountId
from pycloud.state.database import Database
from pycloud.state.schema import endpoints


class Identity:
    """All of it on one state, its secrets sealed by `seal`.

    >>> import pycloud
    >>> with pycloud.SQLiteState("cloud.db") as state:
    ...     identity = pycloud.Identity(state, pycloud.Seal.from_file("seal.key"))
    ...     key, secret = identity.access_keys.create(identity.users.create("alice"))
    ...     identity.find(key.id, None).user.name
    'alice'
    """

    def __init__(self, state: Database, seal: Seal) -> None:
        self.state = state
        self.accounts = AccountStore(state)
        self.users = UserStore(state)
        self.access_keys = AccessKeyStore(state, seal)
        self.sessions = Sessions(state, seal)
        self.certificates = CertificateStore(state, seal)

    def find(self, access_key_id: str, session_token: str | None) -> FoundKey | None:
        """Return what a key stands for, a temporary one with its token; None if it is unknown,
        switched off or over.
        """
        if session_token is None:
            return self.access_keys.find(access_key_id)
        return self.sessions.find(access_key_id, session_token)

    def usable_key(self, user: User) -> tuple[AccessKeyId, str]:
        """Return the user's oldest active access key and its secret; make one if there is none.
        Raises `NotFound`, and `LimitExceeded` if all are switched off.
        """
        with self.state.transaction() as tx:
            lock_user(tx, user)
            for key in self.access_keys.list(user):
                if key.is_active:
                    return key.id, self.access_keys.secret(key.id)
            made, secret = self.access_keys.create(user)
            return made.id, secret

    def forget(self, user: User) -> None:
        """Delete all that a user proves itself with, and the user, unless it is the account's
        `admin`. Raises `NotFound`.
        """
        with self.state.transaction() as tx:
            lock_user(tx, user)
            for key in self.access_keys.list(user):
                self.access_keys.delete(user, key.id)
            for certificate in self.certificates.list(user):
                self.certificates.delete(user, certificate.id)
            if user.name != ADMIN_USER:
                self.users.delete(user.name, account=user.account)

    def set_endpoint(self, service: str, url: str) -> None:
        """Write down where a service (`ec2`, `s3`) answers, for the credentials that are given
        out. Raises `InvalidValue`.
        """
        known = attrs.fields_dict(Endpoints)
        if service not in known:
            raise InvalidValue(f"the services are {' and '.join(known)}, not {service!r}")
        Endpoints(**{service: url})
        with self.state.transaction() as tx:
            tx.put(endpoints, [{"service": service, "url": url}])

    def endpoints(self) -> Endpoints:
        """Return where the services answer; where nobody has said so, the usual ports of this
        machine.
        """
        with self.state.reading() as tx:
            rows = tx.execute(select(endpoints)).all()
        return Endpoints(**{row.service: row.url for row in rows})

    def credentials_zip(
        self,
        user: str = "admin",
        *,
        account: AccountId = ADMIN_ACCOUNT,
        region: str = "pycloud",
        at: Endpoints | None = None,
    ) -> bytes:
        """Return the archive with which old and new tools find the cloud and are let in.

        It has the user's active access key, or one that is made for it, and a new certificate: the
        oldest one that was made so goes if there are two. Raises `NotFound`, `LimitExceeded`.
        """
        owner = self.users.get(user, account=account)
        access_key_id, secret = self.usable_key(owner)
        certificate, private_key = self.certificates.create(owner, replace=True)
        return credentials_zip(
            user=owner,
            access_key_id=access_key_id,
            secret=secret,
            certificate=certificate,
            private_key=private_key,
            cloud_certificate=self.certificates.cloud(),
            region=region,
            at=at or self.endpoints(),
        )
