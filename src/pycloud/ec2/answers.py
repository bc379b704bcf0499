"""What the Describe actions share: picking what was asked for by name, and tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pycloud import limits
from pycloud.aws.errors import AWSError
from pycloud.ec2.call import Call
from pycloud.ec2.filters import SomeItem
from pycloud.state.transaction import Transaction


def picked(items: Sequence[SomeItem], key: str, wanted: Sequence[str], code: str) -> list[SomeItem]:
    """Return the items whose `key` is wanted; all, if nothing is. Raises `AWSError` with `code`
    for what there is not.
    """
    if not wanted:
        return list(items)
    found = {item[key] for item in items}
    missing = [name for name in wanted if name not in found]
    if missing:
        raise AWSError(code, f"{key} {', '.join(map(repr, missing))} does not exist")
    names = set(wanted)
    return [item for item in items if item[key] in names]


def tag_set(tags: Mapping[str, str] | None) -> list[dict[str, str]]:
    """Return tags as an answer has them, in the order of their keys."""
    return [{"Key": key, "Value": value} for key, value in sorted((tags or {}).items())]


def tags_for(
    kind: str, specifications: Sequence[Mapping[str, Any]] | None, *others: str
) -> dict[str, str]:
    """Return the tags that a request gives to the new thing of this `kind`. Raises `AWSError` for
    tags of what is not made here; tags of the `others` are for things that this cloud does not
    have.
    """
    tags: dict[str, str] = {}
    for one in specifications or ():
        named = one.get("ResourceType")
        if named not in (kind, *others):
            raise AWSError(
                "InvalidParameterValue",
                f"{named!r} is not a valid taggable resource type for this operation; {kind!r} is",
            )
        if named == kind:
            tags |= pairs(one.get("Tags") or ())
    if len(tags) > limits.TAGS:
        raise AWSError(
            "TagLimitExceeded", f"A thing has at most {limits.TAGS} tags, not {len(tags)}"
        )
    return tags


def pairs(tags: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return a request's tags as a dict. Raises `AWSError` for a key given twice, or none."""
    found: dict[str, str] = {}
    for tag in tags:
        key = tag.get("Key")
        if not key:
            raise AWSError("MissingParameter", "A tag has a key: Tag.1.Key")
        if key in found:
            raise AWSError("InvalidParameterValue", f"Duplicate tag key {key!r} specified")
        found[key] = tag.get("Value", "")
    return found


def put_tags(call: Call, tx: Transaction, id_: str, tags: Mapping[str, str]) -> None:
    """Tag what has just been made, as part of `tx`."""
    if tags:
        call.cloud.tags.put(tx, [id_], tags, account=call.account)
