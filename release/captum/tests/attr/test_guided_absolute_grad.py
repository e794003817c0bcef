#!/usr/bin/env python3

# pyre-unsafe

import numpy as np
import torch
from captum.attr import GuidedAbsoluteGrad, Saliency
from captum.testing.helpers import BaseTest
from captum.testing.helpers.basic import assertTensorAlmostEqual
from captum.testing.helpers.basic_models import (
    BasicModel_ConvNet,
    BasicModel_MultiLayer,
    BasicModel_MultiLayer_MultiInput,
)
from torch import Tensor


def noisy_gradients(forward, input: Tensor, n: int, target: int, seed: int) -> Tensor:
    """
    The gradients at the points that GuidedAbsoluteGrad draws after the same seed.
    """
    torch.manual_seed(seed)
    flat = input.flatten(1)
    scale = 0.15 * (flat.amax(1) - flat.amin(1))
    scale = scale.reshape(-1, *[1] * (input.dim() - 1)).repeat_interleave(n, 0)
    points = input.repeat_interleave(n, 0)
    points = (points + scale * torch.randn_like(points)).requires_grad_()
    (gradients,) = torch.autograd.grad(forward(points)[:, target].sum(), points)
    return gradients.unflatten(0, (-1, n))


class Test(BaseTest):
    def test_paper_equations(self) -> None:
        model = BasicModel_ConvNet().eval()
        input = torch.arange(1.0, 201.0).view(2, 1, 10, 10).sin()
        gradients = noisy_gradients(model, input, 12, 1, seed=3).numpy()
        variance = gradients.var(1, ddof=1)
        threshold = np.percentile(variance, 70, axis=(2, 3), keepdims=True)
        guide = np.where(variance >= threshold, 1, variance)
        expected = np.abs(gradients).mean(1) * guide
        torch.manual_seed(3)
        found = GuidedAbsoluteGrad(model).attribute(
            input, target=1, nt_samples=12, percentile=70
        )
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-7)

    def test_percentile_zero_is_the_mean_magnitude(self) -> None:
        model = BasicModel_MultiLayer()
        input = torch.tensor([[1.0, 2.0, 3.0], [0.5, -1.0, 2.0]])
        gradients = noisy_gradients(model, input, 6, 0, seed=1)
        torch.manual_seed(1)
        found = GuidedAbsoluteGrad(model).attribute(
            input, target=0, nt_samples=6, percentile=0
        )
        assertTensorAlmostEqual(self, found, gradients.abs().mean(1), delta=1e-5)

    def test_without_noise_only_ties_are_kept(self) -> None:
        # No variance anywhere: all of it reaches its percentile.
        model = BasicModel_MultiLayer()
        input = torch.tensor([[1.0, 2.0, 3.0]])
        found = GuidedAbsoluteGrad(model).attribute(input, target=1, stdevs=0.0)
        expected = Saliency(model).attribute(input.requires_grad_(), target=1)
        assertTensorAlmostEqual(self, found, expected, delta=1e-5)

    def test_batches_of_samples_change_nothing_without_noise(self) -> None:
        model = BasicModel_ConvNet().eval()
        input = torch.randn(3, 1, 10, 10)
        gag = GuidedAbsoluteGrad(model)
        whole, parts = (
            gag.attribute(
                input,
                target=[0, 1, 1],
                stdevs=0.0,
                nt_samples=5,
                nt_samples_batch_size=size,
            )
            for size in (None, 2)
        )
        assertTensorAlmostEqual(self, whole, parts, delta=1e-5, mode="max")

    def test_tuple_of_inputs_and_additional_arguments(self) -> None:
        model = BasicModel_MultiLayer_MultiInput()
        inputs = tuple(torch.randn(4, 3) for _ in range(3))
        found = GuidedAbsoluteGrad(model).attribute(
            inputs, target=1, additional_forward_args=(2,), stdevs=(0.1, 0.2, 0.0)
        )
        self.assertEqual([each.shape for each in found], [(4, 3)] * 3)
        self.assertTrue(all((each >= 0).all() for each in found))

    def test_inputs_keep_their_gradient_state(self) -> None:
        model = BasicModel_MultiLayer()
        for asked in (False, True):
            input = torch.randn(2, 3, requires_grad=asked)
            found = GuidedAbsoluteGrad(model).attribute(input, target=0)
            self.assertEqual(input.requires_grad, asked)
            self.assertIsNone(input.grad)
            self.assertFalse(found.requires_grad)

    def test_a_single_sample_has_no_variance(self) -> None:
        with self.assertRaises(AssertionError):
            GuidedAbsoluteGrad(BasicModel_MultiLayer()).attribute(
                torch.randn(2, 3), target=0, nt_samples=1
            )
