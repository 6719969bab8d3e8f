"""Write HTML pages: the report of a run, and the index of all runs."""
