"""What holds on the wire for every action: who is let in where, and what an answer looks like."""

from __future__ import annotations

import io
import logging
import time
import unicodedata
from collections.abc import Iterator
from itertools import product
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from pycloud.aws.web import read_request
from pycloud.ec2 import EC2App
from pycloud.ec2.filters import chosen
from pycloud.errors import Cannot, StateError
from pycloud.identity.identity import Identity
from pycloud.identity.sealing import Seal
from pycloud.testing.world import SimWorld
from tests.conftest import NewDatabase
from tests.ec2.conftest import AccountKeys
from tests.ec2.things import STRANGER
from tests.ec2.wire import HOST, Wire

_EC2 = "Version=2016-11-15"
_STS = "Version=2011-06-15"
_IAM = "Version=2010-05-08"


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with SimWorld() as world:
        yield Wire(EC2App(world.cloud, keys=AccountKeys()))


# Documents


@pytest.mark.parametrize("version", ["2009-11-30", "2010-08-31", "2014-10-01", "2016-11-15"])
def test_an_answer_has_the_namespace_of_the_version_that_was_sent(wire: Wire, version: str) -> None:
    root = ET.fromstring(wire.post(f"Action=DescribeRegions&Version={version}".encode()).body)
    assert root.tag == f"{{http://ec2.amazonaws.com/doc/{version}/}}DescribeRegionsResponse"


@pytest.mark.parametrize("is_signed", [True, False])
@pytest.mark.parametrize(
    ("version", "root", "path"),
    [
        (_EC2, "Response", "Errors/Error/Code"),
        (_STS, "{https://sts.amazonaws.com/doc/2011-06-15/}ErrorResponse", "{*}Error/{*}Code"),
        (_IAM, "{https://iam.amazonaws.com/doc/2010-05-08/}ErrorResponse", "{*}Error/{*}Code"),
    ],
)
def test_each_service_has_its_own_document_for_errors(
    wire: Wire, version: str, root: str, path: str, is_signed: bool
) -> None:
    account = STRANGER if is_signed else None
    for how in ({"body": f"Action=Nothing&{version}".encode()}, {"query": f"Action=No&{version}"}):
        found = ET.fromstring(wire.post(**how, account=account).body)
        assert found.tag == root
        assert found.findtext(path) == (
            "InvalidAction" if is_signed else "MissingAuthenticationToken"
        )


def test_what_is_known_to_aws_is_unsupported_and_all_else_invalid(wire: Wire) -> None:
    for version, known in (
        (_EC2, "CreateVpnGateway"),
        (_STS, "DecodeAuthorizationMessage"),
        (_IAM, "CreateSAMLProvider"),
    ):
        assert wire.post(f"Action={known}&{version}".encode()).code == "UnsupportedOperation"
        assert f" {known} by " in wire.records[-1].getMessage()
        assert wire.post(f"Action=Nothing%0A&{version}".encode()).code == "InvalidAction"
        assert " ? by " in wire.records[-1].getMessage()


@pytest.mark.parametrize(
    ("body", "status", "phrase"),
    [
        (f"Action=DescribeRegions&{_EC2}", 200, "OK"),
        (f"Action=Nothing&{_EC2}", 400, "Bad Request"),
        (f"Action=CreateAccount&AccountName=abc&{_IAM}", 403, "Forbidden"),
        (f"Action=DescribeRegions&DryRun=true&{_EC2}", 412, "Precondition Failed"),
    ],
)
def test_status_lines_are_those_of_http(wire: Wire, body: str, status: int, phrase: str) -> None:
    reply = wire.post(body.encode(), account=STRANGER)
    assert (reply.status, reply.phrase) == (status, phrase)


# Doors


