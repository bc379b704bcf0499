"""Launch templates and their numbered versions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from pycloud import limits
from pycloud.compute.launch_templates import LaunchTemplate, LaunchTemplates
from pycloud.errors import Duplicate, InvalidValue, LimitExceeded, NotFound, WrongState
from pycloud.identity.accounts import AccountStore
from pycloud.ids import ADMIN_ACCOUNT, AccountId, LaunchTemplateId
from pycloud.state.database import Database
from tests.races import meanwhile


@pytest.fixture
def templates(state: Database) -> LaunchTemplates:
    return LaunchTemplates(state)


@pytest.fixture
def web(templates: LaunchTemplates) -> LaunchTemplate:
    return templates.create("web", {"InstanceType": "m1.small", "KeyName": "key"})


@pytest.fixture
def elsewhere(state: Database, make_state: Callable[[], Database]) -> Iterator[LaunchTemplates]:
    """The same templates, in another process."""
    with make_state() as other:
        other.clock = state.clock
        yield LaunchTemplates(other)


def _named(templates: LaunchTemplates, template: LaunchTemplate, name: str) -> int:
    with templates.state.reading() as tx:
        now = templates.find(tx, template.id, account=template.account)
        return templates.version(tx, now, name).version


def test_a_template_begins_with_version_1(templates: LaunchTemplates, web: LaunchTemplate) -> None:
    assert (web.default_version, web.latest_version) == (1, 1)
    [version] = templates.versions(web.id)
    assert version.data == {"InstanceType": "m1.small", "KeyName": "key"}
    assert templates.list() == [web]


def test_names_that_are_not_allowed(templates: LaunchTemplates) -> None:
    for name in ("", "ab", "x" * 129, "a b c", "größe", "abc\n", "a&b", "abc\0"):
        with pytest.raises(InvalidValue, match="cannot name a launch template: 3 to 128"):
            templates.create(name, {})
    for name in ("abc", "x" * 128, "().-/_"):
        assert templates.create(name, {}).name == name


def test_a_name_is_taken_once_in_an_account(
    templates: LaunchTemplates, web: LaunchTemplate, elsewhere: LaunchTemplates
) -> None:
    with pytest.raises(Duplicate, match="there is a launch template 'web' already"):
        templates.create("web", {})
    research = AccountStore(templates.state).create("research").id
    other = templates.create("web", {}, account=research)
    assert templates.list(account=research) == [other]
    assert {one.id for one in templates.list(account=None)} == {web.id, other.id}
    with pytest.raises(Duplicate):
        meanwhile(
            templates.state,
            lambda: templates.create("db1", {}),
            lambda: elsewhere.create("db1", {}),
        )


def test_what_is_not_the_accounts_is_not_there(
    templates: LaunchTemplates, web: LaunchTemplate
) -> None:
    research = AccountStore(templates.state).create("research").id
    nothing = LaunchTemplateId("lt-0123456789abcdef0")
    for id_, account in ((web.id, research), (nothing, ADMIN_ACCOUNT)):
        calls: list[Callable[[], Any]] = [
            partial(templates.versions, id_, account=account),
            partial(templates.add_version, id_, {}, account=account),
            partial(templates.set_default, id_, "1", account=account),
            partial(templates.delete_version, id_, "1", account=account),
            partial(templates.delete, id_, account=account),
        ]
        for call in calls:
            with pytest.raises(NotFound, match=f"no launch template '{id_}'"):
                call()
    with pytest.raises(NotFound, match="no account"):
        templates.create("web", {}, account=AccountId("123456789012"))


def test_a_version_has_what_its_source_has_and_it_has_not(
    templates: LaunchTemplates, web: LaunchTemplate
) -> None:
    alone = templates.add_version(web.id, {"InstanceType": "m1.large"})
    assert (alone.version, alone.data) == (2, {"InstanceType": "m1.large"})
    merged = templates.add_version(web.id, {"UserData": "YQ=="}, source="1")
    assert merged.data == {"InstanceType": "m1.small", "KeyName": "key", "UserData": "YQ=="}
    latest = templates.add_version(web.id, {}, source="$Latest", description="größer")
    assert (latest.data, latest.description) == (merged.data, "größer")
    with pytest.raises(NotFound, match=f"no launch template version '{web.id} 9'"):
        templates.add_version(web.id, {}, source="9")
    assert [one.version for one in templates.versions(web.id)] == [1, 2, 3, 4]


def test_versions_are_called_by_number_or_as_default_and_latest(
    templates: LaunchTemplates, web: LaunchTemplate
) -> None:
    for _ in range(2):
        templates.add_version(web.id, {})
    assert [_named(templates, web, name) for name in ("2", "$Default", "$Latest")] == [2, 1, 3]
    assert templates.set_default(web.id, "2").default_version == 2
    assert [_named(templates, web, name) for name in ("$Default", "$Latest")] == [2, 3]
    for name in ("", "$default", "-1", "1.0", "²", "1" * 10, "one"):
        with pytest.raises(InvalidValue, match="is no version: a number, "):
            _named(templates, web, name)
    for name in ("0", "4", "999999999"):
        with pytest.raises(NotFound):
            _named(templates, web, name)


def test_a_deleted_versions_number_is_not_given_again(
    templates: LaunchTemplates, web: LaunchTemplate
) -> None:
    for _ in range(2):
        templates.add_version(web.id, {})
    templates.delete_version(web.id, "3")
    with pytest.raises(NotFound):
        templates.delete_version(web.id, "3")
    with pytest.raises(WrongState, match=f"version 1 of {web.id} is the default one"):
        templates.delete_version(web.id, "1")
    assert templates.add_version(web.id, {}).version == 4
    assert [one.version for one in templates.versions(web.id)] == [1, 2, 4]


def test_a_template_goes_with_its_versions(templates: LaunchTemplates, web: LaunchTemplate) -> None:
    templates.add_version(web.id, {})
    assert templates.delete(web.id).name == "web"
    assert templates.list() == []
    assert templates.create("web", {}).id != web.id


def test_a_template_has_so_many_versions(
    templates: LaunchTemplates, web: LaunchTemplate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TEMPLATE_VERSIONS", 2)
    templates.add_version(web.id, {})
    with pytest.raises(LimitExceeded, match="at most 2 versions"):
        templates.add_version(web.id, {})


def test_data_and_descriptions_that_are_not_allowed(
    templates: LaunchTemplates, web: LaunchTemplate
) -> None:
    for data in ({"a": float("nan")}, {"a": datetime.now(UTC)}, {"a": b"bytes"}):
        with pytest.raises(InvalidValue, match="what JSON can carry"):
            templates.add_version(web.id, data)
    for description in ("x" * 256, "a\nb"):
        with pytest.raises(InvalidValue, match="the description of a version"):
            templates.add_version(web.id, {}, description=description)
    [version] = templates.versions(web.id)
    assert version.version == 1


def test_two_who_add_a_version_at_once_add_two(
    templates: LaunchTemplates, web: LaunchTemplate, elsewhere: LaunchTemplates
) -> None:
    second = meanwhile(
        templates.state,
        lambda: templates.add_version(web.id, {"a": 1}),
        lambda: elsewhere.add_version(web.id, {"a": 2}),
    )
    assert second.version == 3
    assert [one.data.get("a") for one in templates.versions(web.id)] == [None, 1, 2]


def test_a_deleted_template_gets_no_version(
    templates: LaunchTemplates, web: LaunchTemplate, elsewhere: LaunchTemplates
) -> None:
    with pytest.raises(NotFound):
        meanwhile(
            templates.state,
            lambda: templates.delete(web.id),
            lambda: elsewhere.add_version(web.id, {}),
        )


def test_what_becomes_the_default_is_not_deleted_meanwhile(
    templates: LaunchTemplates, web: LaunchTemplate, elsewhere: LaunchTemplates
) -> None:
    templates.add_version(web.id, {})
    with pytest.raises(WrongState):
        meanwhile(
            templates.state,
            lambda: templates.set_default(web.id, "2"),
            lambda: elsewhere.delete_version(web.id, "2"),
        )


def test_one_request_that_comes_twice_at_once_makes_one(
    templates: LaunchTemplates, elsewhere: LaunchTemplates
) -> None:
    made: list[LaunchTemplate] = []
    asked = partial(LaunchTemplates.create, name="twice", data={"KeyName": "k"}, client_token="t")
    found = meanwhile(
        templates.state, lambda: made.append(asked(templates)), lambda: asked(elsewhere)
    )
    assert [found] == made == templates.list()
