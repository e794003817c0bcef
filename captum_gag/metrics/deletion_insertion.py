"""Deletion and Insertion (RISE, Petsiuk et al., 2018): the class probability while salient pixels go or come."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from captum_gag.baselines import BaselineLike, Normalization, Numbers, resolve
from captum_gag.errors import InputError
from captum_gag.metrics.base import MaskingMetric, baseline_option, defined, function_of, normalization_option
from captum_gag.metrics.map_batch import MapBatch, without_ranking
from captum_gag.metrics.masking import MaskedInputs, Plan
from captum_gag.metrics.readings import Curve, Reading, thinned
from captum_gag.options import declared, option


@dataclass(frozen=True, eq=False)
class ProbabilityCurve(Reading):
    """The class probability as a function of the share of pixels deleted or inserted.

    Attributes:
        fractions: Shares of the pixels, (N, S), the same in each row.
        probability: Of the class, (N, S). NaN for a map without ranking.
        divided: Whether the score is divided by the width of the fractions.
    """

    fractions: Tensor
    probability: Tensor
    divided: bool = True

    @property
    def score(self) -> Tensor:
        """Area under the curve by the trapezoid rule, (N,): in [0, 1], or in [0, width] if it is not divided."""
        area = torch.trapezoid(self.probability, self.fractions.to(self.probability), dim=1)
        return area / (self.fractions[:, -1] - self.fractions[:, 0]) if self.divided else area

    def curve(self, row: int) -> Curve:
        """Return the probability over the share of the pixels."""
        return thinned(self.fractions[row], self.probability[row], "share of the pixels", "probability")


@declared
class ProbabilityCurveMetric(MaskingMetric):
    """What Deletion and Insertion share: the area under the class probability while salient pixels change."""

    n_steps: int = option(
        default=10, help="Equal steps from no to all pixels; n_steps + 1 images are predicted.", ge=1, le=10**6
    )
    perturb_baseline: BaselineLike = baseline_option("black")
    normalization: Normalization | None = normalization_option()
    fractions: Numbers | None = option(
        default=None,
        help="Shares of the pixels instead of equal steps: rising, in [0, 1]. The published code of Huang & Liu takes "
        "0, 0.1, ..., 0.9.",
    )
    divide_by_width: bool = option(
        default=True,
        help="Divide the area by the width of the fractions, so that a probability of 1 throughout has the score 1; "
        "the published code of Huang & Liu does not.",
    )

    @abstractmethod
    def shows(self, ranks: Tensor, counts: Tensor) -> Tensor:
        """Return which pixels show the image when so many of the most salient have changed."""

    def check(self) -> None:
        """Refuse fractions and baselines that have no meaning."""
        self.shares()
        resolve(self.perturb_baseline, self.normalization)

    def plan(self, batch: MapBatch) -> Plan:
        """Return the image with ever more of its most salient pixels changed, read as ``ProbabilityCurve``."""
        exact = self.shares()
        shares = exact.to(batch.saliency).expand(len(batch.images), -1)
        counts = (exact * batch.saliency[0].numel()).round().to(batch.saliency).expand(len(batch.images), -1)
        hidden = batch.baseline(self.perturb_baseline, self.normalization)
        undefined = without_ranking(batch.saliency).unsqueeze(1)
        return Plan(
            # Half a rank below the count, so that no and all pixels are outside the range of ranks.
            MaskedInputs(batch.images, hidden, batch.saliency_ranks, counts - 0.5, self.shows),
            lambda probabilities: ProbabilityCurve(
                shares, probabilities.masked_fill(undefined, torch.nan), self.divide_by_width
            ),
            batch.saliency,
        )

    def shares(self) -> Tensor:
        """Return the shares of pixels, (S,) in double precision.

        Raises:
            InputError: If they do not rise within [0, 1], or there are fewer than two.
        """
        equal = torch.linspace(0, 1, self.n_steps + 1).tolist()
        shares = torch.tensor(equal if self.fractions is None else self.fractions, dtype=torch.float64)
        rises = bool((shares.diff() > 0).all())
        if len(shares) < 2 or not rises or float(shares[0]) < 0 or float(shares[-1]) > 1:
            raise InputError(
                f"fractions are {self.fractions!r}, expected at least two numbers that rise within [0, 1]."
            )
        return shares


@declared
class DeletionMetric(ProbabilityCurveMetric):
    """Deletion, DAUC: the most salient pixels show the baseline, the others the image.

    See ``deletion``.
    """

    higher_is_better = False

    def shows(self, ranks: Tensor, counts: Tensor) -> Tensor:
        """Return the less salient ones."""
        return ranks >= counts


@declared
class InsertionMetric(ProbabilityCurveMetric):
    """Insertion, IAUC: the most salient pixels show the image, the others the baseline.

    See ``insertion``.
    """

    perturb_baseline: BaselineLike = baseline_option("blur")

    higher_is_better = True

    def shows(self, ranks: Tensor, counts: Tensor) -> Tensor:
        """Return the most salient ones."""
        return ranks < counts


@function_of(DeletionMetric)
def deletion(curve: ProbabilityCurve) -> Tensor:
    """Score maps by how soon the class is lost when the most salient pixels are deleted (DAUC): lower is better.

    Only the ranking of the pixels by ``saliency_map`` counts, hence magnitudes; equal ones follow in reading order.

    Returns:
        Areas of shape (N,) in [0, 1]. NaN, with one warning that names the images, for a map without ranking.

    Raises:
        InputError: If shapes, targets or options have no meaning.
    """
    return defined("Deletion", curve.score, curve.causes)


@function_of(InsertionMetric)
def insertion(curve: ProbabilityCurve) -> Tensor:
    """Score maps by how soon the class is found when the most salient pixels appear (IAUC): higher is better.

    They appear on the blurred image: Gaussian, sigma 5, 11 x 11 (``baselines.blur``). Only the ranking counts, as for
    ``deletion``.

    Returns:
        Areas of shape (N,) in [0, 1]. NaN, with one warning that names the images, for a map without ranking.

    Raises:
        InputError: If shapes, targets or options have no meaning.
    """
    return defined("Insertion", curve.score, curve.causes)
