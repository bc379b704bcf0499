"""Runs the examples of docstrings and documents each in a folder of its own."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_folder(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if request.node.__class__.__name__ == "DoctestItem":
        monkeypatch.chdir(tmp_path)
