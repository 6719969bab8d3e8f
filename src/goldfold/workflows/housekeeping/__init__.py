"""Keep a season's runs in order: what there is, what needs it, and what can go."""
