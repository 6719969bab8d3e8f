"""Commands of the local leaderboard: host, host-add, host-user."""

from __future__ import annotations

from argparse import Namespace

from goldfold.project import Project


def host(arguments: Namespace, project: Project) -> None:
    from goldfold.board.serving import serve

    serve(project.workspace.board, arguments.bind, arguments.port, arguments.host_names)


def host_add(arguments: Namespace, project: Project) -> None:
    from goldfold.board.hosted import host_competition

    print(host_competition(project.workspace, arguments.comp, arguments.daily, arguments.deadline))


def host_user(arguments: Namespace, project: Project) -> None:
    from goldfold.board import users
    from goldfold.board.database import open_board

    user, key = users.register(open_board(project.workspace.board), arguments.name, arguments.replace)
    print(f"{user.team}: KAGGLE_USERNAME={user.name} KAGGLE_KEY={key}")
    print("the key is not shown again; with --replace (make: REPLACE=1) a new one ends it")
