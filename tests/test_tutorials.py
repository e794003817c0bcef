"""Every tutorial notebook runs from top to bottom, and is committed with small, clean outputs."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

TUTORIALS = sorted((Path(__file__).parents[1] / "tutorials").glob("*.ipynb"))
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
LARGEST = 400_000
"""Bytes of a notebook: the repository keeps every version of every figure."""


def test_all_six_are_there_and_the_readme_lists_them() -> None:
    assert [path.name[:3] for path in TUTORIALS] == [f"{number:02d}_" for number in range(1, 7)]
    assert re.findall(r"\(tutorials/(\w+\.ipynb)\)", README) == [path.name for path in TUTORIALS]


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_is_committed_clean(path: Path) -> None:
    assert path.stat().st_size < LARGEST
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    # A warning, a progress bar or a traceback is what a reader would see first.
    assert all(output.output_type != "error" and output.get("name") != "stderr" for output in outputs)
    # The site turns notebooks into pages, so that a link from one to a file beside it would lead nowhere there.
    prose = "".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert not re.search(r"\]\((?!https?:)", prose)
    texts = "".join(str(output.get("text", output.get("data", {}).get("text/plain", ""))) for output in outputs)
    assert not re.search(r"/(tmp|home|root|work|Users)/|[A-Z]:\\", texts)


@pytest.mark.slow
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_runs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}).execute()
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
