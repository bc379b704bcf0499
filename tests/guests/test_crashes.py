"""The whole process is killed in the middle of real launches and terminations; the next one puts
everything right.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from examples import cloud_in_a_box as box_example
from examples.images.build import GuestImages
from pycloud.compute.records import InstanceState
from pycloud.ids import ImageId, InstanceId
from tests.guests.conftest import box_options, register, remove_all

VICTIM = """
import sys, threading
from pathlib import Path
from examples import cloud_in_a_box as box_example
from tests.guests.conftest import box_options
home, verb, subject = sys.argv[1:]
with box_example._open(box_options(Path(home))) as box:
    if verb == "run":
        [made] = box.cloud.run_instances(subject)
        print("acknowledged", made.id, flush=True)
    else:
        box.cloud.terminate_instances([subject])
        print("acknowledged", subject, flush=True)
    threading.Event().wait()
"""
MOMENTS_S = (0.0, 0.05, 0.15, 0.3, 0.6)


def _kill_amid(home: Path, verb: str, subject: str, after_s: float) -> InstanceId:
    """Let another process decide, kill it so long after its acknowledgement, and return what it
    acknowledged.
    """
    root = Path(__file__).parents[2]
    victim = subprocess.Popen(
        [sys.executable, "-c", VICTIM, str(home), verb, subject],
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    assert victim.stdout is not None
    with victim.stdout as lines:
        said = next(line for line in lines if line.startswith("acknowledged"))
        time.sleep(after_s)  # the moment of death is what is varied
        victim.send_signal(signal.SIGKILL)
        victim.wait()
    return InstanceId(said.split()[1])


@pytest.mark.parametrize("after_s", MOMENTS_S)
def test_killed_amid_a_launch_and_amid_the_termination(
    home: Path, guest_images: GuestImages, after_s: float
) -> None:
    with box_example._open(box_options(home)) as box:
        machine, _ = register(box.cloud.images, guest_images)
        image = ImageId(machine.id)
    id_ = _kill_amid(home, "run", image, after_s)
    with box_example._open(box_options(home)) as box:
        box.cloud.settle(timeout_s=60)
        [instance] = box.cloud.describe_instances()
        assert (instance.id, instance.state) == (id_, InstanceState.RUNNING)
        assert instance.id in box.node.hypervisor.found().domains
        assert instance.id in box.node.fabric.found()
    assert _kill_amid(home, "terminate", id_, after_s) == id_
    with box_example._open(box_options(home)) as box:
        box.cloud.settle(timeout_s=60)
        [instance] = box.cloud.describe_instances()
        assert instance.state is InstanceState.TERMINATED
        remove_all(box)
