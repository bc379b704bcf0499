"""The protocol against botocore's own serializers and parsers, for whatever the models allow."""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pycloud.aws.errors import AWSError
from pycloud.aws.models import service_model
from pycloud.aws.parameters import pairs_of, tree_of
from pycloud.aws.reader import Taken, reader_of
from pycloud.aws.writer import text_of, writer_of
from tests.aws.shapes import everything_of, values_of

_SERVICES = ("ec2", "sts", "iam")
_MANY = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


# Actions of IAM that have maps; none of them is carried out.
_WITH_A_MAP = {
    "AcquireRole",
    "GetAccountProperties",
    "GetAccountSummary",
    "GetMFADevice",
    "PutAccountProperties",
    "SimulateCustomPolicy",
    "SimulatePrincipalPolicy",
}


def _operations() -> st.SearchStrategy[tuple[str, Any]]:
    return st.sampled_from(_SERVICES).flatmap(_operations_of)


def _operations_of(service: str) -> st.SearchStrategy[tuple[str, Any]]:
    model = service_model(service)
    names = [name for name in model.operation_names if name not in _WITH_A_MAP]
    return st.sampled_from([(service, model.operation_model(name)) for name in names])


def _serialized(service: str, operation: Any, values: dict[str, Any]) -> bytes:
    protocol = service_model(service).metadata["protocol"]
    request = create_serializer(protocol, False).serialize_to_request(values, operation)
    return urlencode(request["body"]).encode()


@_MANY
@given(st.data(), _operations())
def test_what_botocore_sends_is_read_back(data: Any, chosen: tuple[str, Any]) -> None:
    service, operation = chosen
    shape = operation.input_shape
    if shape is None:
        return
    values = data.draw(values_of(shape))
    tree = tree_of(pairs_of(_serialized(service, operation, values)))
    del tree["Action"], tree["Version"]
    protocol = service_model(service).metadata["protocol"]
    read = reader_of(shape, protocol, everything_of(service))(tree, "")
    assert _same(read, values)


def _same(read: Any, sent: Any) -> bool:
    if isinstance(sent, dict):
        read, sent = _without_empty(read), _without_empty(sent)
        return set(read) == set(sent) and all(_same(read[key], sent[key]) for key in sent)
    if isinstance(sent, list):
        read, sent = ([one for one in many if not _is_empty(one)] for many in (read, sent))
        return len(read) == len(sent) and all(map(_same, read, sent))
    if isinstance(sent, float):
        return math.isclose(read, sent)
    return bool(read == sent)


def _without_empty(values: dict[str, Any]) -> dict[str, Any]:
    """EC2's serializer leaves out what is empty."""
    return {key: value for key, value in values.items() if not _is_empty(value)}


def _is_empty(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_empty(inner) for inner in value.values())
    if isinstance(value, list):
        return all(_is_empty(inner) for inner in value)
    return False


@_MANY
@given(st.data(), _operations())
def test_what_is_written_is_parsed_by_botocore(data: Any, chosen: tuple[str, Any]) -> None:
    service, operation = chosen
    shape = operation.output_shape
    if shape is None:
        return
    values = data.draw(values_of(shape))
    out: list[str] = []
    writer_of(shape)(values, out)
    wrapper = shape.serialization.get("resultWrapper")
    inside = "".join(out)
    if wrapper:
        inside = f"<{wrapper}>{inside}</{wrapper}>"
    body = f"<R xmlns='urn:x'>{inside}</R>".encode()
    parser = create_parser(service_model(service).metadata["protocol"])
    parsed = parser.parse({"status_code": 200, "headers": {}, "body": body}, shape)
    parsed.pop("ResponseMetadata")
    assert _same(parsed, values)


def test_an_unknown_member_of_an_answer_is_a_fault() -> None:
    shape = service_model("ec2").operation_model("DescribeRegions").output_shape
    with pytest.raises(KeyError):
        writer_of(shape)({"Regionen": []}, [])


def test_a_text_is_written_alike_however_often_it_comes() -> None:
    shape = service_model("ec2").shape_for("Tag")
    write = writer_of(shape)
    texts = [f"<{number % 100}>" for number in range(300)]
    for text in texts:
        out: list[str] = []
        write({"Key": text, "Value": text * 20}, out)
        escaped = text_of(text)
        assert "".join(out) == f"<key>{escaped}</key><value>{escaped * 20}</value>"


def test_what_xml_cannot_carry_is_replaced() -> None:
    assert text_of("a<b>&\x00\r\ud800") == "a&lt;b&gt;&amp;\ufffd&#13;\ufffd"


# What is refused

_FILTER = Taken(
    {"DescribeRegionsRequest": frozenset({"Filters", "RegionNames"}), "Filter": frozenset({"Name"})}
)


def _read(text: str, action: str = "DescribeRegions", taken: Taken = _FILTER) -> Any:
    shape = service_model("ec2").operation_model(action).input_shape
    return reader_of(shape, "ec2", taken)(tree_of(pairs_of(text.encode())), "")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Colour=red", "UnknownParameter"),
        ("Filter.1.Colour=red", "UnknownParameter"),
        ("Filter.1.Value.1=x", "UnsupportedOperation"),
        ("AllRegions=true", "UnsupportedOperation"),
        ("Filter=x", "InvalidParameterValue"),
        ("Filter.first.Name=x", "InvalidParameterValue"),
        ("Filter.1=x", "InvalidParameterValue"),
        ("Filter.1.Name.1=x", "InvalidParameterValue"),
        ("RegionName.1=a&RegionName.01=b", "MalformedQueryString"),
        ("RegionName.1=a&RegionName.1=b", "MalformedQueryString"),
        ("RegionName=a&RegionName.1=b", "MalformedQueryString"),
        ("RegionName.1=%ff", "MalformedQueryString"),
        ("RegionName..1=a", "MalformedQueryString"),
        ("RegionName.1=%00", "InvalidParameterValue"),
        ("RegionName." + "1" * 7 + "=a", "InvalidParameterValue"),
        ("A." * 20 + "B=1", "MalformedQueryString"),
        ("&".join(f"RegionName.{n}=a" for n in range(1, 10_002)), "MalformedQueryString"),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, code: str) -> None:
    with pytest.raises(AWSError) as refusal:
        _read(text)
    assert refusal.value.code == code


def test_lists_are_read_in_the_order_of_their_indices() -> None:
    assert _read("RegionName.10=b&RegionName.2=a") == {"RegionNames": ["a", "b"]}


def test_a_required_parameter_is_missed_by_name() -> None:
    taken = Taken({"CreateKeyPairRequest": frozenset({"KeyName"})})
    with pytest.raises(AWSError, match=r"MissingParameter: .* KeyName"):
        _read("", "CreateKeyPair", taken)
