"""Files as they come: encodings, separators, workbooks, and what only looks like a table."""

import datetime as dt
from pathlib import Path

import openpyxl
import pytest

from pdmodel.data import check_tables, read_cohort
from pdmodel.errors import DataError

PLAIN = "patient_id,day,size_mm,arm\nP01,-3,50.5,a\nP01,42,40,a\nP02,0,60,b\nP02,42,66,b\n"


def write(folder: Path, content: bytes | str, name: str = "sizes.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def workbook(folder: Path, *sheets: list[list[object]], name: str = "sizes.xlsx") -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for rows in sheets:
        sheet = book.create_sheet()
        for row in rows:
            sheet.append(row)
    book.save(folder / name)
    return folder / name


def same(path: Path, folder: Path) -> None:
    one, other = read_cohort(write(folder, PLAIN, "plain.csv")), read_cohort(path)
    assert [(p.id, p.arm, p.day.tolist(), p.size_mm.tolist()) for p in one] == [
        (p.id, p.arm, p.day.tolist(), p.size_mm.tolist()) for p in other
    ]


FINE = {
    "BOM and CRLF": ("\ufeff" + PLAIN.replace("\n", "\r\n"), "sizes.csv"),
    "tabs": (PLAIN.replace(",", "\t"), "sizes.tsv"),
    "tabs named csv": (PLAIN.replace(",", "\t"), "sizes.csv"),
    "semicolons": (PLAIN.replace(",", ";"), "sizes.csv"),
    "blank lines, trailing commas": (PLAIN.replace("\n", ",\n\n,,,\n"), "sizes.csv"),
    "no last line end": (PLAIN.strip(), "sizes.csv"),
    "quotes and spaces": (PLAIN.replace("50.5", '" 50.5 "').replace("day", ' "day" '.strip()), "a"),
    "spaces in the path": (PLAIN, "tumor sizes é.csv"),
}


@pytest.mark.parametrize(("text", "name"), FINE.values(), ids=FINE)
def test_harmless_variants_read_like_the_plain_table(tmp_path, text, name):
    same(write(tmp_path, text, name), tmp_path)


def test_decimal_commas_are_read_where_semicolons_separate(tmp_path):
    path = write(tmp_path, PLAIN.replace(",", ";").replace("50.5", "50,5"))
    same(path, tmp_path)
    (note,) = check_tables(path)
    assert note.message.endswith("column size_mm: read 1 decimal comma as a point.")


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("1.200", r"'1.200' is not finite, or mixes decimal points and commas"),
        ("60,125", r"'60,125' has a thousands separator, or a decimal comma; write 1234 or 1.234"),
    ],
)
def test_ambiguous_commas_are_refused(tmp_path, cell, message):
    text = PLAIN.replace(",", ";").replace("50.5", "50,5").replace("66", cell)
    with pytest.raises(DataError, match=r"line 5, column size_mm: " + message):
        read_cohort(write(tmp_path, text))


