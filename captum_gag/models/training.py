"""The recipe by which small networks are trained, first that for CIFAR-10: weight decay, early stopping; resumable.

Of Tomsett et al. (2019) are the network (``models.cifar10``), its dropout, batch normalisation, weight decay, the lack
of biases, and, by option, the standardised inputs. Ours are optimiser (AdamW), learning rate and its schedule, batch
size, number of epochs, augmentation (shifts and mirror images), the held-out images, and that pixels come in as they
are unless asked otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad
from torchvision.transforms.functional import normalize
from tqdm import tqdm

from captum_gag.data.cifar10 import read_cifar10
from captum_gag.errors import InputError
from captum_gag.files import replace_file
from captum_gag.models.cifar10 import Cifar10Net, write_weights
from captum_gag.models.preprocessing import PIXELS, Statistics


@dataclass(frozen=True)
class Recipe:
    """Settings of a training that decide the weights, besides the data.

    Attributes:
        epochs: At most so many; the learning rate falls along a cosine to 0 over them.
        batch_size: Images per step.
        learning_rate, weight_decay: Of AdamW.
        patience: Epochs without a better validation loss after which training stops.
        validation: Training images that are held out to watch the loss.
        seed: Of weights, split, order, dropout and shifts.
        standardise: Whether each channel comes in with mean 0 and standard deviation 1 over the training images, as in
            the paper; otherwise pixels come in as they are, in [0, 1].
    """

    epochs: int = 40
    batch_size: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    patience: int = 8
    validation: int = 5000
    seed: int = 0
    standardise: bool = False


@dataclass
class Progress:
    """State of a training, kept so that it goes on as if it had never been interrupted."""

    epoch: int = 0
    best_loss: float = float("inf")
    best_epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


def train_cifar10(
    data: Path,
    out: Path,
    recipe: Recipe = Recipe(),
    device: str = "cpu",
    say: Callable[[str], None] = print,
) -> float:
    """Train the network on CIFAR-10, and write the weights of the epoch with the lowest validation loss.

    After every epoch all state is kept in ``out`` + ``.checkpoint``; the same call goes on from there, to the same
    weights as without the interruption (on one machine: another one rounds differently).

    Args:
        data: See ``read_cifar10``.
        out: The ``.safetensors`` file to write.
        recipe: How to train.
        device: Where, as torch names it.
        say: Gets a line per epoch.

    Returns:
        Accuracy on the test images, in [0, 1].

    Raises:
        InputError: The data are not there, are too few, or the checkpoint is of another recipe.
    """
    images, targets = read_cifar10(data, "train")
    if len(images) <= recipe.validation:
        raise InputError(f"{data}: {len(images)} training images; expected more than the {recipe.validation} held out")
    fed = _statistics(images) if recipe.standardise else PIXELS
    train(
        Cifar10Net,
        (images, targets),
        out,
        lambda path, state: write_weights(path, state, fed),
        recipe,
        device,
        say,
        fed=fed,
        augmented=shifted_and_mirrored,
    )
    best = Cifar10Net().to(device)
    best.load_state_dict(safetensors.torch.load_file(out, device=device))
    return evaluate(best, *read_cifar10(data, "test"), fed)[1]


def train(
    build: Callable[[], nn.Module],
    data: tuple[Tensor, Tensor],
    out: Path,
    write: Callable[[Path, dict[str, Tensor]], object],
    recipe: Recipe,
    device: str = "cpu",
    say: Callable[[str], None] = print,
    *,
    fed: Statistics = PIXELS,
    augmented: Callable[[Tensor, torch.Generator], Tensor] = lambda images, _: images,
    settings: Mapping[str, Any] = {},
) -> None:
    """Train a network, and write the weights of the epoch with the lowest validation loss; see ``train_cifar10``.

    Args:
        build: Returns the network with random weights.
        data: Images (N, 3, H, W), uint8, more than are held out, and classes (N,).
        out: The file to write; all state is kept beside it in ``out`` + ``.checkpoint``.
        write: Writes weights into a file.
        recipe: How to train.
        device: Where, as torch names it.
        say: Gets a line per epoch.
        fed: How pixels become the input.
        augmented: Changes the images of a step, by random numbers.
        settings: Those besides the recipe that decide the weights; a checkpoint of others is refused.

    Raises:
        InputError: The checkpoint is of another recipe.
    """
    images, targets = data
    order = torch.randperm(len(images), generator=_generator(recipe.seed, 0))
    held_out, train_rows = order[: recipe.validation], order[recipe.validation :]
    checkpoint = out.with_name(out.name + ".checkpoint")
    settings = {**settings, **asdict(recipe)}
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        net = build().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = torch.optim.AdamW(net.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
        steps = -(-len(train_rows) // recipe.batch_size)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.epochs * steps)
        progress = _resume(checkpoint, settings, net, optimizer, schedule)
        while progress.epoch < recipe.epochs and progress.epoch - progress.best_epoch < recipe.patience:
            progress.epoch += 1
            torch.manual_seed(recipe.seed + progress.epoch)
            generator = _generator(recipe.seed, progress.epoch)
            rows = train_rows[torch.randperm(len(train_rows), generator=generator)]
            batches = (
                (_inputs(augmented(images[batch], generator).to(device), fed), targets[batch].to(device))
                for batch in rows.split(recipe.batch_size)
            )
            # Shown on a terminal only, and gone when the epoch has its line.
            bar = tqdm(batches, f"epoch {progress.epoch}", steps, leave=False, unit="step", disable=None)
            loss = _epoch(net, optimizer, schedule, bar)
            held_loss, accuracy = evaluate(net, images[held_out], targets[held_out], fed)
            progress.history.append({"loss": loss, "validation_loss": held_loss, "validation_accuracy": accuracy})
            say(f"epoch {progress.epoch}: loss {loss:.3f}, validation loss {held_loss:.3f}, accuracy {accuracy:.1%}")
            if held_loss < progress.best_loss:
                progress.best_loss, progress.best_epoch = held_loss, progress.epoch
                replace_file(out, lambda path: write(path, _plain(net)))
            state = {
                "recipe": settings,
                "progress": asdict(progress),
                "net": net.state_dict(),
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
            }
            replace_file(checkpoint, lambda path, state=state: torch.save(state, path))  # type: ignore[misc]


def _epoch(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    batches: Iterable[tuple[Tensor, Tensor]],
) -> float:
    """Train on batches of inputs and classes, and return the mean loss."""
    net.train()
    total, count = 0.0, 0
    for inputs, targets in batches:
        # bfloat16 halves the time on processors that have it, and the weights stay in single precision.
        with torch.autocast(inputs.device.type, torch.bfloat16):
            scores = net(inputs.contiguous(memory_format=torch.channels_last))
        loss = cross_entropy(scores.float(), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        total, count = total + loss.item() * len(targets), count + len(targets)
    return total / count


def shifted_and_mirrored(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift each image (N, 3, H, W) by up to 4 pixels, reflected at the border, and mirror half of them."""
    count, _, height, width = images.shape
    padded = pad(images.float(), (4, 4, 4, 4), mode="reflect").to(images.dtype)
    top, left = torch.randint(9, (2, count), generator=generator)
    columns = torch.arange(width).expand(count, -1)
    columns = torch.where(torch.rand(count, 1, generator=generator) < 0.5, columns, width - 1 - columns)
    rows = torch.arange(height) + top.unsqueeze(1)
    columns = columns + left.unsqueeze(1)
    here = torch.arange(count).reshape(-1, 1, 1)
    return padded.permute(0, 2, 3, 1)[here, rows.unsqueeze(2), columns.unsqueeze(1)].permute(0, 3, 1, 2)


