"""What all tests share: float64, strict shapes, a cache of compiled models, and the real cohort."""

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")  # before anything imports matplotlib
# A quarter less time for the whole suite than level 1, which takes a fifth of what 3 takes.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import hypothesis
import jax
import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.text import Text

from pdmodel import Cohort, Fit, Model, drug, mechanism, residual

ROOT = Path(__file__).parent.parent
REAL_COHORT = "laleh2022_s1_part.xlsx"
MAPS = 20_000
"""Memory maps of a process, of 65,530 that Linux allows, from which compiled models are let go."""

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")

# Compiling takes longer than any deadline; the same examples every time keep a failure repeatable.
hypothesis.settings.register_profile("pdmodel", deadline=None, derandomize=True)
hypothesis.settings.load_profile("pdmodel")


def pytest_configure(config: pytest.Config) -> None:
    """Keep compiled models between runs, beside what pytest keeps."""
    jax.config.update("jax_compilation_cache_dir", str(config.cache.mkdir("jax")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


@pytest.fixture(scope="module", autouse=True)
def compiled_models_do_not_pile_up() -> Iterator[None]:
    """Let go of compiled models between files before they take all maps that a process may have."""
    yield
    maps = Path("/proc/self/maps")
    if not maps.exists() or len(maps.read_bytes().splitlines()) > MAPS:
        jax.clear_caches()


@pytest.fixture
def rank_promotion_allowed() -> Iterator[None]:
    """Let arrays of different rank meet, as NumPyro's multivariate distributions do inside."""
    with jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture(scope="module")
def broadcasting() -> Iterator[None]:
    """Let arrays of different rank meet in a whole file, in every thread that samples for it."""
    jax.config.update("jax_numpy_rank_promotion", "allow")
    yield
    jax.config.update("jax_numpy_rank_promotion", "raise")


def published(name: str) -> Path:
    """Give the path of a file or folder of shared data; skip where it is not."""
    folder = Path(os.environ.get("PDMODEL_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / name).exists():
        pytest.skip(f"{name} is not in {folder}; set PDMODEL_DATA to the folder that has it")
    return folder / name


@pytest.fixture
def real_data() -> Path:
    """Give the path of the published cohort."""
    return published(REAL_COHORT)


@pytest.fixture
def transport() -> Path:
    """Give the folder of clinical tables, where SAS transport files can be read."""
    pytest.importorskip("pyreadstat")
    return published("cdisc")


@pytest.fixture(scope="session")
def fit_by_hand() -> Callable[..., Fit]:
    """Give a function from a cohort, and a number of divergences, to a fit without sampling."""
    return _by_hand


def _by_hand(cohort: Cohort, divergences: int = 0, chains: int = 2, draws: int = 600) -> Fit:
    drugs = tuple(map(drug, cohort.drugs))
    model = Model(mechanism("exhaustion"), drugs, residual("student_t"))
    rng, dims, one = np.random.default_rng(1), ("chain", "draw", "patient"), (chains, draws)
    values = {}
    for q in model.free:
        around = q.centre + 0.05 * rng.normal(size=(*one, len(cohort)))
        values[q.name] = q.natural(around if q.individual else around[..., 0])
        if q.individual:
            values[f"{q.name}_typical"] = q.natural(q.centre + 0.05 * rng.normal(size=one))
            values[f"{q.name}_sd"] = q.iiv * np.exp(0.05 * rng.normal(size=one))
    stats = {"energy": rng.normal(size=one), "n_steps": np.full(one, 7)}
    stats["diverging"] = np.arange(chains * draws).reshape(one) < divergences
    seen = {name: np.concatenate([getattr(p, name) for p in cohort])
            for name in ("day", "size_mm", "censored")}  # fmt: skip
    scans = {"obs_patient": np.repeat(cohort.keys, [len(p.day) for p in cohort])}
    scans["obs_day"] = seen.pop("day")
    groups = {
        "posterior": xr.Dataset(
            {name: (dims[: x.ndim], np.asarray(x)) for name, x in values.items()},
            {"patient": list(cohort.keys)},
        ),
        "sample_stats": xr.Dataset({name: (dims[:2], x) for name, x in stats.items()}),
        "observed_data": xr.Dataset({name: ("obs", x) for name, x in seen.items()},
                                    {name: ("obs", x) for name, x in scans.items()}),
    }  # fmt: skip
    options = {"pooling": "partial", "method": "nuts", "seed": 1, "chains": chains, "warmup": 20,
               "draws": draws, "max_depth": 8, "accuracy": "draft"}  # fmt: skip
    manifest = {"options": options, "failed_solves": {"posterior": "0 of 1"}, "seconds": {"fit": 1}}
    return Fit(model, cohort, xr.DataTree.from_dict(groups), manifest)


@pytest.fixture(scope="session")
def outside() -> Callable[[Figure], list[str]]:
    """Give a function from a figure to its texts that leave the page."""
    return _outside


def _outside(figure: Figure) -> list[str]:
    """Texts that leave the page, with a point to spare; numbers of the axes aside."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.draw_without_rendering()
    page, spare = figure.bbox, figure.dpi / 72
    numbers = {
        x for ax in figure.axes for axis in (ax.xaxis, ax.yaxis) for x in axis.get_ticklabels()
    }
    texts = [x for x in figure.findobj(Text) if x not in numbers and x.get_text().strip()]
    boxes = {x.get_text(): x.get_window_extent() for x in texts}
    return [
        name
        for name, box in boxes.items()
        if box.x0 < page.x0 - spare or box.x1 > page.x1 + spare
        or box.y0 < page.y0 - spare or box.y1 > page.y1 + spare
    ]  # fmt: skip
