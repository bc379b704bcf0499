"""The form of a figure: one JSON line."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable


def report(
    name: str, value: float, unit: str, goal: str, *, met: bool, peer: float | None = None
) -> None:
    """Print a figure; `peer` is what the other side needed, in the same unit and the same run."""
    ratio = None if peer is None else round(value / peer, 3)
    rounded = None if peer is None else round(peer, 4)
    figure = {"name": name, "value": round(value, 4), "unit": unit, "goal": goal, "met": met}
    print(json.dumps(figure | {"peer": rounded, "ratio": ratio}), flush=True)


def seconds(act: Callable[[], object]) -> float:
    """Return how long `act` takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


median = statistics.median
