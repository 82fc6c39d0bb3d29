"""What a verb of the workshop is to read and is not there: told at once, before PyTorch
is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sencap.cli import main

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
            [
                "data",
                "selection-data",
                "start",
                "vocabulary.captions",
                "extractor.init",
            ],
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
        f"{verb} --{flag} nowhere" + (" --data ." if flag != "data" else "")
        for flag in flags
    ]
    command = [sys.executable, "-c", CODE, "|".join(commands)]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = [
        f"{flag.replace('-', '_')}=nowhere: it does not exist; name a file"
        for flag in flags
    ]
    for line, expected in zip(done.stderr.splitlines(), told, strict=True):
        assert expected in line
    assert list(tmp_path.iterdir()) == []


# Where a verb reads and where it writes: ADDRESS stands for something elsewhere
READS = [
    "caption ADDRESS/a.png ADDRESS/b.png", "caption ADDRESS",
    "caption a.png b.png --weights ADDRESS",
    "scan ADDRESS/a.tif ADDRESS/b.tif -o x.csv", "scan ADDRESS -o x.csv",
    "archive ADDRESS -o out",
    "explain ADDRESS/a.png ADDRESS/b.png -o x.png", "demo --weights ADDRESS",
    "score ADDRESS --data .", "score . --data ADDRESS",
    "evaluate --data ADDRESS", "check ADDRESS", "import ADDRESS out", "pack ADDRESS "
        "out",
    f"train --data ADDRESS --out o {CPU}", f"train --data . --out o {CPU} "
        "--extractor.init ADDRESS",
    f"train --config ADDRESS --data . --out o {CPU}", "pretrain --data ADDRESS --out "
        f"o {CPU}",
    f"reproduce table2 --data ADDRESS --out o {CPU}", "convert ADDRESS o "
        "--vocabulary ADDRESS",
    "compare ADDRESS ADDRESS", "bench --weights ADDRESS",
]  # fmt: skip
WRITES = [
    "scan a.tif b.tif -o ADDRESS/x.csv", "demo --out ADDRESS/page.html", "import . "
        "ADDRESS",
    "pack synthetic:3 ADDRESS",
    "synth ADDRESS --pairs 10", f"train --data . --out ADDRESS {CPU}",
    f"pretrain --data synthetic:3 --out ADDRESS {CPU}",
    f"reproduce table2 --data . --out ADDRESS {CPU}", "compare a b --json ADDRESS",
]  # fmt: skip


@pytest.mark.parametrize(
    "where", ["https://example.org/x", "s3://bucket/x", "/vsicurl/http://x"]
)
def test_an_address_is_refused_as_one_by_every_verb(
    where: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for commands, told in (
        (READS, "it is an address"),
        (WRITES, "is an address, and sencap"),
    ):
        for words in commands:
            assert main(words.replace("ADDRESS", where).split()) == 2, words
            assert told in capsys.readouterr().err, words
    assert list(tmp_path.iterdir()) == []
