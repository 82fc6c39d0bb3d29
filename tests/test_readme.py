"""Every command, block of Python, path and link of README.md: it is there, and does
what it says.

Commands that take long or need a download are only given to their parser; the others
are run, on drawn data.
"""

from __future__ import annotations

import importlib
import json
import re
import shlex
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sencap.cli import VERBS, main, verb_parser
from sencap.data.levir_cc import read_captions
from sencap.data.vocabulary import Vocabulary
from sencap.errors import SettingsError
from sencap.models.checkpoint import Checkpoint, save_checkpoint
from sencap.models.variants import build
from sencap.parsing import underscored
from tiny_systems import tiny

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCED = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
LINES = [
    line for language, block in FENCED if not language for line in block.splitlines()
]
PYTHON = [block for language, block in FENCED if language == "python"]
PROSE = re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)
INLINE = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", PROSE)]

# without the remark behind a command, and without names of verbs alone
WRITTEN = [line.partition("#")[0].strip() for line in [*LINES, *INLINE]]
COMMANDS = [text for text in dict.fromkeys(WRITTEN) if re.match(r"sencap \S+ \S", text)]

# They train, fetch, measure, write graphs or serve: half a minute to weeks. Each has
# tests of its own.
ONLY_PARSED = ("train", "pretrain", "reproduce", "bench", "convert", "export", "serve")


def understood(command: str) -> None:
    """Give a command to its verb's parser, as the command line does."""
    name, *words = shlex.split(command)[1:]
    parser = verb_parser(name, importlib.import_module(VERBS[name].module).command)
    parser.instantiate(parser.parse_args([underscored(word) for word in words]))


@pytest.fixture(scope="module")
def template(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds all that the README's commands name."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(tiny_data, folder / "DATA")
    for split, name in (("test", "pairs"), ("val", "more")):
        shutil.copytree(tiny_data / "images" / split, folder / name)
    for date, letter in (("before", "A"), ("after", "B")):
        shutil.copy(
            folder / "pairs" / letter / "test_000002.png", folder / f"{date}.png"
        )
    row = "more/A/val_{0:06d}.png,more/B/val_{0:06d}.png,a road is built"
    rows = [row.format(number) for number in (1, 2, 3, 4)]
    (folder / "TABLE.csv").write_text("\n".join(["before,after,caption", *rows]))

    captions = [words for entry in read_captions(tiny_data) for words in entry.captions]
    vocabulary = Vocabulary.build(captions, minimum_count=1)
    settings = tiny("sen")
    captioner = build(settings, len(vocabulary)).eval()
    save_checkpoint(folder / "PATH", Checkpoint(captioner, vocabulary, settings, {}))
    return folder


@pytest.fixture
def here(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own copy of it, where the command is given; without Java, since METEOR takes
    seconds."""
    shutil.copytree(template, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    return tmp_path / "here"


def prepare(name: str) -> None:
    """Make what one verb alone needs, in the current folder."""
    if name == "import":
        shutil.rmtree("DATA")  # it is to be written
    if name == "score":
        entries = read_captions("DATA", splits=["test"])
        said = {entry.name: " ".join(entry.captions[0]) for entry in entries}
        Path("captions.json").write_text(json.dumps(said))
    if name == "scan":
        rasterio = pytest.importorskip("rasterio")
        place = rasterio.Affine(0.5, 0, 620_000, 0, -0.5, 3_350_000)
        for date in ("before", "after"):
            with Image.open(f"{date}.png") as image:
                values = np.asarray(image).transpose(2, 0, 1)
            profile = {
                "driver": "GTiff",
                "count": 3,
                "dtype": "uint8",
                "crs": "EPSG:32614",
            }
            profile |= {
                "height": values.shape[1],
                "width": values.shape[2],
                "transform": place,
            }
            with rasterio.open(f"{date}.tif", "w", **profile) as file:
                file.write(values)
    if name == "compare":
        report = ["--data", "DATA", "--weights", "PATH", "--quiet", "--json"]
        assert main(["evaluate", *report, "a.json"]) == 0
        shutil.copy("a.json", "b.json")


def test_the_readme_has_what_is_tested_here() -> None:
    assert len(COMMANDS) > 15
    assert len(PYTHON) == 1
    named = {command.split()[1] for command in COMMANDS}
    assert named >= set(VERBS) - {"demo", "pack", "doctor"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_one(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # where its configs are
    understood(command)


def test_a_flag_or_a_file_that_is_not_there_would_be_told() -> None:
    with pytest.raises(SettingsError, match="--jsn"):
        understood("sencap caption before.png after.png --jsn")
    with pytest.raises(SettingsError, match=r"configs/no\.yaml"):
        understood("sencap train --config configs/no.yaml --data DATA")
    with pytest.raises(KeyError, match="captoin"):
        understood("sencap captoin before.png after.png")


@pytest.mark.parametrize(
    "command", [c for c in COMMANDS if c.split()[1] not in ONLY_PARSED]
)
def test_every_command_runs(
    command: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *words = shlex.split(command.replace("--pairs 1000", "--pairs 12"))[1:]
    prepare(name)
    capsys.readouterr()
    before = {path for path in here.rglob("*") if path.is_file()}
    code = main([name, *words])
    shown = capsys.readouterr()
    assert code == 0, shown.err
    assert shown.out.strip()
    # what a command says that it writes, it writes
    outputs = re.findall(r"(?:--json|--page|--picture|-o) ([\w./]+)", command)
    outputs += re.findall(r"\bOUT\b|(?<=TABLE.csv )DATA", command)
    for output in outputs:
        written = Path(output)
        files = written.rglob("*") if written.is_dir() else [written]
        assert {here / file for file in files if file.is_file()} - before, output


@pytest.mark.parametrize("block", PYTHON)
def test_every_block_of_python_runs(block: str, here: Path) -> None:
    *first, last = block.strip().splitlines()
    names: dict[str, object] = {}
    exec("\n".join(first), names)
    text, probability, alternatives = eval(last, names)
    assert text
    assert 0 <= probability <= 1
    assert alternatives


def test_flags_paths_links_targets_and_extras_are_there() -> None:
    helps = ""
    for name in VERBS:
        command = importlib.import_module(VERBS[name].module).command
        helps += verb_parser(name, command).format_help()
    for flag in re.findall(r"`(--[\w.-]+)", PROSE):
        assert f"{flag} " in helps, flag
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", README)]
    words = [word for span in INLINE for word in span.split()]
    paths = [
        word
        for word in words
        if re.match(r"(configs|tests|docs|benchmarks|src)/", word)
    ]
    assert links
    assert paths
    for path in {*links, *paths}:
        assert (ROOT / path).exists(), path
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"\bmake ([a-z]+)\b", "\n".join([*LINES, *INLINE])):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extra in re.findall(r"'\.\[(\w+)\]'", README):
        assert extra in project["optional-dependencies"], extra


def test_the_pictures_are_images() -> None:
    for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        with Image.open(ROOT / picture) as image:
            assert np.asarray(image).std() > 0, picture
