"""Every error of pycloud has a code of AWS's, and every code that an action can give is tested."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import pycloud
from pycloud.aws.actions import Action
from pycloud.ec2 import codes
from pycloud.ec2.actions import ACTIONS
from pycloud.errors import (
    BadDigest,
    DriverError,
    Incomplete,
    Locked,
    NotFound,
    NotSettled,
    PreconditionFailed,
    PyCloudError,
    Refused,
    SchemaTooNew,
    StateError,
    TooSmall,
)
from tests.ec2 import (
    test_account_attributes,
    test_addresses,
    test_iam,
    test_identity,
    test_images,
    test_instance_attributes,
    test_instance_types,
    test_instances,
    test_interfaces,
    test_key_pairs,
    test_launch_templates,
    test_launching,
    test_placement_groups,
    test_security_groups,
    test_tags,
    test_vpcs,
    test_zones,
)

_SOURCE = Path(pycloud.__file__).parent
_TABLES: list[ModuleType] = [
    test_account_attributes,
    test_addresses,
    test_iam,
    test_identity,
    test_images,
    test_instance_attributes,
    test_instance_types,
    test_instances,
    test_interfaces,
    test_key_pairs,
    test_launch_templates,
    test_launching,
    test_placement_groups,
    test_security_groups,
    test_tags,
    test_vpcs,
    test_zones,
]
SEEN = {(refusal.action, refusal.code) for module in _TABLES for refusal in module.REFUSALS}
"""What the tables of refusals test."""
ELSEWHERE = {
    ("AllocateAddress", "AddressLimitExceeded"): test_addresses.test_an_account_has_so_many,
    (
        "AllocateAddress",
        "InsufficientAddressCapacity",
    ): test_addresses.test_when_there_are_no_more,
    (
        "CreateAccessKey",
        "AccessDenied",
    ): test_identity.test_a_session_makes_nothing_that_outlasts_it,
    (
        "GetSessionToken",
        "AccessDenied",
    ): test_identity.test_a_session_makes_nothing_that_outlasts_it,
    ("CreateAccessKey", "LimitExceeded"): test_iam.test_a_user_has_two_keys,
    (
        "CreateSecurityGroup",
        "SecurityGroupLimitExceeded",
    ): test_security_groups.test_an_account_has_so_many_groups,
    (
        "GetConsoleOutput",
        "IncorrectInstanceState",
    ): test_instance_attributes.test_a_console_that_the_node_does_not_give,
    (
        "RunInstances",
        "InsufficientFreeAddressesInSubnet",
    ): test_launching.test_when_the_addresses_are_over,
    (
        "StartInstances",
        "InsufficientInstanceCapacity",
    ): test_instance_attributes.test_a_larger_type_is_there_after_the_start,
}
"""What can't be tested in a cloud that stays as it is, and the tests that do it."""
NEVER_REFUSED = {
    "GetCallerIdentity": "who has signed rightly is somebody",
}


# From errors to codes


def _all_kinds(kind: type[PyCloudError]) -> Iterator[type[PyCloudError]]:
    yield kind
    for inner in kind.__subclasses__():
        yield from _all_kinds(inner)


def _import_everything() -> None:
    for found in pkgutil.walk_packages(pycloud.__path__, "pycloud."):
        if "migrations" not in found.name and not found.name.endswith("__main__"):
            importlib.import_module(found.name)


INTERNAL = {
    PyCloudError: "the root is never raised",
    Refused: "a refusal is one of its kinds",
    DriverError: "ends as a reason on a record, never in a caller's hands",
    StateError: "the database can't be used: nothing that the client could do otherwise",
    SchemaTooNew: "the cloud does not open",
    NotSettled: "no action settles",
    **dict.fromkeys(
        (BadDigest, Incomplete, Locked, PreconditionFailed, TooSmall),
        "no action of EC2 stores or locks an object",
    ),
}
"""Errors that are InternalError to a client, and why."""


