"""What all tests share: float64, strict shapes, a cache of compiled models, and the real cohort."""

import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")  # before anything imports matplotlib

import hypothesis
import jax
import pytest

ROOT = Path(__file__).parent.parent
REAL_COHORT = "laleh2022_s1_part.xlsx"

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")

# Compiling takes longer than any deadline; the same examples every time keep a failure repeatable.
hypothesis.settings.register_profile("pdmodel", deadline=None, derandomize=True)
hypothesis.settings.load_profile("pdmodel")


def pytest_configure(config: pytest.Config) -> None:
    """Keep compiled models between runs, beside what pytest keeps."""
    jax.config.update("jax_compilation_cache_dir", str(config.cache.mkdir("jax")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@pytest.fixture
def rank_promotion_allowed() -> Iterator[None]:
    """Let arrays of different rank meet, as NumPyro's multivariate distributions do inside."""
    with jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture
def real_data() -> Path:
    """Give the path of the published cohort; skip where it is not."""
    folder = Path(os.environ.get("PDMODEL_DATA", ROOT.parent / "shared" / "data"))
    path = folder / REAL_COHORT
    if not path.is_file():
        pytest.skip(f"{REAL_COHORT} is not in {folder}; set PDMODEL_DATA to the folder that has it")
    return path
