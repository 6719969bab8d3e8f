"""Parameters of the recipes that leave no room for them in their own module."""
