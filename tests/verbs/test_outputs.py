"""What verbs write: never over an input, refused before any work, and nothing is lost
where a disk is full."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sencap.cli import main
from verbs.conftest import everything_below

# Each writes over an input. {a}, {b}: two images. {own}: a data set. {weights}: a
# checkpoint.
# {link}: a link to {b}.
OVER_INPUTS = [
    "caption {b} {a} --picture {b}",
    "caption {b} {a} --picture {a}",
    "caption {b} {a} --picture {link}",
    "caption {b} {a} --picture {hard}",
    "explain {a} {page} -o {page}",
    "explain {b} {a} -o {b}",
    "explain {a} {b} -o {link}",
    "scan {a} {page} -o {new}.csv --page {page}",
    "evaluate --data {own} --json {own}/LevirCCcaptions.json",
    "evaluate --data {own}/LevirCCcaptions.json --markdown {own}/LevirCCcaptions.json",
    "evaluate --data {own} --json {b}",
    "evaluate --data {own} --split test --json {own}/images/train/A/train_000001.png",
    "evaluate --data {own} --weights {weights} --json {weights}/config.json",
    "evaluate --data {own} --json {new} --markdown {new}",
    "evaluate --data {own} --json {new}.html --page {new}.html",
    "compare {one} {two} --json {one}",
    "compare {one} {two} --json {two}",
    "compare {one} --against {two} --json {two}",
]
# Each names an output that cannot be
NO_PLACE = [
    ("caption {a} {b} --picture {own}", "is a folder"),
    ("caption {a} {b} --picture {own}/none/x.png", "does not exist"),
    ("caption {a} {b} --picture {own}/x.gif", "must end in one of .png"),
    ("caption {a} {b} --picture {own}/x", "must end in one of .png"),
    ("caption {own}/images/test --picture {own}/x.png", "name a folder"),
    ("caption {own}/images/test --picture {one}", "is a file; name a folder"),
    ("caption {own}/images/test --picture {one}/below", "is a file; name a folder"),
    ("explain {a} {b} -o {own}", "must end in one of .png"),
    ("explain {a} {b} -o {own}/x.txt", "must end in one of .png"),
    ("explain {a} {b} -o {own}/none/x.html", "does not exist"),
    ("scan {a} {b} -o {own}", "its ending says the format, and none is unknown"),
    ("scan {a} {b} -o {own}/none/x.csv", "does not exist"),
    ("scan {a} {b} -o {new}.csv --page {own}/x.pdf", "must end in .html"),
    (
        "scan {a} {b} -o {new}.csv --probability {own}/x.png",
        "give a name that ends in .tif",
    ),
    ("evaluate --data {own} --json {own}", "is a folder"),
    ("evaluate --data {own} --markdown {own}", "is a folder"),
    ("evaluate --data {own} --page {own}/x.pdf", "must end in .html"),
    ("evaluate --data {own} --page {own}/none/x.html", "does not exist"),
    ("compare {one} {two} --json {own}", "is a folder"),
    ("compare {one} {two} --json {own}/none/x.json", "does not exist"),
    ("demo --out {one}", "is a file; name a folder"),
    ("demo --out {one}/below", "is a file; name a folder"),
    ("convert {one} {two} --vocabulary {one}", "is a file; name a folder"),
    ("convert {own}/none.pth {new} --vocabulary {one}", "none.pth is not a file"),
    ("convert {one} {new} --vocabulary {own}/none.json", "none.json is not a file"),
    ("caption {a} {own}/none.png", "none.png"),
    ("caption {a} {b} --weights {own}/none", "none is not a checkpoint folder"),
    (
        "explain {a} {b} -o {new}.html --weights {one}",
        "one.json is not a checkpoint folder",
    ),
    ("evaluate --data {own} --weights {own}/none", "none is not a checkpoint folder"),
    ("demo --out {new} --weights {own}/none", "none is not a checkpoint folder"),
]


@pytest.fixture
def places(
    tmp_path: Path,
    own: Path,
    pair: tuple[str, str],
    weights: Path,
    report: Callable[[str], Path],
) -> dict[str, str]:
    """What the commands above name."""
    a, b = pair
    link, hard = tmp_path / "link.png", tmp_path / "hard.png"
    link.symlink_to(b)
    os.link(b, hard)
    page = tmp_path / "page.html"  # an image is told by its content, not by its name
    page.write_bytes(Path(b).read_bytes())
    places = {
        "a": a,
        "b": b,
        "own": own,
        "weights": weights,
        "link": link,
        "hard": hard,
        "page": page,
    }
    places |= {
        "one": report("one.json"),
        "two": report("two.json"),
        "new": tmp_path / "new",
    }
    return {name: str(path) for name, path in places.items()}


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that is loaded after all: too late to refuse."""

    def open_checkpoint(*_: object, **__: object) -> None:
        pytest.fail("a model was loaded before the command was refused")

    monkeypatch.setattr("sencap.predictor.open_checkpoint", open_checkpoint)


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize("command", OVER_INPUTS)
def test_an_output_that_is_an_input_is_refused_before_any_work(
    command: str,
    places: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = everything_below(tmp_path)
    assert main([word.format(**places) for word in command.split()]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("sencap: error: ")
    assert "is the input" in shown.err or "are one file" in shown.err
    assert everything_below(tmp_path) == before


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize(("command", "message"), NO_PLACE)
def test_an_output_that_cannot_be_is_refused_before_any_work(
    command: str,
    message: str,
    places: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = everything_below(tmp_path)
    assert main([word.format(**places) for word in command.split()]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err
    assert "Traceback" not in shown.err
    assert everything_below(tmp_path) == before


def test_refusals_import_no_torch(places: dict[str, str]) -> None:
    commands = [command for command, _ in NO_PLACE] + OVER_INPUTS
    given = [
        [word.format(**places) for word in command.split()] for command in commands
    ]
    code = (
        "import json, sys\n"
        "from sencap.cli import main\n"
        "for command in json.loads(sys.argv[1]):\n"
        "    if main(command) != 2 or 'torch' in sys.modules:\n"
        "        sys.exit(' '.join(command))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(given)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# Full disks


def _small(places: dict[str, str], command: str) -> list[str]:
    return [word.format(**places) for word in command.split()] + [
        "--weights",
        places["weights"],
    ]


def test_a_picture_on_a_full_disk_does_not_lose_the_sentence(
    places: dict[str, str],
    no_room: Callable[[str], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    picture = no_room("full.png")
    assert (
        main([*_small(places, "caption {a} {b} --json"), "--picture", str(picture)])
        == 2
    )
    shown = capsys.readouterr()
    details = json.loads(shown.out)
    assert details["caption"]
    assert details["picture"] is None
    assert (
        f"{picture} cannot be written (No space left on device); make room" in shown.err
    )


def test_one_picture_that_fails_does_not_stop_the_others(
    places: dict[str, str],
    tmp_path: Path,
    no_room: Callable[[str], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    failing = no_room("pictures/test_000002.png")
    folder = tmp_path / "pictures"
    assert (
        main([*_small(places, "caption {own}/images/test"), "--picture", str(folder)])
        == 2
    )
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 4
    assert f"{failing} cannot be written" in shown.err
    written = {path.name for path in folder.iterdir() if not path.is_symlink()}
    assert written == {f"test_00000{i}.png" for i in (1, 3, 4)}


@pytest.mark.parametrize("ending", ["html", "svg"])
def test_explain_says_its_sentence_on_a_full_disk(
    ending: str,
    places: dict[str, str],
    no_room: Callable[[str], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    if ending == "svg":
        pytest.importorskip("matplotlib")
    out = no_room(f"why.{ending}")
    assert main([*_small(places, "explain {a} {b}"), "-o", str(out)]) == 2
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 1
    assert f"{out} cannot be written (No space left on device)" in shown.err


def test_demo_says_its_captions_on_a_full_disk(
    places: dict[str, str],
    tmp_path: Path,
    no_room: Callable[[str], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    no_room("demo/index.html")
    places["demo"] = str(tmp_path / "demo")
    assert main(_small(places, "demo --out {demo}")) == 2
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) >= 3
    assert "index.html cannot be written (No space left on device)" in shown.err


@pytest.mark.parametrize("failing", ["json", "markdown", "page"])
def test_evaluate_writes_and_prints_all_that_it_can(
    failing: str,
    places: dict[str, str],
    tmp_path: Path,
    no_room: Callable[[str], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = {kind: tmp_path / f"report.{kind}" for kind in ("json", "markdown")}
    files["page"] = tmp_path / "report.html"
    files[failing] = no_room(f"full-{failing}.html")
    flags = [word for kind, path in files.items() for word in (f"--{kind}", str(path))]
    assert (
        main([*_small(places, "evaluate --data {own} --limit 2 --quiet"), *flags]) == 2
    )
    shown = capsys.readouterr()
    assert shown.out.startswith("# Evaluation")
    assert f"{files[failing]} cannot be written (No space left on device)" in shown.err
    written = [
        kind
        for kind, path in files.items()
        if not path.is_symlink() and path.stat().st_size
    ]
    assert {*written, failing} == {"json", "markdown", "page"}


# Interrupts


@pytest.mark.parametrize(
    ("command", "written"),
    [
        (
            "caption {a} {b} --picture {own}/x.png",
            "sencap.figures.pair.Image.Image.save",
        ),
        ("explain {a} {b} -o {own}/x.html", "pathlib.Path.write_bytes"),
        (
            "evaluate --data {own} --limit 2 --quiet --json {own}/x.json",
            "pathlib.Path.write_bytes",
        ),
        ("demo --out {own}/demo", "pathlib.Path.write_bytes"),
    ],
)
def test_an_interrupt_while_writing_leaves_no_draft_and_promises_nothing(
    command: str,
    written: str,
    places: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = everything_below(tmp_path)

    def stop_in_the_middle(first: object, second: object, **_: object) -> None:
        draft = second if isinstance(second, Path) else first
        assert isinstance(draft, Path)
        draft.touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(written, stop_in_the_middle)
    assert main(_small(places, command)) == 130
    assert (
        "interrupted; the same command starts from the beginning"
        in capsys.readouterr().err
    )
    assert everything_below(tmp_path) == before
