"""The public verbs: what they promise, and what they refuse."""

from __future__ import annotations

import logging
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from pathlib import Path

import attrs
import pytest
from sqlalchemy import select

from pycloud import limits
from pycloud.compute.hypervisor import OffReason
from pycloud.compute.placement import Placement
from pycloud.compute.records import Instance, InstanceState
from pycloud.compute.types import InstanceType
from pycloud.drivers.sim import Fault
from pycloud.errors import (
    Duplicate,
    InvalidValue,
    NoRoom,
    NotFound,
    NotSettled,
    PyCloudError,
    WrongState,
)
from pycloud.ids import AccountId, DiskId, ImageId, InstanceId
from pycloud.state.schema import journal, key_pairs
from pycloud.testing.world import SimWorld
from tests.conftest import NewDatabase

MISSING = InstanceId("i-0123456789abcdef0")


@pytest.fixture
def world(tmp_path: Path, new_database: NewDatabase) -> Iterator[SimWorld]:
    with SimWorld(tmp_path, nodes=1, postgres_url=new_database()) as world:
        yield world


def _run(world: SimWorld, **values: object) -> Instance:
    [instance] = world.cloud.run_instances(world.images.machine.id, **values)  # type: ignore[arg-type]
    world.settle()
    return world.cloud.describe_instances([instance.id])[0]


def test_a_launch_carries_all_that_was_asked_for(world: SimWorld) -> None:
    key = world.cloud.keypairs.create("eucatest")
    made = world.cloud.run_instances(
        world.images.machine.id,
        type="m1.medium",
        count=3,
        key="eucatest",
        user_data=b"#!/bin/sh",
        http_tokens="required",
        http_hop_limit=3,
    )
    assert [one.launch_index for one in made] == [0, 1, 2]
    assert len({one.reservation_id for one in made}) == 1
    [first, *_] = made
    assert (first.state, first.type, first.memory_mib) == (InstanceState.PENDING, "m1.medium", 512)
    assert first.public_key == key.key_pair.public_key
    assert first.kernel_id == world.images.kernel.id
    told = world.cloud.metadata(IPv4Address(str(first.address)))
    assert told is not None
    assert (told.instance_id, told.user_data, told.http_tokens, told.http_hop_limit) == (
        first.id,
        b"#!/bin/sh",
        "required",
        3,
    )
    assert world.cloud.metadata(IPv4Address("10.11.99.99")) is None


@pytest.mark.parametrize(
    ("values", "error", "text"),
    [
        ({"count": 0}, InvalidValue, "1 to 1000 instances, not 0"),
        ({"count": -1}, InvalidValue, "not -1"),
        ({"count": 1001}, InvalidValue, "not 1001"),
        ({"count": 1, "min_count": 2}, InvalidValue, "is 1 to 1, .* not 2"),
        ({"min_count": 0}, InvalidValue, "not 0"),
        ({"type": "m9.huge"}, NotFound, "no instance type 'm9.huge'"),
        ({"key": "nobody's"}, NotFound, "no key pair"),
        ({"placement": Placement(zone="elsewhere")}, NotFound, "no zone 'elsewhere'"),
        ({"placement": Placement(node="node9")}, NotFound, "no node 'node9'"),
        ({"user_data": b"x" * (limits.USER_DATA_BYTES + 1)}, InvalidValue, "at most 16384 bytes"),
        ({"user_data": "text"}, InvalidValue, "user data is bytes"),
        ({"http_tokens": "maybe"}, InvalidValue, "not 'maybe'"),
        ({"http_hop_limit": 65}, InvalidValue, "1 to 64, not 65"),
        ({"client_token": "x" * 65}, InvalidValue, "1 to 64 characters"),
        ({"account": AccountId("999999999999")}, NotFound, "no account"),
        ({"type": "hs1.8xlarge"}, NoRoom, "1 lacks memory"),
    ],
)
def test_a_bad_launch_is_refused_at_once_and_changes_nothing(
    world: SimWorld, values: dict[str, object], error: type[PyCloudError], text: str
) -> None:
    rooms = world.cloud.describe_nodes()
    with pytest.raises(error, match=text):
        world.cloud.run_instances(world.images.machine.id, **values)  # type: ignore[arg-type]
    assert world.cloud.describe_instances() == []
    assert world.cloud.addresses.held() == {}
    assert world.cloud.describe_nodes() == rooms


def test_an_image_of_another_kind_is_refused(world: SimWorld) -> None:
    with pytest.raises(InvalidValue, match="is a kernel image; a machine image is needed"):
        world.cloud.run_instances(world.images.kernel.id)
    with pytest.raises(NotFound, match="no image 'emi-nothing'"):
        world.cloud.run_instances(ImageId("emi-nothing"))


