"""Keep what JAX compiles for a command, so that the next command need not compile it again.

A small audit is nearly all compilation. JAX can keep compiled functions in a folder; only the
commands ask for that, since a library that is imported must not change how JAX is set up.
"""

from __future__ import annotations

import hashlib
import os
import platform
import warnings
from pathlib import Path

from .output import errors

__all__ = ["keep_compiled_functions"]

MOST_BYTES = 200_000_000  # of all that is kept; a small audit takes 2 million
TRIAL_BYTES = 1_000_000  # a folder without room for them is not used


def keep_compiled_functions() -> None:
    """Let JAX keep compiled functions in the cache folder, for this command and the next ones.

    ``NEUROTRUST_CACHE`` moves the folder. JAX's own ``JAX_COMPILATION_CACHE_DIR`` names another
    one, which is left as it is, and ``JAX_ENABLE_COMPILATION_CACHE=0`` keeps nothing. Where the
    folder can not be written, a line says so and the command compiles.
    """
    import jax

    from .._runtime.checkpoint import cache_folder

    given = jax.config.values
    if given["jax_compilation_cache_dir"] or not given["jax_enable_compilation_cache"]:
        return
    folder = cache_folder() / "compiled" / _processor()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _try_to_write(folder)
        remove_oldest(folder.parent, MOST_BYTES)
    except OSError as error:
        errors.print(
            f"neurotrust: compiled functions can not be kept in {folder} ({error.strerror}); set "
            "NEUROTRUST_CACHE to another folder to save the time of compilation.",
            style="yellow", highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    # a damaged entry, or a disk that fills up meanwhile, costs a compilation and no more
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")


def remove_oldest(folder: Path, most_bytes: int) -> None:
    """Remove the files under a folder that were not used for longest, until the others fit.

    JAX could do so too, but looks at all files whenever it writes one.
    """
    files = []
    for path in folder.glob("*/*"):
        try:
            found = path.stat()
        except FileNotFoundError:  # another command removed it
            continue
        files.append((max(found.st_atime, found.st_mtime), found.st_size, path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= most_bytes:
            return
        path.unlink(missing_ok=True)
        total -= size


def _try_to_write(folder: Path) -> None:
    """Write a file of some size and remove it."""
    trial = folder / f".trial-{os.getpid()}"
    try:
        trial.write_bytes(bytes(TRIAL_BYTES))
    finally:
        trial.unlink(missing_ok=True)


def _processor() -> str:
    """A name for processors that can run the same code; machines may share a home folder."""
    facts = [platform.machine(), platform.processor()]
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            facts += sorted({x for x in file if x.startswith(("model name", "flags", "Features"))})
    except OSError:  # not Linux
        pass
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]
