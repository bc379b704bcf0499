"""The EC2 API beside the routes of somebody else's service, on their server and on ours."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from flask import Flask
from werkzeug.serving import make_server

from examples.inside_flask import make_service, simulated_cloud
from pycloud.drivers.serve import WsgiServer

_SOON = {"Delay": 0.1, "MaxAttempts": 100}


@contextmanager
def _pyclouds(service: Flask) -> Iterator[int]:
    with WsgiServer(service) as server:
        yield server.port


@contextmanager
def _flasks(service: Flask) -> Iterator[int]:
    server = make_server("127.0.0.1", 0, service, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(params=[_pyclouds, _flasks])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with simulated_cloud(tmp_path) as cloud, request.param(make_service(cloud)) as port:
        yield f"http://127.0.0.1:{port}"


def _sign_up(url: str, name: str) -> dict[str, str]:
    with urlopen(Request(f"{url}/customers/{name}", method="POST"), timeout=20) as answer:
        signed_up: dict[str, str] = json.load(answer)
    return signed_up


def _front(url: str) -> str:
    with urlopen(url, timeout=20) as answer:
        return str(answer.read().decode())


def _client(url: str, key: str, secret: str, service: str = "ec2", *, path: str = "cloud") -> Any:
    return boto3.client(
        service,
        endpoint_url=f"{url}/{path}",
        region_name="pycloud",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}),
    )


def test_customers_launch_beside_the_services_own_routes(url: str) -> None:
    assert _front(url) == "0 customers have 0 machines here\n"
    alice, bob = _sign_up(url, "alice"), _sign_up(url, "bob")
    ec2 = _client(url, alice["key"], alice["secret"])
    [image] = ec2.describe_images(ExecutableUsers=["all"])["Images"]
    [instance] = ec2.run_instances(ImageId=image["ImageId"], MinCount=1, MaxCount=1)["Instances"]
    ids = [instance["InstanceId"]]
    ec2.get_waiter("instance_running").wait(InstanceIds=ids, WaiterConfig=_SOON)
    assert _front(url) == "2 customers have 1 machines here\n"
    who = _client(url, alice["key"], alice["secret"], "sts").get_caller_identity()
    assert (who["Account"], who["Arn"]) == (
        alice["account"],
        f"arn:aws:iam::{alice['account']}:user/alice",
    )
    others = _client(url, bob["key"], bob["secret"], path="cloud/services/Eucalyptus/")
    assert others.describe_instances()["Reservations"] == []


def test_nobody_else_is_let_in(url: str) -> None:
    alice, bob = _sign_up(url, "alice"), _sign_up(url, "bob")
    for key, secret in (("SHOPunknown", "x"), (alice["key"], bob["secret"])):
        with pytest.raises(ClientError) as refused:
            _client(url, key, secret).describe_instances()
        assert refused.value.response["Error"]["Code"] == "AuthFailure"


def test_the_services_own_refusals_are_its_own(url: str) -> None:
    _sign_up(url, "alice")
    for path, status, said in (
        ("customers/alice", 400, "there is an account 'alice' already"),
        ("customers/X", 400, "'X' cannot name an account"),
        ("clouds", 404, "Not Found"),
    ):
        with pytest.raises(HTTPError) as refused:
            urlopen(Request(f"{url}/{path}", method="POST"), timeout=20)
        with refused.value as answer:
            assert (answer.code, said in answer.read().decode()) == (status, True)
