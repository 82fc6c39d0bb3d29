"""The rule by which the decoder's learning rate falls."""

from __future__ import annotations


class PlateauDecay:
    """Tells when ``patience`` epochs in a row brought no better score; then it starts to count
    anew."""

    def __init__(self, *, patience: int, factor: float) -> None:
        self.patience, self.factor = patience, factor
        self.best, self.stale = -1.0, 0

    def step(self, score: float) -> bool:
        """Take one epoch's score; True if the learning rate is to be multiplied by ``factor``
        now."""
        if score > self.best:
            self.best, self.stale = score, 0
            return False
        self.stale += 1
        if self.stale < self.patience:
            return False
        self.stale = 0
        return True

    def state(self) -> dict[str, float]:
        """For a resume file."""
        return {"best": self.best, "stale": self.stale}

    def restore(self, state: dict[str, float]) -> None:
        """From a resume file."""
        self.best, self.stale = state["best"], int(state["stale"])
