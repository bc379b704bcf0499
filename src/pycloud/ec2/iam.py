"""Of IAM what tools call first: users, access keys, and accounts as Eucalyptus had them.

Every user of an account may do everything in it; only the administrator's account makes accounts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pycloud.aws.actions import Actions, Answer
from pycloud.aws.errors import AWSError
from pycloud.aws.reader import Taken
from pycloud.ec2.call import Call
from pycloud.ec2.identity import refuse_temporary
from pycloud.ec2.pages import page
from pycloud.errors import Duplicate, InUse, InvalidValue, LimitExceeded
from pycloud.identity.access_keys import AccessKey
from pycloud.identity.identity import Identity
from pycloud.identity.users import User
from pycloud.ids import AccessKeyId

actions = Actions("iam", Taken({}))

_CODES = {
    Duplicate: "EntityAlreadyExists",
    InUse: "DeleteConflict",
    InvalidValue: "ValidationError",
    LimitExceeded: "LimitExceeded",
}
_PAGE = 100


@actions.action("GetUser", codes=_CODES)
def get_user(call: Call, *, user_name: str | None = None) -> Answer:
    """Oneself, without a name."""
    if user_name is None and call.cloud.identity is None:
        return {"User": _of_caller(call)}
    return {"User": _user(_find(call, user_name))}


@actions.action("CreateUser", codes=_CODES)
def create_user(call: Call, *, user_name: str, path: str = "/") -> Answer:
    """In one's own account."""
    made = _identity(call).users.create(user_name, path=path, account=call.account)
    return {"User": _user(made)}


@actions.action("ListUsers", codes=_CODES)
def list_users(
    call: Call,
    *,
    path_prefix: str = "/",
    marker: str | None = None,
    max_items: int = _PAGE,
) -> Answer:
    """Of one's own account, by name."""
    found = _identity(call).users.list(path_prefix=path_prefix, account=call.account)
    return _listed("Users", [_user(one) for one in found], "UserName", marker, max_items)


@actions.action("DeleteUser", codes=_CODES)
def delete_user(call: Call, *, user_name: str) -> Answer:
    """Only one without keys and certificates."""
    _identity(call).users.delete(user_name, account=call.account)
    return None


@actions.action("CreateAccessKey", codes=_CODES)
def create_access_key(call: Call, *, user_name: str | None = None) -> Answer:
    """One's own, without a name; the secret is shown this once."""
    refuse_temporary(call)
    user = _find(call, user_name)
    key, secret = _identity(call).access_keys.create(user)
    return {"AccessKey": {**_key(key, user), "SecretAccessKey": secret}}


@actions.action("ListAccessKeys", codes=_CODES)
def list_access_keys(
    call: Call,
    *,
    user_name: str | None = None,
    marker: str | None = None,
    max_items: int = _PAGE,
) -> Answer:
    """One's own, without a name."""
    user = _find(call, user_name)
    keys = [_key(one, user) for one in _identity(call).access_keys.list(user)]
    return _listed("AccessKeyMetadata", keys, "AccessKeyId", marker, max_items)


@actions.action("UpdateAccessKey", codes=_CODES)
def update_access_key(
    call: Call, *, access_key_id: str, status: str, user_name: str | None = None
) -> Answer:
    """Active or Inactive."""
    if status not in ("Active", "Inactive"):
        raise AWSError("ValidationError", f"Status is Active or Inactive here, not {status}")
    user = _find(call, user_name)
    keys = _identity(call).access_keys
    keys.set_active(user, AccessKeyId(access_key_id), is_active=status == "Active")
    return None


@actions.action("DeleteAccessKey", codes=_CODES)
def delete_access_key(call: Call, *, access_key_id: str, user_name: str | None = None) -> Answer:
    """One's own, without a name."""
    user = _find(call, user_name)
    _identity(call).access_keys.delete(user, AccessKeyId(access_key_id))
    return None


@actions.action("ListAccountAliases", codes=_CODES)
def list_account_aliases(
    call: Call, *, marker: str | None = None, max_items: int = _PAGE
) -> Answer:
    """The account's name, as in Eucalyptus."""
    names = [] if call.cloud.identity is None else [{"Name": _account_name(call)}]
    listed = _listed("AccountAliases", names, "Name", marker, max_items)
    return listed | {"AccountAliases": [one["Name"] for one in listed["AccountAliases"]]}


# Accounts


@actions.action("CreateAccount", codes=_CODES)
def create_account(call: Call, *, account_name: str) -> Answer:
    """With its user `admin`."""
    identity = _of_administrator(call)
    with call.cloud.state.transaction():
        made = identity.accounts.create(account_name)
        identity.users.create("admin", account=made.id)
    return {"Account": {"AccountName": made.name, "AccountId": made.id}}


@actions.action("ListAccounts", codes=_CODES)
def list_accounts(call: Call) -> Answer:
    """All of them."""
    found = _of_administrator(call).accounts.list()
    return {"Accounts": [{"AccountName": one.name, "AccountId": one.id} for one in found]}


@actions.action("DeleteAccount", codes=_CODES)
def delete_account(call: Call, *, account_name: str, recursive: bool = False) -> Answer:
    """Its users, keys and certificates go with it if it is `Recursive`; nothing else does."""
    identity = _of_administrator(call)
    call.cloud.delete_account(identity.accounts.get(account_name).id, recursive=recursive)
    return None


def _identity(call: Call) -> Identity:
    if call.cloud.identity is None:
        raise AWSError("UnsupportedOperation", "Users of this cloud are kept elsewhere")
    return call.cloud.identity


def _of_administrator(call: Call) -> Identity:
    if not call.caller.is_administrator:
        raise AWSError("AccessDenied", "Accounts are the administrator's affair")
    return _identity(call)


def _find(call: Call, name: str | None) -> User:
    return _identity(call).users.get(name or call.caller.user_name, account=call.account)


def _account_name(call: Call) -> str:
    return _identity(call).accounts.get(call.account).name


def _of_caller(call: Call) -> dict[str, Any]:
    caller = call.caller
    return {
        "UserName": caller.user_name,
        "UserId": caller.user_id,
        "Path": caller.path,
        "Arn": caller.arn,
        "CreateDate": call.cloud.state.clock.now(),
    }


def _user(user: User) -> dict[str, Any]:
    return {
        "UserName": user.name,
        "UserId": user.id,
        "Path": user.path,
        "Arn": user.arn,
        "CreateDate": user.created_at,
    }


def _key(key: AccessKey, user: User) -> dict[str, Any]:
    return {
        "UserName": user.name,
        "AccessKeyId": key.id,
        "Status": "Active" if key.is_active else "Inactive",
        "CreateDate": key.created_at,
    }


def _listed(
    member: str, items: Sequence[Mapping[str, Any]], key: str, marker: str | None, most: int
) -> dict[str, Any]:
    """Return the answer that has one page of the items, and the marker of the next one."""
    shown, following = page(items, key, most, marker, least=1, code="ValidationError")
    return {member: shown, "IsTruncated": following is not None, "Marker": following}
