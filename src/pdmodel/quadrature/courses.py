"""Courses at all nodes as functions of what courses share: solved some times, then read off.

Nodes stay where they are, so that from one position of the population to the next their courses
change with the shared parameters of the mechanism and the drugs alone, smoothly. One parameter is
followed by cubic polynomials from knot to knot: a course that escapes beyond some value of it, and
does not below, is too steep there for one polynomial (over the published arm one of degree 19 was
off by 1.8 nats in a patient, 48 knots by 0.003). More are followed by polynomials on Chebyshev
points. The likelihood is made from what is read off as from solved courses. How far the two differ
is measured before they are used.
"""

from itertools import batched, product
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import qmc

from pdmodel.nodes import Nodes
from pdmodel.parallel import cores, side_by_side
from pdmodel.quadrature.climb import Summit
from pdmodel.quadrature.coordinates import Coordinates
from pdmodel.quadrature.integrand import hold, shared_by_courses, solved
from pdmodel.quadrature.pool import at_one
from pdmodel.quadrature.series import Series
from pdmodel.quadrature.stored import Courses

KNOTS = 48
"""Even steps over one shared parameter."""
DEGREES = {0: 0, 2: 6, 3: 4}
"""Total degree of polynomials of several shared parameters; with more all courses are solved."""
REACH = 4.5
"""Posterior sds to both sides of the mode within which courses are read off."""
LARGEST = 2**30
"""Bytes of the largest table."""
TRIED, CLOSE = 6, 0.05
"""Positions at which the log posterior is compared, and the largest sd of the differences, nats."""


class Layout(NamedTuple):
    """Where courses are solved, and what makes coefficients of them.

    Attributes
    ----------
    power : tuple of tuple of int, or None
        Chebyshev degrees of every feature, one for each shared parameter; None for knots.
    point : ndarray, shape (points, shared)
        In the cube from -1 to 1.
    solver : ndarray, shape (features, points)
        Coefficients by least squares; courses themselves at knots.
    """

    power: tuple[tuple[int, ...], ...] | None
    point: np.ndarray
    solver: np.ndarray


def layout(shared: int) -> Layout:
    """Lay the points of a number of shared parameters."""
    if shared == 1:
        return Layout(None, np.linspace(-1.0, 1.0, KNOTS)[:, None], np.eye(KNOTS))
    degree = DEGREES[shared]
    power = tuple(p for p in product(range(degree + 1), repeat=shared) if sum(p) <= degree)
    point = np.zeros((1, 0))
    if shared:
        cube = qmc.Halton(shared, scramble=False).random(2 * len(power) + 1)[1:]
        point = np.cos(np.pi * cube)
    feature = np.stack([np.prod([np.cos(k * np.arccos(point[:, j])) for j, k in enumerate(p)], 0)
                        * np.ones(len(point)) for p in power], axis=1)  # fmt: skip
    return Layout(power, point, np.linalg.pinv(feature))


def room(shared: int, nodes: int, patients: int, visits: int) -> int:
    """Count the bytes of a table; 0 where there would be none."""
    if shared != 1 and shared not in DEGREES:
        return 0
    size = len(layout(shared).solver) * nodes * patients * visits * 4
    return size if size <= LARGEST else 0


def tabled(of: Coordinates, it: Series, nodes: Nodes, summit: Summit, seed: int) -> Courses | None:
    """Make functions of the courses at all nodes, if they are true to the courses.

    Returns
    -------
    Courses or None
        None where too much is shared, the table would be too large, a course cannot be solved, or
        the log posterior over what is read off moves against the exact one by more than `CLOSE`.
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
    size = (len(laid.solver), count, *it.data.visible.shape)
    coefficient = np.zeros(size, np.float32)

    def at_point(k: int) -> np.ndarray | None:
        shared = at.shared.at[jnp.array(which, int)].set(centre + half * laid.point[k])
        course, ok = solved(of, it, nodes.effects, at._replace(shared=shared))
        return np.asarray(course, np.float32) if bool(jnp.all(ok)) else None

    for few in batched(range(len(laid.point)), cores()):
        courses = side_by_side(lambda j, few=few: at_point(few[j]), len(few))
        for k, course in zip(few, courses, strict=True):
            if course is None:
                return None
            for feature in np.flatnonzero(laid.solver[:, k]):
                coefficient[feature] += np.float32(laid.solver[feature, k]) * course
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
