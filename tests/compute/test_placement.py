"""What may be where: placement groups, what is kept apart, labels, dedicated nodes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycloud.compute.index import NodeIndex
from pycloud.compute.placement import Member, Placement, Request, pick
from pycloud.compute.policies import RoundRobin
from pycloud.compute.records import GroupStrategy, NodeRoom, PlacementGroup
from pycloud.compute.types import InstanceType
from pycloud.errors import InvalidValue
from pycloud.ids import ADMIN_ACCOUNT, AccountId, GroupId, NodeName

KIND = InstanceType("m1.small", cpus=1, memory_mib=256, disk_gib=5)
OTHER = AccountId("000000000002")


def _index(sizes: Sequence[int], **values: Any) -> NodeIndex:
    """Return nodes with room for so many each, in zones `a` and `b` in turn."""
    index = NodeIndex(RoundRobin())
    for position, size in enumerate(sizes):
        name = NodeName(f"node{position}")
        zone = "ab"[position % 2]
        index.put(NodeRoom(name, zone, position, size, 256 * size, 5 * size, **values))
    return index


def _request(
    strategy: str | None = None, members: Sequence[Member] = (), **placement: Any
) -> Request:
    group = None
    if strategy is not None:
        kind = GroupStrategy(strategy)
        partitions = 3 if kind is GroupStrategy.PARTITION else None
        now = datetime.now(UTC)
        group = PlacementGroup(GroupId("pg-1"), ADMIN_ACCOUNT, "g", kind, partitions, now)
        placement.setdefault("group", "g")
    return Request(KIND, Placement(**placement), ADMIN_ACCOUNT, group, tuple(members))


def _names(index: NodeIndex, request: Request, count: int) -> list[str]:
    return [picked.room.name for picked in pick(index, request, count)]


def test_choosing_leaves_the_index_as_it_was() -> None:
    index = _index([2, 2])
    before = index.rooms
    assert _names(index, _request(), 9) == ["node0", "node1", "node0", "node1"]
    assert index.rooms == before
    assert _names(index, _request(), 9) == ["node0", "node1", "node0", "node1"]


def test_a_spread_group_has_one_instance_on_a_node() -> None:
    members = [Member(NodeName("node1"), "b", None)]
    assert _names(_index([5, 5, 5]), _request("spread", members), 5) == ["node0", "node2"]


def test_partitions_share_no_node_and_are_filled_evenly() -> None:
    picks = pick(_index([9] * 4), _request("partition"), 8)
    where: dict[str, set[int | None]] = {}
    for picked in picks:
        where.setdefault(picked.room.name, set()).add(picked.partition)
    assert all(len(partitions) == 1 for partitions in where.values())
    sizes = [sum(picked.partition == n for picked in picks) for n in (1, 2, 3)]
    assert sizes == [3, 3, 2]


def test_a_partition_that_is_asked_for_is_given() -> None:
    members = [Member(NodeName("node0"), "a", 1), Member(NodeName("node1"), "b", 2)]
    index = _index([1, 9, 1])
    picks = pick(index, _request("partition", members, partition=1), 3)
    assert [(picked.room.name, picked.partition) for picked in picks] == [
        ("node0", 1),
        ("node2", 1),
    ]


def test_a_cluster_group_stays_in_one_zone_and_on_few_nodes() -> None:
    assert _names(_index([3, 9, 3, 9]), _request("cluster"), 5) == ["node0"] * 3 + ["node2"] * 2


def test_a_cluster_group_goes_where_all_of_it_fits() -> None:
    assert set(_names(_index([3, 9, 3, 9]), _request("cluster"), 8)) <= {"node1", "node3"}
    largest = _names(_index([3, 9]), _request("cluster"), 20)
    assert largest == ["node1"] * 9


def test_a_cluster_group_stays_with_its_members() -> None:
    members = [Member(NodeName("node1"), "b", None)]
    assert _names(_index([9, 2, 9, 9]), _request("cluster", members), 4) == [
        "node1",
        "node1",
        "node3",
        "node3",
    ]
    assert _names(_index([9, 2]), _request("cluster", members, zone="a"), 1) == []


def test_what_is_kept_apart_is_apart() -> None:
    request = attrs.evolve(_request(), avoided=frozenset({NodeName("node0"), NodeName("node2")}))
    assert _names(_index([5, 1, 5]), request, 5) == ["node1"]


def test_an_explicit_node_is_taken_or_none() -> None:
    assert _names(_index([2, 2]), _request(node="node1"), 3) == ["node1", "node1"]
    avoided = attrs.evolve(_request(node="node1"), avoided=frozenset({NodeName("node1")}))
    assert _names(_index([2, 2]), avoided, 1) == []


def test_labels_must_all_be_there() -> None:
    index = _index([1, 1], labels={"disk": "ssd", "rack": "7"})
    assert _names(index, _request(labels={"disk": "ssd"}), 1) == ["node0"]
    assert _names(index, _request(labels={"disk": "ssd", "rack": "8"}), 1) == []


def test_dedicated_nodes_are_their_accounts_alone() -> None:
    index = _index([1, 1])
    first = index.get(NodeName("node0"))
    assert first is not None
    index.put(attrs.evolve(first, dedicated_to=OTHER))
    theirs = attrs.evolve(_request(dedicated=True), account=OTHER)
    assert _names(index, _request(), 2) == ["node1"]
    assert _names(index, theirs, 2) == ["node0"]
    assert _names(index, attrs.evolve(theirs, placement=Placement()), 2) == ["node0", "node1"]
    assert _names(index, _request(dedicated=True), 2) == []


@given(
    sizes=st.lists(st.integers(0, 4), min_size=1, max_size=6),
    strategy=st.sampled_from(["spread", "partition", "cluster", None]),
    count=st.integers(1, 12),
)
def test_no_rule_is_broken_whatever_the_nodes(
    sizes: list[int], strategy: str | None, count: int
) -> None:
    picks = pick(_index(sizes), _request(strategy), count)
    names = [picked.room.name for picked in picks]
    for position, size in enumerate(sizes):
        assert names.count(NodeName(f"node{position}")) <= size
    if strategy == "spread":
        assert len(names) == min(count, sum(size > 0 for size in sizes))
        assert len(set(names)) == len(names)
    elif strategy == "partition":
        pairs = {(picked.room.name, picked.partition) for picked in picks}
        assert len(pairs) == len(set(names))
    elif strategy == "cluster":
        assert len(names) == min(count, max(sum(sizes[::2]), sum(sizes[1::2])))
        assert len({picked.room.zone for picked in picks}) <= 1
    else:
        assert len(names) == min(count, sum(sizes))


def test_impossible_placements_are_refused_at_once() -> None:
    with pytest.raises(InvalidValue, match="partition 2 is one of a group"):
        Placement(partition=2)
    with pytest.raises(InvalidValue, match="at most 1000 others, not 1001"):
        Placement(apart_from=tuple(str(n) for n in range(1001)))
    with pytest.raises(InvalidValue, match=r"list of holders: \['i-1'\]"):
        Placement(apart_from="i-1")
    with pytest.raises(InvalidValue, match="a mapping of names to values, not"):
        Placement(labels=["ssd"])  # type: ignore[arg-type]
    with pytest.raises(InvalidValue, match=r"control characters.*'a\\nb'"):
        Placement(labels={"a\nb": "c"})
