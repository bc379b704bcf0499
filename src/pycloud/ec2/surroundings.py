"""What an answer about instances tells besides their own records, read once for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from pycloud.compute.records import Image, Instance
from pycloud.ec2.call import Call
from pycloud.ids import AccountId, ImageId, InstanceId, ReservationId
from pycloud.network.elastic import ElasticAddress
from pycloud.network.groups import SecurityGroup
from pycloud.network.vpcs import VPC
from pycloud.state.transaction import Transaction


@attrs.frozen
class Surroundings:
    """Images, tags, groups, addresses and networks of some instances."""

    images: Mapping[ImageId, Image]
    tags: Mapping[str, Mapping[str, str]]
    groups: Mapping[str, Sequence[SecurityGroup]]
    elastic: Mapping[InstanceId, ElasticAddress]
    vpcs: Mapping[AccountId, VPC]
    client_tokens: Mapping[ReservationId, str]

    @classmethod
    def of(cls, call: Call, tx: Transaction, found: Sequence[Instance]) -> Surroundings:
        """Read them."""
        cloud = call.cloud
        ids = [one.id for one in found]
        return cls(
            images={id_: cloud.images.known(tx, id_) for id_ in {one.image_id for one in found}},
            tags=cloud.tags.of(tx, ids),
            groups=cloud.groups.of(tx, ids),
            elastic={} if cloud.elastic is None else cloud.elastic.of(tx, ids),
            vpcs=cloud.vpcs.of(tx, {one.account for one in found}),
            client_tokens=cloud.instances.client_tokens(tx, {one.reservation_id for one in found}),
        )

    def groups_of(self, one: Instance) -> list[dict[str, str]]:
        """Return an instance's security groups as an answer has them: old tools read the name,
        today's the id.
        """
        return [
            {"GroupName": group.name, "GroupId": group.id} for group in self.groups.get(one.id, ())
        ]
