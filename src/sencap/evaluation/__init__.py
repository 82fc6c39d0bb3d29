"""Metrics, protocols and reports: words and ids in, scores out; no model is known
here."""
