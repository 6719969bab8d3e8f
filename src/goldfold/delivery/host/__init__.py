"""The local leaderboard: a server that speaks Kaggle's protocol, scores in processes of its own, shows boards."""
