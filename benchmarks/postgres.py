"""A PostgreSQL server of one's own, for as long as it is measured."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def private_server() -> Iterator[str]:
    """Start a server with the usual settings (every commit synced), give the URL of its database,
    and remove it afterwards. It is reached through a socket in its own folder.
    """
    tools = max(Path("/usr/lib/postgresql").glob("*/bin"))
    home = Path(tempfile.mkdtemp(prefix="pycloud-pg-"))
    shutil.chown(home, "postgres")
    as_user = ["runuser", "-u", "postgres", "--"]
    control = [*as_user, f"{tools}/pg_ctl", "-D", f"{home}/data", "-w", "-l", f"{home}/log"]
    _run([*as_user, f"{tools}/initdb", "-D", f"{home}/data", "-A", "trust", "-E", "UTF8"])
    _run([*control, "-o", f"-k {home} -c listen_addresses=''", "start"])
    try:
        yield f"postgresql://postgres@/postgres?host={home}"
    finally:
        _run([*control, "-m", "immediate", "stop"])
        shutil.rmtree(home)


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
