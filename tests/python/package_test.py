"""What importing velum promises."""

import os
import platform
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import velum
from velum import _build_info, _torch

ROOT = Path(__file__).parents[2]


def test_the_ten_lines_of_the_readme_train_privately():
    readme = (ROOT / "README.md").read_text()
    (snippet,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert len(snippet.strip().splitlines()) <= 16
    names = {}
    exec(
        textwrap.dedent(
            """
            import torch
            from torch.utils.data import DataLoader, TensorDataset

            torch.manual_seed(1)
            x = torch.randn(300, 3)
            dataset = TensorDataset(x, (x[:, 0] > 0).long())
            model = torch.nn.Sequential(
                torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2)
            )
            optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
            criterion = torch.nn.CrossEntropyLoss()
            loader = DataLoader(dataset, batch_size=60, shuffle=True)
            before = model[0].weight.detach().clone()
            """
        ),
        names,
    )
    exec(snippet, names)
    assert not bool((names["model"][0].weight == names["before"]).all())
    assert 0 < names["engine"].get_epsilon(1e-5) <= 3.0


def test_the_stubs_are_those_of_the_extension(tmp_path):
    subprocess.run(
        [sys.executable, ROOT / "python_bindings" / "make_stubs.py", tmp_path], check=True
    )
    made = {p.relative_to(tmp_path): p.read_text() for p in tmp_path.rglob("*.pyi")}
    kept = ROOT / "python_bindings" / "velum" / "_core"
    stale = "stale: cmake --build build/cpu --target python_stubs"
    assert made == {p.relative_to(kept): p.read_text() for p in kept.rglob("*.pyi")}, stale
    listed = (ROOT / "python_bindings" / "CMakeLists.txt").read_text()
    assert all(f"  _core/{path}\n" in listed for path in made)


def test_the_package_is_typed_strictly(tmp_path):
    package = Path(velum.__file__).parent
    run = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "-p", "velum"),
            *("--cache-dir", "mypy_cache", "--no-color-output"),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "MYPYPATH": str(package.parent)},
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_another_torch_is_refused_with_both_versions():
    _torch.check_version(_build_info.TORCH_VERSION + "+cpu")
    with pytest.raises(
        ImportError, match=r"torch 2\.11\.0, but torch 2\.12\.1\+cu130 is installed"
    ):
        _torch.check_version("2.12.1+cu130")
    program = (
        "import torch; torch.__version__ = '1.0.0'\n"
        "try:\n    import velum\n"
        "except ImportError as error: print(error)\n"
        "import sys; assert 'velum._core' not in sys.modules"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "torch 2.11.0, but torch 1.0.0 is installed" in shown.stdout


def test_every_public_name_is_there_and_documented():
    for name in velum.__all__:
        thing = getattr(velum, name)
        assert name.startswith("__") or re.search(r"\w", thing.__doc__ or ""), name
    assert issubclass(velum.CudaError, RuntimeError)
    assert issubclass(velum.BackendUnavailable, RuntimeError)
    assert velum.__version__ == _build_info.VERSION
    assert len(velum.__doc__.splitlines()) > 8


def test_every_header_has_a_line_in_the_table_of_what_python_reaches():
    page = (ROOT / "docs" / "python_reach.md").read_text()
    listed = re.findall(r"`((?:dpsgd|he|kernels)/[\w/*]+\.h)`", page)
    assert len(listed) == len(set(listed))
    headers = {
        str(path.relative_to(folder))
        for library in ("dpsgd", "he_gpu", "kernels")
        for folder in [ROOT / library / "include" / "velum"]
        for path in folder.rglob("*.h")
    }
    for pattern in listed:  # each is about some header, and none about one of another's
        covered = {name for name in headers if Path(name).match(pattern)}
        assert covered, pattern
        headers -= covered
    assert not headers, "docs/python_reach.md says nothing of these"
    names = re.findall(r"`(velum(?:\.\w+)+)`", page)
    assert len(names) > 20
    for name in names:
        thing = velum
        for part in name.split(".")[1:]:
            thing = getattr(thing, part)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not glibc's malloc")
def test_freed_memory_is_kept_for_the_next_tensors():
    script = """
        import resource
        import torch
        import velum

        def faults_of_a_step():
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            torch.ones(40 << 20, dtype=torch.uint8)
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

        faults_of_a_step()
        before = faults_of_a_step()
        kept = velum.keep_freed_memory()
        # Others allocate, too, and may break up a block.
        print(kept, before, min(faults_of_a_step() for _ in range(10)))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=True,
        env={name: value for name, value in os.environ.items() if name != "LD_PRELOAD"},
    )
    kept, before, after = done.stdout.split()
    assert kept == "True"
    if int(before) < 1000:
        pytest.skip(f"{before} pages: no pages of their own to be counted")
    assert int(after) < int(before) / 10
