"""How much is spent on a population that is sampled over nodes."""

from collections.abc import Mapping
from typing import NamedTuple


class Effort(NamedTuple):
    """How much is spent.

    Attributes
    ----------
    raw, nodes : int
        Nodes of each patient that are solved, and that are kept.
    others : int
        Populations around the mode for which nodes are laid, too.
    rounds, pooled : int
        Rounds of positions that are drawn around the mode, and how many in each.
    sharpened, added : int
        The same of positions that the emulator proposes, from which it is learnt anew.
    more : int
        Rounds of all draws from which it is learnt anew, at most, while they are worth less than
        `pdmodel.by_nodes.WORTH`.
    checks, fresh : int
        Draws at which the likelihood is compared with that over fresh nodes, and how many these
        are for each patient; fewer where those of all patients would be more than
        `pdmodel.quadrature.rule.MOST`.
    wider : bool
        Whether it is compared where patients differ more, too.
    """

    raw: int
    nodes: int
    others: int
    rounds: int
    pooled: int
    sharpened: int
    added: int
    more: int
    checks: int
    fresh: int
    wider: bool

    def positions(self) -> int:
        """Count the positions that are weighed before the draws, at least."""
        return self.rounds * self.pooled + self.sharpened * self.added


EFFORTS: Mapping[str, Effort] = {
    "nodes": Effort(4096, 160, 8, 2, 256, 4, 256, 2, 8, 2048, wider=True),
    "quick": Effort(1024, 64, 4, 2, 256, 3, 192, 2, 4, 2048, wider=False),
}
"""By design: what is spent on a fit, and on a first answer."""
