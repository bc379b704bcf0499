"""Uploads by a browser's form, allowed by a policy that was signed before.

Sources: "POST Object" (S3 API), "Browser-Based Uploads Using POST".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import attrs

from pycloud.aws.callers import Keys
from pycloud.aws.errors import AWSError
from pycloud.aws.models import service_model
from pycloud.aws.post_policy import SignedUpload, authenticate_upload
from pycloud.aws.requests import SignatureError
from pycloud.aws.rest_reader import element_reader, parsed
from pycloud.aws.writer import text_of
from pycloud.s3.access import Asker, Gate
from pycloud.s3.body import open_body
from pycloud.s3.call import Call, Reply
from pycloud.s3.form import Form, FormFile, read_form
from pycloud.s3.headers import quoted
from pycloud.s3.put import about_of, expected_of
from pycloud.s3.put import actions as put_actions
from pycloud.s3.request import S3Request
from pycloud.s3.signing import Looked
from pycloud.s3.tagging import tags_of
from pycloud.storage.records import StoredObject

_PUT: Final = put_actions.by_name["PutObject"]
_RENAMED: Final = {"acl": "x-amz-acl"}
_KEPT: Final = ("host", "origin", "user-agent", "referer")
_STATUSES: Final = {"200": 200, "201": 201}


def is_upload(request: S3Request) -> bool:
    """Return whether the request is a form."""
    kind = request.headers.get("content-type", "").lower()
    return (
        request.method == "POST"
        and request.level == "bucket"
        and not request.query
        and kind.startswith("multipart/form-data")
    )


def upload(call: Call, keys: Keys) -> Reply:
    """Store the form's file. Raises `AWSError`, `SignatureError`, and what the store raises."""
    request = call.request
    form = read_form(request.headers["content-type"], open_body(request, None))
    key = form.fields.get("key", "").replace("${filename}", form.file_name)
    if not key:
        raise AWSError("InvalidArgument", "Bucket POST must contain a field named 'key'.")
    fields = {**form.fields, "key": key}
    looked = Looked(keys, fields.get("x-amz-security-token"))
    allowed = authenticate_upload(fields, looked.secret_of, call.now, bucket=call.name)
    made = _call_of(call, fields, key, looked if allowed is not None else None)
    made.access.check("s3:PutObject", key)
    _hold_to_size(form.file, allowed)
    given = _given(made, form)
    stored = made.buckets.put(
        call.name, key, form.file, about=about_of(made, given), expected=expected_of(made)
    )
    return _reply(made, fields, stored)


def _call_of(call: Call, fields: Mapping[str, str], key: str, looked: Looked | None) -> Call:
    """Return the same request as if its fields had been headers, by whoever signed the policy."""
    kept = {name: call.request.headers[name] for name in _KEPT if name in call.request.headers}
    headers = {_RENAMED.get(name, name): text for name, text in fields.items()} | kept
    request = attrs.evolve(call.request, key=key, headers=headers)
    asker = Asker(request, None if looked is None else looked.caller, None, call.now)
    return attrs.evolve(
        call,
        request=request,
        action=_PUT,
        asker=asker,
        gate=Gate(call.buckets, call.bucket, asker),
    )


def _given(call: Call, form: Form) -> dict[str, Any]:
    """Return what the fields say of the object, by the members of PutObject."""
    headers = {
        name: text.encode().decode("latin-1")
        for name, text in call.request.headers.items()
        if name != "content-length"
    }
    given = _PUT.read(headers, {})
    if "tagging" in form.fields:
        shape = service_model("s3").shape_for("Tagging")
        document = element_reader(shape)(parsed(form.fields["tagging"].encode()))
        given["Tagging"] = urlencode(tags_of(document["TagSet"], 50))
    return given


def _hold_to_size(file: FormFile, allowed: SignedUpload | None) -> None:
    if allowed is None:
        return

    def check(size_bytes: int, ended: bool) -> None:
        try:
            allowed.check_size(size_bytes)
        except SignatureError as refusal:
            if ended or refusal.code == "EntityTooLarge":
                raise

    file.check_size = check


def _reply(call: Call, fields: Mapping[str, str], stored: StoredObject) -> Reply:
    location = call.request.url_of(call.name, stored.key)
    headers = [("ETag", quoted(stored.etag)), ("Location", location)]
    if call.bucket.versioning:
        headers.append(("x-amz-version-id", stored.version_id))
    target = fields.get("success_action_redirect") or fields.get("redirect")
    if target and urlsplit(target).scheme in ("http", "https") and target.isprintable():
        headers[1] = ("Location", _redirected(target, call.name, stored))
        return Reply(status=303, headers=tuple(headers))
    status = _STATUSES.get(fields.get("success_action_status", ""), 204)
    if status != 201:
        return Reply(status=status, headers=tuple(headers))
    document = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<PostResponse><Location>{text_of(location)}</Location><Bucket>{call.name}</Bucket>"
        f"<Key>{text_of(stored.key)}</Key><ETag>{text_of(quoted(stored.etag))}</ETag></PostResponse>"
    )
    return Reply(
        status=status,
        headers=(*headers, ("Content-Type", "application/xml")),
        document=document,
    )


def _redirected(target: str, bucket: str, stored: StoredObject) -> str:
    parts = urlsplit(target)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    pairs += [("bucket", bucket), ("key", stored.key), ("etag", quoted(stored.etag))]
    return urlunsplit(parts._replace(query=urlencode(pairs)))
