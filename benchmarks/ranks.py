"""Ranks of truths among draws: how far their distribution is from uniform."""

import numpy as np
import pandas as pd
from scipy import stats

GRID = np.linspace(0.02, 0.98, 49)
LEVEL = 0.95


def rank(x: np.ndarray, truth: float, rng: np.random.Generator) -> float:
    """Give the place of a truth among draws, from 0 to 1, ties broken at random."""
    below, same = np.sum(x < truth), np.sum(x == truth)
    return float((below + rng.integers(0, same + 1) + rng.random()) / (len(x) + 1))


def furthest(u: np.ndarray) -> np.ndarray:
    """Give the largest distance of the ECDF of ranks (..., count) from uniform, in its sds."""
    share = (u[..., None] <= GRID).mean(axis=-2)
    return np.max(np.abs(share - GRID) / np.sqrt(GRID * (1 - GRID) / u.shape[-1]), axis=-1)


def band(count: int, quantities: int = 1, seed: int = 0) -> float:
    """Give the half width, in those sds, that uniform ranks of all quantities keep to at 95 %.

    Quantities are taken as independent, which makes the band of several a little wide.
    """
    rng = np.random.default_rng(seed)
    most = np.concatenate([furthest(rng.random((200, count))) for _ in range(50)])
    return float(np.quantile(most, LEVEL ** (1.0 / quantities)))


def judged(ranks: pd.DataFrame) -> pd.DataFrame:
    """Print and give how each column of ranks stands: a row for each quantity."""
    lines = []
    one, every = band(len(ranks)), band(len(ranks), ranks.shape[1])
    for name in ranks.columns:
        u = ranks[name].to_numpy(float)
        far = furthest(u[None])[0]
        lines.append({
            "quantity": name, "mean": u.mean(),
            "in 50 %": np.mean(np.abs(u - 0.5) < 0.25), "in 90 %": np.mean(np.abs(u - 0.5) < 0.45),
            "furthest": far, "KS p": stats.kstest(u, "uniform").pvalue,
            "inside": "yes" if far <= one else "of all" if far <= every else "NO",
        })  # fmt: skip
    print(pd.DataFrame(lines).to_string(index=False, float_format="{:.3f}".format))
    print(
        f"furthest: largest distance of the ECDF of ranks from uniform, in sds; 95 % of uniform "
        f"samples of {len(ranks)} stay within {one:.2f} (inside: yes), 95 % of all "
        f"{ranks.shape[1]} together within {every:.2f} (of all)"
    )
    return pd.DataFrame(lines)