@pytest.mark.parametrize(
    ("mounted", "path"),
    [
        ("", "/"),
        ("", ""),
        ("", "/services/Eucalyptus"),
        ("", "/services/Eucalyptus/"),
        ("/services/compute", ""),
        ("/services/compute", "/"),
        ("/our cloud", "/ec2/"),
    ],
)
@pytest.mark.parametrize("server", ["REQUEST_URI", "RAW_URI", "absolute", "neither"])
def test_every_path_of_every_server(wire: Wire, mounted: str, path: str, server: str) -> None:
    """cheroot tells `REQUEST_URI`, gunicorn `RAW_URI`, and some tell neither."""
    query = f"Action=DescribeRegions&{_EC2}"
    sent = (mounted + path).replace(" ", "%20") or "/"
    told = {
        "REQUEST_URI": {"REQUEST_URI": f"{sent}?{query}"},
        "RAW_URI": {"REQUEST_URI": "", "RAW_URI": f"{sent}?{query}"},
        "absolute": {"REQUEST_URI": f"http://{HOST}{sent}?{query}"},
        "neither": {"REQUEST_URI": ""},
    }[server]
    where: dict[str, Any] = {"SCRIPT_NAME": mounted, "PATH_INFO": path, **told}
    for method in ("GET", "POST"):
        assert wire.post(query=query, method=method, path=sent, **where).code == ""


def test_query_and_form_are_one_request(wire: Wire) -> None:
    reply = wire.post(b"KeyName.1=nothing", query=f"Action=DescribeKeyPairs&{_EC2}")
    assert reply.code == "InvalidKeyPair.NotFound"


def test_a_body_and_its_length_come_from_any_server() -> None:
    asked = {"REQUEST_METHOD": "POST", "wsgi.input": io.BytesIO(b"Action=x")}
    known = read_request({**asked, "CONTENT_LENGTH": "8"}, most_bytes=8)
    asked["wsgi.input"] = io.BytesIO(b"Action=x")
    ended = read_request({**asked, "wsgi.input_terminated": True}, most_bytes=8)
    assert known.body == ended.body == b"Action=x"


# Whoever is not let in


def test_whether_a_thing_or_a_key_is_there_is_not_told(world: SimWorld, image: str) -> None:
    wire = Wire(EC2App(world.cloud, keys=AccountKeys()))
    [one] = wire.call("ec2", "RunInstances", {"ImageId": image, "MinCount": 1, "MaxCount": 1})[
        "Instances"
    ]
    scope = f"{time.strftime('%Y%m%d', time.gmtime())}/pycloud/ec2/aws4_request"
    told = set()
    for id_ in (one["InstanceId"], "i-12345678", "nothing"):
        for key in ("AKIA000000000001", "AKIANOBODY"):
            for action in ("TerminateInstances", "Nothing"):
                reply = wire.post(
                    f"Action={action}&InstanceId.1={id_}&{_EC2}".encode(),
                    account=None,
                    HTTP_X_AMZ_DATE=time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()),
                    HTTP_AUTHORIZATION=f"AWS4-HMAC-SHA256 Credential={key}/{scope}, "
                    f"SignedHeaders=host, Signature={'0' * 64}",
                )
                document = reply.body.replace(reply.request_id.encode(), b"")
                told.add((reply.status, reply.code, document))
    [(status, code, _)] = told
    assert (status, code) == (401, "AuthFailure")
    assert wire.records[-1].getMessage().split(": ")[0].endswith("? by anonymous")


def test_keys_that_no_database_can_look_for(new_database: NewDatabase) -> None:
    keys = ["\0", "AKIA\0", "é", "\U0001f600", "A" * 70_000]
    tokens = [{}, *({"SecurityToken": token} for token in ("\0", "é", "e30=", "A" * 70_000))]
    signature = {
        "SignatureVersion": "2",
        "SignatureMethod": "HmacSHA256",
        "Timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "Signature": "x",
    }
    with SimWorld(nodes=0, postgres_url=new_database()) as world:
        world.cloud.identity = Identity(world.cloud.state, Seal(bytes(32)))
        wire = Wire(EC2App(world.cloud))
        for key, token in product(keys, tokens):
            fields = {"Action": "DescribeRegions", "AWSAccessKeyId": key, **signature, **token}
            assert wire.post(urlencode(fields).encode(), account=None).code == "AuthFailure"


