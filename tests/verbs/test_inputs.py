"""What a verb of the workshop is to read and is not there: told at once, before PyTorch is
loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CODE = (
    "import sys\n"
    "from sencap.cli import main\n"
    "for words in sys.argv[1].split('|'):\n"
    "    assert main(words.split()) == 2, words\n"
    "sys.exit('torch' in sys.modules)"
)
CPU = "--hardware.accelerator cpu"


@pytest.mark.parametrize(
    ("verb", "flags"),
    [
        (
            f"train --out o {CPU}",
            ["data", "selection-data", "start", "vocabulary.captions", "extractor.init"],
        ),
        (f"pretrain --out o {CPU}", ["data", "init"]),
        (
            f"reproduce table2 --dry-run --out o {CPU}",
            ["data", "test-data", "places", "imagenet", "seco", "init", "captions"],
        ),
    ],
)
def test_inputs_that_are_not_there_are_refused_without_pytorch(
    verb: str, flags: list[str], tmp_path: Path
) -> None:
    commands = [
        f"{verb} --{flag} nowhere" + (" --data ." if flag != "data" else "") for flag in flags
    ]
    command = [sys.executable, "-c", CODE, "|".join(commands)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = [
        f"{flag.replace('-', '_')}=nowhere: No such file or directory; name a file"
        for flag in flags
    ]
    for line, expected in zip(done.stderr.splitlines(), told, strict=True):
        assert expected in line
    assert list(tmp_path.iterdir()) == []
