"""Checkpoints: what comes back is what was kept, to the bit, and damage is told, never used."""

import json
import time
import zipfile
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pdmodel import archive, checkpoint
from pdmodel.archive import DamagedError, flattened, into
from pdmodel.checkpoint import NOT_KEPT, InFolder, iterations_kept
from pdmodel.errors import RunError
from pdmodel.keys import key_of
from pdmodel.look import Look
from pdmodel.nuts import Settings, kernel, sample
from pdmodel.population import Picture

SETTINGS = Settings(warmup=30, draws=20, chains=3, chunk=10)


def same(one, two):
    """Whether two pytrees are equal to the bit, with their structure and kinds of arrays."""

    def all_of(tree):
        return [(type(x), jnp.shape(x), archive.plain(x).tobytes()) for x in jax.tree.leaves(tree)]

    alike = jax.tree.structure(one) == jax.tree.structure(two)
    return alike and all_of(one) == all_of(two)


@pytest.fixture
def told():
    return []


@pytest.fixture
def keep(tmp_path, told):
    """Make checkpoints of one run in one folder, writing after each chunk."""
    return lambda run="a run", every=0.0: InFolder(
        tmp_path / "chunks", {"run": run}, told.append, every
    )


# ------------------------------------------------------------------------------------- archives

ARRAYS = {
    "odd": np.array([np.nan, -0.0, np.inf, 5e-324, np.pi]),
    "none": np.zeros((0, 3)),
    "flags": np.array([[True], [False]]),
    "count": np.array(7),
}


def test_arrays_come_back_to_the_bit(tmp_path):
    archive.write(tmp_path / "a.npz", {"what": "größer"}, ARRAYS)
    about, arrays = archive.read(tmp_path / "a.npz")
    assert about == {"what": "größer"}
    assert arrays.keys() == ARRAYS.keys()
    for name, put in ARRAYS.items():
        assert (arrays[name].dtype, arrays[name].shape) == (put.dtype, put.shape)
        assert arrays[name].tobytes() == put.tobytes()


def test_an_archive_is_a_plain_npz_without_pickles(tmp_path):
    archive.write(tmp_path / "a.npz", {}, ARRAYS)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as plain:
        assert set(plain) == {*ARRAYS, "about"}
    assert zipfile.ZipFile(tmp_path / "a.npz").testzip() is None
    with pytest.raises(TypeError, match="objects"):
        archive.write(tmp_path / "b.npz", {}, {"x": np.array([print])})
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_every_single_flipped_bit_and_every_cut_shows(tmp_path):
    path = tmp_path / "a.npz"
    archive.write(path, {}, {"x": np.arange(3.0)})
    content = path.read_bytes()
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ (1 << at % 8)]) + content[at + 1 :])
        with pytest.raises(DamagedError):
            archive.read(path)
    for at in range(0, len(content), 7):
        path.write_bytes(content[:at])
        with pytest.raises(DamagedError):
            archive.read(path)
    path.write_bytes(content + b"x")
    with pytest.raises(DamagedError):
        archive.read(path)


def test_random_keys_of_both_kinds_and_states_come_back():
    state = {"old": jax.random.PRNGKey(3), "new": jax.random.split(jax.random.key(3), 2),
             "mass": {("a", "b"): jnp.float64(0.1)}, "count": jnp.int32(4)}  # fmt: skip
    back = into(state, flattened(state, "s"), "s")
    assert same(back, state)
    np.testing.assert_array_equal(
        jax.random.normal(back["new"][1]), jax.random.normal(state["new"][1])
    )


@pytest.mark.parametrize(
    "other", [jnp.zeros(3, jnp.float32), jnp.zeros(4), jnp.zeros((3, 1)), jax.random.key(1)]
)
def test_arrays_of_another_shape_or_kind_are_not_put_into_a_state(other):
    with pytest.raises(DamagedError, match="than this fit has"):
        into({"z": jnp.zeros(3)}, flattened({"z": other}, "s"), "s")


# --------------------------------------------------------------------------------------- stages


def a_stage():
    """Everything that stages are made of."""
    blocks = [jnp.arange(3.0), np.float64(0.1), (1, 2.5, None, "text", True)]
    picture = Picture(*(jnp.full(2, k / 3) for k in range(4)))
    look = Look(*(jnp.full(k, 0.1) for k in range(5)), picture, *(jnp.zeros((2, 0)),) * 4)
    return {"b": blocks, "a": look, "key": jax.random.key(9), "draws": [np.arange(4)]}


