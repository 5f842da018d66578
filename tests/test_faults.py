"""What is interrupted goes on where it stopped, and nothing is lost, mixed or half written."""

import os
import resource
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from filelock import FileLock

import neurotrust_jax as nt
from neurotrust_jax import report, runs
from neurotrust_jax._engine import dense, run_rows
from neurotrust_jax._runtime import checkpoint, memory
from neurotrust_jax.datasets import planted
from neurotrust_jax.files import FileError
from neurotrust_jax.runs import audit_run
from neurotrust_jax.runs.folder import CHUNKS

OPTIONS = runs.Options(
    metric="auroc", num_replicates=1100, num_permutations=150
)  # in 3 chunks each
RESULTS = ("winners", "winning_similarity", "replicates", "vote_share", "candidates")


@pytest.fixture(scope="module")
def planted_probe():
    p = planted(jax.random.key(1), 300, num_neurons=6, num_concepts=5, effect=0.8)
    return nt.make_probe(np.array(p.activations), np.array(p.concepts))


@pytest.fixture(scope="module")
def files(tmp_path_factory, planted_probe):
    folder = tmp_path_factory.mktemp("data")
    f = np.asarray(planted_probe.activations)
    np.savez(folder / "layers.npz", one=f, two=f[:, ::-1])
    np.save(folder / "concepts.npy", np.asarray(planted_probe.concepts))
    return runs.Files((folder / "layers.npz",), folder / "concepts.npy")


def content(out):
    """Every file that does not tell of its own run."""
    found = {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    told = ("manifest.json", "report.html", ".lock")  # with dates
    return {str(k): v for k, v in found.items() if k.name not in told}


class Interrupt:
    """Raises at the k-th call of whatever it stands for."""

    def __init__(self, k, error, function=None):
        self.k, self.error, self.function, self.calls = k, error, function, 0

    def __call__(self, *arguments, **options):
        self.calls += 1
        if self.calls == self.k:
            raise self.error
        return self.function(*arguments, **options) if self.function else None


@pytest.mark.slow
def test_an_interrupt_at_any_step_loses_nothing(files, few_figures, tmp_path):
    steps = Interrupt(-1, None)
    runs.audit_files(files, tmp_path / "count", OPTIONS, progress=steps)
    expected = content(tmp_path / "count")
    assert steps.calls > 20
    for k in range(1, steps.calls + 1):
        out = tmp_path / str(k)
        with pytest.raises(KeyboardInterrupt):
            runs.audit_files(files, out, OPTIONS, progress=Interrupt(k, KeyboardInterrupt))
        runs.audit_files(files, out, OPTIONS)
        assert content(out) == expected, f"interrupted at step {k}"


@pytest.mark.slow
def test_a_full_disk_at_any_file_loses_nothing(files, few_figures, tmp_path, monkeypatch):
    """The k-th file can not be given its name: at the end of what a full disk spoils."""
    replace = checkpoint.Path.replace
    writes = Interrupt(-1, None, replace)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.Path, "replace", lambda *x: writes(*x))
        runs.audit_files(files, tmp_path / "count", OPTIONS)
    expected = content(tmp_path / "count")
    assert writes.calls > 20
    full = OSError(28, "No space left on device")
    for k in range(1, writes.calls + 1):
        out = tmp_path / str(k)
        with monkeypatch.context() as patch:
            step = Interrupt(k, full, replace)
            patch.setattr(checkpoint.Path, "replace", lambda *x, step=step: step(*x))
            with pytest.raises(OSError, match="No space left"):
                runs.audit_files(files, out, OPTIONS)
        # what is there is whole
        for path in out.rglob("audit.json"):
            report.read_audit(path)
        runs.audit_files(files, out, OPTIONS)
        assert content(out) == expected, f"disk full at file {k}"


