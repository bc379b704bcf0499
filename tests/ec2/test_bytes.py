"""What no tool would send, byte by byte: it is refused, and whoever is not let in learns nothing."""

from __future__ import annotations

import contextlib
import io
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pycloud.drivers.serve import WsgiServer
from pycloud.ec2 import EC2App
from pycloud.ids import ADMIN_ACCOUNT
from pycloud.testing.world import SimWorld
from tests.ec2.conftest import AccountKeys
from tests.ec2.wire import FORM, Wire

_V = "Version=2016-11-15"
_MANY = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
_UNKNOWN = {
    *("AuthFailure", "IncompleteSignature", "InvalidParameterCombination", "InvalidRequest"),
    *("MalformedQueryString", "MethodNotAllowed", "MissingAuthenticationToken"),
    *("RequestEntityTooLarge", "RequestExpired"),
}
"""All that those hear who are not let in: of these none tells anything of the cloud."""


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with SimWorld() as world:
        yield Wire(EC2App(world.cloud, keys=AccountKeys()))


def _codes(wire: Wire, body: bytes, **how: Any) -> tuple[str, str]:
    """Return how a body is answered: signed, and not signed."""
    stranger = wire.post(body, account=None, **how)
    assert stranger.code in _UNKNOWN
    return wire.post(body, **how).code, stranger.code


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "MissingAction"),
        (b"&&&=&", "MalformedQueryString"),
        (b"\xff\xfe=1", "MalformedQueryString"),
        (b"Action=\xc3", "MalformedQueryString"),
        (b"Action=%C3%28", "MalformedQueryString"),
        (b"Action=%ED%A0%80", "MalformedQueryString"),  # a lone surrogate
        (b"Action=%C0%80", "MalformedQueryString"),  # a NUL in two bytes
        (b"Action=%", "InvalidAction"),
        (b"Action=%zz%1", "InvalidAction"),
        (b"Action=%00", "InvalidAction"),
        (b"Action=A&Action=B", "MalformedQueryString"),
        (b"Action.1=A", "MalformedQueryString"),
        (b"Action=" + b"A" * 100_000, "InvalidAction"),
        (b"A" * 10_000 + b"=1", "MalformedQueryString"),
        (b".".join([b"A"] * 10_000) + b"=1", "MalformedQueryString"),
        (b"\0=\0", "MalformedQueryString"),
        (b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///'>]><a>&b;</a>", ""),
        (b'{"Action": "DescribeInstances"}', "MalformedQueryString"),
        (b"Version=2016-11-15%00&Action=DescribeRegions", "NoSuchVersion"),
        (b"Version=&Action=DescribeRegion", "InvalidAction"),
        (b"Version=" + b"1" * 100_000, "NoSuchVersion"),
        (b"Version=2011-06-15&Action=DescribeRegions", "InvalidAction"),
        (b"Version=2016-11-15&Action=GetCallerIdentity", "InvalidAction"),
        (b"Version=2016-11-15&Action=CreateVpnGateway&Type=ipsec.1", "UnsupportedOperation"),
    ],
)
def test_bodies_that_are_no_request(wire: Wire, body: bytes, code: str) -> None:
    signed, _ = _codes(wire, body)
    assert signed == (code or "MalformedQueryString")


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ("InstanceId=i-1&InstanceId.1=i-1", "MalformedQueryString"),
        ("InstanceId.1.Value=i-1&InstanceId.1=i-1", "MalformedQueryString"),
        ("InstanceId.1=i-1&InstanceId.01=i-2", "MalformedQueryString"),
        ("InstanceId.1=i-1&InstanceId.1=i-2", "MalformedQueryString"),
        ("InstanceId.0=i-1", "InvalidInstanceID.Malformed"),
        ("InstanceId.-1=i-1", "InvalidParameterValue"),
        ("InstanceId.9999999999999999999999=i-1", "InvalidParameterValue"),
        ("InstanceId.%D9%A1=i-1", "MalformedQueryString"),  # an Arabic one
        ("InstanceId.1=%00", "InvalidParameterValue"),
        ("InstanceId.1=%EF%BF%BE", "InvalidParameterValue"),  # U+FFFE, which XML has not
        ("InstanceId.1=", "InvalidInstanceID.Malformed"),
        ("InstanceId.1=i-%F0%9F%98%80", "InvalidInstanceID.Malformed"),
        ("InstanceId.1=" + "i" * 60_000, "InvalidInstanceID.Malformed"),
        ("InstanceId.1=" + "i" * 70_000, "InvalidParameterValue"),
        ("MaxResults=" + "9" * 5_000, "InvalidParameterValue"),
        ("MaxResults=0x10", "InvalidParameterValue"),
        ("MaxResults=1_000", "InvalidParameterValue"),
        ("MaxResults=%D9%A5", "InvalidParameterValue"),
        ("MaxResults=5.0", "InvalidParameterValue"),
        ("MaxResults=-2147483649", "InvalidParameterValue"),
        ("DryRun=perhaps", "InvalidParameterValue"),
        ("DryRun=true", "DryRunOperation"),
        ("NextToken=W10", "InvalidNextToken"),
        ("NextToken=WzAsIDAsICJcdTAwMDAiXQ==", "InvalidNextToken"),  # [0, 0, "\u0000"]
        ("NextToken=WzAsIDAsICJcdWQ4MDAiXQ==", "InvalidNextToken"),  # [0, 0, "\ud800"]
        ("Filter.1.Name=tag:a&Filter.1.Value=b", "InvalidParameterValue"),
        ("Filter.1.Name=tag:a&Filter.1.Value.1.Value=b", "InvalidParameterValue"),
    ],
)
def test_parameters_that_make_no_sense(wire: Wire, parameters: str, code: str) -> None:
    body = f"Action=DescribeInstances&{_V}&{parameters}".encode()
    assert _codes(wire, body)[0] == code


