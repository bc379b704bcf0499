"""Users, their access keys, and accounts as Eucalyptus had them."""

from __future__ import annotations

from typing import Any

import pytest

from pycloud.identity.identity import Identity
from pycloud.identity.sealing import Seal
from tests.ec2.conftest import Served
from tests.ec2.things import STRANGER, Refusal, Things, by_name, unchecked


def _refused(action: str, code: str, **asked: Any) -> Refusal:
    return Refusal(action, asked, code, service="iam")


_KEY = {"AccessKeyId": "{access_key}"}
_OF_USER: dict[str, dict[str, Any]] = {
    "GetUser": {},
    "DeleteUser": {},
    "CreateAccessKey": {},
    "ListAccessKeys": {},
    "UpdateAccessKey": {**_KEY, "Status": "Active"},
    "DeleteAccessKey": _KEY,
}
REFUSALS = [
    *(
        _refused(action, "NoSuchEntity", UserName="nobody", **others)
        for action, others in _OF_USER.items()
    ),
    *(
        _refused(action, "ValidationError", UserName="x" * 129, **others)
        for action, others in _OF_USER.items()
    ),
    _refused("CreateUser", "ValidationError"),
    _refused("CreateUser", "EntityAlreadyExists", UserName="alice"),
    _refused("CreateUser", "ValidationError", UserName="Alice in Chains"),
    _refused("CreateUser", "ValidationError", UserName="bob", Path="/no end"),
    _refused("CreateUser", "UnsupportedOperation", UserName="bob", PermissionsBoundary="x" * 20),
    _refused("DeleteUser", "ValidationError"),
    _refused("DeleteUser", "ValidationError", UserName="admin"),
    _refused("DeleteUser", "DeleteConflict", UserName="alice"),
    _refused("UpdateAccessKey", "ValidationError", **_KEY),
    _refused("UpdateAccessKey", "NoSuchEntity", AccessKeyId="AKIA" + "X" * 16, Status="Active"),
    _refused("UpdateAccessKey", "NoSuchEntity", **_KEY, Status="Active"),
    _refused("UpdateAccessKey", "ValidationError", **_KEY, Status="Off", UserName="alice"),
    _refused("UpdateAccessKey", "ValidationError", **_KEY, Status="Expired", UserName="alice"),
    _refused("DeleteAccessKey", "ValidationError", UserName="alice"),
    _refused("DeleteAccessKey", "NoSuchEntity", AccessKeyId="AKIA" + "X" * 16),
    *(
        _refused(action, code, **asked)
        for action in ("ListUsers", "ListAccessKeys", "ListAccountAliases")
        for asked, code in (
            ({"MaxItems": 0}, "ValidationError"),
            ({"MaxItems": 1001}, "ValidationError"),
            ({"Marker": "soon"}, "ValidationError"),
        )
    ),
    _refused("CreateAccount", "ValidationError"),
    _refused("CreateAccount", "EntityAlreadyExists", AccountName="stranger"),
    _refused("CreateAccount", "ValidationError", AccountName="A B"),
    _refused("DeleteAccount", "ValidationError"),
    _refused("DeleteAccount", "NoSuchEntity", AccountName="nobodys"),
    _refused("DeleteAccount", "ValidationError", AccountName="admin"),
    *(
        Refusal(action, asked, "AccessDenied", service="iam", account=STRANGER)
        for action, asked in (
            ("CreateAccount", {"AccountName": "more"}),
            ("ListAccounts", {}),
            ("DeleteAccount", {"AccountName": "stranger"}),
        )
    ),
]


@by_name(REFUSALS)
def test_refused(things: Things, refusal: Refusal) -> None:
    things.check(refusal)


@pytest.fixture(scope="module")
def iam(shared: Served) -> Any:
    cloud = shared.world.cloud
    cloud.identity = Identity(cloud.state, Seal(bytes(32)))
    return shared.client("iam")


def test_a_user_comes_and_goes(iam: Any) -> None:
    made = iam.create_user(UserName="bob", Path="/research/")["User"]
    assert made["Arn"] == "arn:aws:iam::000000000001:user/research/bob"
    assert iam.get_user(UserName="bob")["User"] == made
    assert made in iam.list_users()["Users"]
    assert iam.list_users(PathPrefix="/research/")["Users"] == [made]
    assert iam.list_users(PathPrefix="/sales/")["Users"] == []
    iam.delete_user(UserName="bob")
    assert [user["UserName"] for user in iam.list_users()["Users"]] == ["admin"]


