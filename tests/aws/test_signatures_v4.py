"""Signature Version 4: AWS's published examples, botocore's signers, and every tampered part."""

from __future__ import annotations

import hashlib
import io
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import attrs
import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from hypothesis import given, settings
from hypothesis import strategies as st

from pycloud import limits
from pycloud.aws.payloads import HashedBody
from pycloud.aws.requests import EMPTY_SHA256, UNSIGNED, SignatureError, SignedRequest
from pycloud.aws.services import ServiceName
from pycloud.aws.signatures import authenticate
from pycloud.errors import InvalidValue
from tests.aws.clients import (
    CREDENTIALS,
    FORM,
    KEY_ID,
    check,
    now,
    refusal,
    secret_of,
    signed,
    with_header,
)

DOCUMENTED_AT = datetime(2013, 5, 24, tzinfo=UTC)
SCOPE = "20130524/us-east-1/s3/aws4_request"


def documented(
    method: str, path: str, query: str, headers: dict[str, str], signature: str
) -> SignedRequest:
    """An example of "Signature Calculations for the Authorization Header" (S3 API)."""
    head = {
        "host": "examplebucket.s3.amazonaws.com",
        "x-amz-content-sha256": EMPTY_SHA256,
    } | headers
    signed_headers = ";".join(sorted(head))
    head["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={KEY_ID}/{SCOPE},"
        f"SignedHeaders={signed_headers},Signature={signature}"
    )
    return SignedRequest(method, path, query, head, head["host"], body_sha256=None)


DATED = {"x-amz-date": "20130524T000000Z"}
WELCOME = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"
DOCUMENTED = [
    documented(
        "GET",
        "/test.txt",
        "",
        DATED | {"range": "bytes=0-9"},
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ),
    documented(
        "PUT",
        "/test$file.text",
        "",
        DATED
        | {
            "date": "Fri, 24 May 2013 00:00:00 GMT",
            "x-amz-storage-class": "REDUCED_REDUNDANCY",
            "x-amz-content-sha256": WELCOME,
        },
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    ),
    documented(
        "GET",
        "/",
        "lifecycle",
        DATED,
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    ),
    documented(
        "GET",
        "/",
        "max-keys=2&prefix=J",
        DATED,
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ),
]
PRESIGNED = SignedRequest(
    "GET",
    "/test.txt",
    "X-Amz-Algorithm=AWS4-HMAC-SHA256"
    "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
    "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
    "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
    {"host": "examplebucket.s3.amazonaws.com"},
    "examplebucket.s3.amazonaws.com",
)


@pytest.mark.parametrize("request_", DOCUMENTED)
def test_documented_examples_are_accepted(request_: SignedRequest) -> None:
    found = check(request_, "s3", DOCUMENTED_AT)
    assert (found.how, found.version, found.scope) == ("header", 4, SCOPE)


def test_the_documented_presigned_request_is_good_for_a_day() -> None:
    found = check(PRESIGNED, "s3", DOCUMENTED_AT + timedelta(days=1))
    assert (found.how, found.payload) == ("query", UNSIGNED)
    assert refusal(PRESIGNED, "s3", DOCUMENTED_AT + timedelta(days=1, seconds=1)) == "AccessDenied"
    early = DOCUMENTED_AT - timedelta(minutes=15)
    assert refusal(PRESIGNED, "s3", early) == ""
    assert refusal(PRESIGNED, "s3", early - timedelta(seconds=1)) == "AccessDenied"


# What the clients send


def ec2_post(**context: Any) -> SignedRequest:
    signer = SigV4Auth(CREDENTIALS, "ec2", "eucalyptus")
    data = {"Action": "RunInstances", "ImageId": "emi-1", "UserData": "a+b c/é=~"}
    return signed(
        signer,
        "POST",
        "http://cloud:8773/services/compute/",
        headers={"Content-Type": FORM},
        data=data,
        **context,
    )


def s3_get(path: str = "/bucket/key", query: str = "", **headers: str) -> SignedRequest:
    signer = S3SigV4Auth(CREDENTIALS, "s3", "us-east-1")
    url = f"http://s3.cloud:8773{path}" + (f"?{query}" if query else "")
    return signed(signer, "GET", url, headers=headers)


