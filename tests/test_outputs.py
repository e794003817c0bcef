"""What a model returns: every meaning against values computed by hand, what "auto" decides, what is refused."""

from __future__ import annotations

import warnings
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from captum_gag.errors import InputError
from captum_gag.outputs import OutputReader, tensor_of

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 3.0, 1.0]])


@pytest.fixture(autouse=True)
def silent() -> Iterator[None]:
    """Nothing is said that a test does not expect."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def by_hand(rows: torch.Tensor) -> list[list[float]]:
    return [[float(np.exp(each) / np.exp(row).sum()) for each in row] for row in rows.double().numpy()]


def sigmoid(value: float) -> float:
    return 1 / (1 + float(np.exp(-value)))


CASES = {
    "logits": (LOGITS, by_hand(LOGITS), LOGITS.tolist()),
    "probabilities": ([[0.2, 0.8], [1.0, 0.0]], [[0.2, 0.8], [1.0, 0.0]], [[0.2, 0.8], [1.0, 0.0]]),
    "probabilities, one column": ([[0.2], [0.9]], [[0.8, 0.2], [0.1, 0.9]], [[0.8, 0.2], [0.1, 0.9]]),
    "probabilities, no column": ([0.2, 0.9], [[0.8, 0.2], [0.1, 0.9]], [[0.8, 0.2], [0.1, 0.9]]),
    "logit": ([[2.0], [-3.0]], [[sigmoid(-2), sigmoid(2)], [sigmoid(3), sigmoid(-3)]], [[-2, 2], [3, -3]]),
    "logit, no column": (
        [2.0, 0.5],
        [[sigmoid(-2), sigmoid(2)], [sigmoid(-0.5), sigmoid(0.5)]],
        [[-2, 2], [-0.5, 0.5]],
    ),
    "sigmoid": ([[2.0, -1.0]], [[sigmoid(2), sigmoid(-1)]], [[2, -1]]),
    "log_probabilities": (LOGITS.log_softmax(1), by_hand(LOGITS), LOGITS.log_softmax(1).tolist()),
}


@pytest.mark.parametrize("case", CASES)
def test_every_meaning_by_hand(case: str) -> None:
    outputs, probabilities, scores = CASES[case]
    reader = OutputReader(case.partition(",")[0])
    returned = torch.as_tensor(outputs)
    torch.testing.assert_close(reader.probabilities(returned), torch.tensor(probabilities, dtype=torch.float32))
    torch.testing.assert_close(reader.scores(returned), torch.tensor(scores, dtype=torch.float32))


def test_multi_label_probabilities_are_taken_as_they_are() -> None:
    several = torch.tensor([[0.9, 0.8, 0.1]])
    assert torch.equal(OutputReader("probabilities").probabilities(several), several)


@pytest.mark.parametrize(
    ("outputs", "kind", "said"),
    [
        (LOGITS, "logits", ""),
        (LOGITS.log_softmax(1), "logits", ""),
        (LOGITS.softmax(1), "probabilities", 'sum to 1, read as probabilities; declare output="probabilities"'),
        (torch.tensor([[0.0, 1.0, 0.0]]), "probabilities", "read as probabilities"),
        (torch.zeros(2, 3), "logits", ""),
        (torch.tensor([[3.0], [-2.0]]), "logit", 'logit of class 1 of two; declare output="logit"'),
        (torch.tensor([3.0, -2.0]), "logit", "logit of class 1 of two"),
    ],
)
def test_auto_decides_by_what_comes_out_and_says_it_once(outputs: torch.Tensor, kind: str, said: str) -> None:
    reader = OutputReader()
    assert reader.kind is None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = reader.probabilities(outputs)
        reader.probabilities(outputs)
    assert reader.kind == kind
    assert [said in str(each.message) for each in caught] == ([True] if said else [])
    # It is said of the line that asked, not of one inside of the package.
    assert all(each.filename == __file__ for each in caught)
    torch.testing.assert_close(found, OutputReader(kind).probabilities(outputs))


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ([[0.3], [0.9]], 'one number in \\[0, 1\\].*declare output="probabilities", "logit" or a callable'),
        ([[0.3, 0.9], [0.1, 0.2]], 'do not sum to 1.*declare output="probabilities" or "logits"'),
        ([[torch.nan, 1.0]], 'no finite output, by which output="auto" could decide'),
    ],
)
def test_auto_refuses_what_could_be_several(outputs: list[list[float]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        OutputReader().probabilities(torch.tensor(outputs))


@pytest.mark.parametrize(
    ("output", "outputs", "found"),
    [
        ("logits", LOGITS.softmax(1), "they are in [0, 1] and sum to 1"),
        ("logits", torch.tensor([[0.3], [4.0]]), "one number for each image, whose softmax is always 1"),
        ("probabilities", LOGITS, "they reach from -1 to 3"),
        ("logit", LOGITS, "there are 3 columns, not one"),
        ("sigmoid", LOGITS.repeat(4, 1).sigmoid(), "they are all in [0, 1], as they are after a sigmoid"),
        ("log_probabilities", LOGITS, "their exponentials do not sum to 1"),
        ("log_probabilities", LOGITS.softmax(1), "their exponentials do not sum to 1"),
    ],
)
def test_what_contradicts_the_declaration_is_refused(output: str, outputs: torch.Tensor, found: str) -> None:
    for read in (OutputReader(output).probabilities, OutputReader(output).scores):
        with pytest.raises(InputError) as caught:
            read(outputs)
        assert found in str(caught.value)
        assert f'read as output="{output}"' in str(caught.value)


def test_scores_of_auto_need_no_decision() -> None:
    """Gradients of -z and of 1 - z are the same, and of several columns none is changed."""
    small = torch.tensor([[0.3, 0.9], [0.1, 0.2]])
    reader = OutputReader()
    assert reader.scores(small) is small
    assert reader.kind is None
    column = torch.tensor([[0.3], [0.9]], requires_grad=True)
    with pytest.warns(UserWarning, match="score of class 1 of two"):
        scores = reader.scores(column)
    assert torch.equal(reader.scores(column), scores)
    [gradient] = torch.autograd.grad(scores[:, 0].sum(), column)
    assert gradient.tolist() == [[-1], [-1]]


def test_a_few_outputs_that_look_like_others_by_chance_do_not_matter_later() -> None:
    reader = OutputReader("logits")
    reader.probabilities(LOGITS)
    chance = torch.tensor([[0.4, 0.6, 0.0]])
    torch.testing.assert_close(reader.probabilities(chance), chance.softmax(1))


def test_small_logits_of_one_image_wait_for_others() -> None:
    reader = OutputReader()
    small, large = torch.tensor([[0.3, 0.9]]), torch.tensor([[3.0, -9.0]])
    assert not reader.settled(small)
    assert reader.settled(large)
    assert reader.kind == "logits"
    other = OutputReader()
    other.settle([small, large])
    assert other.kind == "logits"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("classes", [2, 3, 10, 1000])
def test_rounded_sums_are_sums_of_one(dtype: torch.dtype, classes: int) -> None:
    outputs = torch.randn(64, classes, generator=torch.Generator().manual_seed(0)).softmax(1).to(dtype)
    reader = OutputReader()
    with pytest.warns(UserWarning, match="read as probabilities"):
        found = reader.probabilities(outputs)
    assert found.dtype == torch.promote_types(dtype, torch.float32)
    assert reader.scores(outputs).dtype == dtype
    with pytest.raises(InputError, match="sum to 1"):
        OutputReader("logits").probabilities(outputs)


def test_a_nan_of_one_image_is_its_own() -> None:
    outputs = torch.cat([LOGITS, torch.full((1, 3), torch.nan)])
    found = OutputReader().probabilities(outputs)
    assert torch.equal(found[:2], LOGITS.softmax(1))
    assert bool(found[2].isnan().all())


def test_a_class_may_be_ruled_out() -> None:
    outputs = torch.tensor([[0.5, 1.0, -torch.inf], [0.2, 0.3, -torch.inf]])
    for reader in (OutputReader(), OutputReader("logits")):
        torch.testing.assert_close(reader.probabilities(outputs), outputs.softmax(1))
    assert torch.equal(OutputReader("log_probabilities").probabilities(outputs.log_softmax(1)), outputs.softmax(1))


def test_segmentation_has_its_classes_on_axis_1() -> None:
    outputs = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(OutputReader().probabilities(outputs), outputs.softmax(1))
    with pytest.warns(UserWarning, match="read as probabilities"):
        assert torch.equal(OutputReader().probabilities(outputs.softmax(1)), outputs.softmax(1))


@dataclass
class ModelOutput:
    logits: torch.Tensor
    hidden: torch.Tensor | None = None


Inception = namedtuple("Inception", ["logits", "aux_logits"])
OTHER = torch.zeros(2, 7)


@pytest.mark.parametrize(
    "returned",
    [
        LOGITS,
        (LOGITS,),
        [LOGITS, None],
        (LOGITS, {"hidden": OTHER}),
        {"logits": LOGITS, "hidden": OTHER},
        {"out": LOGITS, "aux": OTHER},
        {"anything": LOGITS},
        ModelOutput(LOGITS, OTHER),
        Inception(LOGITS, OTHER),
    ],
    ids=lambda each: type(each).__name__,
)
def test_the_scores_are_found_in_what_is_returned(returned: object) -> None:
    assert tensor_of(returned) is LOGITS


@pytest.mark.parametrize(
    ("returned", "described"),
    [
        ((LOGITS, OTHER), "a tuple of a tensor (2, 3) of float32, a tensor (2, 7) of float32"),
        ({"a": LOGITS, "b": OTHER}, "a dict of a, b"),
        ((), "a tuple of nothing"),
        (None, "a NoneType"),
        (np.zeros((2, 3)), "a ndarray"),
    ],
)
def test_what_holds_no_scores_or_several_is_refused(returned: object, described: str) -> None:
    with pytest.raises(InputError) as caught:
        OutputReader().probabilities(returned)
    assert described in str(caught.value)
    assert "output=callable" in str(caught.value)


def test_numbers_called_logits_are_logits_however_small() -> None:
    small = torch.tensor([[0.3, 0.9], [0.1, 0.2]])
    for returned in ({"logits": small}, ModelOutput(small, OTHER)):
        reader = OutputReader()
        assert torch.equal(reader.probabilities(returned), small.softmax(1))
        assert reader.settled({"logits": small})
        # But for what nobody calls logits.
        with pytest.raises(InputError, match="they are in \\[0, 1\\] and sum to 1"):
            OutputReader().probabilities({"logits": small.softmax(1)})
    # A single one may be a quantity.
    with pytest.raises(InputError, match="one number in \\[0, 1\\]"):
        OutputReader().probabilities({"logits": small[:, :1]})


def test_transformers_and_torchvision() -> None:
    transformers = pytest.importorskip("transformers")
    output = transformers.modeling_outputs.ImageClassifierOutput(logits=LOGITS, hidden_states=(OTHER,))
    assert tensor_of(output) is LOGITS
    torchvision = pytest.importorskip("torchvision")
    assert tensor_of(torchvision.models.InceptionOutputs(LOGITS, OTHER)) is LOGITS
    assert tensor_of(torchvision.models.GoogLeNetOutputs(LOGITS, OTHER, OTHER)) is LOGITS


@pytest.mark.parametrize("outputs", [torch.tensor([1, 2]), torch.tensor(3.0), torch.zeros(0, 3)])
def test_class_numbers_and_single_numbers_are_refused(outputs: torch.Tensor) -> None:
    with pytest.raises(InputError, match="must be floating-point scores"):
        OutputReader().probabilities(outputs)


def test_what_a_callable_returns_is_taken_as_it_is() -> None:
    reader = OutputReader(lambda returned: returned[0] * 7)
    assert reader.kind == "callable"
    assert torch.equal(reader.probabilities((LOGITS, OTHER)), LOGITS * 7)
    assert torch.equal(reader.scores((LOGITS, OTHER)), LOGITS * 7)
    by_name = OutputReader("captum_gag.outputs:tensor_of")
    assert torch.equal(by_name.probabilities({"logits": LOGITS}), LOGITS)


@pytest.mark.parametrize("output", ["softmax", "logit ", 3, None, True, ["logits"], "no.module:here"])
def test_what_is_no_declaration_is_refused(output: object) -> None:
    with pytest.raises(InputError, match="output"):
        OutputReader(output)  # type: ignore[arg-type]


def test_a_reader_is_a_declaration_that_was_decided() -> None:
    reader = OutputReader()
    reader.probabilities(LOGITS)
    assert OutputReader.of(reader) is reader
    assert OutputReader.of("logit").kind == "logit"


def test_a_hooked_module_returns_scores() -> None:
    model = nn.Linear(3, 1)
    reader, images = OutputReader("logit"), torch.randn(2, 3)
    plain = model(images)
    with reader.reading(model):
        assert torch.equal(model(images), reader.scores(plain))
    with pytest.raises(ZeroDivisionError), reader.reading(model):
        raise ZeroDivisionError
    assert torch.equal(model(images), plain)
    assert not model._forward_hooks


class TestClassAxis:
    """The axis of the classes: declared, shown by probabilities, 1 for images, and asked for elsewhere."""

    scores = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))

    @pytest.mark.parametrize("axis", [1, 2, -1])
    def test_a_declared_axis(self, axis: int) -> None:
        expected = self.scores.exp() / self.scores.exp().sum(axis, keepdim=True)
        torch.testing.assert_close(OutputReader(class_axis=axis).probabilities(self.scores), expected)
        logits = OutputReader("logits", axis)
        torch.testing.assert_close(logits.probabilities(self.scores), expected)
        assert torch.equal(logits.scores(self.scores), self.scores)
        found = OutputReader("log_probabilities", axis).probabilities(expected.log())
        torch.testing.assert_close(found, expected)

    @pytest.mark.parametrize("kind", ["auto", "probabilities", "log_probabilities"])
    @pytest.mark.parametrize("axis", [1, 2])
    def test_probabilities_show_it(self, kind: str, axis: int) -> None:
        probabilities = self.scores.softmax(axis)
        outputs = probabilities.log() if kind == "log_probabilities" else probabilities
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.testing.assert_close(OutputReader(kind).probabilities(outputs), probabilities)

    @pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 3, 3, 3), (2, 3, 2, 4, 5)])
    def test_classes_of_images_are_on_axis_1(self, shape: tuple[int, ...]) -> None:
        outputs = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(OutputReader().probabilities(outputs), outputs.softmax(1))

    def test_labels_have_no_axis(self) -> None:
        torch.testing.assert_close(OutputReader("sigmoid").probabilities(self.scores), 1 / (1 + (-self.scores).exp()))

    def test_one_column_on_the_last_axis(self) -> None:
        column = self.scores[..., :1]
        reader = OutputReader("logit", -1)
        assert torch.equal(reader.scores(column), torch.cat([-column, column], 2))
        torch.testing.assert_close(reader.probabilities(column)[..., 1], 1 / (1 + (-column[..., 0]).exp()))

    @pytest.mark.parametrize("output", ["auto", "logits"])
    @pytest.mark.parametrize("shape", [(2, 4, 3), (2, 1, 3), (2, 4, 1), (2, 4, 4, 3)])
    def test_where_it_is_open_it_is_asked_for(self, output: str, shape: tuple[int, ...]) -> None:
        outputs = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        asks = pytest.raises(InputError, match=r"axis 1 or on the last, .* declare class_axis=1 or -1")
        with asks:
            OutputReader(output).probabilities(outputs)
        # Scores are read as they are, unless a single column may have to become two.
        if 1 not in shape:
            assert torch.equal(OutputReader(output).scores(outputs), outputs)
            return
        with asks:
            OutputReader(output).scores(outputs)

    @pytest.mark.parametrize(
        ("axis", "message"),
        [
            *((axis, "must be an axis after the first, or -1 for the last") for axis in (0, -2, True, "1", 1.0)),
            (3, r"class_axis is 3 for outputs of shape \(2, 4, 3\), must be 1 to 2, or -1"),
        ],
    )
    def test_what_is_no_axis(self, axis: Any, message: str) -> None:
        with pytest.raises(InputError, match=message):
            OutputReader("logits", axis).probabilities(self.scores)
