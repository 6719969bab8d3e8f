"""`host-user`: a team of the local leaderboard, and the key it submits with."""

from __future__ import annotations

from argparse import Namespace

from goldfold.board import users
from goldfold.board.database import open_board
from goldfold.experiment import workspace


def run(arguments: Namespace) -> None:
    user, key = users.register(open_board(workspace.BOARD), arguments.name)
    print(f"{user.team}: KAGGLE_USERNAME={user.name} KAGGLE_KEY={key}")
    print("the key is shown this once; the same command makes a new one, and the old one ends")