def test_more_than_there_can_be(wire: Wire) -> None:
    head = f"Action=DescribeInstances&{_V}".encode()
    large = head + b"&InstanceId.1=" + b"i" * 10 * 1024**2
    assert _codes(wire, large) == ("RequestEntityTooLarge",) * 2
    many = head + b"".join(b"&I.%d=1" % n for n in range(100_000))
    assert _codes(wire, many) == ("MalformedQueryString",) * 2
    assert _codes(wire, b"&".join([b"a"] * 100_000)) == ("MalformedQueryString",) * 2
    assert wire.post(head + b"&" * 100_000).status == 200


def test_lists_out_of_order_and_with_gaps(wire: Wire) -> None:
    tags = "&".join(f"Tag.{n}.Key=key{n}&Tag.{n}.Value={n}" for n in (999_999, 7, 3, 500, 2, 1_000))
    [vpc] = wire.call("ec2", "DescribeVpcs")["Vpcs"]
    reply = wire.post(f"Action=CreateTags&{_V}&ResourceId.17={vpc['VpcId']}&{tags}".encode())
    assert reply.status == 200
    [vpc] = wire.call("ec2", "DescribeVpcs")["Vpcs"]
    assert {tag["Value"] for tag in vpc["Tags"]} == {"999999", "7", "3", "500", "2", "1000"}


def test_a_name_in_query_and_form(wire: Wire) -> None:
    form = b"Action=DescribeRegions"
    assert _codes(wire, form, query=_V)[0] == ""
    assert _codes(wire, form, query=f"{_V}&Action=DescribeRegions")[0] == "MalformedQueryString"
    assert _codes(wire, form, query=f"{_V}&Action=TerminateInstances")[0] == "MalformedQueryString"


@pytest.mark.parametrize("method", ["HEAD", "PUT", "OPTIONS", "DELETE", "PATCH", "BREW", "post"])
def test_other_methods(wire: Wire, method: str) -> None:
    for account in (ADMIN_ACCOUNT, None):
        reply = wire.post(b"Action=DescribeRegions", query=_V, method=method, account=account)
        assert (reply.status, reply.phrase) == (405, "Method Not Allowed")
        assert reply.headers["Allow"] == "GET, POST"


@pytest.mark.parametrize(
    "content_type", ["application/json", "multipart/form-data; boundary=x", "text/xml", "\xff"]
)
def test_other_bodies_are_refused_and_not_guessed_at(wire: Wire, content_type: str) -> None:
    body = f"Action=DescribeRegions&{_V}".encode()
    assert _codes(wire, body, content_type=content_type)[0] == "InvalidRequest"
    assert _codes(wire, b"", query=body.decode(), content_type=content_type)[0] == ""


@pytest.mark.parametrize("content_type", ["", "Application/X-WWW-Form-URLencoded; charset=UTF-8"])
def test_forms_that_are_called_otherwise(wire: Wire, content_type: str) -> None:
    assert wire.post(f"Action=DescribeRegions&{_V}".encode(), content_type=content_type).code == ""


def test_a_get_has_no_body(wire: Wire) -> None:
    query = f"Action=DescribeRegions&{_V}"
    assert _codes(wire, b"", query=query, method="GET")[0] == ""
    assert _codes(wire, b"RegionName.1=x", query=query, method="GET")[0] == "InvalidRequest"


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "9" * 5_000, "٣", " 5", "1048577", "999"])
def test_lengths_that_are_none(wire: Wire, length: str) -> None:
    codes = _codes(wire, b"Action=DescribeRegions", CONTENT_LENGTH=length)
    assert set(codes) <= {"InvalidRequest", "RequestEntityTooLarge"}


