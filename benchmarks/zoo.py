"""The classifiers that compatibility is tried on, small and with random weights, and what torch wraps them in."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from captum_gag.outputs import tensor_of

CLASSES = 10
TORCHVISION = [
    "alexnet",
    "vgg11",
    "vgg11_bn",
    "resnet18",
    "resnext50_32x4d",
    "wide_resnet50_2",
    "densenet121",
    "squeezenet1_1",
    "googlenet",
    "inception_v3",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "shufflenet_v2_x0_5",
    "mnasnet0_5",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "regnet_x_400mf",
    "regnet_y_400mf",
    "convnext_tiny",
    "vit_b_16",
    "swin_t",
    "swin_v2_t",
    "maxvit_t",
]
TIMM = [
    "resnetv2_50",
    "efficientnet_lite0",
    "mobilenetv4_conv_small",
    "ghostnet_100",
    "convnextv2_atto",
    "vit_tiny_patch16_224",
    "deit_tiny_distilled_patch16_224",
    "swin_tiny_patch4_window7_224",
    "mixer_s16_224",
    "poolformer_s12",
]
TRANSFORMERS = ["ViT", "Swin", "ResNet"]
SIZES = {"inception_v3": 107}
OPTIONS: dict[str, dict[str, Any]] = {
    "googlenet": {"init_weights": False},
    "inception_v3": {"init_weights": False},
    "vit_tiny_patch16_224": {"img_size": 64},
    "deit_tiny_distilled_patch16_224": {"img_size": 64},
    "swin_tiny_patch4_window7_224": {"img_size": 64, "window_size": 2},
    "mixer_s16_224": {"img_size": 64},
}


def build(library: str, name: str) -> nn.Module:
    """Return a classifier of 10 classes in evaluation mode, with random weights."""
    torch.manual_seed(0)
    model = unchecked(library, name)
    for each in model.parameters():
        # Several families begin with a last layer of zeros, with which no input has an effect.
        if each.ndim > 1 and not each.any():
            nn.init.normal_(each, std=0.02)
    calibrate(model.eval(), SIZES.get(name, 64))
    return model


@torch.no_grad()
def calibrate(model: nn.Module, size: int) -> None:
    """Let the batch normalisations take their statistics from noise, or the signals of deep networks vanish."""
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    model(2 * torch.rand(32, 3, size, size) - 1 + 0.3 * torch.randn(32, 3, size, size))
    for norm in norms:
        norm.momentum = 0.1
        norm.eval()


def unchecked(library: str, name: str) -> nn.Module:
    options = OPTIONS.get(name, {})
    if library == "timm":
        import timm

        return timm.create_model(name, num_classes=CLASSES, **options)
    if library == "transformers":
        import transformers as hf

        blocks = {"image_size": 64, "num_labels": CLASSES}
        small = {
            "ViT": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64},
            "Swin": {"embed_dim": 16, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4},
            "ResNet": {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1]},
        }[name]
        config = getattr(hf, f"{name}Config")(**small, **({} if name == "ResNet" else blocks))
        config.num_labels = CLASSES
        return getattr(hf, f"{name}ForImageClassification")(config)
    import torchvision

    if name == "vit_b_16":
        return torchvision.models.VisionTransformer(64, 16, 3, 4, 64, 128, num_classes=CLASSES)
    if name == "maxvit_t":  # The one that torchvision builds takes nothing but 224 x 224.
        stages = {"block_channels": [32, 64], "block_layers": [1, 1], "head_dim": 16, "stochastic_depth_prob": 0.0}
        return torchvision.models.MaxVit((64, 64), 32, 4, **stages, num_classes=CLASSES)
    model = torchvision.models.get_model(name, weights=None, num_classes=CLASSES, **options)
    if name.startswith(("alexnet", "vgg")):  # A hundred million weights in layers like any other.
        first, second, last = (index for index, layer in enumerate(model.classifier) if isinstance(layer, nn.Linear))
        model.classifier[first] = nn.Linear(model.classifier[first].in_features, 64)
        model.classifier[second], model.classifier[last] = nn.Linear(64, 64), nn.Linear(64, CLASSES)
    return model


# A wrapper takes the model and images, and returns what is explained.
def exported(model: nn.Module, images: Tensor) -> nn.Module:
    batch = torch.export.Dim("batch", min=1, max=64)
    return torch.export.export(model, (images,), dynamic_shapes=({0: batch},)).module()


def normed(model: nn.Module, images: Tensor) -> nn.Module:
    """Return a copy whose first layer has its weight in another parametrization, of the same value."""
    wrapped = copy.deepcopy(model)
    first = next(module for module in wrapped.modules() if isinstance(module, nn.Conv2d | nn.Linear))
    nn.utils.parametrizations.weight_norm(first)
    return wrapped


def functional(model: nn.Module, images: Tensor) -> Callable[[Tensor], Tensor]:
    parameters = {name: each.detach() for name, each in model.state_dict().items()}
    return lambda x: tensor_of(torch.func.functional_call(model, parameters, (x,)))


def quantised(model: nn.Module, images: Tensor) -> nn.Module:
    if not any(isinstance(module, nn.Linear) for module in model.modules()):
        raise ValueError("nothing to quantise")
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear})


WRAPPERS: dict[str, Callable[[nn.Module, Tensor], Any]] = {
    "DataParallel": lambda model, images: nn.DataParallel(model),
    "compile": lambda model, images: torch.compile(model, backend="eager"),
    "jit.trace": lambda model, images: torch.jit.trace(model, images, check_trace=False, strict=False),
    "jit.script": lambda model, images: torch.jit.script(model),
    "fx": lambda model, images: torch.fx.symbolic_trace(model),
    "Sequential": lambda model, images: nn.Sequential(model),
    "deepcopy": lambda model, images: copy.deepcopy(model),
    "partial": lambda model, images: partial(lambda scale, x: tensor_of(model(x)), 1),
    "method": lambda model, images: type("Bound", (), {"score": lambda self, x: tensor_of(model(x))})().score,
    "export": exported,
    "functional_call": functional,
    "weight_norm": normed,
    "quantised": quantised,
}
