"""What holds for the package as a whole: public names, import direction, quick help,
loadable configs."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sencap
from sencap.cli import VERBS, verb_parser

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "sencap"
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def _lint(source: Path) -> subprocess.CompletedProcess[str]:
    """The import contracts of pyproject.toml, held against the package below a
    folder."""
    command = [
        sys.executable,
        "-c",
        LINT,
        "--no-cache",
        "--config",
        str(ROOT / "pyproject.toml"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(source), "COLUMNS": "200"}
    return subprocess.run(
        command,
        cwd=source,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_imports_keep_to_the_contracts() -> None:
    done = _lint(SOURCE.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_an_import_that_breaks_a_contract_is_found(tmp_path: Path) -> None:
    """One wrong import for each contract, all late, in a copy of the package."""
    wrong = {
        "data/check.py": "sencap.predictor",  # up
        "search.py": "torch",  # out of the core
        "verbs/demo.py": "sencap.verbs.caption",
        "models/decoders.py": "sencap.models.extractors",
    }
    shutil.copytree(
        SOURCE,
        tmp_path / "sencap",
        ignore=shutil.ignore_patterns("*.safetensors", "*.onnx"),
    )
    for name, module in wrong.items():
        with (tmp_path / "sencap" / name).open("a", encoding="utf-8") as file:
            file.write(f"\n\ndef late() -> None:\n    import {module}\n")
    (tmp_path / "sencap" / "homeless.py").write_text("", encoding="utf-8")
    done = _lint(tmp_path)
    assert done.returncode == 1
    assert done.stdout.count("BROKEN") == len(wrong)
    for name, module in wrong.items():
        importer = "sencap." + name.removesuffix(".py").replace("/", ".")
        assert re.search(rf"{importer} -> {module} ", done.stdout), done.stdout
    assert "sencap.homeless" in done.stdout


def test_public_names_are_what_the_package_says() -> None:
    for name in sencap.__all__:
        assert getattr(sencap, name) is not None
        # Would take the place of the function as soon as it is imported.
        module = SOURCE / name
        assert not module.exists(), name
        assert not module.with_suffix(".py").exists(), name
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
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "usage: sencap VERB" in done.stdout


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_only_parses_and_prints(name: str) -> None:
    """What it does is below it, so it has nothing that another module could use."""
    module = importlib.import_module(VERBS[name].module)
    defined = [
        value
        for value in vars(module).values()
        if getattr(value, "__module__", "") == module.__name__
    ]
    public = {value.__name__ for value in defined if not value.__name__.startswith("_")}
    assert public == {"command"}


@pytest.mark.parametrize("name", VERBS)
def test_the_help_of_every_verb_states_output_and_every_default(name: str) -> None:
    module = importlib.import_module(VERBS[name].module)
    text = verb_parser(name, module.command).format_help()
    assert re.search(r"Output:|Prints", text)
    options = re.findall(r"^  (--[a-z-]+)", text, re.MULTILINE)
    assert options or VERBS[name].positional
    assert all("_" not in option for option in options)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.name
)
def test_every_config_is_taken_and_its_head_says_how_it_is_run(path: Path) -> None:
    from sencap.verbs.train import command

    text = path.read_text(encoding="utf-8")
    head = text[: text.index("\ndata:")]
    assert "sencap train --config configs/" + path.name in head
    parser = verb_parser("train", command)
    values = parser.instantiate(parser.parse_args(["--config", str(path)]))
    assert values.optimisation.epochs >= 1


def test_no_machine_path_and_no_data_is_committed() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in listed.stdout.split():
        path = ROOT / name
        if path.suffix in {".py", ".yaml", ".md", ".toml", ".json"} and path.is_file():
            text = path.read_text(encoding="utf-8")
            assert "/work" + "/" not in text, name
            assert "/home" + "/" not in text, name
