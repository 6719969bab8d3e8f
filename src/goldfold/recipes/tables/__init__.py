"""Parts of the recipes for tables: columns as numbers, labels, rows kept back, and libraries of boosted trees."""
