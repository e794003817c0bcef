"""Grad-CAM: Captum's on feature maps, by hand on tokens and channels last, refused where there is no map."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatch
from typing import Any

import pytest
import torch
from captum.attr import LayerActivation, LayerGradCam
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d, unfold
from torchvision import models

from captum_gag.attr.catalogue import method
from captum_gag.attr.feature_grids import Activations
from captum_gag.attr.grad_cam import GradCAM, last_layer
from captum_gag.batching import smaller_batches
from captum_gag.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")

TARGET = [1, 2]


def images_of(size: int | tuple[int, ...]) -> Tensor:
    sizes = (size, size) if isinstance(size, int) else size
    return torch.rand(2, 3, *sizes, generator=torch.Generator().manual_seed(1))


def with_every_weight_random(model: nn.Module) -> nn.Module:
    """Some heads start at 0, which no map survives."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if not parameter.detach().any():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1
    return model.eval()


def by_hand(model: nn.Module, layer: nn.Module, images: Tensor, read: Callable[[Tensor], Tensor]) -> Tensor:
    """Return Grad-CAM of what is read (N, C, h, w) from a layer's output."""
    outputs: list[Tensor] = []
    handle = layer.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    scores = model(images)
    handle.remove()
    scores = getattr(scores, "logits", scores)
    [gradient] = torch.autograd.grad(scores[[0, 1], TARGET].sum(), outputs[0])
    feature_map, weights = read(outputs[0]).detach(), read(gradient).mean((2, 3), keepdim=True)
    cam = (feature_map * weights).sum(1, keepdim=True).relu()
    return interpolate(cam, size=images.shape[2:], mode="bilinear", align_corners=False)


def tokens(prefix: int, height: int, width: int) -> Callable[[Tensor], Tensor]:
    return lambda found: found[:, prefix:].transpose(1, 2).reshape(len(found), -1, height, width)


def channels_last(found: Tensor) -> Tensor:
    return found.permute(0, 3, 1, 2)


def torchvision_vit() -> nn.Module:
    return models.VisionTransformer(32, 8, 2, 2, 24, 48, num_classes=5)


def torchvision_swin(block: Any = None) -> nn.Module:
    given = {} if block is None else {"block": block, "downsample_layer": models.swin_transformer.PatchMergingV2}
    return models.SwinTransformer([4, 4], 12, [1, 2], [2, 2], [4, 4], num_classes=5, **given)


def maxvit() -> nn.Module:
    return models.MaxVit((64, 64), 8, 4, [8, 8], [1, 1], 4, 0.0, num_classes=5)


def timm(name: str, **options: Any) -> nn.Module:
    return pytest.importorskip("timm").create_model(name, num_classes=5, **options)


def timm_vit(name: str = "vit_tiny_patch16_224", size: Any = 32, **options: Any) -> nn.Module:
    return timm(name, img_size=size, patch_size=8, embed_dim=24, depth=2, num_heads=2, **options)


def hugging_face(kind: str, **options: Any) -> nn.Module:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    given = (
        {**sizes, "image_size": 32, "patch_size": 8, "num_labels": 5} if not options else {**options, "num_labels": 5}
    )
    return getattr(transformers, f"{kind}ForImageClassification")(getattr(transformers, f"{kind}Config")(**given))


def hugging_face_swin() -> nn.Module:
    sizes = {"image_size": 64, "patch_size": 4, "embed_dim": 16, "window_size": 4}
    return hugging_face("Swin", **sizes, depths=[1, 2], num_heads=[2, 2])


def hugging_face_convnext() -> nn.Module:
    return hugging_face("ConvNext", hidden_sizes=[8, 16], depths=[1, 1], num_stages=2)


