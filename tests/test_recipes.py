"""Recipes and README: every block runs as it stands, in order, in one directory, and prints what the page says."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from captum_gag.data.images import demo_image

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^(?P<fence>`{3,})(?P<language>\w+)\n(?P<code>.*?)^(?P=fence)$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"# (?P<name>\w+\.\w+)\n")
COMMAND = 'captum-gag() { "$PYTHON" -m captum_gag.cli "$@"; }; python() { "$PYTHON" "$@"; }\n'
SAME = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    code: str


def blocks(text: str) -> list[Block]:
    return [Block(found["language"], found["code"]) for found in BLOCK.finditer(text)]


def recipes() -> dict[str, list[Block]]:
    parts = re.split(r"^## (.+)$", (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {title: blocks(text) for title, text in zip(parts[1::2], parts[2::2], strict=True)}


def printed(block: Block, names: dict[str, object]) -> str:
    """Run a block in the working directory, and return what it prints."""
    if file := FILE.match(block.code):
        Path(file["name"]).write_text(block.code, encoding="utf-8")
        return ""
    if block.language == "python":
        with redirect_stdout(StringIO()) as out:
            exec(compile(block.code, "recipe", "exec", dont_inherit=True), names)
        return out.getvalue()
    environment = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    command = ["bash", "-euo", "pipefail", "-c", COMMAND + block.code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert not done.returncode, done.stdout + done.stderr
    return done.stdout


def run(all_of_them: list[Block]) -> None:
    """Run the blocks of a recipe in order; a block of text is what the one before it prints."""
    names: dict[str, object] = {"__name__": "recipe"}
    said = ""
    for block in all_of_them:
        if block.language == "text":
            assert doctest.OutputChecker().check_output(block.code, said, SAME), said
        else:
            said = printed(block, names)


def test_what_is_not_printed_is_found() -> None:
    said = [Block("python", "print((2, 3), 'and more')\n")]
    run([*said, Block("text", "(2, 3) ...\n")])
    with pytest.raises(AssertionError, match="and more"):
        run([*said, Block("text", "(2, 4) ...\n")])


def test_each_recipe_says_what_it_prints() -> None:
    assert len(recipes()) == 10
    for title, found in recipes().items():
        assert any(block.language == "text" for block in found), title
        assert {block.language for block in found} <= {"python", "bash", "text"}, title


@pytest.mark.slow
@pytest.mark.parametrize("title", recipes())
def test_recipe(title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    run(recipes()[title])


@pytest.mark.slow
def test_commands_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("efficientnet_lite_pytorch", reason="EfficientNet-Lite0 comes with the extra demo")
    monkeypatch.chdir(tmp_path)
    demo_image("chelsea").save("cat.jpg")
    shell = [block for block in blocks((ROOT / "README.md").read_text(encoding="utf-8")) if block.language == "bash"]
    # The first two install: .ci/run does them in a fresh environment.
    assert [block.code.startswith("pip install") for block in shell] == [True, True, *[False] * (len(shell) - 2)]
    run(shell[2:])
    assert Path("captum-gag-out/cat-IG.png").stat().st_size
    assert "GAG-85" in Path("RUN/report.html").read_text(encoding="utf-8")
