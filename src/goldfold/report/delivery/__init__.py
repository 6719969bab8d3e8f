"""Pictures of submissions: CV against leaderboard scores, and scores among all teams."""
