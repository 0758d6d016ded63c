"""What every benchmark says first: its command, the date, versions, and the processor."""

import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

USED = ("pdmodel", "jax", "numpyro", "numpy", "scipy")


def installed(package: str) -> str | None:
    """Version of a package, or None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def processor() -> str:
    """Model of the processor, as the system names it."""
    table = Path("/proc/cpuinfo")
    if table.is_file():
        named = [line for line in table.read_text().splitlines() if line.startswith("model name")]
        if named:
            return named[0].partition(":")[2].strip()
    return platform.processor() or platform.machine()


def heading(about: str, packages: Sequence[str] = USED) -> None:
    """Print what is measured, with what, and on what."""
    versions = [f"{name} {installed(name)}" for name in packages if installed(name)]
    script = f"benchmarks/{Path(sys.argv[0]).name}"
    print(about)
    print(f"command: {' '.join(['python', script, *sys.argv[1:]])}")
    print(f"date: {datetime.now(UTC):%Y-%m-%d}")
    print(f"versions: Python {platform.python_version()}, {', '.join(versions)}; float64")
    print(f"processor: {processor()}, {os.cpu_count()} cores", flush=True)


def part(title: str) -> None:
    """Print the title of one part."""
    print(f"\n{title}\n{'-' * len(title)}", flush=True)
