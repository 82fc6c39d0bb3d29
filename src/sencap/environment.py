"""What is here: versions and hardware. Written beside every result, and checked before
a run."""

from __future__ import annotations

import os
import platform
import sys
import warnings
from importlib import metadata
from pathlib import Path

from sencap.config import HardwareSettings
from sencap.errors import SettingsError
from sencap.version import __version__

ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
PACKAGES = (
    *("numpy", "onnxruntime", "pillow", "pycocoevalcap"),
    *("torch", "torchvision", "timm", "lightning"),
)
# One of them is set where something else says how the machines of a run find each other
# (see docs/training.md).
MEETING_POINTS = (
    "MASTER_ADDR",
    "TORCHELASTIC_RUN_ID",
    "SLURM_NTASKS",
    "LSB_JOBID",
    "OMPI_COMM_WORLD_SIZE",
    "PMI_SIZE",
)


def environment() -> dict[str, str | int]:
    """Versions of sencap, Python and the libraries that decide numbers, and the
    hardware.

    No host or user name and no path is in it.
    """
    torch = sys.modules.get("torch")  # what was not loaded has decided no number
    has_gpu = torch is not None and torch.cuda.is_available()
    device = "cpu"
    if torch is not None and has_gpu:
        device = torch.cuda.get_device_name()
    record: dict[str, str | int] = {
        "sencap": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "threads": (os.cpu_count() or 1) if torch is None else torch.get_num_threads(),
        "device": device,
    }
    for package in PACKAGES:
        try:
            record[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            record[package] = "absent"
    return record


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(
            line.split(":", 1)[1].strip()
            for line in lines
            if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or "unknown"


def check_hardware(hardware: HardwareSettings) -> None:
    """Refuse, before any work, hardware that is not here; an unknown machine would be
    waited for without end.

    Raises:
        SettingsError: an unknown accelerator, one that is not here, more devices than
            there are, or several machines that nothing tells how to find each other.
            The message says what is here.
    """
    accelerator, devices = hardware.accelerator, hardware.devices
    if accelerator not in ACCELERATORS:
        raise SettingsError(
            f"hardware.accelerator is {accelerator!r}; it must be auto, cpu or gpu; "
            f"{_what_is_here()}"
        )
    count = device_count(device_type(accelerator))
    if count == 0:
        raise SettingsError(
            f"hardware.accelerator is {accelerator}, which is not here; "
            f"{_what_is_here()}; give another"
        )
    if devices > count:
        raise SettingsError(
            f"hardware.devices is {devices} with hardware.accelerator={accelerator}; "
            f"{_what_is_here()}; the most is {count}"
        )
    # Without a meeting point each machine would wait for the others for ever.
    if hardware.nodes > 1 and not any(name in os.environ for name in MEETING_POINTS):
        raise SettingsError(
            f"hardware.nodes is {hardware.nodes}, and nothing says where the "
            "machines meet; start the run with torchrun or srun, or set MASTER_ADDR, "
            "MASTER_PORT and NODE_RANK on each machine"
        )


def device_type(accelerator: str) -> str:
    """PyTorch's name of the device that an accelerator means here: cpu, cuda or mps.

    auto is a GPU if there is one; gpu is cuda where there is none.
    """
    if accelerator in ("cpu", "cuda", "mps"):
        return accelerator
    for kind in ("cuda", "mps"):
        if device_count(kind):
            return kind
    return "cuda" if accelerator == "gpu" else "cpu"


def device_count(kind: str) -> int:
    """How many devices of a type (cpu, cuda, mps) are here; of the CPU, how many
    cores."""
    if kind == "cpu":
        return os.cpu_count() or 1
    import torch  # noqa: PLC0415  (late: this module is read by torch-free ones)

    # PyTorch warns of a driver that is too old: there is no GPU then.
    with warnings.catch_warnings(action="ignore"):
        if kind == "mps":
            return int(torch.backends.mps.is_available())
        return torch.cuda.device_count() if torch.cuda.is_available() else 0


def check_memory(needed: int, what: str) -> None:
    """Refuse, before any of it is taken, more memory (in bytes) than this machine has.

    The system would end the process without a word. ``what`` begins the message, such
    as "training 7 parameters".

    Raises:
        SettingsError: with both figures.
    """
    present = _memory()
    if present is not None and needed > present:
        raise SettingsError(
            f"{what} takes at least {needed / 1e9:,.0f} GB of memory, and here are "
            f"{present / 1e9:,.0f} GB; choose a smaller system"
        )


def _memory() -> int | None:
    """The bytes of memory of this machine; None where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _what_is_here() -> str:
    cores = device_count("cpu")
    gpus = device_count("cuda") + device_count("mps")
    plural = "s" * (gpus > 1)
    return f"here is a CPU with {cores} core{'s' * (cores > 1)} and {gpus or 'no'} GPU{plural}"