def presigned(service: ServiceName, expires: int = 60, query: str = "a=b") -> SignedRequest:
    kind = S3SigV4QueryAuth if service == "s3" else SigV4QueryAuth
    signer = kind(CREDENTIALS, service, "us-east-1", expires=expires)
    return signed(signer, "GET", f"http://cloud/bucket/key?{query}")


def test_ec2_by_post() -> None:
    found = check(ec2_post(), "ec2")
    assert found.scope.endswith("/eucalyptus/ec2/aws4_request")


@pytest.mark.parametrize("region", ["undefined-4711", "0", "eu-west-1"])
@pytest.mark.parametrize("name", ["127", "ec2", "sts"])
def test_the_scope_is_the_clients_own(region: str, name: str) -> None:
    request = signed(SigV4Auth(CREDENTIALS, name, region), "GET", "http://127.0.0.1/?Action=A")
    assert check(request, "ec2").scope.endswith(f"/{region}/{name}/aws4_request")


def test_a_query_given_as_parameters_is_signed_with_percent_20_and_sent_with_plus() -> None:
    signer = SigV4Auth(CREDENTIALS, "ec2", "x")
    request = signed(
        signer, "GET", "http://cloud/", params={"Name": "a b+c", "Empty": "", "é": "~"}
    )
    assert "a+b%2Bc" in request.query
    check(request, "ec2")


@pytest.mark.parametrize(
    "query",
    [
        "a+b=c+d",
        "a%20b=c%2Bd",
        "acl",
        "acl=",
        "a=2&a=1&a=",
        "x=%C3%A9",
        "x=%c3%a9",
        "x=a=b",
        "~=%7E",
    ],
)
def test_queries_as_sent(query: str) -> None:
    check(s3_get(query=query), "s3")
    check(presigned("ec2", query=query), "ec2")


@pytest.mark.parametrize(
    "path", ["/", "/b//k", "/b/./k", "/b/../k", "/b/a%2Fb", "/b/a+b%20c", "/b/%c3%a9", "/b/k!(*)'"]
)
def test_paths_of_s3_are_taken_as_they_are(path: str) -> None:
    check(s3_get(path), "s3")


@pytest.mark.parametrize(
    "path", ["", "/", "/a//b/", "/a/./b", "/a/../b", "/a%20b", "/services/compute"]
)
def test_paths_of_other_services_are_normalised(path: str) -> None:
    check(signed(SigV4Auth(CREDENTIALS, "ec2", "x"), "GET", f"http://cloud{path}"), "ec2")


def test_a_path_that_the_client_encodes_only_to_sign_is_accepted() -> None:
    check(attrs.evolve(s3_get("/b/a%20b%24"), path="/b/a b$"), "s3")


@pytest.mark.parametrize("sent", ["s3.cloud:80", "s3.cloud:443", "S3.Cloud", "s3.cloud"])
def test_a_default_port_may_be_lost_or_added_on_the_way(sent: str) -> None:
    request = signed(S3SigV4Auth(CREDENTIALS, "s3", "x"), "GET", "http://s3.cloud/b")
    check(attrs.evolve(with_header(request, "host", sent), host=sent), "s3")


def test_another_port_is_another_host() -> None:
    request = signed(S3SigV4Auth(CREDENTIALS, "s3", "x"), "GET", "http://s3.cloud/b")
    assert refusal(attrs.evolve(request, host="s3.cloud:8443"), "s3") == "SignatureDoesNotMatch"


@pytest.mark.parametrize("value", ["a   b", "  a ", 'a "b   c"', "", "a,  b"])
def test_inner_spaces_of_headers_are_one(value: str) -> None:
    check(s3_get(**{"x-amz-meta-a": value}), "s3")


def test_headers_beyond_ascii_are_signed_as_utf_8() -> None:
    request = s3_get(**{"x-amz-meta-a": "é à"})
    check(request, "s3")  # sent as Latin-1
    as_utf_8 = request.headers["x-amz-meta-a"].encode().decode("latin-1")
    check(with_header(request, "x-amz-meta-a", as_utf_8), "s3")


def test_the_date_header_serves_where_there_is_no_amz_date() -> None:
    check(
        signed(SigV4Auth(CREDENTIALS, "ec2", "x"), "GET", "http://c/", headers={"Date": "x"}), "ec2"
    )


def test_authorization_without_spaces_after_commas() -> None:
    request = s3_get()
    bare = request.headers["authorization"].replace(", ", ",")
    check(with_header(request, "authorization", bare), "s3")