XLSX = b"PK\x03\x04" + b"\0" * 50
REFUSED = {
    "empty": ("", "s.csv", r"s.csv: the file is empty; it needs a header and rows"),
    "blank": (" \n\n", "s.csv", r"the file is empty"),
    "header only": ("patient_id,day,size_mm\n", "s.csv", r"a header but no rows below it"),
    "xlsx named csv": (XLSX, "s.csv", r"this is an Excel workbook .* name a workbook .xlsx"),
    "csv named xlsx": (PLAIN, "s.xlsx", r"this is not an .xlsx workbook; .* name a text file .csv"),
    "damaged xlsx": (XLSX, "s.xlsx", r"the workbook is damaged"),
    "old Excel": (b"\xd0\xcf\x11\xe0\xa1", "s.csv", r"old or a locked Excel file; save it as .xls"),
    "gzip": (b"\x1f\x8b\x08\x00", "s.csv", r"this file is compressed; unpack it"),
    "binary": (b"a\0b,c\n1,2", "s.csv", r"not a text file; save it as CSV UTF-8"),
    "UTF-16": (PLAIN.encode("utf-16"), "s.csv", r"this text is UTF-16; save it as CSV UTF-8"),
    "latin-1": (PLAIN.replace("P02", "Müller").encode("latin-1"), "s.csv",
                r"s.csv, line 4: byte 0xfc is not UTF-8; save the file as CSV UTF-8"),
    "parquet named csv": (b"PAR1xxxxPAR1", "s.csv", r"this is a Parquet file; name it .parquet"),
    "no parquet": (b"nothing", "s.parquet", r"Parquet needs pyarrow|it is not a Parquet file"),
    "missing column": (PLAIN.replace("size_mm", "SLD_mm"), "s.csv",
                       r"'size_mm' missing; .*'arm'. Rename 'SLD_mm' to 'size_mm'\?"),
    "column of another name": (PLAIN.replace("size_mm", "SLD"), "s.csv",
                               r"'size_mm' missing; .*'SLD'.*\. Rename the columns that hold this"),
    "case of a column": (PLAIN.replace("day", "Day"), "s.csv", r"Rename 'Day' to 'day'\?"),
    "several missing": ("a,b\n1,2\n", "s.csv", r"column 'patient_id' and 'day' and 'size_mm' miss"),
    "columns twice": (PLAIN.replace("arm", "size_mm"), "s.csv",
                      r"s.csv, line 1: column 'size_mm' occurs 2 times; keep one of them"),
    "no name": (PLAIN.replace("arm", ",x").replace("P01,-3,50.5,a", "P01,-3,50.5,a,1"), "s.csv",
                r"column 4 has cells but no name"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "name", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_table_is_refused(tmp_path, content, name, message):
    path = write(tmp_path, content, name)
    with pytest.raises(DataError, match=message):
        read_cohort(path)
    assert [note.severity for note in check_tables(path)] == ["error"]


def test_a_file_that_cannot_be_opened_is_refused(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"nofile.csv: there is no such file; check the path"):
        read_cohort(tmp_path / "nofile.csv")
    with pytest.raises(DataError, match=r"this is a folder; give a file inside it"):
        read_cohort(tmp_path)

    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DataError, match=r"sizes.csv: reading is not permitted"):
        read_cohort(tmp_path / "sizes.csv")


ROWS = [["patient_id", "day", "size_mm", "arm"], ["P01", -3, 50.5, "a"], ["P01", 42, 40.0, "a"],
        [None, None, None, None], ["P02", 0, "60", "b"], ["P02", 42, 66, "b"]]  # fmt: skip


def test_a_workbook_reads_like_the_plain_table(tmp_path):
    same(workbook(tmp_path, ROWS), tmp_path)
    two = workbook(tmp_path, ROWS, [["other"], ["sheet"]], name="two.xlsx")
    same(two, tmp_path)
    assert [note.code for note in check_tables(two)] == ["other-sheets"]


def test_workbooks_keep_ids_as_they_are(tmp_path):
    ids = ["001", 1, "594245265511412736", "594245265511412737"]
    rows = [[name, day, 50 - day / 10, "a"] for name in ids for day in (0, 40)]
    path = workbook(tmp_path, [ROWS[0], *rows])
    assert set(read_cohort(path).keys) == {"001", "1", "594245265511412736", "594245265511412737"}
    assert check_tables(path) == ()


def test_long_ids_that_a_workbook_has_rounded_are_a_warning(tmp_path):
    rows = [[3.657015667902161e18, day, 50 - day / 10, "a"] for day in (0, 40)]
    path = workbook(tmp_path, [ROWS[0], *rows])
    assert read_cohort(path).keys == ("3657015667902160896",)
    (note,) = check_tables(path)
    assert (note.severity, note.code) == ("warning", "rounded-number")


def test_cells_of_a_workbook_are_told_by_row(tmp_path):
    odd = [
        ["P01", dt.date(2024, 1, 1), 50, "a"],
        ["P01", 1, True, "a"],
        ["P01", 2, "#N/A", "a"],
    ]
    found = check_tables(workbook(tmp_path, [*ROWS, *odd]))
    assert [(n.line, n.column, n.value) for n in found if n.severity == "error"] == [
        (7, "day", "2024-01-01 00:00:00"),
        (8, "size_mm", "TRUE"),
        (9, "size_mm", "#N/A"),
    ]


def test_the_layout_that_a_table_has_is_told(tmp_path):
    with pytest.raises(DataError, match=r"not an .xlsx .* This is the layout 'long'; choose it as"):
        read_cohort(write(tmp_path, PLAIN), format="laleh2022")


def test_an_empty_workbook_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"the workbook is empty"):
        read_cohort(workbook(tmp_path, []))
