"""What metrics decide by after the predictions: thresholds, numbers of labels, cut points, object sizes, watershed."""
