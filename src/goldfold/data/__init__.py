"""Competition tables, folds, time folds with guards, self-hosted competitions, competition rules, image folders."""
