"""What ROAD's imputation costs: our solver against scipy's sparse direct one, by the shape and share of the removed.

    python benchmarks/imputation.py [--side 224] [--images 4] [--rounds 3]

For smooth and for random orders of the pixels: seconds for each image, their ratio, and the largest difference between
the two.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from statistics import median
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import spsolve
from torch import Tensor
from torch.nn import functional

from captum_gag.imputation import fill_from_neighbours


def solved_directly(image: NDArray[np.float64], removed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the image, (C, H, W), with its removed pixels filled in by a direct solver."""
    pixels = image.reshape(len(image), -1).T.copy()
    places = np.flatnonzero(removed)
    number = np.full(removed.size, -1)
    number[places] = np.arange(len(places))
    rows, columns = np.divmod(places, removed.shape[1])
    weights, right = np.zeros(len(places)), np.zeros((len(places), len(image)))
    entries = []
    for down, along in np.argwhere(np.ones((3, 3))) - 1:
        row, column = rows + down, columns + along
        inside = (row >= 0) & (row < removed.shape[0]) & (column >= 0) & (column < removed.shape[1])
        if down == along == 0:
            continue
        weight = 1 / 12 if down and along else 1 / 6
        here, there = np.flatnonzero(inside), (row * removed.shape[1] + column)[inside]
        weights[here] += weight
        free = number[there] >= 0
        right[here[~free]] += weight * pixels[there[~free]]
        entries.append((here[free], number[there[free]], np.full(free.sum(), -weight)))
    diagonal = np.arange(len(places))
    first, second, values = (np.concatenate(each) for each in zip(*entries, (diagonal, diagonal, weights), strict=True))
    matrix = coo_matrix((values, (first, second)), (len(places), len(places))).tocsc()
    pixels[places] = spsolve(matrix, right, permc_spec="MMD_AT_PLUS_A").reshape(right.shape)
    return pixels.T.reshape(image.shape)


def timed(run: Callable[[], object], rounds: int) -> float:
    """Return the median of some rounds, in seconds."""
    times = []
    for _ in range(rounds):
        start = perf_counter()
        run()
        times.append(perf_counter() - start)
    return median(times)


def smooth(n: int, side: int, scale: int) -> Tensor:
    """Return random fields (n, side, side) that vary over so many pixels."""
    coarse = torch.randn(n, 1, side // scale + 2, side // scale + 2)
    return functional.interpolate(coarse, (side, side), mode="bicubic")[:, 0]


def main() -> None:
    """Print a row for each order and share."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.manual_seed(0)
    n, side = args.images, args.side
    images = torch.stack([smooth(n, side, 10) for _ in range(3)], 1) + 0.1 * torch.rand(n, 3, side, side)
    orders = {"smooth": smooth(n, side, side // 8), "random": torch.rand(n, side, side)}
    orders["smooth with noise"] = orders["smooth"] + 0.3 * torch.randn(n, side, side)
    print(f"{'order':18s} removed  ours s/image  direct s/image  ratio  largest difference")
    for name, order in orders.items():
        ranks = order.flatten(1).argsort(1).argsort(1).reshape(order.shape)
        for share in (0.1, 0.5, 0.9, 0.99):
            removed = (ranks < share * side * side).unsqueeze(1)
            ours = timed(lambda mask=removed: fill_from_neighbours(images, mask), args.rounds) / n
            one = images[0].double().numpy(), removed[0, 0].numpy()
            direct = timed(lambda given=one: solved_directly(*given), args.rounds)
            gap = np.abs(fill_from_neighbours(images, removed)[0].numpy() - solved_directly(*one)).max()
            print(f"{name:18s} {share:7.0%}  {ours:12.3f}  {direct:14.3f}  {ours / direct:5.2f}  {gap:.1e}", flush=True)


if __name__ == "__main__":
    main()
