"""Teacher runs: what may teach which fit, and what it predicts for the fit's rows."""
