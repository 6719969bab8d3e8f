"""Write the experiment log, and add remarks to it."""
