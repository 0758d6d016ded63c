"""The public data: fetched, checked, found, and what is said where there is no network."""

import hashlib
from pathlib import Path

import pooch
import pytest
import requests

from pdmodel.data import fetch, fetch_laleh2022, laleh2022_path
from pdmodel.errors import DataError


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setattr(pooch, "os_cache", lambda _: folder)
    monkeypatch.delenv(fetch.FOLDER_VARIABLE, raising=False)
    return folder


def serve(monkeypatch, content: bytes) -> None:
    """Stand in for the publisher."""

    def download(url: str, output_file: str, _: object) -> None:
        assert url == fetch.URL
        Path(output_file).write_bytes(content)

    monkeypatch.setattr("pooch.core.choose_downloader", lambda *_, **__: download)


def test_the_address_is_that_of_the_supplement():
    assert fetch.URL.startswith("https://journals.plos.org/ploscompbiol/article/file?")
    assert fetch.URL.endswith("type=supplementary&id=10.1371/journal.pcbi.1009822.s006")


def test_a_download_is_checked_and_kept(cache, monkeypatch):
    content = b"the published file"
    monkeypatch.setattr(fetch, "SHA256", hashlib.sha256(content).hexdigest())
    serve(monkeypatch, content)
    assert fetch_laleh2022().read_bytes() == content
    serve(monkeypatch, b"")  # not asked again
    assert fetch_laleh2022() == laleh2022_path() == cache / fetch.WHOLE
    serve(monkeypatch, content)
    assert fetch_laleh2022(cache / "other").parent == cache / "other"


def test_another_file_than_the_published_one_is_refused_and_not_kept(cache, monkeypatch):
    serve(monkeypatch, b"a page that asks to log in")
    with pytest.raises(DataError, match=r"could not be fetched: SHA256 hash of downloaded file"):
        fetch_laleh2022()
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (requests.exceptions.ConnectionError("HTTPSConnectionPool(...): Max retries exceeded"),
         "there is no connection to journals.plos.org."),
        (PermissionError(13, "Permission denied"), "[Errno 13] Permission denied"),
    ],
)  # fmt: skip
def test_without_network_it_says_what_to_do(cache, monkeypatch, error, reason):
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(pooch, "retrieve", fail)
    with pytest.raises(DataError) as told:
        fetch_laleh2022()
    message = str(told.value)
    assert message.splitlines()[0].endswith(f"could not be fetched: {reason}")
    assert "doi:10.1371/journal.pcbi.1009822" in message
    assert f"Download them in a browser from {fetch.URL}" in message
    assert str(cache / fetch.WHOLE) in message
    assert "set PDMODEL_DATA to the folder" in message


def test_the_named_folder_comes_first_and_a_part_serves(cache, tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"not in .*cache. Fetch them with `pdmodel data fetch`"):
        laleh2022_path()
    named = tmp_path / "named"
    named.mkdir()
    monkeypatch.setenv(fetch.FOLDER_VARIABLE, str(named))
    with pytest.raises(DataError, match=r"are not in .*named or .*cache"):
        laleh2022_path()
    (named / fetch.PART).write_bytes(b"part")
    assert laleh2022_path() == named / fetch.PART
    whole = named / fetch.AS_PUBLISHED[0]
    whole.write_bytes(b"whole")
    with pytest.raises(DataError, match=r"is not the published file .* Remove it and fetch it"):
        laleh2022_path()
    monkeypatch.setattr(fetch, "SHA256", hashlib.sha256(b"whole").hexdigest())
    assert laleh2022_path() == whole


def test_the_real_part_is_found(real_data, monkeypatch):
    monkeypatch.setenv(fetch.FOLDER_VARIABLE, str(real_data.parent))
    assert laleh2022_path() == real_data
