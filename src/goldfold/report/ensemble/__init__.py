"""Pages and pictures of blends, and of what views and seeds gain."""
