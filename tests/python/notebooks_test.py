"""The notebooks of examples/notebooks run from top to bottom, and are those that their readers see."""

from pathlib import Path

import pytest

jupytext = pytest.importorskip("jupytext")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytest.importorskip("matplotlib")

FOLDER = Path(__file__).parents[2] / "examples" / "notebooks"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.py"))
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


def outputs(notebook):
    return [o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs]


def figures(notebook):
    return sum("image/png" in output.get("data", {}) for output in outputs(notebook))


def test_all_are_here_in_pairs():
    assert len(NOTEBOOKS) == 5
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == NOTEBOOKS
    listed = (FOLDER / "README.md").read_text()
    assert all(f"({name}.ipynb)" in listed for name in NOTEBOOKS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_pair_is_the_same_notebook(name):
    source = jupytext.read(FOLDER / f"{name}.py")
    shown = jupytext.read(FOLDER / f"{name}.ipynb")
    assert [(c.cell_type, c.source) for c in shown.cells] == [
        (c.cell_type, c.source) for c in source.cells
    ], f"bring it up to date by: jupytext --update --to ipynb {name}.py"
    # Jupyter opens it without asking for a kernel.
    for notebook in (source, shown):
        kernel = notebook.metadata["kernelspec"]
        assert (kernel["name"], kernel["language"]) == ("python3", "python")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_what_readers_see_is_a_whole_run_without_errors(name):
    shown = jupytext.read(FOLDER / f"{name}.ipynb")
    code = [cell for cell in shown.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [o for o in outputs(shown) if o.output_type == "error" or o.get("name") == "stderr"]
    assert figures(shown) >= 1
    assert (FOLDER / f"{name}.ipynb").stat().st_size < 300_000


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_runs(name, tmp_path, monkeypatch):
    if "fashion-mnist" in (FOLDER / f"{name}.py").read_text() and not FASHION_MNIST.is_dir():
        pytest.skip(f"{FASHION_MNIST} is not there; apt-get install dataset-fashion-mnist")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))  # no kernel of the user's
    notebook = jupytext.read(FOLDER / f"{name}.py")
    work = tmp_path / "work"
    work.mkdir()
    nbclient.NotebookClient(
        notebook,
        timeout=240,
        kernel_name="python3",
        resources={"metadata": {"path": str(work)}},
    ).execute()  # a cell that fails is a CellExecutionError
    assert figures(notebook) >= 1
    assert list(work.iterdir()) == []
