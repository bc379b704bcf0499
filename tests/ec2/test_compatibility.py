"""`docs/compatibility.md` says what the code does."""

from __future__ import annotations

from docs.compatibility import COMMAND, PAGE, page
from pycloud.ec2.actions import ACTIONS


def test_the_page_is_what_the_code_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), f"{PAGE.name} is stale: {COMMAND}"


def test_every_action_is_on_the_page() -> None:
    text = page()
    for _, name in ACTIONS:
        assert f"`{name}`" in text or f"### {name}\n" in text