def test_a_stage_is_computed_once_and_comes_back_to_the_bit(keep, told):
    counted = []

    def compute():
        counted.append(1)
        return a_stage()

    first, second = (keep().kept("First look", compute) for _ in range(2))
    assert len(counted) == 1
    assert same(first, a_stage())
    assert same(second, a_stage())
    assert second["b"][2] == (1, 2.5, None, "text", True)
    assert told == []


def test_a_stage_without_a_folder_is_only_computed():
    assert same(NOT_KEPT.kept("first look", a_stage), a_stage())


class Foreign(NamedTuple):
    x: int


@pytest.mark.parametrize("what", [lambda: 1, Foreign(1), {1: 2}, {"x": {3}}])
def test_what_cannot_be_kept_is_refused(keep, what):
    with pytest.raises(TypeError, match="cannot be kept in a checkpoint"):
        keep().kept("one", lambda: what)


@pytest.mark.parametrize("named", [["os", "system"], ["pdmodel.archive", "Foreign"],
                                   ["pdmodel.run", "load"], ["os", "stat_result"]])  # fmt: skip
def test_only_named_tuples_of_ours_are_built(keep, told, tmp_path, named):
    spec = {"named": named, "of": [{"value": "true"}]}
    keep().kept("x", lambda: 1)
    path = keep().folder / "stage-x.npz"
    archive.write(path, archive.read(path)[0] | {"spec": spec}, {})
    assert keep().kept("x", lambda: 2) == 2
    assert "described in a way that is not known" in told[0]


