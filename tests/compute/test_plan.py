"""What a node shall be, and what its report means: the deciding, without a world."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycloud import limits
from pycloud.compute.hypervisor import FoundDomain, OffReason, Power
from pycloud.compute.plan import (
    GuestReport,
    NodePlan,
    Wish,
    absorb,
    give_up_overdue,
    plan_node,
)
from pycloud.compute.records import Image, ImageKind, Instance, InstanceState
from pycloud.ids import ADMIN_ACCOUNT, DiskId, ImageId, InstanceId, NodeName, ReservationId

NOW = datetime(2024, 5, 1, tzinfo=UTC)
ID = InstanceId("i-0123456789abcdef0")
S = InstanceState
WRITTEN = [state for state in S if state is not S.SILENT]

IMAGE = Image(
    id=ImageId("emi-1"),
    account=ADMIN_ACCOUNT,
    kind=ImageKind.MACHINE,
    name="machine",
    format="raw",
    size_bytes=1000,
    virtual_size_bytes=1000,
    kernel_id=ImageId("eki-1"),
    ramdisk_id=None,
    kernel_args="root=/dev/vda",
    bucket="b",
    key="k",
    registered=True,
    created_at=NOW,
)
KERNEL = attrs.evolve(IMAGE, id=ImageId("eki-1"), kind=ImageKind.KERNEL, kernel_id=None)
IMAGES = {IMAGE.id: IMAGE, KERNEL.id: KERNEL}


def _instance(state: InstanceState, boot: int = 1, seen_boot: int = 0) -> Instance:
    return Instance(
        id=ID,
        account=ADMIN_ACCOUNT,
        reservation_id=ReservationId("r-1"),
        launch_index=0,
        image_id=IMAGE.id,
        kernel_id=KERNEL.id,
        ramdisk_id=None,
        type="m1.small",
        cpus=1,
        memory_mib=256,
        disk_gib=5,
        key_name=None,
        public_key=None,
        user_data=None,
        http_tokens="optional",
        http_hop_limit=1,
        node=NodeName("node1"),
        zone="z",
        group=None,
        partition=None,
        address=IPv4Address("10.11.0.4"),
        state=state,
        reason=None,
        boot=boot,
        seen_boot=seen_boot,
        changed_at=NOW,
        launched_at=NOW,
    )


def _plan(instance: Instance, at: datetime = NOW) -> NodePlan:
    network = IPv4Network("10.11.0.0/24")
    return plan_node(instance.node, [instance], IMAGES, network, frozenset(), at)


def _on(boot: int = 1, problem: str | None = None) -> GuestReport:
    return GuestReport(ID, FoundDomain(ID, boot, Power.ON, problem=problem))


def _off(boot: int, reason: OffReason) -> GuestReport:
    return GuestReport(ID, FoundDomain(ID, boot, Power.OFF, off_reason=reason))


ABSENT = GuestReport(ID, None)


@pytest.mark.parametrize(
    ("state", "wish"),
    [
        (S.PENDING, Wish.ON),
        (S.RUNNING, Wish.ON),
        (S.STOPPING, Wish.OFF),
        (S.STOPPED, Wish.OFF),
        (S.SHUTTING_DOWN, Wish.GONE),
        (S.TERMINATED, Wish.GONE),
    ],
)
def test_each_state_is_a_wish(state: InstanceState, wish: Wish) -> None:
    [guest] = _plan(_instance(state)).guests
    assert guest.wish is wish


def test_a_guests_disk_stands_on_its_image_and_its_kernel_is_there_too() -> None:
    [guest] = _plan(_instance(S.PENDING)).guests
    assert (guest.disk.base, guest.disk.size_bytes) == (DiskId("emi-1"), 5 * 1024**3)
    assert [base.id for base in guest.bases] == ["emi-1", "eki-1"]
    assert (guest.kernel, guest.ramdisk) == ("eki-1", None)


@pytest.mark.parametrize(
    ("state", "grace_s"),
    [(S.STOPPING, limits.STOP_GRACE_S), (S.SHUTTING_DOWN, limits.TERMINATE_GRACE_S)],
)
def test_force_is_used_when_the_time_for_gentleness_is_over(
    state: InstanceState, grace_s: float
) -> None:
    for after_s, force in ((0, False), (grace_s - 1, False), (grace_s, True)):
        [guest] = _plan(_instance(state), NOW + timedelta(seconds=after_s)).guests
        assert guest.force is force


@pytest.mark.parametrize(
    ("before", "report", "state", "reason"),
    [
        (_instance(S.PENDING), _on(), S.RUNNING, None),
        (_instance(S.RUNNING, 1, 1), _on(), S.RUNNING, None),
        (_instance(S.RUNNING, 1, 1), _on(problem="disk full"), S.RUNNING, "disk full"),
        (_instance(S.RUNNING, 2, 1), _on(1), S.RUNNING, None),
        (_instance(S.PENDING, 2, 1), _off(1, OffReason.SHUTDOWN), S.PENDING, None),
        (
            _instance(S.RUNNING, 1, 1),
            _off(1, OffReason.SHUTDOWN),
            S.STOPPED,
            "the guest switched itself off",
        ),
        (
            _instance(S.RUNNING, 1, 1),
            _off(1, OffReason.CRASHED),
            S.STOPPED,
            "the guest or its emulator died",
        ),
        (
            _instance(S.PENDING),
            _off(1, OffReason.DESTROYED),
            S.STOPPED,
            "its domain was destroyed behind the cloud's back",
        ),
        (_instance(S.RUNNING, 1, 1), ABSENT, S.STOPPED, "its domain vanished from node1"),
        (_instance(S.PENDING), ABSENT, S.PENDING, None),
        (_instance(S.STOPPING, 1, 1), _on(), S.STOPPING, None),
        (_instance(S.STOPPING, 1, 1), _off(1, OffReason.SHUTDOWN), S.STOPPED, None),
        (_instance(S.STOPPING, 1, 1), ABSENT, S.STOPPED, None),
        (_instance(S.STOPPED, 1, 1), ABSENT, S.STOPPED, None),
        (_instance(S.SHUTTING_DOWN, 1, 1), _on(), S.SHUTTING_DOWN, None),
        (_instance(S.SHUTTING_DOWN, 1, 1), GuestReport(ID, None, gone=True), S.TERMINATED, None),
    ],
)
def test_a_report_becomes_a_record(
    before: Instance, report: GuestReport, state: InstanceState, reason: str | None
) -> None:
    after = absorb(before, report, NOW)
    assert (after.state, after.reason) == (state, reason)
    again = absorb(after, report, NOW + timedelta(seconds=5))
    assert again == after, "the same report is no news the second time"


def test_a_first_launch_that_cannot_be_is_terminated_with_the_reason() -> None:
    refused = GuestReport(ID, None, failure="no space left", final=True)
    after = absorb(_instance(S.PENDING), refused, NOW)
    assert (after.state, after.reason) == (S.SHUTTING_DOWN, "no space left")


def test_a_later_start_that_cannot_be_leaves_the_instance_stopped() -> None:
    refused = GuestReport(ID, None, failure="no such disk", final=True)
    after = absorb(_instance(S.PENDING, 2, 1), refused, NOW)
    assert (after.state, after.reason) == (S.STOPPING, "no such disk")


def test_what_may_still_succeed_is_tried_until_its_time_is_over() -> None:
    busy = GuestReport(ID, None, failure="busy", final=False)
    early = NOW + timedelta(seconds=limits.LAUNCH_TIMEOUT_S - 1)
    after = absorb(_instance(S.PENDING), busy, early)
    assert (after.state, after.reason) == (S.PENDING, "still trying: busy")
    late = NOW + timedelta(seconds=limits.LAUNCH_TIMEOUT_S)
    assert absorb(after, busy, late).state is S.SHUTTING_DOWN


def test_a_launch_on_a_silent_node_is_given_up_in_time_and_nothing_else_is() -> None:
    late = NOW + timedelta(seconds=limits.LAUNCH_TIMEOUT_S)
    given_up = give_up_overdue(_instance(S.PENDING), late, "no route")
    assert given_up.state is S.SHUTTING_DOWN
    assert given_up.reason == "node1 did not answer: no route"
    for instance in (_instance(S.RUNNING, 1, 1), _instance(S.STOPPING, 1, 1)):
        assert give_up_overdue(instance, late, "no route") is instance


@pytest.mark.parametrize("report", [ABSENT, _off(1, OffReason.UNKNOWN)])
def test_after_a_restart_of_the_host_its_guests_are_started_again(report: GuestReport) -> None:
    after = absorb(_instance(S.RUNNING, 1, 1), report, NOW, host_restarted=True)
    assert (after.state, after.boot) == (S.PENDING, 2)
    assert after.reason == "node1 was restarted"


def test_after_a_restart_of_the_host_a_guest_that_had_gone_before_stays_off() -> None:
    report = _off(1, OffReason.SHUTDOWN)
    after = absorb(_instance(S.RUNNING, 1, 1), report, NOW, host_restarted=True)
    assert after.state is S.STOPPED


@given(
    state=st.sampled_from(WRITTEN),
    boot=st.integers(1, 3),
    seen=st.integers(0, 3),
    found=st.one_of(
        st.none(),
        st.builds(FoundDomain, st.just(ID), st.integers(1, 3), st.just(Power.ON)),
        st.builds(
            FoundDomain,
            st.just(ID),
            st.integers(1, 3),
            st.just(Power.OFF),
            st.sampled_from(OffReason),
        ),
    ),
    failure=st.sampled_from([None, "failed"]),
    final=st.booleans(),
    restarted=st.booleans(),
)
def test_no_report_ever_brings_back_what_was_to_go(
    state: InstanceState,
    boot: int,
    seen: int,
    found: FoundDomain | None,
    failure: str | None,
    final: bool,
    restarted: bool,
) -> None:
    before = _instance(state, boot, min(seen, boot))
    report = GuestReport(ID, found, failure=failure, final=final)
    after = absorb(before, report, NOW, host_restarted=restarted)
    order = [S.PENDING, S.RUNNING, S.STOPPING, S.STOPPED, S.SHUTTING_DOWN, S.TERMINATED]
    if before.state not in (S.PENDING, S.RUNNING):
        assert order.index(after.state) >= order.index(before.state)
    assert after.boot - before.boot in (0, 1)
    assert after.seen_boot <= after.boot
