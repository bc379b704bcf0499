"""`docs/compatibility.md` says what the code does."""

from __future__ import annotations

from docs.compatibility import COMMAND, PAGE, page
from pycloud.ec2.actions import ACTIONS
from pycloud.s3.actions import ACTIONS as S3_ACTIONS


def test_the_page_is_what_the_code_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), f"{PAGE.name} is stale: {COMMAND}"


def test_every_action_is_on_the_page() -> None:
    text = page()
    for name in [*(name for _, name in ACTIONS), *S3_ACTIONS]:
        assert f"`{name}`" in text or f"### {name}\n" in text
