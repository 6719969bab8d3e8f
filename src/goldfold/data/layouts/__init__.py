"""Tables from folders and annotation files in the layouts of public data sets."""
