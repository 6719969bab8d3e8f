"""Suggest a learning rate for a config: range tests of its first stage, as text, JSON and picture."""
