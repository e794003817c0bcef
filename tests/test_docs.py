"""README, CONTRIBUTING and docs: Python runs, commands exist, messages are the package's, example changes apply.

Every block of a recipe and of README runs as it stands, in order, in one directory, and prints what the page says;
every notebook runs from top to bottom, and is committed with small, clean outputs.
"""

from __future__ import annotations

import ast
import doctest
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import pytest
import torch
import typer
from nbclient import NotebookClient
from torch import nn

from captum_gag import method
from captum_gag.cli import app
from captum_gag.data.images import demo_image
from captum_gag.errors import InputError
from captum_gag.runs.spec import Suite, make_suite, read_suite

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^(?P<fence>`{3,})(?P<language>\w+)\n(?P<code>.*?)^(?P=fence)$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"# (?P<name>\w+\.\w+)\n")
COMMAND = 'captum-gag() { "$PYTHON" -m captum_gag.cli "$@"; }; python() { "$PYTHON" "$@"; }\n'
SAME = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    code: str


def fenced(text: str) -> list[Block]:
    return [Block(found["language"], found["code"]) for found in FENCE.finditer(text)]


def blocks(page: Path, language: str) -> list[str]:
    return [each.code for each in fenced(page.read_text(encoding="utf-8")) if each.language == language]


def pages_with(language: str) -> list[Any]:
    return [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES if blocks(page, language)]


def names() -> dict[str, Any]:
    """Return what the pages take for granted."""
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


# Each recipe is run by itself, below.
@pytest.mark.parametrize("page", [each for each in pages_with("python") if each.id != "docs/recipes.md"])
def test_python_runs(page: Path) -> None:
    run_blocks(page)


def test_what_the_pages_leave_is_what_their_comments_say() -> None:
    known = run_blocks(ROOT / "README.md")
    assert known["attributions"].shape == known["images"].shape
    assert known["maps"].shape == (3, 16, 16)
    known = run_blocks(ROOT / "docs" / "which-metric.md")
    assert set(known["alpha"].columns) >= {"alpha", "low", "high"}
    assert known["scores"]["GAG-85"]["DAUC"].shape == (3,)


def test_the_readme_is_one_page_and_no_page_includes_another() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130
    whole = {f"docs/{name}.md" for name in ("changelog", "contributing")}
    including = {str(page.relative_to(ROOT)) for page in PAGES if "--8<--" in page.read_text(encoding="utf-8")}
    assert including == whole


def suite_of(page: Path, folder: Path) -> Suite:
    """Build the suite that a page shows, read from a file."""
    [shown] = blocks(page, "toml")
    (folder / "own.toml").write_text(shown)
    return make_suite(read_suite(str(folder / "own.toml")))


def test_suite_of_the_page_on_runs(tmp_path: Path) -> None:
    suite = suite_of(ROOT / "docs" / "runs.md", tmp_path)
    assert list(suite.methods)[:5] == ["GAG-85", "SG (50)", "GAG, relative", "Occlusion", "GAG-85 sharpened"]
    assert list(suite.methods)[5:] == ["GAG-85 displaced", "Random orderings"]
    assert [(entry.label, entry.variant, entry.steps) for entry in suite.metrics] == [
        ("RCAP", "black", ()),
        ("RCAP", "mean", ()),
        ("AOPC MoRF", "", (5, 10)),
        ("Sparseness", "", ()),
    ]


def commands(page: Path) -> Iterator[list[str]]:
    """Yield the arguments of every captum-gag in the page's shell blocks."""
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
    for arguments in commands(page):
        if arguments[0] == "--version":
            continue
        command: Any = typer.main.get_command(app)
        rest = list(arguments)
        while hasattr(command, "commands"):
            assert rest[0] in command.commands, arguments
            command = command.commands[rest.pop(0)]
        command.make_context(arguments[0], rest)


def test_commands_are_found() -> None:
    in_readme = [each[0] for each in commands(ROOT / "README.md")]
    assert in_readme == ["demo", "explain", "run", "report"]
    shell = list(commands(ROOT / "docs" / "runs.md"))
    assert ["table", "RUN"] in shell
    shards = [each[each.index("--shard") + 1] for each in shell if "--shard" in each]
    assert shards[:2] == ["$i/4", "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_pages_name_are_there(page: Path) -> None:
    # Changes that are shown may name files that they make; the other code is tested as it stands.
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for name in re.findall(r"`([\w/.-]+/[\w.-]*\.(?:py|toml|ipynb|pyi))`", text):
        assert (ROOT / name).exists() or (ROOT / "captum_gag" / name).exists(), name


def pattern(node: ast.AST, constants: dict[str, str]) -> str:
    """Return the regular expression of the texts that an expression can be."""
    match node:
        case ast.Constant(value=str(text)):
            return ".*".join(map(re.escape, re.split(r"\{\w+\}", text)))
        case ast.JoinedStr(values=parts):
            return "".join(pattern(part, constants) for part in parts)
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return pattern(left, constants) + pattern(right, constants)
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="format")) if name in constants:
            return pattern(ast.Constant(constants[name]), constants)
    return ".*"


def messages() -> set[str]:
    """Return a regular expression for each message of the package, blanks of any kind being one blank."""
    found = set()
    for module in sorted((ROOT / "captum_gag").rglob("*.py")):
        tree = ast.parse(module.read_text(encoding="utf-8"))
        assigned = [each for each in tree.body if isinstance(each, ast.Assign) and isinstance(each.value, ast.Constant)]
        constants = {ast.unparse(each.targets[0]): each.value.value for each in assigned}
        calls = [each for each in ast.walk(tree) if isinstance(each, ast.Call) and each.args]
        for call in calls:
            if ast.unparse(call.func).endswith(("Error", "warn")):
                expression = re.sub(r"(\\?\s)+", " ", pattern(call.args[0], constants))
                # Of a shorter one nothing can be told.
                if max(map(len, expression.split(".*"))) >= 9:
                    found.add(expression)
    return found


def quoted() -> list[str]:
    return [" ".join(block.split()) for block in blocks(ROOT / "docs" / "errors.md", "text")]


MESSAGES = messages()


@pytest.mark.parametrize("message", quoted())
def test_quoted_messages_are_ones_that_the_package_says(message: str) -> None:
    # Another message may stand before it: which suite, which type.
    assert any(re.fullmatch(f"(.*: )?{each}", message) for each in MESSAGES)


def test_messages_are_found() -> None:
    assert len(MESSAGES) > 60
    assert len(quoted()) > 20
    assert not any(re.fullmatch(each, "There is no method 'SG': expected another.") for each in MESSAGES)


@pytest.mark.parametrize(
    ("said", "said_by"),
    [
        ("unknown method 'GAG850'", lambda: method("GAG850")),
        ("GAG: unknown option 'percentil'", lambda: method("GAG", percentil=70)),
        ("GAG: percentile is 120, expected less than or equal to 100", lambda: method("GAG", percentile=120)),
    ],
)
def test_messages_are_said(said: str, said_by: Callable[[], object]) -> None:
    assert any(message.startswith(said) for message in quoted())
    with pytest.raises(InputError, match=said):
        said_by()


@pytest.mark.slow
def test_the_changes_that_contributing_shows_apply_and_pass(tmp_path: Path) -> None:
    changes = blocks(ROOT / "CONTRIBUTING.md", "diff")
    assert len(changes) == 2
    for name in ("captum_gag", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("CHANGELOG.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    for change in changes:
        applied = subprocess.run(["git", "apply", "-"], cwd=tmp_path, input=change, text=True, capture_output=True)
        assert not applied.returncode, applied.stderr
    wanted = ["tests/metrics/test_rationale.py", "tests/metrics/test_catalogue.py", "tests/attr/test_catalogue.py"]
    chosen = "rationale or rows or mean_square or SG-Squared"
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *wanted, "-k", chosen],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        text=True,
        capture_output=True,
    )
    assert not ran.returncode, ran.stdout + ran.stderr
    assert "Sufficiency" in (tmp_path / "CHANGELOG.md").read_text(encoding="utf-8")


def test_pages_and_notebooks_import_modules_of_the_api_reference() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "tutorials").glob("*.ipynb")]
    texts = [page.read_text(encoding="utf-8") for page in pages if page.parent.name != "api"]
    imports = {name for text in texts for name in re.findall(r"(?:from|import) (captum_gag(?:\.\w+)*)", text)}
    reference = "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "api").glob("*.md"))
    named = {"captum_gag", *re.findall(r"captum_gag(?:\.\w+)+", reference)}
    rooms = tuple(f"{name}." for name in re.findall(r"::: (\S+)\n    options:\n      show_submodules: true", reference))
    assert rooms
    covered = {
        name for name in imports if name.startswith(rooms) or any(f"{each}.".startswith(f"{name}.") for each in named)
    }
    assert covered == imports


def recipes() -> dict[str, list[Block]]:
    parts = re.split(r"^## (.+)$", (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {title: fenced(text) for title, text in zip(parts[1::2], parts[2::2], strict=True)}


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
    shell = [Block("bash", code) for code in blocks(ROOT / "README.md", "bash")]
    # The first two install: .ci/run does them in a fresh environment.
    assert [block.code.startswith("pip install") for block in shell] == [True, True, *[False] * (len(shell) - 2)]
    run(shell[2:])
    assert Path("captum-gag-out/cat-IG.png").stat().st_size
    assert "GAG-85" in Path("RUN/report.html").read_text(encoding="utf-8")


TUTORIALS = sorted((ROOT / "tutorials").glob("*.ipynb"))
LARGEST = 400_000
"""Bytes of a notebook: the repository keeps every version of every figure."""


def test_all_six_are_there_and_the_readme_lists_them() -> None:
    assert [path.name[:3] for path in TUTORIALS] == [f"{number:02d}_" for number in range(1, 7)]
    assert re.findall(r"\(tutorials/(\w+\.ipynb)\)", (ROOT / "README.md").read_text(encoding="utf-8")) == [
        path.name for path in TUTORIALS
    ]


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
