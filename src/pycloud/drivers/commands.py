"""Programs of the host that the network drivers call: where they are looked for, and what their
failures mean.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence

from pycloud.errors import Cannot, TryLater

PRIVILEGES = "run as root, or with CAP_NET_ADMIN and CAP_NET_RAW"
"""What to do when the kernel says that something is not permitted."""

_TIMEOUT_S = 30
_PATH = ":".join(filter(None, [os.environ.get("PATH"), "/usr/sbin", "/sbin"]))
_PASSING = ("resource busy", "temporarily unavailable", "cannot allocate memory")


def run(command: Sequence[str], *, package: str, stdin: str = "") -> str:
    """Run `command` and return what it printed.

    Raises `Cannot` with the program's own words when it fails, or naming the Debian `package` when
    it is missing, and `TryLater` when it takes longer than 30 s or says itself that the trouble
    will pass.
    """
    try:
        done = _run(command, stdin)
    except FileNotFoundError:
        raise Cannot(f"there is no {command[0]} here: install {package} (Debian's name)") from None
    except subprocess.TimeoutExpired:
        raise TryLater(f"{command[0]} did not end within {_TIMEOUT_S} s") from None
    except OSError as error:
        raise TryLater(f"{command[0]} did not start: {error}") from error
    if done.returncode:
        raise _failure(command[0], done.stderr.strip() or f"exit status {done.returncode}")
    return done.stdout


def _run(command: Sequence[str], stdin: str) -> subprocess.CompletedProcess[str]:
    # Not a pipe: if this process died while it writes, the program would act on a part.
    with tempfile.TemporaryFile("w+") as text:
        text.write(stdin)
        text.seek(0)
        return subprocess.run(
            command,
            stdin=text,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
            env={**os.environ, "PATH": _PATH, "LC_ALL": "C"},
        )


def _failure(program: str, words: str) -> Cannot | TryLater:
    lower = words.lower()
    if any(passing in lower for passing in _PASSING):
        return TryLater(f"{program}: {words}")
    if "not permitted" in lower or "permission denied" in lower:
        return Cannot(f"{program}: {words} ({PRIVILEGES})")
    return Cannot(f"{program}: {words}")
