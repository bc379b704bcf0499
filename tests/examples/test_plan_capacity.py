"""The example that plans capacity."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.plan_capacity import Course, plot, simulate, summary
from pycloud import PowerSave, RoundRobin


def _day(policy: RoundRobin | PowerSave, seed: int = 1, machines: int = 40) -> Course:
    return simulate(policy, machines=machines, hosts=5, die=2, hours=4, seed=seed)


def test_a_day_is_told_and_drawn(tmp_path: Path) -> None:
    courses = [_day(RoundRobin()), _day(PowerSave())]
    for course in courses:
        assert len(course.use) == 4
        assert all(len(shares) == 5 for shares in course.use)
        assert 0 < course.lost == course.replaced
        dead = [sum(share < 0 for share in shares) for shares in course.use]
        assert dead == [0, 0, 2, 2], "two hosts died"
        assert f"{course.lost} machines were lost" in summary(course)
    assert courses[0].asleep[0] == 0
    assert courses[1].asleep[0] > 0, "who saves power keeps hosts empty"
    pytest.importorskip("matplotlib")
    plot(courses, tmp_path / "plan.png")
    assert (tmp_path / "plan.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_seed_gives_the_same_day_and_another_another() -> None:
    assert _day(RoundRobin()) == _day(RoundRobin())
    assert _day(RoundRobin()) != _day(RoundRobin(), seed=2)


def test_what_finds_no_room_is_told_why() -> None:
    course = _day(RoundRobin(), machines=400)
    assert course.replaced < course.lost
    assert "lack memory" in str(course.refusal)
    assert "First refusal: no room" in summary(course)
