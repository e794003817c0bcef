"""What the interval of a mean share of pairs contains: the share of simulated tables whose truth it holds.

    python benchmarks/coverage_shares.py [--tables 4000]

Shares of images are 0 or 1, of six pairs that an image tends to have right or wrong, or anything in [0, 1]; each around
a known mean of 1 to 90 %. Beside ``share_interval`` stands Student's t of the images alone.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from coverage import CONFIDENCES, Ends, Floats, held
from scipy.stats import t

from captum_gag.reliability.truth import share_interval

IMAGES = (3, 5, 10, 30, 100, 300)
MEANS = (0.01, 0.05, 0.25, 0.5, 0.9)


def drawn(mean: float, shape: tuple[int, int], generator: np.random.Generator) -> dict[str, Floats]:
    """Return shares, (tables, images), by how they vary."""
    own = generator.beta(2 * mean, 2 * (1 - mean), shape)
    return {
        "0 or 1": (generator.random(shape) < mean).astype(float),
        "of six pairs": generator.binomial(6, own) / 6,
        "any": generator.beta(mean / 2, (1 - mean) / 2, shape),
    }


def alone(shares: Floats, confidence: float) -> Ends:
    """Return intervals by Student's t of the images as they are."""
    n = shares.shape[1]
    reach = t.ppf((1 + confidence) / 2, n - 1) * shares.std(axis=1, ddof=1) / np.sqrt(n)
    return shares.mean(axis=1) - reach, shares.mean(axis=1) + reach


def main() -> None:
    """Print the coverage in percent, the least and the mean over kinds and means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=4000)
    tables = parser.parse_args().tables
    rows = []
    for images in IMAGES:
        generator = np.random.default_rng(images)
        for mean in MEANS:
            for kind, shares in drawn(mean, (tables, images), generator).items():
                for confidence in CONFIDENCES:
                    added = np.array([share_interval(each, confidence) for each in shares]).T
                    for name, ends in (("share_interval", added), ("images alone", alone(shares, confidence))):
                        about = {"images": images, "kind": kind, "confidence": confidence, "interval": name}
                        rows.append(about | held(*ends, mean))
    found = pd.DataFrame(rows).pivot_table("covered", ["confidence", "interval"], "images", aggfunc=["min", "mean"])
    print(found.round(1).to_string())


if __name__ == "__main__":
    main()