def test_every_kind_of_error_has_a_code() -> None:
    _import_everything()
    kinds = [kind for kind in _all_kinds(PyCloudError) if kind.__module__.startswith("pycloud")]
    assert len(kinds) > 15
    for kind in kinds:
        error = kind.__new__(kind)
        error.__dict__["kind"] = "image"  # as a NotFound has
        code = codes.error_of(error, {}).code
        is_internal = kind in INTERNAL or issubclass(kind, DriverError)
        has_own = (
            "code" in inspect.signature(kind.__init__).parameters
        )  # a signature's error brings it
        assert (code == "InternalError") == (is_internal or has_own), kind


def test_an_action_s_own_code_goes_before_the_general_one() -> None:
    error = pycloud.Duplicate("x")
    assert codes.error_of(error, {}).code == "InvalidParameterValue"
    assert codes.error_of(error, {pycloud.Duplicate: "X"}).code == "X"
    assert codes.error_of(NotFound("image", "x"), {}).code == "InvalidAMIID.NotFound"


UNREACHED = {
    "certificate": "no action is about certificates yet",
    "holder of room": "no action says what an instance shall be apart from",
    "node": "no action names a node",
    "part": "uploads are S3's",
    "upload": "uploads are S3's",
    "version": "versions of objects are S3's",
}
"""Kinds of things that no action looks for, and why."""


def _kinds_looked_for() -> set[str]:
    found = set()
    for path in _SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "NotFound":
                kind = node.args[0]
                assert isinstance(kind, ast.Constant), f"{path}:{node.lineno}"
                found.add(str(kind.value))
    return found


def test_whatever_may_not_be_found_has_a_code() -> None:
    kinds = _kinds_looked_for()
    assert len(kinds) > 15
    assert kinds - {*UNREACHED} <= {*codes._NOT_FOUND}
    assert {*UNREACHED}.isdisjoint(codes._NOT_FOUND)


# What an action can give, and what is tested


@pytest.mark.parametrize("action", ACTIONS.values(), ids=lambda action: action.name)
def test_every_action_is_refused_in_a_test(action: Action) -> None:
    tested = {code for name, code in (*SEEN, *ELSEWHERE) if name == action.name}
    assert bool(tested) == (action.name not in NEVER_REFUSED)
    if action.service == "ec2":  # all of IAM's actions share one table of codes
        assert {*action.codes.values()} <= tested


def test_all_of_iam_s_codes_are_tested() -> None:
    tested = {code for _, code in (*SEEN, *ELSEWHERE)}
    assert {code for one in ACTIONS.values() for code in one.codes.values()} <= tested


def _codes_in(module: ModuleType) -> Iterator[str]:
    """Give the codes that the source of a module names."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in _RAISERS:
            for argument in node.args:
                if isinstance(argument, ast.Constant) and _is_code(argument.value):
                    yield str(argument.value)


_RAISERS = ("AWSError", "picked", "check_ids")


def _is_code(value: object) -> bool:
    """Codes are words in capitals, unlike the keys that stand beside them."""
    return isinstance(value, str) and (value.startswith("Invalid") or value in _OTHERS)


_OTHERS = {
    "AccessDenied",
    "CannotDelete",
    "IncorrectInstanceState",
    "InsufficientAddressCapacity",
    "MissingParameter",
    "UnsupportedHibernationConfiguration",
    "UnsupportedOperation",
    "ValidationError",
}


@pytest.mark.parametrize(
    "module",
    sorted({inspect.getmodule(one.handler) for one in ACTIONS.values()}, key=repr),
    ids=lambda module: module.__name__.rpartition(".")[2],
)
def test_every_code_that_the_source_names_is_tested(module: ModuleType) -> None:
    names = {one.name for one in ACTIONS.values() if inspect.getmodule(one.handler) is module}
    tested = {(name, code) for name, code in (*SEEN, *ELSEWHERE)}
    own = {code for name, code in tested if name in names}
    others = {code for name, code in tested if name == "RunInstances"}
    # What a launch names is checked by the files of those nouns.
    assert {*_codes_in(module)} <= own | others
