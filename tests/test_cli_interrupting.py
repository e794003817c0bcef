"""Ctrl-C ends a run with what is done and how to go on, and leaves nobody working."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from scoring import call

from captum_gag.runs.store import Run

SUITE = 'methods = ["SG", "Sobel"]\n[metrics.RCAP]\n'


@pytest.fixture
def asked(tmp_path: Path) -> list[str]:
    (tmp_path / "suite.toml").write_text(SUITE)
    return [
        *("run", str(tmp_path / "suite.toml"), "--out", str(tmp_path / "my run")),
        *("--model", "tiny:slow_model", "--data", "tiny:many_photos", "--batch-size", "2", "--device", "cpu"),
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_last_line_says_how_far_it_is_and_how_it_goes_on(
    asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    keep, images = Run.keep, []

    def interrupted(run: Run, image: str, *args: Any) -> None:
        images.append(image)
        if len(images) == 4:
            signal.raise_signal(number)
        keep(run, image, *args)

    monkeypatch.setattr(Run, "keep", interrupted)
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    result = call(*asked, "--limit", "5", "--shard", "1/1", "--engine", "local")
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == (
        f"captum-gag: interrupted; 3 of 5 images are done and kept. Go on with: captum-gag resume '{tmp_path}/my run'"
    )
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers
    monkeypatch.undo()
    result = call("resume", str(tmp_path / "my run"))
    assert result.exit_code == 0, result.output
    assert Run.load(tmp_path / "my run").progress() == (5, 5)


def test_before_the_first_image_nothing_is_written(
    asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from captum_gag.runs import execution

    monkeypatch.setattr(execution, "choose", lambda bench: signal.raise_signal(signal.SIGINT))
    result = call(*asked)
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1].endswith("nothing is written: give the same command again")
    assert not (tmp_path / "my run").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_training_says_how_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    from captum_gag.models import training

    epoch = training._epoch

    def interrupted(*args: Any) -> float:
        if (tmp_path / "w.safetensors.checkpoint").exists():
            signal.raise_signal(number)
        return epoch(*args)

    monkeypatch.setattr(training, "_epoch", interrupted)
    monkeypatch.setattr("captum_gag.cli.judge.N_PLANTED", 600)
    asked = ["train", "planted", "colour", "--out", str(tmp_path / "w.safetensors"), "--epochs", "3"]
    result = call(*asked)
    assert result.exit_code == 130
    assert [line for line in result.stdout.splitlines() if line.startswith("epoch")][-1].startswith("epoch 1:")
    assert result.stderr.splitlines()[-1] == (
        "captum-gag: interrupted; what is finished is kept. Go on with the same command"
    )
    assert not isinstance(result.exception, KeyboardInterrupt)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="terminals reach all processes of a group")
@pytest.mark.parametrize("ended", ["by Ctrl-C", "killed"])
def test_workers_end_too_and_say_nothing(asked: list[str], tmp_path: Path, ended: str) -> None:
    command = [sys.executable, "-m", "captum_gag.cli", *asked, "--workers", "2"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    parent = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "my run").glob("scores/*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = psutil.Process(parent.pid).children(recursive=True)
    assert len(workers) >= 2
    if ended == "killed":
        parent.kill()
        parent.wait()
    else:
        os.killpg(parent.pid, signal.SIGINT)
        _, said = parent.communicate(timeout=60)
        assert parent.returncode == 130
        last = said.splitlines()[-1]
        assert re.search(r"interrupted; \d+ of 200 images are done and kept\. Go on with: .* --workers 2$", last), said
        assert "Traceback" not in said
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert alive == []
