"""The report on paper: its page printed into a PDF by a Chromium that is there."""

import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from pdmodel.errors import RunError
from pdmodel.run import whole

NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "msedge",
)
ELSEWHERE = ("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",)
CHOSEN = "PDMODEL_CHROMIUM"
SECONDS = 300.0
"""A page of 1,500 patients takes some ten."""
OPTIONS = (
    "--headless", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-pdf-header-footer",
)  # fmt: skip
MISSING = (
    "There is no Chromium or Chrome to print with. Install one (Debian: 'apt-get install "
    f"chromium'), or name the program in {CHOSEN}; or leave --pdf out and print the page from a "
    "browser."
)


def chromium() -> Path:
    """Find the program that prints.

    Raises
    ------
    RunError
        If there is none, or the one that is named in ``PDMODEL_CHROMIUM`` is none.
    """
    if asked := os.environ.get(CHOSEN):
        if found := shutil.which(asked):
            return Path(found)
        raise RunError(f"{CHOSEN} is {asked!r}, which is no program; correct it, or unset it.")
    for name in (*NAMES, *ELSEWHERE):
        if found := shutil.which(name):
            return Path(found)
    raise RunError(MISSING)


def print_page(page: Path, path: Path, program: Path | None = None) -> Path:
    """Print a page into a PDF; nothing is loaded for it.

    Parameters
    ----------
    page : path
        HTML file.
    path : path
        Of the PDF; what was there before is replaced.
    program : path, optional
        Chromium; looked for otherwise.

    Returns
    -------
    Path
        The PDF.

    Raises
    ------
    RunError
        If there is no Chromium, or it did not print, or the file cannot be written.
    """
    program = program or chromium()
    with TemporaryDirectory(prefix="pdmodel-", ignore_cleanup_errors=True) as folder:
        printed = Path(folder) / "page.pdf"
        words = [str(program), *OPTIONS, f"--user-data-dir={folder}/user"]
        if getattr(os, "geteuid", lambda: 1)() == 0:
            words.append("--no-sandbox")  # which the system's first user cannot have
        words += [f"--print-to-pdf={printed}", page.resolve().as_uri()]
        said = _run(words)
        if not printed.is_file():
            raise RunError(
                f"{program} did not print {page}: {said}. The page is there; print it from a "
                f"browser, or name another program in {CHOSEN}."
            )
        content = printed.read_bytes()
    try:
        whole(path, content)
    except OSError as problem:
        raise RunError(
            f"The report could not be written to {path}: {problem.strerror or problem}. "
            "Free space, or choose another file with -o."
        ) from problem
    return path


def _run(words: list[str]) -> str:
    """Run the program; give its last words, or that it did not end."""
    try:
        found = subprocess.run(  # noqa: S603  # no shell, and no word from the data
            words, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"it had not finished after {SECONDS:.0f} s"
    except OSError as problem:
        return problem.strerror or str(problem)
    lines = found.stderr.strip().splitlines()
    return lines[-1].strip().rstrip(".") if lines else f"exit code {found.returncode}"
