"""What the command adds around an audit: compiled functions that are kept, and a log."""

import io
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from rich.console import Console

from neurotrust_jax.cli import compilation, output
from neurotrust_jax.cli.output import log_line, progress_bars

MOST_COMPILED = 60  # functions of an audit by iou

COMPILE = """
import jax, jax.numpy as jnp
from jax import monitoring
from neurotrust_jax.cli.compilation import keep_compiled_functions
found = []
monitoring.register_event_listener(lambda name, **_: found.append(name))
keep_compiled_functions()
assert jax.jit(lambda x: jnp.sin(x) + 3)(2.0) > 3.9
print(sum(x.endswith("cache_hits") for x in found), jax.config.jax_compilation_cache_dir)
"""


def run(folder, code=COMPILE, **variables):
    """The standard output of a process without the tests' own compilation cache."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_COMP", "JAX_PERSIST"))}
    env |= {"NEUROTRUST_CACHE": str(folder), **variables}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr


def test_a_second_process_finds_what_the_first_one_compiled(tmp_path):
    first, told = run(tmp_path)
    assert first.startswith("0 ")
    assert told == ""
    second, _ = run(tmp_path)
    assert int(second.split()[0]) >= 1
    assert second.split()[1].startswith(str(tmp_path))
    # a file cut short by a crash costs a compilation, and no more
    for path in tmp_path.rglob("*-cache"):
        path.write_bytes(path.read_bytes()[:20])
    third, told = run(tmp_path)
    assert third.startswith("0 ")
    assert told == ""


def test_the_folder_of_the_user_and_the_switch_of_jax_are_left_alone(tmp_path):
    theirs = str(tmp_path / "theirs")
    assert run(tmp_path / "ours", JAX_COMPILATION_CACHE_DIR=theirs)[0] == f"0 {theirs}"
    assert run(tmp_path / "ours", JAX_ENABLE_COMPILATION_CACHE="false")[0] == "0 None"
    assert not (tmp_path / "ours").exists()


def test_without_a_folder_the_command_compiles_and_says_so_in_a_line(tmp_path):
    (tmp_path / "file").touch()
    found, told = run(tmp_path / "file")
    assert found == "0 None"
    assert told.count("\n") == 1
    assert "can not be kept" in told
    assert "NEUROTRUST_CACHE" in told
    assert (tmp_path / "file").stat().st_size == 0


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(self, data):
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(compilation.Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        compilation._try_to_write(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_was_not_used_for_longest_is_removed_first(tmp_path):
    for age, (folder, name) in enumerate((("a", "new"), ("b", "read"), ("a", "old"), ("b", "x"))):
        path = tmp_path / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(100))
        written = 5000 if name == "read" else age  # and read since
        os.utime(path, (1e9 - age, 1e9 - written))

    def left():
        return {path.name for path in tmp_path.glob("*/*")}

    compilation.remove_oldest(tmp_path, 400)
    assert left() == {"new", "read", "old", "x"}
    compilation.remove_oldest(tmp_path, 399)
    assert left() == {"new", "read", "old"}
    compilation.remove_oldest(tmp_path, 250)
    assert left() == {"new", "read"}
    compilation.remove_oldest(tmp_path / "missing", 0)


@pytest.mark.slow
def test_an_audit_compiles_few_functions(tmp_path):
    """Small operations outside compiled functions would each be one more to compile."""
    rng = np.random.default_rng(0)
    concepts = rng.random((600, 8)) < 0.2
    activations = rng.normal(size=(600, 24)) + 3 * concepts[:, rng.integers(0, 8, 24)]
    np.save(tmp_path / "f.npy", activations.astype(np.float32))
    np.save(tmp_path / "c.npy", concepts)
    arguments = ["--activations", tmp_path / "f.npy", "--concepts", tmp_path / "c.npy", "--out",
                 tmp_path / "out", "--num-replicates", 99, "--num-permutations", 99]  # fmt: skip
    code = f"""
import sys
from jax import monitoring
from neurotrust_jax.cli import main
found = []
monitoring.register_event_duration_secs_listener(lambda name, *_, **__: found.append(name))
sys.argv = ["neurotrust", "audit", *{list(map(str, arguments))}]
try:
    main()
except SystemExit as end:
    assert not end.code
print(sum(x.endswith("backend_compile_duration") for x in found))
"""
    told, _ = run(tmp_path / "cache", code)
    assert 20 < int(told.splitlines()[-1]) <= MOST_COMPILED


def test_importing_the_package_sets_nothing_of_jax(tmp_path):
    code = (
        "import jax\n"
        "before = dict(jax.config.values)\n"
        "import neurotrust_jax, neurotrust_jax.cli\n"
        "assert dict(jax.config.values) == before\n"
    )
    run(tmp_path, code)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("stage", "line"),
    [
        (("resampling", 0, 300, 1000, 90), "resampling: 300 of 1,000, 1 min 30 s so far, about "
         "3 min 30 s left"),
        (("resampling", 600, 800, 1000, 9), "resampling: 800 of 1,000, 9 s so far, about 9 s left"),
        (("judging", 2, 2, 4, 3.6), "judging: 2 of 4, 4 s so far"),
        (("judging", 0, 4, 4, 7200), "judging: 4 of 4, 2 h 0 min so far"),
    ],
)  # fmt: skip
def test_a_line_of_the_log(stage, line):
    assert log_line(*stage) == line


def test_without_a_terminal_lines_go_to_standard_error(monkeypatch):
    """A line comes every few seconds, also while a stage reports nothing, and none comes later."""
    told, shown = io.StringIO(), io.StringIO()
    monkeypatch.setattr(output, "SECONDS", 0.02)
    monkeypatch.setattr(output, "errors", Console(file=told, width=20))
    monkeypatch.setattr(output, "console", Console(file=shown))

    def lines(number):
        end = time.monotonic() + 20
        while told.getvalue().count("\n") < number and time.monotonic() < end:
            time.sleep(0.01)
        return told.getvalue().splitlines()

    with progress_bars() as progress:
        time.sleep(0.1)
        assert told.getvalue() == ""
        progress("[layer] resampling", 0, 1000)
        assert lines(2)[:2] == ["[layer] resampling: 0 of 1,000, 0 s so far"] * 2
        progress("[layer] resampling", 500, 1000)
        assert "500 of 1,000" in lines(len(lines(0)) + 2)[-1]
        progress("judging", 1, 4)
        assert lines(len(lines(0)) + 2)[-1] == "judging: 1 of 4, 0 s so far"
    ended = told.getvalue()
    time.sleep(0.1)
    assert told.getvalue() == ended
    assert shown.getvalue() == ""


@pytest.mark.parametrize("terminal", [True, False])
def test_bars_are_drawn_on_a_terminal_alone(monkeypatch, terminal):
    """Colours may be forced elsewhere, too."""
    shown = io.StringIO()
    shown.isatty = lambda: terminal
    monkeypatch.setattr(output, "console", Console(file=shown, force_terminal=True, width=80))
    with progress_bars() as progress:
        progress("resampling", 3, 7)
    assert ("3/7" in shown.getvalue()) == terminal
