"""Security groups and their rules."""

from __future__ import annotations

import attrs
import pytest

from pycloud import limits
from pycloud.errors import Duplicate, InUse, InvalidValue, LimitExceeded, NotFound
from pycloud.ids import ADMIN_ACCOUNT, AccountId, RuleId, SecurityGroupId
from pycloud.network.groups import SecurityGroup, SecurityGroups
from pycloud.network.rules import ALL_OUT, Rule
from pycloud.network.vpcs import VPCStore
from pycloud.state.database import Database
from tests.races import meanwhile

WEB = Rule("tcp", 443, 443, cidr="0.0.0.0/0", description="what everybody may reach")
SSH = Rule("tcp", 22, 22, cidr="10.0.0.0/8")
NOBODYS = SecurityGroupId("sg-0123456789abcdef0")


def _groups(state: Database) -> SecurityGroups:
    return SecurityGroups(state, VPCStore(state, "10.11.0.0/24"))


@pytest.fixture
def groups(state: Database) -> SecurityGroups:
    return _groups(state)


@pytest.fixture
def web(groups: SecurityGroups) -> SecurityGroup:
    return groups.create("web", "")


def _rules(groups: SecurityGroups, group: SecurityGroup, *, is_egress: bool = False) -> set[Rule]:
    return {one.rule for one in groups.rules([group.id]) if one.is_egress is is_egress}


# Groups


def test_a_new_group_lets_everything_out_and_nothing_in(
    groups: SecurityGroups, web: SecurityGroup
) -> None:
    assert _rules(groups, web) == set()
    assert _rules(groups, web, is_egress=True) == {ALL_OUT}
    assert web.vpc_id == groups.vpcs.default().id


def test_the_default_group_lets_its_own_in(groups: SecurityGroups, research: AccountId) -> None:
    [mine] = groups.list()
    assert mine.name == "default"
    assert _rules(groups, mine) == {Rule("-1", None, None, source_group_id=mine.id)}
    assert _rules(groups, mine, is_egress=True) == {ALL_OUT}
    [theirs] = groups.list(account=research)
    assert theirs.id != mine.id
    assert {one.id for one in groups.list(account=None)} == {mine.id, theirs.id}


def test_two_who_need_the_default_group_at_once_make_one(
    state: Database, elsewhere: Database
) -> None:
    groups = _groups(state)
    found = meanwhile(state, groups.list, _groups(elsewhere).list)
    assert found == groups.list()
    assert len(groups.rules([found[0].id])) == 2


def test_the_vpc_may_be_there_before_the_default_group(
    state: Database, elsewhere: Database
) -> None:
    groups = _groups(state)
    groups.vpcs.default()
    assert meanwhile(state, groups.list, _groups(elsewhere).list) == groups.list()


def test_names_and_descriptions_that_are_not_allowed(groups: SecurityGroups) -> None:
    for name in ("", "x" * 256, "default", "sg-web", "größe", "a\nb", 'a"b', "a\0"):
        with pytest.raises(InvalidValue, match="cannot name a security group: 1 to 255"):
            groups.create(name, "")
    for description in ("x" * 256, "a\nb", "\0"):
        with pytest.raises(InvalidValue, match="the description of a security group"):
            groups.create("web", description)
    for name in ("x" * 255, "a b", "._-:/()#,@[]+=&;{}!$*", "Default"):
        assert groups.create(name, "größe").name == name


def test_a_name_is_taken_once_in_an_account(
    groups: SecurityGroups, web: SecurityGroup, research: AccountId, elsewhere: Database
) -> None:
    with pytest.raises(Duplicate, match="there is a security group 'web' already"):
        groups.create("web", "")
    assert groups.create("web", "", account=research).id != web.id
    with pytest.raises(Duplicate, match="'db' already"):
        meanwhile(
            groups.state,
            lambda: groups.create("db", ""),
            lambda: _groups(elsewhere).create("db", ""),
        )


def test_an_account_has_so_many(
    groups: SecurityGroups, monkeypatch: pytest.MonkeyPatch, research: AccountId
) -> None:
    monkeypatch.setattr(limits, "GROUPS_PER_ACCOUNT", 3)
    groups.list()
    for name in ("a", "b"):
        groups.create(name, "")
    with pytest.raises(LimitExceeded, match="at most 3 groups"):
        groups.create("c", "")
    groups.create("c", "", account=research)


def test_two_at_once_do_not_pass_the_limit(
    groups: SecurityGroups, elsewhere: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "GROUPS_PER_ACCOUNT", 2)
    groups.list()
    with pytest.raises(LimitExceeded):
        meanwhile(
            groups.state,
            lambda: groups.create("a", ""),
            lambda: _groups(elsewhere).create("b", ""),
        )
    assert [one.name for one in groups.list()] == ["a", "default"]


