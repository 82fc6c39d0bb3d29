"""The parts of a captioner, the systems put together from them, search, and
checkpoints."""
