"""Patterns with `*` and `?`, as policies and CORS rules have them."""

from __future__ import annotations


def matches(pattern: str, text: str) -> bool:
    """Return whether `text` is what `pattern` says: `*` stands for any characters, `?` for one.

    In time of pattern times text at most, whoever wrote the pattern.

    >>> matches("photos/*.jpg", "photos/2026/beach.jpg")
    True
    """
    at, place, star, resume = 0, 0, -1, 0
    while at < len(text):
        if place < len(pattern) and pattern[place] == "*":
            star, resume = place, at
            place += 1
        elif place < len(pattern) and pattern[place] in ("?", text[at]):
            place += 1
            at += 1
        elif star >= 0:
            resume += 1
            place, at = star + 1, resume
        else:
            return False
    return not pattern[place:].strip("*")
