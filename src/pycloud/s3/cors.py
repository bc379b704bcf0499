"""CORS: which pages of other sites a browser lets use a bucket.

Source: "Using cross-origin resource sharing (CORS)" (S3 user guide).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pycloud import limits
from pycloud.aws.errors import AWSError
from pycloud.s3.call import Call, Reply, new_actions
from pycloud.s3.request import S3Request
from pycloud.s3.wildcards import matches
from pycloud.storage.buckets import BucketStore

actions = new_actions()

Rule = Mapping[str, Any]

_METHODS = frozenset({"GET", "PUT", "POST", "DELETE", "HEAD"})


@actions.action("GetBucketCors", root="CORSConfiguration")
def get_bucket_cors(call: Call, _given: dict[str, Any]) -> dict[str, Any]:
    """The rules, as they were given."""
    document = call.access.setting("cors")
    if document is None:
        raise AWSError("NoSuchCORSConfiguration", "The CORS configuration does not exist")
    return {"CORSRules": json.loads(document)}


@actions.action("PutBucketCors", "CORSConfiguration")
def put_bucket_cors(call: Call, given: dict[str, Any]) -> None:
    """Give the bucket rules."""
    rules = given.get("CORSConfiguration", {}).get("CORSRules", [])
    if not 1 <= len(rules) <= limits.CORS_RULES:
        raise AWSError("MalformedXML", f"There are 1 to {limits.CORS_RULES} rules")
    for rule in rules:
        _check(rule)
    call.set_setting("cors", json.dumps(rules))


@actions.action("DeleteBucketCors")
def delete_bucket_cors(call: Call, _given: dict[str, Any]) -> None:
    """Take the rules away."""
    call.set_setting("cors", None)


def preflight(buckets: BucketStore, request: S3Request) -> Reply:
    """Answer a browser that asks whether a page may send a request. Raises `AWSError`."""
    origin = request.headers.get("origin")
    method = request.headers.get("access-control-request-method")
    if origin is None:
        raise AWSError("BadRequest", "Insufficient information. Origin request header needed.")
    if method not in _METHODS:
        raise AWSError("BadRequest", f"Invalid Access-Control-Request-Method: {str(method)[:40]}")
    wanted = [
        name.strip().lower()
        for name in request.headers.get("access-control-request-headers", "").split(",")
        if name.strip()
    ]
    document = buckets.setting(request.bucket, "cors") if request.bucket else None
    if document is None:
        raise AWSError("AccessForbidden", "CORSResponse: CORS is not enabled for this bucket.")
    rule = _rule_for(json.loads(document), origin, method, wanted)
    if rule is None:
        raise AWSError(
            "AccessForbidden",
            "CORSResponse: This CORS request is not allowed. This is usually because the evaluation of "
            "Origin, request method / Access-Control-Request-Method or Access-Control-Request-Headers "
            "are not whitelisted by the resource's CORS spec.",
        )
    headers = _headers(rule, origin)
    if wanted:
        headers.append(("Access-Control-Allow-Headers", ", ".join(wanted)))
    return Reply(headers=tuple(headers))


def headers_for(document: str | None, request: S3Request) -> list[tuple[str, str]]:
    """Return what lets a page see the answer; nothing if no rule does."""
    if document is None:
        return []
    origin = request.headers["origin"]
    rule = _rule_for(json.loads(document), origin, request.method, [])
    return [] if rule is None else _headers(rule, origin)


def _rule_for(
    rules: Sequence[Rule], origin: str, method: str, wanted: Sequence[str]
) -> Rule | None:
    for rule in rules:
        allowed = [name.lower() for name in rule.get("AllowedHeaders", [])]
        if (
            method in rule["AllowedMethods"]
            and any(matches(one, origin) for one in rule["AllowedOrigins"])
            and all(any(matches(one, name) for one in allowed) for name in wanted)
        ):
            return rule
    return None


def _headers(rule: Rule, origin: str) -> list[tuple[str, str]]:
    anybody = "*" in rule["AllowedOrigins"]
    headers = [
        ("Access-Control-Allow-Origin", "*" if anybody else origin),
        ("Access-Control-Allow-Methods", ", ".join(rule["AllowedMethods"])),
        ("Vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"),
    ]
    if not anybody:
        headers.append(("Access-Control-Allow-Credentials", "true"))
    if rule.get("ExposeHeaders"):
        headers.append(("Access-Control-Expose-Headers", ", ".join(rule["ExposeHeaders"])))
    if rule.get("MaxAgeSeconds") is not None:
        headers.append(("Access-Control-Max-Age", str(rule["MaxAgeSeconds"])))
    return headers


def _check(rule: Rule) -> None:
    for method in rule["AllowedMethods"]:
        if method not in _METHODS:
            raise AWSError(
                "InvalidRequest",
                f"Found unsupported HTTP method in CORS config. Unsupported method is {method[:40]}",
            )
    for name in ("AllowedOrigins", "AllowedHeaders"):
        if any(text.count("*") > 1 for text in rule.get(name, [])):
            raise AWSError("InvalidRequest", f"{name} can not have more than one wildcard.")
    texts = [*rule["AllowedOrigins"], *rule.get("ExposeHeaders", [])]
    if not all(text.isprintable() and text.isascii() for text in texts):
        raise AWSError("InvalidRequest", "A rule has a character that a header cannot carry")
