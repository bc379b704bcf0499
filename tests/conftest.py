"""Fixtures for all tests: real databases, simulated hosts, and a folder of one's own to work in."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from pycloud.clock import ManualClock
from pycloud.state.database import Database
from pycloud.state.postgres import PostgresState
from pycloud.state.sqlite import SQLiteState


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A private PostgreSQL cluster, reached through a socket in its own folder; gives the URL up
    to the database's name.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    tools = found[-1].parent
    # The server refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    as_user = ["runuser", "-u", user, "--"] if os.geteuid() == 0 else []
    home = Path(tempfile.mkdtemp(prefix="pycloud-pg-"))
    shutil.chown(home, user)
    data = home / "data"
    _run([*as_user, tools / "initdb", "-D", data, "-A", "trust", "-E", "UTF8", "--no-sync"])
    # No test cuts the power of the server itself, so it need not wait for the disk.
    options = f"-k {home} -c listen_addresses='' -c max_connections=200 -c fsync=off"
    control = [*as_user, tools / "pg_ctl", "-D", data, "-w"]
    _run([*control, "-o", options, "-l", home / "log", "start"])
    try:
        yield f"postgresql://{user}@/{{}}?host={home}"
    finally:
        _run([*control, "-m", "immediate", "stop"])
        shutil.rmtree(home)


NewDatabase = Callable[[], str | None]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def new_database(request: pytest.FixtureRequest) -> NewDatabase:
    """Makes a new, empty PostgreSQL database and gives its URL; or gives None, for SQLite in a file.

    What uses it runs once on each.
    """
    if request.param == "sqlite":
        return lambda: None
    server: str = request.getfixturevalue("postgres_server")
    return lambda: new_postgres_database(server)


def new_postgres_database(server: str) -> str:
    """Make a new, empty database on the server and return its URL."""
    import psycopg

    name = f"test_{uuid4().hex}"
    with psycopg.connect(server.format("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return server.format(name)


@pytest.fixture
def make_state(new_database: NewDatabase, tmp_path: Path) -> Callable[[], Database]:
    """Makes states, not open yet, that all stand on one database."""
    url = new_database()
    if url is None:
        return lambda: SQLiteState(tmp_path / "cloud.db", clock=ManualClock())
    return lambda: PostgresState(url, clock=ManualClock())


@pytest.fixture
def state(make_state: Callable[[], Database]) -> Iterator[Database]:
    """An open state on each database."""
    with make_state() as state:
        yield state


def _run(command: list[object]) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"
