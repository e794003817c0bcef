"""Several runs as one table of scores: photographs of one have some metrics, mosaics of another the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from captum_gag.errors import InputError
from captum_gag.reliability.scores import checked
from captum_gag.report.reproduce_command import plain_name
from captum_gag.runs.config import Config
from captum_gag.runs.store import Run
from captum_gag.runs.suite_file import SuiteFile


class Together(NamedTuple):
    """Runs of one case, as one.

    Attributes:
        scores: Their records, as ``reliability.scores.checked`` returns them.
        suites: What each run's suite says.
        ours: What was scored, in words: the model on the data sets.
    """

    scores: pd.DataFrame
    suites: tuple[SuiteFile, ...]
    ours: str


def together(runs: Sequence[Run]) -> dict[str, Together]:
    """Put the scores of runs together, by the case that their suites are compared with.

    Args:
        runs: At least one.

    Raises:
        InputError: Two runs of a case differ in what must be the same in one table, or score the same image by the same
            metric for the same method; or a run has no scores yet.
    """
    by_case: dict[str, list[Run]] = {}
    for run in runs:
        by_case.setdefault(run.config.suite_file().case, []).append(run)
    return {case: _one(case, of_case) for case, of_case in by_case.items()}


def _one(case: str, runs: Sequence[Run]) -> Together:
    first, *others = runs
    for other in others:
        different = [*_differences(first.config, other.config), *_other_content(first, other)]
        if different:
            raise InputError(
                f"{first.directory} and {other.directory} differ in {', '.join(different)}; expected runs of one model "
                f"by the same methods and metrics, for one table of case {case}"
            )
    try:
        scores = checked(pd.concat([run.scores() for run in runs], ignore_index=True))
        contents = scores.groupby("image", sort=False)["photo"].nunique()
        if (contents > 1).any():
            image = contents.idxmax()
            raise InputError(f"{image} is not the same photograph in all of them; expected names of their own")
    except InputError as error:
        directories = " and ".join(str(run.directory) for run in runs)
        raise InputError(f"{directories}: {error}") from error
    data = dict.fromkeys(plain_name(run.config.data) for run in runs)
    suites = tuple(run.config.suite_file() for run in runs)
    return Together(scores, suites, f"{plain_name(first.config.model)} on {' and '.join(data)}")


def _other_content(first: Run, other: Run) -> Iterator[str]:
    """Yield what has the same name in two runs and another content: weights, and what the model returns."""
    for name in ("weights", "output"):
        if first.identity.get(name) != other.identity.get(name):
            yield f"{name} of the model"


def _differences(first: Config, other: Config) -> Iterator[str]:
    """Yield what two runs do not share, though their scores would stand side by side."""
    if first.model != other.model:
        yield "model"
    one, two = first.suite_file(), other.suite_file()
    if one.n_samples != two.n_samples:
        yield "n_samples"
    for kind, before, now in (("metric", one.metrics, two.metrics), ("method", one.methods, two.methods)):
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            yield from (f"{kind} {label}" for label in before if label in now and before[label] != now[label])
