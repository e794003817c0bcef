"""The README's Python runs as it stands, one block after the other, on a small model."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from captum_gag.experiments.suites import load_suite

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 196, 5)).eval()
    images, labels = torch.rand(3, 3, 16, 16), torch.tensor([0, 1, 2])
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    known: dict[str, Any] = {"model": model, "images": images, "labels": labels, "mean": mean, "std": std}
    known |= {"x_batch": images.numpy(), "y_batch": labels.numpy(), "norm": (mean, std)}
    known |= {f"{name}_scores": torch.rand(20).numpy() for name in ("gag", "sg", "sobel")}
    return known | {"gag_maps": torch.rand(3, 16, 16), "ig_maps": torch.rand(3, 3, 16, 16)}


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_block_runs(number: int, names: dict[str, Any]) -> None:
    exec(compile(BLOCKS[number], f"README.md, block {number}", "exec"), names)


def test_the_suite_of_ones_own_can_be_built(tmp_path: Path) -> None:
    [suite] = re.findall(r"```toml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "own.toml").write_text(textwrap.dedent("  " + suite.lstrip()))
    assert [method.label for method in load_suite(str(tmp_path / "own.toml")).methods][1:3] == ["SG", "Grad-CAM"]


def test_what_the_blocks_leave_is_what_their_comments_say(names: dict[str, Any]) -> None:
    for block in BLOCKS:
        exec(compile(block, "README.md", "exec"), names)
    assert names["attributions"].shape == names["images"].shape
    assert names["maps"].shape == (3, 16, 16)
    assert set(names["alpha"].columns) >= {"alpha", "low", "high"}
    assert names["scores"]["GAG-85"]["DAUC"].shape == (3,)