def test_an_image_larger_than_the_types_disk_is_refused_at_once(
    world: SimWorld, tmp_path: Path
) -> None:
    large = tmp_path / "large"
    head = struct.pack(">4sIQIIQI", b"QFI\xfb", 3, 0, 0, 16, 2 * 1024**3, 0)
    large.write_bytes(head.ljust(512, b"\0"))  # the head of a qcow2 disk of 2 GiB
    image = world.cloud.images.register_machine(large)
    world.cloud.types.put(InstanceType("tiny", 1, 64, 1))
    with pytest.raises(InvalidValue, match=r"needs a disk of 2.0 GiB; tiny has 1 GiB"):
        world.cloud.run_instances(image.id, type="tiny")


def test_a_client_token_makes_a_launch_repeatable(world: SimWorld) -> None:
    image = world.images.machine.id
    first = world.cloud.run_instances(image, client_token="once", count=2)
    again = world.cloud.run_instances(image, client_token="once", count=2)
    assert [one.id for one in again] == [one.id for one in first]
    with pytest.raises(Duplicate, match="'once' was used for another launch"):
        world.cloud.run_instances(image, client_token="once", count=1)


def test_a_client_token_used_by_many_at_once_launches_once(
    tmp_path: Path, new_database: NewDatabase
) -> None:
    url = new_database()
    with SimWorld(tmp_path, nodes=1, postgres_url=url) as world, ThreadPoolExecutor(6) as pool:
        image = world.images.machine.id
        launches = [
            pool.submit(world.cloud.run_instances, image, client_token="once") for _ in range(6)
        ]
        assert len({launch.result()[0].id for launch in launches}) == 1
        assert len(world.cloud.describe_instances()) == 1


def test_as_many_as_fit_but_the_least(world: SimWorld) -> None:
    made = world.cloud.run_instances(world.images.machine.id, count=40, min_count=5)
    assert len(made) == 16
    with pytest.raises(NoRoom):
        world.cloud.run_instances(world.images.machine.id)


def test_verbs_are_refused_where_they_make_no_sense(world: SimWorld) -> None:
    instance = _run(world)
    world.cloud.terminate_instances([instance.id])
    with pytest.raises(WrongState, match=r"cannot start .* it is shutting-down"):
        world.cloud.start_instances([instance.id])
    with pytest.raises(WrongState, match="cannot reboot"):
        world.cloud.reboot_instances([instance.id])
    with pytest.raises(NotFound):
        world.cloud.terminate_instances([instance.id, MISSING])
    with pytest.raises(InvalidValue, match="give a list"):
        world.cloud.terminate_instances(instance.id)  # type: ignore[arg-type]
    world.settle()
    assert world.cloud.terminate_instances([instance.id])[0].state is InstanceState.TERMINATED


def test_a_verb_for_several_is_done_for_all_or_none(world: SimWorld) -> None:
    one, other = _run(world), _run(world)
    world.cloud.stop_instances([other.id])
    world.settle()
    with pytest.raises(WrongState):
        world.cloud.reboot_instances([one.id, other.id])
    assert world.cloud.describe_instances([one.id])[0].boot == 1


def test_a_stopped_instance_keeps_disk_and_address_and_gives_back_the_rest(
    world: SimWorld,
) -> None:
    instance = _run(world)
    world.cloud.stop_instances([instance.id])
    world.settle()
    [room] = world.cloud.describe_nodes()
    assert (room.used_cpus, room.used_memory_mib, room.used_disk_gib) == (0, 0, 5)
    [stopped] = world.cloud.describe_instances()
    assert stopped.address == instance.address
    world.cloud.run_instances(world.images.machine.id, count=16)
    with pytest.raises(NoRoom, match="1 lacks cores"):
        world.cloud.start_instances([instance.id])
    assert world.cloud.describe_instances([instance.id])[0].state is InstanceState.STOPPED


def test_the_console_outlives_its_guest(world: SimWorld) -> None:
    instance = _run(world)
    assert b"boot 1" in world.cloud.console_output(instance.id)
    world.cloud.terminate_instances([instance.id])
    world.settle()
    world.check_at_rest()
    assert b"boot 1" in world.cloud.console_output(instance.id)


def test_the_record_tells_of_a_guest_that_was_killed_within_one_turn(world: SimWorld) -> None:
    instance = _run(world)
    world.hosts["node1"].kill(instance.id, OffReason.CRASHED)
    world.cloud.tick()
    [found] = world.cloud.describe_instances()
    assert (found.state, found.reason) == (
        InstanceState.STOPPED,
        "the guest or its emulator died",
    )
    world.settle()
    world.check_at_rest()
    world.cloud.start_instances([instance.id])
    world.settle()
    assert world.cloud.describe_instances()[0].state is InstanceState.RUNNING


def test_a_launch_that_the_node_cannot_do_ends_terminated_with_the_reason(
    world: SimWorld,
) -> None:
    world.hosts["node1"].fault("blocks.ensure", Fault.REFUSE)
    instance = _run(world)
    assert instance.state is InstanceState.TERMINATED
    assert "was refused" in str(instance.reason)
    world.check_at_rest()