TRANSFORMERS: dict[str, tuple[Callable[[], nn.Module], Any, str, Callable[[Tensor], Tensor]]] = {
    "torchvision ViT": (torchvision_vit, 32, "encoder.layers.encoder_layer_1.ln_1", tokens(1, 4, 4)),
    "torchvision Swin": (torchvision_swin, 64, "norm", channels_last),
    "torchvision Swin 2": (
        lambda: torchvision_swin(models.swin_transformer.SwinTransformerBlockV2),
        64,
        "norm",
        channels_last,
    ),
    "torchvision MaxViT": (maxvit, 64, "blocks.1", lambda found: found),
    "timm ViT": (timm_vit, 32, "blocks.1.norm1", tokens(1, 4, 4)),
    "timm ViT, not square": (lambda: timm_vit(size=(32, 48)), (32, 48), "blocks.1.norm1", tokens(1, 4, 6)),
    "timm ViT, averaging": (lambda: timm_vit(global_pool="avg", class_token=False), 32, "blocks", tokens(0, 4, 4)),
    "timm ViT, registers": (lambda: timm_vit(reg_tokens=3), 32, "blocks.1.norm1", tokens(4, 4, 4)),
    "timm DeiT": (lambda: timm_vit("deit_tiny_distilled_patch16_224"), 32, "blocks.1.norm1", tokens(2, 4, 4)),
    "timm BEiT": (lambda: timm_vit("beit_base_patch16_224"), 32, "blocks.1", tokens(1, 4, 4)),
    "timm Swin": (
        lambda: timm(
            "swin_tiny_patch4_window7_224", img_size=64, window_size=4, embed_dim=12, depths=(1, 2), num_heads=(2, 2)
        ),
        64,
        "norm",
        channels_last,
    ),
    "Hugging Face ViT": (lambda: hugging_face("ViT"), 32, "vit.*layer*.1.layernorm_before", tokens(1, 4, 4)),
    "Hugging Face DeiT": (lambda: hugging_face("DeiT"), 32, "deit.*layer*.1.layernorm_before", tokens(2, 4, 4)),
    "Hugging Face BEiT": (lambda: hugging_face("Beit"), 32, "beit.*layer*.1*", tokens(1, 4, 4)),
    "Hugging Face Swin": (hugging_face_swin, 64, "swin.layernorm", tokens(0, 8, 8)),
    "Hugging Face ConvNeXt": (hugging_face_convnext, 64, "convnext.encoder.stages.1", lambda found: found),
}


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformers_are_explained_by_a_map_made_by_hand(name: str) -> None:
    build, size, layer, read = TRANSFORMERS[name]
    torch.manual_seed(0)
    model, images = with_every_weight_random(build()), images_of(size)
    found = last_layer(Activations(model, images[:1]))
    # Swin's last feature map is its last normalisation, turned; releases of transformers differ in names between.
    known = found.name if "*" in layer else layer
    assert fnmatch(found.name, layer) or (found.name, layer) == ("permute", "norm")
    expected = by_hand(model, model.get_submodule(known), images, read)
    assert bool((expected.flatten(1).amax(1) > 0).any())
    torch.testing.assert_close(method("Grad-CAM").attribute(model, images, TARGET), expected)
    torch.testing.assert_close(method(f"Grad-CAM:{known}").attribute(model, images, TARGET), expected)
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("name", "layer"),
    [("resnet18", "layer4"), ("densenet121", "features"), ("mobilenet_v3_small", "features"), ("squeezenet1_1", None)],
)
def test_convolutional_networks_are_captums(name: str, layer: str | None) -> None:
    torch.manual_seed(0)
    model, images = models.get_model(name, num_classes=5).eval(), images_of(64)
    module = model.get_submodule(layer) if layer else last_layer(Activations(model, images[:1])).module
    cam = LayerGradCam(model, module).attribute(images.requires_grad_(), target=TARGET, relu_attributions=True)
    expected = interpolate(cam, size=(64, 64), mode="bilinear", align_corners=False).detach()
    torch.testing.assert_close(method("Grad-CAM").attribute(model, images, TARGET), expected)


@pytest.mark.parametrize(("axes", "mode"), [(1, "linear"), (3, "trilinear")])
def test_signals_and_volumes_are_captums_interpolated_linearly(axes: int, mode: str) -> None:
    convolution, pooling = {1: (nn.Conv1d, nn.MaxPool1d), 3: (nn.Conv3d, nn.MaxPool3d)}[axes]
    torch.manual_seed(0)
    features = nn.Sequential(convolution(3, 4, 3), nn.ReLU(), pooling(2))
    model = nn.Sequential(features, nn.Flatten(), nn.Linear(4 * 3**axes, 5)).eval()
    images = images_of((8,) * axes)
    cam = LayerGradCam(model, features).attribute(images, target=TARGET, relu_attributions=True).detach()
    expected = interpolate(cam, size=(8,) * axes, mode=mode, align_corners=False)
    found = method("Grad-CAM").attribute(model, images, TARGET)
    assert found.shape == (2, 1, *(8,) * axes)
    torch.testing.assert_close(found, expected)


