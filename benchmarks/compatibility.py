"""What works with which family of classifiers, in which wrapper, number format and gradient mode; a page of docs.

    python benchmarks/compatibility.py --out docs/compatibility.md [--families resnet18,vit_b_16] [--workers 2]

Networks have random weights, 10 classes and images as small as they take. Each family runs in a process of its own.
"""

from __future__ import annotations

import argparse
import copy
import multiprocessing
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from compatibility_page import faults, page
from torch import Tensor, nn
from zoo import CLASSES, SIZES, TIMM, TORCHVISION, TRANSFORMERS, WRAPPERS, build

from captum_gag import method
from captum_gag.attr import GuidedAbsoluteGrad
from captum_gag.attr.grad_cam import last_layer
from captum_gag.errors import InputError
from captum_gag.metrics import deletion, rcap
from captum_gag.outputs import tensor_of

SAMPLES = 3
# Said, because the small outputs of random weights could be anything.
OUTPUT = "logits"
TOLERANCE = 1e-3
"""Sum of the differences over the sum of the magnitudes that two attributions may have and still count as equal."""

TYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
MODES = {
    "no_grad": (torch.no_grad, Tensor.clone),
    "inference_mode": (torch.inference_mode, Tensor.clone),
    "inputs require grad": (nullcontext, lambda x: x.clone().requires_grad_()),
    "inputs with a graph": (nullcontext, lambda x: x.clone().requires_grad_() * 1),
}
METHODS: dict[str, dict[str, Any]] = {
    "GAG-85": {"n_samples": SAMPLES},
    "IG": {"n_samples": SAMPLES},
    "GB": {},
    "Grad-CAM": {},
    "captum:DeepLift": {},
    "captum:LRP": {},
    "Deep Taylor": {},
}


def attributed(model: Any, images: Tensor, targets: Tensor) -> Tensor:
    """Return GAG-85 of a module, through the door of all methods, or of any callable, as Captum's users call it."""
    if isinstance(model, nn.Module):
        return method("GAG-85", n_samples=SAMPLES).attribute(model, images, targets, seed=0, output=OUTPUT)
    return GuidedAbsoluteGrad(model).attribute(images, target=targets, nt_samples=SAMPLES, seed=0)


def scored(model: Any, images: Tensor, maps: Tensor, targets: Tensor) -> Tensor:
    given = (model, images, maps, targets)
    return torch.stack([rcap(*given, output=OUTPUT), deletion(*given, n_steps=3, output=OUTPUT)])


def difference(one: Tensor, other: Tensor) -> float:
    """Return the sum of the differences over the sum of the magnitudes; infinite if a number is not finite."""
    found = ((one - other).abs().sum() / other.abs().sum().clamp(min=1e-30)).item()
    return found if found == found else float("inf")


def snapshot(model: nn.Module) -> dict[str, Any]:
    """Return all that an explanation must leave alone."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "state_dict": {name: each.clone() for name, each in model.state_dict().items()},
        "buffers": [each.clone() for each in model.buffers()],
        "grads": [each.grad if each.grad is None else each.grad.clone() for each in model.parameters()],
        "hooks": [[len(getattr(module, kind)) for kind in kinds] for module in model.modules()],
        "modes": [module.training for module in model.modules()],
        "in place": [getattr(module, "inplace", None) for module in model.modules()],
        "requires_grad": [each.requires_grad for each in model.parameters()],
        "random state": torch.get_rng_state(),
        "gradient mode": torch.is_grad_enabled(),
    }


def harmed(model: nn.Module, before: dict[str, Any]) -> list[str]:
    after = snapshot(model)

    def same(one: Any, other: Any) -> bool:
        if isinstance(one, Tensor) and isinstance(other, Tensor):
            return bool(torch.equal(one, other)) or bool(torch.equal(one.nan_to_num(), other.nan_to_num()))
        if isinstance(one, dict):
            return one.keys() == other.keys() and all(same(each, other[name]) for name, each in one.items())
        if isinstance(one, list):
            return len(one) == len(other) and all(map(same, one, other))
        return one == other

    return [name for name in before if not same(before[name], after[name])]


@contextmanager
def quiet() -> Iterator[list[str]]:
    """Collect what is warned of."""
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield said
    said += [str(each.message) for each in caught]


def outcome(check: Callable[[], str]) -> tuple[str, str]:
    """Return a cell, and the line that explains it: a check's answer, a refusal, or a fault."""
    try:
        return check(), ""
    except InputError as error:
        return "refused", str(error)
    except Exception as error:
        return "✗", f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"


def in_wrapper(name: str, model: nn.Module, images: Tensor, targets: Tensor, maps: Tensor, scores: Tensor) -> str:
    try:
        wrapped = WRAPPERS[name](model, images)
        returned = tensor_of(wrapped(images))
        if returned.shape != (len(images), CLASSES):
            raise TypeError("another shape")
    except Exception:
        return "-"  # torch does not build it, or it does not run by itself.
    found = difference(attributed(wrapped, images, targets), maps)
    apart = difference(scored(wrapped, images, maps, targets), scores)
    if max(found, apart) < TOLERANCE:
        return "✓" if images.dtype == torch.float32 else "✓ in double"
    if images.dtype == torch.float32:
        # Another parametrization rounds the weights otherwise, which a deep network magnifies.
        model, images = copy.deepcopy(model).double(), images.double()
        maps = attributed(model, images, targets)
        return in_wrapper(name, model, images, targets, maps, scored(model, images, maps, targets))
    return f"✗ {found:.0e}, {apart:.0e}"


