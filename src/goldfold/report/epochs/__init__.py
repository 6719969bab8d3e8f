"""The epoch atlas: pages and tables of every kept epoch."""
