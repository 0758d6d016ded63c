"""The public data of Ghaffari Laleh et al. 2022: fetched from the publisher, kept in a cache."""

import hashlib
import os
from pathlib import Path

import pooch

from pdmodel.errors import DataError

DOI = "10.1371/journal.pcbi.1009822"
URL = f"https://journals.plos.org/ploscompbiol/article/file?type=supplementary&id={DOI}.s006"
SHA256 = "ffca72e8b9a54129d2245c315ba89d8169e63dbd2c971119a63f454e5fe63e3d"
LICENSE = "CC BY 4.0"

WHOLE = "laleh2022_s1.xlsx"
"""Name of the whole table in the cache."""

AS_PUBLISHED = ("journal.pcbi.1009822.s006.xlsx", "pcbi.1009822.s006.xlsx")
"""Names that a browser gives it."""

PART = "laleh2022_s1_part.xlsx"
FOLDER_VARIABLE = "PDMODEL_DATA"


def cache_folder() -> Path:
    """Return the folder that downloads go to, in the user's cache."""
    return Path(pooch.os_cache("pdmodel"))


def fetch_laleh2022(folder: str | os.PathLike[str] | None = None) -> Path:
    """Download the published table, unless it is there already, and check it.

    Parameters
    ----------
    folder : path, optional
        Where to keep it; by default the user's cache.

    Returns
    -------
    Path
        The file, whose SHA-256 is that of the published one.

    Raises
    ------
    DataError
        If it cannot be fetched or is not the published file.
    """
    place = cache_folder() if folder is None else Path(folder)
    try:
        found = pooch.retrieve(URL, known_hash=f"sha256:{SHA256}", fname=WHOLE, path=place)
    except (OSError, ValueError) as error:
        reason = _why_not(error)
        raise DataError(
            f"The public data (doi:{DOI}, {LICENSE}) could not be fetched: {reason}\n"
            f"Download them in a browser from {URL} and save them as {place / WHOLE}, or set "
            f"{FOLDER_VARIABLE} to the folder that holds the file."
        ) from None
    return Path(found)


def _why_not(error: Exception) -> str:
    """Say in a few words why a download failed."""
    from requests.exceptions import ConnectionError as NoConnection

    if isinstance(error, NoConnection):
        return f"there is no connection to {URL.split('/')[2]}."
    return str(error).splitlines()[0][:200]


def laleh2022_path() -> Path:
    """Find the public data: in the folder ``$PDMODEL_DATA`` or in the cache.

    Returns
    -------
    Path
        The whole published table, or the part of it that serves for tests.

    Raises
    ------
    DataError
        If there is none, or the whole table is damaged.
    """
    named = os.environ.get(FOLDER_VARIABLE, "")
    folders = ([Path(named)] if named else []) + [cache_folder()]
    for folder in folders:
        for name in (WHOLE, *AS_PUBLISHED):
            if (found := folder / name).is_file():
                return _checked(found)
        if (part := folder / PART).is_file():
            return part
    raise DataError(
        f"The public data (doi:{DOI}) are not in {' or '.join(map(str, folders))}. Fetch them with "
        f"`pdmodel data fetch`, or set {FOLDER_VARIABLE} to a folder with {WHOLE} or {PART}."
    )


def _checked(path: Path) -> Path:
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise DataError(
            f"{path} is not the published file (SHA-256 {SHA256[:12]}...): it is damaged or of "
            "another version. Remove it and fetch it again with `pdmodel data fetch`."
        )
    return path
