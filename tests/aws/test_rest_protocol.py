"""The REST protocol against botocore's own serializer and parser, for whatever S3's model allows."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from botocore.awsrequest import AWSRequest, HeadersDict
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pycloud.aws.errors import AWSError
from pycloud.aws.models import service_model
from pycloud.aws.rest_reader import input_of, parsed
from pycloud.aws.rest_routes import routes
from pycloud.aws.rest_writer import output_of
from pycloud.s3.actions import ACTIONS
from tests.aws.shapes import values_of

_MANY = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
_NAMES = st.sampled_from(sorted(ACTIONS))
_PLAIN = st.text("abcdefghij-0123456789", min_size=1, max_size=12)


def _operation(name: str) -> Any:
    return service_model("s3").operation_model(name)


def _draw(data: Any, shape: Any) -> dict[str, Any]:
    """Draw what an action is asked or answers; what travels in a head is plain text there."""
    values: dict[str, Any] = {}
    for key, member in shape.members.items():
        location = member.serialization.get("location")
        is_needed = key in shape.required_members
        if key == shape.serialization.get("payload") and member.type_name == "blob":
            continue
        if not is_needed and not data.draw(st.booleans()):
            continue
        if location in ("header", "uri") and member.type_name == "string" and not member.enum:
            values[key] = data.draw(_PLAIN)
        elif member.type_name == "map":
            values[key] = data.draw(st.dictionaries(_PLAIN, _PLAIN, min_size=1, max_size=3))
        elif member.type_name == "list" and location == "header":
            values[key] = [data.draw(st.sampled_from(member.member.enum))]
        else:
            values[key] = data.draw(values_of(member))
    return values


@_MANY
@given(st.data(), _NAMES)
def test_what_botocore_sends_is_routed_and_read_back(data: Any, name: str) -> None:
    operation = _operation(name)
    values = _draw(data, operation.input_shape)
    sent = create_serializer("rest-xml", False).serialize_to_request(values, operation)
    head = AWSRequest(
        sent["method"],
        f"http://h{quote(sent['url_path'], safe='/~?&=')}",
        params=sent["query_string"],
        headers=sent["headers"],
    ).prepare()
    parts = urlsplit(head.url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    level = ["service", "bucket", "object"][sum(key in values for key in ("Bucket", "Key"))]
    copies = "x-amz-copy-source" in {one.lower() for one in sent["headers"]}
    assert routes().find(sent["method"], level, query, copies=copies) == name  # type: ignore[arg-type]
    reads = input_of(operation)
    headers = {key.lower(): str(value) for key, value in sent["headers"].items()}
    read = reads.read(headers, query)
    body = sent["body"] or b""
    if reads.payload is not None and reads.payload_type != "blob":
        found = reads.read_body(body if isinstance(body, bytes) else body.encode())
        if found is not None:
            read[reads.payload] = found
    expected = {key: value for key, value in values.items() if key not in ("Bucket", "Key")}
    assert _same(read, expected), (read, expected)


@_MANY
@given(st.data(), _NAMES)
def test_what_is_written_is_parsed_by_botocore(data: Any, name: str) -> None:
    operation = _operation(name)
    shape = operation.output_shape
    if shape is None or name == "GetBucketLocation":  # the model does not describe its document
        return
    values = _draw(data, shape)
    writes = output_of(operation, "Root", "urn:x")
    answer = {
        "status_code": 200,
        "headers": HeadersDict(writes.head(values)),
        "body": writes.body(values),
    }
    read = create_parser("rest-xml").parse(answer, shape)
    for extra in ("ResponseMetadata", "Body", "ExpiresString"):
        read.pop(extra, None)
    assert _same(read, {key: value for key, value in values.items() if key != "Body"})


def _same(read: Any, sent: Any) -> bool:
    if isinstance(sent, dict):
        read, sent = (
            {key: one for key, one in many.items() if not _is_empty(one) and key != "Expires"}
            for many in (read, sent)
        )
        return set(read) == set(sent) and all(_same(read[key], sent[key]) for key in sent)
    if isinstance(sent, list):
        read, sent = ([one for one in many if not _is_empty(one)] for many in (read, sent))
        return len(read) == len(sent) and all(map(_same, read, sent))
    if isinstance(sent, bytes):
        return bool(read in (sent, sent.decode("utf-8", "replace")))
    return bool(read == sent)


def _is_empty(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_empty, value.values()))
    return all(map(_is_empty, value)) if isinstance(value, list) else value in ("", None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<a>",
        b"<a/><b/>",
        b"<a>\x01</a>",
        b"<!DOCTYPE a><a/>",
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b'<?xml version="1.0" encoding="nonsense"?><a/>',
        b"<a>&unknown;</a>",
        b"<x:a/>",
    ],
)
def test_what_is_no_document(body: bytes) -> None:
    with pytest.raises(AWSError) as refusal:
        parsed(body)
    assert refusal.value.code == "MalformedXML"


def test_a_header_cannot_end_its_line() -> None:
    writes = output_of(_operation("GetObject"), "", "")
    head = dict(writes.head({"ContentDisposition": "a\r\nX-Evil: 1", "CacheControl": "☃"}))
    assert head == {"Content-Disposition": "a%0D%0AX-Evil: 1", "Cache-Control": "%E2%98%83"}


def test_every_route_is_of_an_action_of_the_model() -> None:
    assert set(ACTIONS) <= set(service_model("s3").operation_names)
    for name, action in ACTIONS.items():
        shape = _operation(name).input_shape
        assert action.takes <= set(shape.members), name
