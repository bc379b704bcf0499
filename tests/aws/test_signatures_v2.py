"""Signature Version 2: AWS's published examples for S3, botocore's signers, and tampered parts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
from botocore.auth import HmacV1Auth, HmacV1QueryAuth, SigV2Auth
from botocore.awsrequest import AWSRequest
from hypothesis import given, settings
from hypothesis import strategies as st

from pycloud.aws.requests import UNSIGNED, SignedRequest
from tests.aws.clients import (
    CREDENTIALS,
    FORM,
    KEY_ID,
    check,
    now,
    received,
    refusal,
    signed,
    signed_v2,
    with_header,
)

LATER = timedelta(seconds=1)


def documented(
    method: str,
    path: str,
    signature: str,
    at: str,
    *,
    query: str = "",
    bucket: str | None = "johnsmith",
    **headers: str,
) -> SignedRequest:
    """An example of "Signing and authenticating REST requests" (S3, version 2)."""
    head = {name.replace("_", "-"): value for name, value in headers.items()}
    head |= {"date": at, "authorization": f"AWS {KEY_ID}:{signature}"}
    host = "s3.amazonaws.com" if bucket is None else f"{bucket}.s3.amazonaws.com"
    return SignedRequest(method, path, query, head, host, body_sha256=None, bucket=bucket)


DAY = "Tue, 27 Mar 2007"
DOCUMENTED = {
    "get": documented(
        "GET", "/photos/puppy.jpg", "bWq2s1WEIj+Ydj0vQ697zp+IXMU=", f"{DAY} 19:36:42 +0000"
    ),
    "put": documented(
        "PUT",
        "/photos/puppy.jpg",
        "MyyxeRY7whkBe+bq8fHCL/2kKUg=",
        f"{DAY} 21:15:45 +0000",
        content_type="image/jpeg",
        content_length="94328",
    ),
    "list": documented(
        "GET",
        "/",
        "htDYFYduRNen8P9ZfE/s9SuKy0U=",
        f"{DAY} 19:42:41 +0000",
        query="prefix=photos&max-keys=50&marker=puppy",
    ),
    "fetch": documented(
        "GET", "/", "c2WLPFtWHVgbEmeEG93a4cG37dM=", f"{DAY} 19:44:46 +0000", query="acl"
    ),
    "list all": documented(
        "GET",
        "/",
        "qGdzdERIC03wnaRNKh6OqZehG9s=",
        "Wed, 28 Mar 2007 01:29:59 +0000",
        bucket=None,
    ),
    "unicode": documented(
        "GET",
        "/dictionary/fran%C3%A7ais/pr%c3%a9f%c3%a8re",
        "DNEZGsoieTZ92F3bUfSPQcbGmlM=",
        "Wed, 28 Mar 2007 01:49:49 +0000",
        bucket=None,
    ),
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_documented_examples_are_accepted(name: str) -> None:
    request = DOCUMENTED[name]
    at = datetime.strptime(request.headers["date"], "%a, %d %b %Y %H:%M:%S %z")
    found = check(request, "s3", at)
    assert (found.how, found.version, found.payload) == ("header", 2, UNSIGNED)
    assert (
        refusal(attrs.evolve(request, path=f"{request.path}x"), "s3", at) == "SignatureDoesNotMatch"
    )
    assert refusal(request, "s3", at + timedelta(minutes=16)) == "RequestTimeTooSkewed"


def test_the_documented_presigned_request_is_accepted_until_it_expires() -> None:
    query = f"AWSAccessKeyId={KEY_ID}&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D&Expires=1175139620"
    request = SignedRequest("GET", "/photos/puppy.jpg", query, {}, "c", bucket="johnsmith")
    end = datetime.fromtimestamp(1175139620, UTC)
    assert check(request, "s3", end).how == "query"
    assert refusal(request, "s3", end + LATER) == "AccessDenied"
    unencoded = query.replace("%2B", "+").replace("%3D", "=")
    check(attrs.evolve(request, query=unencoded), "s3", end)
    longer = attrs.evolve(request, query=query.replace("1175139620", "1175139621"))
    assert refusal(longer, "s3", end) == "SignatureDoesNotMatch"


# S3, by botocore


def s3(method: str = "GET", url: str = "http://c/b/k", **headers: str) -> SignedRequest:
    return signed(HmacV1Auth(CREDENTIALS), method, url, headers=headers)


def presigned(url: str = "http://c/b/k", **headers: str) -> SignedRequest:
    return signed(HmacV1QueryAuth(CREDENTIALS), "PUT", url, headers=headers)


@pytest.mark.parametrize(
    "query",
    ["acl", "acl=", "prefix=a", "uploadId=a%2Bb%3D&partNumber=1", "versions&x=y", "torrent&acl"],
)
def test_sub_resources(query: str) -> None:
    check(s3(url=f"http://c/b/k?{query}"), "s3")
    check(presigned(f"http://c/b/k?{query}"), "s3")


def test_overridden_response_headers_are_signed_decoded() -> None:
    request = s3(
        url="http://c/b/k?response-content-disposition=attachment%3B%20filename%3D%22a%2Bb%22"
    )
    check(request, "s3")
    other = request.query.replace("a%2Bb", "b%2Bb")
    assert refusal(attrs.evolve(request, query=other), "s3") == "SignatureDoesNotMatch"


def test_a_sub_resource_cannot_be_added_to_a_signed_request() -> None:
    for name in (
        "acl",
        "policy",
        "encryption",
        "publicAccessBlock",
        "legal-hold",
        "tagging",
        "cors",
    ):
        added = attrs.evolve(s3("PUT"), query=name)
        assert refusal(added, "s3") == "SignatureDoesNotMatch", name


def test_every_signed_part_of_the_head() -> None:
    request = s3("PUT", **{"Content-Type": "a/b", "Content-MD5": "x", "x-amz-meta-a": "  1   2 "})
    check(request, "s3")
    changes = {
        "content-type": "a/c",
        "content-md5": "y",
        "x-amz-meta-a": "3",
        "x-amz-acl": "private",
    }
    for name, value in changes.items():
        assert refusal(with_header(request, name, value), "s3") == "SignatureDoesNotMatch", name
    assert refusal(attrs.evolve(request, method="DELETE"), "s3") == "SignatureDoesNotMatch"
    moved = (now() - timedelta(minutes=1)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    assert refusal(with_header(request, "date", moved), "s3") == "SignatureDoesNotMatch"


@pytest.mark.parametrize("bucket", ["/b", "/services/Walrus/b", "/services/objectstorage/b"])
def test_a_bucket_may_be_signed_with_a_slash_that_is_not_sent_but_a_key_may_not(
    bucket: str,
) -> None:
    request = s3(url=f"http://c{bucket}/?acl")
    check(attrs.evolve(request, path=bucket), "s3")
    request = s3(url=f"http://c{bucket}/k/")
    assert refusal(attrs.evolve(request, path=f"{bucket}/k"), "s3") == "SignatureDoesNotMatch"


def test_the_bucket_of_a_virtual_host_is_signed() -> None:
    request = AWSRequest("GET", "http://b.c/k?acl", auth_path="/b/k")
    HmacV1Auth(CREDENTIALS).add_auth(request)
    at_host = attrs.evolve(received(request), bucket="b")
    check(at_host, "s3")
    assert refusal(attrs.evolve(at_host, bucket="other"), "s3") == "SignatureDoesNotMatch"


def test_amz_date_takes_the_place_of_date() -> None:
    blank = AWSRequest("GET", "http://c/b/k", {"x-amz-date": s3().headers["date"]})
    signer = HmacV1Auth(CREDENTIALS)
    signer._get_date = lambda: ""
    signer.add_auth(blank)
    sent = received(blank)
    check(with_header(sent, "date", "whatever a proxy says"), "s3")
    assert refusal(with_header(sent, "x-amz-date", ""), "s3") == "AccessDenied"


def test_headers_that_are_signed_in_the_query() -> None:
    request = presigned(**{"x-amz-acl": "private", "Content-Type": "a/b"})
    assert "x-amz-acl=private" in request.query
    bare = attrs.evolve(request, headers={})
    check(bare, "s3")
    changed = bare.query.replace("x-amz-acl=private", "x-amz-acl=public-read")
    assert refusal(attrs.evolve(bare, query=changed), "s3") == "SignatureDoesNotMatch"
    for added in (f"x-amz-acl=public-read&{bare.query}", f"{bare.query}&x-amz-acl=public-read"):
        assert refusal(attrs.evolve(bare, query=added), "s3") == "SignatureDoesNotMatch"
    for name, value in (("x-amz-acl", "public-read"), ("content-type", "c/d"), ("x-amz-a", "b")):
        assert refusal(with_header(bare, name, value), "s3") == "SignatureDoesNotMatch"


def test_a_presigned_request_expires() -> None:
    assert refusal(presigned(), "s3", now() + timedelta(hours=1, seconds=2)) == "AccessDenied"


@pytest.mark.parametrize("header", ["AWS", "AWS ", f"AWS {KEY_ID}", "AWS :x", "AWS a:"])
def test_malformed_headers(header: str) -> None:
    assert refusal(with_header(s3(), "authorization", header), "s3") == "InvalidArgument"


def test_who_has_no_key_is_told_so_by_s3() -> None:
    header = s3().headers["authorization"].replace(KEY_ID, "AKIAUNKNOWN")
    assert refusal(with_header(s3(), "authorization", header), "s3") == "InvalidAccessKeyId"


def test_v2_signs_no_chunks() -> None:
    request = s3("PUT", **{"x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"})
    assert refusal(request, "s3") == "InvalidArgument"


# EC2


def ec2(method: str, **params: str) -> SignedRequest:
    """Signed by botocore."""
    params = {"Action": "DescribeImages", "Owner.1": "self"} | params
    data: Any = params if method == "POST" else b""
    headers = {"Content-Type": FORM} if method == "POST" else {}
    url = "http://cloud:8773/services/Eucalyptus/"
    request = AWSRequest(method, url, headers, data, params=params if method == "GET" else {})
    SigV2Auth(CREDENTIALS).add_auth(request)
    return received(request)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_ec2_by_get_and_post(method: str) -> None:
    found = check(ec2(method, Value="a b+c=é~/*", Empty=""), "ec2")
    assert (found.version, found.how) == (2, "query")


@settings(max_examples=100, deadline=None)
@given(
    params=st.dictionaries(
        st.from_regex(r"[A-Za-z][A-Za-z0-9.]{0,6}", fullmatch=True),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        max_size=5,
    ),
    method=st.sampled_from(["GET", "POST"]),
    digest=st.sampled_from(["HmacSHA256", "HmacSHA1"]),
)
def test_any_parameters(params: dict[str, str], method: str, digest: str) -> None:
    check(ec2(method, **params), "ec2")
    check(signed_v2(method, "http://cloud:8773/", params, digest=digest), "ec2")


@pytest.mark.parametrize("digest", ["HmacSHA256", "HmacSHA1"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_every_parameter_is_signed(method: str, digest: str) -> None:
    request = signed_v2(method, "http://cloud:8773/x", {"Action": "A", "B": "b"}, digest=digest)
    check(request, "ec2")
    for tampered in (
        attrs.evolve(request, method="PUT"),
        attrs.evolve(request, path="/y"),
        attrs.evolve(request, host="cloud:8774"),
        attrs.evolve(request, query=request.query.replace("Action=A", "Action=B") + "&C=c"),
        attrs.evolve(request, form=(*request.form, ("C", "c"))),
        attrs.evolve(request, form=(*request.form, ("Action", "B"))),
    ):
        assert refusal(tampered, "ec2") == "AuthFailure"


def test_a_parameter_moved_between_query_and_form_is_still_signed_once() -> None:
    request = signed_v2("POST", "http://cloud/", {"Action": "A"})
    assert refusal(attrs.evolve(request, query="Action=B"), "ec2") == "AuthFailure"
    twice = attrs.evolve(request, query=f"AWSAccessKeyId={KEY_ID}")
    assert refusal(twice, "ec2") == "IncompleteSignature"


def test_a_timestamp_holds_fifteen_minutes_and_an_expiry_until_it_is_over() -> None:
    request = signed_v2("GET", "http://cloud/", {})
    assert refusal(request, "ec2", now() + timedelta(minutes=16)) == "RequestExpired"
    assert refusal(request, "ec2", now() - timedelta(minutes=16)) == "RequestExpired"
    assert (
        refusal(signed_v2("GET", "http://cloud/", {"Timestamp": "then"}), "ec2")
        == "IncompleteSignature"
    )
    fraction = now().strftime("%Y-%m-%dT%H:%M:%S.000Z")
    check(signed_v2("GET", "http://cloud/", {"Timestamp": fraction}), "ec2")
    both = signed_v2("GET", "http://cloud/", {"Expires": fraction})
    assert refusal(both, "ec2") == "IncompleteSignature"


def test_an_expiry_in_place_of_a_timestamp() -> None:
    end = now().replace(microsecond=0) + timedelta(hours=5)
    request = signed_v2(
        "GET", "http://cloud/", {"Expires": end.strftime("%Y-%m-%dT%H:%M:%SZ")}, dated=False
    )
    assert refusal(request, "ec2", end) == ""
    assert refusal(request, "ec2", end + LATER) == "RequestExpired"


def test_other_methods_and_versions_are_refused() -> None:
    assert (
        refusal(signed_v2("GET", "http://c/", {"SignatureVersion": "1"}), "ec2")
        == "IncompleteSignature"
    )
    request = signed_v2("GET", "http://c/", {})
    md5 = attrs.evolve(request, query=request.query.replace("HmacSHA256", "HmacMD5"))
    assert refusal(md5, "ec2") == "IncompleteSignature"


def test_unknown_keys_and_wrong_secrets_sound_the_same() -> None:
    request = signed_v2("GET", "http://cloud/", {})
    unknown = attrs.evolve(request, query=request.query.replace(KEY_ID, "AKIAUNKNOWN"))
    assert refusal(unknown, "ec2") == "AuthFailure"
