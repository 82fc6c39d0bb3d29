"""The notebook runs from top to bottom, without a network, and is kept without outputs."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from site_pages import DOCS

FILE = DOCS / "notebook" / "first-steps.ipynb"


def test_it_is_kept_without_outputs() -> None:
    notebook = nbformat.read(FILE, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_it_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = nbformat.read(FILE, as_version=4)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))  # without Java
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    client = NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    )
    client.execute()
    codes = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs for cell in codes)
    sentence = codes[1].outputs[-1]["data"]["text/plain"]
    assert len(sentence.split()) > 3
    pictures = [
        output
        for cell in codes
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 2
    last = codes[-1].outputs[0]["text"]
    assert "constant" in last
    assert "perfect_flag" in last
