"""Response of clinical tables: recorded findings, visits without a sum, recorded responses."""

import pandas as pd
import pytest
from typer.testing import CliRunner

from pdmodel import cli
from pdmodel.assess import patient_table, read_cases, scan_table
from pdmodel.response import RULES

RULE = RULES["sitc2020_confirmed"]

TR_HEADER = "STUDYID,USUBJID,TRGRPID,TRLNKID,TRTESTCD,TRSTRESC,TRSTRESN,TRSTRESU,VISITNUM,TRDTC"
RS_HEADER = "STUDYID,USUBJID,RSTESTCD,RSSTRESC,RSEVAL,VISITNUM,RSDTC"
DM = "STUDYID,USUBJID,RFXSTDTC,ACTARM\nS,01,2024-03-01,Mono\nS,02,2024-03-01,Mono\n"
DATES = {0: "2024-03-01", 42: "2024-04-12", 84: "2024-05-24", 126: "2024-07-05"}


def date(day):
    return str((pd.Timestamp("2024-03-01") + pd.Timedelta(days=day)).date())


def size(day, lesion, said, who="01"):
    """One row of a target lesion: a number of mm, or a word."""
    mm = said if str(said).replace(".", "").isdigit() else ""
    test = "TUMSTATE" if said == "ABSENT" else "LDIAM"
    unit = "mm" if mm else ""
    return f"S,{who},TARGET,{lesion},{test},{said},{mm},{unit},{day + 100},{date(day)}"


def other(day, who="01"):
    return f"S,{who},NON-TARGET,NT1,TUMSTATE,PRESENT,,,{day + 100},{date(day)}"


def record(day, test, said, who="01"):
    return f"S,{who},{test},{said},INVESTIGATOR,{day + 100},{date(day)}"


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """Write TR, RS, DM and TU with a node T9 into an empty folder, then the working folder."""
    monkeypatch.chdir(tmp_path)

    def written(sizes, records=()):
        (tmp_path / "tr.csv").write_text("\n".join([TR_HEADER, *sizes, ""]))
        (tmp_path / "dm.csv").write_text(DM)
        (tmp_path / "tu.csv").write_text("USUBJID,TULNKID,TULOC\n01,T1,LIVER\n01,T9,LYMPH NODE\n")
        if records:
            (tmp_path / "rs.csv").write_text("\n".join([RS_HEADER, *records, ""]))
        return tmp_path

    return written


def scans(path, **options):
    return scan_table(
        read_cases(path, **{"format": "sdtm", "regimen": "none", **options}).cases, RULE
    )


def after(path, *columns, **options):
    table = scans(path, **options)
    rows = table[table["visit"] == "after"][["day", *columns]]
    return [tuple(row) for row in rows.itertuples(index=False, name=None)]


def notes(path, **options):
    log = read_cases(path, **{"format": "sdtm", "regimen": "none", **options}).log
    return {note.code: note.message for note in log.notes}


STABLE = [size(day, "T1", 40) for day in DATES]


def test_progression_of_other_lesions_is_progression(tables):
    records = [record(42, "NTRGRESP", "NON-CR/NON-PD"), record(84, "NTRGRESP", "PD")]
    path = tables(STABLE, records)
    assert after(path, "target", "nontarget", "overall") == [
        (42, "SD", "NON-CR/NON-PD", "SD"), (84, "SD", "PD", "PD"), (126, "SD", "NE", "SD"),
    ]  # fmt: skip
    found = read_cases(path, format="sdtm", regimen="none").cases
    assert patient_table(found, RULE)["pd_day"].tolist() == [84]