def in_type(dtype: torch.dtype, model: nn.Module, images: Tensor, targets: Tensor, reference: Tensor) -> str:
    """Compare Integrated Gradients, which have no noise, with those in double precision, by correlation."""
    typed, given = copy.deepcopy(model).to(dtype), images.to(dtype)
    maps = attributed(typed, given, targets)
    found = method("IG", n_samples=SAMPLES).attribute(typed, given, targets, output=OUTPUT)
    if not all(each.isfinite().all() for each in (maps, found, scored(typed, given, maps, targets))):
        with torch.no_grad():
            return "✗ not finite" if tensor_of(typed(given)).isfinite().all() else "- outputs are not finite"
    both = torch.stack([found.double().flatten(), reference.double().flatten()])
    return f"✓ {torch.corrcoef(both)[0, 1]:.3f}"


def in_mode(mode: str, model: nn.Module, images: Tensor, targets: Tensor, maps: Tensor, scores: Tensor) -> str:
    context, prepare = MODES[mode]
    with context():
        given = prepare(images)
        found = attributed(model, given, targets)
        apart = difference(scored(model, given, maps, targets), scores)
    if found.requires_grad or (given.is_leaf and given.grad is not None):
        return "✗ leaves a gradient"
    return "✓" if max(difference(found, maps), apart) < TOLERANCE else f"✗ {difference(found, maps):.0e}, {apart:.0e}"


def by_method(name: str, model: nn.Module, images: Tensor, targets: Tensor) -> str:
    explaining = method(name, **METHODS[name])
    with quiet() as said:
        found = explaining.attribute(model, images, targets, seed=0, output=OUTPUT)
    if not found.isfinite().all():
        return "not finite, said" if any("infinity" in line for line in said) else "✗ not finite, not said"
    if name == "GB":
        plain = method("VG").attribute(model, images, targets, output=OUTPUT)
        told = any("plain gradient" in line for line in said)
        if difference(found, plain) < TOLERANCE:
            return "no effect, said" if told else "✗ no effect, not said"
        return "ok, partly" if told else "ok"
    if name == "Grad-CAM":
        layer = last_layer(model, images[:1])
        return f"`{layer.name}` {' x '.join(map(str, layer.grid.sizes))}"
    if name == "captum:DeepLift":
        with torch.no_grad():
            lost = tensor_of(model(images)) - tensor_of(model(torch.zeros_like(images)))
        lost = lost.gather(1, targets[:, None]).squeeze(1)
        missed = difference(found.flatten(1).sum(1), lost)
        told = any("DeepLift" in line for line in said)
        if missed < 0.01:
            return "ok"
        return f"misses {missed:.0%}, said" if told else f"✗ misses {missed:.0%}, not said"
    return "does not add up, said" if any("relevance misses" in line for line in said) else "ok"


def examine(library: str, name: str) -> dict[str, dict[str, tuple[str, str]]]:
    """Return the cells of one family."""
    torch.set_num_threads(1)
    started = time.perf_counter()
    model, size = build(library, name), SIZES.get(name, 64)
    images = 2 * torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1)) - 1
    next(model.parameters()).grad = torch.ones_like(next(model.parameters()))
    before = snapshot(model)
    with quiet():
        targets = tensor_of(model(images)).argmax(1)
        maps = attributed(model, images, targets)
        scores = scored(model, images, maps, targets)
        same = (model, images, targets, maps, scores)
        cells = {
            "wrappers": {each: outcome(partial(in_wrapper, each, *same)) for each in WRAPPERS},
            "modes": {each: outcome(partial(in_mode, each, *same)) for each in MODES},
            "methods": {each: outcome(partial(by_method, each, model, images, targets)) for each in METHODS},
        }
        double = copy.deepcopy(model).double()
        reference = method("IG", n_samples=SAMPLES).attribute(double, images.double(), targets, output=OUTPUT)
        cells["types"] = {
            each: outcome(partial(in_type, dtype, model, images, targets, reference)) for each, dtype in TYPES.items()
        }
    changed = harmed(model, before)
    finite = bool(maps.isfinite().all() and scores.isfinite().all() and maps.amax() > 0)
    cells["model"] = {"plain": ("✓" if finite else "✗", ""), "unharmed": (f"✗ {changed}" if changed else "✓", "")}
    print(f"{library} {name}: {time.perf_counter() - started:.1f} s", file=sys.stderr, flush=True)
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--families", default="", help="names, by comma; all of them otherwise")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    wanted = [name for name in options.families.split(",") if name]
    zoo = {"torchvision": TORCHVISION, "timm": TIMM, "transformers": TRANSFORMERS}
    families = [(library, name) for library, names in zoo.items() for name in names if not wanted or name in wanted]
    started = time.perf_counter()
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.workers, mp_context=spawn, max_tasks_per_child=1) as pool:
        results = dict(zip(families, pool.map(examine, *zip(*families, strict=True)), strict=True))
    options.out.write_text(page(results, time.perf_counter() - started, SAMPLES, TOLERANCE), encoding="utf-8")
    print(f"{options.out}: {len(families)} families, {faults(results)} faults")


if __name__ == "__main__":
    main()
