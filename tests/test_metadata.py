"""The metadata service, asked over real HTTP."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import IPv4Address
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycloud.clock import ManualClock
from pycloud.drivers.serve import WsgiServer
from pycloud.errors import Cannot, InvalidValue
from pycloud.ids import ADMIN_ACCOUNT, ImageId, InstanceId, ReservationId
from pycloud.metadata import InstanceMetadata, MetadataApp

GUEST = InstanceMetadata(
    instance_id=InstanceId("i-0123456789abcdef0"),
    account=ADMIN_ACCOUNT,
    reservation_id=ReservationId("r-1"),
    launch_index=2,
    image_id=ImageId("emi-1"),
    kernel_id=ImageId("eki-1"),
    ramdisk_id=None,
    manifest_path="bucket/key",
    type="m1.small",
    address=IPv4Address("127.0.0.1"),
    mac="0e:cd:7f:00:00:01",
    subnet="127.0.0.0/24",
    hostname="ip-127-0-0-1",
    domain="pycloud.internal",
    zone="cluster01",
    region="pycloud",
    key_name="eucatest",
    public_key="ssh-ed25519 AAAA",
    user_data=b"\x00\xff#!",
    launched_at=datetime(2024, 5, 1, 12, 0, tzinfo=UTC),
    http_tokens="optional",
    http_hop_limit=3,
)
TTL = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "X-aws-ec2-metadata-token"


class Service:
    """The service with one guest, whose record a test may change."""

    def __init__(self) -> None:
        self.guest: InstanceMetadata | None = GUEST
        self.clock = ManualClock()
        self.ttls: list[int] = []
        self.app = MetadataApp(lambda address: self.guest, clock=self.clock, secret=b"s")
        self.server = WsgiServer(self._watched)

    def _watched(self, environ: dict[str, Any], start_response: Any) -> Any:
        set_ttl = environ["pycloud.set_ttl"]

        def watched(hops: int) -> None:
            self.ttls.append(hops)
            set_ttl(hops)

        return self.app(environ | {"pycloud.set_ttl": watched}, start_response)

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=named)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body

    def token(self, ttl: str = "60") -> str:
        status, token = self.ask("/latest/api/token", "PUT", **{TTL: ttl})
        assert status == 200
        return token.decode()


@pytest.fixture(scope="module")
def one_service() -> Iterator[Service]:
    service = Service()
    with service.server:
        yield service


@pytest.fixture
def service(one_service: Service) -> Service:
    one_service.guest = GUEST
    one_service.ttls.clear()
    return one_service


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("ami-id", "emi-1"),
        ("ami-launch-index", "2"),
        ("ami-manifest-path", "bucket/key"),
        ("block-device-mapping/", "ami\nroot"),
        ("block-device-mapping/ami", "vda"),
        ("hostname", "ip-127-0-0-1.pycloud.internal"),
        ("instance-id", "i-0123456789abcdef0"),
        ("instance-type", "m1.small"),
        ("kernel-id", "eki-1"),
        ("local-hostname", "ip-127-0-0-1.pycloud.internal"),
        ("local-ipv4", "127.0.0.1"),
        ("mac", "0e:cd:7f:00:00:01"),
        ("network/interfaces/macs/", "0e:cd:7f:00:00:01/"),
        ("network/interfaces/macs/0e:cd:7f:00:00:01/local-ipv4s", "127.0.0.1"),
        ("placement/", "availability-zone\nregion"),
        ("placement/availability-zone", "cluster01"),
        ("placement/region", "pycloud"),
        ("product-codes", ""),
        ("public-hostname", "ip-127-0-0-1.pycloud.internal"),
        ("public-ipv4", "127.0.0.1"),
        ("public-keys/", "0=eucatest"),
        ("public-keys/0/", "openssh-key"),
        ("public-keys/0/openssh-key", "ssh-ed25519 AAAA eucatest\n"),
        ("reservation-id", "r-1"),
        ("security-groups", "default"),
        ("services/domain", "pycloud.internal"),
    ],
)
@pytest.mark.parametrize("version", ["latest", "2021-03-23", "1.0"])
def test_each_key_has_its_value(service: Service, version: str, path: str, value: str) -> None:
    assert service.ask(f"/{version}/meta-data/{path}") == (200, value.encode())


def test_directories_list_their_children(service: Service) -> None:
    assert service.ask("/latest/")[1] == b"dynamic\nmeta-data\nuser-data", (
        "as AWS has it, without slashes"
    )
    listed = service.ask("/latest/meta-data")[1].decode().split("\n")
    assert {"ami-id", "placement/", "public-keys/"} <= set(listed)
    assert "ramdisk-id" not in listed, "what the guest has not is not listed"
    assert b"latest" in service.ask("/")[1]


def test_the_identity_document_says_who_it_is(service: Service) -> None:
    status, body = service.ask("/latest/dynamic/instance-identity/document")
    document = json.loads(body)
    assert status == 200
    assert document["instanceId"] == "i-0123456789abcdef0"
    assert document["pendingTime"] == "2024-05-01T12:00:00Z"


def test_user_data_comes_byte_for_byte_or_not_at_all(service: Service) -> None:
    assert service.ask("/latest/user-data") == (200, b"\x00\xff#!")
    service.guest = attrs.evolve(GUEST, user_data=None)
    assert service.ask("/latest/user-data")[0] == 404


def test_a_token_is_good_for_its_time(service: Service) -> None:
    service.guest = attrs.evolve(GUEST, http_tokens="required")
    assert service.ask("/latest/meta-data/ami-id")[0] == 401
    token = service.token("60")
    assert service.ask("/latest/meta-data/ami-id", **{TOKEN: token}) == (200, b"emi-1")
    service.clock.advance(seconds=61)
    assert service.ask("/latest/meta-data/ami-id", **{TOKEN: token})[0] == 401


def test_a_token_is_its_guests_alone(service: Service) -> None:
    token = service.token()
    service.guest = attrs.evolve(GUEST, instance_id=InstanceId("i-other"))
    assert service.ask("/latest/meta-data/ami-id", **{TOKEN: token})[0] == 401


@pytest.mark.parametrize("token", ["", "x", "ffffffffff-00", "-", "ffffffffff-" + "0" * 64])
def test_a_bad_token_is_refused_even_where_none_is_needed(service: Service, token: str) -> None:
    assert service.ask("/latest/meta-data/ami-id", **{TOKEN: token})[0] == 401


@pytest.mark.parametrize("ttl", ["", "0", "21601", "-1", "1e3", "9" * 5000, "٣"])
def test_a_token_has_1_s_to_6_hours(service: Service, ttl: str) -> None:
    status, _ = service.ask("/latest/api/token", "PUT", **{TTL: ttl.encode().decode("latin-1")})
    assert status in (400, 413)


def test_tokens_outlive_the_process_that_gave_them(service: Service) -> None:
    token = service.token()
    service.app = MetadataApp(lambda address: service.guest, clock=service.clock, secret=b"s")
    assert service.ask("/latest/meta-data/ami-id", **{TOKEN: token})[0] == 200


def test_only_the_answer_with_the_token_has_the_hop_limit(service: Service) -> None:
    service.ask("/latest/meta-data/ami-id")
    assert service.ttls == []
    service.token()
    assert service.ttls == [3]


def test_proxies_get_no_token(service: Service) -> None:
    headers = {TTL: "60", "X-Forwarded-For": "10.0.0.1"}
    assert service.ask("/latest/api/token", "PUT", **headers)[0] == 403


def test_strangers_learn_nothing(service: Service) -> None:
    service.guest = None
    for method in ("GET", "PUT", "POST"):
        assert service.ask("/latest/meta-data/", method) == (404, b"")


@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS"])
def test_other_methods_are_not_allowed(service: Service, method: str) -> None:
    assert service.ask("/latest/meta-data/", method)[0] == 405
    assert service.ask("/latest/meta-data/", "PUT")[0] == 405


def test_head_has_no_body(service: Service) -> None:
    assert service.ask("/latest/meta-data/ami-id", "HEAD") == (200, b"")


@given(st.text(max_size=60))
def test_no_path_breaks_it(path: str) -> None:
    said: list[str] = []
    app = MetadataApp(lambda address: GUEST)
    environ = {"REMOTE_ADDR": "127.0.0.1", "REQUEST_METHOD": "GET", "PATH_INFO": path}
    app(environ, lambda status, headers: said.append(status))
    assert said[0][:3] in ("200", "404")


def test_a_taken_port_is_named(service: Service) -> None:
    with pytest.raises(Cannot, match=f"127.0.0.1:{service.server.port}"):
        WsgiServer(service.app, port=service.server.port).start()
    with pytest.raises(InvalidValue, match="not 70000"):
        WsgiServer(service.app, port=70000)


def test_an_address_that_does_not_exist_yet_can_be_bound(service: Service) -> None:
    with WsgiServer(service.app, "198.51.100.7", freebind=True) as server:
        assert server.port > 0


def test_a_service_that_is_switched_off_tells_nothing(service: Service) -> None:
    service.guest = attrs.evolve(GUEST, http_endpoint="disabled")
    assert service.ask("/latest/meta-data/ami-id") == (403, b"")


def test_what_the_guest_is_told_of_its_machine(service: Service) -> None:
    service.guest = attrs.evolve(
        GUEST, architecture="arm64", block_devices=(("root", "/dev/vda"), ("ebs1", "vdb"))
    )
    assert service.ask("/latest/meta-data/block-device-mapping/ebs1") == (200, b"vdb")
    document = json.loads(service.ask("/latest/dynamic/instance-identity/document")[1])
    assert document["architecture"] == "arm64"
