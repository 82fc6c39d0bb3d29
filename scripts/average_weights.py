"""Average the weights of checkpoints that were trained from one and the same start ("model soup").

    python scripts/average_weights.py runs/shipped-2-mixed/last runs/shipped-2-real/best --out
    runs/shipped-average

Settings and vocabulary are those of the first; the others must have its shapes and its vocabulary.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from sencap.errors import CheckpointError
from sencap.models.checkpoint import load_checkpoint, save_checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    first, *others = [load_checkpoint(path) for path in arguments.checkpoints]
    if any(other.vocabulary != first.vocabulary for other in others):
        raise CheckpointError("the checkpoints have different vocabularies")
    states = [checkpoint.captioner.state_dict() for checkpoint in (first, *others)]
    mean = {
        name: torch.stack([state[name] for state in states]).mean(0)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in states[0].items()
    }
    first.captioner.load_state_dict(mean)
    print(save_checkpoint(arguments.out, first))


if __name__ == "__main__":
    main()
