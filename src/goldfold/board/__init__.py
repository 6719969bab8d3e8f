"""The local leaderboard: a server that speaks the protocol of the Kaggle client."""
