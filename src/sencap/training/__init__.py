"""Training a captioner: the Lightning task, its schedule, and the run."""
