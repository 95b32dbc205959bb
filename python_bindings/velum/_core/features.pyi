"""
Documented in velum.features.
"""
from __future__ import annotations
import numpy
import numpy.typing
import typing
__all__: list[str] = ['Preconditioner', 'ScatteringTransform', 'make_preconditioner', 'precondition_rows', 'private_mean', 'private_second_moments', 'random_shapes_preconditioner', 'sqrt_to_unit_rows']
class ScatteringTransform:
    """
    The wavelet scattering transform of grey images, orders 0, 1 and 2 (arXiv 1203.1513). A
    fixed map of each image: no weight is learnt from data, so it costs no privacy. Filters and
    layout are those of kymatio 0.3.
    """
    def __init__(self, height: typing.SupportsInt = 28, width: typing.SupportsInt = 28, scales: typing.SupportsInt = 2, orientations: typing.SupportsInt = 8) -> None:
        """
        Args:
            height, width: of the images, 2**scales to 4096.
            scales: J, 1 to 8: the output is averaged over windows of 2**J pixels.
            orientations: L, 1 to 64: wavelets per scale.

        Raises:
            ValueError: if a value is out of range.
        """
    def transform_bytes(self, images: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8], threads: typing.SupportsInt) -> numpy.typing.NDArray[numpy.float32]:
        ...
    def transform_floats(self, images: typing.Annotated[numpy.typing.ArrayLike, numpy.float32], threads: typing.SupportsInt) -> numpy.typing.NDArray[numpy.float32]:
        ...
    @property
    def channels(self) -> int:
        ...
    @property
    def image_size(self) -> int:
        """
        height * width.
        """
    @property
    def output_size(self) -> int:
        """
        channels * positions.
        """
    @property
    def positions(self) -> int:
        """
        Of a channel: height / 2**J times width / 2**J, rounded down each.
        """
class Preconditioner:
    """
    A linear map of features that are matrices [channels, positions]:
    Y -> channel Y spatial, which evens out their scales.
    """
    @property
    def channel(self) -> numpy.typing.NDArray[numpy.float32]:
        """
        [channels, channels] float32.
        """
    @property
    def spatial(self) -> numpy.typing.NDArray[numpy.float32]:
        """
        [positions, positions] float32.
        """
def make_preconditioner(channel: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], spatial: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], channel_power: typing.SupportsFloat, spatial_power: typing.SupportsFloat, floor: typing.SupportsFloat) -> Preconditioner:
    ...
def precondition_rows(rows: typing.Annotated[numpy.typing.ArrayLike, numpy.float32], mean: typing.Annotated[numpy.typing.ArrayLike, numpy.float32], preconditioner: Preconditioner, bias: typing.SupportsFloat, threads: typing.SupportsInt) -> numpy.typing.NDArray[numpy.float32]:
    ...
def private_mean(rows: typing.Annotated[numpy.typing.ArrayLike, numpy.float32], clipping_norm: typing.SupportsFloat, noise_multiplier: typing.SupportsFloat, public_count: typing.SupportsInt, threads: typing.SupportsInt) -> numpy.typing.NDArray[numpy.float32]:
    ...
def private_second_moments(rows: typing.Annotated[numpy.typing.ArrayLike, numpy.float32], mean: typing.Annotated[numpy.typing.ArrayLike, numpy.float32], channels: typing.SupportsInt, positions: typing.SupportsInt, clipping_norm: typing.SupportsFloat, channel_noise_multiplier: typing.SupportsFloat, spatial_noise_multiplier: typing.SupportsFloat, threads: typing.SupportsInt) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
    ...
def random_shapes_preconditioner(transform: ScatteringTransform, channel_power: typing.SupportsFloat, spatial_power: typing.SupportsFloat, floor: typing.SupportsFloat, threads: typing.SupportsInt) -> Preconditioner:
    ...
def sqrt_to_unit_rows(rows: typing.Annotated[numpy.typing.ArrayLike, numpy.float32], threads: typing.SupportsInt) -> numpy.typing.NDArray[numpy.float32]:
    ...
