"""Whether KVM really runs guests on this host, found out by letting it run one.

`/dev/kvm` can exist, answer, and be advertised by libvirt, and guests still hang on it (nested or
para-virtual KVM). So a guest of 512 bytes, which does nothing but end with a known status, is run
on both accelerators; KVM is believed if its guest ends as it should and is not slower than the
emulated one.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from pathlib import Path

_KVM_LIMIT_S = 5
_TCG_LIMIT_S = 30
_SLOWER = 2.0
"""KVM on a sound host needs about what emulation needs for so little; noise may double it."""

_EXIT_STATUS = 85
"""What QEMU exits with when 42 is written to isa-debug-exit: 2 × 42 + 1."""

# mov al, 42; mov dx, 0x501; out dx, al; hlt; jmp $-1
_CODE = bytes.fromhex("b02a ba0105 ee f4 ebfd")
_SECTOR = _CODE.ljust(510, b"\0") + b"\x55\xaa"


def probe(emulator: str, cache: Path, host_boot: str) -> str:
    """Return `kvm` or `qemu`. The result is kept in the file `cache` until the host is
    restarted.
    """
    key = {"emulator": emulator, "host_boot": host_boot}
    try:
        kept = json.loads(cache.read_text())
        if kept.items() >= key.items():
            return str(kept["accelerator"])
    except (OSError, ValueError, KeyError, AttributeError):
        pass  # nothing kept, or nothing that can be read: look again
    accelerator = _measure(emulator)
    cache.write_text(json.dumps(key | {"accelerator": accelerator}))
    return accelerator


def _measure(emulator: str) -> str:
    if not Path("/dev/kvm").exists():
        return "qemu"
    with tempfile.NamedTemporaryFile(prefix="pycloud-probe-") as sector:
        sector.write(_SECTOR)
        sector.flush()
        emulated_s = _run(emulator, "tcg", sector.name, _TCG_LIMIT_S)
        kvm_s = _run(emulator, "kvm", sector.name, _KVM_LIMIT_S)
    if kvm_s is None or (emulated_s is not None and kvm_s > emulated_s * _SLOWER):
        return "qemu"
    return "kvm"


def _run(emulator: str, accelerator: str, sector: str, limit_s: float) -> float | None:
    """Return how many seconds the guest took, or None if it did not end as it should."""
    command = [emulator, "-accel", accelerator, "-machine", "pc", "-m", "16", "-nodefaults"]
    command += ["-display", "none", "-no-reboot", "-device", "isa-debug-exit,iobase=0x501,iosize=1"]
    command += ["-drive", f"file={sector},format=raw,if=ide,readonly=off,snapshot=on"]
    if accelerator == "kvm":
        command += ["-cpu", "host"]
    began = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, timeout=limit_s, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return time.monotonic() - began if done.returncode == _EXIT_STATUS else None
