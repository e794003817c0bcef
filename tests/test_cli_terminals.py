"""Where a command runs: terminals of any encoding, pipes, files, working directories and users without a home."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from scoring import call, config_of, run_of
from typer import Exit
from typer.testing import CliRunner

from captum_gag.cli import app
from captum_gag.cli.commands import errors_in_one_line


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    suite = {"methods": ["SG", "VG", "Random"], "metrics": {"RCAP": {}}, "n_samples": 2}
    return run_of(tmp_path_factory.mktemp("made") / "run", config_of(suite)).directory


@pytest.mark.parametrize("charset", ["ascii", "latin-1", "gbk", "utf-8"])
def test_a_terminal_prints_what_its_encoding_has(run: Path, charset: str) -> None:
    result = CliRunner(charset=charset).invoke(app, ["table", str(run)])
    assert result.exit_code == 0, result.output
    dagger = "\N{DAGGER}" if charset == "utf-8" else "#"
    assert f"{dagger} control (random): shown for reference" in result.output
    # Click takes ASCII for a mistake, and writes UTF-8.
    name = {"latin-1": "\\u5199", "ascii": "写".encode().decode("ascii", "replace")}.get(charset, "写")
    assert CliRunner(charset=charset).invoke(app, ["table", "写.png"]).output.startswith(f"captum-gag: {name}.png")


def test_what_may_be_best_is_marked_where_no_bold_is_shown(run: Path) -> None:
    output = " ".join(call("table", run).output.split())
    assert "\x1b" not in output
    assert "**0." in output
    assert "Between **: may be the best explanation." in output


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
@pytest.mark.parametrize("arguments", [["list", "methods"], ["list", "methods", "--json"], ["--help"]])
def test_a_reader_who_leaves_ends_a_command_quietly(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "captum_gag.cli", *arguments]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_another_pipe_that_breaks_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Exit), errors_in_one_line():
        raise BrokenPipeError("the pipe of a worker")
    assert "captum-gag: the pipe of a worker" in capsys.readouterr().err


def test_the_working_directory_is_no_place_to_import_from_unless_code_in_it_is_named(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [entry for entry in sys.path if entry not in ("", str(tmp_path))])
    Path("only_here.py").write_text("def map_of(model, inputs, targets, n_samples, seed):\n    return inputs\n")
    for looks in (
        ["table", run],
        ["report", run],
        ["reliability", run],
        ["papers", "claims", run],
        ["list", "methods"],
    ):
        assert call(*looks).exit_code == 0
        assert str(tmp_path) not in sys.path
    assert call("list", "methods", "only_here:map_of").exit_code == 0
    assert sys.path[-1] == str(tmp_path)


def test_a_user_without_a_home(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: object) -> None:
        raise KeyError("getpwuid(): uid not found: 54321")

    for name in ("HOME", "USERPROFILE", "USER", "LOGNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    with pytest.raises(RuntimeError):
        Path.home()
    for command in ("report", "table", "resume"):
        result = call(command, run)
        assert result.exit_code == 0, result.output
