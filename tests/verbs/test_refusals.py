"""What is wrong is told in words of ours: no name of an exception, no words of another
library."""

from __future__ import annotations

import pickle
import re
import shutil
from pathlib import Path

import pytest

from sencap.cli import main

NOT_OURS = re.compile(
    r"\b[A-Z]\w*(?:Error|Exception|Warning)\b|Traceback|has no attribute|NoneType|Errno|<class|"
    r"object at 0x|unpickl"
)
TRAIN = "train --data own --out out --hardware.accelerator cpu"
COMMANDS = [
    "caption bad.png bad.png", "caption cut.png whole.png", "caption bad.tif bad.tif",
    "caption bad.csv", "caption nul.csv", "caption latin.csv", "caption bad.json", "caption empty",
    "caption whole.png", "caption a b c", "caption whole.png whole.png --beam x",
    "caption whole.png whole.png --beam 1e3", "caption whole.png whole.png --batch-size []",
    "caption whole.png whole.png --device cuda:99", "caption whole.png whole.png --device meta",
    "caption whole.png whole.png --weights empty", "caption whole.png whole.png --weights bad.json",
    "caption whole.png whole.png --picture x.zzz", "caption --beam", "caption --help=3",
    "scan bad.tif bad.tif -o o.csv", "scan cut.png whole.png -o o.csv", "scan bad.json -o o.csv",
    "scan empty -o o.csv", "scan whole.png -o o.csv", "scan whole.png whole.png -o o.zzz",
    "scan whole.png whole.png", "scan whole.png whole.png -o o.csv --roi bad.json",
    "scan whole.png whole.png -o o.csv --dates x", "scan whole.png whole.png -o o.csv --side x",
    "scan whole.png whole.png -o o.csv --stretch x", "scan bad.png a b c -o o.csv",
    "explain whole.png whole.png", "explain bad.png bad.png -o x.html",
    "evaluate --data empty", "evaluate --data bad.json", "evaluate --data own --split foo",
    "caption whole.png whole.png --weights hub:a", "caption whole.png whole.png --weights hub:a/b@",
    "caption whole.png whole.png --weights local:empty",
    "scan whole.png whole.png -o o.csv --weights hub:",
    "push empty a/b --report bad.json", "push bad.json a/b --report bad.json",
    "push empty a --report x", "push empty a/b", "push empty --report x",
    "push nowhere a/b --report bad.json --out o --dry-run",
    "compare bad.json bad.json", "compare whole.png whole.png", "check bad.json", "check bad.png",
    "import bad.csv out", "import bad.json out", "import nul.csv out", "import empty out",
    "pack empty out", "pack bad.png out", "pack synthetic:x out", "pack own out --kind foo",
    "synth out --pairs x", "synth out --pairs 10 --val 2", "synth bad.png --pairs 10",
    f"{TRAIN} --config bad.yaml", f"{TRAIN} --config list.yaml", f"{TRAIN} --config bad.png",
    f"{TRAIN} --extractor.init bad.png --extractor.backbone resnet18",
    f"{TRAIN} --extractor.init harmless.pth --extractor.backbone resnet18",
    f"{TRAIN} --extractor.backbone foo", f"{TRAIN} --mean [1]", f"{TRAIN} --mean x",
    f"{TRAIN} --difference x", f"{TRAIN} --optimisation.learning-rate nan",
    f"{TRAIN} --optimisation.learning-rate 1e999", f"{TRAIN} --optimisation.epochs 1.5",
    f"{TRAIN} --extractor.backbone maxvit_tiny_tf_224", f"{TRAIN} --hardware.accelerator foo",
    "pretrain --data empty --out out", "pretrain --data bad.png --out out",
    "reproduce table99 --data own --out out", "convert harmless.pth out --vocabulary bad.json",
    "serve --weights empty", "serve --port x", "serve --token-file bad.png",
    "serve --config bad.yaml",
    "export empty", "export bad.png", "bench --weights empty", "info foo", "info bad.png",
    "info sen --extractor.grid x", "info sen --decoder.heads 7",
    "info sen --extractor.backbone maxvit_tiny_tf_224", "verb",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_data: Path) -> Path:
    """Files that are wrong in many ways."""
    folder = tmp_path_factory.mktemp("wrong")
    shutil.copytree(tiny_data, folder / "own")
    (folder / "empty").mkdir()
    whole = folder / "own" / "images" / "test" / "A" / "test_000002.png"
    shutil.copy(whole, folder / "whole.png")
    content = {
        "bad.png": b"\x89PNG\r\n\x1a\nxx",
        "cut.png": whole.read_bytes()[:2000],
        "bad.tif": b"II*\0\x08\0\0\0",
        "bad.csv": b"[[1",
        "nul.csv": b"before,after\n\0a,b\n",
        "latin.csv": "before,after\nä,b\n".encode("latin-1"),
        "bad.json": b'{"a":',
        "bad.yaml": b"a: [",
        "list.yaml": b"- 1",
        "harmless.pth": pickle.dumps({"a": 1}),
    }
    for name, data in content.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("words", COMMANDS)
def test_a_refusal_is_in_words_of_ours(
    words: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    assert main(words.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "sencap: error: " in printed.err
    assert not NOT_OURS.search(printed.err), printed.err
    assert sorted(folder.iterdir()) == before
