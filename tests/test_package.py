"""The public names, and what importing them costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import captum_gag


@pytest.mark.parametrize("name", captum_gag.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    assert getattr(captum_gag, name).__doc__
    assert name in dir(captum_gag)


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'GuidedAbsolutGrad'"):
        _ = captum_gag.GuidedAbsolutGrad


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import captum_gag", ["torch", "captum", "quantus", "pandas", "matplotlib"]),
        (
            "from captum_gag import GuidedAbsoluteGrad, saliency_map, explain",
            ["quantus", "pandas", "sklearn"],
        ),
        ("import captum_gag.cli", ["torch", "captum", "quantus", "matplotlib"]),
    ],
)
def test_imports_only_what_is_used(statement: str, heavy: list[str]) -> None:
    code = f"{statement}; import sys; print([name for name in {heavy!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
