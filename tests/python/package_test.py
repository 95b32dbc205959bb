"""What importing velum promises."""

import re
import subprocess
import sys

import pytest
import velum
from velum import _build_info, _torch


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
