"""The metadata service: what a guest asks at 169.254.169.254, as a WSGI callable.

Who asks is told by the address alone, so it must be served where guests cannot forge it. Sources:
"Instance metadata categories", "Use the Instance Metadata Service to access instance metadata",
"Instance identity documents" (EC2 user guide).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Self

import attrs

from pycloud import limits
from pycloud.clock import Clock, SystemClock
from pycloud.compute.records import Image, Instance
from pycloud.ids import AccountId, ImageId, InstanceId, ReservationId
from pycloud.network.records import mac_of

_VERSIONS = (
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
    "2011-01-01",
    "2011-05-01",
    "2012-01-12",
    "2014-02-25",
    "2014-11-05",
    "2015-10-20",
    "2016-04-19",
    "2016-06-30",
    "2016-09-02",
    "2018-03-28",
    "2018-08-17",
    "2018-09-24",
    "2019-10-01",
    "2020-10-27",
    "2021-01-03",
    "2021-03-23",
    "latest",
)
_TTL = "HTTP_X_AWS_EC2_METADATA_TOKEN_TTL_SECONDS"
_TOKEN = "HTTP_X_AWS_EC2_METADATA_TOKEN"  # noqa: S105 - the name of a header
_DIGITS = re.compile("[0-9]{1,5}")

Tree = Mapping[str, "Tree | str | bytes"]
StartResponse = Callable[[str, list[tuple[str, str]]], object]


@attrs.frozen
class InstanceMetadata:
    """What the service knows of one guest."""

    instance_id: InstanceId
    account: AccountId
    reservation_id: ReservationId
    launch_index: int
    image_id: ImageId
    kernel_id: ImageId | None
    ramdisk_id: ImageId | None
    manifest_path: str
    type: str
    address: IPv4Address
    mac: str
    subnet: str
    hostname: str
    domain: str
    zone: str
    region: str
    key_name: str | None
    public_key: str | None
    user_data: bytes | None = attrs.field(repr=False)
    launched_at: datetime
    http_tokens: str
    """`optional` or `required`."""
    http_hop_limit: int
    """How many hops the answer with a token may go: 1 to 64."""
    security_groups: tuple[str, ...] = ("default",)
    http_endpoint: str = "enabled"
    """`enabled`, or `disabled`: then the guest is told nothing."""
    architecture: str = "x86_64"
    block_devices: tuple[tuple[str, str], ...] = (("ami", "vda"), ("root", "/dev/vda"))
    """Pairs of a name (`ami`, `root`, `ebsN`, `ephemeralN`) and a device."""

    @classmethod
    def of(
        cls,
        instance: Instance,
        image: Image,
        groups: Sequence[str],
        *,
        network: IPv4Network,
        domain: str,
        region: str,
    ) -> Self:
        """Return what is told to the guest of an instance that has an address."""
        assert instance.address is not None
        return cls(
            instance_id=instance.id,
            account=instance.account,
            reservation_id=instance.reservation_id,
            launch_index=instance.launch_index,
            image_id=instance.image_id,
            kernel_id=instance.kernel_id,
            ramdisk_id=instance.ramdisk_id,
            manifest_path=image.location,
            type=instance.type,
            address=instance.address,
            mac=mac_of(instance.address),
            subnet=str(network),
            hostname=instance.hostname,
            domain=domain,
            zone=instance.zone,
            region=region,
            key_name=instance.key_name,
            public_key=instance.public_key,
            user_data=instance.user_data,
            launched_at=instance.launched_at,
            http_tokens=instance.http_tokens,
            http_hop_limit=instance.http_hop_limit,
            http_endpoint=instance.http_endpoint,
            security_groups=tuple(groups),
        )


class MetadataApp:
    """The service for the guests that `lookup` knows by their address.

    Tokens (IMDSv2) are signed with `secret` (32 random bytes; made up if there is none), so several
    processes that share it, or one that starts again, honour each other's. The server must put the
    client's own address into REMOTE_ADDR; whoever `lookup` does not know learns nothing.

    >>> app = MetadataApp(lambda address: None)
    >>> app({"REMOTE_ADDR": "10.11.0.4", "PATH_INFO": "/latest/"}, lambda status, headers: print(status))
    404 Not Found
    [b'']
    """

    def __init__(
        self,
        lookup: Callable[[IPv4Address], InstanceMetadata | None],
        *,
        clock: Clock | None = None,
        secret: bytes | None = None,
    ) -> None:
        self._lookup = lookup
        self._clock: Clock = clock or SystemClock()
        self._secret = secrets.token_bytes(32) if secret is None else secret

    def __call__(
        self, environ: Mapping[str, Any], start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        status, body, headers = self._answer(environ)
        kind = ("Content-Type", "text/plain")
        start_response(status, [kind, ("Content-Length", str(len(body))), *headers])
        return [b"" if environ.get("REQUEST_METHOD") == "HEAD" else body]

    def _answer(self, environ: Mapping[str, Any]) -> tuple[str, bytes, list[tuple[str, str]]]:
        guest = self._guest(environ)
        method = environ.get("REQUEST_METHOD", "GET")
        path = environ.get("PATH_INFO", "/")
        if guest is None:
            return "404 Not Found", b"", []
        if guest.http_endpoint == "disabled":
            return "403 Forbidden", b"", []
        if method == "PUT":
            return self._give_token(guest, path, environ)
        if method not in ("GET", "HEAD"):
            return "405 Method Not Allowed", b"", [("Allow", "GET, HEAD, PUT")]
        if not self._may_ask(guest, environ):
            return "401 Unauthorized", b"", []
        found = _find(guest, path)
        return ("404 Not Found", b"", []) if found is None else ("200 OK", found, [])

    def _guest(self, environ: Mapping[str, Any]) -> InstanceMetadata | None:
        try:
            return self._lookup(IPv4Address(environ.get("REMOTE_ADDR", "")))
        except ValueError:
            return None

    def _give_token(
        self, guest: InstanceMetadata, path: str, environ: Mapping[str, Any]
    ) -> tuple[str, bytes, list[tuple[str, str]]]:
        if path.rstrip("/") != "/latest/api/token":
            return "405 Method Not Allowed", b"", [("Allow", "GET, HEAD")]
        if "HTTP_X_FORWARDED_FOR" in environ:
            return "403 Forbidden", b"", []  # a proxy asks: it would hand our answer on
        ttl = environ.get(_TTL, "")
        # Five digits are enough, and more need not be read.
        if not (_DIGITS.fullmatch(ttl) and 1 <= int(ttl) <= limits.METADATA_TOKEN_MAX_S):
            return "400 Bad Request", b"", []
        # The answer goes no further than this many hops: not out of a container, by default.
        set_ttl = environ.get("pycloud.set_ttl")
        if set_ttl is not None:
            set_ttl(guest.http_hop_limit)
        token = self._token(guest, int(self._clock.now().timestamp()) + int(ttl))
        return "200 OK", token.encode(), [("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", ttl)]

    def _token(self, guest: InstanceMetadata, expires: int) -> str:
        message = f"{guest.instance_id}/{expires}".encode()
        return f"{expires:x}-{hmac.new(self._secret, message, hashlib.sha256).hexdigest()}"

    def _may_ask(self, guest: InstanceMetadata, environ: Mapping[str, Any]) -> bool:
        """A token that is given must be good, also where none is needed."""
        token = environ.get(_TOKEN)
        if token is None:
            return guest.http_tokens != "required"
        try:
            expires = int(token.partition("-")[0], 16)
        except ValueError:
            return False
        good = hmac.compare_digest(token.encode(), self._token(guest, expires).encode())
        return good and expires > self._clock.now().timestamp()


def _find(guest: InstanceMetadata, path: str) -> bytes | None:
    """Return what is at `path`: a value, or a directory's children, one a line, directories with
    a slash.
    """
    version, *names = [name for name in path.split("/") if name] or [""]
    if not version:
        return "\n".join(_VERSIONS).encode()
    if version not in _VERSIONS:
        return None
    place: Tree | str | bytes = _tree(guest)
    for name in names:
        if isinstance(place, str | bytes) or name not in place:
            return None
        place = place[name]
    if not names and isinstance(place, Mapping):
        # AWS marks no directories here, and Salt compares the list whole.
        return "\n".join(place).encode()
    value = _listing(place) if isinstance(place, Mapping) else place
    return value.encode() if isinstance(value, str) else value


def _listing(directory: Tree) -> str:
    """Return what a directory shows: its children, or what it has under the empty name."""
    own = directory.get("")
    if isinstance(own, str):
        return own
    return "\n".join(_listed(name, child) for name, child in directory.items())


def _listed(name: str, child: Tree | str | bytes) -> str:
    return f"{name}/" if isinstance(child, Mapping) else name


def _tree(guest: InstanceMetadata) -> Tree:
    tree: dict[str, Tree | str | bytes] = {
        "dynamic": {"instance-identity": {"document": _document(guest)}},
        "meta-data": _meta_data(guest),
    }
    if guest.user_data is not None:
        tree["user-data"] = guest.user_data
    return tree


def _meta_data(guest: InstanceMetadata) -> Tree:
    full_name = f"{guest.hostname}.{guest.domain}"
    tree: dict[str, Tree | str | bytes] = {
        "ami-id": guest.image_id,
        "ami-launch-index": str(guest.launch_index),
        "ami-manifest-path": guest.manifest_path,
        "block-device-mapping": dict(guest.block_devices),
        "hostname": full_name,
        "instance-action": "none",
        "instance-id": guest.instance_id,
        "instance-type": guest.type,
        "local-hostname": full_name,
        "local-ipv4": str(guest.address),
        "mac": guest.mac,
        "network": {"interfaces": {"macs": {guest.mac: _interface(guest, full_name)}}},
        "placement": {"availability-zone": guest.zone, "region": guest.region},
        "product-codes": "",
        "public-hostname": full_name,
        "public-ipv4": str(guest.address),
        "reservation-id": guest.reservation_id,
        "security-groups": "\n".join(guest.security_groups),
        "services": {"domain": guest.domain, "partition": "aws"},
    }
    if guest.kernel_id is not None:
        tree["kernel-id"] = guest.kernel_id
    if guest.ramdisk_id is not None:
        tree["ramdisk-id"] = guest.ramdisk_id
    if guest.public_key is not None:
        line = f"{guest.public_key} {guest.key_name}\n"
        tree["public-keys"] = {"": f"0={guest.key_name}", "0": {"openssh-key": line}}
    return dict(sorted(tree.items()))


def _interface(guest: InstanceMetadata, full_name: str) -> Tree:
    return {
        "device-number": "0",
        "local-hostname": full_name,
        "local-ipv4s": str(guest.address),
        "mac": guest.mac,
        "owner-id": guest.account,
        "public-hostname": full_name,
        "public-ipv4s": str(guest.address),
        "security-groups": "\n".join(guest.security_groups),
        "subnet-ipv4-cidr-block": guest.subnet,
        "vpc-ipv4-cidr-block": guest.subnet,
        "vpc-ipv4-cidr-blocks": guest.subnet,
    }


def _document(guest: InstanceMetadata) -> str:
    values = {
        "accountId": guest.account,
        "architecture": guest.architecture,
        "availabilityZone": guest.zone,
        "billingProducts": None,
        "devpayProductCodes": None,
        "imageId": guest.image_id,
        "instanceId": guest.instance_id,
        "instanceType": guest.type,
        "kernelId": guest.kernel_id,
        "marketplaceProductCodes": None,
        "pendingTime": guest.launched_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "privateIp": str(guest.address),
        "ramdiskId": guest.ramdisk_id,
        "region": guest.region,
        "version": "2017-09-30",
    }
    return json.dumps(values, indent=2)
