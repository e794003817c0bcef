"""What follows from a metric's declaration: its function, its Quantus class, their signatures and help."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import quantus
import torch
from torch import nn

import captum_gag.metrics as metrics
from captum_gag.errors import InputError
from captum_gag.metrics import aopc, metric, rcap
from captum_gag.metrics.base import MaskingMetric, function_of
from captum_gag.metrics.map_batch import MapBatch
from captum_gag.metrics.masking import MaskedInputs, Plan
from captum_gag.metrics.quantus import QuantusMetric
from captum_gag.metrics.readings import Scores
from captum_gag.names import METRICS
from captum_gag.options import declared, option

# The positional options of each metric, with their defaults.
OPTIONS = {
    "RCAP": {"lower_bound": 50, "interval": 10, "perturb_baseline": "black", "normalization": None, "factor": "both"},
    "Deletion": {
        "n_steps": 10,
        "perturb_baseline": "black",
        "normalization": None,
    },
    "Insertion": {
        "n_steps": 10,
        "perturb_baseline": "blur",
        "normalization": None,
    },
    "AOPC": {
        "order": "morf",
        "n_steps": None,
        "perturb_baseline": "mean",
        "normalization": None,
        "region_size": 1,
        "seed": 0,
    },
    "Faithfulness": {"n_pixels": None, "perturb_baseline": "mean", "normalization": None, "seed": 0},
    "LogCoshDice": {},
    "SegmentationMAE": {},
}
FUNCTIONS = {
    "RCAP": ["rcap", "rcap_factors"],
    "Deletion": ["deletion"],
    "Insertion": ["insertion"],
    "AOPC": ["aopc", "aopc_curve"],
    "Faithfulness": ["faithfulness"],
}


def defaults(function: object, kind: inspect._ParameterKind) -> dict[str, object]:
    parameters = inspect.signature(function).parameters.values()
    return {each.name: each.default for each in parameters if each.kind is kind}


@pytest.mark.parametrize("name", OPTIONS)
def test_classes_take_their_options_by_position_and_quantus_own_by_name(name: str) -> None:
    for cls in (getattr(metrics, name), METRICS[name].load()):
        assert defaults(cls, inspect.Parameter.POSITIONAL_OR_KEYWORD) == OPTIONS[name]
    quantus_own = set(inspect.signature(quantus.Metric.__init__).parameters) - {"self", "kwargs"}
    by_name = quantus_own | {"output", "class_axis", "channel_axis"}
    assert set(defaults(getattr(metrics, name), inspect.Parameter.KEYWORD_ONLY)) == by_name
    assert defaults(METRICS[name].load(), inspect.Parameter.KEYWORD_ONLY) == {}
    documented = inspect.getdoc(getattr(metrics, name))
    assert documented is not None
    assert all(f"\n    {option}: " in documented for option in OPTIONS[name].keys() | by_name)


@pytest.mark.parametrize(("name", "function"), [(name, each) for name, some in FUNCTIONS.items() for each in some])
def test_functions_take_the_same_options_by_name(name: str, function: str) -> None:
    found = getattr(metrics, function)
    assert found.__name__ == function
    expected = {**OPTIONS[name], "output": "auto", "class_axis": None, "channel_axis": 1, "internal_batch_size": None}
    expected["additional_forward_args"] = None
    assert defaults(found, inspect.Parameter.KEYWORD_ONLY) == expected
    assert list(inspect.signature(found).parameters) == ["model", "inputs", "maps", "target", *expected]
    documented = inspect.getdoc(found)
    assert all(f"\n    {option}: " in documented for option in inspect.signature(found).parameters)
    assert documented.count("Args:") == documented.count("Returns:") == 1


def test_functions_refuse_what_the_classes_refuse() -> None:
    arguments = (torch.nn.Flatten().eval(), torch.rand(1, 3, 4, 4), torch.rand(1, 4, 4), 0)
    with pytest.raises(InputError, match="unknown option 'lower_bond'; did you mean lower_bound"):
        rcap(*arguments, lower_bond=3)
    with pytest.raises(InputError, match="n_steps is '3', expected a valid integer"):
        aopc(*arguments, n_steps="3")
    with pytest.raises(TypeError, match="positional"):
        rcap(*arguments, 50)


@pytest.mark.parametrize("name", METRICS)
def test_properties_are_those_of_the_names(name: str) -> None:
    row, cls = METRICS[name], METRICS[name].load()
    for built in (getattr(metrics, name)(), cls()):
        assert built.higher_is_better == row.higher_is_better
        assert built.needs_segmentation == (name in ("LogCoshDice", "SegmentationMAE"))
        assert built.has_steps == (name == "AOPC")
    assert metric("AOPC", {"order": "lerf"}).higher_is_better is False


@declared
class MarginMetric(MaskingMetric):
    """The lead of the class in the upper rows over the others."""

    rows: int = option(default=1, help="How many rows are shown.", ge=1)

    higher_is_better = True

    def plan(self, batch: MapBatch) -> Plan:
        order = torch.arange(batch.images.shape[2]).reshape(1, -1, 1).expand(batch.saliency.shape)
        levels = torch.full((len(batch.images), 1), self.rows)
        masked = MaskedInputs(batch.images, torch.zeros_like(batch.images), order, levels, torch.lt)
        return Plan(masked, lambda probability: Scores(2 * probability[:, 0] - 1))


@declared
class Margin(QuantusMetric, MarginMetric):
    """The same for Quantus."""

    name = "Margin"


def test_a_metric_of_ones_own_is_a_declaration_and_a_plan() -> None:
    @function_of(MarginMetric)
    def margin(reading: Scores) -> torch.Tensor:
        """Return the lead.

        Returns:
            Shape (N,).
        """
        return reading.score

    def model(x: torch.Tensor) -> torch.Tensor:
        share = x.mean((1, 2, 3))
        return torch.stack([share, 1 - share], 1)

    images, maps = torch.ones(2, 3, 4, 4), torch.rand(2, 4, 4)
    assert margin(model, images, maps, 0, rows=3, output="probabilities").tolist() == [0.5, 0.5]
    module = torch.nn.Module()
    module.forward = model  # type: ignore[method-assign]
    assert Margin(rows=1)(module.eval(), images.numpy(), [0, 0], maps.numpy(), softmax=False) == [-0.5, -0.5]
    assert Margin.score_direction.value == "higher"
    assert QuantusMetric.score_direction is None


def test_arrays_and_tensors_are_taken_where_numbers_are(additive: nn.Module, images: torch.Tensor) -> None:
    """As users of Quantus have them: the statistics of a data set as arrays, a colour as an array."""
    maps = torch.rand(4, 6, 5, generator=torch.Generator().manual_seed(2)).double()
    colour = np.full((3, 1, 1), 0.3)
    for mean, std in ((np.full(3, 0.5), np.full(3, 0.2)), (torch.full((3,), 0.5), [0.2] * 3)):
        found = rcap(additive, images, maps, 0, normalization=(mean, std))
        torch.testing.assert_close(found, rcap(additive, images, maps, 0, normalization=((0.5,) * 3, (0.2,) * 3)))
    found = rcap(additive, images, maps, 0, perturb_baseline=colour)
    torch.testing.assert_close(found, rcap(additive, images, maps, 0, perturb_baseline=0.3))
