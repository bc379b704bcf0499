"""`LaunchTemplates`: what a launch is to be like, under a name, in numbered versions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs
from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError

from pycloud import limits
from pycloud.errors import Duplicate, InvalidValue, LimitExceeded, NotFound, WrongState
from pycloud.identity.accounts import get_account
from pycloud.ids import ADMIN_ACCOUNT, AccountId, LaunchTemplateId, mint
from pycloud.names import checked_text
from pycloud.state.database import Database
from pycloud.state.schema import launch_template_versions, launch_templates
from pycloud.state.transaction import Transaction

_NAME = re.compile(r"[a-zA-Z0-9().\-/_]{3,128}")


@attrs.frozen
class LaunchTemplate:
    """A name, and which of its versions counts."""

    id: LaunchTemplateId
    account: AccountId
    name: str
    default_version: int
    latest_version: int
    """The highest number that was given; that version may be deleted."""
    created_at: datetime


@attrs.frozen
class TemplateVersion:
    """What a launch is to be like."""

    version: int
    description: str
    data: Mapping[str, Any]
    """Values that JSON can carry; what they mean is their user's affair."""
    created_at: datetime
    client_token: str | None = None


class LaunchTemplates:
    """Launch templates by account ("Store instance launch parameters in Amazon EC2 launch
    templates").

    >>> import pycloud
    >>> with pycloud.SQLiteState("cloud.db") as state:
    ...     templates = pycloud.LaunchTemplates(state)
    ...     template = templates.create("web", {"InstanceType": "m1.small"})
    ...     second = templates.add_version(template.id, {"InstanceType": "m1.large"})
    ...     print([one.version for one in templates.versions(template.id)])
    [1, 2]
    """

    def __init__(self, state: Database) -> None:
        self.state = state

    def create(
        self,
        name: str,
        data: Mapping[str, Any],
        *,
        description: str = "",
        client_token: str | None = None,
        account: AccountId = ADMIN_ACCOUNT,
    ) -> LaunchTemplate:
        """Make a template with its version 1. The same request again, with the same
        `client_token`, gives the same one. Raises `InvalidValue`, `NotFound`, `Duplicate`.
        """
        if not _NAME.fullmatch(name):
            raise InvalidValue(
                f"{name!r} cannot name a launch template: 3 to 128 letters, digits and ().-/_"
            )
        try:
            with self.state.transaction() as tx:
                get_account(tx, account, alone=True)
                former = self._made_before(tx, account, name, data, client_token)
                if former is not None:
                    return former
                id_ = LaunchTemplateId(mint("lt"))
                template = LaunchTemplate(id_, account, name, 1, 1, tx.now)
                tx.execute(launch_templates.insert().values(attrs.asdict(template)))
                self._write(tx, template.id, 1, data, description, client_token)
                tx.record("launch-template.created", id_, name)
        except IntegrityError:
            raise Duplicate(f"there is a launch template {name!r} already") from None
        return template

    def list(self, *, account: AccountId | None = ADMIN_ACCOUNT) -> list[LaunchTemplate]:
        """Return the account's templates by name; with None, those of all accounts."""
        query = select(launch_templates).order_by(launch_templates.c.name, launch_templates.c.id)
        if account is not None:
            query = query.where(launch_templates.c.account == account)
        with self.state.reading() as tx:
            return [LaunchTemplate(**row._mapping) for row in tx.execute(query)]

    def add_version(
        self,
        id: LaunchTemplateId,
        data: Mapping[str, Any],
        *,
        description: str = "",
        source: str | None = None,
        client_token: str | None = None,
        account: AccountId = ADMIN_ACCOUNT,
    ) -> TemplateVersion:
        """Make the next version, from what the version `source` has and `data` does not. The same
        request again, with the same `client_token`, gives the same one. Raises `InvalidValue`,
        `NotFound`, `LimitExceeded`, and `Duplicate` if the token was used for another version.
        """
        with self.state.transaction() as tx:
            template = self.find(tx, id, account=account)
            base = {} if source is None else self.version(tx, template, source).data
            whole = {**base, **data}
            former = self._by_token(tx, id, client_token)
            if former is not None:
                if former.data != whole:
                    raise Duplicate(
                        f"client token {client_token!r} was used for another version; "
                        "a new request needs a new token"
                    )
                return former
            number = template.latest_version + 1
            if number > limits.TEMPLATE_VERSIONS:
                raise LimitExceeded(
                    f"a launch template has at most {limits.TEMPLATE_VERSIONS} versions"
                )
            self._set(tx, id, latest_version=number)
            return self._write(tx, id, number, whole, description, client_token)

    def versions(
        self, id: LaunchTemplateId, *, account: AccountId = ADMIN_ACCOUNT
    ) -> Sequence[TemplateVersion]:
        """Return all versions of a template in their order. Raises `NotFound`."""
        query = select(launch_template_versions).where(launch_template_versions.c.template_id == id)
        with self.state.reading() as tx:
            self.find(tx, id, account=account)
            rows = tx.execute(query.order_by(launch_template_versions.c.version))
            return [_version(row) for row in rows]

    def set_default(
        self, id: LaunchTemplateId, version: str, *, account: AccountId = ADMIN_ACCOUNT
    ) -> LaunchTemplate:
        """Let another version count. Raises `InvalidValue`, `NotFound`."""
        with self.state.transaction() as tx:
            template = self.find(tx, id, account=account)
            number = self.version(tx, template, version).version
            self._set(tx, id, default_version=number)
            return attrs.evolve(template, default_version=number)

    def delete_version(
        self, id: LaunchTemplateId, version: str, *, account: AccountId = ADMIN_ACCOUNT
    ) -> None:
        """Delete a version. Raises `InvalidValue`, `NotFound`, and `WrongState` for the default
        one.
        """
        with self.state.transaction() as tx:
            template = self.find(tx, id, account=account)
            number = self.version(tx, template, version).version
            if number == template.default_version:
                raise WrongState(
                    f"version {number} of {id} is the default one: choose another first"
                )
            tx.execute(
                delete(launch_template_versions).where(
                    launch_template_versions.c.template_id == id,
                    launch_template_versions.c.version == number,
                )
            )

    def delete(self, id: LaunchTemplateId, *, account: AccountId = ADMIN_ACCOUNT) -> LaunchTemplate:
        """Delete a template with all its versions. Raises `NotFound`."""
        with self.state.transaction() as tx:
            template = self.find(tx, id, account=account)
            mine = launch_template_versions.c.template_id == id
            tx.execute(delete(launch_template_versions).where(mine))
            tx.execute(delete(launch_templates).where(launch_templates.c.id == id))
            tx.record("launch-template.deleted", id, template.name)
        return template

    # Building blocks

    def find(self, tx: Transaction, id: LaunchTemplateId, *, account: AccountId) -> LaunchTemplate:
        """Return a template, as part of `tx`, and locked if that writes. Raises `NotFound`."""
        query = select(launch_templates).where(
            launch_templates.c.id == id, launch_templates.c.account == account
        )
        row = tx.execute(tx.locked(query)).one_or_none()
        if row is None:
            raise NotFound("launch template", id)
        return LaunchTemplate(**row._mapping)

    def version(self, tx: Transaction, template: LaunchTemplate, name: str) -> TemplateVersion:
        """Return a version by its number, or by `$Default` or `$Latest`. Raises `InvalidValue`,
        `NotFound`.
        """
        mine = launch_template_versions.c.template_id == template.id
        query = select(launch_template_versions).where(mine)
        if name == "$Latest":
            # Of those that are left: the highest number may have been deleted.
            query = query.order_by(launch_template_versions.c.version.desc()).limit(1)
        else:
            number = template.default_version if name == "$Default" else _number(name)
            query = query.where(launch_template_versions.c.version == number)
        row = tx.execute(query).one_or_none()
        if row is None:
            raise NotFound("launch template version", f"{template.id} {name}")
        return _version(row)

    def _write(
        self,
        tx: Transaction,
        id_: LaunchTemplateId,
        number: int,
        data: Mapping[str, Any],
        description: str,
        client_token: str | None,
    ) -> TemplateVersion:
        checked_text("the description of a version", description)
        if client_token is not None and len(client_token) > limits.TEMPLATE_TOKEN_CHARS:
            raise InvalidValue(
                f"a client token has at most {limits.TEMPLATE_TOKEN_CHARS} characters"
            )
        written = TemplateVersion(number, description, dict(data), tx.now, client_token)
        try:
            text = json.dumps(written.data, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InvalidValue(f"a version's data is what JSON can carry: {error}") from None
        values = attrs.asdict(written, recurse=False) | {"data": text}
        tx.execute(launch_template_versions.insert().values(template_id=id_, **values))
        return written

    def _made_before(
        self,
        tx: Transaction,
        account: AccountId,
        name: str,
        data: Mapping[str, Any],
        client_token: str | None,
    ) -> LaunchTemplate | None:
        """Return the template of that name if this very request made it."""
        query = select(launch_templates).where(
            launch_templates.c.account == account, launch_templates.c.name == name
        )
        row = tx.execute(query).one_or_none()
        if row is None:
            return None
        first = self._by_token(tx, row.id, client_token)
        is_same = first is not None and first.version == 1 and first.data == data
        return LaunchTemplate(**row._mapping) if is_same else None

    def _by_token(
        self, tx: Transaction, id_: LaunchTemplateId, client_token: str | None
    ) -> TemplateVersion | None:
        if client_token is None:
            return None
        query = select(launch_template_versions).where(
            launch_template_versions.c.template_id == id_,
            launch_template_versions.c.client_token == client_token,
        )
        row = tx.execute(query).first()
        return None if row is None else _version(row)

    def _set(self, tx: Transaction, id_: LaunchTemplateId, **values: int) -> None:
        tx.execute(update(launch_templates).where(launch_templates.c.id == id_).values(**values))


def _number(name: str) -> int:
    if not (name.isascii() and name.isdigit() and len(name) <= 9):
        raise InvalidValue(f"{name!r} is no version: a number, $Default or $Latest is")
    return int(name)


def _version(row: Any) -> TemplateVersion:
    values = dict(row._mapping)
    del values["template_id"]
    return TemplateVersion(**(values | {"data": json.loads(row.data)}))
