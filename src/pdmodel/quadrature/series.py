"""All that was measured, patients with about as many scans together to save on padding."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pdmodel.likelihood import Evidence
from pdmodel.quadrature.coordinates import Traits
from pdmodel.residual import Scans

GROUPS = 4
"""Groups of patients by number of scans."""


class Group(NamedTuple):
    """Patients read together: their places, scans and which of these there are."""

    patient: Array
    scans: Scans
    visible: Array


class Series(NamedTuple):
    """All that was measured, and what is known of the patients."""

    data: Evidence
    groups: tuple[Group, ...]
    order: Array
    """Where each patient stands among those of the groups one after the other."""
    traits: Traits

    @property
    def seen(self) -> Array:
        """Whether any scan of a patient is visible, (patients,); others count for nothing."""
        return jnp.any(self.data.visible, axis=1)


def series(data: Evidence, traits: Traits, *, whole: bool = False) -> Series:
    """Group patients by their number of scans; done once, on the host.

    Parameters
    ----------
    data : Evidence
    traits : Traits
    whole : bool
        Keep the padding of all patients, in one group.
    """
    count = np.asarray(data.visible).sum(axis=1)
    if whole:
        count = np.full(len(count), data.visible.shape[1])
    cuts = np.unique(np.quantile(count, np.linspace(0, 1, GROUPS + 1)[1:], method="higher"))
    groups, least = [], 0
    for most in cuts:
        mine = np.nonzero((count > least) & (count <= most))[0]
        least = most
        scans = jax.tree.map(lambda x: x[mine, :most], data.scans)  # noqa: B023  # used at once
        groups.append(Group(jnp.asarray(mine), scans, data.visible[mine, :most]))
    every = np.concatenate([np.asarray(group.patient) for group in groups])
    return Series(data, tuple(groups), jnp.asarray(np.argsort(every)), traits)


def seeing(it: Series, visible: np.ndarray) -> Series:
    """Show some of the scans only: for every patient the first ones, or none.

    Shapes stay what they are, so that programs made for all scans serve.

    Parameters
    ----------
    it : Series
    visible : ndarray of bool, shape (patients, visits)
        Of the visits that are scans.
    """
    shown = jnp.asarray(visible) & it.data.visible
    groups = tuple(
        group._replace(visible=shown[group.patient, : group.visible.shape[1]])
        for group in it.groups
    )
    return it._replace(data=it.data._replace(visible=shown), groups=groups)
