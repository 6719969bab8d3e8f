"""How recipes predict as modules of arrays, for programs without goldfold; `Plan.export`."""
