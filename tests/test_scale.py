"""Simulation in blocks: on disk, cut into jobs, on a cluster that loses a worker."""

import importlib
import json
import os
import signal
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

from pdmodel import Model, mechanism, residual
from pdmodel.cli import app
from pdmodel.errors import OptionError, RunError
from pdmodel.simulate import about_of, assembled, planned_trial, write
from pdmodel.simulate.chunks import (
    BLOCKS,
    PLAN,
    begin,
    fingerprint,
    gather,
    keep,
    missing,
    share_of,
    work,
)
from pdmodel.simulate.cluster import cluster, work_on
from pdmodel.simulate.command import simulated
from pdmodel.simulate.plan import block, block_size
from pdmodel.simulate.trial import COURSES, PATIENTS, SUMMARY, TRIAL

BARE = Model(mechanism("exhaustion"), (), residual("lognormal"))
ARMS = {"mono": "atezolizumab", "=both": "atezolizumab then atezolizumab + ipilimumab"}
N, EACH = 22, 4


def a_plan(seed=1, n=N):
    plan = planned_trial(
        BARE, ARMS, n=n, seed=seed, draws=3, visits=[0.0, 42.0, 84.0, 126.0, 378.0],
        pharmacokinetics="typical", conduct="missed_scan=0.2",
    )  # fmt: skip
    return replace(plan, size=EACH)


@pytest.fixture(scope="module")
def plan():
    return a_plan()


@pytest.fixture(scope="module")
def blocks(plan):
    return [block(plan, k) for k in range(plan.blocks)]


@pytest.fixture
def folder(plan, tmp_path):
    return begin(tmp_path / "trial", plan, about_of(BARE, plan))


def test_blocks_cover_all_patients_once(plan, blocks):
    assert plan.blocks == 6
    assert [len(part["value/growth"]) for part in blocks] == [4, 4, 4, 4, 4, 2]
    assert (block_size(7), block_size(200), block_size(10**6)) == (7, 256, 4096)


def test_chunks_give_the_same_bits_in_any_order(plan, blocks, folder):
    for chunk in ("3/3", "1/3", "2/3"):
        keep(folder, plan, work(plan, share_of(plan, chunk)), None)
    for number, whole in enumerate(blocks):
        with np.load(folder / BLOCKS / f"{number:07d}.npz", allow_pickle=False) as held:
            assert set(held) == {*whole, "fingerprint"}
            for name, x in whole.items():
                assert held[name].tobytes() == np.asarray(x).tobytes(), name


def test_gathered_tables_are_those_of_one_piece(plan, blocks, folder, tmp_path):
    keep(folder, plan, enumerate(blocks), None)
    gather(folder)
    join = lambda name: np.concatenate([part[name] for part in blocks])  # noqa: E731
    whole = write(assembled(about_of(BARE, plan), join), tmp_path / "whole")
    for name in (PATIENTS, SUMMARY):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()
    assert "'=both" in (folder / PATIENTS).read_text("utf-8")  # no formula for a spreadsheet
    with xr.open_dataset(folder / COURSES) as one, xr.open_dataset(whole / COURSES) as other:
        xr.testing.assert_identical(one.load(), other.load())
    one, other = (json.loads((f / TRIAL).read_text("utf-8")) for f in (folder, whole))
    for about in (one, other):
        del about["written"], about["sha256"][COURSES]
    assert one == other
    gather(folder, remove=True)
    assert sorted(p.name for p in folder.iterdir()) == sorted([PATIENTS, SUMMARY, COURSES, TRIAL])


def test_what_is_missing_or_strange_is_told(plan, blocks, folder):
    keep(folder, plan, [(1, blocks[1])], None)
    assert missing(folder, range(3)) == [0, 2]
    with pytest.raises(RunError, match=r"5 of 6 blocks are not in .* \(from 0: 0, 2, 3, 4, 5\)"):
        gather(folder)
    keep(folder, plan, enumerate(blocks), None)
    other = a_plan(seed=2)
    assert fingerprint(other) != fingerprint(plan)
    with pytest.raises(RunError, match="blocks of another simulation"):
        begin(folder, other, about_of(BARE, other))
    keep(folder, other, [(0, blocks[0])], None)
    with pytest.raises(RunError, match=r"0000000\.npz is of another simulation"):
        gather(folder)
    (folder / BLOCKS / "0000000.npz").write_bytes(b"PK")
    with pytest.raises(RunError, match=r"0000000\.npz cannot be read"):
        gather(folder)
    (folder / PLAN).write_text("{}")
    with pytest.raises(RunError, match=r"plan\.json cannot be read"):
        gather(folder)
    with pytest.raises(RunError, match=r"There is no plan\.json"):
        gather(folder / BLOCKS)