class Patches(nn.Module):
    """The evidence is how red each patch of 4 x 4 is; channels last, as many as there are rows and columns."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 6, 4, stride=4, bias=False)
        self.embed.weight.data = torch.zeros_like(self.embed.weight)
        self.embed.weight.data[0, 0] = 1
        self.scale = nn.Identity()
        self.gain = nn.Tanh()
        self.head = nn.Linear(6, 3)
        self.head.weight.data = torch.eye(3, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.gain(self.embed(x).permute(0, 2, 3, 1) * 1.0).mean((1, 2)))  # type: ignore[no-any-return]


def test_channels_that_nothing_shows_are_asked_for() -> None:
    model, red = Patches().eval(), torch.zeros(1, 3, 24, 24)
    red[0, 0, 4:8, 16:20] = 1
    with pytest.raises(InputError, match=r"'gain' gives \(N, 6, 6, 6\), and nothing shows .* fit: embed"):
        method("Grad-CAM:gain").attribute(model, red, 0)
    right = method("Grad-CAM", layer="gain", channel_axis=-1).attribute(model, red, 0)[0, 0]
    peak = int(right.argmax())
    assert 4 <= peak // 24 < 8
    assert 16 <= peak % 24 < 20
    torch.testing.assert_close(
        right / right.max(), (cam := method("Grad-CAM").attribute(model, red, 0)[0, 0]) / cam.max()
    )


class Unfolded(nn.Module):
    """Patches of 8 x 8 by a linear layer: no module says how many there are along each axis."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(192, 6), nn.Tanh())
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embed(unfold(x, 8, stride=8).transpose(1, 2)).mean(1))  # type: ignore[no-any-return]


def test_patches_of_a_model_without_feature_maps_are_in_proportion_to_the_image() -> None:
    torch.manual_seed(0)
    model, images = Unfolded().eval(), images_of((16, 32))
    expected = by_hand(model, model.embed, images, tokens(0, 2, 4))
    assert bool((expected.flatten(1).amax(1) > 0).all())
    torch.testing.assert_close(method("Grad-CAM:embed").attribute(model, images, TARGET), expected)


class WithTable(nn.Module):
    """A table's rows, and a number for all, say how much each feature map counts."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.head = convolutional()[:2], nn.Linear(5, 4)

    def forward(self, x: Tensor, table: Tensor, gain: float) -> Tensor:
        return self.head(self.features(x).mean((2, 3)) * table * gain)  # type: ignore[no-any-return]


class OfOne(nn.Module):
    def __init__(self, model: nn.Module, *arguments: Any) -> None:
        super().__init__()
        self.model, self.arguments = model, arguments

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x, *self.arguments)  # type: ignore[no-any-return]


@pytest.mark.parametrize("layer", [None, "features.0"])
@pytest.mark.parametrize("share", [1.0, 1e-9])
def test_additional_arguments_go_with_their_images(layer: str | None, share: float) -> None:
    torch.manual_seed(0)
    model, images, table = WithTable().eval(), images_of(16), torch.rand(2, 5)
    expected = torch.cat(
        [
            GradCAM(OfOne(model, row, 0.5)).attribute(image[None], label, layer=layer and f"model.{layer}")
            for image, row, label in zip(images, table, TARGET, strict=True)
        ]
    )
    assert bool((expected.flatten(1).amax(1) > 0).all())
    with smaller_batches(share):
        attributions = GradCAM(model).attribute(images, TARGET, (table, 0.5), layer=layer)
    torch.testing.assert_close(attributions, expected)


class Merging(nn.Module):
    """9 x 9 patches, of which each 2 x 2 are merged: what is over is left out, as a pooling does."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 6, 4, stride=4)
        self.mix = nn.Sequential(nn.Linear(6, 6), nn.Tanh())
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        merged = max_pool2d(self.embed(x), 2)
        return self.head(self.mix(merged.flatten(2).transpose(1, 2)).mean(1))  # type: ignore[no-any-return]


def test_merged_patches_are_half_as_many_along_each_axis() -> None:
    torch.manual_seed(0)
    model, images = Merging().eval(), images_of(36)
    expected = by_hand(model, model.mix, images, tokens(0, 4, 4))
    assert bool((expected.flatten(1).amax(1) > 0).any())
    torch.testing.assert_close(method("Grad-CAM:mix").attribute(model, images, TARGET), expected)


@pytest.mark.parametrize("layer", ["features.3.0.attn.relative_position_bias_table", "features.0.0.bias"])
def test_what_is_no_module_is_no_layer(layer: str) -> None:
    with pytest.raises(InputError, match="no layer"):
        method(f"Grad-CAM:{layer}").attribute(torchvision_swin().eval(), images_of(64), TARGET)


