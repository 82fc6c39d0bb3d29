"""What a result was made with: versions, processor, device. Written beside every result."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

from sencap import __version__


def environment() -> dict[str, str | int]:
    """Versions of sencap, Python and the libraries that decide numbers, and the hardware.

    No host or user name and no path is in it.
    """
    import torch  # noqa: PLC0415  (late: this module is read by torch-free ones)

    record: dict[str, str | int] = {
        "sencap": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    }
    for package in ("torch", "torchvision", "timm", "lightning", "numpy", "pillow", "pycocoevalcap"):
        try:
            record[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            record[package] = "absent"
    return record


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"