def test_another_accounts_group_is_not_there(
    groups: SecurityGroups, web: SecurityGroup, research: AccountId
) -> None:
    for id_, account in ((web.id, research), (NOBODYS, web.account)):
        with pytest.raises(NotFound, match=f"no security group '{id_}'"):
            groups.delete(id_, account=account)
        with pytest.raises(NotFound):
            groups.authorize(id_, [WEB], account=account)
        with pytest.raises(NotFound):
            groups.revoke(id_, [ALL_OUT], is_egress=True, account=account)
        with pytest.raises(NotFound):
            groups.describe_rules(id_, [ALL_OUT], is_egress=True, account=account)


def test_accounts_that_are_not_there_have_no_groups(groups: SecurityGroups) -> None:
    nobody = AccountId("123456789012")
    with pytest.raises(NotFound, match="no account"):
        groups.list(account=nobody)
    with pytest.raises(NotFound, match="no account"):
        groups.create("web", "", account=nobody)


# Deleting


def test_a_group_goes_with_its_rules(groups: SecurityGroups, web: SecurityGroup) -> None:
    own = Rule("-1", None, None, source_group_id=web.id)
    groups.authorize(web.id, [WEB, own])
    groups.delete(web.id)
    assert groups.rules([web.id]) == []
    assert [one.name for one in groups.list()] == ["default"]


def test_the_default_group_stays(groups: SecurityGroups) -> None:
    [default] = groups.list()
    with pytest.raises(InvalidValue, match=f"{default.id} is the default group"):
        groups.delete(default.id)


def test_a_group_that_is_named_in_rules_stays(groups: SecurityGroups, web: SecurityGroup) -> None:
    db = groups.create("db", "")
    from_web = Rule("tcp", 5432, 5432, source_group_id=web.id)
    groups.authorize(db.id, [from_web])
    with pytest.raises(InUse, match=f"{web.id} is named in rules of {db.id}"):
        groups.delete(web.id)
    groups.revoke(db.id, [from_web])
    groups.delete(web.id)


def test_a_group_that_applies_to_instances_stays(
    groups: SecurityGroups, web: SecurityGroup, elsewhere: Database
) -> None:
    def attach() -> None:
        with groups.state.transaction() as tx:
            groups.attach(tx, ["i-1"], [web.id], account=web.account)

    with pytest.raises(InUse, match=f"{web.id} applies to i-1"):
        meanwhile(groups.state, attach, lambda: _groups(elsewhere).delete(web.id))
    with groups.state.transaction() as tx:
        groups.detach(tx, "i-1")
    groups.delete(web.id)


def test_a_deleted_group_applies_to_nothing(
    groups: SecurityGroups, web: SecurityGroup, elsewhere: Database
) -> None:
    def attach() -> None:
        with elsewhere.transaction() as tx:
            _groups(elsewhere).attach(tx, ["i-1"], [web.id], account=web.account)

    with pytest.raises(NotFound):
        meanwhile(groups.state, lambda: groups.delete(web.id), attach)


def test_a_rule_names_no_group_that_is_gone(
    groups: SecurityGroups, web: SecurityGroup, elsewhere: Database
) -> None:
    db = groups.create("db", "")
    from_web = Rule("tcp", 5432, 5432, source_group_id=web.id)
    with pytest.raises(NotFound):
        meanwhile(
            groups.state,
            lambda: groups.delete(web.id),
            lambda: _groups(elsewhere).authorize(db.id, [from_web]),
        )


def test_two_whose_rules_name_each_others_groups_do_not_wait_for_each_other(
    groups: SecurityGroups, elsewhere: Database
) -> None:
    one, other = sorted(groups.create(name, "").id for name in ("a", "b"))

    def lock() -> None:
        with groups.state.transaction() as tx:
            groups.find(tx, one, account=ADMIN_ACCOUNT)

    meanwhile(
        groups.state,
        lock,
        lambda: _groups(elsewhere).authorize(other, [Rule("-1", None, None, source_group_id=one)]),
        then=lambda: groups.authorize(one, [Rule("-1", None, None, source_group_id=other)]),
    )
    found = {(rule.group_id, rule.rule.source_group_id) for rule in groups.rules([one, other])}
    assert {(one, other), (other, one)} <= found


# Instances


def test_an_instance_has_one_to_five_groups(groups: SecurityGroups, web: SecurityGroup) -> None:
    many = [groups.create(f"g{n}", "").id for n in range(6)]
    for wanted in ([], many):
        with (
            pytest.raises(InvalidValue, match=f"1 to 5 security groups, not {len(wanted)}"),
            groups.state.transaction() as tx,
        ):
            groups.attach(tx, ["i-1"], wanted, account=web.account)
    with groups.state.transaction() as tx:
        attached = groups.attach(tx, ["i-1", "i-2"], [*many[:5], many[0]], account=web.account)
        assert {one.id for one in attached} == set(many[:5])
        [default] = groups.attach(tx, ["i-3"], None, account=web.account)
    with groups.state.reading() as tx:
        found = groups.of(tx, ["i-1", "i-2", "i-3", "i-4"])
    assert {holder: [one.name for one in mine] for holder, mine in found.items()} == {
        "i-1": ["g0", "g1", "g2", "g3", "g4"],
        "i-2": ["g0", "g1", "g2", "g3", "g4"],
        "i-3": ["default"],
    }
    assert default.name == "default"


