"""Slow, literal twins of the package's fast code, written from SPEC's equations in
loops.

They compute in float64 with NumPy and know of the package only the names under which it
stores its weights.
"""
