"""What is said of a mechanism or drug that does not keep its contract, and of ones that do."""

import re
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from typer.testing import CliRunner

import pdmodel as pdm
from pdmodel import cli
from pdmodel.contract import check, examine, opened
from pdmodel.course import lay_out
from pdmodel.errors import ModelError
from pdmodel.library import OWN, drug, mechanism, names
from pdmodel.parameter import Parameter
from pdmodel.solve import blocked, solve

PAGE = Path(__file__).parent.parent / "docs" / "write-your-own.md"
FILES = dict(re.findall(r"```\{code-block\} python\n:caption: (\S+)\n\n(.*?)```", PAGE.read_text(),
                        re.DOTALL))  # fmt: skip
MINE, LIMAB = FILES["mine.py"], FILES["newlimab.py"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    OWN.clear()


def command(*words: str):
    return CliRunner().invoke(cli.app, list(words))


def test_the_page_does_what_it_says_when_copied(here):
    for name, text in FILES.items():
        Path(name).write_text(text)
    asked = re.findall(r"```console\n\$ pdmodel (.*?)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(asked) == 3
    for typed, answered in asked:
        words = [plain or quoted for quoted, plain in re.findall(r'"(.*?)"|(\S+)', typed)]
        result = command(*words)
        assert result.exit_code == 0, result.output
        assert answered in result.output
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(code, {})  # noqa: S102  # it is the page's own


def test_the_mechanism_of_the_page_follows_its_closed_form(here):
    Path("mine.py").write_text(MINE)
    own = mechanism("mine.py")
    model = pdm.Model(own, (), pdm.residual("lognormal"))
    days = np.array([-10.0, 30, 400])
    p = {q.name: jnp.array([q.typical]) for q in own.parameters}
    size = solve(own, p, blocked(lay_out(model, [-10.0], [days], [{}]))).log_size
    np.testing.assert_allclose(size[0], np.log(50) + 0.003 * (days + 10), atol=1e-6)
    assert mechanism("mine") is own  # from then on by its name


LIBRARY = [*map(mechanism, names("mechanism")), *map(drug, names("drug"))]


@pytest.mark.parametrize("one", LIBRARY, ids=lambda one: one.name)
def test_what_comes_with_the_package_keeps_its_contract_without_a_note(one):
    assert examine(one) == ()


@pytest.mark.parametrize("name", ["exhaustion", "bertalanffy"])
def test_courses_of_the_prior_are_counted(name):
    (note,) = check(mechanism(name))
    assert note.severity == "note"
    assert re.fullmatch(
        r"solved over two years: 64 of 64 courses of the prior, (6[0-4]) of 64 of one 5 times as "
        r"wide\.",
        note.message,
    )


MECHANISM_MISTAKES = {
    "an undeclared parameter": ('p["growth"] -', 'p["growht"] -',
        (r"error: rate, line \d+ reads the parameter 'growht', which is not in parameters: "
        r"'baseline', 'growth', 'power', 'escape'\. Did you mean 'growth'\?")),
    "an undeclared state": ('s["heeding"],\n        "', 's["heedin"],\n        "',
        r"error: rate, line \d+ reads the state 'heedin', which is not in states"),
    "an undeclared action": ('a["pd1_block"]', 'a["ctla4_block"]',
        (r"error: rate, line \d+ reads the action 'ctla4_block', which is not in answers_to: "
        r"'pd1_block'\.")),
    "a wrong key": ('"heeding": -p', '"heading": -p',
        (r"error: rate gives 'heading', which is not in states: 'log_ratio', 'heeding'\. Did you "
        r"mean 'heeding'\?")),
    "a missing key": (', "heeding": jnp.ones_like(p["baseline"])', "",
        r"error: initial gives no 'heeding', which is in states; it gives 'log_ratio'\."),
    "a parameter that nothing reads": ('p["power"] * ', "",
        r"error: parameter 'power' is declared, but nothing reads it"),
    "a parameter twice": ('"power", "1/day"', '"growth", "1/day"',
        r"error: parameter 'growth' is declared twice; rename one\."),
    "a name that tables cannot take": ('"power", "1/day"', '"power_sd", "1/day"',
        r"error: parameter 'power_sd' has a name that tables cannot take"),
    "weeks": ('"growth", "1/day"', '"growth", "1/week"',
        r"error: parameter 'growth' is in '1/week'; the package counts in day.*without 'week'"),
    "centimetres": ('"baseline", "mm"', '"baseline", "cm"', r"error: .*without 'cm'"),
    "a rate per year": ("0.003,", "1.1,",
        (r"error: a typical tumor changes by a factor of 2\.21e\+03 a week before treatment; rates "
        r"are per day")),
    "an if": ('return {\n        "log_ratio": p',
        'quick = 2.0 if time < 0.0 else 1.0\n    return {\n        "log_ratio": quick * p',
        r"error: rate, line \d+ decides with if, .* write jnp\.where"),
    "math in place of jax.numpy": ("return jnp.log(p", "import math; return math.log(p",
        r"error: log_size, line \d+ makes a plain number of a value; use jax\.numpy"),
    "a size in place of its log": ('jnp.log(p["baseline"]) +', 'p["baseline"] +',
        r"error: log_size says that a typical tumor is 5\.18e\+21 mm"),
    "a division by 0": ('p["growth"] -', 'p["growth"] / s["log_ratio"] -',
        (r"error: rate of 'log_ratio' is not finite at typical values, on day -20 .*There baseline "
        r"50,")),
    "a slope that is not finite": ('p["growth"] -',
        'p["growth"] * (1 + (1 - s["heeding"])**0.5) -',
        r"error: the slope of the rate of 'log_ratio' by 'heeding' is not finite"),
    "what fails only in the tails": ('p["growth"] -', 'jnp.log(0.012 - p["growth"]) * 0.003 -',
        r"error: rate of 'log_ratio' is not finite in \d+ of 64 draws of the prior"),
    "a false anchor": ('anchor="baseline"', 'anchor="growth"',
        r"error: anchor 'growth' does more than shift log_size: rate of 'log_ratio' depends on it"),
    "an anchor that the start leans on": ('jnp.zeros_like(p["baseline"])',
        '0.1 * jnp.log(p["baseline"])',
        r"error: anchor 'baseline' does more than shift log_size: initial of 'log_ratio' depends"),
    "an anchor that shifts by more": ('jnp.log(p["baseline"])', '3 * jnp.log(p["baseline"]) - 7',
        r"error: anchor 'baseline' .* three times as much shifts log_size by 3\.3, not by"),
    "an anchor not declared": ('    anchor="baseline",\n', "",
        r"note: 'baseline' merely shifts log_size; declare anchor='baseline'"),
    "an action not read": ('a["pd1_block"] * ', "",
        r"note: answers_to has 'pd1_block', but rate never reads it: it does nothing\."),
    "a jump on day 0": ('-p["escape"] * a["pd1_block"]',
        '-p["escape"] * a["pd1_block"] * jnp.where(time < 0.0, 0.0, 1.0)',
        r"note: rate of 'heeding' jumps on day 0\..*let an action start it"),
    "what falls below 0": (' * s["heeding"],\n    }', ",\n    }",
        r"error: state 'heeding' is positive, but where it is 0 its rate is -"),
    "an unknown positive state": ('positive=("heeding",)', 'positive=("healing",)',
        r"error: positive has 'healing'; the states are 'log_ratio', 'heeding'\."),
    "no sentence about it": (('about="a tumor that shrinks under PD-1 blockade until its cells no '
                             'longer heed it"'), 'about=""', r"error: about is empty"),
    "a shape": ('jnp.zeros_like(p["baseline"])', "jnp.zeros(3)",
        r"error: initial gives 'log_ratio' in shape \(3,\); write it for one patient"),
    "no dict": ('return jnp.log(p["baseline"]) + s["log_ratio"]', "return jnp.ones(2)",
        r"error: log_size gives shape \(2,\); it must be one number"),
    "anything else that fails": ("s, p, a):\n", "s, p, a):\n    nonsense\n",
        r"error: rate, line \d+ fails: NameError: name 'nonsense' is not defined"),
    "a course that runs away": ('p["growth"] -', 'p["growth"] * jnp.exp(40 * s["log_ratio"]) -',
        r"error: the course of the typical patient cannot be solved"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), MECHANISM_MISTAKES.values(),
                         ids=MECHANISM_MISTAKES)  # fmt: skip
def test_what_is_amiss_in_a_mechanism_is_told(here, old, new, message):
    assert old in MINE
    Path("mine.py").write_text(MINE.replace(old, new))
    result = command("check-model", "mine.py")
    told = re.search(message, result.stdout)
    assert told, result.output
    assert result.exit_code == int(message.startswith("error"))
    assert "Traceback" not in result.output
    if message.startswith("error") and "cannot be solved" not in message:
        with pytest.raises(ModelError, match=message.replace("error: ", r"^mine\.py: ")):
            mechanism("mine.py")


FILE_MISTAKES = {
    "a mistake of Python": ("MECHANISM = Mechanism(", "MECHANISM = Mechanism((",
                            r"Error: mine\.py, line \d+: .*"),
    "a name that is missing": ("import jax.numpy as jnp\n", "import jaxnumpy as jnp\n",
                               r"mine\.py, line 9: ModuleNotFoundError: .*'jaxnumpy'"),
    "a parameter without a source": (', source="assumption: twice the growth"', "",
                                     r"mine\.py, line \d+: Parameter 'power' has no source"),
    "nothing declared": ("MECHANISM = ", "MODEL = ",
                         r"mine\.py declares neither MECHANISM nor DRUG"),
    "something else declared": ("MECHANISM = Mechanism(", "MECHANISM = dict(",
                                r"mine\.py: MECHANISM is a dict; it must be a Mechanism"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), FILE_MISTAKES.values(), ids=FILE_MISTAKES)
def test_a_file_that_cannot_be_used_is_told_with_its_line(here, old, new, message):
    assert old in MINE
    Path("mine.py").write_text(MINE.replace(old, new))
    result = command("check-model", "mine.py")
    assert result.exit_code == 1
    assert re.search(message, result.output), result.output


def test_a_file_that_is_not_there_is_told(here):
    with pytest.raises(ModelError, match=r"There is no Python file there\.py; give the path"):
        opened("there.py")


def test_a_file_declares_what_is_asked_for_under_a_name_of_its_own(here):
    Path("mine.py").write_text(MINE.replace('name="mine"', 'name="exhaustion"'))
    with pytest.raises(ModelError, match=r"mine\.py calls its mechanism 'exhaustion', as one of"):
        mechanism("mine.py")
    with pytest.raises(ModelError, match=r"mine\.py declares no DRUG, but a MECHANISM"):
        drug("mine.py")


ENGAGE = "engage=block_pd1"
ENGAGED = 'engage=lambda c, p: (constants := p["half_occupancy"] * p["tissue_ratio"]) and {%s}'
DRUG_MISTAKES = {
    "strengths above 1": (ENGAGE, ENGAGED % '"pd1_block": c * constants',
        r"error: engage gives 'pd1_block' 1\.08 at 10 mg/L; a strength is from 0"),
    "strength without a drug": (ENGAGE, ENGAGED % '"pd1_block": 0 * c + constants',
        r"error: engage gives 'pd1_block' 0\.108 without any drug"),
    "another action": (ENGAGE, ENGAGED % '"pd1_blok": c * 0 * constants',
        r"error: engage gives 'pd1_blok'; actions are 'pd1_block'\."),
    "an undeclared constant": ("(TISSUE_RATIO, half_pd1_block(\", taken for this one too\"))",
        "(half_pd1_block(\", taken for this one too\"),)",
        r"error: engage reads the constant 'tissue_ratio', which is not in parameters"),
    "mL": ("V1: 3.4, Q: 0.6, V2: 2.5", "V1: 3400, Q: 600, V2: 2500",
        r"error: population model 'Someone 2030' has a half-life of 1\.64e\+04 days"),
    "a regimen nobody understands": ("300 mg q3w 30 min", "300 mg thrice",
        r"error: labelled has '300 mg thrice', which cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), DRUG_MISTAKES.values(), ids=DRUG_MISTAKES)
def test_what_is_amiss_in_a_drug_is_told(here, old, new, message):
    assert old in LIMAB
    Path("newlimab.py").write_text(LIMAB.replace(old, new))
    result = command("check-model", "newlimab.py")
    assert result.exit_code == 1
    assert re.search(message, result.stdout), result.output


def test_a_linear_pair_that_is_not_the_rate_is_told():
    one = mechanism("exhaustion")
    pair = replace(one.linear, inflow=lambda t, s, p, a: (p["loss"], 0.0 * p["loss"]))
    (found,) = examine(replace(one, linear=pair))
    assert re.match(r"linear and rate differ in 'effector': .* per day", found.message)
    swapped = replace(one.linear, states=("effector", "exhaustd"))
    (found,) = examine(replace(one, linear=swapped))
    assert found.message.startswith("linear has states 'exhaustd'; those of the mechanism are")


def test_a_need_that_is_not_answered_is_told():
    one = mechanism("gompertz")
    odd = Parameter("odd", "1", 1.0, "x", needs="pd1_block", source="assumption: a test")
    found = examine(replace(one, parameters=(*one.parameters, odd)))
    assert found[0].message.startswith(
        "parameter 'odd' needs 'pd1_block', which is not in answers_to"
    )


def test_a_run_of_an_own_mechanism_is_read_back_while_its_file_is_the_same(here, fit_by_hand):
    Path("mine.py").write_text(MINE)
    own = mechanism("mine.py")
    cohort = pdm.read_cohort(_sizes(here), regimen="atezolizumab 1200 mg q3w")
    model = pdm.Model(own, (drug("atezolizumab"),), pdm.residual("student_t"))
    fitted = replace(fit_by_hand(cohort), model=model)
    draws = fitted.tree["posterior"].to_dataset()
    renamed = {"kill": "power", "waning": "escape"}
    draws = draws.rename({name: name.replace(a, b) for name in draws.data_vars
                          for a, b in renamed.items() if name.startswith(a)})  # fmt: skip
    fitted.tree["posterior"] = type(fitted.tree)(draws)
    pdm.save(fitted, here / "run")
    OWN.clear()
    assert pdm.load(here / "run").model.mechanism.about == own.about
    Path("mine.py").write_text(MINE + "\n# changed\n")
    with pytest.raises(ModelError, match=r"mine\.py, which declares 'mine', was changed since"):
        pdm.load(here / "run")


def _sizes(folder: Path) -> Path:
    path = folder / "sizes.csv"
    path.write_text("patient_id,day,size_mm\na,0,40\na,42,35\nb,0,30\nb,42,31\n")
    return path
