"""Nothing of what a user does is told to anybody: no library of ours reports to its
maker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import sencap

EXAMPLE = Path(sencap.__file__).parent / "examples" / "synthetic-road_{}.png"


def test_a_caption_leaves_no_file_in_the_home_folder(tmp_path: Path) -> None:
    """ONNX Runtime writes an id of the device and what it was used for there, to send
    them on."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name != "ORT_DISABLE_TELEMETRY"
    }
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    images = [str(EXAMPLE).format(date) for date in ("before", "after")]
    done = subprocess.run(
        [sys.executable, "-m", "sencap", "caption", *images],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
