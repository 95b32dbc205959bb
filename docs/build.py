"""Builds the site: python docs/build.py OUT, with velum on the path. OUT/html/index.html opens it.

Anything that doxygen or Sphinx warns of ends it. `cmake --build build/cpu --target docs` calls it, and
the test "docs".
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent


def main(out: Path) -> int:
    if shutil.which("doxygen") is None:
        sys.exit("docs/build.py: there is no doxygen on the PATH; scripts/setup installs it")
    xml, doctrees, html = out / "xml", out / "doctrees", out / "html"
    for made in (xml, doctrees, html):  # else what is there no more would stay
        shutil.rmtree(made, ignore_errors=True)
    xml.mkdir(parents=True)
    configuration = f'{(DOCS / "Doxyfile").read_text()}\nOUTPUT_DIRECTORY = "{out}"\n'
    subprocess.run(["doxygen", "-"], cwd=DOCS.parent, input=configuration, text=True, check=True)
    sphinx = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--quiet", "--builder=html"]
    sphinx += ["--doctree-dir", str(doctrees), str(DOCS), str(html)]
    return subprocess.run(sphinx, env={**os.environ, "VELUM_DOXYGEN_XML": str(xml)}).returncode


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]).resolve()))
