"""A small Linux guest, built from Debian's packages."""
