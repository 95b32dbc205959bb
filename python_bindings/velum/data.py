"""Loaders that draw what the accountant counts: Poisson samples, an empty one among them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
)

from . import _core

__all__ = ["PoissonBatchSampler", "PoissonDataLoader"]


class PoissonBatchSampler(Sampler[list[int]]):
    """Index lists of Poisson samples, cut into physical batches that fit into memory.

    At every step each sample is in the batch with probability `sampling_rate`, independently of all
    others and of other steps. The randomness is ChaCha20 with a key of the operating system.

    Args:
        dataset_size: number of samples, 1 to 2**35.
        sampling_rate: in (0, 1].
        steps: logical batches in a pass over this sampler.
        max_physical_batch_size: most indices in a list; None: a logical batch is one list.
    """

    def __init__(
        self,
        dataset_size: int,
        sampling_rate: float,
        steps: int,
        max_physical_batch_size: int | None = None,
    ) -> None:
        if steps < 1:
            raise ValueError(f"PoissonBatchSampler: steps = {steps}, expected >= 1")
        if max_physical_batch_size is not None and max_physical_batch_size < 1:
            raise ValueError(
                f"PoissonBatchSampler: max_physical_batch_size = {max_physical_batch_size}, "
                "expected >= 1"
            )
        self.sampler = _core.PoissonSampler(dataset_size, sampling_rate)
        self.steps = steps
        self.max_physical_batch_size = max_physical_batch_size
        self.drawn: deque[tuple[int, bool]] = deque()  # of the pass: (rows, last of its step)

    def limited(self, max_physical_batch_size: int) -> PoissonBatchSampler:
        """The same draws, in lists of at most so many indices."""
        other = PoissonBatchSampler(
            self.sampler.dataset_size,
            self.sampler.sampling_rate,
            self.steps,
            max_physical_batch_size,
        )
        other.sampler = self.sampler
        return other

    def __iter__(self) -> Iterator[list[int]]:
        self.drawn = deque()
        return self._draw(self.drawn)

    def _draw(self, drawn: deque[tuple[int, bool]]) -> Iterator[list[int]]:
        for _ in range(self.steps):
            indices = self.sampler.next()
            size = self.max_physical_batch_size or max(len(indices), 1)
            for begin in range(0, max(len(indices), 1), size):  # an empty batch is a batch
                piece = indices[begin : begin + size]
                drawn.append((len(piece), begin + size >= len(indices)))
                yield piece

    def __len__(self) -> int:
        """Logical batches in a pass, or about how many physical ones where they are limited."""
        if self.max_physical_batch_size is None:
            return self.steps
        return self.steps * -int(-self.sampler.expected_batch_size // self.max_physical_batch_size)


def _without_rows(batch: Any) -> Any:
    """What `batch`, the collation of one sample, is for none."""
    if isinstance(batch, torch.Tensor) and batch.dim() > 0:
        return batch[:0].clone()
    if isinstance(batch, Mapping):
        return {key: _without_rows(value) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):  # a named tuple
        return type(batch)(*(_without_rows(value) for value in batch))
    if isinstance(batch, list | tuple):
        if any(isinstance(value, str | bytes) for value in batch):
            return type(batch)()  # one text a sample
        return type(batch)(_without_rows(value) for value in batch)
    raise ValueError(
        f"PoissonDataLoader: collate_fn gives a {type(batch).__name__}, of which velum cannot make "
        "an empty batch, which Poisson sampling may draw; let it give tensors with the samples in "
        "the first dimension, in tuples, lists or dictionaries"
    )


class _Collate:
    """Collates as before, and gives a batch without rows for no sample. Goes to the workers."""

    def __init__(self, collate_fn: Callable[[list[Any]], Any], empty: Any) -> None:
        self.collate_fn = collate_fn
        self.empty = empty

    def __call__(self, samples: list[Any]) -> Any:
        return self.collate_fn(samples) if samples else self.empty


class PoissonDataLoader(DataLoader[Any]):
    """A DataLoader over the same data set whose batches are Poisson samples.

    Batches differ in size, and one may be empty: tensors whose first dimension is 0. It is a step
    like any other: leaving it out would tell that nobody was drawn.

    Workers, pinned memory, `collate_fn` and all else are those of `data_loader`. Its sampling is
    not: each sample comes with probability `sampling_rate` = 1 / len(data_loader), drawn anew at
    every step, and a pass has as many steps as `data_loader` has batches.

    Args:
        data_loader: over a map-style data set, sequential or shuffled.

    Raises:
        ValueError: for a data set that is a stream, or a loader whose sampler draws something else
            than every sample once; the text says what to do.
    """

    def __init__(
        self, data_loader: DataLoader[Any], *, batch_sampler: PoissonBatchSampler | None = None
    ) -> None:
        dataset = data_loader.dataset
        empty: Any = None
        if isinstance(data_loader, PoissonDataLoader):
            collate_fn = data_loader.collate_fn
        else:
            _check_sampling(data_loader)
            make = data_loader.collate_fn
            empty = _without_rows(make([dataset[0]]))
            collate_fn = _Collate(make, empty)
        if batch_sampler is None:
            batch_sampler = PoissonBatchSampler(
                len(dataset),  # type: ignore[arg-type]
                1 / len(data_loader),
                len(data_loader),
            )
        self._listener: Listener | None = None
        workers: dict[str, Any] = {}
        if data_loader.num_workers > 0:
            workers = {
                "prefetch_factor": data_loader.prefetch_factor,
                "persistent_workers": data_loader.persistent_workers,
                "multiprocessing_context": data_loader.multiprocessing_context,
                "worker_init_fn": data_loader.worker_init_fn,
                "timeout": data_loader.timeout,
            }
        super().__init__(
            dataset,
            batch_sampler=batch_sampler,
            num_workers=data_loader.num_workers,
            collate_fn=collate_fn,
            pin_memory=data_loader.pin_memory,
            pin_memory_device=data_loader.pin_memory_device,
            generator=data_loader.generator,
            **workers,
        )

    @property
    def poisson(self) -> PoissonBatchSampler:
        """What draws the batches."""
        assert isinstance(self.batch_sampler, PoissonBatchSampler)
        return self.batch_sampler

    @property
    def sampling_rate(self) -> float:
        """The probability with which a sample is in a logical batch."""
        return self.poisson.sampler.sampling_rate

    @property
    def expected_batch_size(self) -> float:
        """sampling_rate * number of samples: the divisor of every step."""
        return self.poisson.sampler.expected_batch_size

    def limited(self, max_physical_batch_size: int) -> PoissonDataLoader:
        """The same loader, with logical batches cut into pieces of at most so many samples."""
        other = PoissonDataLoader(self, batch_sampler=self.poisson.limited(max_physical_batch_size))
        other._listener = self._listener
        return other

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        if self._listener is not None:
            self._listener.begin_pass()
        batches = super().__iter__()
        drawn = self.poisson.drawn
        for batch in batches:
            rows, last = drawn.popleft()
            if self._listener is not None:
                self._listener.arrived(rows, last)
            yield batch


class Listener:
    """What a PrivacyEngine wants to know of its loader."""

    def begin_pass(self) -> None:
        """A loop over the loader begins."""
        raise NotImplementedError

    def arrived(self, rows: int, last: bool) -> None:
        """A physical batch of so many rows is handed out; `last` ends the logical one."""
        raise NotImplementedError


def _check_sampling(data_loader: DataLoader[Any]) -> None:
    """Refuses loaders whose draws a Poisson sample would not stand for."""
    dataset = data_loader.dataset
    if isinstance(dataset, IterableDataset):
        raise ValueError(
            "PoissonDataLoader: the data set is a stream (IterableDataset), from which no sample can "
            "be drawn by its index; use a map-style data set"
        )
    if len(data_loader) < 1:
        raise ValueError("PoissonDataLoader: the loader has no batch, expected one at least")
    sampler = data_loader.sampler
    batch_sampler = data_loader.batch_sampler
    every_sample_once = (
        type(sampler) is SequentialSampler
        or type(sampler) is RandomSampler
        and not sampler.replacement
        and sampler.num_samples == len(dataset)  # type: ignore[arg-type]
    )
    if type(batch_sampler) is not BatchSampler or not every_sample_once:
        name = type(sampler if type(batch_sampler) is BatchSampler else batch_sampler).__name__
        raise ValueError(
            f"PoissonDataLoader: the loader draws by a {name}, which Poisson sampling of the whole "
            "data set would replace; give a loader that is sequential or shuffled, over a "
            "torch.utils.data.Subset if only some samples are meant"
        )
