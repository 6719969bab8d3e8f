"""Anomaly detection: k-center coresets, memory banks, PaDiM, autoencoders, synthetic defects, thresholds, routing."""
