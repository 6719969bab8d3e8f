"""The experiment log as table, Markdown, HTML and CSV."""
