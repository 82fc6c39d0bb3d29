"""Data sets of captioned image pairs, their vocabulary, and how they are loaded."""
