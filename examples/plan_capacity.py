"""How would my 2 000 machines fare on 40 hosts if three died? Ask a simulated cloud, under two
policies, and plot the answer.

    python -m examples.plan_capacity plan.png        (needs matplotlib: pip install 'pycloud[plan]')

Each hour one machine in twenty is no longer needed, and as many others are; in the middle of the
day, hosts die with all that is on them, and what was lost is started again where there is room.
Nothing is real here but the decisions: they are those of a real cloud.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
from rich.console import Console

from pycloud import (
    CloudController,
    InstanceState,
    InstanceType,
    NodeState,
    NoRoom,
    Policy,
    PowerSave,
    RoundRobin,
)
from pycloud.testing import SimWorld

KINDS = (
    InstanceType("small", cpus=1, memory_mib=1024, disk_gib=10),
    InstanceType("medium", cpus=2, memory_mib=4096, disk_gib=20),
    InstanceType("large", cpus=4, memory_mib=8192, disk_gib=40),
)
HOST: dict[str, Any] = {"cpus": 192, "memory_mib": 256 * 1024, "disk_gib": 4000}


@attrs.define
class Course:
    """How a day went under one policy."""

    policy: str
    hosts: list[str]
    use: list[list[float]] = attrs.field(factory=list)
    """Per hour and host, the share of memory that was claimed; -1 once it is dead."""
    asleep: list[int] = attrs.field(factory=list)
    """Per hour, how many hosts had nothing to do."""
    died_at: int = 0
    """The hour in which hosts died."""
    lost: int = 0
    replaced: int = 0
    refusal: str | None = None
    """What the first launch was told that found no room."""


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description="How would my machines fare if hosts died?")
    parser.add_argument("picture", type=Path, help="the PNG to write")
    parser.add_argument("--machines", type=int, default=2000)
    parser.add_argument("--hosts", type=int, default=40)
    parser.add_argument("--die", type=int, default=3, help="how many hosts die")
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    console = Console()
    courses = []
    for policy in (RoundRobin(), PowerSave()):
        course = simulate(policy, asked.machines, asked.hosts, asked.die, asked.hours, asked.seed)
        console.print(summary(course))
        courses.append(course)
    plot(courses, asked.picture)
    console.print(f"drawn: {asked.picture}")


def simulate(policy: Policy, machines: int, hosts: int, die: int, hours: int, seed: int) -> Course:
    """Play a day: `die` of the hosts are lost in the middle of it."""
    with SimWorld(nodes=hosts, seed=seed, policy=policy, **HOST) as world:
        for kind in KINDS:
            world.cloud.types.put(kind)
        course = Course(type(policy).__name__, list(world.hosts))
        course.died_at = hours // 2
        launch(world, course, machines)
        for hour in range(hours):
            if hour == course.died_at:
                lose_and_replace(world, course, die)
            come_and_go(world, course, machines // 20)
            world.settle()
            note(world.cloud, course)
            world.clock.advance(3600)
    return course


def launch(world: SimWorld, course: Course, count: int) -> int:
    """Start machines of mixed types, and return how many found room."""
    placed = 0
    for kind in KINDS:
        try:
            wanted = max(count // len(KINDS), 1)
            image = world.images.machine.id
            placed += len(
                world.cloud.run_instances(image, type=kind.name, count=wanted, min_count=1)
            )
        except NoRoom as refusal:
            course.refusal = course.refusal or str(refusal)
    return placed


def come_and_go(world: SimWorld, course: Course, count: int) -> None:
    """End some machines, and start about as many others."""
    running = [
        one.id for one in world.cloud.describe_instances() if one.state is InstanceState.RUNNING
    ]
    world.cloud.terminate_instances(world.random.sample(running, min(count, len(running))))
    world.settle()
    launch(world, course, count)


def lose_and_replace(world: SimWorld, course: Course, die: int) -> None:
    """Let hosts die, give them up once they are silent, and start anew what was on them."""
    dead = world.lose_hosts(die)
    world.cloud.tick()
    world.clock.advance(60)
    world.cloud.tick()
    silent = [one for one in world.cloud.describe_instances() if one.state is InstanceState.SILENT]
    for name in dead:
        world.cloud.leave(name, lost=True)
        del world.hosts[name]
    course.lost = len(silent)
    for one in silent:
        try:
            world.cloud.run_instances(one.image_id, type=one.type)
            course.replaced += 1
        except NoRoom as refusal:
            course.refusal = course.refusal or str(refusal)


def note(cloud: CloudController, course: Course) -> None:
    """Write down how the hosts are used now."""
    rooms = {room.name: room for room in cloud.describe_nodes()}
    shares = []
    for name in course.hosts:
        room = rooms.get(name)  # type: ignore[call-overload]
        dead = room is None or room.state is NodeState.GONE
        shares.append(-1.0 if dead else room.used_memory_mib / room.memory_mib)
    course.use.append(shares)
    course.asleep.append(len(cloud.scheduler.idle()))


def summary(course: Course) -> str:
    """Say in a sentence how it went."""
    text = _fate(course)
    return f"{text}. First refusal: {course.refusal}" if course.refusal else text


def _fate(course: Course) -> str:
    return (
        f"{course.policy}: {course.lost} machines were lost and {course.replaced} of them started "
        f"again; up to {max(course.asleep)} hosts could sleep"
    )


def plot(courses: Sequence[Course], picture: Path) -> None:
    """Draw for each policy how full each host was over time, and how many could sleep."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5 * len(courses)), layout="constrained")
    panels = figure.subplots(2 * len(courses), 1, height_ratios=[3, 1] * len(courses))
    for number, course in enumerate(courses):
        _plot_use(figure, panels[2 * number], course)
        _plot_asleep(panels[2 * number + 1], course)
    figure.savefig(picture)


def _plot_use(figure: Any, panel: Any, course: Course) -> None:
    """Draw a row for each host; what is grey is dead."""
    from matplotlib import colormaps

    colours = colormaps["viridis"].with_extremes(under="lightgrey")
    rows = [*zip(*course.use, strict=True)]
    edges = (-0.5, len(course.use) - 0.5, len(rows) + 0.5, 0.5)
    shown = panel.imshow(rows, aspect="auto", vmin=0, vmax=1, cmap=colours, extent=edges)
    panel.axvline(course.died_at - 0.5, color="red")
    panel.set(title=_fate(course), ylabel="host (grey: dead)")
    figure.colorbar(shown, ax=panel, label="share of memory claimed")


def _plot_asleep(panel: Any, course: Course) -> None:
    panel.bar(range(len(course.asleep)), course.asleep)
    panel.axvline(course.died_at - 0.5, color="red")
    panel.set(xlabel="hour", ylabel="could sleep", xlim=(-0.5, len(course.asleep) - 0.5))
    panel.set_ylim(0, max(*course.asleep, 4))


if __name__ == "__main__":
    main()
