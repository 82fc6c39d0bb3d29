"""`sencap pretrain`: one pre-training run."""

from __future__ import annotations

from sencap.pretraining.settings import PretrainingSettings


def command(settings: PretrainingSettings) -> str:
    """Pre-train an extractor's backbone on dated images of places, without labels.

    Input: dated images and settings, from a YAML file (--config) and flags, which win
    over the file. Output: OUT/backbone, which `sencap train --extractor.init` takes,
    and OUT/epoch-NNNN on the way; OUT/watch.png and OUT/run.json (settings,
    environment, recall@1 and spread per epoch beside those of random weights), OUT/logs
    (CSV, TensorBoard). A run that was stopped or killed goes on when the same command
    is given again.
    """
    from sencap.files import check_inputs
    from sencap.pretraining.folder import check_pretraining_folder

    # before PyTorch is loaded
    check_pretraining_folder(settings)
    check_inputs({"data": settings.data, "init": settings.init})
    from sencap.pretraining.fit import pretrain

    return f"backbone: {pretrain(settings)}"
