"""What a refusal says: counts for each constraint, the nearest node, and what would help."""

from __future__ import annotations

import pytest

from pycloud.compute.placement import Placement
from pycloud.compute.scheduler import ClusterScheduler
from pycloud.compute.types import InstanceType
from pycloud.drivers.sim import SimHost, sim_node
from pycloud.errors import NoRoom, NotFound
from pycloud.state.database import Database

SMALL = InstanceType("m1.small", cpus=1, memory_mib=256, disk_gib=5)
MANY = InstanceType("many", cpus=20, memory_mib=256, disk_gib=5)


@pytest.fixture
def cluster(state: Database) -> ClusterScheduler:
    """Six nodes with one thing against each."""
    hosts = {
        "little": SimHost(memory_mib=120),
        "less": SimHost(memory_mib=200),
        "full": SimHost(disk_gib=4),
        "mute": SimHost(),
        "drained": SimHost(),
        "elsewhere": SimHost(),
    }
    hosts["mute"].answers = False
    nodes = [
        sim_node(name, host, zone="b" if name == "elsewhere" else "a", labels={"name": name})
        for name, host in hosts.items()
    ]
    scheduler = ClusterScheduler(state, nodes)
    scheduler.open()
    scheduler.drain("drained")
    return scheduler


def test_a_refusal_says_all_that_can_be_known(cluster: ClusterScheduler) -> None:
    with pytest.raises(NoRoom) as refusal:
        cluster.place(SMALL, "x", Placement(zone="a"))
    assert str(refusal.value) == (
        "no room for 1 × m1.small (1 core, 256 MiB, 5 GiB): 6 nodes: "
        "2 lack memory (needs 256 MiB, at most 200 free, on less), "
        "1 is draining, "
        "1 is in another zone, "
        "1 lacks disk (needs 5 GiB, 4 free), "
        "1 is unusable (the simulated host does not answer); "
        "nearest: full lacks 1 GiB; "
        "it would fit without zone='a' (on elsewhere) or if drained were enabled"
    )


def test_an_explanation_has_parts_that_programs_can_use(cluster: ClusterScheduler) -> None:
    found = cluster.explain(SMALL, Placement(zone="a"))
    assert not found.fits
    assert (found.nodes, found.fitting, found.room_for) == (6, 0, 0)
    assert {one.reason: one.nodes for one in found.objections}["lack memory"] == 2
    assert found.nearest == "full lacks 1 GiB"
    assert found.remedies == ("without zone='a' (on elsewhere)", "if drained were enabled")
    with pytest.raises(NotFound, match="no zone 'c'"):
        cluster.explain(SMALL, Placement(zone="c"))


def test_what_fits_is_explained_too_and_nothing_is_claimed(cluster: ClusterScheduler) -> None:
    found = cluster.explain(SMALL, count=16)
    assert found.fits
    assert str(found).startswith("room for 16 × m1.small (1 core, 256 MiB, 5 GiB): 6 nodes: 1 fits")
    assert cluster.capacity([SMALL])["m1.small"].free == 16


def test_too_many_at_once_are_told_how_many_would_do(cluster: ClusterScheduler) -> None:
    with (
        pytest.raises(NoRoom, match=r"room for 16 only: .* it would fit with at most 16 at once"),
        cluster.state.transaction() as tx,
    ):
        cluster.claim(tx, SMALL, [str(n) for n in range(20)])


def test_a_node_that_rests_is_a_remedy_only_if_it_has_room_for_all(
    cluster: ClusterScheduler,
) -> None:
    assert "if drained were enabled" in cluster.explain(SMALL, count=32).remedies
    assert cluster.explain(SMALL, count=33).remedies == ("with at most 16 at once",)
    here = Placement(node="drained")
    assert cluster.explain(SMALL, here, count=16).remedies[-1] == "if drained were enabled"
    assert cluster.explain(SMALL, here, count=17).remedies == ()
    cluster.groups.create("g", "spread")
    cluster.place(SMALL, "a", Placement(group="g", node="elsewhere"))
    group = Placement(group="g")
    assert "if drained were enabled" in cluster.explain(SMALL, group).remedies
    assert "if drained were enabled" not in cluster.explain(SMALL, group, count=2).remedies
    assert cluster.explain(SMALL, count=15).fits, "nothing was changed by asking"


def test_the_nearest_node_is_the_one_that_lacks_the_smallest_share(state: Database) -> None:
    nodes = [
        sim_node("node1", SimHost(cpus=8)),
        sim_node("node2", SimHost(memory_mib=255, cpus=19)),
    ]
    scheduler = ClusterScheduler(state, nodes)
    scheduler.open()
    assert scheduler.explain(MANY).nearest == "node2 lacks 1 MiB and 1 core"
    assert scheduler.explain(SMALL, Placement(node="node2")).nearest == "node2 lacks 1 MiB"


@pytest.mark.parametrize(
    ("placement", "reason", "remedy"),
    [
        ({"node": "little"}, "not the node asked for", "without node='little' (on elsewhere)"),
        (
            {"labels": {"name": "less"}},
            "without the labels",
            "without labels={'name': 'less'} (on elsewhere)",
        ),
        ({"dedicated": True}, "not dedicated", "without dedicated (on elsewhere)"),
        (
            {"apart_from": ("tenant",), "zone": "b"},
            "where it must not be",
            "without apart_from (on elsewhere)",
        ),
        ({"group": "g", "zone": "b"}, "its group's already", "without group='g' (on elsewhere)"),
        ({"group": "c", "zone": "a"}, "away from its placement group", "without group"),
    ],
)
def test_each_constraint_is_counted_and_what_it_costs_is_told(
    cluster: ClusterScheduler, placement: dict[str, object], reason: str, remedy: str
) -> None:
    cluster.groups.create("g", "spread")
    cluster.groups.create("c", "cluster")
    cluster.place(SMALL, "tenant", Placement(node="elsewhere", group="g"))
    cluster.place(SMALL, "other", Placement(node="elsewhere", group="c"))
    found = cluster.explain(SMALL, Placement(**placement))  # type: ignore[arg-type]
    assert not found.fits
    assert reason in {one.reason for one in found.objections}
    if not remedy.endswith("group"):
        assert remedy in found.remedies


def test_a_cluster_without_nodes_says_so(state: Database) -> None:
    with pytest.raises(NoRoom, match=r"GiB\): 0 nodes$"):
        ClusterScheduler(state).place(SMALL, "x")
