"""Bucket policies: what they allow and deny, and which are refused; without a store."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pycloud.aws.errors import AWSError
from pycloud.s3.owners import canonical_id
from pycloud.s3.policy import Ask, Verdict, read_policy
from pycloud.s3.wildcards import matches

ACCOUNT, OTHER = "111122223333", "444455556666"
USER = f"arn:aws:iam::{ACCOUNT}:user/ann"
OBJECT = "arn:aws:s3:::holiday/sea/beach.jpg"
ALLOW, DENY, SILENT = Verdict.ALLOW, Verdict.DENY, Verdict.SILENT


def _statement(**changes: Any) -> dict[str, Any]:
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::holiday/*",
        **changes,
    }
    return {name: value for name, value in statement.items() if value is not None}


def _text(*statements: dict[str, Any], **more: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements), **more})


def _decide(*statements: dict[str, Any], **ask: Any) -> Verdict:
    asked = Ask(
        **{"action": "s3:GetObject", "resource": OBJECT, "account": ACCOUNT, "arn": USER, **ask}
    )
    return read_policy(_text(*statements), "holiday").decide(asked)


# Who


@pytest.mark.parametrize(
    ("principal", "known", "anonymous"),
    [
        ("*", ALLOW, ALLOW),
        ({"AWS": "*"}, ALLOW, ALLOW),
        ({"AWS": ACCOUNT}, ALLOW, SILENT),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, ALLOW, SILENT),
        ({"AWS": USER}, ALLOW, SILENT),
        ({"AWS": [OTHER, USER]}, ALLOW, SILENT),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:user/bob"}, SILENT, SILENT),
        ({"AWS": OTHER}, SILENT, SILENT),
        ({"CanonicalUser": canonical_id(ACCOUNT)}, ALLOW, SILENT),
        ({"CanonicalUser": canonical_id(OTHER)}, SILENT, SILENT),
        ({"Service": "logging.s3.amazonaws.com"}, SILENT, SILENT),
        ({"Federated": "example.com"}, SILENT, SILENT),
    ],
)
def test_principals(principal: Any, known: Verdict, anonymous: Verdict) -> None:
    assert _decide(_statement(Principal=principal)) is known
    assert _decide(_statement(Principal=principal), account=None, arn=None) is anonymous


def test_not_principal_denies_all_others() -> None:
    statement = _statement(Effect="Deny", Principal=None, NotPrincipal={"AWS": ACCOUNT})
    assert _decide(statement) is SILENT
    assert _decide(statement, account=OTHER, arn=None) is DENY
    assert _decide(statement, account=None, arn=None) is DENY


# What


@pytest.mark.parametrize(
    ("actions", "verdict"),
    [
        ("*", ALLOW),
        ("s3:*", ALLOW),
        ("s3:Get*", ALLOW),
        ("s3:getobject", ALLOW),
        ("s3:GetObjec?", ALLOW),
        (["s3:PutObject", "s3:GetObject"], ALLOW),
        ("s3:PutObject", SILENT),
        ("s3:GetObjectVersion", SILENT),
    ],
)
def test_actions(actions: Any, verdict: Verdict) -> None:
    assert _decide(_statement(Action=actions)) is verdict


def test_not_action() -> None:
    statement = _statement(Action=None, NotAction="s3:Put*")
    assert _decide(statement) is ALLOW
    assert _decide(statement, action="s3:PutObject") is SILENT


@pytest.mark.parametrize(
    ("resources", "verdict"),
    [
        ("*", ALLOW),
        ("arn:aws:s3:::holiday/*", ALLOW),
        ("arn:aws:s3:::holi*/*", ALLOW),
        ("arn:aws:s3:::holiday/sea/*.jpg", ALLOW),
        ("arn:aws:s3:::holiday/sea/beach.???", ALLOW),
        (["arn:aws:s3:::holiday", "arn:aws:s3:::holiday/sea/*"], ALLOW),
        ("arn:aws:s3:::holiday", SILENT),
        ("arn:aws:s3:::holiday/SEA/*", SILENT),
        ("arn:aws:s3:::holiday/land/*", SILENT),
    ],
)
def test_resources(resources: Any, verdict: Verdict) -> None:
    assert _decide(_statement(Resource=resources)) is verdict


def test_not_resource() -> None:
    statement = _statement(Resource=None, NotResource="arn:aws:s3:::holiday/sea/*")
    assert _decide(statement) is SILENT
    assert _decide(statement, resource="arn:aws:s3:::holiday/land/a") is ALLOW


def test_a_variable_in_a_resource() -> None:
    statement = _statement(Resource="arn:aws:s3:::holiday/${aws:username}/*")
    mine = "arn:aws:s3:::holiday/ann/a"
    context = {"aws:username": ["ann"]}
    assert _decide(statement, resource=mine, context=context) is ALLOW
    assert _decide(statement, resource=mine, context={"aws:username": ["bob"]}) is SILENT
    assert _decide(statement, resource=mine) is SILENT


@pytest.mark.parametrize("turned", [False, True])
def test_a_denial_wins(turned: bool) -> None:
    statements = [_statement(), _statement(Effect="Deny", Action="s3:*")]
    assert _decide(*(statements[::-1] if turned else statements)) is DENY


@given(st.lists(st.sampled_from(["Allow", "Deny"]), max_size=6))
def test_a_denial_wins_in_any_order(effects: list[str]) -> None:
    expected = DENY if "Deny" in effects else ALLOW if effects else SILENT
    statements = [_statement(Effect=effect) for effect in effects]
    silent = _statement(Principal={"AWS": OTHER}, Effect="Deny")
    assert _decide(silent, *statements) is expected


# On which condition


@pytest.mark.parametrize(
    ("operator", "values", "actual", "holds"),
    [
        ("StringEquals", "a", ["a"], True),
        ("StringEquals", ["b", "a"], ["a"], True),
        ("StringEquals", "a", ["A"], False),
        ("StringEquals", "a", [], False),
        ("StringEqualsIfExists", "a", [], True),
        ("StringEqualsIfExists", "a", ["b"], False),
        ("StringNotEquals", "a", ["b"], True),
        ("StringNotEquals", ["a", "b"], ["b"], False),
        ("StringNotEquals", "a", [], True),
        ("StringEqualsIgnoreCase", "A", ["a"], True),
        ("StringNotEqualsIgnoreCase", "A", ["a"], False),
        ("StringLike", "pre*", ["prefix"], True),
        ("StringLike", "pre?", ["prefix"], False),
        ("StringNotLike", "pre*", ["prefix"], False),
        ("NumericLessThan", "10", ["9"], True),
        ("NumericLessThan", 10, ["10"], False),
        ("NumericLessThanEquals", "10", ["10"], True),
        ("NumericGreaterThan", "10", ["11"], True),
        ("NumericGreaterThanEquals", "10", ["9.5"], False),
        ("NumericEquals", "10", ["10.0"], True),
        ("NumericNotEquals", "10", ["11"], True),
        ("NumericEquals", "10", ["ten"], False),
        ("DateGreaterThan", "2026-01-01T00:00:00Z", ["2026-01-02T00:00:00Z"], True),
        ("DateLessThan", "2026-01-01T00:00:00Z", ["2026-01-02T00:00:00Z"], False),
        ("DateLessThan", "1800000000", ["2026-01-02T00:00:00Z"], True),
        ("Bool", "true", ["true"], True),
        ("Bool", True, ["false"], False),
        ("Bool", "false", [], False),
        ("IpAddress", "203.0.113.0/24", ["203.0.113.9"], True),
        ("IpAddress", "203.0.113.0/24", ["198.51.100.1"], False),
        ("IpAddress", "2001:db8::/32", ["2001:db8::1"], True),
        ("IpAddress", "2001:db8::/32", ["203.0.113.9"], False),
        ("NotIpAddress", ["203.0.113.0/24", "198.51.100.1"], ["198.51.100.1"], False),
        ("NotIpAddress", "203.0.113.0/24", ["198.51.100.1"], True),
        ("ArnLike", "arn:aws:iam::*:user/*", [USER], True),
        ("ArnNotEquals", USER, [USER], False),
        ("Null", "true", [], True),
        ("Null", "true", ["a"], False),
        ("Null", "false", ["a"], True),
        ("ForAllValues:StringEquals", ["a", "b"], ["a", "b"], True),
        ("ForAllValues:StringEquals", ["a", "b"], ["a", "c"], False),
        ("ForAllValues:StringEquals", ["a"], [], True),
        ("ForAnyValue:StringEquals", ["a"], ["c", "a"], True),
        ("ForAnyValue:StringEquals", ["a"], [], False),
        ("ForAnyValue:StringNotEquals", ["a"], ["a", "c"], True),
        ("ForAllValues:StringNotEquals", ["a"], ["a", "c"], False),
        ("BinaryEquals", "YQ==", ["YQ=="], True),
    ],
)
def test_conditions(operator: str, values: Any, actual: list[str], holds: bool) -> None:
    statement = _statement(Condition={operator: {"S3:Key": values}})
    assert (_decide(statement, context={"s3:key": actual}) is ALLOW) is holds


def test_all_conditions_must_hold() -> None:
    statement = _statement(
        Condition={
            "StringEquals": {"s3:prefix": "sea/", "s3:delimiter": "/"},
            "Bool": {"aws:SecureTransport": "true"},
        }
    )
    context = {"s3:prefix": ["sea/"], "s3:delimiter": ["/"], "aws:securetransport": ["true"]}
    assert _decide(statement, context=context) is ALLOW
    for key in context:
        assert _decide(statement, context={**context, key: ["other"]}) is SILENT


# Which are refused


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "{}",
        '{"Statement": []}',
        '{"Statement": ["x"]}',
        "[" * 100_000,
        _text(_statement(), Version="2020-01-01"),
        _text(_statement(), Colour="red"),
        _text(_statement(Colour="red")),
        _text(_statement(Effect="Perhaps")),
        _text(_statement(Principal=None)),
        _text(_statement(Principal={"AWS": "ann"})),
        _text(_statement(Principal={"AWS": "arn:aws:iam::1:user/x"})),
        _text(_statement(Principal={"Robot": "x"})),
        _text(_statement(Principal={})),
        _text(_statement(Principal="x")),
        _text(_statement(NotPrincipal="*")),
        _text(_statement(Principal=None, NotPrincipal={"AWS": ACCOUNT})),
        _text(_statement(Action=None)),
        _text(_statement(Action=[])),
        _text(_statement(Action="ec2:RunInstances")),
        _text(_statement(Action=7)),
        _text(_statement(Resource="holiday/*")),
        _text(_statement(Resource="arn:aws:s3:::other/*")),
        _text(_statement(Resource={"a": "b"})),
        _text(_statement(Condition="x")),
        _text(_statement(Condition={"StringSimilar": {"a": "b"}})),
        _text(_statement(Condition={"StringEquals": "x"})),
        _text(_statement(Condition={"StringEquals": {"a": {"b": "c"}}})),
        _text(_statement(Condition={"IpAddress": {"aws:SourceIp": "300.1.1.1"}})),
        _text(_statement(Condition={"NumericEquals": {"s3:max-keys": "many"}})),
        _text(_statement(Condition={"DateEquals": {"aws:CurrentTime": "noon"}})),
        _text(_statement(Sid="x" * 21_000)),
    ],
)
def test_what_is_no_policy(text: str) -> None:
    with pytest.raises(AWSError) as refusal:
        read_policy(text, "holiday")
    assert refusal.value.code == "MalformedPolicy"


@settings(max_examples=40)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.just("s3:GetObject"),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["Statement", "Effect", "Principal", "Action", "Resource", "Condition", "AWS"]
                ),
                inner,
                max_size=6,
            )
        ),
    )
)
def test_any_json_is_a_policy_or_refused(document: Any) -> None:
    with contextlib.suppress(AWSError):
        read_policy(json.dumps(document), "holiday")


# Which are public


@pytest.mark.parametrize(
    ("changes", "is_public"),
    [
        ({}, True),
        ({"Principal": {"AWS": "*"}}, True),
        ({"Principal": {"AWS": ACCOUNT}}, False),
        ({"Effect": "Deny"}, False),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}}, False),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}}, True),
        ({"Condition": {"StringEquals": {"aws:PrincipalAccount": ACCOUNT}}}, False),
        ({"Condition": {"StringLike": {"aws:PrincipalArn": "*"}}}, True),
        ({"Condition": {"StringEquals": {"aws:Referer": "x"}}}, True),
    ],
)
def test_public_policies(changes: dict[str, Any], is_public: bool) -> None:
    assert read_policy(_text(_statement(**changes)), "holiday").is_public is is_public


# Wildcards


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("", "", True),
        ("*", "", True),
        ("?", "", False),
        ("a*b*c", "axxbyyc", True),
        ("a*b*c", "axxbyy", False),
        ("*a", "aaab", False),
        ("*ab", "aaab", True),
        ("a?c", "abc", True),
        ("[a]", "a", False),
        ("a.c", "abc", False),
        ("*/*", "a\n/b", True),
    ],
)
def test_wildcards(pattern: str, text: str, expected: bool) -> None:
    assert matches(pattern, text) is expected


def test_a_pattern_that_wants_to_take_for_ever() -> None:
    assert not matches("*a" * 200, "a" * 199 + "b" * 5000)


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=8))
def test_wildcards_as_the_plain_rule_says(pattern: str, text: str) -> None:
    def rule(pattern: str, text: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "*":
            return rule(pattern[1:], text) or (bool(text) and rule(pattern, text[1:]))
        return bool(text) and pattern[0] in ("?", text[0]) and rule(pattern[1:], text[1:])

    assert matches(pattern, text) is rule(pattern, text)