def test_a_node_that_is_silent_is_named_and_its_guests_come_back_with_it(world: SimWorld) -> None:
    instance = _run(world)
    host = world.hosts["node1"]
    host.answers = False
    world.cloud.tick()
    assert world.cloud.describe_nodes()[0].problem == "the simulated host does not answer"
    with pytest.raises(NoRoom, match="unusable"):
        world.cloud.run_instances(world.images.machine.id)
    host.restart()
    host.answers = True
    world.settle()
    world.check_at_rest()
    [back] = world.cloud.describe_instances([instance.id])
    assert (back.state, back.boot) == (InstanceState.RUNNING, 2)
    assert world.cloud.describe_nodes()[0].problem is None


def test_a_terminated_instance_is_shown_for_an_hour(world: SimWorld) -> None:
    instance = _run(world)
    world.cloud.terminate_instances([instance.id])
    world.settle()
    world.clock.advance(limits.TERMINATED_VISIBLE_S - 60)
    world.cloud.tick()
    assert len(world.cloud.describe_instances()) == 1
    world.clock.advance(200)
    world.cloud.tick()
    assert world.cloud.describe_instances() == []


def test_a_deregistered_image_lasts_as_long_as_its_instances(world: SimWorld) -> None:
    instance = _run(world)
    world.cloud.images.deregister(world.images.machine.id)
    with pytest.raises(NotFound):
        world.cloud.run_instances(world.images.machine.id)
    world.cloud.stop_instances([instance.id])
    world.settle()
    world.cloud.start_instances([instance.id])
    world.settle()
    world.check_at_rest()
    world.cloud.terminate_instances([instance.id])
    world.settle()
    world.clock.advance(2 * limits.TERMINATED_VISIBLE_S)
    world.cloud.tick()
    world.clock.advance(2 * limits.TIDY_PERIOD_S)
    world.cloud.tick()
    kept = [stored.key for stored in world.cloud.buckets.each("pycloud-images")]
    assert sorted(kept) == sorted([world.images.kernel.id, world.images.ramdisk.id])
    assert DiskId(world.images.machine.id) not in world.hosts["node1"].disks


def test_two_processes_serve_and_one_turns_the_loop(world: SimWorld) -> None:
    world.cloud.tick()
    with world.another_process() as other:
        assert other.tick() is False
        [instance] = other.run_instances(world.images.machine.id)
        world.settle()
        assert other.describe_instances([instance.id])[0].state is InstanceState.RUNNING
        other.settle(timeout_s=5)
        world.cloud.close()
        assert other.tick() is True
    world.cloud.open()


def test_the_background_loop_needs_no_turning(tmp_path: Path) -> None:
    with SimWorld(tmp_path, nodes=2) as world:
        cloud = world.another_process()
        cloud.background = True
        with cloud:
            made = cloud.run_instances(world.images.machine.id, count=4)
            cloud.settle(timeout_s=20)
            cloud.terminate_instances([one.id for one in made])
            cloud.settle(timeout_s=20)
            assert {one.state for one in cloud.describe_instances()} == {InstanceState.TERMINATED}
        assert not [one for one in threading.enumerate() if one.name == "pycloud-loop"]
        world.check_at_rest()


def test_settle_says_what_is_still_under_way(world: SimWorld) -> None:
    world.hosts["node1"].answers = False
    instance = _pending(world)
    with pytest.raises(NotSettled, match=f"{instance.id} is pending"):
        world.cloud.settle(timeout_s=0.1)


def _pending(world: SimWorld) -> Instance:
    return world.cloud.run_instances(world.images.machine.id)[0]


def test_private_keys_are_nowhere_but_in_the_answer(
    world: SimWorld, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    created = world.cloud.keypairs.create("eucatest")
    secret = created.private_key.splitlines()[2]
    assert secret not in repr(created)
    with pytest.raises(Duplicate) as refusal:
        world.cloud.keypairs.create("eucatest")
    with pytest.raises(InvalidValue) as mistake:
        world.cloud.keypairs.import_("mine", created.private_key)
    with world.cloud.state.reading() as tx:
        rows = str(tx.execute(select(key_pairs)).all()) + str(tx.execute(select(journal)).all())
    for text in (rows, caplog.text, str(refusal.value), repr(mistake.value)):
        assert secret not in text
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes()


@pytest.mark.parametrize("name", ["", "x" * 256, "a\0b", "a\nb", "\x1b[31m", " a", "a\ud800"])
def test_names_that_no_one_could_live_with_are_refused(world: SimWorld, name: str) -> None:
    with pytest.raises(InvalidValue, match="name of a key pair"):
        world.cloud.keypairs.create(name)
    assert world.cloud.keypairs.list() == []


def test_an_account_does_not_see_anothers_things(world: SimWorld) -> None:
    instance = _run(world)
    other = AccountId("999999999999")
    assert world.cloud.describe_instances(account=other) == []
    with pytest.raises(NotFound):
        world.cloud.terminate_instances([instance.id], account=other)
    with pytest.raises(NotFound):
        world.cloud.console_output(instance.id, account=other)
    assert attrs.evolve(instance) == world.cloud.describe_instances([instance.id])[0]