def test_new_lesions_are_progression_and_stay(tables):
    path = tables(STABLE, [record(84, "NEWLPROG", "UNEQUIVOCAL")])
    assert after(path, "new_lesion", "overall") == [
        (42, "no", "SD"), (84, "yes", "PD"), (126, "yes", "PD"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("word", "overall"),
    [("Y", "PD"), ("Present", "PD"), ("N", "SD"), ("EQUIVOCAL", "SD"), ("MAYBE", "SD")],
)
def test_words_on_new_lesions(tables, word, overall):
    path = tables(STABLE, [record(42, "NEWLIND", word)])
    assert after(path, "overall")[0] == (42, overall)
    assert ("unknown-record" in notes(path)) == (word == "MAYBE")


def test_an_uncertain_new_lesion_does_not_take_back_a_certain_one(tables):
    records = [record(42, "NEWLPROG", "UNEQUIVOCAL"), record(42, "NEWLPROG", "EQUIVOCAL"),
               record(84, "NEWLPROG", "EQUIVOCAL")]  # fmt: skip
    path = tables(STABLE, records)
    assert [row[1] for row in after(path, "new_lesion")] == ["yes", "yes", "yes"]
    assert "1 row with another word than an earlier row" in notes(path)["several-responses"]


@pytest.mark.parametrize(
    ("word", "nontarget"),
    [("SD", "NON-CR/NON-PD"), ("Non-CR/Non-PD", "NON-CR/NON-PD"), ("NON-CR / NON-PD",
     "NON-CR/NON-PD"), ("NA", ""), ("NED", ""), ("NE", "NE"), ("BETTER", "NE")],
)  # fmt: skip
def test_words_on_other_lesions(tables, word, nontarget):
    path = tables(STABLE, [record(42, "NTRGRESP", word)])
    assert after(path, "nontarget")[0] == (42, nontarget)
    told = notes(path)
    assert ("unknown-record" in told) == (word == "BETTER")
    if word == "BETTER":
        assert (
            "1 record of other or new lesions in words that are not known ('BETTER')"
            in (told["unknown-record"])
        )


TORN = [size(0, "T1", 40), size(0, "T2", 20), size(42, "T1", 40), size(42, "T2", "NOT EVALUABLE"),
        size(84, "T1", 40), size(126, "T1", "NE"), size(126, "T2", "NE"), size(168, "T1", 40),
        size(168, "T2", 20)]  # fmt: skip


def test_a_visit_with_a_target_missing_is_a_visit_that_is_not_evaluable(tables):
    path = tables(TORN)
    assert after(path, "target", "overall") == [
        (42, "NE", "NE"), (84, "NE", "NE"), (126, "NE", "NE"), (168, "SD", "SD"),
    ]  # fmt: skip
    told = notes(path)
    assert "3 visits at which a target was not evaluable or has no row" in told["unevaluated-visit"]
    assert "not-evaluable" not in told  # which would say that they were left out
    (case,) = read_cases(path, format="sdtm", regimen="none").cases
    assert case.patient.day.tolist() == [0, 168]  # models see whole sums only
    assert [one.day for one in case.patient.known_by(100).targets] == [0, 42, 84]


@pytest.mark.parametrize(
    ("test", "said"), [("NTRGRESP", "PD"), ("NEWLPROG", "UNEQUIVOCAL")], ids=["other", "new"]
)
def test_without_targets_records_can_still_show_progression(tables, test, said):
    assert after(tables(TORN, [record(126, test, said)]), "target", "overall")[2] == (
        126, "NE", "PD",
    )  # fmt: skip


def test_the_rest_of_a_sum_can_show_progression_and_nothing_else(tables):
    grown = [row.replace(",40,40,", ",75,75,") if f",{84 + 100}," in row else row for row in TORN]
    assert after(tables(grown), "target")[1] == (84, "PD")
    shrunk = [row.replace(",40,40,", ",10,10,") if f",{84 + 100}," in row else row for row in TORN]
    assert after(tables(shrunk), "target")[1] == (84, "NE")


def test_missed_visits_censor_what_comes_after_them(tables):
    late = [*TORN[:-2], size(168, "T1", 80), size(168, "T2", 20)]
    found = read_cases(tables(late), format="sdtm", regimen="none").cases
    row = patient_table(found, RULE).iloc[0]
    assert row["pfs_reason"] == "progression on day 168 after 3 missed assessments"


def test_a_visit_at_which_only_other_lesions_were_read_is_one(tables):
    rows = [size(0, "T1", 40), other(0), other(42), size(84, "T1", 40), other(84)]
    path = tables([*rows, other(42, "02")])  # the second patient has no target at all
    assert after(path, "target", "overall") == [(42, "NE", "NE"), (84, "SD", "SD")]
    assert "1 visit with rows of other lesions and none of a target" in notes(path)["no-target-row"]


def test_gone_is_told_from_small_and_a_node_from_other_lesions(tables):
    def node(day, mm):
        return size(day, "T9", mm).replace("LDIAM", "LPERP")

    sizes = [size(0, "T1", 40), node(0, 20),
             size(42, "T1", "TOO SMALL TO MEASURE"), node(42, 8),
             size(84, "T1", "ABSENT"), node(84, 8),
             size(126, "T1", "ABSENT"), node(126, 11)]  # fmt: skip
    assert after(tables(sizes), "target") == [(42, "PR"), (84, "CR"), (126, "PR")]
    gone = [size(0, "T1", 40), size(42, "T1", "ABSENT"), size(84, "T1", "TOO SMALL TO MEASURE")]
    assert after(tables(gone), "target", "size_mm") == [(42, "CR", 0), (84, "PD", 5)]


def test_a_record_goes_with_the_visit_of_its_window(tables):
    records = [record(37, "NTRGRESP", "NON-CR/NON-PD"), record(91, "NTRGRESP", "PD"),
               record(134, "NTRGRESP", "PD"), record(-40, "NTRGRESP", "NE")]  # fmt: skip
    path = tables(STABLE, records)
    assert after(path, "target", "nontarget", "overall") == [
        (42, "SD", "NON-CR/NON-PD", "SD"), (84, "SD", "PD", "PD"), (126, "SD", "NE", "SD"),
        (134, "NE", "PD", "PD"),
    ]  # fmt: skip
    assert (
        "responses recorded at 4 visits: 0 on the day of a scan, 2 within 7 days of one, 1 without "
        "a scan (visits of their own, targets NE), 1 before the first scan (not used)"
    ) in notes(path)["records-matched"]


def test_the_nearest_record_and_visit_go_together(tables):
    near = [size(0, "T1", 40), size(42, "T1", 40), size(48, "T1", 40)]
    records = [record(45, "OVRLRESP", "PD"), record(48, "OVRLRESP", "SD")]
    assert after(tables(near, records), "recorded") == [(42, "PD"), (48, "SD")]


def test_records_without_a_day_are_told(tables):
    path = tables(STABLE, [record(42, "NTRGRESP", "PD").replace(date(42), "2024")])
    assert "1 row of visits without a day, left out" in notes(path)["no-day"]


RECORDS = [record(0, "OVRLRESP", "SD"), record(42, "OVRLRESP", "SD"), record(84, "OVRLRESP", "PR"),
           record(84, "NTRGRESP", "PD")]  # fmt: skip


def test_recorded_responses_stand_beside_ours(tables):
    table = scans(tables(STABLE, RECORDS))
    assert table["recorded"].tolist() == ["SD", "SD", "PR", ""]
    assert table["overall"].tolist()[1:] == ["SD", "PD", "SD"]


def test_the_command_says_how_many_agree(tables, monkeypatch):
    tables(STABLE, RECORDS)
    words = ["response", ".", "--format", "sdtm", "--regimen", "none", "-o", "response.csv"]
    result = CliRunner(env={"COLUMNS": "80"}).invoke(cli.app, words)
    assert result.exit_code == 0, result.output
    for said in (
        "Recorded responses agree at 1 visit, disagree at 1, and are missing at 1.",
        "1 x PD here, PR recorded",
        "1 recorded by the baseline",
    ):
        assert said in result.output
    written = pd.read_csv("response.csv", keep_default_na=False)
    assert written["recorded"].tolist() == ["SD", "SD", "PR", ""]


def test_words_of_irecist_are_compared_with_irecist(tables):
    from pdmodel.assess.clinical import agreement

    grown = [size(0, "T1", 40), size(42, "T1", 60), size(84, "T1", 70)]
    records = [record(42, "OVRLRESP", "iUPD"), record(84, "OVRLRESP", "iUPD")]
    first, *rest = agreement(scans(tables(grown, records)))
    assert first == "Recorded responses agree at 1 visit, disagree at 1, and are missing at 0."
    assert rest == ["  1 x ICPD here, IUPD recorded"]


def test_without_records_nothing_is_said(tables):
    from pdmodel.assess.clinical import agreement

    path = tables(STABLE)
    assert agreement(scans(path)) == []
    assert set(scans(path)["recorded"]) == {""}
    assert "records-matched" not in notes(path)


def test_records_of_a_person_say_nothing_of_one_lesion(tables):
    path = tables(STABLE, [record(42, "NTRGRESP", "PD")])
    assert after(path, "overall", size_kind="lesion")[0] == (42, "SD")
    assert (
        "recorded of persons at 1 visit not used"
        in (notes(path, size_kind="lesion")["records-of-persons"])
    )


ADTR = """\
STUDYID,USUBJID,PARAMCD,AVAL,AVALC,ADY,ANL01FL
S,01,SDIAM,40,,-5,Y
S,01,SDIAM,40,,43,Y
S,01,SDIAM,25,,85,
S,01,SDIAM,,NOT EVALUABLE,127,Y
S,01,SDIAM,0,,169,Y
"""
ADRS = """\
STUDYID,USUBJID,PARAMCD,AVALC,ADY
S,01,OVR,PD,43
S,01,NTRGRESP,PD,43
S,01,NEWLPROG,UNEQUIVOCAL,127
S,01,OVR,PD,127
"""


def test_an_analysis_table_is_judged_alike(tmp_path):
    (tmp_path / "adtr.csv").write_text(ADTR)
    (tmp_path / "adrs.csv").write_text(ADRS)
    assert after(tmp_path, "target", "nontarget", "new_lesion", "overall", "recorded",
                 format="adam") == [
        (42, "SD", "PD", "no", "PD", "PD"), (84, "NE", "NE", "no", "NE", ""),
        (126, "NE", "NE", "yes", "PD", "PD"), (168, "CR", "NE", "yes", "PD", ""),
    ]  # fmt: skip


# ------------------------------------------------------------------------ shared transport files


@pytest.mark.parametrize(
    ("name", "agree", "records"), [("tr_onco_recist", 19, 19), ("tr_onco", 139, 146)]
)
def test_recorded_responses_of_the_shared_files(transport, name, agree, records):
    read = read_cases(transport / f"{name}.xpt", format="sdtm", regimen="none")
    table = scan_table(read.cases, RULE)
    rows = table[table["recorded"] != ""]
    assert len(rows) == records
    assert (rows["overall"] == rows["recorded"]).sum() == agree
    told = {note.code: note.message for note in read.log.notes}
    assert f"{records} on the day of a scan, 0 within" in told["records-matched"]
    assert "3 visits at which a target was not evaluable" in told["unevaluated-visit"]


def test_findings_of_the_shared_file_are_those_of_its_records(transport):
    """Records of other and new lesions, read by themselves, stand at the visits of their day."""
    import pyreadstat

    raw, _ = pyreadstat.read_xport(str(transport / "rs_onco.xpt"))
    raw = raw[raw["RSEVAL"] == "INVESTIGATOR"]
    cases = read_cases(transport / "tr_onco.xpt", format="sdtm", regimen="none").cases
    table = scan_table(cases, RULE)
    said = table["nontarget"][~table["nontarget"].isin(["", "NE"]) & table["nontarget"].notna()]
    theirs = raw[(raw["RSTESTCD"] == "NTRGRESP") & (raw["RSSTRESC"] != "NE")]["RSSTRESC"]
    assert said.value_counts().to_dict() == theirs.value_counts().to_dict()
    new = raw[(raw["RSTESTCD"] == "NEWLPROG") & (raw["RSSTRESC"] == "UNEQUIVOCAL")]
    assert set(table["patient_id"][table["new_lesion"] == "yes"]) == set(new["USUBJID"])
