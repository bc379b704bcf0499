"""Tags on whatever has an id."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from pycloud import limits
from pycloud.errors import InvalidValue, LimitExceeded
from pycloud.identity.accounts import AccountStore
from pycloud.ids import ADMIN_ACCOUNT, AccountId
from pycloud.state.database import Database
from pycloud.tags import TagStore
from tests.races import meanwhile


@pytest.fixture
def tags(state: Database) -> TagStore:
    return TagStore(state)


def _put(tags: TagStore, resources: list[str], values: Mapping[str, str]) -> None:
    with tags.state.transaction() as tx:
        tags.put(tx, resources, values)


def _of(tags: TagStore, *resources: str) -> dict[str, dict[str, str]]:
    with tags.state.reading() as tx:
        return tags.of(tx, resources)


def test_a_tag_takes_the_place_of_one_with_its_key(tags: TagStore) -> None:
    _put(tags, ["i-1", "i-2", "i-1"], {"Name": "web", "rack": ""})
    _put(tags, ["i-2"], {"Name": "db", "name": "other"})
    assert _of(tags, "i-1", "i-2", "i-3") == {
        "i-1": {"Name": "web", "rack": ""},
        "i-2": {"Name": "db", "rack": "", "name": "other"},
    }
    _put(tags, ["i-3"], {})
    assert _of(tags, "i-3") == _of(tags) == {}


def test_tags_go_by_key_by_value_and_all(tags: TagStore) -> None:
    _put(tags, ["i-1", "i-2"], {"a": "1", "b": "2", "c": "3"})
    with tags.state.transaction() as tx:
        tags.remove(tx, ["i-1"], {"a": None, "b": "2", "c": "other", "d": None})
        assert tags.of(tx, ["i-1"]) == {"i-1": {"c": "3"}}
        tags.remove(tx, ["i-1"], {})
        assert tags.of(tx, ["i-1"]) == {"i-1": {"c": "3"}}
        tags.remove(tx, ["i-1"])
        tags.forget(tx, ["i-3"])
    assert _of(tags, "i-1", "i-2") == {"i-2": {"a": "1", "b": "2", "c": "3"}}


def test_tags_are_listed_by_account(tags: TagStore) -> None:
    research = AccountStore(tags.state).create("research").id
    _put(tags, ["i-2", "i-1"], {"b": "1", "a": "2"})
    with tags.state.transaction() as tx:
        tags.put(tx, ["i-3"], {"a": "1"}, account=research)
    with tags.state.transaction() as tx:
        assert tags.list(tx, account=research) == [("i-3", "a", "1")]
        assert [one[:2] for one in tags.list(tx)] == [
            *(("i-1", "a"), ("i-1", "b")),
            *(("i-2", "a"), ("i-2", "b")),
        ]
        tags.forget_account(tx, ADMIN_ACCOUNT)
        assert tags.list(tx) == []
        assert tags.list(tx, account=research) == [("i-3", "a", "1")]


def test_many_things_are_tagged_and_looked_up_at_once(tags: TagStore) -> None:
    many = [f"i-{n}" for n in range(limits.TAGGED_AT_ONCE)]
    _put(tags, many, {"Name": "web"})
    assert _of(tags, *many) == {one: {"Name": "web"} for one in many}


def test_a_thing_has_50_tags(tags: TagStore) -> None:
    _put(tags, ["i-1"], {f"k{n}": "" for n in range(limits.TAGS)})
    _put(tags, ["i-1", "i-2"], {"k0": "again"})
    with pytest.raises(LimitExceeded, match="i-1 would have more than 50 tags"):
        _put(tags, ["i-2", "i-1"], {"one more": ""})
    with pytest.raises(LimitExceeded, match="at most 50 tags, not 51"):
        _put(tags, ["i-3"], {f"k{n}": "" for n in range(limits.TAGS + 1)})
    assert _of(tags, "i-2", "i-3") == {"i-2": {"k0": "again"}}


def test_keys_and_values_that_are_not_allowed(tags: TagStore) -> None:
    for key, complaint in {
        "": "1 to 128 characters",
        "x" * 129: "1 to 128 characters",
        "aws:name": "aws: are reserved",
        "AWS:name": "aws: are reserved",
        "a\0b": "no control characters",
        "\ud800": "no control characters",
    }.items():
        with pytest.raises(InvalidValue, match=complaint):
            _put(tags, ["i-1"], {"good": "", key: ""})
    for value in ("x" * 257, "a\nb", "\0"):
        with pytest.raises(InvalidValue, match="the value of tag 'key'"):
            _put(tags, ["i-1"], {"key": value})
    longest = {"ключ" * 32: "ü" * 256}
    _put(tags, ["i-1"], longest)
    assert _of(tags, "i-1") == {"i-1": longest}


def test_two_who_tag_one_thing_at_once_are_one_after_the_other(
    tags: TagStore, make_state: Callable[[], Database]
) -> None:
    with make_state() as elsewhere:
        meanwhile(
            tags.state,
            lambda: _put(tags, ["i-1"], {"Name": "first", "a": "1"}),
            lambda: _put(TagStore(elsewhere), ["i-2", "i-1"], {"Name": "second", "b": "2"}),
            then=lambda: _put(tags, ["i-2"], {"Name": "first", "a": "1"}),
        )
    both = {"Name": "second", "a": "1", "b": "2"}
    assert _of(tags, "i-1", "i-2") == {"i-1": both, "i-2": both}


def test_whose_a_tag_is_follows_who_put_it_last(tags: TagStore) -> None:
    research: AccountId = AccountStore(tags.state).create("research").id
    _put(tags, ["i-1"], {"Name": "web"})
    with tags.state.transaction() as tx:
        tags.put(tx, ["i-1"], {"Name": "db"}, account=research)
        assert tags.list(tx) == []
        assert tags.list(tx, account=research) == [("i-1", "Name", "db")]
