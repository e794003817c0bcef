"""What a model does with its rows: asked, not assumed; by attributions and metrics alike."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from captum_gag import (
    AOPC,
    RCAP,
    BlurIG,
    GuidedAbsoluteGrad,
    GuidedIG,
    LayerGuidedAbsoluteGrad,
    SampledGradients,
    method,
)
from captum_gag.attr.modifications import GaussianNoise
from captum_gag.errors import InputError
from captum_gag.metrics import aopc, deletion, evaluate, faithfulness, metric, rcap
from captum_gag.model_probe import behaviour_of

X = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
MAPS = torch.rand(4, 8, 8, generator=torch.Generator().manual_seed(1))


def net(*last: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5), *last]
    return nn.Sequential(*layers).eval()


NET = net()


def gag(model: Any, x: Tensor = X, *arguments: Any, **options: Any) -> Tensor:
    maps: Tensor = GuidedAbsoluteGrad(model).attribute(x, 1, *arguments, seed=0, **options)
    return maps


DOORS: dict[str, Callable[[Any], Any]] = {
    "GuidedAbsoluteGrad": gag,
    "LayerGuidedAbsoluteGrad": lambda model: LayerGuidedAbsoluteGrad(model, NET[0]).attribute(X, 1, nt_samples=2),
    "SampledGradients": lambda model: SampledGradients(model, GaussianNoise(2)).attribute(X, 1),
    "GuidedIG": lambda model: GuidedIG(model).attribute(X, target=1, n_steps=2),
    "BlurIG": lambda model: BlurIG(model).attribute(X, 1, n_steps=2),
    "method": lambda model: method("Sobel").attribute(model, X, 1),
    "rcap": lambda model: rcap(model, X, MAPS, 1),
    "aopc": lambda model: aopc(model, X, MAPS, 1, n_steps=3),
    "evaluate": lambda model: evaluate(model, X, {"a": MAPS}, 1, {"RCAP": RCAP()}),
    "quantus:Sparseness": lambda model: metric("quantus:Sparseness", {}).evaluate(model, X, MAPS, 1),
}


class Wrapper:
    """A plain object around a model."""

    __slots__ = ("model",)

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __call__(self, x: Tensor) -> Any:
        return self.model(x)


WRAPPERS: dict[str, Callable[[nn.Module], Any]] = {
    "closure": lambda model: lambda x: model(x),
    "slot": Wrapper,
    "namespace": lambda model: SimpleNamespace(run=model).run,
    "keyword default": lambda model: lambda x, *, inside=model: inside(x),
    "partial": lambda model: functools.partial(nn.Module.__call__, model),
}

RANDOM: dict[str, tuple[Any, str]] = {
    "forgotten eval": (net(nn.Dropout(0.2)).train(), r"training mode \(Dropout\).*call model.eval\(\) first"),
    "batch statistics": (
        nn.Sequential(nn.BatchNorm2d(3), NET).train(),
        r"training mode \(BatchNorm2d\), so the outputs of an image depend on the others",
    ),
    "dropout as a function": (lambda x: functional.dropout(NET(x), 0.3), "different outputs for the same inputs"),
    "noise": (lambda x: NET(x + torch.rand_like(x)), "different outputs for the same inputs"),
    **{name: (wrap(net(nn.Dropout(0.2)).train()), r"training mode \(Dropout\)") for name, wrap in WRAPPERS.items()},
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", RANDOM)
def test_a_model_that_is_not_reproducible_is_refused(name: str, door: str) -> None:
    model, message = RANDOM[name]
    state = torch.get_rng_state()
    with pytest.raises(InputError, match=message):
        DOORS[door](model)
    assert torch.equal(torch.get_rng_state(), state)


def test_training_mode_without_effect_is_no_obstacle() -> None:
    """As Captum's users write it: a network without dropout that was never put into evaluation mode."""
    assert torch.equal(gag(copy.deepcopy(NET).train()), gag(NET))
    assert torch.equal(rcap(copy.deepcopy(NET).train(), X, MAPS, 1), rcap(NET, X, MAPS, 1))


