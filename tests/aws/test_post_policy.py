"""Uploads by a browser's form: policies signed by botocore, and forms that do not keep to them."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.auth import HmacV1PostAuth, S3SigV4PostAuth
from botocore.awsrequest import AWSRequest
from hypothesis import given
from hypothesis import strategies as st

from pycloud import limits
from pycloud.aws.keys import Secret
from pycloud.aws.post_policy import SignedUpload, authenticate_upload
from pycloud.aws.requests import SignatureError
from tests.aws.clients import CREDENTIALS, KEY_ID, SECRET, secret_of

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
SOON = "2024-05-01T12:00:01.000Z"
BUCKET = {"bucket": "pictures"}
KEY = ["starts-with", "$key", "user/"]


def form(
    signer: type, conditions: list[Any], fields: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the fields of a form as botocore makes it, by lower-case name."""
    request = AWSRequest("POST", "http://cloud/pictures")
    request.context["s3-presign-post-fields"] = dict(
        {"key": "user/a"} if fields is None else fields
    )
    request.context["s3-presign-post-policy"] = {"expiration": SOON, "conditions": list(conditions)}
    args = ("s3", "us-east-1") if signer is S3SigV4PostAuth else ()
    signer(CREDENTIALS, *args).add_auth(request)
    return {
        name.lower(): value for name, value in request.context["s3-presign-post-fields"].items()
    }


def form_of(policy: Any, **fields: str) -> dict[str, str]:
    """Return a form with any text for a policy, signed rightly with V2."""
    text = policy if isinstance(policy, str) else json.dumps(policy)
    encoded = b64encode(text.encode())
    signature = Secret(KEY_ID, SECRET).sign_v2(encoded, "sha1")
    signed = {"awsaccesskeyid": KEY_ID, "signature": signature, "policy": encoded.decode()}
    return signed | fields


def upload(fields: Mapping[str, str], at: datetime = NOW, bucket: str = "pictures") -> SignedUpload:
    found = authenticate_upload(fields, secret_of, at, bucket=bucket)
    assert found is not None
    return found


def refusal(fields: Mapping[str, str], at: datetime = NOW, bucket: str = "pictures") -> str:
    with pytest.raises(SignatureError) as caught:
        upload(fields, at, bucket)
    return caught.value.code


SIGNERS = pytest.mark.parametrize("signer", [HmacV1PostAuth, S3SigV4PostAuth])


@SIGNERS
def test_a_form_signed_by_botocore(signer: type) -> None:
    fields = form(signer, [BUCKET, KEY, {"acl": "private"}], {"key": "user/a", "acl": "private"})
    assert upload(fields).access_key_id == KEY_ID


@SIGNERS
def test_every_tampered_part_is_refused(signer: type) -> None:
    fields = form(signer, [BUCKET, KEY])
    signature = "signature" if signer is HmacV1PostAuth else "x-amz-signature"
    other = json.dumps({"expiration": SOON, "conditions": [BUCKET]})
    assert (
        refusal(fields | {"policy": b64encode(other.encode()).decode()}) == "SignatureDoesNotMatch"
    )
    assert refusal(fields | {signature: "0" * 64}) == "SignatureDoesNotMatch"
    assert refusal(fields | {"key": "other/a"}) == "AccessDenied"
    assert refusal(fields | {"acl": "public-read"}) == "AccessDenied"
    assert refusal(fields, bucket="other") == "AccessDenied"
    upload(fields, NOW + timedelta(seconds=1))
    assert refusal(fields, NOW + timedelta(seconds=2)) == "AccessDenied"


def test_the_fields_of_v4_belong_together() -> None:
    fields = form(S3SigV4PostAuth, [BUCKET, KEY])
    unknown = fields["x-amz-credential"].replace(KEY_ID, "AKIAUNKNOWN")
    assert refusal(fields | {"x-amz-credential": unknown}) == "InvalidAccessKeyId"
    assert refusal(fields | {"x-amz-date": "20130524T000000Z"}) == "InvalidArgument"
    assert refusal(fields | {"x-amz-algorithm": "AWS4-HMAC-SHA1"}) == "InvalidArgument"
    for name in ("x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"):
        assert refusal({key: value for key, value in fields.items() if key != name}), name
    both = fields | form(HmacV1PostAuth, [BUCKET, KEY])
    assert refusal(both) == "InvalidArgument"


def test_a_form_that_nobody_signed() -> None:
    assert authenticate_upload({"key": "a"}, secret_of, NOW, bucket="pictures") is None
    assert refusal({"key": "a", "x-amz-signature": "0"}) == "InvalidArgument"
    assert refusal({"key": "a", "policy": "e30="}) == "InvalidArgument"


