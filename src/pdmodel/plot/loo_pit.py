"""LOO-PIT plot: as the PIT plot, but each scan is taken out of what its forecast is learnt from."""

import pandas as pd
from matplotlib.figure import Figure

from pdmodel.compare import leave_one_out_pit
from pdmodel.compare.loo import LARGEST_K
from pdmodel.fit import Fit
from pdmodel.plot.pit import READ, draw_places
from pdmodel.plot.style import paragraph

TOLD = f"{READ} The parameters behind a forecast are those learnt from all other scans, by weights"


def plot_loo_pit(
    fit: Fit, *, table: pd.DataFrame | None = None, draws: int = 400, seed: int = 0
) -> Figure:
    """Draw where scans fell in forecasts that were learnt without them.

    Parameters
    ----------
    fit : Fit
    table : DataFrame, optional
        As `pdmodel.compare.leave_one_out_pit` gives it; computed here otherwise.
    draws, seed : int
        Of the forecasts, if they are made here.

    Returns
    -------
    Figure

    Raises
    ------
    DataError
        If no patient has two scans, or no course could be solved.
    OptionError
        If the fit has fewer than 100 draws.
    """
    table = leave_one_out_pit(fit, draws=draws, seed=seed) if table is None else table
    off = int((table["k"] > LARGEST_K).sum())
    weights = f"{TOLD}: those of {off} of {len(table)} scans cannot be trusted (k > {LARGEST_K:g})."
    if fit.model.residual.carried:
        weights += " Courses change between scans; later scans still stand on the one left out."
    title = "Left out one at a time, do scans fall evenly?"
    notes = paragraph(f"{weights} Bands take scans as independent.")
    return draw_places(table, title, notes, seed)