@pytest.fixture(scope="module")
def command(files):
    """Start the command as a shell would; before it, a line of Python."""

    def start(out, before="", **changes):
        chosen = {
            "activations": files.activations[0], "concepts": files.concepts, "layer": "one",
            "metric": "auroc", "num-replicates": 1100, "num-permutations": 150, "rows": 0,
            "seed": 0, "out": out,
        } | changes  # fmt: skip
        options = [x for name, value in chosen.items() for x in (f"--{name}", str(value))]
        program = f"{before}\nfrom neurotrust_jax.cli import main\nmain()"
        return subprocess.Popen(
            [sys.executable, "-c", program, "audit", *options],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=os.environ | {"COLUMNS": "200"},
        )  # fmt: skip

    return start


@pytest.fixture(scope="module")
def whole(command, tmp_path_factory):
    """What the command writes where nothing disturbs it."""
    out = tmp_path_factory.mktemp("whole")
    told, _ = (program := command(out)).communicate(timeout=120)
    assert program.returncode == 0, told
    found = content(out)
    names = {name.rsplit("/", 1)[-1] for name in found}
    assert names >= {"audit.json", "descriptions.csv", "verdicts.svg", "verdicts.png"}
    assert not any(checkpoint.UNFINISHED in name for name in found)
    return found


@pytest.fixture
def few_figures(monkeypatch):
    """One small figure of each layer: drawing takes nearly all of the time."""

    def draw(audit, folder):
        checkpoint.write_whole(folder / "verdicts.svg", lambda part: part.write_text(audit.layer))

    monkeypatch.setattr(audit_run, "save_figures", draw)


def until_chunks(out, program, number):
    """Wait until so many chunks lie in the folder."""
    for _ in range(600):
        if len(list(out.rglob(f"{CHUNKS}/*/[0-9]*-*.npz"))) >= number:
            return
        assert program.poll() is None, program.communicate()[0]
        time.sleep(0.05)
    raise AssertionError("no chunk was written")


SLOWER = (
    "import signal, time; from neurotrust_jax._runtime.checkpoint import Checkpoint\n"
    "piece = Checkpoint.piece\n"
    "Checkpoint.piece = lambda *x: (time.sleep(0.3), piece(*x))[1]\n"
    # what runs in the background may have been told to ignore it
    "signal.signal(signal.SIGINT, signal.default_int_handler)"
)


@pytest.mark.slow
def test_a_killed_process_goes_on(command, whole, tmp_path):
    """Interrupted by the user, then killed, and each time begun again."""
    kept = {}
    for how, number in ((signal.SIGINT, 2), (signal.SIGKILL, 4)):
        program = command(tmp_path, SLOWER)
        until_chunks(tmp_path, program, number)
        program.send_signal(how)
        told, _ = program.communicate(timeout=60)
        assert program.returncode != 0
        assert "Traceback" not in told
        assert ("The same command goes on" in told) == (how == signal.SIGINT)
        seen = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("[0-9]*-*.npz")}
        assert len(seen) >= number
        assert kept.items() <= seen.items()  # none was done twice
        kept = seen
    again = command(tmp_path)
    assert again.wait(timeout=120) == 0, again.communicate()[0]
    again.communicate()
    assert content(tmp_path) == whole


@pytest.mark.slow
def test_a_file_that_grows_too_large_and_an_input_that_is_lost(command, files, whole, tmp_path):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
    told, _ = (program := command(tmp_path, limit)).communicate(timeout=120)
    assert program.returncode == 2
    assert "File too large" in told
    assert "Traceback" not in told
    moved = files.concepts.with_suffix(".moved")
    files.concepts.rename(moved)
    try:
        told, _ = (program := command(tmp_path)).communicate(timeout=120)
        assert program.returncode == 2
        assert "does not exist" in told
    finally:
        moved.rename(files.concepts)
    told, _ = (program := command(tmp_path)).communicate(timeout=120)
    assert program.returncode == 0, told
    assert content(tmp_path) == whole


@pytest.mark.slow
def test_two_runs_into_one_folder_never_mix(command, files, whole, tmp_path):
    both = [command(tmp_path, SLOWER, seed=seed) for seed in (0, 0, 1)]
    ended = [program.communicate(timeout=120)[0] for program in both]
    codes = [program.returncode for program in both]
    assert sorted(codes) == [0, 2, 2], ended
    for told, code in zip(ended, codes, strict=True):
        refused = "another run is writing into it" in told or "holds another audit" in told
        assert refused == (code == 2), told
    if codes[2] != 0:
        assert content(tmp_path) == whole
    seed = 0 if codes[2] == 0 else 1
    with pytest.raises(FileError, match="holds another audit"):
        runs.audit_files(files, tmp_path, runs.Options(**vars(OPTIONS) | {"seed": seed}))


