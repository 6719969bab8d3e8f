"""Self-contained HTML pages: runs, comparisons, studies, the ledger, and the index of a project."""
