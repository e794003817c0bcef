import pytest
import torch
from captum.attr import InputXGradient, Saliency
from torch import nn

from captum_gag.attr.catalogue import method
from captum_gag.models.cifar10 import Cifar10Net


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    net = Cifar10Net().eval()
    # Statistics as after some training: the folded biases are then not 0.
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 2)
            module.bias.data.uniform_(-0.2, 0.2)
    return net


@pytest.fixture
def images():
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_sensitivity_is_the_largest_magnitude_over_channels(model, images):
    gradients = Saliency(model).attribute(images.clone().requires_grad_(), target=[1, 2], abs=True)
    found = method("Sensitivity").attribute(model, images, [1, 2])
    assert found.shape == (2, 1, 32, 32)
    assert torch.equal(found[:, 0], gradients.max(1).values)


def test_gradient_x_input_is_captums(model, images):
    expected = InputXGradient(model).attribute(images.clone().requires_grad_(), target=3)
    assert torch.equal(method("Gradient x Input").attribute(model, images, 3), expected)


def test_deep_taylor_of_one_linear_layer_by_hand():
    layer = nn.Linear(4, 2, bias=False)
    layer.weight.data = torch.tensor([[1.0, -2.0, 3.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    net = nn.Sequential(nn.Flatten(), layer).eval()
    x = torch.tensor([[[[1.0, 1.0], [0.5, 2.0]]]])
    # R_j = x_j w_j+ / sum_k x_k w_k+ times the output 1 - 2 + 1.5 = 0.5
    expected = torch.tensor([[[[1 / 2.5, 0.0], [1.5 / 2.5, 0.0]]]]) * 0.5
    torch.testing.assert_close(method("Deep Taylor").attribute(net, x, 0), expected)


def test_deep_taylor_keeps_the_score_and_has_one_sign(model, images):
    found = method("Deep Taylor").attribute(model.double(), images.double(), [1, 2])
    scores = model(images.double())[[0, 1], [1, 2]]
    model.float()
    torch.testing.assert_close(found.sum((1, 2, 3)), scores.detach(), rtol=1e-4, atol=1e-6)
    assert (found * scores.sign()[:, None, None, None] >= 0).all()


def test_deep_taylor_leaves_the_model_alone_and_refuses_what_it_cannot_explain(model, images):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    method("Deep Taylor").attribute(model, images, 0)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(hasattr(module, "rule") for module in model.modules())
    with pytest.raises(ValueError, match="Deep Taylor has no rule for a layer"):
        method("Deep Taylor").attribute(nn.Sequential(nn.Conv2d(3, 2, 1), nn.SiLU(), nn.Flatten()).eval(), images, 0)


def test_deep_shap_sums_to_the_difference_from_its_references_and_repeats(model, images):
    first = method("DeepSHAP").attribute(model, images, [1, 2], n_samples=5, seed=3)
    assert torch.equal(first, method("DeepSHAP").attribute(model, images, [1, 2], n_samples=5, seed=3))
    noise = torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    for row, target in enumerate([1, 2]):
        lowest, highest = images[row].min(), images[row].max()
        with torch.no_grad():
            references = model(lowest + noise * (highest - lowest))[:, target].mean()
            difference = model(images[[row]])[0, target] - references
        assert first[row].sum().item() == pytest.approx(difference.item(), rel=2e-2, abs=2e-3)


def test_random_orderings_have_seeds_of_their_own(model, images):
    a, b = (method(f"Random:{seed}").attribute(model, images, 0) for seed in (1, 2))
    assert not torch.equal(a, b)
    assert torch.equal(a, method("Random").attribute(model, images, 0, seed=1))
    assert torch.equal(a, method("random:01").attribute(model, images, 0, seed=99))


def test_made_over_maps(model, images):
    original = method("Sobel")
    base = original.attribute(model, images, 0)[:, 0]
    base = (base - base.amin((1, 2), True)) / (base.amax((1, 2), True) - base.amin((1, 2), True))
    sharp = method("Sobel^sharp").attribute(model, images, 0)[:, 0]
    assert torch.equal(sharp.flatten(1).argsort(stable=True), base.flatten(1).argsort(stable=True))
    binary = method("Sobel^binary").attribute(model, images, 0)[:, 0]
    assert binary.sum((1, 2)).tolist() == [102, 102]
    assert (base[binary == 1].min() >= base[binary == 0].min()).all()
    pixel = method("Sobel^pixel").attribute(model, images, 0)[:, 0]
    assert pixel.sum((1, 2)).tolist() == [1, 1]
    assert (base[pixel == 1] == 1).all()
    assert method("sobel^SHARP").original == original
