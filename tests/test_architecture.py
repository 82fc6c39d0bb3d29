"""What holds for the package as a whole: public names, import direction, quick help, loadable configs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sencap
from sencap.cli import VERBS, verb_parser

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "sencap"
# Each room and those it may import from; a room may always import itself.
BASE = {"errors", "bounds", "files", "json_files", "structures", "config"}
ALLOWED = {
    "errors": set(),
    "bounds": {"errors"},
    "files": {"errors"},
    "processes": {"errors"},
    "json_files": {"errors"},
    "structures": {"errors"},
    "config": {"errors", "bounds", "json_files"},
    "environment": {"errors", "config"},
    "images": BASE,
    "rasters": BASE | {"images"},
    "data": BASE | {"images", "processes"},
    "synthetic": BASE | {"data", "images", "processes"},
    "places": BASE | {"data", "images", "rasters", "processes", "synthetic"},
    "evaluation": BASE | {"data"},
    "figures": BASE | {"images"},
    "weights": {"errors"},
    "checkpoint_folder": BASE | {"data"},
    "engines": BASE | {"checkpoint_folder", "models"},  # models: PyTorch's engine alone
    "search": BASE | {"engines"},
    "predictor": BASE | {"data", "images", "engines", "search", "weights"},
    "explain": BASE | {"data", "images", "engines", "predictor", "figures"},
    # the workshop
    "models": BASE | {"data", "checkpoint_folder", "engines"},  # engines: the graphs that are exported
    "foreign": BASE | {"data", "checkpoint_folder", "models"},
    "runs": BASE | {"environment"},
    "training": BASE
    | {"checkpoint_folder", "engines", "search", "data", "images", "evaluation"}
    | {"models", "foreign", "environment", "runs"},
    "pretraining": BASE
    | {
        "checkpoint_folder",
        "data",
        "images",
        "places",
        "models",
        "foreign",
        "environment",
        "runs",
        "figures",
    },
    "reproduce": BASE
    | {"data", "places", "environment", "evaluation", "images", "models", "predictor", "pretraining", "runs"}
    | {"training", "verbs", "foreign", "explain", "figures"},
    "verbs": BASE
    | {"reproduce", "explain", "figures", "data", "places", "synthetic", "images", "models", "foreign"}
    | {"evaluation", "training", "pretraining", "predictor", "weights", "environment", "runs"},
    "parsing": {"errors"},
    "extras": {"errors"},
    "cli": {"errors", "bounds", "extras", "files", "parsing", "verbs"},
    "__main__": {"cli"},
}


def _imports(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        rooms |= {name.split(".")[1] for name in names if name.startswith("sencap.")}
    return rooms


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_down_only(path: Path) -> None:
    room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if room == "__init__":
        return
    assert _imports(path) - {room} <= ALLOWED[room], f"{room} imports from above itself"


def test_public_names_are_what_the_package_says() -> None:
    for name in sencap.__all__:
        assert getattr(sencap, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = sencap.nothing


def test_neither_help_nor_a_wrong_argument_imports_torch() -> None:
    code = (
        "import sys\n"
        "from sencap.cli import VERBS, main\n"
        "main(['--help'])\n"
        "for verb in VERBS:\n"
        "    assert main([verb, '--help']) == 0, verb\n"
        "    assert main([verb, '--no-such-flag', '3']) == 2, verb\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage: sencap VERB" in done.stdout


@pytest.mark.parametrize("name", VERBS)
def test_the_help_of_every_verb_states_output_and_every_default(name: str) -> None:
    module = __import__(VERBS[name].module, fromlist=["command"])
    text = verb_parser(name, module.command).format_help()
    assert re.search(r"Output:|Prints", text)
    options = re.findall(r"^  (--[a-z-]+)", text, re.MULTILINE)
    assert options or VERBS[name].positional
    assert all("_" not in option for option in options)


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.name)
def test_every_config_is_taken_and_its_head_says_how_it_is_run(path: Path) -> None:
    from sencap.verbs.train import command

    text = path.read_text(encoding="utf-8")
    head = text[: text.index("\ndata:")]
    assert "sencap train --config configs/" + path.name in head
    parser = verb_parser("train", command)
    values = parser.instantiate(parser.parse_args(["--config", str(path)]))
    assert values.optimisation.epochs >= 1


def test_no_machine_path_and_no_data_is_committed() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in listed.stdout.split():
        path = ROOT / name
        if path.suffix in {".py", ".yaml", ".md", ".toml", ".json"} and path.is_file():
            text = path.read_text(encoding="utf-8")
            assert "/work" + "/" not in text, name
            assert "/home" + "/" not in text, name
