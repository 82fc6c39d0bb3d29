"""What is installed beside the core, and how to install what is missing."""

from __future__ import annotations

from sencap.errors import MissingDependencyError

# The packages that the core does without, and the extra that brings each.
EXTRAS = {
    "torch": "train",
    "torchvision": "train",
    "timm": "train",
    "safetensors": "train",
    "lightning": "train",
    "tensorboard": "train",
    "onnxscript": "train",
    "filelock": "train",
    "pycocoevalcap": "meteor",
    "matplotlib": "figures",
    "rasterio": "geo",
    "pyogrio": "geo",
    "pyarrow": "geo",
    "ray": "archive",
    "zarr": "seasons",
    "huggingface_hub": "hub",
    "fastapi": "serve",
    "uvicorn": "serve",
    "python_multipart": "serve",
    "prometheus_client": "serve",
}


def missing_extra(
    error: ModuleNotFoundError, wanted: str
) -> MissingDependencyError | None:
    """The error to raise in place of an import that failed for want of an extra; None
    if it failed for another reason.

    ``wanted`` is what was asked for: a verb or a function.
    """
    # An import of "lightning.pytorch" fails with that name; the package is its first
    # part.
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS:
        return None
    extra = EXTRAS[package]
    return MissingDependencyError(
        f"{wanted} needs {package}, which is not installed: pip install "
        f"'sencap[{extra}]'"
    )
