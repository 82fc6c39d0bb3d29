"""`sencap synth`: a data set of synthetic captioned pairs."""

from __future__ import annotations


def command(
    out: str,
    *,
    pairs: int = 1000,
    seed: int = 0,
    val: float = 0.1,
    test: float = 0.1,
    workers: int = 0,
    quiet: bool = False,
) -> str:
    """Write synthetic before/after pairs with captions and masks of change, in
    LEVIR-CC's layout.

    Output: OUT/images/{train,val,test}/{A,B,label}/*.png and OUT/LevirCCcaptions.json.
    The same seed gives the same bytes. A run that was stopped goes on when the same
    command is given again.

    Args:
        out: The folder to write; it may be new, empty, or a stopped run's.
        pairs: Number of pairs, half of them changed.
        seed: Seed of everything random.
        val: Share of the pairs that goes to the split val.
        test: Share of the pairs that goes to the split test.
        workers: Processes that draw (0: one per core, 1: this one).
        quiet: No progress bar.
    """
    from sencap.synthetic import write_dataset

    folder = write_dataset(
        out,
        pairs=pairs,
        seed=seed,
        val=val,
        test=test,
        workers=workers,
        progress=not quiet,
    )
    return f"wrote {folder}"
