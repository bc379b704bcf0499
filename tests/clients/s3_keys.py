"""Keys that have been somebody's undoing; shared by the sessions of S3 clients."""

KEYS = [
    "plain",
    "a space and  two",
    "plus+plus",
    "per%2Fcent%20",
    "a//b",
    "up/../../down",
    "emoji 😀/é",
    "trailing/slash/",
    "line\nfeed",
    "q?a=b&c#d",
    "'\"<>&;:@=,$!*()[]{}|^`~",
    "x" * 1024,
]
