"""README, CONTRIBUTING and docs: Python runs, commands exist, every error has its section, example changes apply."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from torch import nn

from captum_gag.cli import app
from captum_gag.runs.spec import load_suite

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^(?P<fence>`{3,})(?P<language>\w+)\n(?P<code>.*?)^(?P=fence)$", re.DOTALL | re.MULTILINE)


def blocks(page: Path, language: str) -> list[str]:
    found = FENCE.finditer(page.read_text(encoding="utf-8"))
    return [each["code"] for each in found if each["language"] == language]


def pages_with(language: str) -> list[Any]:
    return [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES if blocks(page, language)]


def names() -> dict[str, Any]:
    """Give what the pages take for granted."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 196, 5)).eval()
    images, labels = torch.rand(3, 3, 16, 16), torch.tensor([0, 1, 2])
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    known: dict[str, Any] = {"model": model, "images": images, "labels": labels, "mean": mean, "std": std}
    known |= {"x_batch": images.numpy(), "y_batch": labels.numpy(), "norm": (mean, std)}
    known |= {f"{name}_scores": torch.rand(20).numpy() for name in ("gag", "sg", "sobel", "random")}
    return known | {"gag_maps": torch.rand(3, 16, 16), "ig_maps": torch.rand(3, 3, 16, 16)}


def run_blocks(page: Path) -> dict[str, Any]:
    known = names()
    for number, block in enumerate(blocks(page, "python")):
        exec(compile(block, f"{page.name}, block {number}", "exec", dont_inherit=True), known)
    return known


@pytest.mark.parametrize("page", pages_with("python"))
def test_python_runs(page: Path) -> None:
    run_blocks(page)


def test_what_the_readme_leaves_is_what_its_comments_say() -> None:
    known = run_blocks(ROOT / "README.md")
    assert known["attributions"].shape == known["images"].shape
    assert known["maps"].shape == (3, 16, 16)
    assert set(known["alpha"].columns) >= {"alpha", "low", "high"}
    assert known["scores"]["GAG-85"]["DAUC"].shape == (3,)


def test_suites_of_ones_own_can_be_built(tmp_path: Path) -> None:
    [in_readme] = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "own.toml").write_text(textwrap.dedent("  " + in_readme.lstrip()))
    assert [method.label for method in load_suite(str(tmp_path / "own.toml")).methods][1:3] == ["SG", "Grad-CAM"]
    [in_docs] = blocks(ROOT / "docs" / "experiments.md", "toml")
    (tmp_path / "own.toml").write_text(in_docs)
    suite = load_suite(str(tmp_path / "own.toml"))
    assert [method.label for method in suite.methods][:3] == ["GAG-85", "SG (50)", "GAG-85^sharp"]
    assert len(suite.methods) == 13


def commands(page: Path) -> Iterator[list[str]]:
    """Give the arguments of every captum-gag in the page's shell blocks."""
    for block in blocks(page, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            tokens = list(lexer)
            for place, token in enumerate(tokens):
                if Path(token).name == "captum-gag":
                    rest = tokens[place + 1 :]
                    ends = [at for at, each in enumerate(rest) if set(each) <= set("&|;<>()")]
                    arguments = rest[: min(ends, default=len(rest))]
                    # Without any it is a directory's name.
                    if arguments:
                        yield arguments


@pytest.mark.parametrize("page", pages_with("bash"))
def test_commands_are_the_command_lines(page: Path) -> None:
    known = typer.main.get_command(app)
    for arguments in commands(page):
        if arguments[0] == "--version":
            continue
        assert arguments[0] in known.commands, arguments  # type: ignore[attr-defined]
        known.commands[arguments[0]].make_context(arguments[0], arguments[1:])  # type: ignore[attr-defined]


def test_commands_are_found() -> None:
    assert [each[0] for each in commands(ROOT / "README.md")] == ["demo", "run", "run", "report"]
    shell = list(commands(ROOT / "docs" / "experiments.md"))
    assert ["table", "RUN"] in shell
    shards = [each[each.index("--shard") + 1] for each in shell if "--shard" in each]
    assert shards[:2] == ["$i/4", "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"]


def pieces(node: ast.AST, constants: dict[str, Any]) -> Iterator[str]:
    """Give the texts in an expression, and in the templates that it names, without what is filled in."""
    for each in ast.walk(node):
        text = each.value if isinstance(each, ast.Constant) else constants.get(getattr(each, "id", ""))
        if isinstance(text, str):
            yield from (" ".join(piece.split()) for piece in re.split(r"\{\w+\}", text))


def messages() -> list[Any]:
    """Give, for each raise and each warning of the package, the longest piece of its message that never changes."""
    found = []
    for module in sorted((ROOT / "captum_gag").rglob("*.py")):
        tree = ast.parse(module.read_text(encoding="utf-8"))
        assigned = [each for each in tree.body if isinstance(each, ast.Assign) and isinstance(each.value, ast.Constant)]
        constants = {ast.unparse(each.targets[0]): each.value.value for each in assigned}
        for node in ast.walk(tree):
            warns = isinstance(node, ast.Call) and ast.unparse(node.func) == "warnings.warn"
            if warns or isinstance(node, ast.Raise):
                longest = max(pieces(node, constants), key=len, default="")
                # Shorter ones only carry another error's message.
                if len(longest) > 9:
                    found.append(pytest.param(longest, id=f"{module.stem}-{node.lineno}"))
    return found


ERRORS = " ".join(
    " ".join(block.split())
    for page in sorted((ROOT / "docs" / "errors").glob("*.md"))
    for block in blocks(page, "text")
)


@pytest.mark.parametrize("message", messages())
def test_every_error_has_its_section(message: str) -> None:
    assert message in ERRORS, "write a section for it under docs/errors/"


def test_messages_are_found() -> None:
    assert len(messages()) > 100


def test_the_changes_that_contributing_shows_apply_and_pass(tmp_path: Path) -> None:
    changes = blocks(ROOT / "CONTRIBUTING.md", "diff")
    assert len(changes) == 2
    for name in ("captum_gag", "docs", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    for change in changes:
        # The changelog's lines have no neighbours below that will stay.
        applied = subprocess.run(
            ["git", "apply", "--unidiff-zero", "-"], cwd=tmp_path, input=change, text=True, capture_output=True
        )
        assert not applied.returncode, applied.stderr
    wanted = ["tests/metrics/test_sufficiency.py", "tests/attr/test_catalogue.py", "tests/test_docs.py"]
    chosen = "sufficiency or mean_square or SG-Squared or every_error"
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *wanted, "-k", chosen],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        text=True,
        capture_output=True,
    )
    assert not ran.returncode, ran.stdout + ran.stderr
    assert "Sufficiency" in (tmp_path / "CHANGELOG.md").read_text(encoding="utf-8")
