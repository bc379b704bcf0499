"""Bucket policies: read once, held against a request; pure, without a store.

Sources: "Policies and permissions in Amazon S3", "IAM JSON policy elements reference", "The meaning
of public" (S3 user guide). An explicit `Deny` wins over every `Allow`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any, Final

import attrs

from pycloud import limits
from pycloud.aws.errors import AWSError
from pycloud.s3.conditions import Condition, Context, read_condition
from pycloud.s3.owners import canonical_id
from pycloud.s3.wildcards import matches

_FIELDS: Final = frozenset(
    [
        "Sid",
        "Effect",
        "Principal",
        "NotPrincipal",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
    ]
)
_VERSIONS: Final = ("2012-10-17", "2008-10-17")
_PRINCIPAL = re.compile(r"\*|[0-9]{12}|arn:[a-z-]+:(iam|sts)::[0-9]{12}:[\w+=,.@/-]+")
_ACTION = re.compile(r"\*|s3:[A-Za-z0-9*?]+", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_FIXED_KEYS: Final = frozenset(
    {
        "aws:sourceip",
        "aws:sourcearn",
        "aws:sourcevpc",
        "aws:sourcevpce",
        "aws:sourceaccount",
        "aws:sourceowner",
        "aws:principalaccount",
        "aws:principalarn",
        "aws:principalorgid",
        "aws:userid",
        "s3:dataaccesspointarn",
        "s3:dataaccesspointaccount",
        "s3:x-amz-server-side-encryption-aws-kms-key-id",
    }
)
"""A fixed value of one of these makes a policy for all not public."""


class Verdict(Enum):
    """What a policy says of a request."""

    ALLOW = "allow"
    DENY = "deny"
    SILENT = "silent"


@attrs.frozen
class Ask:
    """What is asked, and by whom."""

    action: str
    """Like `s3:GetObject`."""
    resource: str
    """Like `arn:aws:s3:::bucket/key`."""
    account: str | None = None
    """None for the anonymous."""
    arn: str | None = None
    context: Context = attrs.field(factory=dict)


@attrs.frozen
class Principals:
    """Whom a statement is about."""

    everyone: bool = False
    aws: frozenset[str] = frozenset()
    canonical: frozenset[str] = frozenset()

    def hold(self, ask: Ask) -> bool:
        """Return whether the asker is one of them."""
        if self.everyone:
            return True
        if ask.account is None:
            return False
        root = f"arn:aws:iam::{ask.account}:root"
        return (
            not self.aws.isdisjoint((ask.account, root, ask.arn))
            or canonical_id(ask.account) in self.canonical
        )


@attrs.frozen
class Statement:
    """One statement of a policy."""

    allows: bool
    principals: Principals
    actions: tuple[str, ...]
    """In lower case."""
    resources: tuple[str, ...]
    conditions: tuple[Condition, ...]
    not_principals: bool = False
    not_actions: bool = False
    not_resources: bool = False

    def applies(self, ask: Ask) -> bool:
        """Return whether the statement speaks of the request."""
        action = ask.action.lower()

        def fill(text: str) -> str | None:
            return _filled(text, ask.context)

        return (
            self.principals.hold(ask) is not self.not_principals
            and any(matches(one, action) for one in self.actions) is not self.not_actions
            and self._holds_resource(ask, fill) is not self.not_resources
            and all(one.holds(ask.context, fill) for one in self.conditions)
        )

    @property
    def is_public(self) -> bool:
        """Whether it allows something to all, or to all from anywhere."""
        return (
            self.allows
            and (self.principals.everyone or self.not_principals)
            and not any(_is_fixed(condition) for condition in self.conditions)
        )

    def _holds_resource(self, ask: Ask, fill: Any) -> bool:
        patterns = (fill(one) for one in self.resources)
        return any(one is not None and matches(one, ask.resource) for one in patterns)


@attrs.frozen
class Policy:
    """A policy that was read."""

    statements: tuple[Statement, ...]

    def decide(self, ask: Ask) -> Verdict:
        """Return what the policy says: a denial wins."""
        verdict = Verdict.SILENT
        for statement in self.statements:
            if statement.applies(ask):
                if not statement.allows:
                    return Verdict.DENY
                verdict = Verdict.ALLOW
        return verdict

    @property
    def is_public(self) -> bool:
        """Whether it lets in people whom nobody named."""
        return any(statement.is_public for statement in self.statements)


@lru_cache(maxsize=512)
def read_policy(text: str, bucket: str) -> Policy:
    """Return the policy of a bucket. Raises `AWSError` (`MalformedPolicy`).

    >>> policy = read_policy('''{"Statement": [{"Effect": "Allow", "Principal": "*",
    ...     "Action": "s3:GetObject", "Resource": "arn:aws:s3:::holiday/*"}]}''', "holiday")
    >>> policy.decide(Ask("s3:GetObject", "arn:aws:s3:::holiday/beach.jpg"))
    <Verdict.ALLOW: 'allow'>
    """
    if len(text.encode("utf-8", "replace")) > limits.BUCKET_POLICY_BYTES:
        raise _malformed(f"A policy has at most {limits.BUCKET_POLICY_BYTES} bytes")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise _malformed("Policies must be valid JSON and the first byte must be '{'") from None
    if not isinstance(document, dict) or not set(document) <= {"Version", "Id", "Statement"}:
        raise _malformed("A policy is an object with Version, Id and Statement")
    if document.get("Version", _VERSIONS[0]) not in _VERSIONS:
        raise _malformed("The policy must contain a valid version string")
    statements = document.get("Statement")
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        raise _malformed("Missing required field Statement")
    return Policy(tuple(_read_statement(one, bucket) for one in statements))


def _read_statement(document: Any, bucket: str) -> Statement:
    if not isinstance(document, dict):
        raise _malformed("A statement is an object")
    unknown = set(document) - _FIELDS
    if unknown:
        raise _malformed(f"Unknown field {sorted(map(str, unknown))[0][:80]}")
    if document.get("Effect") not in ("Allow", "Deny"):
        raise _malformed("Missing required field Effect: it is Allow or Deny")
    principal, not_principals = _one_of(document, "Principal")
    actions, not_actions = _one_of(document, "Action")
    resources, not_resources = _one_of(document, "Resource")
    if not_principals and document["Effect"] == "Allow":
        raise _malformed("NotPrincipal goes with Deny alone")
    return Statement(
        document["Effect"] == "Allow",
        _read_principals(principal),
        tuple(_read_action(one) for one in _texts(actions, "Action")),
        tuple(_read_resource(one, bucket) for one in _texts(resources, "Resource")),
        _read_conditions(document.get("Condition", {})),
        not_principals,
        not_actions,
        not_resources,
    )


def _one_of(document: Mapping[str, Any], name: str) -> tuple[Any, bool]:
    """Return the value of `name` or of its negation, and whether it was that."""
    if (name in document) is (f"Not{name}" in document):
        raise _malformed(f"Missing required field {name}: give it or Not{name}")
    return (document[name], False) if name in document else (document[f"Not{name}"], True)


def _read_principals(value: Any) -> Principals:
    if value == "*":
        return Principals(everyone=True)
    if not isinstance(value, dict) or not value:
        raise _malformed("Invalid principal in policy")
    found: dict[str, set[str]] = {}
    for kind, names in value.items():
        if kind not in ("AWS", "CanonicalUser", "Service", "Federated"):
            raise _malformed("Invalid principal in policy")
        found[kind] = set(_texts(names, "Principal"))
    aws = found.get("AWS", set())
    if not all(_PRINCIPAL.fullmatch(name) for name in aws):
        raise _malformed("Invalid principal in policy")
    return Principals("*" in aws, frozenset(aws), frozenset(found.get("CanonicalUser", ())))


def _read_action(text: str) -> str:
    if not _ACTION.fullmatch(text):
        raise _malformed(f"Policy has invalid action: {text[:80]}")
    return text.lower()


def _read_resource(text: str, bucket: str) -> str:
    name = text.removeprefix("arn:aws:s3:::")
    if name == text and text != "*":
        raise _malformed(f"Policy has invalid resource: {text[:80]}")
    if not matches(name.partition("/")[0], bucket):
        raise _malformed(f"Policy has invalid resource: {text[:80]} is not of this bucket")
    return text


def _read_conditions(block: Any) -> tuple[Condition, ...]:
    if not isinstance(block, dict) or not all(isinstance(one, dict) for one in block.values()):
        raise _malformed("A condition is an operator with an object of keys and values")
    try:
        return tuple(
            read_condition(operator, key, values)
            for operator, keys in block.items()
            for key, values in keys.items()
        )
    except ValueError as error:
        raise _malformed(str(error)) from None


def _texts(value: Any, name: str) -> Sequence[str]:
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(one, str) for one in values):
        raise _malformed(f"{name} is a text or a list of texts")
    return values


def _filled(text: str, context: Context) -> str | None:
    """Replace policy variables (`${aws:username}`); None if the request has no such value."""
    if "${" not in text:
        return text
    missing = False

    def value_of(found: re.Match[str]) -> str:
        nonlocal missing
        name, _, default = found[1].partition(",")
        if name in ("*", "?", "$"):
            return name
        values = context.get(name.strip().lower(), ())
        if len(values) == 1:
            return values[0]
        missing = missing or not default
        return default.strip().strip("'")

    filled = _VARIABLE.sub(value_of, text)
    return None if missing else filled


def _is_fixed(condition: Condition) -> bool:
    if condition.key not in _FIXED_KEYS or condition.if_exists:
        return False
    if condition.operator in ("IpAddress", "StringEquals", "ArnEquals"):
        return all(value not in ("0.0.0.0/0", "::/0") for value in condition.values)
    if condition.operator in ("StringLike", "ArnLike"):
        return not any("*" in value or "?" in value for value in condition.values)
    return False


def _malformed(what: str) -> AWSError:
    return AWSError("MalformedPolicy", what)
