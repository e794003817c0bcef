"""A limit draws by the seed, as many images of each class as can be, and says how many of which."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scoring import config_of, folder_of, run_of

from captum_gag.data.datasets import ImageData
from captum_gag.runs.selection import choose, in_words

NAMES = ["bird", "dog", *(f"class {number}" for number in range(2, 100))]


class Listed(ImageData):
    """Images of classes of these sizes, one class after the other; they cannot be read."""

    def __init__(self, sizes: list[int], listed: bool = True) -> None:
        self.targets = [target if listed else None for target, size in enumerate(sizes) for _ in range(size)]

    def list_names(self) -> list[str]:
        return [str(index) for index in range(len(self.targets))]

    def listed_target(self, index: int) -> int | None:
        return self.targets[index]


def bench_of(data: ImageData, asked: Any = None, **options: Any) -> Any:
    """A bench whose model predicts as ``asked`` does, and names the classes."""
    scorer = SimpleNamespace(confidence=asked, label=NAMES.__getitem__)
    return SimpleNamespace(config=config_of({}, **options), data=data, scorer=scorer)


def counts_of(sizes: list[int], **options: Any) -> list[int]:
    chosen, _ = choose(bench_of(Listed(sizes), **options))
    assert chosen["image"].is_unique
    return [int((chosen["target"] == target).sum()) for target in range(len(sizes))]


@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), st.integers(1, 40), st.integers(0, 5))
def test_counts_are_as_equal_as_the_classes_allow(sizes: list[int], limit: int, seed: int) -> None:
    counts = counts_of(sizes, limit=limit, seed=seed)
    assert sum(counts) == min(limit, sum(sizes))
    # Nobody has two more than one who has any left.
    assert max(counts) - min((n for n, size in zip(counts, sizes, strict=True) if n < size), default=max(counts)) <= 1


def test_one_photograph_a_class_are_the_first_of_a_random_order() -> None:
    order = np.random.default_rng(3).permutation(20)
    chosen, _ = choose(bench_of(Listed([1] * 20), limit=7, seed=3))
    assert chosen["image"].tolist() == [str(index) for index in sorted(order[:7])]
    assert chosen["image"].tolist() != [str(index) for index in range(7)]


def test_a_run_until_decided_takes_the_drawn_in_random_order() -> None:
    """Half of the first images are of either class, and the second is of the other one five times of nine."""
    first, other = [], []
    for seed in range(400):
        chosen, _ = choose(bench_of(Listed([100, 5]), limit=10, seed=seed, until="decided"))
        assert sorted(chosen["target"]) == [0] * 5 + [1] * 5
        first.append(chosen["target"][0])
        other.append(chosen["target"][0] != chosen["target"][1])
    assert np.mean(first) == pytest.approx(1 / 2, abs=3 * np.sqrt(0.25 / 400))
    assert np.mean(other) == pytest.approx(5 / 9, abs=3 * np.sqrt(0.25 / 400))


@pytest.mark.parametrize("until", ["done", "decided"])
def test_confident_images_are_balanced_without_predicting_all(until: str) -> None:
    data = Listed([1000, 1000, 4])
    asked = []

    def confidence(name: str, load: Any) -> tuple[int, float, str]:
        asked.append(name)
        target = data.targets[int(name)]
        # Of the second class every fifth image is confident, of the third none.
        return target, 1.0 if target == 0 or (target == 1 and int(name) % 5 == 0) else 0.1, ""

    bench = bench_of(data, confidence, limit=20, confidence=0.9, until=until)
    chosen, _ = choose(bench)
    assert chosen["target"].value_counts().to_dict() == {0: 10, 1: 10}
    assert len(asked) == len(set(asked)) < 150
    # The same again, whoever chooses.
    assert chosen["image"].tolist() == choose(bench)[0]["image"].tolist()


@pytest.mark.parametrize(
    ("sizes", "listed", "limit", "line"),
    [
        ([20, 10], True, 12, "12 of 30: 6 bird, 6 dog"),
        ([20, 2], True, 6, "6 of 22: 4 bird, 2 dog"),
        ([2] * 10, True, 10, f"10 of 20: {', '.join(f'1 {name}' for name in NAMES[:8])}, and 2 more classes"),
        ([30], False, 5, "5 of 30 (drawn by the seed, not balanced: classes are known only once an image is read)"),
    ],
)
def test_one_line_says_how_many_of_which(sizes: list[int], listed: bool, limit: int, line: str) -> None:
    bench = bench_of(Listed(sizes, listed), limit=limit)
    assert in_words(choose(bench)[0], bench) == line


def test_a_pilot_is_drawn_as_the_run_is() -> None:
    for limit, counts in ((20, [4, 4]), (None, [8, 0])):
        chosen, _ = choose(bench_of(Listed([10**4, 10]), limit=limit), 8)
        assert [int((chosen["target"] == target).sum()) for target in (0, 1)] == counts


def test_a_run_says_which_images_its_limit_left(tmp_path: Any) -> None:
    names = [f"{name}/{number}.png" for name in ("bird", "cat", "dog") for number in range(3 if name == "dog" else 2)]
    suite = {"methods": ["Sobel"], "metrics": {"RCAP": {}}}
    said: list[str] = []
    asked = config_of(suite, data=folder_of(tmp_path / "photographs", *names), limit=6)
    run = run_of(tmp_path / "run", asked, say=said.append)
    assert "6 of 7: 2 bird, 2 cat, 2 dog" in said
    scores = run.scores()
    assert (scores["label"] == scores["image"].str.partition("/")[0]).all()
    assert set(scores["predicted_label"]) <= {"bird", "cat", "dog"}
