"""Several metrics in one pass: the same scores as one by one, fewer forward passes."""

from __future__ import annotations

import pytest
import torch

import captum_gag
from captum_gag import AOPC, RCAP, LogCoshDice
from captum_gag.errors import InputError
from captum_gag.metrics import aopc, deletion, evaluate, faithfulness, insertion, metric, rcap
from captum_gag.metrics.evaluation import readings_of
from captum_gag.metrics.masking import Context

# By label: the function, the type and the options of a metric.
SPECS = {
    "RCAP": (rcap, "RCAP", {"lower_bound": 60, "perturb_baseline": 0.0}),
    "Deletion": (deletion, "Deletion", {"n_steps": 5}),
    "Insertion": (insertion, "Insertion", {"n_steps": 5, "perturb_baseline": "black"}),
    "MoRF": (aopc, "AOPC", {"n_steps": 4, "perturb_baseline": "black"}),
    "Faithfulness": (faithfulness, "Faithfulness", {"n_pixels": 6}),
}
METRICS = {label: getattr(captum_gag, type)(**options) for label, (_, type, options) in SPECS.items()}


@pytest.fixture
def maps() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    return {"one": torch.randn(4, 3, 6, 5, generator=generator), "two": torch.rand(4, 6, 5, generator=generator)}


def test_scores_are_those_of_the_functions(additive, images: torch.Tensor, maps: dict[str, torch.Tensor]) -> None:
    scores = evaluate(additive, images, maps, [0, 1, 0, 1], METRICS, internal_batch_size=7)
    for method, each in maps.items():
        for label, (function, _, options) in SPECS.items():
            expected = function(additive, images, each, [0, 1, 0, 1], **options)
            torch.testing.assert_close(scores[method][label], expected)


def test_readings_have_a_score_for_every_number_of_steps(
    additive, images: torch.Tensor, maps: dict[str, torch.Tensor]
) -> None:
    pairs = [(each, [AOPC(n_steps=4)]) for each in maps.values()]
    for each, [reading] in zip(maps.values(), readings_of(images, pairs, Context(additive, 0)), strict=True):
        for steps in (1, 3, 4):
            torch.testing.assert_close(reading.at(steps), aopc(additive, images, each, 0, n_steps=steps))


def test_metrics_with_and_without_quantus_are_the_same(
    additive, images: torch.Tensor, maps: dict[str, torch.Tensor]
) -> None:
    plain = {label: metric(type, options) for label, (_, type, options) in SPECS.items()}
    scores, expected = (evaluate(additive, images, maps, 0, metrics) for metrics in (plain, METRICS))
    for method in maps:
        for name in METRICS:
            assert torch.equal(scores[method][name], expected[method][name])


def test_the_factors_of_rcap_cost_no_passes(additive, images: torch.Tensor, maps: dict[str, torch.Tensor]) -> None:
    seen = []

    def counted(batch: torch.Tensor) -> torch.Tensor:
        seen.append(len(batch))
        return torch.as_tensor(additive(batch))

    factors = {name: RCAP(factor=name, perturb_baseline=0.0) for name in ("both", "visual_noise", "localization")}
    found = evaluate(counted, images, maps, 0, factors)
    # Two passes ask the model: the images, and one more.
    assert sum(seen) == len(maps) * len(images) * 5 + 2 * len(images) + 1
    for method, each in maps.items():
        for name, score in found[method].items():
            expected = rcap(additive, images, each, 0, factor=name, perturb_baseline=0.0)  # type: ignore[arg-type]
            torch.testing.assert_close(score, expected)


def test_no_image_is_predicted_twice(additive, images: torch.Tensor, maps: dict[str, torch.Tensor]) -> None:
    seen: list[torch.Tensor] = []

    def recorded(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.clone())
        return additive(x)

    evaluate(recorded, images, maps, 0, METRICS, internal_batch_size=16)
    asked, seen = seen[:2], seen[2:]
    assert [len(batch) for batch in asked] == [4, 5]
    predicted = torch.cat(seen)
    # Whole images: 4 unperturbed, 4 black. Per method and image: 4 of RCAP, 4 inner ones of each of Deletion and
    # Insertion, 4 of AOPC. Per image alone, as its pixels do not depend on the map: 6 of Faithfulness.
    assert len(predicted) == 8 + 2 * 4 * (4 + 4 + 4 + 4) + 4 * 6
    assert all(len(batch) == 16 for batch in seen[:-1])
    for whole in (*images, torch.zeros_like(images[0])):
        times = int((predicted == whole).flatten(1).all(1).sum())
        assert times == (1 if bool(whole.any()) else 4)


def test_maps_without_ranking_do_not_touch_others(
    additive, images: torch.Tensor, maps: dict[str, torch.Tensor]
) -> None:
    broken = {**maps, "broken": torch.zeros(4, 6, 5)}
    scores = evaluate(additive, images, broken, 0, METRICS)
    expected = evaluate(additive, images, maps, 0, METRICS)
    for name in METRICS:
        assert bool(scores["broken"][name].isnan().all())
        torch.testing.assert_close(scores["one"][name], expected["one"][name])


def test_metrics_without_a_model_are_refused(additive, images: torch.Tensor, maps: dict[str, torch.Tensor]) -> None:
    with pytest.raises(InputError, match="LogCoshDice does not mask images"):
        evaluate(additive, images, maps, 0, {"dice": LogCoshDice()})
    for wrong in (LogCoshDice, "RCAP"):
        with pytest.raises(InputError, match=r"a metric is .*, must be one with its options, such as RCAP\(\)"):
            evaluate(additive, images, maps, 0, {"it": wrong})  # type: ignore[dict-item]


def test_nothing_to_evaluate_is_refused(additive, images: torch.Tensor, maps: dict[str, torch.Tensor]) -> None:
    with pytest.raises(InputError, match=r"maps are \{\}, must be a dict by name with at least one entry"):
        evaluate(additive, images, {}, 0, METRICS)
    with pytest.raises(InputError, match=r"metrics are \{\}, must be a dict by name with at least one entry"):
        evaluate(additive, images, maps, 0, {})
