"""Chains over the population whose proposals do not depend on where they are.

Independence Metropolis-Hastings (Tierney 1994, doi:10.1214/aos/1176325750) with the proposal that
the pool taught: all positions can be weighed beforehand, side by side, and the chains that follow
have the posterior over the nodes as their distribution, however good the proposal is.
"""

from typing import NamedTuple

import numpy as np

from pdmodel.quadrature.pool import Proposal, Weighed


class Chains(NamedTuple):
    """For each chain and draw, which weighed position it is at; and how its proposal fared.

    Each of shape (chains, draws).
    """

    row: np.ndarray
    acceptance: np.ndarray


def chained(found: Weighed, proposal: Proposal, chains: int, draws: int, seed: int) -> Chains:
    """Run chains over weighed positions, each over its own, in the order they were drawn.

    Parameters
    ----------
    found : Weighed
        At least ``chains * (draws + 1)`` positions from `proposal`; a chain starts at its first.
    proposal : Proposal
    chains, draws : int
    seed : int
    """
    log_weight = found.log_posterior - proposal.log_density(found.x)
    log_weight = np.where(np.isfinite(log_weight), log_weight, -np.inf)
    row, acceptance = np.zeros((chains, draws), int), np.zeros((chains, draws))
    for k in range(chains):
        u = np.random.default_rng([seed, k]).random(draws)
        own = k * (draws + 1)
        at = own
        for j in range(draws):
            new = own + 1 + j
            gain = log_weight[new] - log_weight[at]
            acceptance[k, j] = np.exp(min(gain, 0.0)) if np.isfinite(gain) else float(gain > 0)
            at = new if u[j] < acceptance[k, j] else at
            row[k, j] = at
    return Chains(row, acceptance)
