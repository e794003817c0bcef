"""Reading ahead changes when photographs are read, and nothing else."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pandas.testing import assert_frame_equal
from tiny import photos

from captum_gag.errors import InputError
from captum_gag.runs.config import Config
from captum_gag.runs.execution import begin, execute
from captum_gag.runs.prefetching import reading_ahead
from captum_gag.runs.store import Run

SUITE = {"methods": ["GAG-85", {"type": "Random", "seed": 3}], "metrics": {"RCAP": {}}, "n_samples": 4}


def done(directory: Path, data: str = "tiny:photos", **options: Any) -> Run:
    asked = Config(suite=SUITE, model={"type": "tiny:model"}, data={"type": data}, device="cpu", batch_size=1)
    run, bench = begin(directory, asked)
    execute(run, bench=bench, say=lambda _: None, **options)
    return run


@pytest.mark.parametrize("count", [1, 2, 100])
@pytest.mark.parametrize("data", ["tiny:photos", "tiny:bad_items"])
def test_scores_are_those_without_it(data: str, count: int, tmp_path: Path) -> None:
    plain = done(tmp_path / "plain", data).scores().drop(columns=["seconds", "run"])
    ahead = done(tmp_path / "ahead", data, executor=reading_ahead(count)).scores().drop(columns=["seconds", "run"])
    assert_frame_equal(ahead, plain)


class Watched:
    """A bench that notes, whenever it scores, how many chunks are read; the reader waits for no score."""

    def __init__(self) -> None:
        self.config = SimpleNamespace(device="cuda")
        self.read_so_far: list[int] = []
        self.threads: set[int] = set()
        self.ahead: list[int] = []

    def read(self, images: tuple[str, ...]) -> list[int]:
        self.read_so_far.append(int(images[0]))
        self.threads.add(threading.get_ident())
        return [int(images[0])]

    def score(self, opened: list[int]) -> list[int]:
        for _ in range(200):
            if len(self.read_so_far) >= min(10, opened[0] + 4):
                break
            threading.Event().wait(0.01)
        threading.Event().wait(0.02)
        self.ahead.append(len(self.read_so_far) - opened[0] - 1)
        return opened


def test_so_many_are_read_while_one_is_scored() -> None:
    bench = Watched()
    found = list(reading_ahead(3)(bench, ((str(i),) for i in range(10))))  # type: ignore[arg-type]
    assert found == [[i] for i in range(10)]
    assert bench.read_so_far == list(range(10))
    assert bench.ahead == [3] * 7 + [2, 1, 0]
    assert len(bench.threads) == 2


def test_none_is_read_where_there_is_none() -> None:
    assert list(reading_ahead(2)(Watched(), [])) == []  # type: ignore[arg-type]


class Flipped(torch.utils.data.Dataset[Any]):
    """Photographs that are turned at random, by the random numbers that the whole process has."""

    def __len__(self) -> int:
        return len(photos())

    def __getitem__(self, index: int) -> Any:
        image, target = photos()[index][:2]
        return (image.transpose(0) if torch.rand(()) < 0.5 else image), target


def flipped() -> Flipped:
    return Flipped()


def test_a_data_set_that_draws_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="draws from the global random numbers"):
        done(tmp_path / "run", f"{__name__}:flipped", executor=reading_ahead(1))


def test_on_a_cpu_the_reader_leaves_the_cores_to_the_model() -> None:
    class Counting:
        config = SimpleNamespace(device="cpu")

        def read(self, images: tuple[str, ...]) -> list[int]:
            return [torch.get_num_threads()]

        def score(self, opened: list[int]) -> list[int]:
            return [*opened, torch.get_num_threads()]

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        # The first chunk is read before there is a second thread.
        assert list(reading_ahead(1)(Counting(), [("0",), ("1",), ("2",)])) == [[2, 2], [1, 2], [1, 2]]  # type: ignore[arg-type]
    finally:
        torch.set_num_threads(before)
