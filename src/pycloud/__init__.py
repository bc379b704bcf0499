"""pycloud: assemble your own AWS-compatible cloud in Python.

    cloud                         the public verbs: CloudController
    loop                          makes true what was decided
    compute  storage  network     machines · bytes · addresses: stores that decide, plans, contracts
    of drivers
    identity                      whom things belong to
    state                         one database, SQLite or PostgreSQL
    drivers                       the outer wall: libvirt, taps, files, and simulated ones
    metadata                      what guests ask at 169.254.169.254
    aws  ec2  s3                  the wire, and the adapters that speak EC2 and S3 on it

A floor may use those below it; compute, storage, network and identity keep to themselves, but that
compute uses storage and network. Nothing
here imports `drivers`, `testing`, `aws`, `ec2` or `s3`: users do, so that every extra stays optional.

The public face is listed in `__init__.pyi`. Its names are imported when first used: `import pycloud`
alone loads nothing else.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