SEGMENT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@settings(max_examples=150, deadline=None)
@given(
    key=st.lists(SEGMENT, max_size=4),
    pairs=st.lists(st.tuples(SEGMENT, st.text(max_size=6)), max_size=4),
    meta=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12),
)
def test_any_key_query_and_header_that_botocore_signs(
    key: list[str], pairs: list[tuple[str, str]], meta: str
) -> None:
    path = "/b/" + quote("/".join(key).encode("utf-8", "surrogatepass"), safe="/~")
    query = "&".join(
        f"{quote(name.encode('utf-8', 'surrogatepass'), safe='')}="
        f"{quote(value.encode('utf-8', 'surrogatepass'), safe='')}"
        for name, value in pairs
    )
    check(s3_get(path, query, **{"x-amz-meta-a": meta}), "s3")
    check(presigned("s3", query=query or "x"), "s3")
    check(signed(SigV4Auth(CREDENTIALS, "ec2", "x"), "GET", f"http://cloud{path}?{query}"), "ec2")


# What is refused


def test_every_tampered_part_is_refused() -> None:
    request = s3_get(query="acl=1&prefix=a", **{"x-amz-meta-a": "b", "range": "bytes=0-9"})
    check(request, "s3")
    tampered = [
        attrs.evolve(request, method="PUT"),
        attrs.evolve(request, path="/bucket/keys"),
        attrs.evolve(request, path="/bucket/Key"),
        attrs.evolve(request, query="acl=2&prefix=a"),
        attrs.evolve(request, query="acl=1&prefix=b"),
        attrs.evolve(request, query="acl=1&prefix=a&x=y"),
        attrs.evolve(request, query="acl=1"),
        attrs.evolve(request, host="s3.cloud:8774"),
        with_header(request, "x-amz-meta-a", "c"),
        with_header(request, "range", "bytes=0-99"),
        with_header(request, "x-amz-content-sha256", UNSIGNED),
        with_header(request, "x-amz-content-sha256", WELCOME),
    ]
    assert {refusal(one, "s3") for one in tampered} == {"SignatureDoesNotMatch"}
    moved = (now() - timedelta(minutes=1)).strftime("%Y%m%dT%H%M%SZ")
    assert refusal(with_header(request, "x-amz-date", moved), "s3") in (
        "SignatureDoesNotMatch",
        "AuthorizationHeaderMalformed",  # a minute after midnight
    )


def test_every_parameter_of_a_presigned_request_is_signed() -> None:
    request = presigned("s3", query="versionId=7")
    check(request, "s3")
    for part in request.query.split("&"):
        name, _, value = part.partition("=")
        if name == "X-Amz-Expires":
            changed = part.replace(value, "61")
        elif name == "X-Amz-Date":
            changed = part[:-3] + f"{(int(part[-3:-1]) + 1) % 60:02}Z"
        else:
            changed = part[:-1] + ("0" if part[-1] != "0" else "1")
        assert refusal(attrs.evolve(request, query=request.query.replace(part, changed)), "s3"), (
            name
        )
    assert refusal(attrs.evolve(request, method="DELETE"), "s3") == "SignatureDoesNotMatch"
    assert refusal(attrs.evolve(request, path="/bucket/other"), "s3") == "SignatureDoesNotMatch"


def test_the_body_of_ec2_is_signed() -> None:
    changed = attrs.evolve(ec2_post(), body_sha256=hashlib.sha256(b"Action=Other").hexdigest())
    assert refusal(changed, "ec2") == "AuthFailure"
    with pytest.raises(InvalidValue):
        refusal(attrs.evolve(changed, body_sha256=None), "ec2")


def test_the_body_of_s3_is_held_to_the_hash_that_was_signed() -> None:
    request = attrs.evolve(s3_get(), body_sha256=lambda: WELCOME)
    assert refusal(request, "s3") == "XAmzContentSHA256Mismatch"
    found = check(attrs.evolve(request, body_sha256=None), "s3")
    assert found.payload == EMPTY_SHA256