def test_a_request_that_is_sent_again_makes_nothing_again(world: SimWorld, image: str) -> None:
    """Whoever overhears it gains nothing: today's tools send a ClientToken with what makes new
    things that have no name.
    """
    kept: list[dict[str, Any]] = []

    class Overheard(EC2App):
        def __call__(self, environ: Any, start_response: Any) -> Any:
            kept.append({**environ, "wsgi.input": environ["wsgi.input"].getvalue()})
            return super().__call__(environ, start_response)

    wire = Wire(Overheard(world.cloud, keys=AccountKeys()))

    def replay() -> str:
        again = {**kept[-1], "wsgi.input": io.BytesIO(kept[-1]["wsgi.input"])}
        reply = wire.send(again)
        kept.pop()
        return reply.code

    asked = {"ImageId": image, "MinCount": 1, "MaxCount": 1, "ClientToken": "abc"}
    wire.call("ec2", "RunInstances", asked)
    assert replay() == ""
    [run] = wire.call("ec2", "DescribeInstances")["Reservations"]
    wire.call("ec2", "CreateKeyPair", {"KeyName": "eucatest"})
    assert replay() == "InvalidKeyPair.Duplicate"
    wire.call("ec2", "TerminateInstances", {"InstanceIds": [run["Instances"][0]["InstanceId"]]})
    assert replay() == ""


# The log


def test_no_secret_is_in_the_log(
    world: SimWorld, image: str, caplog: pytest.LogCaptureFixture
) -> None:
    world.cloud.identity = Identity(world.cloud.state, Seal(bytes(32)))
    wire = Wire(EC2App(world.cloud, keys=AccountKeys()))
    with caplog.at_level(logging.DEBUG):
        made = wire.call("iam", "CreateAccessKey")["AccessKey"]["SecretAccessKey"]
        token = wire.call("sts", "GetSessionToken")["Credentials"]
        key = wire.call("ec2", "CreateKeyPair", {"KeyName": "eucatest"})["KeyMaterial"]
        data = {"ImageId": image, "MinCount": 1, "MaxCount": 1, "UserData": "cGFzc3dvcmQ="}
        wire.call("ec2", "RunInstances", data)
    records = [one for one in caplog.records if not one.name.startswith("botocore")]
    ours = "\n".join(one.getMessage() for one in records)
    assert "RunInstances" in ours
    for secret in (made, token["SecretAccessKey"], token["SessionToken"], key, "cGFzc3dvcmQ="):
        assert secret not in ours


def test_an_error_of_the_database_does_not_say_what_was_written(
    new_database: NewDatabase,
) -> None:
    with SimWorld(nodes=0, postgres_url=new_database()) as world:
        statement = text("SELECT * FROM nothing WHERE secret = :secret")
        with pytest.raises(DBAPIError) as error, world.cloud.state.engine.connect() as connection:
            connection.execute(statement, {"secret": "user data"})
        assert "user data" not in str(error.value)


