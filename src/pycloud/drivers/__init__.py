"""The outer wall: the only place where pycloud starts processes, opens sockets or speaks to
libvirt."""
