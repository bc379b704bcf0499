"""Bytes: buckets of objects, and the disks of guests."""
