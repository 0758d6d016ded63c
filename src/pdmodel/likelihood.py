"""From values to the log-likelihood of every scan: solve the courses, ask the residual."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from beartype import beartype
from beartype.vale import IsInstance
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Bool, Float, Num, PyTree, jaxtyped

from pdmodel.course import Accuracy, lay_out
from pdmodel.data import Cohort, Patient
from pdmodel.errors import DataError, OptionError
from pdmodel.keys import key_of
from pdmodel.model import Kinetics, Model
from pdmodel.parameter import Values
from pdmodel.residual import Scans
from pdmodel.solve import Blocks, blocked, log_sizes

OfPatients = PyTree[Num[ArrayLike, "#{data.patients}"] | Num[ArrayLike, ""]]
"""Values that are each a number or of shape (patients,) or (1,), checked by `log_likelihood`."""


class Evidence(NamedTuple):
    """What was measured, padded to (patients, visits), with the courses laid out beside it."""

    scans: Scans
    visible: Array
    """Whether there is a scan; False for padding."""
    blocks: Blocks

    @property
    def patients(self) -> int:
        """Number of patients."""
        return self.visible.shape[0]


def evidence(
    model: Model,
    cohort: Cohort | Sequence[Patient],
    accuracy: Accuracy = "standard",
    drawn: int | None = None,
) -> Evidence:
    """Lay out a cohort for the likelihood: done once, on the host.

    Patients' pharmacokinetics are those of `kinetics_of`.
    """
    patients = tuple(cohort)
    courses = lay_out(
        model,
        [patient.start_day for patient in patients],
        [patient.day for patient in patients],
        [patient.regimens for patient in patients],
        accuracy,
        kinetics_of(model, patients, drawn),
    )
    visits = courses.visible.shape[1]

    def padded(values: np.ndarray, fill: float) -> np.ndarray:
        return np.pad(values, (0, visits - len(values)), constant_values=fill)

    return Evidence(
        Scans(
            day=jnp.asarray([padded(p.day, p.last_day) for p in patients]),
            log_size=jnp.asarray([padded(np.log(p.size_mm), 0.0) for p in patients]),
            censored=jnp.asarray([padded(p.censored, 0) for p in patients], bool),
        ),
        jnp.asarray(courses.visible),
        blocked(courses),
    )


def kinetics_of(
    model: Model, patients: Sequence[Patient], drawn: int | None = None
) -> list[Kinetics]:
    """Give every patient pharmacokinetics, by drug.

    Parameters
    ----------
    model : Model
    patients : sequence of Patient
    drawn : int, optional
        Seed of one draw for each patient from the published population of each drug, at the
        patient's covariates; it hangs on the patient's key alone. Without it, those predicted.

    Raises
    ------
    DataError
        If a covariate has a value that none has; it names the patient.
    """
    found = []
    for patient in patients:
        try:
            if drawn is None:
                found.append(model.kinetics(patient.covariates))
                continue
            number = int(
                jax.random.bits(key_of(drawn, "pharmacokinetics", patient.key), dtype=jnp.uint32)
            )
            found.append(model.drawn_kinetics(patient.covariates, number))
        except OptionError as error:
            raise DataError(f"Patient {patient.id!r}: {error}") from None
    return found


def everyone(model: Model, values: Values, data: Evidence) -> dict[str, Array]:
    """Give every patient every parameter, constants included; each of shape (patients,)."""
    size = (data.patients,)
    return {
        name: jnp.broadcast_to(jnp.asarray(value, float), size)
        for name, value in {**model.constants, **values}.items()
    }


def expected_sizes(model: Model, values: Values, data: Evidence) -> tuple[Array, Array]:
    """Solve the courses; log sizes (patients, visits), and whether each was solved (patients,)."""
    known = everyone(model, values, data)
    mine = [q for q in model.mechanism.parameters if q.name in known]
    moving = {q.name: known[q.name] for q in mine if not q.fixed}
    still = {q.name: known[q.name] for q in mine if q.fixed}
    return log_sizes(model.mechanism, moving, still, data.blocks)


def scan_terms(model: Model, values: Values, data: Evidence, expected: Array, ok: Array) -> Array:
    """Log density of every scan around given courses, (patients, visits); 0 where there is none."""
    known = everyone(model, values, data)
    terms = jax.vmap(model.residual.log_density)(expected, data.scans, known)
    return jnp.where(data.visible & ok[:, None], terms, 0.0)


@jaxtyped(typechecker=beartype)
def log_likelihood(
    model: Model, values: Annotated[Mapping[str, Any], IsInstance[OfPatients]], data: Evidence
) -> tuple[Float[Array, "patients visits"], Bool[Array, "patients"]]:  # noqa: F821  # a shape
    """Log-likelihood of every scan.

    Parameters
    ----------
    model : Model
    values : mapping of str to Array
        The free parameters, each a number or of shape (patients,) or (1,); constants are added.
    data : Evidence

    Returns
    -------
    terms, ok : Array
        Log density per mm (log probability where censored) of shape (patients, visits), 0 where
        there is no scan; and whether each patient's course was solved, shape (patients,).

    Raises
    ------
    jaxtyping.TypeCheckError
        If a value is of another shape.
    """
    expected, ok = expected_sizes(model, values, data)
    return scan_terms(model, values, data, expected, ok), ok


def stacked(pieces: list[Evidence]) -> Evidence:
    """Pad the evidence of single patients to one shape and stack it."""

    def padded(*leaves: Array) -> Array:
        longest = np.max([leaf.shape for leaf in leaves], axis=0)
        full = leaves[0].dtype != bool and all(leaf.size for leaf in leaves)
        more = [[(0, n - m) for n, m in zip(longest, one.shape, strict=True)] for one in leaves]
        pad = partial(jnp.pad, mode="edge" if full else "constant")
        return jnp.stack([pad(x, by) if x.ndim else x for x, by in zip(leaves, more, strict=True)])

    return jax.tree.map(padded, *pieces)
