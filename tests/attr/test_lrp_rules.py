"""Deep Taylor's rule for a first layer with negative inputs: closed forms (Montavon et al., 2017), conservation."""

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d

from captum_gag.attr.catalogue import method
from captum_gag.errors import InputError
from captum_gag.models.cifar10 import Cifar10Net
from captum_gag.runs.spec import make_suite

NORMALIZATION = ((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
LOW, HIGH = (
    torch.tensor([(colour - mean) / std for mean, std in zip(*NORMALIZATION, strict=True)]).reshape(1, 3, 1, 1)
    for colour in (0.0, 1.0)
)


@pytest.fixture
def images():
    pixels = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(each).reshape(1, 3, 1, 1) for each in NORMALIZATION)
    return (pixels - mean) / std


def explained(net, inputs, target=0, **options):
    return method("Deep Taylor", **options).attribute(net.eval(), inputs, target, output="logits")


def test_one_dense_layer_by_hand():
    layer = nn.Linear(3, 2)
    layer.weight.data = torch.tensor([[1.0, -2.0, 0.5], [0.0, 1.0, 1.0]])
    layer.bias.data = torch.tensor([7.0, 0.0])
    x = torch.tensor([[-0.5, 0.25, 0.0]])
    # Every feature lies in [-1, 1]. z_i = x_i w_i - l w_i+ - h w_i-: -0.5 + 1, -0.5 + 2, 0 + 0.5, of the sum 2.5; the
    # bias counts in the output, -1 + 7, and gets nothing.
    expected = torch.tensor([[0.5, 1.5, 0.5]]) / 2.5 * 6
    box = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    torch.testing.assert_close(explained(nn.Sequential(layer), x, normalization=box), expected)


def test_a_convolution_is_the_formula_written_with_convolutions(images):
    torch.manual_seed(0)
    first, last = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.Linear(4 * 64, 2, bias=False)
    last.weight.data = last.weight.data.abs()
    net = nn.Sequential(first, nn.ReLU(), nn.Flatten(), last)
    hidden = first(images).relu()
    above = hidden * last.weight[0].reshape(1, 4, 8, 8)  # z+ in the dense layer, whose weights are positive
    w, up, down = (f(first.weight) for f in (lambda w: w, lambda w: w.clamp(min=0), lambda w: w.clamp(max=0)))
    low, high = LOW.expand_as(images), HIGH.expand_as(images)
    z = conv2d(images, w, padding=1) - conv2d(low, up, padding=1) - conv2d(high, down, padding=1)
    shares = (above / z).detach()
    back = [torch.nn.functional.conv_transpose2d(shares, each, padding=1) for each in (w, up, down)]
    expected = images * back[0] - low * back[1] - high * back[2]
    found = explained(net, images, normalization=NORMALIZATION)
    torch.testing.assert_close(found, expected.detach(), rtol=1e-4, atol=1e-5)
    assert bool((found >= -1e-6).all())


def trained_like():
    torch.manual_seed(0)
    net = Cifar10Net().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 2)
    return net.double()


def test_relevance_is_the_score_and_has_its_sign():
    net = trained_like()
    mean, std = (torch.tensor(each, dtype=torch.float64).reshape(1, 3, 1, 1) for each in NORMALIZATION)
    pixels = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    pixels[0, :, :4] = 0.5  # Black, white and grey alike get a share.
    inputs = (pixels - mean) / std
    found = explained(net, inputs, [1, 2, 3], normalization=NORMALIZATION)
    scores = net(inputs)[[0, 1, 2], [1, 2, 3]].detach()
    torch.testing.assert_close(found.sum((1, 2, 3)), scores, rtol=1e-4, atol=1e-6)
    assert bool((found * scores.sign()[:, None, None, None] >= -1e-9).all())


@pytest.mark.parametrize("front", [nn.Flatten(), nn.Sequential(nn.Identity(), nn.Dropout(), nn.Flatten())])
def test_what_stands_before_the_first_layer_hands_relevance_on_also_where_the_input_is_0(front):
    layer = nn.Linear(4, 1, bias=False)
    layer.weight.data = torch.tensor([[1.0, -1.0, 2.0, 0.0]])
    x = torch.tensor([[[[0.0, 0.0], [0.5, 1.0]]]])
    # In the box [-1, 1]: 0 + 1, 0 + 1, 1 + 2, 0; of the score 1.
    expected = torch.tensor([[[[1.0, 1.0], [3.0, 0.0]]]]) / 5
    torch.testing.assert_close(explained(nn.Sequential(front, layer), x, normalization=((0.5,), (0.5,))), expected)


def test_it_is_z_plus_where_nothing_is_negative_and_auto_takes_z_plus_for_pixels():
    torch.manual_seed(0)
    first = nn.Conv2d(3, 4, 3, bias=False)
    net = nn.Sequential(first, nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2, bias=False))
    pixels = torch.rand(2, 3, 8, 8)
    plus, box = (explained(net, pixels, input_rule=rule) for rule in ("z+", "z-box"))
    assert not torch.allclose(plus, box)
    torch.testing.assert_close(explained(net, pixels), plus, rtol=0, atol=0)
    first.weight.data = first.weight.data.abs()
    plus, box = (explained(net, pixels, input_rule=rule) for rule in ("z+", "z-box"))
    torch.testing.assert_close(plus, box)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "an input of the layer '0', whose z. rule is for inputs of at least 0"),
        ({"input_rule": "z+", "normalization": NORMALIZATION}, "whose z. rule is for inputs of at least 0"),
        ({"input_rule": "z-box"}, r"its z-box rule expects in \[0, 1\]"),
    ],
)
@pytest.mark.filterwarnings("ignore:The input reaches down")
def test_negative_inputs_are_refused_where_their_box_is_not_known(images, options, said):
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 2))
    with pytest.raises(InputError, match=said):
        explained(net, images, **options)


def test_an_input_that_is_changed_before_the_first_layer_is_refused(images):
    net = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    with pytest.raises(InputError, match=r"z-box rule needs an input that goes straight into .* goes into 0;"):
        explained(net, images, normalization=NORMALIZATION)


def test_a_run_tells_it_how_its_model_is_fed():
    methods = {"Deep Taylor": {}, "own": {"type": "Deep Taylor", "normalization": ((0.5,), (0.5,))}, "SG": {}}
    methods["reversed"] = {"of": "Deep Taylor", "transform": "reverse"}
    suite = make_suite({"methods": methods, "metrics": {"RCAP": {}}}, NORMALIZATION)
    assert suite.methods["Deep Taylor"].normalization == NORMALIZATION
    assert suite.methods["own"].normalization == ((0.5,), (0.5,))
    assert suite.methods["reversed"].of is suite.methods["Deep Taylor"]
