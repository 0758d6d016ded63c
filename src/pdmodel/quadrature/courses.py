"""Courses at all nodes as polynomials in what courses share: solved some times, then read off.

Nodes stay where they are, so that from one position of the population to the next their courses
change with the shared parameters of the mechanism and the drugs alone, smoothly. Polynomials on
Chebyshev points carry them; the likelihood is made from them as from solved courses. How far the
two differ is measured before they are used.
"""

from itertools import product
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.stats import qmc

from pdmodel.nodes import Nodes
from pdmodel.quadrature.climb import Summit
from pdmodel.quadrature.coordinates import Coordinates
from pdmodel.quadrature.integrand import Courses, hold, shared_by_courses, solved
from pdmodel.quadrature.pool import at_one
from pdmodel.quadrature.series import Series

DEGREES = {0: 0, 1: 9, 2: 6, 3: 4}
"""Total degree of the polynomials by the number of shared parameters; with more they are solved."""
REACH = 4.5
"""Posterior sds to both sides of the mode within which polynomials are used."""
LARGEST = 2**29
"""Bytes of the largest table."""
TRIED, CLOSE = 6, 0.05
"""Positions at which the log posterior is compared, and the largest sd of the differences."""


class Layout(NamedTuple):
    """Where courses are solved, and what makes coefficients of them.

    Attributes
    ----------
    power : tuple of tuple of int
        Chebyshev degrees of every feature, one for each shared parameter.
    point : ndarray, shape (points, shared)
        In the cube from -1 to 1.
    solver : ndarray, shape (features, points)
        Coefficients by least squares.
    """

    power: tuple[tuple[int, ...], ...]
    point: np.ndarray
    solver: np.ndarray


def layout(shared: int) -> Layout:
    """Lay the points of a number of shared parameters."""
    degree = DEGREES[shared]
    power = tuple(p for p in product(range(degree + 1), repeat=shared) if sum(p) <= degree)
    if shared > 1:
        cube = qmc.Halton(shared, scramble=False).random(2 * len(power) + 1)[1:]
        point = np.cos(np.pi * cube)
    else:
        point = np.cos(np.pi * (np.arange(len(power)) + 0.5) / len(power))[:, None]
        point = point[:, :shared]
    feature = np.stack([np.prod([np.cos(k * np.arccos(point[:, j])) for j, k in enumerate(p)], 0)
                        * np.ones(len(point)) for p in power], axis=1)  # fmt: skip
    return Layout(power, point, np.linalg.pinv(feature))


def room(shared: int, nodes: int, patients: int, visits: int) -> int:
    """Count the bytes of a table; 0 where there would be none."""
    if shared not in DEGREES:
        return 0
    size = len(layout(shared).power) * nodes * patients * visits * 4
    return size if size <= LARGEST else 0


def tabled(of: Coordinates, it: Series, nodes: Nodes, summit: Summit, seed: int) -> Courses | None:
    """Make polynomials of the courses at all nodes, if they are true to the courses.

    Returns
    -------
    Courses or None
        None where too much is shared, the table would be too large, a course cannot be solved, or
        the log posterior over polynomials moves against the exact one by more than `CLOSE` nats.
    """
    which = shared_by_courses(of)
    count, patients = nodes.log_drawn.shape
    if not of.effects or not room(len(which), count, patients, it.data.visible.shape[1]):
        return None
    at = of.population(jnp.asarray(summit.position), it.traits)
    laid = layout(len(which))
    sd = np.sqrt(np.diag(summit.covariance))[list(which)]
    scale = np.array([of.model.shared[k].sd for k in which])
    centre, half = np.asarray(at.shared)[list(which)], REACH * sd * scale
    coefficient: Array | float = 0.0
    for point, row in zip(laid.point, laid.solver.T, strict=True):
        shared = at.shared.at[jnp.array(which, int)].set(centre + half * point)
        course, ok = solved(of, it, nodes.effects, at._replace(shared=shared))
        if not bool(jnp.all(ok)):
            return None
        share = jnp.asarray(row, jnp.float32)[:, None, None, None]
        coefficient = coefficient + share * course.astype(jnp.float32)
    found = Courses(jnp.asarray(coefficient), laid.power, jnp.asarray(centre), jnp.asarray(half))
    return found if _true(of, it, nodes, found, summit, seed) else None


def _true(
    of: Coordinates, it: Series, nodes: Nodes, courses: Courses, summit: Summit, seed: int
) -> bool:
    root = np.linalg.cholesky(summit.covariance)
    z = np.random.default_rng([seed, 6]).standard_normal((TRIED, len(of)))
    x = np.asarray(summit.position) + z @ root.T
    x, key = [one for one in x if hold(of, courses, one)], jax.random.key(seed)
    exact, read = (
        np.array([float(at_one(of, it, nodes, table, one, key)[0]) for one in x])
        for table in (None, courses)
    )
    return bool(np.std(read - exact) < CLOSE)
