"""When a run stops: with the last image chosen, or as soon as it is decided which methods are better."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import pandas as pd

from captum_gag.errors import InputError
from captum_gag.reliability.deciding import Decider, oriented
from captum_gag.reliability.scores import checked, explanations, ranked_methods
from captum_gag.runs.config import Config
from captum_gag.runs.store import Run
from captum_gag.runs.suite_file import labels_of

if TYPE_CHECKING:
    from captum_gag.runs.spec import Suite


class UntilDone:
    """Goes on to the last image.

    Attributes:
        images: How many images count so far.
        decided: Whether no further one is needed.
        said: How far it is, in words; "" if there is nothing to say.
    """

    images: int = 0
    decided: bool = False
    said: str = ""

    def look(self) -> None:
        """Let the images count that are done by now."""


class UntilDecided(UntilDone):
    """Stops once every question has its answer.

    Images count in the order of the selection, which is random: those done from the first on without a gap, whatever
    the order in which they came, and whoever scored them. So the answers do not depend on how long an image takes, and
    are the same with any number of workers or shards, interrupted or not. Of images of one group, which depend on each
    other, the first counts. See ``reliability.sequential``.
    """

    def __init__(self, run: Run) -> None:
        """Ask the questions of a run whose images are chosen."""
        chosen = run.chosen()
        self._run, self._decider = run, asked(run.config)
        self._order = list(zip(chosen["image"], chosen["photo"], strict=True))
        self._groups: set[str] = set()

    def look(self) -> None:
        """Let the images count that are done by now."""
        for image, photo in self._order[self.images :]:
            records = self._run.records(image, photo)
            if records is None:
                break
            self._count(records.to_pandas(), [image])

    def count(self, scores: pd.DataFrame) -> None:
        """Let the images of a run count whose records are there already."""
        done = set(scores["image"])
        images = [image for image, _ in self._order]
        end = next((place for place, image in enumerate(images) if image not in done), len(images))
        self._count(scores, images[:end])

    def table(self) -> pd.DataFrame:
        """Return the questions with what is known of each, as ``reliability.sequential`` does."""
        return self._decider.table()

    def _count(self, scores: pd.DataFrame, images: list[str]) -> None:
        if images:
            scores = checked(scores)
            if not self.images:
                # Which methods explain, and which are controls, the records say.
                self._decider = asked(self._run.config, explanations(scores), ranked_methods(scores))
            independent = self._first_of_groups(scores, images)
            self._decider.update(oriented(scores, independent, self._decider.methods, self._decider.metrics))
        self.images += len(images)
        closed, left = self._decider.counts()
        self.decided, self.said = closed > 0 and not left, f"{closed} decided, {left} open"

    def _first_of_groups(self, scores: pd.DataFrame, images: list[str]) -> list[str]:
        group_of = scores.drop_duplicates("image").set_index("image")["group"].fillna("").to_dict()
        independent = []
        for image in images:
            group = group_of[image]
            if not group or group not in self._groups:
                independent.append(image)
                self._groups.add(group)
        return independent


def asked(config: Config, candidates: Collection[str] = (), ranked: Collection[str] = ()) -> Decider:
    """Questions of a run until decided.

    Args:
        config: Of the run.
        candidates: The explanations, one of which is the best.
        ranked: The methods that are compared to find the best; none takes all.

    Raises:
        InputError: There is nothing to compare.
    """
    methods, metrics = labels_of(config.suite_file())
    methods = [name for name in methods if not ranked or name in ranked or name == config.against]
    return Decider(methods, metrics, config.against, config.alpha, candidates=candidates)


def stopping(run: Run) -> UntilDone:
    """Return when a run stops that has its images chosen."""
    return UntilDecided(run) if run.config.until == "decided" else UntilDone()


def require_answerable(config: Config, suite: Suite) -> None:
    """Refuse a run until decided that could not be.

    Raises:
        InputError: A metric does not say whether higher is better, or there is nothing to compare.
    """
    if config.until != "decided":
        return
    asked(config)
    unknown = [each.label for each in suite.metrics if each.metric.higher_is_better is None]
    if unknown:
        raise InputError(
            f"it is not known whether higher is better by {', '.join(unknown)}, so that it cannot be decided; take it "
            "out of the suite, or run it without --until decided"
        )
