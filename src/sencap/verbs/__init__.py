"""The verbs: one function each, the same from Python and from the command line.

Their signatures are the flags, the YAML keys and the help. They import torch late, so
that help is quick.
"""
