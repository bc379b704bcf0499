"""The public face: all of it is there, and importing it costs nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pycloud
from pycloud import errors


def test_every_public_name_is_there() -> None:
    assert len(set(pycloud.__all__)) == len(pycloud.__all__)
    for name in pycloud.__all__:
        assert getattr(pycloud, name) is not None
    assert set(pycloud.__all__) <= set(dir(pycloud))


@pytest.mark.parametrize("name", ["Manager", "cloud_controller"])
def test_a_name_that_is_not_there_says_so(name: str) -> None:
    with pytest.raises(AttributeError, match=f"No pycloud attribute {name}"):
        getattr(pycloud, name)


def test_every_error_is_public_and_of_one_tree() -> None:
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, Exception):
            assert name in pycloud.__all__
            assert issubclass(value, pycloud.PyCloudError)
            assert name in str(errors.__doc__), f"{name} is missing in the drawing"


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import pycloud", ["sqlalchemy", "libvirt", "cryptography", "botocore", "xmltodict"]),
        ("import pycloud; pycloud.NoRoom", ["sqlalchemy", "libvirt"]),
        ("import pycloud; pycloud.CloudController", ["libvirt", "pyroute2", "cheroot", "psycopg"]),
    ],
)
def test_nothing_is_loaded_before_it_is_needed(code: str, absent: list[str]) -> None:
    look = f"{code}; import sys; print([m for m in {absent!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