def test_only_its_own_unfinished_files_are_removed(files, tmp_path, monkeypatch):
    """Other audits may lie in folders below, and other programs may write beside."""
    layer = runs.folder_name("one")
    ours = (
        ".unfinished-1-audit.json", ".unfinished-22-manifest.json",
        f"{layer}/.unfinished-3-verdicts.png", f"{layer}/.unfinished-8-audit.arrays.npz",
        f"{layer}/{CHUNKS}/ab/.unfinished-4-0.npz",
    )  # fmt: skip
    chunk = f"{layer}/{CHUNKS}/ab/000-511.npz"
    others = (
        ".unfinished-5-o.csv", f"b/{CHUNKS}/ab/000-511.npz", "b/.unfinished-6-audit.json",
        f"{runs.folder_name('three')}/.unfinished-7-audit.json",
    )  # fmt: skip
    for name in (*ours, chunk, *others):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setattr(audit_run, "audit", Interrupt(1, KeyboardInterrupt))

    def run(force):
        with pytest.raises(KeyboardInterrupt):
            runs.audit_files(files, tmp_path, OPTIONS, force=force)
        audit_run.audit.calls = 0
        return {name for name in (*ours, chunk, *others) if (tmp_path / name).exists()}

    assert run(force=False) == {chunk, *others}
    assert run(force=True) == set(others)


def test_a_folder_in_use_is_refused(files, tmp_path):
    with FileLock(tmp_path / ".lock"), pytest.raises(FileError, match="another run is writing"):
        runs.audit_files(files, tmp_path, OPTIONS)


@pytest.mark.quick("iou")
@pytest.mark.parametrize(
    ("metric", "strategy"), [("iou", "screened"), ("auroc", "rows"), ("correlation", "dense")]
)
def test_a_bootstrap_goes_on(planted_probe, tmp_path, monkeypatch, metric, strategy):
    def run(key=0, checkpoint=tmp_path, **options):
        return nt.bootstrap(
            jax.random.key(key), planted_probe, metric, strategy=strategy, num_replicates=300,
            chunk_size=100, checkpoint=checkpoint, **options,
        )  # fmt: skip

    with pytest.raises(KeyboardInterrupt):
        run(progress=Interrupt(2, KeyboardInterrupt))
    expected, found = run(checkpoint=None), run()
    for name in RESULTS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    # another key never meets these chunks
    other = run(key=1)
    assert not np.array_equal(other.replicates, found.replicates)
    for module in (dense, run_rows):
        monkeypatch.setattr(module, "divided", lambda *x, **options: pytest.fail)
    run()  # nothing is left to do


def test_a_stream_goes_on_if_its_rows_are_the_same(planted_probe, tmp_path):
    f, c = (np.array(x) for x in (planted_probe.activations, planted_probe.concepts))

    def run(checkpoint, f=f, progress=None):
        source = nt.array_chunks(f, c, size=70)
        return nt.bootstrap_stream(
            jax.random.key(0), source, "iou", thresholds=0.8, num_replicates=150,
            memory_limit=1e5, checkpoint=checkpoint, progress=progress,
        )  # fmt: skip

    passes = []
    expected = run(None, progress=lambda done, total: passes.append(done))
    assert len(passes) > 2
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, progress=Interrupt(len(passes), KeyboardInterrupt))
    passes.clear()
    found = run(tmp_path, progress=lambda done, total: passes.append(done))
    assert len(passes) == 1
    for name in RESULTS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    turned = run(tmp_path, f[::-1], progress=lambda done, total: passes.append(done))
    assert len(passes) > 3
    assert not np.array_equal(turned.winners, found.winners)


