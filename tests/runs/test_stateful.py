"""Whatever happens to a run, in whatever order: each record is that of an uninterrupted run, or is not there.

A machine begins, interrupts, shares out, resumes, damages, changes and reads a run, and knows of each image what must
be there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from numpy.typing import NDArray
from surroundings import FIRST, Known, Scored, Surroundings, chunks_of, one_line, rows_of, scored

from captum_gag.errors import InputError
from captum_gag.papers.published import means
from captum_gag.report.tables import comparison
from captum_gag.runs import collecting
from captum_gag.runs.execution import begin, execute
from captum_gag.runs.store import Run

LATER = ["a/1.png", "b/1.png", "a/2.png"]
DAMAGE: dict[str, Callable[[bytes, int], bytes]] = {
    "emptied": lambda content, place: b"",
    "cut short": lambda content, place: content[: place % max(1, len(content))],
    "of other bytes": lambda content, place: b"PAR1 is what Parquet begins with" * 9,
    "with a byte that turned": lambda content, place: _turned(content, place % max(1, len(content))),
}


def _turned(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 0x41]) + content[place + 1 :] if content else content


def same(maps: Mapping[str, torch.Tensor], expected: Mapping[str, NDArray[np.float32]]) -> bool:
    return {name: each.tolist() for name, each in maps.items()} == {
        name: each.tolist() for name, each in expected.items()
    }


class LifeOfARun(RuleBasedStateMachine):
    """What is known of the run: which images it chose, of which content, and whose files of scores are whole."""

    def __init__(self) -> None:
        super().__init__()
        self.around = Surroundings(Path(tempfile.mkdtemp()))
        self.directory = self.around.directory
        self.chosen: dict[str, int] | None = None
        self.whole: dict[str, tuple[int, str, int]] = {}
        """Weights, version and content of the photograph with which an image was scored."""
        self.began = (0, "1")
        self.damaged: set[str] = set()
        self.chunks: set[Known] = set()

    def teardown(self) -> None:
        shutil.rmtree(self.around.place)

    @initialize()
    def begin(self) -> None:
        with self.around.installed():
            begin(self.directory, self.around.config())
            assert not self.directory.exists()

    # What is done with a run.

    @rule(
        shard=st.sampled_from([(1, 1), (1, 2), (2, 2)]),
        recompute=st.booleans(),
        stop=st.none() | st.integers(0, 12),
        late=st.booleans(),
        anew=st.booleans(),
    )
    def go_on(self, shard: tuple[int, int], recompute: bool, stop: int | None, late: bool, anew: bool) -> None:
        """Go on, perhaps until Ctrl-C comes just before or after a file gets its name."""
        said: list[str] = []
        before = dict(self.whole)
        other = self.directory.exists() and self.began != (self.around.weights, self.around.version)
        changed = any(self.around.photos.get(name) != seed for name, seed in (self.chosen or {}).items())
        with self.around.installed(), patch("os.replace", self._renaming(stop, late)):
            try:
                # The same command again, or captum-gag resume.
                run = begin(self.directory, self.around.config())[0] if anew else self._loaded()
                if run is None:
                    return
                execute(run, shard=shard, recompute=recompute, say=said.append)
            except KeyboardInterrupt:
                # It may have been about to choose again.
                self.chosen = self.chosen if (self.directory / "selection.parquet").exists() else None
                return
            except InputError as error:
                said.append(one_line(error))
                assert not recompute
                assert other or changed
                assert ("has changed" if other else "have changed") in said[-1]
                assert self.whole == before
                return
        assert recompute or not (other or changed)
        assert all("\n" not in text for text in said)
        assert shard != (1, 1) or self._done() == set(self.chosen or ())
        if shard == (1, 1):
            kept = zip(run.chosen()["image"], run.chosen()["photo"], strict=True)
            assert all(run.has_maps(*each) for each in kept)

    @rule()
    def look_at_the_table(self) -> None:
        with self.around.installed(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                run = Run.load(self.directory)
                found = comparison(run.scores(), means(run.config.suite_file()))
            except InputError as error:
                one_line(error)
                assert not self._done()
            else:
                assert len(found)

    # What happens to it.

    @rule(number=st.integers(0, 99), how=st.sampled_from(sorted(DAMAGE)), byte=st.integers(0, 20_000))
    def damage(self, number: int, how: str, byte: int) -> None:
        file = self._some_file(number)
        if file is not None:
            before = file.read_bytes()
            content = DAMAGE[how](before, byte)
            file.write_bytes(content)
            # Some bytes mean nothing, such as Parquet's first four.
            if content != before and not (how == "with a byte that turned" and self._still_read(file)):
                self._lost(file)

    @rule(number=st.integers(0, 99))
    def delete(self, number: int) -> None:
        file = self._some_file(number)
        if file is not None:
            file.unlink()
            self._lost(file)

    @precondition(lambda self: (self.directory / "run.json").exists())
    @rule(how=st.sampled_from(["emptied", "cut short", "of other bytes"]), byte=st.integers(0, 2000))
    def damage_what_was_asked_for(self, how: str, byte: int) -> None:
        """Nothing can be known of such a run; it is refused, and stays as it is."""
        file = self.directory / "run.json"
        before = file.read_bytes()
        file.write_bytes(DAMAGE[how](before, byte))
        with self.around.installed():
            for attempt in (self._loaded, lambda: begin(self.directory, self.around.config())):
                with pytest.raises(InputError, match=r"run\.json") as caught:
                    attempt()
                one_line(caught.value)
        file.write_bytes(before)

    @rule(name=st.sampled_from(FIRST + LATER), seed=st.integers(0, 3))
    def take_a_photograph(self, name: str, seed: int) -> None:
        self.around.take(name, seed)

    @rule(name=st.sampled_from(LATER))
    def lose_a_photograph(self, name: str) -> None:
        self.around.lose(name)

    @rule(weights=st.integers(0, 1))
    def train_the_model_further(self, weights: int) -> None:
        self.around.train(weights)

    @rule(version=st.sampled_from("12"))
    def upgrade(self, version: str) -> None:
        self.around.version = version

    # What must hold.

    @invariant()
    def each_record_is_that_of_an_uninterrupted_run_or_is_not_there(self) -> None:
        with self.around.installed(), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                run = Run.load(self.directory)
                scores = run.scores()
            except InputError as error:
                one_line(error)
                assert not self._done()
                return
            named = " ".join(str(each.message) for each in caught)
            assert not caught or "is damaged" in named
            assert set(scores["image"]) == self._done()
            for name, found in scores.groupby("image"):
                expected = self._expected(str(name))
                assert any(rows_of(found) == rows for rows, _ in expected), f"the numbers of {name} are others"
                maps = run.maps(str(name))
                assert not maps or any(same(maps, own) for _, own in expected), f"the maps of {name} are others"

    @invariant()
    def nothing_half_written_is_left(self) -> None:
        hidden = {each.name for each in self.directory.rglob(".*")}
        assert hidden <= {".scores.arrow"}

    # How it is known.

    def _loaded(self) -> Run | None:
        """Open the run, if there is one by now."""
        return Run.load(self.directory) if (self.directory / "run.json").exists() else None

    def _done(self) -> set[str]:
        """Return the images that must have records, of those that are chosen."""
        return {
            name
            for name, seed in (self.chosen or {}).items()
            if self.whole.get(name) == (*self.began, seed) and name not in self.damaged
        }

    def _renaming(self, stop: int | None, late: bool) -> Callable[[Any, Any], None]:
        """Return what renames, puts down what is written, and is interrupted before or after a certain file."""
        rename, count = os.replace, iter(range(10**9))

        def replace(source: Any, target: Any) -> None:
            last = next(count) == stop
            if last and not late:
                raise KeyboardInterrupt
            rename(source, target)
            self._written(Path(target))
            if last:
                raise KeyboardInterrupt

        return replace

    def _written(self, file: Path) -> None:
        if file.name == "run.json":
            self.began = (self.around.weights, self.around.version)
        elif file.name == "selection.parquet":
            self.chosen = dict(sorted(self.around.photos.items()))
            self.chunks |= set(chunks_of(self.chosen))
        elif file.parent.name == "scores":
            name = next(name for name in self.around.photos if Run(self.directory)._scores_of(name) == file)
            self.whole[name] = (*self.began, self.around.photos[name])
            self.damaged.discard(name)

    def _some_file(self, number: int) -> Path | None:
        files = sorted(each for each in self.directory.rglob("*") if each.is_file() and each.name != "run.json")
        return files[number % len(files)] if files else None

    def _still_read(self, file: Path) -> bool:
        run = Run.load(self.directory)
        try:
            chosen = run.chosen()
        except InputError:
            return False
        if file.name == "selection.parquet":
            return list(chosen["image"]) == list(self.chosen or ())
        images = zip(chosen["image"], chosen["photo"], strict=True)
        return any(run._scores_of(image) == file and run.records(image, photo) is not None for image, photo in images)

    def _lost(self, file: Path) -> None:
        if file.name == "selection.parquet":
            self.chosen = None
        elif file.parent.name == "scores":
            self.damaged |= {name for name in FIRST + LATER if Run(self.directory)._scores_of(name) == file}

    def _expected(self, name: str) -> list[Scored]:
        """Return what an uninterrupted run says of an image, in each chunk in which it may have been scored."""
        weights, _, seed = self.whole[name]
        return [scored(weights, chunk)[name] for chunk in self.chunks if (name, seed) in chunk]


@pytest.mark.fuzz
def test_the_life_of_a_run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "FEW", 1)
    wanted = request.config.getoption("fuzz_examples")
    lives = settings(
        max_examples=wanted or 30,
        stateful_step_count=40 if wanted else 15,
        derandomize=wanted is None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(LifeOfARun, settings=lives)
