"""Make a run of predictions that another program wrote."""
