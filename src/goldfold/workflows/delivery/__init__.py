"""From a finished run to a leaderboard: grade, submit, download, notebook, ledger, rank."""
