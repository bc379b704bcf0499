"""Lifecycle rules: what is to go, and when. The store carries them out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from pycloud.aws.errors import AWSError
from pycloud.aws.writer import moment_of
from pycloud.errors import InvalidValue
from pycloud.s3.call import Call, new_actions, not_implemented
from pycloud.storage.lifecycle import LifecycleRule, LifecycleRules

actions = new_actions()

_AS_GIVEN: Final = "as_given"
"""The field of the stored document in which the rules are as the client wrote them."""
_DATE: Final = "Date"


@actions.action("GetBucketLifecycleConfiguration", root="LifecycleConfiguration")
def get_bucket_lifecycle_configuration(call: Call, _given: dict[str, Any]) -> dict[str, Any]:
    """The rules, as they were given."""
    document = call.access.setting("lifecycle")
    if document is None:
        raise AWSError("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist")
    return {"Rules": [_dated(rule) for rule in json.loads(document)[_AS_GIVEN]]}


@actions.action("PutBucketLifecycleConfiguration", "LifecycleConfiguration")
def put_bucket_lifecycle_configuration(call: Call, given: dict[str, Any]) -> None:
    """Give the bucket rules."""
    asked = given.get("LifecycleConfiguration", {}).get("Rules", [])
    if not asked:
        raise AWSError("MalformedXML", "There is at least one rule")
    named = [
        {**rule, "ID": rule.get("ID") or f"rule-{number}"} for number, rule in enumerate(asked, 1)
    ]
    if len({rule["ID"] for rule in named}) < len(named):
        raise AWSError(
            "InvalidArgument", "Rule ID must be unique. Found same ID for more than one rule"
        )
    try:
        rules = LifecycleRules(tuple(map(_rule, named)))
        text = json.dumps({**json.loads(rules.to_json()), _AS_GIVEN: named}, default=moment_of)
        call.set_setting("lifecycle", text)
    except InvalidValue as error:
        raise AWSError("InvalidArgument", str(error)) from None


@actions.action("DeleteBucketLifecycle")
def delete_bucket_lifecycle(call: Call, _given: dict[str, Any]) -> None:
    """Take the rules away."""
    call.set_setting("lifecycle", None)


def _rule(rule: Mapping[str, Any]) -> LifecycleRule:
    """Return the rule as the store carries it out. Raises `AWSError`."""
    for name in ("Transitions", "NoncurrentVersionTransitions"):
        if name in rule:
            raise not_implemented("transitions: there is one class of storage")
    expiration = rule.get("Expiration", {})
    noncurrent = rule.get("NoncurrentVersionExpiration", {})
    abort = rule.get("AbortIncompleteMultipartUpload", {})
    if not expiration and not noncurrent and not abort:
        raise AWSError("InvalidRequest", "At least one action needs to be specified in a rule")
    if len(expiration) > 1:
        raise AWSError("MalformedXML", "An expiration has Days, Date or ExpiredObjectDeleteMarker")
    if rule.get("Status") not in ("Enabled", "Disabled"):
        raise AWSError("MalformedXML", "Status is Enabled or Disabled")
    if len(rule["ID"]) > 255:
        raise AWSError("InvalidArgument", "ID length should not exceed allowed limit of 255")
    return LifecycleRule(
        id=rule["ID"],
        enabled=rule["Status"] == "Enabled",
        **_filter(rule),
        expire_days=expiration.get("Days"),
        expire_at=_midnight(expiration.get(_DATE)),
        expire_delete_marker=expiration.get("ExpiredObjectDeleteMarker", False),
        noncurrent_days=noncurrent.get("NoncurrentDays"),
        noncurrent_kept=noncurrent.get("NewerNoncurrentVersions", 0),
        abort_days=abort.get("DaysAfterInitiation"),
    )


def _filter(rule: Mapping[str, Any]) -> dict[str, Any]:
    """Return which objects a rule is for."""
    if "Prefix" in rule:
        if "Filter" in rule:
            raise AWSError("MalformedXML", "A rule has a Filter or, of old, a Prefix")
        return {"prefix": rule["Prefix"]}
    chosen = rule.get("Filter", {})
    if len(chosen) > 1:
        raise AWSError("MalformedXML", "A filter has one element: use And for more")
    both = chosen.get("And", chosen)
    tags = [*both.get("Tags", []), *([both["Tag"]] if "Tag" in both else [])]
    return {
        "prefix": both.get("Prefix", ""),
        "tags": {tag["Key"]: tag["Value"] for tag in tags},
        "larger_than_bytes": both.get("ObjectSizeGreaterThan"),
        "smaller_than_bytes": both.get("ObjectSizeLessThan"),
    }


def _midnight(moment: datetime | None) -> datetime | None:
    if moment is not None and (moment.hour, moment.minute, moment.second) != (0, 0, 0):
        raise AWSError("InvalidArgument", "'Date' must be at midnight GMT")
    return moment


def _dated(rule: dict[str, Any]) -> dict[str, Any]:
    """Return a rule that was read from JSON, with its date as a moment."""
    expiration = rule.get("Expiration", {})
    if _DATE not in expiration:
        return rule
    moment = datetime.fromisoformat(expiration[_DATE])
    return {**rule, "Expiration": {**expiration, _DATE: moment}}
