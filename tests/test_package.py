"""The public names, and what importing them costs."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

import captum_gag

PACKAGE = Path(captum_gag.__file__).parent
ROOT = "root"
LEVELS = [{"cli"}, {"papers"}, {"report"}, {"runs"}, {"models", "data", "reliability", "metrics"}, {"attr"}, {ROOT}]
"""A room imports from those after it alone; of one level, models import from data."""

FUNCTIONS = (
    *(f"captum_gag.metrics.{name}" for name in ("rcap", "aopc", "faithfulness")),
    *(f"captum_gag.reliability.{name}" for name in ("displacement", "pairwise", "verdict")),
)


@pytest.mark.parametrize("name", captum_gag.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    assert getattr(captum_gag, name).__doc__
    assert name in dir(captum_gag)


def test_the_stub_is_the_list() -> None:
    assert set(dir(captum_gag)) == {
        *(
            "GuidedAbsoluteGrad",
            "LayerGuidedAbsoluteGrad",
            "GuidedIG",
            "BlurIG",
            "SampledGradients",
            "saliency_map",
            "reverse_saliency",
            "method",
        ),
        *("RCAP", "Deletion", "Insertion", "AOPC", "Faithfulness", "LogCoshDice", "SegmentationMAE"),
        *("baselines", "reliability", "explain", "register_with_quantus", "compare"),
    }
    assert captum_gag.__version__


def test_no_module_is_shadowed_by_what_its_package_exports() -> None:
    names = [each.name for each in pkgutil.walk_packages(captum_gag.__path__, "captum_gag.")]
    assert "captum_gag.metrics.masking" in names
    for name in names:
        # The functions of these modules bear their names, and are what the package exports.
        if name.endswith("__main__") or name in FUNCTIONS:
            continue
        module = importlib.import_module(name)
        package, _, leaf = name.rpartition(".")
        found = getattr(sys.modules[package], leaf)
        assert isinstance(found, types.ModuleType), name
        assert found is module


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="No captum_gag attribute GuidedAbsolutGrad"):
        _ = captum_gag.GuidedAbsolutGrad


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import captum_gag", ["torch", "captum", "quantus", "pandas", "matplotlib"]),
        (
            "from captum_gag import GuidedAbsoluteGrad, saliency_map",
            ["quantus", "pandas", "sklearn"],
        ),
        ("from captum_gag.metrics import rcap, metric, evaluate", ["quantus", "pandas", "sklearn"]),
        ("import captum_gag.cli", ["torch", "captum", "quantus", "matplotlib"]),
        ("import captum_gag.names, captum_gag.attr", ["torch", "captum", "quantus", "pandas", "matplotlib"]),
        # What table and reliability read a run with.
        (
            "import captum_gag.report.pair_table, captum_gag.report.several_runs, captum_gag.report.score_page",
            ["torch", "torchvision", "captum", "quantus"],
        ),
    ],
)
def test_imports_only_what_is_used(statement: str, heavy: list[str]) -> None:
    code = f"{statement}; import sys; print([name for name in {heavy!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def imports_of(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the name of each import from the package, also those within functions."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno} imports relatively"
            module = node.module or ""
            names = [f"{module}.{each.name}" for each in node.names] if module == "captum_gag" else [module]
        else:
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        yield from ((node.lineno, name) for name in names if name.split(".")[0] == "captum_gag")


def room(parts: tuple[str, ...]) -> str:
    return parts[0] if parts and (PACKAGE / parts[0]).is_dir() else ROOT


def test_rooms_import_one_way() -> None:
    level = {name: place for place, names in enumerate(LEVELS) for name in names}
    wrong = []
    for file in sorted(PACKAGE.rglob("*.py")):
        here = room(file.relative_to(PACKAGE).parts)
        for line, name in imports_of(file):
            there = room(tuple(name.split(".")[1:]))
            below = level[there] > level[here] and (here, there) != ("reliability", "attr")
            if not (here == there or below or (here, there) == ("models", "data")):
                wrong.append(f"{file.relative_to(PACKAGE)}:{line}: {here} imports {name}")
    assert wrong == []
