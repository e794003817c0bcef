"""The public names, and what importing them costs."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
import types

import pytest

import captum_gag

FUNCTIONS = ("captum_gag.metrics.rcap", "captum_gag.metrics.aopc", "captum_gag.metrics.faithfulness")


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
        ),
        *("RCAP", "Deletion", "Insertion", "AOPC", "Faithfulness", "LogCoshDice", "SegmentationMAE"),
        *("baselines", "reliability", "explain", "register_with_quantus"),
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
        # What table and reliability read a run with.
        (
            "import captum_gag.report.decisions, captum_gag.report.several_runs, captum_gag.report.reliability_report",
            ["torch", "torchvision", "captum", "quantus"],
        ),
    ],
)
def test_imports_only_what_is_used(statement: str, heavy: list[str]) -> None:
    code = f"{statement}; import sys; print([name for name in {heavy!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
