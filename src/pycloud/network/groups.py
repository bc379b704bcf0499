"""`SecurityGroups`: named sets of rules, and which instances they apply to."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

import attrs
from sqlalchemy import bindparam, delete, func, select, update
from sqlalchemy.exc import IntegrityError

from pycloud import limits
from pycloud.errors import Duplicate, InUse, InvalidValue, LimitExceeded, NotFound
from pycloud.identity.accounts import get_account
from pycloud.ids import ADMIN_ACCOUNT, AccountId, RuleId, SecurityGroupId, VpcId, mint
from pycloud.names import checked_text
from pycloud.network.rules import ALL_OUT, ANY, Rule, StoredRule, checked_rule, missing_of
from pycloud.network.vpcs import VPCStore
from pycloud.state.database import Database
from pycloud.state.schema import instance_groups, security_group_rules, security_groups
from pycloud.state.transaction import Transaction

_DEFAULT = "default"
_NAME = re.compile(r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}")
_BY_NAME = select(security_groups).where(
    security_groups.c.account == bindparam("account"), security_groups.c.name == bindparam("name")
)
_ATTACH = instance_groups.insert()
_HELD = select(instance_groups.c.instance_id, instance_groups.c.group_id).where(
    instance_groups.c.instance_id.in_(bindparam("holders", expanding=True))
)
_BY_IDS = select(security_groups).where(security_groups.c.id.in_(bindparam("ids", expanding=True)))
_DETACH = delete(instance_groups).where(instance_groups.c.instance_id == bindparam("holder"))


@attrs.frozen
class SecurityGroup:
    """A named set of rules."""

    id: SecurityGroupId
    account: AccountId
    vpc_id: VpcId
    name: str
    description: str
    created_at: datetime


class SecurityGroups:
    """Security groups by account ("Control traffic to your AWS resources using security groups").

    Each account has a group `default`, made when it is first needed. The rules are kept; that
    packets obey them is the fabric's part.

    >>> import pycloud
    >>> with pycloud.SQLiteState("cloud.db") as state:
    ...     groups = pycloud.SecurityGroups(state, pycloud.VPCStore(state, "10.11.0.0/24"))
    ...     web = groups.create("web", "what everybody may reach")
    ...     [added] = groups.authorize(web.id, [pycloud.Rule("tcp", 443, 443, cidr="0.0.0.0/0")])
    ...     print(added.rule.protocol, added.rule.to_port)
    tcp 443
    """

    def __init__(self, state: Database, vpcs: VPCStore) -> None:
        self.state = state
        self.vpcs = vpcs

    def create(
        self, name: str, description: str, *, account: AccountId = ADMIN_ACCOUNT
    ) -> SecurityGroup:
        """Make a group that lets everything out and nothing in. Raises `InvalidValue`,
        `Duplicate`, `LimitExceeded`.
        """
        if name == _DEFAULT or name.startswith("sg-") or not _NAME.fullmatch(name):
            raise InvalidValue(
                f"{name!r} cannot name a security group: 1 to 255 letters, digits, spaces and "
                "._-:/()#,@[]+=&;{}!$*, not 'default', and not beginning with sg-"
            )
        checked_text("the description of a security group", description)
        try:
            with self.state.transaction() as tx:
                get_account(tx, account, alone=True)
                self._check_count(tx, account)
                return self._add(tx, account, name, description)
        except IntegrityError:
            raise Duplicate(f"there is a security group {name!r} already") from None

    def list(self, *, account: AccountId | None = ADMIN_ACCOUNT) -> list[SecurityGroup]:
        """Return the account's groups by name; with None, those of all accounts. Raises `NotFound`
        if there is no such account.
        """
        if account is not None:
            self.ensure_default(account=account)
        query = select(security_groups).order_by(security_groups.c.name, security_groups.c.id)
        if account is not None:
            query = query.where(security_groups.c.account == account)
        with self.state.reading() as tx:
            return [_group(row) for row in tx.execute(query)]

    def ensure_default(self, *, account: AccountId = ADMIN_ACCOUNT) -> None:
        """Make the account's default group unless it is there. `list` does so too, but not within
        a block that reads only.
        """
        with self.state.reading() as tx:
            is_there = self._by_name(tx, _DEFAULT, account) is not None
        if not is_there:
            with self.state.transaction() as tx:
                self.default(tx, account)

    def delete(self, id: SecurityGroupId, *, account: AccountId = ADMIN_ACCOUNT) -> None:
        """Delete a group. Raises `NotFound`, `InvalidValue` for the default one, and `InUse`
        naming what stands on it.
        """
        with self.state.transaction() as tx:
            group = self.find(tx, id, account=account)
            if group.name == _DEFAULT:
                raise InvalidValue(f"{id} is the default group, which can't be deleted")
            self._remove(tx, group)

    # Rules

    def rules(self, ids: Collection[SecurityGroupId]) -> Sequence[StoredRule]:
        """Return the rules of these groups, in the order of their ids."""
        query = select(security_group_rules).where(security_group_rules.c.group_id.in_(list(ids)))
        with self.state.reading() as tx:
            rows = tx.execute(query.order_by(security_group_rules.c.id))
            return [_stored(row) for row in rows]

    def authorize(
        self,
        id: SecurityGroupId,
        rules: Sequence[Rule],
        *,
        is_egress: bool = False,
        account: AccountId = ADMIN_ACCOUNT,
    ) -> Sequence[StoredRule]:
        """Add rules, all or none. Raises `InvalidValue`, `NotFound`, `Duplicate`,
        `LimitExceeded`.
        """
        checked = [checked_rule(rule) for rule in rules]
        if not checked or len(set(checked)) < len(checked):
            raise InvalidValue("give one rule or more, each of them once")
        with self.state.transaction() as tx:
            sources = {rule.source_group_id for rule in checked if rule.source_group_id is not None}
            for one in sorted({id, *sources}):  # all lock in one order: no two wait for each other
                self.find(tx, one, account=account)
            present = {stored.rule for stored in self._of(tx, id, is_egress)}
            for rule in checked:
                if rule in present:
                    raise Duplicate(f"{id} has the rule {_shown(rule)} already")
            if len(present) + len(checked) > limits.GROUP_RULES:
                raise LimitExceeded(f"a group has at most {limits.GROUP_RULES} rules each way")
            return self._add_rules(tx, id, checked, is_egress)

    def revoke(
        self,
        id: SecurityGroupId,
        rules: Sequence[Rule] = (),
        *,
        ids: Sequence[RuleId] = (),
        is_egress: bool = False,
        account: AccountId = ADMIN_ACCOUNT,
    ) -> Sequence[StoredRule]:
        """Take rules away, given as they are or by their ids, and return them; all or none.
        Raises `InvalidValue`, `NotFound`.
        """
        checked = [checked_rule(rule) for rule in rules]
        with self.state.transaction() as tx:
            self.find(tx, id, account=account)
            present = self._of(tx, id, is_egress)
            for missing in missing_of(checked, [stored.rule for stored in present]):
                raise NotFound("permission", _shown(missing))
            known = {stored.id for stored in present}
            for rule_id in ids:
                if rule_id not in known:
                    raise NotFound("security group rule", rule_id)
            gone = [stored for stored in present if stored.rule in checked or stored.id in ids]
            doomed = security_group_rules.c.id.in_([stored.id for stored in gone])
            tx.execute(delete(security_group_rules).where(doomed))
            return gone

    def describe_rules(
        self,
        id: SecurityGroupId,
        rules: Sequence[Rule],
        *,
        is_egress: bool = False,
        account: AccountId = ADMIN_ACCOUNT,
    ) -> None:
        """Give rules that are there the descriptions of these. Raises `InvalidValue`,
        `NotFound`.
        """
        wanted = {checked_rule(rule): rule.description for rule in rules}
        with self.state.transaction() as tx:
            self.find(tx, id, account=account)
            present = self._of(tx, id, is_egress)
            for missing in missing_of(wanted, [stored.rule for stored in present]):
                raise NotFound("permission", _shown(missing))
            for stored in present:
                if stored.rule in wanted:
                    text = checked_text("the description of a rule", wanted[stored.rule])
                    tx.execute(
                        update(security_group_rules)
                        .where(security_group_rules.c.id == stored.id)
                        .values(description=text)
                    )

    # Building blocks

    def find(
        self, tx: Transaction, id: SecurityGroupId, *, account: AccountId, shared: bool = False
    ) -> SecurityGroup:
        """Return a group, as part of `tx`, and locked if that writes; with `shared`, so that it is
        only not deleted. Raises `NotFound`.
        """
        query = select(security_groups).where(
            security_groups.c.id == id, security_groups.c.account == account
        )
        row = tx.execute(tx.locked(query, read=shared)).one_or_none()
        if row is None:
            raise NotFound("security group", id)
        return _group(row)

    def default(self, tx: Transaction, account: AccountId) -> SecurityGroup:
        """Return the account's default group, as part of `tx`, which may make it. Raises `NotFound`
        if there is no such account.
        """
        found = self._by_name(tx, _DEFAULT, account)
        if found is not None:
            return found
        # Whoever makes the VPC's row makes the group too; the other waits for that.
        vpc = self.vpcs.ensure(tx, account)
        values = {
            "id": mint("sg"),
            "account": account,
            "vpc_id": vpc.id,
            "name": _DEFAULT,
            "description": "default VPC security group",
            "created_at": tx.now,
        }
        tx.add_if_absent(security_groups, **values)
        made = self._by_name(tx, _DEFAULT, account)
        assert made is not None
        if made.id == values["id"]:
            self._add_rules(tx, made.id, [ALL_OUT], is_egress=True)
            inside = Rule(ANY, None, None, source_group_id=made.id)
            self._add_rules(tx, made.id, [inside], is_egress=False)
        return made

    def attach(
        self,
        tx: Transaction,
        holders: Sequence[str],
        ids: Sequence[SecurityGroupId] | None,
        *,
        account: AccountId,
    ) -> Sequence[SecurityGroup]:
        """Let groups (by default the default one) apply to instances that have none yet, as part
        of `tx`. Raises `InvalidValue`, `NotFound`.
        """
        if ids is None:
            groups = [self.default(tx, account)]
        else:
            wanted = sorted(set(ids))
            if not 1 <= len(wanted) <= limits.GROUPS_PER_INSTANCE:
                raise InvalidValue(
                    f"an instance has 1 to {limits.GROUPS_PER_INSTANCE} security groups, not {len(wanted)}"
                )
            groups = [self.find(tx, id_, account=account, shared=True) for id_ in wanted]
        rows = [{"instance_id": one, "group_id": group.id} for one in holders for group in groups]
        tx.execute(_ATTACH, rows)
        return groups

    def detach(self, tx: Transaction, holder: str) -> None:
        """Let no group apply to an instance any more, as part of `tx`."""
        tx.execute(_DETACH, {"holder": holder})

    def of(self, tx: Transaction, holders: Collection[str]) -> dict[str, Sequence[SecurityGroup]]:
        """Return the groups of each instance that has some, by name."""
        held: list[Any] = list(tx.execute(_HELD, {"holders": [*holders]}))
        # Many instances share few groups: each of these is read once.
        rows = tx.execute(_BY_IDS, {"ids": list({id_ for _, id_ in held})})
        groups = {row.id: _group(row) for row in rows}
        found: dict[str, list[SecurityGroup]] = {}
        for holder, id_ in held:
            if id_ in groups:  # a writer's two reads are two moments in PostgreSQL
                found.setdefault(holder, []).append(groups[id_])
        return {holder: sorted(mine, key=attrgetter("name")) for holder, mine in found.items()}

    def forget(self, tx: Transaction, account: AccountId) -> None:
        """Take away the account's default group and its VPC, as part of `tx`. Raises `InUse`
        naming what stands on them.
        """
        query = select(security_groups).where(security_groups.c.account == account)
        groups = {row.name: _group(row) for row in tx.execute(tx.locked(query))}
        default = groups.pop(_DEFAULT, None)
        if groups:
            names = ", ".join(sorted(groups)[:5])
            raise InUse(f"account {account} still has security groups: {names}")
        if default is not None:
            self._remove(tx, default)
        self.vpcs.forget(tx, account)

    # Behind them

    def _by_name(self, tx: Transaction, name: str, account: AccountId) -> SecurityGroup | None:
        row = tx.execute(_BY_NAME, {"account": account, "name": name}).one_or_none()
        return None if row is None else _group(row)

    def _remove(self, tx: Transaction, group: SecurityGroup) -> None:
        self._check_unused(tx, group.id)
        mine = security_group_rules.c.group_id == group.id
        tx.execute(delete(security_group_rules).where(mine))
        tx.execute(delete(security_groups).where(security_groups.c.id == group.id))
        tx.record("security-group.deleted", group.id, group.name)

    def _add(
        self, tx: Transaction, account: AccountId, name: str, description: str
    ) -> SecurityGroup:
        vpc = self.vpcs.ensure(tx, account)
        group = SecurityGroup(
            SecurityGroupId(mint("sg")), account, vpc.id, name, description, tx.now
        )
        tx.execute(security_groups.insert().values(attrs.asdict(group)))
        self._add_rules(tx, group.id, [ALL_OUT], is_egress=True)
        tx.record("security-group.created", group.id, name)
        return group

    def _add_rules(
        self, tx: Transaction, id_: SecurityGroupId, rules: Sequence[Rule], is_egress: bool
    ) -> Sequence[StoredRule]:
        stored = [StoredRule(RuleId(mint("sgr")), id_, is_egress, rule) for rule in rules]
        for one in stored:
            checked_text("the description of a rule", one.rule.description)
        rows = [
            {"id": one.id, "group_id": id_, "is_egress": is_egress, **attrs.asdict(one.rule)}
            for one in stored
        ]
        tx.execute(security_group_rules.insert(), rows)
        return stored

    def _of(self, tx: Transaction, id_: SecurityGroupId, is_egress: bool) -> Sequence[StoredRule]:
        query = select(security_group_rules).where(
            security_group_rules.c.group_id == id_, security_group_rules.c.is_egress == is_egress
        )
        return [_stored(row) for row in tx.execute(query)]

    def _check_count(self, tx: Transaction, account: AccountId) -> None:
        mine = select(func.count()).select_from(security_groups)
        count = tx.execute(mine.where(security_groups.c.account == account)).scalar_one()
        if count >= limits.GROUPS_PER_ACCOUNT:
            raise LimitExceeded(f"an account has at most {limits.GROUPS_PER_ACCOUNT} groups")

    def _check_unused(self, tx: Transaction, id_: SecurityGroupId) -> None:
        used = select(instance_groups.c.instance_id).where(instance_groups.c.group_id == id_)
        users = list(tx.execute(used.limit(5)).scalars())
        if users:
            raise InUse(f"{id_} applies to {', '.join(users)}")
        named = select(security_group_rules.c.group_id).where(
            security_group_rules.c.source_group_id == id_, security_group_rules.c.group_id != id_
        )
        namers = list(tx.execute(named.distinct().limit(5)).scalars())
        if namers:
            raise InUse(f"{id_} is named in rules of {', '.join(namers)}")


def _group(row: Any) -> SecurityGroup:
    return SecurityGroup(**row._mapping)


def _stored(row: Any) -> StoredRule:
    values = dict(row._mapping)
    id_, group_id, is_egress = (values.pop(name) for name in ("id", "group_id", "is_egress"))
    return StoredRule(id_, group_id, is_egress, Rule(**values))


def _shown(rule: Rule) -> str:
    ports = "" if rule.from_port is None else f" {rule.from_port}-{rule.to_port}"
    return f"{rule.protocol}{ports} {rule.cidr or rule.source_group_id}"