def test_a_body_is_hashed_only_when_the_head_was_signed_rightly() -> None:
    def fail() -> str:
        raise AssertionError("the body of a stranger was hashed")

    request = attrs.evolve(s3_get(), body_sha256=fail, method="PUT")
    assert refusal(request, "s3") == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    ("service", "code"), [("ec2", "RequestExpired"), ("s3", "RequestTimeTooSkewed")]
)
@pytest.mark.parametrize("direction", [-1, 1])
def test_clocks_may_differ_by_fifteen_minutes(
    service: ServiceName, code: str, direction: int
) -> None:
    request = ec2_post() if service == "ec2" else s3_get()
    signed_at = datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%S%z")
    edge = signed_at + direction * timedelta(minutes=15)
    assert refusal(request, service, edge) == ""
    assert refusal(request, service, edge + direction * timedelta(seconds=1)) == code


@pytest.mark.parametrize(
    ("service", "unknown", "wrong"),
    [("ec2", "AuthFailure", "AuthFailure"), ("s3", "InvalidAccessKeyId", "SignatureDoesNotMatch")],
)
def test_unknown_keys_and_wrong_secrets(service: ServiceName, unknown: str, wrong: str) -> None:
    request = ec2_post() if service == "ec2" else s3_get()
    for secrets, code in [({}, unknown), ({KEY_ID: "other"}, wrong)]:
        with pytest.raises(SignatureError) as caught:
            authenticate(request, secrets.get, now(), service=service)
        assert caught.value.code == code


def test_ec2_says_the_same_of_an_unknown_key_and_a_wrong_secret() -> None:
    def message(secret: str | None) -> str:
        with pytest.raises(SignatureError) as caught:
            authenticate(ec2_post(), lambda key: secret, now(), service="ec2")
        return caught.value.message

    assert message(None) == message("other")


@pytest.mark.parametrize(
    ("secret", "code"), [("changed", "SignatureDoesNotMatch"), (None, "InvalidAccessKeyId")]
)
def test_a_secret_that_changed_or_is_gone_counts_at_once(secret: str | None, code: str) -> None:
    request = s3_get()
    check(request, "s3")
    with pytest.raises(SignatureError) as caught:
        authenticate(request, lambda key: secret, now(), service="s3")
    assert caught.value.code == code


def test_the_date_of_the_scope_is_that_of_the_request() -> None:
    request = s3_get()
    header = request.headers["authorization"]
    day = header.partition("/")[2][:8]
    other = with_header(request, "authorization", header.replace(f"/{day}/", "/20130524/"))
    assert refusal(other, "s3") == "AuthorizationHeaderMalformed"
    assert refusal(other, "ec2") == "IncompleteSignature"
    query = presigned("s3")
    other = attrs.evolve(query, query=query.query.replace(f"%2F{day}%2F", "%2F20130524%2F"))
    assert refusal(other, "s3") == "AuthorizationQueryParametersError"


@pytest.mark.parametrize("expires", [0, -1, 604801, 10**30])
def test_presigned_requests_are_good_for_seven_days_at_most(expires: int) -> None:
    assert refusal(presigned("s3", expires), "s3") == "AuthorizationQueryParametersError"
    assert refusal(presigned("s3", 604800), "s3") == ""


def test_a_presigned_request_to_ec2_expires() -> None:
    later = now() + timedelta(minutes=2)
    assert refusal(presigned("ec2"), "ec2") == ""
    assert refusal(presigned("ec2"), "ec2", later) == "RequestExpired"


def test_host_and_every_amz_header_of_s3_must_be_signed() -> None:
    assert refusal(with_header(s3_get(), "x-amz-acl", "public-read"), "s3") == "AccessDenied"
    assert refusal(with_header(presigned("s3"), "x-amz-acl", "public-read"), "s3") == "AccessDenied"
    assert refusal(with_header(ec2_post(), "x-amz-acl", "public-read"), "ec2") == ""
    hostless = s3_get().headers["authorization"].replace("host;", "")
    assert refusal(with_header(s3_get(), "authorization", hostless), "s3") == "AccessDenied"


def test_a_credential_is_short() -> None:
    region = "r" * limits.CREDENTIAL_CHARS
    request = signed(S3SigV4Auth(CREDENTIALS, "s3", region), "GET", "http://c/b")
    assert refusal(request, "s3") == "AuthorizationHeaderMalformed"


def test_one_form_of_signature_at_a_time() -> None:
    both = attrs.evolve(presigned("s3"), headers=s3_get().headers)
    assert refusal(both, "s3") == "InvalidArgument"
    two_queries = attrs.evolve(presigned("s3"), query=presigned("s3").query + "&Signature=x")
    assert refusal(two_queries, "s3") == "InvalidArgument"
    form = attrs.evolve(ec2_post(), form=(("AWSAccessKeyId", KEY_ID), ("Signature", "x")))
    assert refusal(form, "ec2") == "InvalidParameterCombination"


