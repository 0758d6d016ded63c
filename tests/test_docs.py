"""The pages: that they know what the source can say, and figures that the benchmarks wrote."""

import ast
import re
from pathlib import Path

import pytest

import pdmodel.errors as errors

ROOT = Path(__file__).parent.parent
SOURCE, DOCS = ROOT / "src" / "pdmodel", ROOT / "docs"
READING = ("data", "assess")
FINDERS = {"Note": 1, "rows_note": 1, "unusable": 0, "row_notes": 0, "_some": 0}
"""Functions that make a finding, and where among their arguments its code stands."""
FILLED = {"bad-": ("evid", "mdv", "blq", "cens"), "blank-": ("day", "amount_mg", "duration_day"),
          "negative-": ("amount_mg", "duration_day")}  # fmt: skip


def codes_of(text):
    """Codes of findings that a source can give; those put together are written out."""
    found = set()
    for call in ast.walk(ast.parse(text)):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
            continue
        place = FINDERS.get(call.func.id)
        if place is None or len(call.args) <= place:
            continue
        code = call.args[place]
        if isinstance(code, ast.Constant):
            found.add(code.value)
        elif isinstance(code, ast.JoinedStr):
            start = code.values[0].value
            found |= {start + end for end in FILLED[start]}
        else:  # handed on by a function that is itself one of the finders
            assert isinstance(code, ast.Name), ast.unparse(call)
            assert code.id == "code", ast.unparse(call)
    return found


def codes_of_the_page():
    text = (DOCS / "errors.md").read_text("utf-8")
    return re.findall(r"^\| `([\w-]+)` \| (?:error|warning|info)", text, re.MULTILINE)


def test_every_code_of_a_finding_is_in_the_catalogue_once_and_no_other():
    written = codes_of_the_page()
    files = [path for part in READING for path in (SOURCE / part).rglob("*.py")]
    source = set().union(*(codes_of(path.read_text("utf-8")) for path in files))
    assert len(source) > 100
    assert sorted(written) == sorted(source)


@pytest.mark.parametrize("name", [
    name for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.PdmodelError)
])  # fmt: skip
def test_every_kind_of_error_is_in_the_catalogue(name):
    assert f"`{name}`" in (DOCS / "errors.md").read_text("utf-8")


def test_every_page_is_in_the_contents():
    contents = (DOCS / "index.md").read_text("utf-8").partition("```{toctree}")[2].split()
    pages = {path.stem for path in DOCS.glob("*.md")} - {"index"}
    assert pages == pages & set(contents)


FIGURES = re.compile(r"\d+\.\d+|\d{3,}|\de-\d+|\d+ of \d+")
RESULTS = ROOT / "benchmarks" / "results"


def unsupported(page, sections, *others):
    """Figures of a page, by section where each names its file, that neither it nor others hold."""
    text = (DOCS / page).read_text("utf-8")
    found = []
    for part in text.split("\n## ") if sections else [text]:
        names = re.findall(r"\b(bench_\w+\.txt)", part)
        if not names:
            continue
        files = [*(RESULTS / name for name in set(names)), *(DOCS / name for name in others)]
        known = " ".join(path.read_text("utf-8") for path in files)
        plain = re.sub(r"\]\([^)]*\)|doi:\S+|arXiv:\S+|sitc2020|CheckMate-\d+|Tsit5", "", part)
        plain = plain.replace("\N{MINUS SIGN}", "-")
        found += [one for one in FIGURES.findall(plain) if not held(one, known)]
    return found


def held(figure, known):
    """Whether a figure stands in a text by itself, as it is, or as a share of the percent."""
    first, _, second = figure.partition(" of ")
    if second:
        return re.search(rf"\b{first} of {second}\b", known) is not None
    shapes = {figure, figure + "0"}
    return any(re.search(rf"(?<![\d.]){re.escape(x)}(?![\d.]*\d)", known) for x in shapes)


def test_figures_of_the_pages_stand_in_the_results():
    assert not unsupported("validation.md", True)
    assert not unsupported("methods.md", False, "statistical-specification.md")


def test_a_figure_that_no_result_holds_is_found():
    assert held("0.29", "deviation 0.29 %")
    assert held("65 of 66", "65 of 66 records")
    assert not held("0.29", "deviation 10.29 or 0.291")
    assert not held("65 of 66", "65 of 660")