def test_a_body_that_breaks_off(wire: Wire) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise TimeoutError("timed out")

    assert _codes(wire, b"Action=x", **{"wsgi.input": Broken()}) == ("InvalidRequest",) * 2


def test_a_version_that_there_is_not_does_nothing(wire: Wire) -> None:
    wire.call("ec2", "CreateKeyPair", {"KeyName": "eucatest", "KeyType": "ed25519"})
    reply = wire.post(b"Action=DeleteKeyPair&Version=latest&KeyName=eucatest")
    assert reply.code == "NoSuchVersion"
    assert len(wire.call("ec2", "DescribeKeyPairs")["KeyPairs"]) == 1


@pytest.mark.parametrize("host", ["", "[", "[::1", "[:::::]", "a:b", "a:99999", "a/b", "\xff", "?"])
def test_hosts_that_are_none(wire: Wire, host: str) -> None:
    """Signed as they are: a wrong one is the client's, and comes into the answer."""
    query = f"Action=DescribeRegions&{_V}"
    reply = wire.post(query=query, method="GET", HTTP_HOST=host)
    assert reply.code == "AuthFailure"
    zones = f"Action=DescribeAvailabilityZones&ZoneName.1=verbose&{_V}"
    for asked in (query, zones):
        assert wire.post(query=asked, method="GET", host=host).status == 200


@_MANY
@given(body=st.binary(max_size=200))
def test_any_bytes(wire: Wire, body: bytes) -> None:
    wire.post(body)
    wire.post(b"Version=2016-11-15&Action=DescribeInstances&" + body)
    assert wire.post(body, account=None).code in _UNKNOWN


_NAMES = st.sampled_from(
    [
        *("Action", "Version", "Filter.1.Name", "Filter.1.Value.1", "Filter", "Filter.1"),
        *("InstanceId.1", "InstanceId.2", "InstanceId", "MaxResults", "NextToken", "DryRun"),
        *("AWSAccessKeyId", "Signature", "SignatureMethod", "SignatureVersion", "Timestamp"),
        *("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "Expires"),
        *("X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Security-Token", "SecurityToken"),
    ]
)
_VALUES = st.one_of(
    st.sampled_from(
        [
            *("DescribeInstances", "2016-11-15", "2011-06-15", "2010-05-08", "HmacSHA256", "2"),
            *("AWS4-HMAC-SHA256", "host", "host;host;x", "AKIA/20260101/a/b/aws4_request"),
            *("20260101T000000Z", "99999999T999999Z", "2026-01-01T00:00:00Z", "1" * 5000),
        ]
    ),
    st.text(st.characters(codec="utf-8"), max_size=10),
)
_PAIRS = st.lists(st.tuples(_NAMES, _VALUES), max_size=12).map(urlencode)


@_MANY
@given(
    query=_PAIRS,
    form=_PAIRS,
    header=st.text(st.characters(max_codepoint=255), max_size=80),
    is_v4=st.booleans(),
)
def test_any_parameters_of_anybody(
    wire: Wire, query: str, form: str, header: str, is_v4: bool
) -> None:
    authorization = f"AWS4-HMAC-SHA256 {header}" if is_v4 else header
    how: dict[str, Any] = {"HTTP_AUTHORIZATION": authorization} if header else {}
    reply = wire.post(form.encode(), query=query, account=None, **how)
    assert reply.code in _UNKNOWN


# Over a socket


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with SimWorld() as world, WsgiServer(EC2App(world.cloud, keys=AccountKeys())) as server:
        yield server.port


def _talk(port: int, *parts: bytes) -> list[tuple[int, bytes]]:
    """Send bytes, end the sending, and return the status and body of each answer that came."""
    with socket.create_connection(("127.0.0.1", port), timeout=9) as connection:
        # In one piece: a server that closes while more comes in takes its answer back.
        connection.sendall(b"".join(parts))
        connection.shutdown(socket.SHUT_WR)
        stream = connection.makefile("rb")
        answers = []
        while line := stream.readline():
            headers = dict(_headers(stream))
            body = stream.read(int(headers.get(b"content-length", b"0")))
            answers.append((int(line.split(b" ")[1]), body))
        return answers


def _headers(stream: Any) -> Iterator[tuple[bytes, bytes]]:
    while line := stream.readline().strip():
        name, _, value = line.partition(b":")
        yield name.lower(), value.strip()


def _post(*headers: str, body: bytes = b"") -> bytes:
    lines = ["POST / HTTP/1.1", "Host: cloud.example", f"Content-Type: {FORM}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


_GET = b"GET /?Action=DescribeRegions HTTP/1.1\r\nHost: cloud.example\r\n\r\n"
_BODY = b"Action=DescribeRegions"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (["Content-Length: 100"], _BODY),
        (["Content-Length: -1"], _BODY),
        (["Content-Length: +22"], _BODY),
        (["Content-Length: 2_2"], _BODY),
        (["Content-Length: 0x16"], _BODY),
        (["Content-Length: "], _BODY),
        (["Content-Length: 22, 22"], _BODY),
        (["Content-Length: 22", "Content-Length: 5"], _BODY),
        (["Content-Length: 22", "Content-Length: 22"], _BODY),
        (["Content-Length: 22", "Transfer-Encoding: chunked"], b"0\r\n\r\n"),
        (["Transfer-Encoding: chunked", "Content-Length: 5"], b"0\r\n\r\n"),
        (["Transfer-Encoding: chunked"], b"zz\r\nAction"),
        (["Transfer-Encoding: chunked"], b"16\r\nAction"),
        (["Transfer-Encoding: chunked"], b"-5\r\nAction"),
        (["Transfer-Encoding: chunked"], b"6\r\nActionX\r\n0\r\n\r\n"),
        (["Host: elsewhere", "Content-Length: 0"], b""),
        (["Authorization: a", "Authorization: b", "Content-Length: 0"], b""),
    ],
)
def test_lies_about_the_body_end_the_connection(port: int, headers: list[str], body: bytes) -> None:
    """Nothing that follows is taken for a request."""
    [(status, text)] = _talk(port, _post(*headers, body=body), b"\r\n" + _GET)
    assert status in (400, 403), text
    assert b"InternalError" not in text