TABLE = torch.randn(4, 5, generator=torch.Generator().manual_seed(2))
TOGETHER: dict[str, Any] = {
    "bag": lambda x: NET(x).mean(0, keepdim=True),
    "loss over the batch": lambda x: NET(x).square().mean().reshape(1, 1).expand(1, 5),
    "place": lambda x: NET(x) + TABLE[: len(x)],
    "rows of a table": lambda x: NET(x) + TABLE,
    "largest of all": lambda x: NET(x / x.max()),
    "neighbours": lambda x: functional.normalize(NET(x), dim=0),
    "statistics of each batch": nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), NET).eval(),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", TOGETHER)
def test_rows_that_belong_together_are_refused(name: str, door: str) -> None:
    with pytest.raises(InputError, match="belong together") as error:
        DOORS[door](TOGETHER[name])
    assert "rows=" in str(error.value) or "metric" in str(error.value)


class Graph(nn.Module):
    """Nodes of one graph, whose scores are those of the graph, or of each node."""

    def __init__(self, pooled: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.outer, self.pooled = nn.Linear(5, 4), nn.Linear(4, 3), pooled
        self.register_buffer("edges", (torch.rand(6, 6) > 0.5).float())

    def forward(self, nodes: Tensor) -> Tensor:
        hidden = (self.edges @ self.inner(nodes)).tanh()
        return self.outer(hidden.mean(0, keepdim=True) if self.pooled else hidden)


@pytest.mark.parametrize("pooled", [True, False])
def test_rows_together_are_one_example(pooled: bool) -> None:
    """The mean magnitude of the gradients of whole noisy graphs, written out."""
    graph, nodes = Graph(pooled).eval(), torch.rand(6, 5)
    found = gag(graph, nodes, rows="together", nt_samples=4000, stdevs=0.3, percentile=0)
    generator, total = torch.Generator().manual_seed(1), torch.zeros(6, 5)
    for _ in range(4000):
        noisy = (nodes + 0.3 * torch.randn(6, 5, generator=generator)).requires_grad_()
        [gradient] = torch.autograd.grad(graph(noisy)[:, 1].sum(), noisy)
        total += gradient.abs() / 4000
    torch.testing.assert_close(found, total, rtol=0.05, atol=1e-3)


def test_all_rows_of_a_pass_in_order_are_right_whatever_they_have_to_do_with_each_other() -> None:
    found = gag(lambda x: NET(x) * TABLE, nt_samples_batch_size=1)
    for row in range(4):
        torch.testing.assert_close(found[row : row + 1], gag(lambda x, row=row: NET(x) * TABLE[row], X[row : row + 1]))


@pytest.mark.parametrize("explain", [GuidedIG, BlurIG], ids=["GuidedIG", "BlurIG"])
def test_paths_of_rows_together_add_up(explain: Any) -> None:
    def bag(x: Tensor) -> Tensor:
        return NET(x).mean(0, keepdim=True)

    found, delta = explain(bag).attribute(X, target=1, n_steps=200, rows="together", return_convergence_delta=True)
    assert found.shape == X.shape
    assert delta.shape == (1,)
    assert abs(float(delta)) < 0.05 * float(found.abs().sum())
    # Each row of a mean has a path of its own in BlurIG.
    if explain is BlurIG:
        torch.testing.assert_close(found, BlurIG(NET).attribute(X, 1, n_steps=200) / 4, rtol=1e-3, atol=1e-6)


def test_one_row_alone_needs_no_declaration() -> None:
    """Copies of one row of a bag would be pooled: each is passed alone."""
    torch.testing.assert_close(gag(lambda x: NET(x).mean(0, keepdim=True), X[:1]), gag(NET, X[:1]))
    torch.testing.assert_close(
        rcap(lambda x: NET(x).mean(0, keepdim=True), X[:1], MAPS[:1], 1), rcap(NET, X[:1], MAPS[:1], 1)
    )
    with pytest.raises(InputError, match="takes batches of 1 only"):
        method("captum:IntegratedGradients").attribute(lambda x: NET(x).mean(0, keepdim=True), X[:1], 1)


@pytest.mark.parametrize("n", [1, 4])
def test_a_model_of_a_fixed_batch_size(n: int) -> None:
    exported: Any = torch.export.export(NET, (X[:n],)).module()
    torch.testing.assert_close(gag(exported, X[:n]), gag(NET, X[:n]))
    torch.testing.assert_close(rcap(exported, X[:n], MAPS[:n], 1), rcap(NET, X[:n], MAPS[:n], 1))


class WithTable(nn.Module):
    """Images and a row of a table for each."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.table = NET, nn.Linear(7, 5)

    def forward(self, x: Tensor, table: Tensor, scale: Tensor | None = None) -> Tensor:
        return self.net(x) * self.table(table) * (1 if scale is None else scale.sum())


class WithTexts(nn.Module):
    """Images that are compared with texts, as many as there are images."""

    def __init__(self) -> None:
        super().__init__()
        self.images = nn.Linear(192, 6)

    def forward(self, x: Tensor, texts: Tensor) -> Tensor:
        return self.images(x.flatten(1)) @ texts.T


torch.manual_seed(3)
SECOND: dict[str, tuple[nn.Module, tuple[Tensor, ...], tuple[bool, ...]]] = {
    "a row for each": (WithTable().eval(), (torch.randn(4, 7),), (True,)),
    "the same for all": (WithTexts().eval(), (torch.randn(4, 6),), (False,)),
    "both": (WithTable().eval(), (torch.randn(4, 7), torch.rand(4)), (True, False)),
}


def singly(arguments: tuple[Tensor, ...], with_rows: tuple[bool, ...], row: int) -> tuple[Tensor, ...]:
    return tuple(value[row : row + 1] if each else value for value, each in zip(arguments, with_rows, strict=True))


@pytest.mark.parametrize("name", SECOND)
def test_second_inputs_go_with_their_rows_where_outputs_show_that_they_do(name: str) -> None:
    model, arguments, with_rows = SECOND[name]
    assert behaviour_of(model, (X,), arguments).with_rows == with_rows
    maps = gag(model, X, arguments)
    layer = model.net[0] if isinstance(model, WithTable) else model.images
    of_layer = LayerGuidedAbsoluteGrad(model, layer).attribute(X, 1, arguments, seed=0)
    scores = rcap(model, X, MAPS, 1, additional_forward_args=arguments)
    quantus_scores = RCAP()(
        model,
        X.numpy(),
        torch.ones(4).long().numpy(),
        MAPS[:, None].numpy(),
        model_predict_kwargs=dict(
            zip(("table" if "images" not in dict(model.named_modules()) else "texts", "scale"), arguments, strict=False)
        ),
        batch_size=3,
    )
    for row in range(4):
        rest = singly(arguments, with_rows, row)

        def alone(x: Tensor, rest: tuple[Tensor, ...] = rest) -> Any:
            return model(
                x,
                *(
                    value.expand(len(x), -1) if with_row else value
                    for value, with_row in zip(rest, with_rows, strict=True)
                ),
            )

        x = X[row : row + 1]
        torch.testing.assert_close(maps[row : row + 1], gag(alone, x))
        torch.testing.assert_close(
            of_layer[row : row + 1], LayerGuidedAbsoluteGrad(alone, layer).attribute(x, 1, seed=0)
        )
        torch.testing.assert_close(scores[row : row + 1], rcap(alone, x, MAPS[row : row + 1], 1))
        assert quantus_scores[row] == pytest.approx(float(scores[row]), abs=1e-6)


@pytest.mark.parametrize("weights", [[5.0, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 5.0]])
def test_an_argument_whose_largest_row_counts_is_the_same_for_all(weights: list[float]) -> None:
    further = torch.tensor(weights)
    found = gag(lambda x, weights: NET(x) * weights.max(), X, (further,))
    torch.testing.assert_close(found, gag(lambda x: NET(x) * 5.0))


def test_copies_follow_their_example() -> None:
    """As from NoiseTunnel: where lengths are sorted, so are those of the copies."""

    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(3, 4, batch_first=True)

        def forward(self, x: Tensor, lengths: Tensor) -> Any:
            return self.lstm(nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True))[1][0][-1]

    torch.manual_seed(0)
    model, x, lengths = Packed().eval(), torch.randn(3, 6, 3), torch.tensor([6, 4, 2])
    maps = gag(model, x, lengths)
    for row in range(3):
        torch.testing.assert_close(maps[row : row + 1], gag(model, x[row : row + 1], lengths[row : row + 1]))


class Kept(nn.Module):
    """Changes buffers and keeps a tensor in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.hidden, self.passes = NET, None, 0
        self.register_buffer("count", torch.zeros(1))
        self.register_buffer("largest", torch.zeros(1))

    def forward(self, x: Tensor) -> Any:
        self.count += 1
        self.largest = torch.maximum(self.largest, x.detach().max())
        self.hidden, self.passes = x.detach(), self.passes + 1
        return self.net(x)


@pytest.mark.parametrize("door", DOORS)
def test_a_model_keeps_its_tensors(door: str) -> None:
    model = Kept().eval()
    count, largest = model.count, model.largest
    DOORS[door](model)
    assert model.count is count
    assert model.largest is largest
    assert float(count) == float(largest) == 0
    assert model.hidden is None


def test_observers_of_quantization_are_as_they_were() -> None:
    from torch.ao.quantization import get_default_qat_qconfig, prepare_qat

    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)).train()
    model.qconfig = get_default_qat_qconfig("fbgemm")  # type: ignore[assignment]
    model = prepare_qat(model)
    model(X)
    model.eval()
    before = copy.deepcopy(model.state_dict())
    for name in DOORS.keys() - {"LayerGuidedAbsoluteGrad"}:
        DOORS[name](model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_model_is_asked_by_two_passes_once() -> None:
    passes: list[int] = []

    class Counted(nn.Module):
        def forward(self, x: Tensor) -> Any:
            passes.append(len(x))
            return NET(x)

    model = Counted().eval()
    for _ in range(2):
        behaviour_of(model, (X,))
    assert passes == [4, 5]
    behaviour_of(model, (torch.cat([X, X]),))
    assert len(passes) == 2
    behaviour_of(model.train(), (X,))
    assert len(passes) == 4


def channels_last(model: nn.Module) -> nn.Module:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = model

        def forward(self, x: Tensor) -> Any:
            return self.net(x.movedim(-1, 1))

    return Turned().eval()


@pytest.mark.parametrize(
    "name",
    [
        "GAG-85",
        "SG",
        "IG",
        "BlurIG",
        "Guided IG",
        "Grad-CAM",
        "GB",
        "Sobel",
        "Random",
        "Constant",
        "SG ^R",
        "captum:Occlusion",
        "DeepSHAP",
        "Deep Taylor",
    ],
)
def test_methods_follow_the_channels(name: str) -> None:
    options = {"sliding_window_shapes": (3, 2, 2)} if "Occlusion" in name else {}
    explain = method(name, **options)
    expected = explain.attribute(NET, X, 1)
    found = explain.attribute(channels_last(NET), X.movedim(1, -1), 1, channel_axis=-1)
    torch.testing.assert_close(found.movedim(-1, 1), expected)


def test_attributions_follow_the_channels() -> None:
    last = channels_last(NET)
    y = X.movedim(1, -1)
    torch.testing.assert_close(gag(last, y, channel_axis=-1).movedim(-1, 1), gag(NET))
    assert not torch.allclose(gag(last, y).movedim(-1, 1), gag(NET))
    torch.testing.assert_close(
        BlurIG(last).attribute(y, 1, channel_axis=3, n_steps=5).movedim(-1, 1), BlurIG(NET).attribute(X, 1, n_steps=5)
    )
    with pytest.raises(InputError, match="channel_axis is 7"):
        gag(NET, channel_axis=7)


@pytest.mark.parametrize("metric_class", [RCAP, AOPC])
def test_quantus_metrics_ask_too(metric_class: Any) -> None:
    options = {"n_steps": 3} if metric_class is AOPC else {}
    with pytest.raises(InputError, match=r"training mode \(Dropout\)"):
        metric_class(**options)(net(nn.Dropout()).train(), X.numpy(), [1] * 4, MAPS[:, None].numpy())


@pytest.mark.parametrize("shapes", [((5,), (9,)), ((3, 4), (3, 2, 6))], ids=["tables", "signal and image"])
@pytest.mark.parametrize("function", [rcap, deletion, faithfulness, aopc])
def test_several_inputs_are_ranked_together(shapes: tuple[tuple[int, ...], ...], function: Any) -> None:
    """Joined along their positions they are one input, whose score is known."""
    inputs = tuple(torch.rand(4, *shape) for shape in shapes)
    maps = tuple(torch.rand(4, *shape) for shape in shapes)
    sizes = [tensor[0, 0].numel() if tensor.ndim > 2 else tensor.shape[1] for tensor in inputs]
    torch.manual_seed(0)
    layers = [nn.Linear(tensor[0].numel(), 5) for tensor in inputs]

    def several(*tensors: Tensor) -> Tensor:
        return sum(layer(tensor.flatten(1)) for layer, tensor in zip(layers, tensors, strict=True))  # type: ignore[return-value]

    def one(tensor: Tensor) -> Tensor:
        return several(*tensor.split(sizes, -1))

    def joined(tensors: tuple[Tensor, ...]) -> Tensor:
        return torch.cat([tensor.flatten(2) if tensor.ndim > 2 else tensor for tensor in tensors], -1)

    options = {aopc: {"n_steps": 3}, faithfulness: {"n_pixels": 3}}.get(function, {})
    options["perturb_baseline"] = 0.0  # type: ignore[assignment]
    scores = function(several, inputs, maps, 1, **options)
    torch.testing.assert_close(scores, function(one, joined(inputs), joined(maps), 1, **options))
    alone = function(several, inputs, (maps[0], None), 1, **options)
    torch.testing.assert_close(alone, function(several, inputs, maps[0], 1, **options))
    expected = [
        function(
            lambda x, row=row: several(x, inputs[1][row : row + 1]),
            *(t[row : row + 1] for t in (inputs[0], maps[0])),
            1,
            **options,
        )
        for row in range(4)
    ]
    torch.testing.assert_close(alone, torch.cat(expected), rtol=1e-5, atol=1e-6)
    named = {"perturb_baseline": 0.0, **options}
    if function is rcap:
        torch.testing.assert_close(
            evaluate(several, inputs, {"a": maps}, 1, {"RCAP": RCAP(**named)})["a"]["RCAP"], scores
        )
        with pytest.raises(InputError, match="must be a tuple with a map for each input"):
            rcap(several, inputs, torch.rand(4, 77), 1)
        with pytest.raises(InputError, match="give a map for each"):
            rcap(several, inputs, (None, None), 1)


def test_maps_of_other_inputs_are_judged_by_those_inputs() -> None:
    """Maps of the one and of the other input have the same shape."""
    inputs, zeros = (X, X.flip(0)), (MAPS, None)
    maps = {"both": (MAPS, MAPS.flip(1)), "first": zeros, "second": zeros[::-1]}
    metrics = {"RCAP": RCAP(), "AOPC": AOPC(n_steps=3)}

    def pair(first: Tensor, second: Tensor) -> Any:
        return NET(first) - 2 * NET(second)

    scores = evaluate(pair, inputs, maps, 1, metrics)  # type: ignore[arg-type]
    for name, maps_of_method in maps.items():
        torch.testing.assert_close(scores[name]["RCAP"], rcap(pair, inputs, maps_of_method, 1))  # type: ignore[arg-type]
        torch.testing.assert_close(scores[name]["AOPC"], aopc(pair, inputs, maps_of_method, 1, n_steps=3))  # type: ignore[arg-type]


def pooled(model: Any) -> Any:
    """Rows that have to do with each other."""
    return lambda *values: functional.normalize(model(*values), dim=0)


class Switched(nn.Module):
    """Normalises over the batch after a change of a kind."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.over_batch = NET, False

    def forward(self, x: Tensor, over_batch: bool = False) -> Any:
        outputs = self.net(x)
        return functional.normalize(outputs, dim=0) if over_batch or self.over_batch else outputs


CHANGES: dict[str, Callable[[Any], Any]] = {
    "argument": lambda model: (X, True),
    "flag": lambda model: setattr(model, "over_batch", True),
    "hook": lambda model: model.register_forward_hook(lambda *values: functional.normalize(values[2], dim=0)),
    "forward": lambda model: setattr(model, "forward", pooled(model.forward)),
    "module": lambda model: setattr(model, "net", nn.Sequential(NET, nn.BatchNorm1d(5, track_running_stats=False))),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_model_is_asked_again(name: str) -> None:
    model = Switched().eval()
    gag(model, X, (False,))
    argument = (name == "argument",)
    CHANGES[name](model)
    model.eval()
    with pytest.raises(InputError, match="belong together"):
        gag(model, X, argument)


def test_a_function_is_asked_again_where_it_calls_another() -> None:
    inside: Any = pooled(NET)

    def model(x: Tensor) -> Any:
        return inside(x)

    with pytest.raises(InputError, match="belong together"):
        gag(model)
    inside = NET
    torch.testing.assert_close(gag(model), gag(NET))


def test_inputs_and_arguments_are_different_questions() -> None:
    table = torch.randn(4, 7)
    model = WithTable().eval()
    scores = rcap(model, (X, table), (MAPS, None), 1)  # type: ignore[arg-type]
    torch.testing.assert_close(scores, rcap(model, X, MAPS, 1, additional_forward_args=table))


def test_a_model_that_checks_its_inputs_or_is_made_by_them_is_asked() -> None:
    def checked(x: Tensor) -> Any:
        assert x.max() <= 1
        return NET(x)

    assert behaviour_of(checked, (X / X.max(),)).rows == "independent"
    model = nn.Sequential(nn.Flatten(), nn.LazyLinear(5), nn.LazyBatchNorm1d()).eval()
    assert gag(model).shape == X.shape
    assert (model[1].in_features, model[2].num_features) == (192, 5)


@pytest.mark.parametrize("ruled_out", [-1e9, torch.finfo(torch.float32).min])
def test_classes_that_are_ruled_out_hide_no_difference(ruled_out: float) -> None:
    def model(x: Tensor, texts: Tensor) -> Tensor:
        return torch.cat([WITH_TEXTS(x, texts), torch.full((len(x), 1), ruled_out)], 1)

    assert behaviour_of(model, (X,), (torch.randn(4, 6),)).with_rows == (False,)


WITH_TEXTS = WithTexts()


class Lazy(nn.Module):
    """Fills a cache at the first pass, and notes in a number and a flag that it has."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.size, self.factors, self.ready, self.hidden = NET, 0, None, False, [1]

    def forward(self, x: Tensor) -> Any:
        if x.shape[-1] != self.size:
            self.size, self.factors, self.hidden = x.shape[-1], torch.ones(()), x  # type: ignore[assignment]
        if not self.ready:
            self.register_buffer("offset", torch.zeros(5), persistent=False)
            self.ready = True
        return self.net(x * self.factors) + self.offset


@pytest.mark.parametrize("door", DOORS)
def test_caches_and_what_is_noted_of_them_agree(door: str) -> None:
    model = Lazy().eval()
    DOORS[door](model)
    assert (model.size, model.factors, model.ready, model.hidden) == (0, None, False, [1])
    assert not hasattr(model, "offset")
    assert torch.equal(model(X), NET(X))


class Stateful(nn.Module):
    """Goes on from the hidden state of the last batch where that has the same size."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.hidden = nn.GRU(3, 5, batch_first=True), None

    def forward(self, x: Tensor) -> Any:
        goes_on = self.hidden is not None and self.hidden.shape[1] == len(x)
        outputs, self.hidden = self.gru(x, self.hidden.detach() if goes_on else None)  # type: ignore[union-attr]
        return outputs[:, -1]


def test_each_pass_starts_from_the_same_state() -> None:
    torch.manual_seed(0)
    model, x = Stateful().eval(), torch.rand(4, 6, 3)
    gru = model.gru
    torch.testing.assert_close(
        gag(model, x, nt_samples_batch_size=2), gag(lambda x: gru(x)[0][:, -1], x, nt_samples_batch_size=2)
    )


def test_a_model_of_a_fixed_number_of_large_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer rows than all, which are asked first where there are many values, are none that it takes."""
    monkeypatch.setattr("captum_gag.model_probe.MOST_VALUES", 2 * X[0].numel())
    exported: Any = torch.export.export(NET, (X,)).module()
    torch.testing.assert_close(gag(exported), gag(NET))


def test_buffers_of_any_type_are_compared() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = NET
            for number, buffer in enumerate(
                [
                    torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
                    torch.ones(3).to(torch.float8_e4m3fn),
                    torch.eye(3).to_sparse_csr(),
                    torch.full((2,), torch.nan),
                    torch.ones(3, dtype=torch.complex64),
                    torch.ones(3, dtype=torch.bool),
                ]
            ):
                self.register_buffer(f"buffer{number}", buffer)

        def forward(self, x: Tensor) -> Any:
            return self.net(x)

    torch.testing.assert_close(gag(Model().eval()), gag(NET))


def test_a_graph_in_compressed_rows_and_a_score_without_rows() -> None:
    torch.manual_seed(0)
    layer, nodes, graph = nn.Linear(5, 3), torch.rand(4, 5), torch.rand(4, 4).round()
    found = gag(lambda x, edges: layer(edges @ x).mean(0, keepdim=True), nodes, graph.to_sparse_csr(), rows="together")
    torch.testing.assert_close(found, gag(lambda x: layer(graph @ x).mean(0, keepdim=True), nodes, rows="together"))
    score = GuidedAbsoluteGrad(lambda x: layer(graph @ x)[:, 1].mean()).attribute(nodes, seed=0, rows="together")
    torch.testing.assert_close(score, found)


@pytest.mark.parametrize("weights", [[1.0, 2.0, 3.0, 4.0], torch.arange(4.0).numpy()], ids=["list", "array"])
def test_rows_of_an_argument_that_is_no_tensor_are_named(weights: Any) -> None:
    with pytest.raises(InputError, match="argument 0 has 4 rows, too, and goes with those of the inputs only as a ten"):
        gag(lambda x, weights: NET(x) * torch.as_tensor(weights)[:, None], X, (weights,))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rcap(NET, X[..., :7], MAPS[..., :7], 1), "does not take inputs of shape"),
        (lambda: rcap(NET, X, MAPS, 1, additional_forward_args=1), "does not take these arguments"),
        (lambda: rcap(NET, X.double(), MAPS, 1), "inputs have dtype torch.float64"),
    ],
    ids=["shape", "arguments", "dtype"],
)
def test_a_model_that_does_not_take_the_inputs_is_explained(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_batches_of_quantus_are_one_form_of_input() -> None:
    passes: list[int] = []
    model = nn.Sequential(NET).eval()
    model.register_forward_pre_hook(lambda module, values: passes.append(len(values[0])))
    RCAP()(model, X.numpy(), torch.ones(4).long().numpy(), MAPS[:, None].numpy(), batch_size=3)
    assert passes == [3, 4, 15, 5]


@pytest.mark.parametrize(
    "arguments",
    [{"inputs": (X, X), "maps": (MAPS, MAPS)}, {"additional_forward_args": torch.rand(4)}],
    ids=["two", "args"],
)
def test_metrics_of_quantus_take_one_input(arguments: dict[str, Any]) -> None:
    call = {"model": lambda x, *_: NET(x), "inputs": X, "maps": MAPS, "target": 1, **arguments}
    with pytest.raises(InputError, match=r"quantus:Sparseness calls a model with one input alone"):
        metric("quantus:Sparseness", {}).evaluate(**call)
