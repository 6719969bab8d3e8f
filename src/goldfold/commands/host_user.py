"""`host-user`: a team of the local leaderboard, and the key it submits with."""

from __future__ import annotations

from argparse import Namespace

from goldfold.commands import project
from goldfold.delivery.host import users
from goldfold.delivery.host.storage import open_board


def run(arguments: Namespace) -> None:
    user, key = users.register(open_board(project.BOARD), arguments.name)
    print(f"{user.team}: KAGGLE_USERNAME={user.name} KAGGLE_KEY={key}")
    print("the key is shown this once; the same command makes a new one, and the old one ends")
