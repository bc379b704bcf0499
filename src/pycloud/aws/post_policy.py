"""A browser's upload by form: who signed its policy, and whether the form keeps to it.

Sources: "Browser-Based Uploads Using POST" and "POST Policy" (S3 API).
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs

from pycloud import limits
from pycloud.aws import times
from pycloud.aws.keys import Secret, same, sign_v4
from pycloud.aws.requests import SecretOf, SignatureError
from pycloud.aws.services import RULES
from pycloud.aws.signatures_v4 import ALGORITHM, read_credential

_RULES = RULES["s3"]
_UNCONDITIONAL = frozenset(("awsaccesskeyid", "signature", "x-amz-signature", "policy", "file"))
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


@attrs.frozen
class SignedUpload:
    """What a signed policy allows."""

    access_key_id: str
    min_bytes: int = 0
    max_bytes: int | None = None

    def check_size(self, size_bytes: int) -> None:
        """Raise `SignatureError` if a file of this size is not allowed."""
        if size_bytes < self.min_bytes:
            raise SignatureError(
                "EntityTooSmall",
                f"the policy wants {self.min_bytes} bytes at least, not {size_bytes}",
            )
        if self.max_bytes is not None and size_bytes > self.max_bytes:
            raise SignatureError(
                "EntityTooLarge",
                f"the policy allows {self.max_bytes} bytes at most, not {size_bytes}",
            )


def authenticate_upload(
    fields: Mapping[str, str], secret_of: SecretOf, now: datetime, *, bucket: str
) -> SignedUpload | None:
    """Return what the form's policy allows, or None if it is not signed.

    `fields` are the form's fields before the file, by lower-case name, with `${filename}` in `key`
    replaced. The caller must hold the file to `check_size`. Raises `SignatureError`.
    """
    signed = {"awsaccesskeyid", "signature", "x-amz-signature", "x-amz-credential"} & fields.keys()
    if "policy" not in fields:
        if signed:
            raise SignatureError("InvalidArgument", "a form that is signed has a field policy")
        return None
    if len(fields["policy"]) > limits.POST_POLICY_BYTES:
        raise _invalid(f"it has more than {limits.POST_POLICY_BYTES} characters")
    key_id = _verify(fields, secret_of)
    policy = _read_policy(fields["policy"])
    _check_expiration(policy, now)
    smallest, largest = _check_conditions(policy, {**fields, "bucket": bucket}, fields)
    return SignedUpload(key_id, smallest, largest)


def _verify(fields: Mapping[str, str], secret_of: SecretOf) -> str:
    """Return the access key that signed the policy."""
    if "x-amz-signature" in fields and "signature" in fields:
        raise SignatureError(_RULES.two_forms, "the form is signed with V2 and with V4: choose one")
    policy = fields["policy"].encode("utf-8", "replace")
    if "signature" in fields:
        key_id = _field(fields, "awsaccesskeyid")
        secret = Secret(key_id, secret_of(key_id))
        secret.check(same(secret.sign_v2(policy, "sha1"), fields["signature"]), _RULES)
        return key_id
    if _field(fields, "x-amz-algorithm") != ALGORITHM:
        raise SignatureError("InvalidArgument", f"the form's x-amz-algorithm is {ALGORITHM}")
    credential = read_credential(_field(fields, "x-amz-credential"), "InvalidArgument")
    signed_at = times.read_basic(_field(fields, "x-amz-date"))
    if signed_at is None or f"{signed_at:%Y%m%d}" != credential.date:
        raise SignatureError("InvalidArgument", "x-amz-date is of the day in x-amz-credential")
    secret = Secret(credential.access_key_id, secret_of(credential.access_key_id))
    key = secret.signing_key(credential.date, credential.region, credential.service)
    secret.check(same(sign_v4(key, policy), _field(fields, "x-amz-signature")), _RULES)
    return credential.access_key_id


def _field(fields: Mapping[str, str], name: str) -> str:
    if not fields.get(name):
        raise SignatureError("InvalidArgument", f"a form with a policy has a field {name}")
    return fields[name]


def _read_policy(text: str) -> dict[str, Any]:
    try:
        # S3 lets a dollar sign be escaped, JSON does not.
        document = _ESCAPE.sub(
            lambda found: "$" if found[1] == "$" else found[0], b64decode(text).decode()
        )
        policy = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise _invalid(f"it is not JSON in base64 ({error})") from None
    if not (isinstance(policy, dict) and isinstance(policy.get("conditions"), list)):
        raise _invalid("it is an object with expiration and conditions")
    return policy


def _check_expiration(policy: Mapping[str, Any], now: datetime) -> None:
    text = policy.get("expiration")
    expires_at = times.read_iso(text) if isinstance(text, str) else None
    if expires_at is None:
        raise _invalid(f"expiration is like 2013-05-24T00:00:00Z, not {text!r}")
    times.check_not_over("AccessDenied", expires_at, now)


def _check_conditions(
    policy: Mapping[str, Any], values: Mapping[str, str], fields: Mapping[str, str]
) -> tuple[int, int | None]:
    """Hold the form to every condition, and every field to a condition; return the sizes."""
    met = set(_UNCONDITIONAL)
    smallest, largest = 0, None
    for condition in policy["conditions"]:
        operator, name, operand = _read_condition(condition)
        if operator == "content-length-range":
            smallest = max(smallest, name)
            largest = operand if largest is None else min(largest, operand)
            continue
        if not _meets(operator, name, values.get(name, ""), operand):
            raise SignatureError("AccessDenied", f"the form does not meet the policy: {condition}")
        met.add(name)
    extra = sorted(name for name in fields.keys() - met if not name.startswith("x-ignore-"))
    if extra:
        raise SignatureError("AccessDenied", f"the policy does not speak of {', '.join(extra)}")
    return smallest, largest


def _read_condition(condition: Any) -> tuple[str, Any, Any]:
    """Return the operator, the lower-case name of the field, and the value; or the two sizes."""
    match condition:
        case {**pairs} if len(pairs) == 1 and all(isinstance(v, str) for v in pairs.values()):
            [(name, value)] = pairs.items()
            return "eq", str(name).lower(), value
        case [str(operator), str(name), str(value)] if operator.lower() in (
            "eq",
            "starts-with",
        ) and name.startswith("$"):
            return operator.lower(), name[1:].lower(), value
        case ["content-length-range", smallest, largest]:
            return "content-length-range", _read_size(smallest), _read_size(largest)
    raise _invalid(f"this is no condition: {condition!r}")


def _read_size(size: Any) -> int:
    text = str(size)
    if isinstance(size, (int, str)) and re.fullmatch("[0-9]{1,18}", text):
        return int(text)
    raise _invalid(f"a size is a number of bytes, not {size!r}")


def _meets(operator: str, name: str, value: str, operand: str) -> bool:
    if operator == "eq":
        return value == operand
    if name == "content-type":
        # A list of types, each of which must begin so ("Condition Matching").
        return all(part.strip().startswith(operand) for part in value.split(","))
    return value.startswith(operand)


def _invalid(what: str) -> SignatureError:
    return SignatureError("InvalidPolicyDocument", f"the policy is invalid: {what}")
