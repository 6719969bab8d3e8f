"""Tables of a competition, folds, time folds with guards, self-hosting, competition rules, folder layouts."""
