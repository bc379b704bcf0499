"""The EC2 adapter: `EC2App`, a WSGI callable, and one file for each noun of the API.

Translation only: what an action means is decided by the cloud and its stores.
"""

from __future__ import annotations

from pycloud.ec2.app import EC2App as EC2App
