"""How much `import pycloud` costs over bare Python, and what it pulls in."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.report import median, report, seconds

RUNS = 21
HEAVY = ("libvirt", "botocore", "sqlalchemy", "cryptography", "alembic", "psycopg")


def main() -> None:
    """Take both in turn, so that a slow moment of the machine meets both."""
    bare, with_pycloud = [], []
    for _ in range(RUNS):
        bare.append(seconds(lambda: _run("pass")))
        with_pycloud.append(seconds(lambda: _run("import pycloud")))
    more_ms = (median(with_pycloud) - median(bare)) * 1000
    report(
        "import pycloud over bare Python",
        more_ms,
        "ms",
        "<= 60 ms",
        met=more_ms <= 60,
        peer=median(bare) * 1000,
    )
    loaded = _run(f"import pycloud, sys; print([m for m in {HEAVY!r} if m in sys.modules])")
    count = len(loaded.split(",")) if loaded.strip() != "[]" else 0
    report("heavy modules that it loads", count, "modules", "0", met=count == 0)


def _run(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
