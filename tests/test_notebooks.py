"""The notebooks run, and are committed as a reader should find them."""

import os
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
COLAB = "https://colab.research.google.com/github/neurotrust/neurotrust_jax/blob/main/notebooks/"


def test_there_are_notebooks():
    assert [path.stem for path in NOTEBOOKS] == [
        "faithfulness_and_stability", "planning", "quickstart", "your_own_model",
    ]  # fmt: skip


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def test_is_committed_without_outputs_and_names_itself(path, notebook):
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert all(cell.id for cell in notebook.cells)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in code] == [[]] * len(code)
    assert [cell.execution_count for cell in code] == [None] * len(code)
    first = notebook.cells[0].source
    assert first.count("/blob/main/") == 1
    assert f"]({COLAB}{path.name})" in first
    # nothing is installed where the package is there
    installing = [cell.source for cell in code if "%pip" in cell.source]
    assert len(installing) == 1
    assert 'if importlib.util.find_spec("neurotrust_jax") is None:\n    %pip' in installing[0]


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
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    kinds = {output.output_type for cell in code for output in cell.outputs}
    assert "stream" in kinds  # it says something
