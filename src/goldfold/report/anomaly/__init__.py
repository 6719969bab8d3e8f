"""What an anomaly detector saw: heat maps of misses and false alarms, scores by kind of defect."""
