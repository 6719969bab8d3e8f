"""95 % confidence intervals of scores: how much a score varies over rows or groups, and the limits that follow."""
