"""The S3 adapter: `S3App`, a WSGI callable, and one file for each noun or verb of the API.

It translates, and decides only who may do what: what becomes of bytes is the store's.
"""

from __future__ import annotations

from pycloud.s3.app import S3App

__all__ = ["S3App"]
