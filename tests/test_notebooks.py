"""The notebooks run, and are committed as a reader should find them."""

import ast
import importlib.util
import os
import re
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks():
    assert [path.stem for path in NOTEBOOKS] == [
        "faithfulness_and_stability", "planning", "quickstart", "recipes", "your_own_model",
    ]  # fmt: skip


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def code_of(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_is_committed_without_outputs(notebook):
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert all(cell.id for cell in notebook.cells)
    code = code_of(notebook)
    assert [cell.outputs for cell in code] == [[]] * len(code)
    assert [cell.execution_count for cell in code] == [None] * len(code)


def test_code_in_its_text_is_python(notebook):
    # what needs a download stands in the text
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for example in re.findall(r"```python\n(.*?)```", cell.source, re.DOTALL):
                ast.parse(example)


def test_all_install_in_the_same_way_and_from_no_address():
    notebooks = [nbformat.read(path, as_version=nbformat.NO_CONVERT) for path in NOTEBOOKS]
    assert len({code_of(notebook)[0].source for notebook in notebooks}) == 1
    for notebook in notebooks:
        assert [i for i, cell in enumerate(code_of(notebook)) if "%pip" in cell.source] == [0]
        assert not any("neurotrust/neurotrust_jax" in cell.source for cell in notebook.cells)


@pytest.fixture
def install(monkeypatch):
    """Run the cell that installs, in a folder; return what pip would have been asked to install."""
    from IPython.core.inputtransformer2 import TransformerManager
    from IPython.utils.text import DollarFormatter

    (cell, *_) = code_of(nbformat.read(NOTEBOOKS[0], as_version=nbformat.NO_CONVERT))
    program = TransformerManager().transform_cell(cell.source)
    asked = []

    class Shell:
        def run_line_magic(self, name, line):
            asked.append((name, DollarFormatter().vformat(line, [], scope)))

    scope = {"get_ipython": Shell}

    def run(folder, *, installed=False):
        monkeypatch.chdir(folder)
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: object() if installed else None
        )
        exec(program, scope)
        return asked

    return run


def make_checkout(folder):
    (folder / "neurotrust_jax").mkdir(parents=True)
    (folder / "neurotrust_jax" / "__init__.py").touch()
    (folder / "notebooks").mkdir()
    return folder / "notebooks"


def test_installs_the_newest_wheel_beside_the_notebook(install, tmp_path):
    folder = make_checkout(tmp_path / "my checkout")
    wheels = [folder / f"neurotrust_jax-0.{i}.0-py3-none-any.whl" for i in (10, 9)]
    for seconds, wheel in zip((2_000, 1_000), wheels, strict=True):
        wheel.touch()
        os.utime(wheel, (seconds, seconds))
    assert install(folder) == [("pip", f'install -q "{wheels[0]}[digits,files]"')]


def test_installs_the_checkout_that_the_notebook_lies_in(install, tmp_path):
    folder = make_checkout(tmp_path)
    assert install(folder) == [("pip", f'install -q "{tmp_path}[digits,files]"')]


def test_says_what_to_do_where_there_is_neither(install, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"put the wheel .*\.whl, into ") as error:
        install(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_installs_nothing_where_the_package_is_there(install, tmp_path):
    assert install(make_checkout(tmp_path), installed=True) == []


@pytest.mark.slow
def test_runs_and_its_claims_hold(notebook, tmp_path, monkeypatch, request):
    from ipykernel.kernelspec import write_kernel_spec
    from nbclient import NotebookClient

    # a kernel of this very interpreter, whatever others the machine knows
    write_kernel_spec(tmp_path / "jupyter" / "kernels" / "tested")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    work = tmp_path / "work"
    work.mkdir()
    caches = {"NEUROTRUST_CACHE": str(request.config.cache.mkdir("neurotrust"))}
    client = NotebookClient(
        notebook, timeout=600, kernel_name="tested", resources={"metadata": {"path": str(work)}}
    )
    client.execute(env=os.environ | caches)  # a failed assertion in a cell raises
    code = code_of(notebook)
    assert all(cell.execution_count for cell in code)
    kinds = {output.output_type for cell in code for output in cell.outputs}
    assert "stream" in kinds  # it says something
