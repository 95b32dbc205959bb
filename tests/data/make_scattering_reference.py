"""Writes scattering_reference.txt: scattering coefficients computed by kymatio 0.3.0.

Run in an environment of its own: pip install kymatio==0.3.0 numpy scipy; then
    python make_scattering_reference.py > scattering_reference.txt
"""

import importlib.metadata
import sys

import numpy as np
import scipy.special

if not hasattr(scipy.special, "sph_harm"):  # gone since scipy 1.15; kymatio imports it for 3-D only
    scipy.special.sph_harm = None
from kymatio.numpy import Scattering2D  # noqa: E402

# height, width, scales J, orientations L, image, every how many coefficients
CASES = [
    (28, 28, 2, 8, 0, 1),
    (28, 28, 2, 8, 1, 1),
    (32, 32, 3, 8, 1, 7),
    (28, 36, 2, 6, 0, 5),
    (21, 30, 1, 5, 1, 3),
    (48, 16, 3, 4, 0, 7),
    (16, 16, 4, 3, 1, 1),
]


def image(kind, height, width):
    """Bytes by integer arithmetic: 0 is a texture, 1 a shaded ellipse on black."""
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    if kind == 0:
        return (37 * y + 101 * x + 3 * y * x) % 256
    inside = 3 * (2 * y - height) ** 2 + 2 * (2 * x - width) ** 2 < 2 * height * width
    return np.where(inside, 60 + (5 * y + x) % 180, 0)


def main():
    print("# Scattering coefficients of the images of make_scattering_reference.py, by kymatio")
    print(
        "# {} (BSD-3-Clause), numpy front end, float64 input = byte / 255.".format(
            importlib.metadata.version("kymatio")
        )
    )
    print(
        "# case: height width scales orientations image stride count, then every stride-th value."
    )
    for height, width, scales, orientations, kind, stride in CASES:
        transform = Scattering2D(scales, (height, width), orientations)
        values = transform(image(kind, height, width) / 255.0).reshape(-1)
        print("case", height, width, scales, orientations, kind, stride, values.size)
        kept = values[::stride]
        for first in range(0, kept.size, 10):
            print(" ".join(f"{v:.7g}" for v in kept[first : first + 10]))


if __name__ == "__main__":
    sys.exit(main())