def test_every_field_needs_a_condition() -> None:
    fields = {"key": "user/a", "x-amz-meta-a": "1", "x-ignore-this": "2"}
    assert refusal(form(HmacV1PostAuth, [BUCKET, KEY], fields)) == "AccessDenied"
    upload(form(HmacV1PostAuth, [BUCKET, KEY, ["eq", "$x-amz-meta-a", "1"]], fields))


def test_a_condition_needs_its_field() -> None:
    assert refusal(form(HmacV1PostAuth, [BUCKET, KEY, {"acl": "private"}])) == "AccessDenied"
    upload(form(HmacV1PostAuth, [BUCKET, KEY, ["starts-with", "$acl", ""]]))


def test_names_and_operators_may_be_written_in_any_case_but_values_may_not() -> None:
    fields = {"Key": "user/a", "Content-Type": "image/png"}
    conditions = [BUCKET, ["EQ", "$KEY", "user/a"], ["Starts-With", "$content-TYPE", "image/"]]
    upload(form(HmacV1PostAuth, conditions, fields))
    assert refusal(form(HmacV1PostAuth, conditions, {**fields, "Key": "USER/a"})) == "AccessDenied"


def test_each_of_several_content_types_begins_as_it_must() -> None:
    conditions = [BUCKET, KEY, ["starts-with", "$Content-Type", "image/"]]
    fields = {"key": "user/a", "Content-Type": "image/png, image/gif"}
    upload(form(HmacV1PostAuth, conditions, fields))
    fields["Content-Type"] = "image/png,text/html"
    assert refusal(form(HmacV1PostAuth, conditions, fields)) == "AccessDenied"


def test_the_bucket_is_where_the_form_is_sent_whatever_it_says() -> None:
    fields = form(HmacV1PostAuth, [BUCKET, KEY], {"key": "user/a", "bucket": "pictures"})
    upload(fields)
    assert refusal(fields, bucket="other") == "AccessDenied"


def test_sizes() -> None:
    ranges = [["content-length-range", 2, 10], ["content-length-range", "3", "20"]]
    for some in (ranges, ranges[::-1]):
        found = upload(form(HmacV1PostAuth, [BUCKET, KEY, *some]))
        assert (found.min_bytes, found.max_bytes) == (3, 10)
    found.check_size(3)
    found.check_size(10)
    for size, code in [(2, "EntityTooSmall"), (11, "EntityTooLarge")]:
        with pytest.raises(SignatureError) as caught:
            found.check_size(size)
        assert caught.value.code == code
    upload(form(HmacV1PostAuth, [BUCKET, KEY])).check_size(10**15)


def test_a_dollar_sign_may_be_escaped() -> None:
    text = json.dumps({"expiration": SOON, "conditions": [{"key": "a@\\b"}]}).replace("@", "\\$")
    upload(form_of(text, key="a$\\b"))


@pytest.mark.parametrize(
    "policy",
    [
        "",
        "null",
        "[]",
        "{",
        "[" * 10_000,
        {"conditions": []},
        {"expiration": "soon", "conditions": []},
        {"expiration": 5, "conditions": []},
        {"expiration": SOON},
        {"expiration": SOON, "conditions": {}},
        {"expiration": SOON, "conditions": [{}]},
        {"expiration": SOON, "conditions": [{"a": "1", "b": "2"}]},
        {"expiration": SOON, "conditions": [{"a": 1}]},
        {"expiration": SOON, "conditions": [["eq", "key", "a"]]},
        {"expiration": SOON, "conditions": [["ends-with", "$key", "a"]]},
        {"expiration": SOON, "conditions": [["eq", "$key", ["a"]]]},
        {"expiration": SOON, "conditions": [["content-length-range", 1]]},
        {"expiration": SOON, "conditions": [["content-length-range", -1, 2]]},
        {"expiration": SOON, "conditions": [["content-length-range", True, 2]]},
        {"expiration": SOON, "conditions": ["key"]},
        {"expiration": SOON, "conditions": [], "x": "a" * limits.POST_POLICY_BYTES},
    ],
)
def test_policies_that_are_none(policy: Any) -> None:
    assert refusal(form_of(policy)) in ("InvalidPolicyDocument", "InvalidArgument")
    if policy:
        assert refusal(form_of(policy)) == "InvalidPolicyDocument"


def test_an_oversized_policy_is_not_even_hashed() -> None:
    assert refusal({"policy": "a" * (limits.POST_POLICY_BYTES + 1)}) == "InvalidPolicyDocument"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
)


@given(conditions=st.lists(JSON, max_size=3), expiration=JSON)
def test_whatever_is_signed_is_refused_in_words(conditions: list[Any], expiration: Any) -> None:
    fields = form_of({"expiration": expiration, "conditions": conditions}, key="a")
    assert refusal(fields) == "InvalidPolicyDocument"
    fields = form_of({"expiration": SOON, "conditions": conditions}, key="a")
    assert refusal(fields) in ("InvalidPolicyDocument", "AccessDenied")
