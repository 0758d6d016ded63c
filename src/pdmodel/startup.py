"""What the command line sets before anything is computed, and how it takes up a run."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from pdmodel import shell

if TYPE_CHECKING:
    from pdmodel.fit import Fit


def float64() -> None:
    """Compute in double precision, and keep compiled programs for the next time."""
    import jax

    from pdmodel.data.fetch import cache_folder

    jax.config.update("jax_enable_x64", True)
    if jax.config.jax_compilation_cache_dir:
        return
    compiled = cache_folder() / "compiled"
    try:
        compiled.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=compiled):
            pass
    except OSError:
        return  # compiled anew each time
    jax.config.update("jax_compilation_cache_dir", str(compiled))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


def fitted(run: Path, *, warn: bool = True) -> "Fit":
    """Read a run; say so on stderr if it must not be trusted."""
    float64()
    from pdmodel.diagnose import diagnose
    from pdmodel.run import load

    found = load(run)
    if warn and (reasons := diagnose(found).reasons):
        shell.complain(f"Warning: {distrust(reasons)}")
    return found


def distrust(reasons: Sequence[str]) -> str:
    """Say in one sentence why a fit must not be trusted."""
    return f"this fit must not be trusted: {'; '.join(reasons)}."
