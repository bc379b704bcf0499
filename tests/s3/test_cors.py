"""CORS: what a browser is told before and after a request."""

from __future__ import annotations

from typing import Any

import pytest

from tests.s3.conftest import Served, refused

RULES = [
    {
        "ID": "one",
        "AllowedOrigins": ["https://*.example.com"],
        "AllowedMethods": ["GET", "PUT"],
        "AllowedHeaders": ["x-amz-*", "content-type"],
        "ExposeHeaders": ["ETag"],
        "MaxAgeSeconds": 600,
    },
    {"AllowedOrigins": ["*"], "AllowedMethods": ["GET"]},
]


@pytest.fixture
def shared(s3: Any, bucket: str) -> str:
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": RULES})
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", ACL="public-read")
    return bucket


def test_rules_come_back(s3: Any, shared: str) -> None:
    assert s3.get_bucket_cors(Bucket=shared)["CORSRules"] == RULES
    s3.delete_bucket_cors(Bucket=shared)
    with refused("NoSuchCORSConfiguration"):
        s3.get_bucket_cors(Bucket=shared)


def _preflight(served: Served, bucket: str, origin: str, method: str, headers: str = "") -> Any:
    asked = {"Origin": origin, "Access-Control-Request-Method": method}
    if headers:
        asked["Access-Control-Request-Headers"] = headers
    return served.ask("OPTIONS", f"/{bucket}/a", headers=asked)


def test_a_preflight(served: Served, shared: str) -> None:
    answer = _preflight(
        served, shared, "https://www.example.com", "PUT", "X-Amz-Date, Content-Type"
    )
    assert answer.status == 200
    found = {
        name.removeprefix("access-control-"): value
        for name, value in answer.headers.items()
        if name.startswith("access-control-")
    }
    assert found == {
        "allow-origin": "https://www.example.com",
        "allow-methods": "GET, PUT",
        "allow-headers": "x-amz-date, content-type",
        "allow-credentials": "true",
        "expose-headers": "ETag",
        "max-age": "600",
    }


@pytest.mark.parametrize(
    ("origin", "method", "headers"),
    [
        ("https://www.example.com", "DELETE", ""),
        ("https://www.example.com", "PUT", "authorization"),
        ("https://evil.test", "PUT", ""),
        ("http://www.example.com", "PUT", ""),
    ],
)
def test_a_preflight_that_is_refused(
    served: Served, shared: str, origin: str, method: str, headers: str
) -> None:
    answer = _preflight(served, shared, origin, method, headers)
    assert (answer.status, answer.code) == (403, "AccessForbidden")
    assert "access-control-allow-origin" not in answer.headers


def test_a_preflight_that_is_none(served: Served, shared: str, fresh_name: str) -> None:
    assert served.ask("OPTIONS", f"/{shared}/a").code == "BadRequest"
    assert _preflight(served, shared, "https://www.example.com", "PATCH").code == "BadRequest"
    assert _preflight(served, fresh_name, "https://a.test", "GET").code == "NoSuchBucket"


def test_answers_say_who_may_see_them(served: Served, shared: str) -> None:
    answer = served.ask("GET", f"/{shared}/a", headers={"Origin": "https://anybody.test"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers
    answer = served.ask("GET", f"/{shared}/nothing", headers={"Origin": "https://x.example.com"})
    assert answer.status == 403
    assert answer.headers["access-control-allow-origin"] == "https://x.example.com"
    assert "access-control-allow-origin" not in served.ask("GET", f"/{shared}/a").headers


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"AllowedMethods": ["PATCH"]}, "InvalidRequest"),
        ({"AllowedOrigins": ["https://*.*.test"]}, "InvalidRequest"),
        ({"AllowedHeaders": ["*x*"]}, "InvalidRequest"),
        ({"ExposeHeaders": ["a\nb"]}, "InvalidRequest"),
    ],
)
def test_rules_that_are_refused(s3: Any, bucket: str, change: dict[str, Any], code: str) -> None:
    rule = {"AllowedOrigins": ["*"], "AllowedMethods": ["GET"], **change}
    with refused(code):
        s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
