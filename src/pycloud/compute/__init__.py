"""Machines: images, key pairs, types, instances, where they run and what their nodes shall do."""
