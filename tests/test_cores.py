"""Threads are as many as the operating system lets compute at once."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from captum_gag import cores
from captum_gag.cores import threads_each


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux lets a process choose its cores")
def test_a_process_of_one_core_has_one() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from captum_gag.cores import cores; print(cores())"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"


@pytest.mark.parametrize(
    ("said", "workers", "expected"),
    [("", 1, 8), ("", 3, 2), ("", 16, 1), ("3", 1, 3), ("3", 4, 2), ("4,2", 1, 4), ("many", 2, 4), ("0", 2, 4)],
)
def test_cores_are_shared_out(monkeypatch: pytest.MonkeyPatch, said: str, workers: int, expected: int) -> None:
    monkeypatch.setattr(cores, "cores", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert threads_each(workers) == expected