@pytest.mark.parametrize("error", [Cannot("no"), StateError("no"), RuntimeError("no")])
def test_a_fault_of_ours_is_told_to_the_log_alone(
    world: SimWorld,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(world.cloud.scheduler, "zones", fail)
    wire = Wire(EC2App(world.cloud, keys=AccountKeys()))
    with pytest.raises(AssertionError, match="Traceback"):
        wire.post(f"Action=DescribeAvailabilityZones&{_EC2}".encode())
    [told] = [one for one in caplog.records if one.exc_info]
    assert "DescribeAvailabilityZones failed" in told.getMessage()


# Text


@pytest.mark.parametrize(
    "name",
    [
        "\U0001f511\U0001f468\u200d\U0001f469\u200d\U0001f467",  # emoji, joined
        "\u202eright to left \u05de\u05e4\u05ea\u05d7",
        "<key>&amp;\"'",
        "a b\u00a0c\u2028d",
        "e\u0301",
        "\u00e9",
        "\ufeff bom",
        "\U0010ffff",
        "%41+%2B",
    ],
)
def test_names_and_tags_come_back_as_they_were(wire: Wire, name: str) -> None:
    tags = [{"ResourceType": "key-pair", "Tags": [{"Key": name, "Value": name}]}]
    made = wire.call("ec2", "CreateKeyPair", {"KeyName": name, "TagSpecifications": tags})
    assert made["KeyName"] == name
    [found] = wire.call("ec2", "DescribeKeyPairs", {"KeyNames": [name]})["KeyPairs"]
    assert (found["KeyName"], found["Tags"]) == (name, [{"Key": name, "Value": name}])
    wanted = [{"Name": f"tag:{name}", "Values": [name]}]
    assert wire.call("ec2", "DescribeKeyPairs", {"Filters": wanted})["KeyPairs"]


def test_what_looks_alike_is_kept_apart(wire: Wire) -> None:
    composed, decomposed = (unicodedata.normalize(form, "Schlüssel") for form in ("NFC", "NFD"))
    for name in (composed, decomposed):
        assert "Error" not in wire.call("ec2", "CreateKeyPair", {"KeyName": name})
    wire.call("ec2", "DeleteKeyPair", {"KeyName": composed})
    left = {one["KeyName"] for one in wire.call("ec2", "DescribeKeyPairs")["KeyPairs"]}
    assert composed not in left
    assert decomposed in left


@pytest.mark.parametrize(
    "character", ["\0", "\x01", "\t", "\r", "\n", "\x1b", "\x7f", "\ufffe", "\uffff"]
)
def test_what_xml_or_a_terminal_cannot_carry_is_refused(wire: Wire, character: str) -> None:
    for arguments in (
        {"KeyName": f"a{character}"},
        {
            "KeyName": "a",
            "TagSpecifications": [
                {"ResourceType": "key-pair", "Tags": [{"Key": "k", "Value": character}]}
            ],
        },
    ):
        refused = wire.call("ec2", "CreateKeyPair", arguments)
        assert refused["Error"]["Code"] == "InvalidParameterValue"


def test_user_data_of_a_stopped_instance_are_changed(world: SimWorld, image: str) -> None:
    wire = Wire(EC2App(world.cloud, keys=AccountKeys()))
    asked = {"ImageId": image, "MinCount": 1, "MaxCount": 1}
    [one] = wire.call("ec2", "RunInstances", asked)["Instances"]
    world.settle()
    wire.call("ec2", "StopInstances", {"InstanceIds": [one["InstanceId"]]})
    world.settle()
    changed = {"InstanceId": one["InstanceId"], "UserData": {"Value": b"\0\xff"}}
    assert "Error" not in wire.call("ec2", "ModifyInstanceAttribute", changed)
    which = {"InstanceId": one["InstanceId"], "Attribute": "userData"}
    assert wire.call("ec2", "DescribeInstanceAttribute", which)["UserData"]["Value"] == "AP8="


# Filters


@pytest.mark.parametrize(
    ("pattern", "text_", "matches"),
    [
        ("*", "", True),
        ("a*", "abc", True),
        ("*c", "abc", True),
        ("a*c", "ac", True),
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "a-c-b", False),
        ("*ab", "aab", True),
        ("*a?b*", "xxaaab", True),
        ("**a**", "bab", True),
        ("a?", "a", False),
        (r"a\*", "a*", True),
        (r"a\*", "ab", False),
        (r"\\*", r"\a", True),
        ("*.\n", "a.\n", True),
        ("*aab", "aaab", True),
    ],
)
def test_wildcards(pattern: str, text_: str, matches: bool) -> None:
    found = chosen([{"Name": text_}], [{"Name": "name", "Values": [pattern]}], {"name": "Name"})
    assert bool(found) is matches


def test_many_wildcards_do_not_keep_the_cloud_busy() -> None:
    values = ["*a" * 100 + "*b", "a*" * 100 + "?b", "*?*" * 100 + "b"]
    items = [{"Name": "a" * 256}] * 100
    began = time.process_time()
    assert not chosen(items, [{"Name": "name", "Values": values}], {"name": "Name"})
    assert time.process_time() - began < 5  # it takes 10 ms; with backtracking, years
