"""`Launch`: what a launch asks for, and what an instance's options may be."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from ipaddress import IPv4Address
from typing import Any

import attrs

from pycloud import limits
from pycloud.compute.placement import Pick, Placement
from pycloud.compute.records import (
    HttpEndpoint,
    HttpTokens,
    Image,
    Instance,
    InstanceState,
    KeyPair,
    ShutdownBehaviour,
)
from pycloud.compute.types import InstanceType
from pycloud.errors import Duplicate, InvalidValue
from pycloud.ids import AccountId, ImageId, InstanceId, ReservationId, SecurityGroupId

_CHOICES = {
    "http_tokens": ("optional", "required"),
    "http_endpoint": ("enabled", "disabled"),
    "shutdown_behaviour": ("stop", "terminate"),
}


@attrs.frozen
class Launch:
    """What was asked for, checked as far as that needs no state."""

    image: ImageId
    type: str
    count: int = attrs.field()
    min_count: int
    key: str | None
    user_data: bytes | None = attrs.field(repr=False)
    placement: Placement
    http_tokens: HttpTokens
    http_hop_limit: int
    http_endpoint: HttpEndpoint
    groups: tuple[SecurityGroupId, ...] | None
    protected: bool
    shutdown_behaviour: ShutdownBehaviour
    monitored: bool
    tags: Mapping[str, str]
    system_tags: Mapping[str, str]
    interface_tags: Mapping[str, str]
    account: AccountId

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.count <= limits.INSTANCES_PER_CALL:
            raise InvalidValue(
                f"a launch has 1 to {limits.INSTANCES_PER_CALL} instances, not {self.count}"
            )
        if not 1 <= self.min_count <= self.count:
            raise InvalidValue(
                f"the least number of instances is 1 to {self.count}, the most that is asked for; not {self.min_count}"
            )
        check_options(attrs.asdict(self, recurse=False))

    def instance(
        self,
        id: InstanceId,
        reservation: ReservationId,
        index: int,
        *,
        image: Image,
        kind: InstanceType,
        key: KeyPair | None,
        pick: Pick,
        address: IPv4Address,
        now: datetime,
    ) -> Instance:
        """Return one of the instances that are launched, in its first state."""
        return Instance(
            id=id,
            account=self.account,
            reservation_id=reservation,
            launch_index=index,
            image_id=image.id,
            kernel_id=image.kernel_id,
            ramdisk_id=image.ramdisk_id,
            type=kind.name,
            cpus=kind.cpus,
            memory_mib=kind.memory_mib,
            disk_gib=kind.disk_gib,
            key_name=self.key,
            public_key=None if key is None else key.public_key,
            user_data=self.user_data,
            http_tokens=self.http_tokens,
            http_hop_limit=self.http_hop_limit,
            http_endpoint=self.http_endpoint,
            node=pick.room.name,
            zone=pick.room.zone,
            group=self.placement.group,
            partition=pick.partition,
            address=address,
            state=InstanceState.PENDING,
            reason=None,
            boot=1,
            seen_boot=0,
            changed_at=now,
            launched_at=now,
            is_protected=self.protected,
            shutdown_behaviour=self.shutdown_behaviour,
            is_monitored=self.monitored,
        )

    def digest(self) -> str:
        """Return what is the same for the same request."""
        values = attrs.asdict(self)
        values["user_data"] = None if self.user_data is None else self.user_data.hex()
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def check_same(self, digest: str, client_token: str) -> None:
        """Raise `Duplicate` unless this is the launch with that digest, for which the token was
        used.
        """
        if digest != self.digest():
            raise Duplicate(
                f"client token {client_token!r} was used for another launch; a new request needs a new token"
            )


def check_options(options: Mapping[str, Any]) -> None:
    """Raise `InvalidValue` for what can't be right of an instance's options, as far as they are
    given.
    """
    user_data = options.get("user_data")
    if user_data is not None:
        if not isinstance(user_data, bytes):
            raise InvalidValue("user data is bytes: encode text first, as in '#!/bin/sh'.encode()")
        if len(user_data) > limits.USER_DATA_BYTES:
            raise InvalidValue(
                f"user data has at most {limits.USER_DATA_BYTES} bytes, not {len(user_data)}"
            )
    for name, allowed in _CHOICES.items():
        if options.get(name, allowed[0]) not in allowed:
            raise InvalidValue(
                f"{name} is {' or '.join(map(repr, allowed))}, not {options[name]!r}"
            )
    hops = options.get("http_hop_limit", 1)
    if not 1 <= hops <= limits.METADATA_HOP_LIMIT_MAX:
        raise InvalidValue(f"the hop limit is 1 to {limits.METADATA_HOP_LIMIT_MAX}, not {hops}")
