"""What each verb does, from its arguments to its result."""
