"""Uploads by a browser's form."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.s3.conftest import STRANGER, Answer, Served, refused


def _post(
    served: Served, bucket: str, fields: dict[str, str], body: bytes, name: str = "beach.jpg"
) -> Answer:
    boundary = uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in fields.items()
    ]
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    sent = b"".join(parts) + head.encode() + body + f"\r\n--{boundary}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return served.ask("POST", f"/{bucket}", headers=kind, body=sent)


def _form(
    client: Any, bucket: str, key: str, fields: dict[str, str], *conditions: Any
) -> dict[str, str]:
    exact = [{name: value} for name, value in fields.items()]
    made = client.generate_presigned_post(
        bucket, key, Fields=dict(fields), Conditions=[*exact, *conditions]
    )
    found: dict[str, str] = made["fields"]
    return found


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_a_form_stores(served: Served, s3: Any, bucket: str, version: str) -> None:
    client = served.client(signature_version=version)
    fields = _form(
        client,
        bucket,
        "in/${filename}",
        {"Content-Type": "image/png", "x-amz-meta-where": "sea", "acl": "public-read"},
    )
    body = bytes(range(256)) * 2000
    answer = _post(served, bucket, fields, body)
    assert answer.status == 204
    found = s3.get_object(Bucket=bucket, Key="in/beach.jpg")
    assert found["Body"].read() == body
    assert (found["ContentType"], found["Metadata"]) == ("image/png", {"where": "sea"})
    assert served.ask("GET", f"/{bucket}/in/beach.jpg").body == body


def test_what_the_form_is_answered(served: Served, s3: Any, bucket: str) -> None:
    fields = _form(s3, bucket, "a", {"success_action_status": "201"})
    answer = _post(served, bucket, fields, b"x")
    assert answer.status == 201
    assert f"<Bucket>{bucket}</Bucket><Key>a</Key>".encode() in answer.body
    fields = _form(s3, bucket, "a", {"success_action_redirect": "https://example.com/done?x=1"})
    answer = _post(served, bucket, fields, b"x")
    assert answer.status == 303
    assert answer.headers["location"].startswith(
        f"https://example.com/done?x=1&bucket={bucket}&key=a&etag=%22"
    )
    fields = _form(s3, bucket, "a", {"success_action_redirect": "javascript:alert(1)"})
    assert _post(served, bucket, fields, b"x").status == 204


def test_a_form_that_is_not_the_signed_one(served: Served, s3: Any, bucket: str) -> None:
    fields = _form(s3, bucket, "a", {}, ["content-length-range", 2, 10])
    cases: list[tuple[dict[str, str], bytes, str]] = [
        ({"key": "other"}, b"four", "AccessDenied"),
        ({"x-amz-meta-more": "1"}, b"four", "AccessDenied"),
        ({}, b"x", "EntityTooSmall"),
        ({}, b"x" * 11, "EntityTooLarge"),
        ({"x-amz-signature": "0" * 64}, b"four", "SignatureDoesNotMatch"),
        ({"policy": "bm9uZQ=="}, b"four", "SignatureDoesNotMatch"),
    ]
    for change, body, code in cases:
        assert _post(served, bucket, {**fields, **change}, body).code == code
    with refused("404"):
        s3.head_object(Bucket=bucket, Key="a")
    assert _post(served, bucket, fields, b"four").status == 204


def test_a_form_that_has_ended(served: Served, s3: Any, bucket: str) -> None:
    made = s3.generate_presigned_post(bucket, "a", ExpiresIn=60)
    served.clock.ahead_s = 61
    try:
        assert _post(served, bucket, made["fields"], b"x").code == "AccessDenied"
    finally:
        served.clock.ahead_s = 0


def test_a_form_of_nobody(served: Served, s3: Any, bucket: str) -> None:
    assert _post(served, bucket, {"key": "a"}, b"x").code == "AccessDenied"
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    assert _post(served, bucket, {"key": "a"}, b"x").status == 204


def test_a_form_of_another_account(served: Served, stranger: Any, bucket: str) -> None:
    fields = _form(stranger, bucket, "a", {})
    assert _post(served, bucket, fields, b"x").code == "AccessDenied"
    assert STRANGER in fields["x-amz-credential"]


def test_what_is_no_form(served: Served, s3: Any, bucket: str) -> None:
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    kind = {"Content-Type": "multipart/form-data; boundary=x"}

    def post(body: bytes, headers: dict[str, str] = kind) -> str:
        return served.ask("POST", f"/{bucket}", headers=headers, body=body).code

    assert post(b"") == "MalformedPOSTRequest"
    assert post(b"nonsense") == "MalformedPOSTRequest"
    assert post(b"x", {"Content-Type": "multipart/form-data"}) == "MalformedPOSTRequest"
    field = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    assert post(field % (b"key", b"a") + b"--x--\r\n") == "InvalidArgument"
    assert post(field % (b"key", b"a" * 30_000)) == "MaxPostPreDataLengthExceeded"
    file = b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    assert post(file + b"x\r\n--x--\r\n") == "InvalidArgument"
    # It breaks off within the file.
    assert post(field % (b"key", b"cut") + file + b"begun") == "MalformedPOSTRequest"
    with refused("404"):
        s3.head_object(Bucket=bucket, Key="cut")
