"""The papers' methods of Captum that need more than the options of a class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from captum.attr import LRP, DeepLift, DeepLiftShap, NoiseTunnel, Saliency
from torch import Tensor, nn

from captum_gag.attr.captum_calls import (
    as_input,
    captum_target,
    deep_lift,
    in_batches,
    mean_over_references,
    refusing_captums_errors,
    seeded,
)
from captum_gag.attr.captum_methods import captum_type
from captum_gag.attr.layers import eager
from captum_gag.attr.methods import Images, Method, named
from captum_gag.attr.references import fetched, reference_images
from captum_gag.baselines import Normalization, constant
from captum_gag.errors import InputError
from captum_gag.modules import with_folded_batch_norm
from captum_gag.options import declared, option

if TYPE_CHECKING:
    from captum_gag.attr.lrp_rules import Box


@named("Sensitivity")
@declared
class Sensitivity(Method):
    """Largest magnitude of the gradient over the channels."""

    built_from = "captum.attr.Saliency"

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Return magnitudes (N, 1, *positions); of tables (N, F)."""
        magnitudes = captum_type("Saliency")().explain(model, inputs, targets, seed)
        return magnitudes if inputs.ndim == 2 else magnitudes.amax(1, keepdim=True)


@named("SmoothGrad")
@declared
class CaptumSmoothGrad(Method):
    """Captum's NoiseTunnel around the gradient, with noise in proportion to each image's range."""

    built_from = "captum.attr.NoiseTunnel"

    n_samples: int = option(default=20, help="Noisy versions of each image.", ge=1)
    noise_level: float = option(
        default=0.15, help="Standard deviation of the noise, as a share of the image's range.", ge=0
    )
    nt_type: Literal["smoothgrad", "smoothgrad_sq", "vargrad"] = option(
        default="smoothgrad", help="What becomes of the gradients."
    )

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Explain an image at a time, because Captum's noise is the whole batch's."""
        found = []
        for image, label in zip(inputs, targets, strict=True):
            with seeded(inputs.device, seed), refusing_captums_errors("SmoothGrad", model, image.unsqueeze(0)):
                attributions = NoiseTunnel(in_batches(Saliency(model))).attribute(
                    image.unsqueeze(0),
                    nt_type=self.nt_type,
                    nt_samples=self.n_samples,
                    # Fixed, as Captum's noise depends on it; in_batches makes gradients fit into less memory.
                    nt_samples_batch_size=min(self.n_samples, 4),
                    stdevs=self.noise_level * float(image.max() - image.min()),
                    target=captum_target(label.unsqueeze(0)),
                    abs=False,
                )
            found.append(attributions)
        return torch.cat(found)


@named("DeepSHAP")
@declared
class DeepSHAP(Method):
    """DeepLIFT against several references, by default images of random colours."""

    built_from = "captum.attr.DeepLiftShap"

    references: float | str | Tensor = option(
        default="random", help='A number, "random" (colours), "train", or a folder of images.'
    )
    n_references: int = option(default=20, help="How many, where they are random or images.", ge=1)

    def prepare(self, images: Images) -> None:
        """Fetch the references, where they are images of a data set."""
        self._images = fetched(self.references, self.n_references, images)

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Explain an image at a time, as the random references are between its darkest and its brightest value."""
        known: Tensor | None = getattr(self, "_images", None)
        found = []
        for image, label in zip(inputs, targets, strict=True):
            references = reference_images(self.references, self.n_references, known, image, seed)

            def attribute(some: Tensor, image: Tensor = image, label: Tensor = label) -> Tensor:
                explainer = DeepLiftShap(model) if len(some) > 1 else DeepLift(model)
                given = as_input(explainer, image.unsqueeze(0))
                target = captum_target(label.unsqueeze(0))
                return deep_lift("DeepSHAP", explainer, given, baselines=some, target=target)

            with refusing_captums_errors("DeepSHAP", model, image.unsqueeze(0)):
                found.append(mean_over_references(attribute, references))
        return torch.cat(found)


@named("Deep Taylor")
@declared
class DeepTaylor(Method):
    """LRP with the z+ rule in every layer with weights, and with z-box in the first where inputs can be negative.

    For a network of ReLUs this is deep Taylor decomposition (Montavon et al., 2017). Batch normalisation is folded
    into the convolutions, in a copy of the model, because a rule of its own would break the decomposition; biases get
    no relevance. Max pooling hands all relevance to the winner.
    """

    built_from = "captum.attr.LRP"

    input_rule: Literal["auto", "z+", "z-box"] = option(
        default="auto",
        help="Of the first layer; auto takes z-box where the normalisation makes dark pixels negative, z+ elsewhere.",
    )
    normalization: Normalization | None = option(
        default=None,
        help="(mean, std) per channel of the inputs, for pixels in [0, 1], by which z-box knows where they lie; None "
        "for pixels as they are. A run knows its model's.",
    )

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Return relevances like the inputs.

        Raises:
            InputError: The model cannot be traced, has a layer for which Captum knows no rule, or a layer gets what its
                rule is not for.
        """
        # Captum has no public place for its rules: should a release move them, only Deep Taylor fails.
        from captum_gag.attr.lrp_rules import attach

        box = self._box(inputs)
        folded = with_folded_batch_norm(eager(model), "Deep Taylor")  # type: ignore[arg-type]
        # Captum takes the rules away again, but the copy is thrown away in any case.
        attach(folded, box)  # type: ignore[arg-type]
        with refusing_captums_errors(
            "Deep Taylor has no rule for a layer of this model, or cannot use one", folded, inputs
        ):
            relevance: Tensor = LRP(folded).attribute(as_input(None, inputs), target=captum_target(targets)).detach()
        return relevance

    def _box(self, inputs: Tensor) -> Box | None:
        """Return black and white as the inputs have them, like the inputs; None where the first rule is z+.

        Raises:
            InputError: The inputs do not lie between them.
        """
        from captum_gag.attr.lrp_rules import Box

        if self.input_rule == "z+" or (self.input_rule == "auto" and self.normalization is None):
            return None
        low, high = (constant(value, self.normalization)(inputs).to(inputs.dtype) for value in (0.0, 1.0))
        if self.input_rule == "auto" and bool((low >= 0).all()):
            return None
        # Half precision rounds colours beyond black and white.
        slack = 0.01 * (high - low)
        if bool(((inputs < low - slack) | (inputs > high + slack)).any()):
            raise InputError(
                f"Deep Taylor got inputs in [{float(inputs.min()):.3g}, {float(inputs.max()):.3g}], which its z-box "
                f"rule expects in [{float(low.min()):.3g}, {float(high.max()):.3g}], from black to white; say how the "
                "images were normalised: normalization=(mean, std)"
            )
        return Box(torch.minimum(low, inputs), torch.maximum(high, inputs))
