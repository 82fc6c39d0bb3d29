"""The names in a report, in the order in which they are shown. Nothing heavy is
imported here."""

from __future__ import annotations

PROTOCOLS = ("ids", "words")
SUBSETS = ("all", "changed", "unchanged")
METRICS = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr", "S*m")
"""The names of the scores. ``S*m`` is the mean of the four before it, with BLEU-4 for
BLEU."""
ACCURACY = "change accuracy"
"""The name of the share of pairs whose caption tells change from no change rightly."""