def test_oneself(iam: Any) -> None:
    assert iam.get_user()["User"]["UserName"] == "admin"
    made = iam.create_access_key()["AccessKey"]
    assert made["UserName"] == "admin"
    assert [one["AccessKeyId"] for one in iam.list_access_keys()["AccessKeyMetadata"]] == [
        made["AccessKeyId"]
    ]
    iam.delete_access_key(AccessKeyId=made["AccessKeyId"])


def test_a_user_has_two_keys(shared: Served, iam: Any) -> None:
    iam.create_user(UserName="carol")
    keys = [iam.create_access_key(UserName="carol")["AccessKey"] for _ in range(2)]
    assert len({key["SecretAccessKey"] for key in keys}) == 2
    things = Things(shared, {})
    _, code = things.outcome("CreateAccessKey", {"UserName": "carol"}, service="iam")
    assert code == "LimitExceeded"
    for key in keys:
        named = {"UserName": "carol", "AccessKeyId": key["AccessKeyId"]}
        iam.update_access_key(Status="Inactive", **named)
        found = iam.list_access_keys(UserName="carol")["AccessKeyMetadata"]
        assert "SecretAccessKey" not in found[0]
        [mine] = [one for one in found if one["AccessKeyId"] == key["AccessKeyId"]]
        assert mine["Status"] == "Inactive"
        iam.delete_access_key(**named)
    iam.delete_user(UserName="carol")


def test_accounts_as_eucalyptus_had_them(shared: Served, iam: Any) -> None:
    euare = unchecked(shared, "iam")

    def ask(action: str, **asked: Any) -> Any:
        return euare._make_api_call(action, asked)

    made = ask("CreateAccount", AccountName="research")["Account"]
    assert made in ask("ListAccounts")["Accounts"]
    assert len(made["AccountId"]) == 12
    identity = shared.world.cloud.identity
    assert identity is not None
    users = identity.users.list(account=made["AccountId"])
    assert [user.name for user in users] == ["admin"]
    identity.access_keys.create(users[0])
    things = Things(shared, {})
    _, code = things.outcome("DeleteAccount", {"AccountName": "research"}, service="iam")
    assert code == "DeleteConflict"
    ask("DeleteAccount", AccountName="research", Recursive=True)
    assert made not in ask("ListAccounts")["Accounts"]


def test_the_alias_is_the_account_s_name(iam: Any) -> None:
    assert iam.list_account_aliases()["AccountAliases"] == ["admin"]


def test_users_in_pages(iam: Any) -> None:
    names = [f"page-{number}" for number in range(5)]
    for name in names:
        iam.create_user(UserName=name, Path="/pages/")
    pages = iam.get_paginator("list_users").paginate(
        PathPrefix="/pages/", PaginationConfig={"PageSize": 2}
    )
    found = [[user["UserName"] for user in page["Users"]] for page in pages]
    assert found == [names[:2], names[2:4], names[4:]]


def test_a_page_goes_on_though_its_last_user_went(iam: Any) -> None:
    names = ["gone-1", "gone-2", "gone-3"]
    for name in names:
        iam.create_user(UserName=name, Path="/gone/")
    first = iam.list_users(PathPrefix="/gone/", MaxItems=2)
    iam.delete_user(UserName=first["Users"][-1]["UserName"])
    rest = iam.list_users(PathPrefix="/gone/", MaxItems=2, Marker=first["Marker"])
    assert [user["UserName"] for user in rest["Users"]] == ["gone-3"]
    assert not rest["IsTruncated"]


def test_users_that_are_kept_elsewhere(served: Served) -> None:
    things = Things(served, {})
    me = things.ask("GetUser", {}, service="iam")["User"]
    assert me["UserName"] == "admin"
    assert things.ask("ListAccountAliases", {}, service="iam")["AccountAliases"] == []
    for action, asked in {
        "ListUsers": {},
        "GetUser": {"UserName": "admin"},
        "CreateUser": {"UserName": "x"},
        "ListAccounts": {},
    }.items():
        _, code = things.outcome(action, asked, service="iam")
        assert code == "UnsupportedOperation", action