def test_every_number_of_a_plan_is_in_its_fingerprint(plan):
    assert fingerprint(a_plan()) == fingerprint(plan)
    changed = [
        replace(plan, n=21), replace(plan, day=plan.day + 1), replace(plan, arms=plan.arms[:1]),
        replace(plan, own_kinetics=True), replace(plan, accuracy="fine"),
        replace(plan, conduct=replace(plan.conduct, death=0.1)),
        replace(plan, drawn=plan.drawn._replace(sd={})),
    ]  # fmt: skip
    assert len({fingerprint(one) for one in (plan, *changed)}) == 1 + len(changed)


@pytest.mark.parametrize("chunk", ["0/3", "4/3", "a/3", "3", "1/0", "-1/3"])
def test_chunks_that_are_none_are_refused(plan, chunk):
    with pytest.raises(OptionError, match="write 3/8 for the third of eight"):
        share_of(plan, chunk)


def test_there_are_no_more_chunks_than_blocks(plan):
    assert [len(share_of(plan, f"{i + 1}/4")) for i in range(4)] == [1, 2, 1, 2]
    with pytest.raises(OptionError, match="22 patients make 6 blocks of 4"):
        share_of(plan, "1/7")


def test_a_run_goes_on_from_what_is_there(tmp_path, monkeypatch):
    how = {"n": 6, "seed": 1, "until": 84.0, "pharmacokinetics": "typical"}
    said = simulated(BARE, ["none"], tmp_path / "t", chunk="1/1", **how)
    assert said == [f"Blocks 0 to 0 of 1 are in {tmp_path / 't'}."]
    chunks = importlib.import_module("pdmodel.simulate.chunks")
    monkeypatch.setattr(chunks, "block", None)  # would fail if called
    simulated(BARE, ["none"], tmp_path / "t", **how)
    assert len(pd.read_csv(tmp_path / "t" / PATIENTS)) == 6
    with pytest.raises(RunError, match="is there already"):
        simulated(BARE, ["none"], tmp_path / "t", **how)
    with pytest.raises(OptionError, match="either --workers or --scheduler"):
        simulated(BARE, ["none"], tmp_path / "u", workers=1, scheduler="tcp://x:1", **how)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="holds other things"):
        simulated(BARE, ["none"], tmp_path / "mine", **how)


def test_the_command_works_on_chunks_and_gathers_them(tmp_path):
    out = str(tmp_path / "t")
    words = ["simulate", "--model", "exhaustion", "--arm", "none", "--until", "42", "-n", "5"]
    asked = CliRunner().invoke(app, [*words, "--chunk", "1/1", "-o", out])
    assert asked.exit_code == 0, asked.output
    assert "Blocks 0 to 0 of 1" in asked.stdout
    assert not (tmp_path / "t" / SUMMARY).exists()
    asked = CliRunner().invoke(app, ["gather", out])
    assert asked.exit_code == 0, asked.output
    assert "objective_response" in asked.stdout
    assert (tmp_path / "t" / TRIAL).exists()
    asked = CliRunner().invoke(app, ["gather", str(tmp_path)])
    assert (asked.exit_code, asked.stderr[:24]) == (1, "Error: There is no plan.")


# ---------------------------------------------------------------- a cluster


def test_a_cluster_needs_one_address_or_a_number():
    with pytest.raises(OptionError, match="either a scheduler's address"), cluster():
        pass


def test_a_scheduler_that_does_not_answer_is_told(monkeypatch):
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")

    def silent(*_, **__):
        raise OSError("Timed out")

    monkeypatch.setattr(distributed, "Client", silent)
    with pytest.raises(RunError, match=r"does not answer \(Timed out\)"), cluster("tcp://x:1"):
        pass


@pytest.mark.filterwarnings("ignore")  # of a worker that is killed
def test_a_lost_worker_costs_only_its_blocks(plan, blocks, request, monkeypatch):
    pytest.importorskip("distributed", reason="Dask is not installed")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(request.config.cache.mkdir("jax")))
    with cluster(workers=2) as client:
        before = client.run(os.getpid)
        assert len(before) == 2
        done = {}
        for number, found in work_on(client, plan, range(plan.blocks)):
            if not done:
                os.kill(next(iter(before.values())), signal.SIGKILL)
            done[number] = found
    assert sorted(done) == list(range(plan.blocks))
    for number, whole in enumerate(blocks):
        for name, x in whole.items():
            assert done[number][name].tobytes() == np.asarray(x).tobytes(), (number, name)