@torch.no_grad()
def evaluate(net: nn.Module, images: Tensor, targets: Tensor, fed: Statistics = PIXELS) -> tuple[float, float]:
    """Return the mean cross entropy and the accuracy of a network on uint8 images (N, 3, H, W)."""
    net.eval()
    device = next(net.parameters()).device
    scores = torch.cat([net(_inputs(batch.to(device), fed)).float().cpu() for batch in images.split(500)])
    return cross_entropy(scores, targets).item(), (scores.argmax(1) == targets).float().mean().item()


def _resume(
    checkpoint: Path,
    settings: Mapping[str, Any],
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> Progress:
    if not checkpoint.exists():
        return Progress()
    state: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
    # A part of the recipe that the checkpoint does not know was what it is by default.
    own = asdict(Recipe()) | state["recipe"]
    if own != settings:
        raise InputError(f"{checkpoint}: was made with {own}, asked for {dict(settings)}; delete it to start anew")
    for part, name in ((net, "net"), (optimizer, "optimizer"), (schedule, "schedule")):
        part.load_state_dict(state[name])
    return Progress(**state["progress"])


def _inputs(images: Tensor, fed: Statistics) -> Tensor:
    inputs: Tensor = normalize(images.float() / 255, *map(list, fed))
    return inputs


def _statistics(images: Tensor) -> Statistics:
    """Return mean and standard deviation of each channel over uint8 images (N, 3, H, W), to four decimals."""
    # Counts of the 256 values, as all pixels at once would be large in floating point.
    counts = torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in images.unbind(1)]).double()
    values = torch.arange(256).double() / 255
    share = counts / counts.sum(1, keepdim=True)
    mean = (share * values).sum(1, keepdim=True)
    std = (share * (values - mean) ** 2).sum(1).sqrt()
    return tuple(round(value, 4) for value in mean[:, 0].tolist()), tuple(round(value, 4) for value in std.tolist())


def _plain(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}


def _generator(seed: int, epoch: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed * 1000 + epoch)
