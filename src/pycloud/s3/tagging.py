"""Tags of buckets and objects."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pycloud import limits
from pycloud.aws.errors import AWSError
from pycloud.errors import InvalidValue
from pycloud.s3.call import Call, new_actions
from pycloud.s3.headers import version_member
from pycloud.storage.names import check_tags

actions = new_actions()


@actions.action("GetBucketTagging", root="Tagging")
def get_bucket_tagging(call: Call, _given: dict[str, Any]) -> dict[str, Any]:
    """The bucket's tags."""
    document = call.access.setting("tagging")
    if document is None:
        raise AWSError("NoSuchTagSet", "The TagSet does not exist")
    return {"TagSet": _set_of(json.loads(document))}


@actions.action("PutBucketTagging", "Tagging")
def put_bucket_tagging(call: Call, given: dict[str, Any]) -> Any:
    """Give the bucket other tags."""
    tags = _asked(given, limits.TAGS)
    call.set_setting("tagging", json.dumps(tags))


@actions.action("DeleteBucketTagging")
def delete_bucket_tagging(call: Call, _given: dict[str, Any]) -> None:
    """Take the bucket's tags away."""
    call.set_setting("tagging", None)


@actions.action("GetObjectTagging", "VersionId", root="Tagging")
def get_object_tagging(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """An object's tags."""
    stored = call.buckets.head(call.name, call.key, version_id=given.get("VersionId"))
    return {
        "TagSet": _set_of(stored.tags),
        **version_member(call.bucket, stored.version_id),
    }


@actions.action("PutObjectTagging", "Tagging", "VersionId")
def put_object_tagging(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Give an object other tags."""
    return _set(call, given, _asked(given, limits.OBJECT_TAGS))


@actions.action("DeleteObjectTagging", "VersionId")
def delete_object_tagging(call: Call, given: dict[str, Any]) -> dict[str, Any]:
    """Take an object's tags away."""
    return _set(call, given, {})


def tags_of(tag_set: Iterable[Mapping[str, str]], most: int) -> dict[str, str]:
    """Return the tags of a document. Raises `AWSError`."""
    return checked_tags([(tag["Key"], tag["Value"]) for tag in tag_set], most)


def checked_tags(pairs: Sequence[tuple[str, str]], most: int) -> dict[str, str]:
    """Return tags that S3 allows. Raises `AWSError`."""
    tags = dict(pairs)
    if len(tags) < len(pairs):
        raise AWSError("InvalidTag", "Cannot provide multiple Tags with the same key")
    if len(tags) > most:
        raise AWSError("BadRequest", f"Object tags cannot be greater than {most}")
    if any(name.lower().startswith("aws:") for name in tags):
        raise AWSError("InvalidTag", "System tags cannot be added/updated by requester")
    try:
        check_tags(tags, most)
    except InvalidValue as error:
        raise AWSError("InvalidTag", str(error)) from None
    return tags


def _asked(given: Mapping[str, Any], most: int) -> dict[str, str]:
    if "Tagging" not in given:
        raise AWSError("MissingRequestBodyError", "Request body is empty.")
    return tags_of(given["Tagging"]["TagSet"], most)


def _set(call: Call, given: Mapping[str, Any], tags: dict[str, str]) -> dict[str, Any]:
    stored = call.buckets.set_tags(call.name, call.key, tags, version_id=given.get("VersionId"))
    return version_member(call.bucket, stored.version_id)


def _set_of(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