# Rules


def test_rules_are_added_all_or_none(groups: SecurityGroups, web: SecurityGroup) -> None:
    added = groups.authorize(web.id, [WEB, SSH])
    assert [one.rule for one in added] == [WEB, SSH]
    assert all(one.id.startswith("sgr-") for one in added)
    assert {one.rule.description for one in groups.rules([web.id])} >= {WEB.description}
    other = attrs.evolve(SSH, to_port=23)
    with pytest.raises(Duplicate, match=f"{web.id} has the rule tcp 22-22 10.0.0.0/8 already"):
        groups.authorize(web.id, [other, attrs.evolve(SSH, description="again")])
    assert _rules(groups, web) == {WEB, SSH}
    groups.authorize(web.id, [SSH], is_egress=True)  # the other way is another rule


def test_rules_that_are_not_allowed(groups: SecurityGroups, web: SecurityGroup) -> None:
    for rules in ([], [SSH, attrs.evolve(SSH, cidr="10.1.2.3/8")]):
        with pytest.raises(InvalidValue, match="one rule or more, each of them once"):
            groups.authorize(web.id, rules)
    with pytest.raises(InvalidValue, match="the description of a rule"):
        groups.authorize(web.id, [attrs.evolve(SSH, description="x" * 256)])
    with pytest.raises(NotFound, match=f"no security group '{NOBODYS}'"):
        groups.authorize(web.id, [Rule("-1", None, None, source_group_id=NOBODYS)])
    assert _rules(groups, web) == set()


def test_a_group_has_60_rules_each_way(groups: SecurityGroups, web: SecurityGroup) -> None:
    many = [attrs.evolve(SSH, from_port=n, to_port=n) for n in range(61)]
    with pytest.raises(LimitExceeded, match="at most 60 rules each way"):
        groups.authorize(web.id, many)
    groups.authorize(web.id, many[:60])
    with pytest.raises(LimitExceeded):
        groups.authorize(web.id, many[60:])
    groups.authorize(web.id, many[:59], is_egress=True)  # beside the one that lets all out


def test_two_who_add_one_rule_at_once_add_it_once(
    groups: SecurityGroups, web: SecurityGroup, elsewhere: Database
) -> None:
    with pytest.raises(Duplicate):
        meanwhile(
            groups.state,
            lambda: groups.authorize(web.id, [SSH]),
            lambda: _groups(elsewhere).authorize(web.id, [SSH]),
        )
    assert len(groups.rules([web.id])) == 2


def test_rules_go_as_they_are_or_by_their_ids(groups: SecurityGroups, web: SecurityGroup) -> None:
    kept, by_id = groups.authorize(web.id, [WEB, SSH])
    missing = attrs.evolve(SSH, to_port=23)
    with pytest.raises(NotFound, match=r"no permission 'tcp 22-23 10\.0\.0\.0/8'"):
        groups.revoke(web.id, [SSH, missing])
    with pytest.raises(NotFound, match="no security group rule 'sgr-1'"):
        groups.revoke(web.id, ids=[by_id.id, RuleId("sgr-1")])
    with pytest.raises(NotFound):
        groups.revoke(web.id, ids=[by_id.id], is_egress=True)  # it is of the other way
    assert groups.revoke(web.id, ids=[by_id.id]) == [by_id]
    assert groups.revoke(web.id, [attrs.evolve(WEB, description="")]) == [kept]
    assert groups.revoke(web.id) == []
    assert groups.revoke(web.id, [ALL_OUT], is_egress=True)[0].rule == ALL_OUT
    assert groups.rules([web.id]) == []


def test_rules_are_described_anew(groups: SecurityGroups, web: SecurityGroup) -> None:
    groups.authorize(web.id, [WEB, SSH])
    groups.describe_rules(web.id, [attrs.evolve(WEB, description="for all")])
    told = {one.rule.from_port: one.rule.description for one in groups.rules([web.id])}
    assert told == {443: "for all", 22: "", None: ""}
    with pytest.raises(NotFound, match="no permission"):
        groups.describe_rules(web.id, [attrs.evolve(SSH, to_port=23)])
    with pytest.raises(InvalidValue, match="the description of a rule"):
        groups.describe_rules(web.id, [attrs.evolve(SSH, description="\n")])