def test_nobody_may_ask_s3_but_not_ec2() -> None:
    request = SignedRequest("GET", "/", "", {"host": "c"}, "c")
    assert authenticate(request, secret_of, now(), service="s3") is None
    assert refusal(request, "ec2") == "MissingAuthenticationToken"


@pytest.mark.parametrize(
    "header",
    [
        "Basic dTpw",
        "",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, SignedHeaders=host",
        "AWS4-HMAC-SHA256 Credential=a/b/c/aws4_request, SignedHeaders=host, Signature=0",
        "AWS4-HMAC-SHA256 Credential=a, Credential=b, SignedHeaders=host, Signature=0",
    ],
)
def test_malformed_headers(header: str) -> None:
    request = with_header(s3_get(), "authorization", header)
    assert refusal(request, "s3") in ("InvalidArgument", "AuthorizationHeaderMalformed")
    assert refusal(request, "ec2") == "IncompleteSignature"


def test_a_parameter_of_the_signature_stands_once() -> None:
    request = presigned("s3")
    for part in request.query.split("&"):
        doubled = attrs.evolve(request, query=f"{request.query}&{part}")
        assert refusal(doubled, "s3"), part


def test_a_presigned_request_may_say_of_its_body_in_the_query() -> None:
    request = presigned("s3", query=f"X-Amz-Content-Sha256={UNSIGNED}")
    assert check(request, "s3").payload == UNSIGNED
    assert refusal(presigned("s3", query="X-Amz-Content-Sha256=x"), "s3") == "InvalidArgument"


def test_the_word_for_the_payload_is_needed_and_known() -> None:
    request = s3_get()
    headers = {k: v for k, v in request.headers.items() if k != "x-amz-content-sha256"}
    assert refusal(attrs.evolve(request, headers=headers), "s3") == "InvalidRequest"
    odd = with_header(request, "x-amz-content-sha256", "STREAMING-OTHER")
    assert refusal(odd, "s3") == "InvalidArgument"


TEXT = st.text(max_size=30) | st.sampled_from(
    [
        "AWS4-HMAC-SHA256 Credential=a/20130524/c/d/aws4_request,SignedHeaders=host,Signature=é",
        "AWS a:b",
    ]
)


@settings(max_examples=300, deadline=None)
@given(
    path=TEXT,
    query=TEXT
    | st.lists(st.sampled_from([*PRESIGNED.query.split("&"), "Signature=%80", "X-Amz-Date=%"])).map(
        "&".join
    ),
    headers=st.dictionaries(
        st.sampled_from(["authorization", "x-amz-date", "date", "x-amz-content-sha256", "x-amz-é"]),
        TEXT,
    ),
    host=TEXT,
    form=st.lists(st.tuples(st.sampled_from(["AWSAccessKeyId", "Signature", "\ud800"]), TEXT)),
    service=st.sampled_from(["ec2", "s3"]),
)
def test_whatever_is_sent_is_refused_in_words(
    path: str,
    query: str,
    headers: dict[str, str],
    host: str,
    form: list[tuple[str, str]],
    service: ServiceName,
) -> None:
    request = SignedRequest("GET", path, query, headers, host, form=tuple(form))
    if code := refusal(request, service, DOCUMENTED_AT):
        assert code.isalnum()
    else:
        assert authenticate(request, secret_of, DOCUMENTED_AT, service=service) is None
        assert "authorization" not in headers


def test_a_body_is_given_out_whole_only_if_its_hash_is_right() -> None:
    body = b"Welcome to Amazon S3."
    assert HashedBody(io.BytesIO(body), WELCOME, len(body)).read() == body
    wrong = HashedBody(io.BytesIO(body.lower()), WELCOME, len(body))
    assert wrong.read(5) == b"welco"
    for _ in range(2):
        with pytest.raises(SignatureError) as caught:
            wrong.read(len(body) - 5)
        assert caught.value.code == "XAmzContentSHA256Mismatch"
    short = HashedBody(io.BytesIO(body[:-1]), WELCOME, len(body))
    with pytest.raises(SignatureError) as caught:
        short.read()
    assert caught.value.code == "IncompleteBody"
    assert HashedBody(io.BytesIO(b""), EMPTY_SHA256, 0).read(9) == b""
