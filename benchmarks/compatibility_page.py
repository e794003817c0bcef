"""The page of tables that ``compatibility.py`` writes."""

from __future__ import annotations

from importlib.metadata import version

Results = dict[tuple[str, str], dict[str, dict[str, tuple[str, str]]]]
"""By library and family, and by part and column, a cell and the line that explains it."""


def cell(text: str, line: str, notes: dict[str, int]) -> str:
    number = notes.setdefault(" ".join(line.split()), len(notes) + 1) if line else 0
    return f"{text} ({number})" if number else text


def table(results: Results, notes: dict[str, int], *parts: str) -> str:
    """Return rows of families, and enter each line that explains a cell into the notes, once."""
    columns = [column for part in parts for column in next(iter(results.values()))[part]]
    lines = ["| | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for (library, name), found in results.items():
        cells = [cell(*each, notes) for part in parts for each in found[part].values()]
        lines.append(f"| {name} ({library}) | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def faults(results: Results) -> int:
    parts = [cells for found in results.values() for cells in found.values()]
    return sum(text.startswith("✗") for cells in parts for text, line in cells.values())


def page(results: Results, seconds: float, samples: int, tolerance: float) -> str:
    """Return the whole page in Markdown."""
    notes: dict[str, int] = {}
    packages = ("torch", "torchvision", "timm", "transformers", "captum", "quantus")
    sections = {
        "Model, gradient modes, number formats": (
            ABOUT_MODES.format(samples=samples),
            table(results, notes, "model", "modes", "types"),
        ),
        "Wrappers": (ABOUT_WRAPPERS, table(results, notes, "wrappers")),
        "Methods": (ABOUT_METHODS, table(results, notes, "methods")),
        "The lines": ("", "\n".join(f"{number}. {line.replace('<', '&lt;')}" for line, number in notes.items())),
    }
    made = f"{len(results)} families, {faults(results)} faults, {seconds:.0f} s; "
    made += ", ".join(f"{name} {version(name)}" for name in packages)
    parts = ["# Compatibility", ABOUT.format(tolerance=tolerance), f"{made}."]
    for title, (about, content) in sections.items():
        parts += [f"## {title}", about, content]
    return "\n\n".join(filter(None, parts)) + "\n"


ABOUT = """Made by `python benchmarks/compatibility.py --out docs/compatibility.md`. A row is the smallest
network of a family, with random weights, statistics of batch normalisation taken from noise, 10
classes, and two images of 64 x 64 (Inception 107 x 107). The wide layers of AlexNet and VGG are
cut to 64, ViT-B and MaxViT have fewer blocks, and the networks of transformers come from a small
config.

✓ works and is right; ✗ is a fault; - is what torch itself cannot do; refused is an error of one
line, numbered as below. Two attributions, or scores, are equal where the sum of the differences
is below {tolerance:g} of the sum of the magnitudes."""
ABOUT_MODES = """GAG-85 ({samples} samples), RCAP and Deletion, all three. plain: finite, and not all zero.
unharmed: after everything on this page the state dict, buffers, hooks, modes, `requires_grad`,
gradients, in-place flags and torch's random state are as before. The caller's gradient mode:
equal to the plain call. Number formats: finite; the number is the correlation of Integrated
Gradients with those in double precision."""
ABOUT_WRAPPERS = """GAG-85 of the wrapped model equals that of the plain one, and so do RCAP and Deletion of the same
map, in double precision where rounding alone is more than that. compile: the eager backend; export:
any batch; partial, method: callables that are no modules; functional_call: a function around
parameters; weight_norm: the first layer in another parametrization; quantised: linear layers, by
torch's dynamic quantisation, which has no gradient."""
ABOUT_METHODS = """Through `method(name).attribute(model, images, targets)`. Grad-CAM: the layer that it finds.
DeepLIFT: by how much the sum misses the difference of the outputs, and that a warning says so."""
