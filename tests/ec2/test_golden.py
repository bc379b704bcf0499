"""Conversations as files to read: what was asked in a version of the API, and what came back.

`WRITE_GOLDEN=1 pytest tests/ec2/test_golden.py` writes them anew; then look at the difference.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlencode
from xml.dom import minidom

import pytest

from pycloud.ec2 import EC2App
from pycloud.identity.identity import Identity
from pycloud.identity.sealing import Seal
from pycloud.ids import ADMIN_ACCOUNT, AccountId
from pycloud.testing.world import SimWorld
from tests.ec2.conftest import AccountKeys
from tests.ec2.wire import Wire

_HERE = Path(__file__).parent / "golden"
_IDS = re.compile(
    r"(?P<request>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    r"|\b(?P<prefix>[a-z]+(?:-attach)?)-[0-9a-f]{17}\b"
    r"|(?P<user>AIDA[A-Z2-7]{17})"
)
_SECRETS = [
    (re.compile("-----BEGIN .*-----END [A-Z ]+-----\n?", re.DOTALL), "(a private key)"),
    (re.compile("([0-9a-f]{2}:){19}[0-9a-f]{2}"), "(its fingerprint)"),
]


class Conversation:
    """Asks, and writes down what was said."""

    def __init__(self, wire: Wire, path: str) -> None:
        self._wire = wire
        self._path = path
        self._said: list[str] = []
        self._named: dict[str, str] = {}

    def ask(self, account: AccountId | None = ADMIN_ACCOUNT, **parameters: str) -> str:
        """Send a request; return the answer's document."""
        named = {name.replace("_", "."): value for name, value in parameters.items()}
        reply = self._wire.post(urlencode(named).encode(), path=self._path, account=account)
        document = reply.body.decode()
        lines = [f"{name}={value}" for name, value in named.items()]
        root = minidom.parseString(self._without_secrets(document)).documentElement
        assert root is not None
        asked = f"POST {self._path}{' (not signed)' if account is None else ''}"
        got = [f"{reply.status} {reply.phrase}", "", root.toprettyxml(indent="  ")]
        shown = [asked, *lines, "", *got]
        self._said.append(self._with_names("\n".join(shown)))
        return document

    @property
    def text(self) -> str:
        """All of it."""
        return f"{'-' * 70}\n".join(self._said)

    @staticmethod
    def _without_secrets(document: str) -> str:
        for pattern, instead in _SECRETS:
            document = pattern.sub(instead, document)
        return document

    def _with_names(self, text: str) -> str:
        """Number ids in the order in which they come up: `i-1`, `r-1`, `request-1`."""

        def named(found: re.Match[str]) -> str:
            kind = found["prefix"] or ("request" if found["request"] else "user")
            if found[0] not in self._named:
                others = [name for name in self._named.values() if name.startswith(f"{kind}-")]
                self._named[found[0]] = f"{kind}-{len(others) + 1}"
            return self._named[found[0]]

        return _IDS.sub(named, text)


@pytest.fixture
def small(world: SimWorld) -> SimWorld:
    """The `world`, with users, and as few types as tell what rows look like."""
    world.cloud.identity = Identity(world.cloud.state, Seal(bytes(32)))
    world.cloud.identity.users.get("admin")
    for kind in world.cloud.types.list():
        if kind.name not in ("m1.small", "c1.medium"):
            world.cloud.types.remove(kind.name)
    return world


@pytest.mark.parametrize(
    ("version", "path"),
    [
        ("2009-11-30", "/services/Eucalyptus"),
        ("2010-08-31", "/services/Eucalyptus"),
        ("2014-10-01", "/services/compute/"),
        ("2015-10-01", "/"),
        ("2016-11-15", "/"),
    ],
)
def test_the_session_of_the_article(small: SimWorld, version: str, path: str) -> None:
    talk = Conversation(Wire(EC2App(small.cloud, keys=AccountKeys())), path)
    talk.ask(Action="CreateKeyPair", KeyName="eucatest", Version=version)
    images = talk.ask(Action="DescribeImages", Owner_1="self", Version=version)
    talk.ask(Action="DescribeImages", ExecutableBy_1="self", Version=version)
    talk.ask(Action="DescribeAvailabilityZones", ZoneName_1="verbose", Version=version)
    [image] = set(re.findall("emi-[0-9a-f]{17}", images))
    run = {"ImageId": image, "KeyName": "eucatest", "InstanceType": "m1.small"}
    launched = talk.ask(Action="RunInstances", **run, MinCount="1", MaxCount="1", Version=version)
    [instance] = re.findall("<instanceId>(.*?)</instanceId>", launched)
    which = {"InstanceId_1": instance, "Version": version}
    talk.ask(Action="DescribeInstances", **which)
    small.settle()
    talk.ask(Action="DescribeInstances", **which)
    talk.ask(Action="TerminateInstances", **which)
    small.settle()
    talk.ask(Action="DescribeInstances", **which)
    _compare(f"{version}.http", talk.text)


def test_who_one_is(small: SimWorld) -> None:
    talk = Conversation(Wire(EC2App(small.cloud, keys=AccountKeys())), "/")
    talk.ask(Action="GetCallerIdentity", Version="2011-06-15")
    talk.ask(Action="GetUser", Version="2010-05-08")
    talk.ask(Action="ListAccountAliases", Version="2010-05-08")
    _compare("identity.http", talk.text)


def test_errors(small: SimWorld) -> None:
    talk = Conversation(Wire(EC2App(small.cloud, keys=AccountKeys())), "/")
    instance = "i-0123456789abcdef0"
    talk.ask(Action="TerminateInstances", InstanceId_1=instance, Version="2016-11-15")
    talk.ask(Action="TerminateInstances", InstanceId_1="eucatest", Version="2009-11-30")
    talk.ask(Action="DescribeInstances", DryRun="true", Version="2016-11-15")
    talk.ask(Action="CreateVpnGateway", Type="ipsec.1", Version="2016-11-15")
    talk.ask(Action="StealInstances", Version="2016-11-15")
    talk.ask(None, Action="DescribeInstances", Version="2016-11-15")
    talk.ask(Action="GetSessionToken", DurationSeconds="5", Version="2011-06-15")
    talk.ask(None, Action="GetCallerIdentity", Version="2011-06-15")
    talk.ask(Action="GetUser", UserName="nobody", Version="2010-05-08")
    _compare("errors.http", talk.text)


def _compare(name: str, text: str) -> None:
    path = _HERE / name
    if os.environ.get("WRITE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), "WRITE_GOLDEN=1 writes it anew"
