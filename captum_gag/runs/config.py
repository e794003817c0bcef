"""What decides every number of a run, as data, and the objects that it stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from captum_gag.errors import InputError
from captum_gag.options import declared, option
from captum_gag.reliability.deciding import BEST
from captum_gag.runs.identity import identity
from captum_gag.runs.suite_file import SuiteFile

# To read what a run found takes none of these.
if TYPE_CHECKING:
    from captum_gag.data.datasets import ImageData
    from captum_gag.models.preprocessing import Preprocessing
    from captum_gag.runs.scorer import Scorer
    from captum_gag.runs.spec import Suite

CHANGE_NO_NUMBER = ("device", "threads", "save_maps")
"""Options with which a run may go on that began with others: numbers change in their last digits at most."""


@declared
class Config:
    """What decides every number of a run, and where and how it is computed."""

    suite: dict[str, Any] = option(help="What the suite's TOML file says; see make_suite.")
    model: dict[str, Any] = option(help="Type and options of the model.")
    data: dict[str, Any] = option(help="Type and options of the data set.")
    limit: int | None = option(
        default=None, help="How many images at most, counted after the choice by confidence.", ge=1
    )
    confidence: float = option(default=0.0, help="Images with less in their true class are left out.", ge=0, le=1)
    seed: int = option(default=0, help="Of all noise.", ge=0, lt=2**63)
    device: str = option(default="auto", help="Where to compute, as torch names it, or auto.")
    dtype: str = option(
        default="float32", help="In which the model computes.", pattern="^(float32|float64|bfloat16|float16)$"
    )
    attribution_autocast: str | None = option(
        default=None,
        pattern="^bfloat16$",
        help="In which methods let the model compute what stands it, by torch.autocast; None for dtype alone. Small "
        "gradients would be 0 in float16.",
    )
    metrics_autocast: str | None = option(
        default=None, pattern="^(bfloat16|float16)$", help="The same for metrics, which need no gradients."
    )
    threads: int = option(default=1, help="CPU threads of each worker: sums are rounded by how they are split.", ge=1)
    batch_size: int | None = option(
        default=None, help="Images scored at a time; None takes many small ones, and large ones alone.", ge=1
    )
    save_maps: bool = option(default=False, help="Keep the maps too.")
    until: str = option(
        default="done",
        help="done: score all images chosen. decided: in random order, until it is known which methods are better.",
        pattern="^(done|decided)$",
    )
    alpha: float = option(default=0.05, help="Probability of any wrong decision, with until decided.", gt=0, lt=1)
    against: str = option(default=BEST, help="The method that is compared with all others, or best, likewise.")

    def __post_init__(self) -> None:
        """Refuse autocast of what is in less than single precision already."""
        if (self.attribution_autocast or self.metrics_autocast) and self.dtype != "float32":
            raise InputError(f"autocast is for a model in float32, dtype is {self.dtype}; leave one of them out")

    def suite_file(self) -> SuiteFile:
        """Return what the suite says, without building anything of it: title, published values."""
        return SuiteFile(**self.suite)

    def made_suite(self) -> Suite:
        """Build the suite for looking at it; a scorer builds its own, for the model's input."""
        from captum_gag.runs.spec import make_suite

        return make_suite(self.suite)

    def preprocessing(self) -> Preprocessing:
        """Return how photographs become the model's input; needs no weights."""
        from captum_gag.models.catalogue import model

        return model(self.model).preprocessing()

    def dataset(self) -> ImageData:
        """List the data set."""
        from captum_gag.data.catalogue import dataset

        return dataset(self.data)

    def scorer(self, data: ImageData, device: str | None = None) -> Scorer:
        """Load the model and build the suite, in this process.

        Args:
            data: The data set, whose training images may be references.
            device: Instead of the config's.
        """
        import torch

        from captum_gag.models.catalogue import model
        from captum_gag.runs.scorer import Autocast, Scorer
        from captum_gag.runs.spec import make_suite

        torch.set_num_threads(self.threads)
        classifier = model(self.model).load(device or self.device)
        suite = make_suite(self.suite, classifier.normalization)
        names = (self.attribution_autocast, self.metrics_autocast)
        autocast = Autocast(*(None if name is None else getattr(torch, name) for name in names))
        return Scorer(classifier, suite, self.seed, getattr(torch, self.dtype), data, autocast)

    def identity(self, data: ImageData, scorer: Scorer) -> dict[str, str]:
        """Return what the numbers depend on beside this and the photographs, by content."""
        return {
            **identity(data.listings(), self.suite, self.model, str(self.data.get("type", ""))),
            **scorer.digests,
        }
