"""The small guest: what it is made of, how large it is, and that the same packages give the same bytes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import attrs
import pytest

from examples.images.build import BuildError, GuestImages, build_images
from pycloud.compute.imageformat import inspect
from pycloud.compute.records import ImageKind

LIMIT_BYTES = 40_000_000


@pytest.fixture(scope="module")
def built() -> GuestImages:
    return build_images(Path(__file__).parents[2] / ".build/guest-images")


def test_each_file_is_what_it_is_for(built: GuestImages) -> None:
    kinds = {}
    for name, path in attrs.asdict(built).items():
        with path.open("rb") as stream:
            kinds[name] = inspect(stream, os.fstat(stream.fileno()).st_size).kind
    assert kinds == {
        "kernel": ImageKind.KERNEL,
        "ramdisk": ImageKind.RAMDISK,
        "machine": ImageKind.MACHINE,
        "disk": ImageKind.MACHINE,
    }


def test_all_of_it_is_small(built: GuestImages) -> None:
    assert sum(path.stat().st_size for path in attrs.asdict(built).values()) < LIMIT_BYTES


def test_what_was_built_is_kept(built: GuestImages) -> None:
    said: list[str] = []
    assert build_images(built.kernel.parents[1], said.append) == built
    assert said == []


def test_the_same_packages_give_the_same_bytes(built: GuestImages, tmp_path: Path) -> None:
    again = build_images(tmp_path)
    for name, path in attrs.asdict(built).items():
        assert _digest(getattr(again, name)) == _digest(path), name


def test_a_missing_tool_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("examples.images.build._SYSTEM_PATHS", "")
    with pytest.raises(BuildError, match=r"apt-get install .*cpio.*mtools"):
        build_images(tmp_path / "images")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