def damaged(path, how):
    content = path.read_bytes()
    path.write_bytes({
        "cut": content[: len(content) // 2],
        "empty": b"",
        "one bit": content[:99] + bytes([content[99] ^ 4]) + content[100:],
        "pickle": b"cbuiltins\neval\n(V__import__('pathlib').Path('BOMB').touch()\ntR.",
    }[how])  # fmt: skip


DAMAGE = ("cut", "empty", "one bit", "pickle")


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_stage_is_told_and_computed_again(keep, told, tmp_path, how):
    keep().kept("first look", a_stage)
    path = tmp_path / "chunks" / "stage-first-look.npz"
    damaged(path, how)
    assert same(keep().kept("first look", a_stage), a_stage())
    assert told == [f"{path} is damaged (its checksum is wrong); first look is computed again."]
    assert same(keep().kept("first look", lambda: 1 / 0), a_stage())


def test_a_stage_of_another_run_is_not_used(keep, told):
    keep("one").kept("first look", lambda: 1)
    assert keep("two").kept("first look", lambda: 2) == 2
    assert "it belongs to another fit or place" in told[0]


# --------------------------------------------------------------------------------------- chains


def potential_of(scale):
    return lambda z: 0.5 * jnp.sum((z["x"] / scale) ** 2) + jnp.cosh(z["y"] - z["x"][0])


class StoppedError(Exception):
    """Stands for whatever ends a program."""


def sampled(checkpoints, stop=None, settings=SETTINGS):
    """Sample a small problem; stop at a report if asked to."""
    reports = []

    def report(progress):
        reports.append(progress)
        if len(reports) == stop:
            raise StoppedError

    starts = [{"x": jnp.array([0.3, k]), "y": jnp.array(0.1)} for k in range(settings.chains)]
    keys = [key_of(5, k) for k in range(settings.chains)]
    draws = sample(
        potential_of, jnp.array([1.0, 3.0]), starts, keys, settings, report,
        dense=[("x", "y")], checkpoints=checkpoints,
    )  # fmt: skip
    return draws, reports


@pytest.fixture(scope="module")
def whole_run():
    return sampled(NOT_KEPT)[0]


def test_keeping_checkpoints_changes_no_bit(keep, whole_run):
    assert same(sampled(keep())[0], whole_run)


@pytest.mark.parametrize("stop", [1, 3, 8, 12, 14, 15])
def test_a_run_that_was_stopped_anywhere_goes_on_to_the_bit(keep, told, whole_run, stop):
    with pytest.raises(StoppedError):
        sampled(keep(), stop)
    before = sum(iterations_kept(keep().folder, 3))
    assert before >= 10 * stop
    draws, reports = sampled(keep())
    assert same(draws, whole_run)
    assert reports[0].done == before
    assert reports[-1].done == 150
    assert told == []


def test_a_run_stopped_again_and_again_ends_the_same(keep, whole_run):
    for _ in range(4):
        with pytest.raises(StoppedError):
            sampled(keep(), 3)
    assert same(sampled(keep())[0], whole_run)


def test_independent_samplers_side_by_side_go_on_to_the_bit(keep):
    settings = Settings(warmup=20, draws=20, chains=2, chunk=10)

    def run(checkpoints, stop=None):
        seen = []

        def report(progress):
            seen.append(progress)
            if len(seen) == stop:
                raise StoppedError

        starts = [{"x": jnp.ones((3, 2)), "y": jnp.full(3, k / 2)} for k in range(2)]
        keys = [jax.random.split(key_of(1, k), 3) for k in range(2)]
        scales = jnp.arange(1.0, 7.0).reshape(3, 2)
        return sample(
            potential_of, scales, starts, keys, settings, report, each=True, checkpoints=checkpoints
        )

    with pytest.raises(StoppedError):
        run(keep(), 5)
    assert same(run(keep()), run(NOT_KEPT))


def test_chunks_are_written_when_time_has_passed_and_when_a_chain_ends(keep, whole_run):
    with pytest.raises(StoppedError):
        sampled(keep(every=1e9), 12)
    assert len(list(keep().folder.glob("chain-*.npz"))) <= 3  # one for each chain
    assert sum(iterations_kept(keep().folder, 3)) >= 120
    assert same(sampled(keep(every=1e9))[0], whole_run)


@pytest.mark.parametrize(("how", "chunk"), [*zip(DAMAGE, (1, 2, 4, 5), strict=True)])
def test_a_chain_goes_on_before_a_damaged_file(keep, told, whole_run, how, chunk):
    sampled(keep())
    path = keep().folder / f"chain-1-{10 * chunk:06d}.npz"
    damaged(path, how)
    draws, reports = sampled(keep())
    assert same(draws, whole_run)
    said = f"{path} is damaged (its checksum is wrong); chain 1 goes on from iteration "
    assert told == [f"{said}{10 * chunk - 10}, before it."]
    assert reports[-1].done == 150
    told.clear()
    draws, reports = sampled(keep())
    assert same(draws, whole_run)
    assert ([one.done for one in reports], told) == ([150], [])  # nothing is left to do


def test_where_writing_is_slow_there_are_fewer_files(keep, monkeypatch, whole_run):
    def slow(path, about, arrays):
        time.sleep(0.4)  # as 10 s at a share of 4 %
        written(path, about, arrays)

    written = checkpoint.write
    monkeypatch.setattr(checkpoint, "write", slow)
    slowly = keep(every=1e-9)
    assert same(sampled(slowly)[0], whole_run)
    assert len(list(slowly.folder.glob("chain-*.npz"))) == 6  # the first and the last of each


def test_a_missing_or_moved_file_is_not_passed_over(keep, told, whole_run):
    sampled(keep())
    folder = keep().folder
    (folder / "chain-0-000020.npz").unlink()
    (folder / "chain-2-000030.npz").write_bytes((folder / "chain-1-000030.npz").read_bytes())
    assert same(sampled(keep())[0], whole_run)
    assert len(told) == 2
    assert all("it belongs to another fit or place" in line for line in told)


def test_a_state_of_another_sampler_is_not_used(keep, told):
    sampled(keep())
    settings = Settings(warmup=30, draws=20, chains=3, chunk=10)
    start, _ = kernel(potential_of, settings)  # another mass matrix
    state = start({"x": jnp.ones(2), "y": jnp.array(0.0)}, key_of(1), jnp.ones(2))
    assert keep().begun(0, state, None).done == 0
    assert "it holds arrays of another shape than this fit has" in told[0]


def test_a_chain_that_fails_stops_the_others_and_its_problem_is_told(keep, monkeypatch):
    def full(path, about, arrays):
        if about.get("chain") == 1:
            raise OSError(28, "No space left on device")
        return written(path, about, arrays)

    written = checkpoint.write
    monkeypatch.setattr(checkpoint, "write", full)
    said = r"chain-1-000010.npz \(0.0 MB\) could not be written: No space left on device. Make ro"
    with pytest.raises(RunError, match=said):
        sampled(keep(), settings=Settings(warmup=500, draws=500, chains=3, chunk=10))
    assert sum(iterations_kept(keep().folder, 3)) < 1000  # and not 3000


def test_a_file_says_what_it_is(keep):
    sampled(keep())
    about, arrays = archive.read(keep().folder / "chain-1-000050.npz")
    assert (about["chain"], about["first"], about["last"]) == (1, 40, 50)
    assert json.dumps(about)
    assert any(array.shape[:1] == (10,) for array in arrays.values())  # draws of the chunk
