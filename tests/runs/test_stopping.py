"""A run until decided: in a random order by the seed, the same decisions whoever works, no image more than needed."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import psutil
import pytest
from pandas.testing import assert_frame_equal
from scoring import config_of, folder_of, quiet
from scoring import run_of as done

from captum_gag import reliability
from captum_gag.errors import InputError
from captum_gag.report.summary import decisions
from captum_gag.runs.config import Config
from captum_gag.runs.execution import begin, execute
from captum_gag.runs.executors import Bench, Chunk, Done, Executor, in_processes, in_this_process
from captum_gag.runs.spec import make_suite
from captum_gag.runs.stopping import UntilDecided, require_answerable
from captum_gag.runs.store import Run
from captum_gag.runs.suite_file import SuiteFile, labels_of

SUITE = {"methods": ["VG", "Random", "Sobel"], "metrics": {"RCAP": {}}}


def config(**options: Any) -> Config:
    given = {"data": {"type": "tiny:sixty_photos"}, "batch_size": 2, "until": "decided", "against": "VG"}
    return config_of(**{"suite": SUITE, **given, **options})


def found(run: Run) -> pd.DataFrame:
    table = decisions(run, run.scores())
    assert table is not None
    return table


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return done(tmp_path_factory.mktemp("whole") / "run", config())


def test_it_stops_as_soon_as_it_is_decided(whole: Run, tmp_path: Path) -> None:
    table = found(whole)
    assert set(table["decision"]) == {"better"}
    scored = whole.scores()["image"].nunique()
    # Images are scored two at a time.
    assert table["decided_at"].max() in (scored - 1, scored)
    assert scored < 30
    said: list[str] = []
    assert execute(Run.load(whole.directory), say=said.append) == 0
    assert said[-1] == f"2 decided, 0 open after {scored} of 60 images"


def test_its_decisions_are_those_of_the_table_of_scores(whole: Run) -> None:
    scores = whole.scores()
    order = [image for image in whole.chosen()["image"] if image in set(scores["image"])]
    decided = found(whole).drop(columns=["role", "rival_role"])
    assert_frame_equal(reliability.sequential(scores, "VG", order=order), decided)


def test_of_images_of_one_group_the_first_counts(whole: Run) -> None:
    scores, until, single = whole.scores(), UntilDecided(whole), UntilDecided(whole)
    order = [image for image in whole.chosen()["image"] if image in set(scores["image"])]
    scores["group"] = scores["image"].map({image: f"patient {place // 3}" for place, image in enumerate(order)})
    until.count(scores)
    firsts = scores[scores["image"].isin(order[::3])].assign(group=None)
    single._order = [pair for pair in single._order if pair[0] in order[::3]]
    single.count(firsts)
    assert_frame_equal(until.table().drop(columns="decided_at"), single.table().drop(columns="decided_at"))
    assert 0 < until.table()["n"].max() <= len(order[::3]) < len(order)


def test_the_order_is_random_and_fixed_by_the_seed(whole: Run, tmp_path: Path) -> None:
    images = whole.chosen()["image"].tolist()
    assert sorted(images) != images
    assert len(set(images)) == 60
    same, other = (done(tmp_path / str(seed), config(seed=seed, limit=4)) for seed in (0, 1))
    assert same.chosen()["image"].tolist() == images[:4]
    assert other.chosen()["image"].tolist() != images[:4]


def backwards(bench: Bench, chunks: Iterable[Chunk]) -> Iterator[list[Done]]:
    """Score all that is handed out, four chunks at a time, and bring the last first."""
    waiting = iter(chunks)
    while some := list(islice(waiting, 4)):
        yield from map(bench.do, reversed(some))


@pytest.mark.parametrize("executor", [backwards, pytest.param(in_processes(2), marks=pytest.mark.slow)])
def test_whatever_the_order_in_which_they_come_they_count_in_the_same(
    whole: Run, tmp_path: Path, executor: Executor
) -> None:
    run = done(tmp_path / "run", config(), executor=executor)
    named = ["metric", "rival", "decision", "decided_at"]
    assert_frame_equal(found(run)[named], found(whole)[named])
    if executor is backwards:
        assert run.scores()["image"].nunique() <= whole.scores()["image"].nunique() + 8


def test_a_gap_is_waited_for(tmp_path: Path) -> None:
    run, _ = begin(tmp_path / "run", config())
    # The other shard has not begun: its chunks are missing from the second on.
    execute(run, shard=(1, 2), say=quiet)
    assert run.scores()["image"].nunique() == 30
    until = UntilDecided(run)
    until.look()
    assert (until.images, until.decided) == (2, False)
    assert (found(run)["n"] <= 2).all()


def test_shards_stop_when_all_of_them_together_decided(whole: Run, tmp_path: Path) -> None:
    run, _ = begin(tmp_path / "run", config())
    execute(run, shard=(2, 2), say=quiet)
    assert run.scores()["image"].nunique() == 30
    needed = found(whole)["decided_at"].max()
    scored = execute(run, shard=(1, 2), say=quiet)
    assert scored == 2 * ((needed + 3) // 4)
    assert found(run)["decided_at"].tolist() == found(whole)["decided_at"].tolist()


def test_interrupted_and_resumed_it_decides_the_same(whole: Run, tmp_path: Path) -> None:
    def interrupted(bench: Bench, chunks: Iterable[Chunk]) -> Iterator[list[Done]]:
        yield from islice(in_this_process(bench, chunks), 3)

    run = done(tmp_path / "run", config(), executor=interrupted)
    assert run.scores()["image"].nunique() == 6
    execute(Run.load(run.directory), say=quiet)
    assert_frame_equal(found(run), found(whole))


@pytest.mark.slow
def test_workers_that_are_still_starting_when_the_run_stops_say_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    bench, others = Bench.open(config()), multiprocessing.active_children()

    def stopped() -> Iterator[Chunk]:
        yield ("000000",)
        raise InputError("decided by others")

    # The processes begin with the first chunk, and take seconds until they have read what they are given.
    with pytest.raises(InputError, match="decided by others"):
        next(in_processes(2)(bench, stopped()))
    children = [process for process in multiprocessing.active_children() if process not in others]
    started = [psutil.Process(process.pid) for process in children]
    _, alive = psutil.wait_procs(started, timeout=120)
    assert started
    assert not alive
    assert "Traceback" not in capfd.readouterr().err


def test_at_the_limit_what_is_open_is_open(tmp_path: Path) -> None:
    said: list[str] = []
    run = done(tmp_path / "run", config(limit=4, against="best"), say=said.append)
    assert set(found(run)["decision"]) == {"open"}
    assert said[-1] == "0 decided, 2 open after 4 of 4 images"


def test_metrics_without_a_word_keep_no_run_going(tmp_path: Path) -> None:
    """Photographs without segmentations have no mean absolute error."""
    data = folder_of(tmp_path / "data", *(f"{number}.png" for number in range(40)))
    suite = {**SUITE, "metrics": {"RCAP": {}, "MAE": {"type": "SegmentationMAE"}}}
    run = done(tmp_path / "run", config(suite=suite, data=data))
    table = found(run)
    assert set(table.loc[table["metric"] == "MAE", "n"]) == {0}
    assert set(table.loc[table["metric"] == "RCAP", "decision"]) == {"better"}
    assert run.scores()["image"].nunique() < 40


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"against": "SG"}, "unknown method to compare with 'SG'"),
        ({"suite": {"methods": ["SG"], "metrics": {"RCAP": {}}}, "against": "SG"}, "SG has no other method"),
    ],
)
def test_what_cannot_be_decided_leaves_no_directory(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        begin(tmp_path / "run", config(**options))
    assert not (tmp_path / "run").exists()


def test_a_metric_without_direction_is_refused() -> None:
    made = make_suite(SUITE)
    entry = made.metrics[0]._replace(label="own", metric=SimpleNamespace(higher_is_better=None))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="it is not known whether higher is better by own, so that it cannot be"):
        require_answerable(config(), made._replace(metrics=(entry,)))


def test_a_run_without_the_new_options_is_read_as_one_of_all_images(tmp_path: Path) -> None:
    run = done(tmp_path / "run", config(until="done", against="best", limit=2))
    assert run.chosen()["image"].tolist() == ["000016", "000027"]
    assert decisions(run, run.scores()) is None
    text = (run.directory / "run.json").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not any(f'"{key}"' in line for key in ("until", "alpha", "against"))]
    (run.directory / "run.json").write_text("\n".join(lines).replace('"save_maps": false,', '"save_maps": false'))
    assert Run.load(run.directory).config.until == "done"


def test_labels_are_those_of_the_records(tmp_path: Path) -> None:
    suite = {
        "methods": ["VG", {"type": "SG", "label": "SG of 2", "n_samples": 2}],
        "metrics": {
            "RCAP": {"variants": {"black": {}, "mean": {"perturb_baseline": "mean"}}},
            "AOPC": {"steps": [2, 5], "n_steps": 5},
        },
        "random_orderings": 2,
    }
    methods, metrics = labels_of(SuiteFile(**suite))
    assert methods == list(make_suite(suite).methods)
    table = found(done(tmp_path / "run", config(suite=suite, limit=2)))
    assert metrics == list(table["metric"].unique()) == ["RCAP (black)", "RCAP (mean)", "AOPC L=2", "AOPC L=5"]
    assert (table["n"] > 0).all()
