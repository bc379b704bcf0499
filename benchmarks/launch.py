"""From `run_instances` to a running domain, against a bare `createXML` of the same definition.

Needs what `./cloud-in-a-box` prepares, and root.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import libvirt

from benchmarks.report import median, report, seconds
from examples import cloud_in_a_box as box_example
from examples.cloud_in_a_box import Box
from pycloud.compute.records import Image, Instance, InstanceState

RUNS = 7
ROUNDS_OF_TEN = 3
GOAL = 1.15
LIMIT_S = 120


def main() -> None:
    """Measure one launch and ten at once, each in turn with its bare peer."""
    with _opened() as box:
        image = box_example._image(box)
        _launch(box, image, 1)  # warms the caches: the image on the node, libvirt's and QEMU's
        for count, runs in ((1, RUNS), (10, ROUNDS_OF_TEN)):
            ours, bare = [], []
            for _ in range(runs):
                took, definitions = _launch(box, image, count)
                ours.append(took)
                bare.append(_create_bare(definitions))
            ratio = median(ours) / median(bare)
            name = f"{count} launched at once, until running; peer: createXML"
            report(
                name, median(ours), "s", f"ratio <= {GOAL}", met=ratio <= GOAL, peer=median(bare)
            )


@contextmanager
def _opened() -> Iterator[Box]:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        home = Path(folder)
        home.chmod(0o711)
        options = argparse.Namespace(home=home, simulated=None, isolated=True)
        with box_example._open(options) as box:
            yield box


def _launch(box: Box, image: Image, count: int) -> tuple[float, list[str]]:
    """Run guests; return the seconds until all are running, and their definitions. They are gone afterwards."""
    launched: list[Instance] = []

    changed = threading.Event()
    unsubscribe = box.cloud.state.subscribe(changed.set)

    def run() -> None:
        launched.extend(box.cloud.run_instances(image.id, count=count))
        ids = [instance.id for instance in launched]
        while {one.state for one in box.cloud.describe_instances(ids)} != {InstanceState.RUNNING}:
            assert changed.wait(LIMIT_S), "the launch does not come about"
            changed.clear()

    took = seconds(run)
    unsubscribe()
    box.cloud.settle(timeout_s=LIMIT_S)
    ids = [instance.id for instance in launched]
    definitions = [_output("virsh", "dumpxml", "--inactive", id_) for id_ in ids]
    box.cloud.terminate_instances(ids)
    box.cloud.settle(timeout_s=LIMIT_S)
    return took, definitions


def _create_bare(definitions: list[str]) -> float:
    """Create the same guests by libvirt alone, on disks and taps made beforehand; return the seconds."""
    connection = libvirt.open("qemu:///system")
    bare = [_prepare(definition, f"pcbench{n}") for n, definition in enumerate(definitions)]
    with ThreadPoolExecutor(8) as pool:
        took = seconds(lambda: list(pool.map(connection.createXML, bare)))
    for number, definition in enumerate(definitions):
        connection.lookupByUUIDString(_between(definition, "<uuid>", "</uuid>")).destroy()
        _output("ip", "link", "delete", f"pcbench{number}")
    connection.close()
    shutil.rmtree(_bare_disks(definitions[0]))
    return took


def _prepare(definition: str, tap: str) -> str:
    """Make a guest's disk and tap; return its definition with these, and without our mark.

    With the mark, the loop would take the guest for one of ours that should be gone.
    """
    disk = Path(_disk(definition))
    bare = _bare_disks(definition) / disk.name
    bare.parent.mkdir(exist_ok=True)
    [base] = disk.parent.glob("emi-*")
    overlay = ["-f", "qcow2", "-F", "qcow2", "-b", str(base)]
    _output("qemu-img", "create", "-q", *overlay, str(bare), "5G")
    _output("ip", "tuntap", "add", tap, "mode", "tap", "vnet_hdr")
    definition = re.sub(r"<metadata>.*</metadata>", "", definition, flags=re.DOTALL)
    definition = re.sub(r"target dev='pc\w+'", f"target dev='{tap}'", definition)
    return definition.replace(str(disk), str(bare))


def _bare_disks(definition: str) -> Path:
    return Path(_disk(definition)).parent.parent / "bare"


def _disk(definition: str) -> str:
    return _between(definition, "<source file='", "'")


def _between(text: str, before: str, after: str) -> str:
    return text.partition(before)[2].partition(after)[0]


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
