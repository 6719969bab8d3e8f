"""Style, canvas and Markdown shared by all reports."""