@pytest.mark.parametrize(
    ("build", "size", "layer", "message"),
    [
        (
            lambda: timm_vit(qk_norm=True),
            32,
            "blocks.1.attn.q_norm",
            r"\(N, 2, 17, 12\), which is no map of .* \(32, 32\)",
        ),
        (timm_vit, 32, "blocks.1.attn.q_norm", r"nothing shows which axis .*layers that fit: blocks\.1\.norm1"),
        (hugging_face_swin, 64, "swin.pooler", r"\(N, 32, 1\), which is no map"),
        (torchvision_vit, 32, "encoder.layers.encoder_layer_1.self_attention.out_proj", "runs once in a pass"),
        (lambda: models.resnet18(num_classes=5), 64, "layer4.1.relu", "runs once .* fit: layer4, "),
        (lambda: models.resnet18(num_classes=5), 64, "fc", r"gives \(N, C, \.\.\.\); 'fc' is none"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), 8, "0", "this model has no layer that fit"),
    ],
)
def test_layers_that_are_no_map_are_refused(
    build: Callable[[], nn.Module], size: int, layer: str, message: str
) -> None:
    model = with_every_weight_random(build())
    with pytest.raises(InputError, match=message):
        method(f"Grad-CAM:{layer}").attribute(model, images_of(size), TARGET)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_inputs_and_options_without_meaning_are_refused() -> None:
    with pytest.raises(InputError, match=r"Grad-CAM got inputs \(2, 12\), expected \(N, C, T\)"):
        method("Grad-CAM").attribute(nn.Linear(12, 3), torch.rand(2, 12), TARGET)
    with pytest.raises(InputError, match="finds no feature map in this model, nor tokens that form a grid"):
        method("Grad-CAM").attribute(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), torch.rand(2, 3, 8, 8), TARGET)
    with pytest.raises(InputError, match="channel_axis has no effect without layer"):
        method("Grad-CAM", channel_axis=1)
    with pytest.raises(InputError, match="channel_axis is 2, expected"):
        method("Grad-CAM", layer="x", channel_axis=2)


def convolutional() -> nn.Sequential:
    torch.manual_seed(0)
    first, second = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), nn.Sequential(nn.Conv2d(4, 5, 3), nn.ReLU())
    return nn.Sequential(first, second, nn.Flatten(), nn.Linear(5 * 144, 4)).eval()


@pytest.mark.parametrize("wrap", ["compiled", "data parallel", "scripted block"])
def test_what_wraps_a_model_changes_nothing(wrap: str) -> None:
    model, images = convolutional(), images_of(16)
    expected = method("Grad-CAM").attribute(model, images, TARGET)
    wrapped: Any = model
    if wrap == "compiled":
        if not hasattr(torch.compiler, "set_stance"):
            pytest.skip("this torch cannot run a compiled model's own modules")
        wrapped = torch.compile(model, backend="eager")
        wrapped(images)
    elif wrap == "data parallel":
        wrapped = nn.DataParallel(model)
    else:
        wrapped[0] = torch.jit.script(model[0])
    torch.testing.assert_close(method("Grad-CAM").attribute(wrapped, images, TARGET), expected)
    torch.testing.assert_close(method("Grad-CAM:1").attribute(wrapped, images, TARGET), expected)
    assert not any(module._forward_hooks for module in model[1:].modules())


def test_no_hook_outlives_a_failure() -> None:
    class Failing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("too dark")

    model = nn.Sequential(*convolutional(), Failing())
    with pytest.raises(RuntimeError, match="too dark"):
        method("Grad-CAM").attribute(model, images_of(16), TARGET)
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("layer", ["norm", "features.3.1.norm1", "features.3"])
def test_captums_layer_classes_read_channels_last_too(layer: str) -> None:
    torch.manual_seed(0)
    model, images = with_every_weight_random(torchvision_swin()), images_of(64)
    module = model.get_submodule(layer)
    found = method("captum:LayerGradCam", layer=layer).attribute(model, images, TARGET)
    signed = by_hand(model, module, images, channels_last)
    torch.testing.assert_close(method(f"Grad-CAM:{layer}").attribute(model, images, TARGET), signed)
    assert float(torch.corrcoef(torch.stack([found.relu().flatten(), signed.flatten()]))[0, 1]) > 0.9
    activation = LayerActivation(model, module).attribute(images).permute(0, 3, 1, 2).sum(1, keepdim=True).detach()
    expected = interpolate(activation, size=(64, 64), mode="bilinear", align_corners=False)
    found = method("captum:LayerActivation", layer=layer).attribute(model, images, TARGET)
    torch.testing.assert_close(found, expected)


def test_captums_layer_classes_refuse_what_is_no_map() -> None:
    model = with_every_weight_random(timm_vit())
    with pytest.raises(InputError, match=r"nothing shows which axis .*layers that fit: blocks\.1\.norm1"):
        method("captum:LayerGradCam", layer="blocks.1.attn.k_norm").attribute(model, images_of(32), TARGET)


def test_the_scores_of_a_segmentation_are_not_their_own_explanation() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 1)).eval()
    images, places = images_of(16), [(1, 2, 2), (3, 6, 6)]
    assert last_layer(Activations(model, images[:1])).name == "1"
    cam = LayerGradCam(model, model[1]).attribute(images.requires_grad_(), target=places, relu_attributions=True)
    expected = interpolate(cam, size=(16, 16), mode="bilinear", align_corners=False).detach()
    torch.testing.assert_close(method("Grad-CAM").attribute(model, images.detach(), places), expected)