def test_a_body_that_is_not_there_is_none(port: int) -> None:
    answers = _talk(port, _post(), _GET)
    assert [status for status, _ in answers] == [403, 403]


def test_a_header_is_not_another_one(port: int) -> None:
    """In the environment both would be CONTENT_LENGTH."""
    answers = _talk(port, _post("Content-Length: 22", "Content_Length: 5", body=_BODY), _GET)
    assert [status for status, _ in answers] == [403, 403]
    assert b"MissingAuthenticationToken" in answers[0][1]


def test_chunks_are_read_as_a_body(port: int) -> None:
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in _BODY) + b"0\r\n\r\n"
    for method in ("POST", "PUT"):
        sent = _post("Transfer-Encoding: chunked", body=chunks).replace(b"POST", method.encode())
        answers = _talk(port, sent, _GET)
        assert [status for status, _ in answers] == [403 if method == "POST" else 405, 403]


def test_a_body_that_is_too_large_is_refused_as_tools_expect_it(port: int) -> None:
    large = 1024**2 + 1
    [(status, text)] = _talk(port, _post(f"Content-Length: {large}", body=b"A" * large))
    assert (status, b"<Code>RequestEntityTooLarge</Code>" in text) == (413, True)


@pytest.mark.parametrize("chunk", [1024, 512 * 1024])
def test_more_chunks_than_there_may_be(port: int, chunk: int) -> None:
    """What is left of them is not taken for a request, either."""
    chunks = (b"%x\r\n" % chunk + b"A" * chunk + b"\r\n") * (3300 * 1024 // chunk)
    head = _post("Transfer-Encoding: chunked")
    received = bytearray()
    with (
        contextlib.suppress(ConnectionError),  # it may not listen to the end
        socket.create_connection(("127.0.0.1", port), timeout=9) as connection,
    ):
        with contextlib.suppress(ConnectionError):
            connection.sendall(head + chunks + b"0\r\n\r\n" + _GET)
        while part := connection.recv(65536):
            received += part
    assert received.count(b"HTTP/1.1 ") <= 1
    assert b"MissingAuthenticationToken" not in received


def test_a_client_that_waits_is_told_to_go_on(port: int) -> None:
    head = _post("Expect: 100-continue", "Content-Length: 22")
    with socket.create_connection(("127.0.0.1", port), timeout=9) as connection:
        connection.sendall(head)
        stream = connection.makefile("rb")
        assert stream.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert stream.readline() == b"\r\n"
        connection.sendall(_BODY)
        assert stream.readline() == b"HTTP/1.1 403 Forbidden\r\n"


@pytest.mark.parametrize(
    "bytes_",
    [b"\0" * 100, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\xff\xfe\r\n\r\n", b"\r\n" * 9],
)
def test_what_is_no_http(port: int, bytes_: bytes) -> None:
    answers = _talk(port, bytes_)
    assert all(400 <= status < 506 and status != 500 for status, _ in answers)
    assert [status for status, _ in _talk(port, _GET)] == [403]
