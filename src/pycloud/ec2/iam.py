"""Of IAM what tools call first: users, access keys and accounts."""

from __future__ import annotations

from pycloud.aws.actions import Actions
from pycloud.aws.reader import Taken

actions = Actions("iam", Taken({}))