def test_a_method_of_ones_own_goes_on(planted_probe, tmp_path):
    calls = []

    def scores(probe):
        calls.append(1)
        return nt.similarity(probe, "iou")

    def run(**options):
        return nt.bootstrap_black_box(
            jax.random.key(0), scores, planted_probe, num_replicates=8, **options
        )

    expected = run()
    with pytest.raises(KeyboardInterrupt):
        run(checkpoint=tmp_path, progress=Interrupt(5, KeyboardInterrupt))
    calls.clear()
    found = run(checkpoint=tmp_path)
    assert len(calls) == 1 + 3
    np.testing.assert_array_equal(found.winners, expected.winners)


def test_permutations_go_on(planted_probe, tmp_path):
    def run(**options):
        return nt.permutation_test(
            jax.random.key(0), planted_probe, num_permutations=150, **options
        )

    expected = run()
    with pytest.raises(KeyboardInterrupt):
        run(checkpoint=tmp_path, progress=Interrupt(2, KeyboardInterrupt))
    (folder,) = tmp_path.iterdir()
    kept = {p: p.stat().st_mtime_ns for p in folder.iterdir()}
    assert len(kept) == 2
    found = run(checkpoint=tmp_path)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert {p: p.stat().st_mtime_ns for p in kept} == kept


def test_pieces(tmp_path, caplog):
    kept = checkpoint.Checkpoint(tmp_path, "one")
    for make in (lambda: (np.arange(3), 2.5), pytest.fail):
        first, second = kept.piece("a", make)
        np.testing.assert_array_equal(first, np.arange(3))
        assert second == 2.5
    (path,) = kept.folder.iterdir()
    for damage in (b"", b"PK\x03\x04", path.read_bytes()[:-30]):
        path.write_bytes(damage)
        np.testing.assert_array_equal(kept.piece("a", lambda: (np.arange(4),))[0], np.arange(4))
    assert "can not be used, working it out again" in caplog.text
    assert checkpoint.Checkpoint(tmp_path, "two").folder != kept.folder
    with pytest.raises(ValueError, match="is a file; give a folder"):
        checkpoint.Checkpoint(path, "one")


def test_free_memory_knows_control_groups_and_limits(tmp_path, monkeypatch):
    assert 0 < memory.free_memory() < 2.0**50
    for name, value in (
        ("memory.max", 2**30), ("memory.current", 2**29), ("memory.stat", f"inactive_file {2**20}"),
    ):  # fmt: skip
        (tmp_path / name).write_text(f"{value}\n")
    monkeypatch.setattr(memory, "_control_groups", lambda: iter([tmp_path]))
    assert memory.free_memory() == 2**29 + 2**20
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_memory() > 2**29 + 2**20
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    used = memory._status()["VmData"]
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (used + 2**28, hard))
        assert 0 < memory.free_memory() <= 2**28
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


CAPPED = """
import resource, sys
import jax, numpy as np
import neurotrust_jax as nt
from neurotrust_jax._runtime import memory
rng = np.random.default_rng(0)
concepts = rng.random((10_000, 100)) < 0.1
probe = nt.make_probe(rng.normal(size=(10_000, 16)).astype(np.float32), concepts)
used = lambda: memory._status()["VmData"]

def run(limit):
    boot = nt.bootstrap(
        jax.random.key(0), probe, "auroc", strategy="rows", num_replicates=512, memory_limit=limit
    )
    return int(boot.winners.sum())

run(2.0**26)  # compiles, starts threads
soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
limit = 2.0**28
resource.setrlimit(resource.RLIMIT_DATA, (used() + int(limit), hard))
print(run(limit))
print(run(2.0**34))  # more than there is, which it does not take
resource.setrlimit(resource.RLIMIT_DATA, (used() + 2**24, hard))
try:
    run(2.0**34)
except ValueError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
"""


@pytest.mark.slow
def test_the_memory_limit_holds_under_a_hard_cap():
    """The process would die of what is taken beyond the cap."""
    run = subprocess.run(
        [sys.executable, "-c", CAPPED], capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    first, second, refused = run.stdout.splitlines()
    assert first == second
    assert "bytes, of which" in refused
    assert "is below the" in refused
