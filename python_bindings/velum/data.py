"""Loaders that draw what the accountant counts: Poisson samples, an empty one among them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
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

__all__ = ["PoissonDataLoader"]


class PoissonBatchSampler(Sampler[list[int]]):
    """Index lists of Poisson samples, cut into physical batches that fit into memory.

    At every step each sample is in the batch with probability `sampling_rate`, independently of all
    others and of other steps. The randomness is ChaCha20 with a key of the operating system.

    Args:
        sampler: draws the batches; of whole users, where it is a `UserPoissonSampler`.
        steps: logical batches in a pass over this sampler.
        max_physical_batch_size: most indices in a list; None: a logical batch is one list. All
            samples of a user stand in one list.

    Raises:
        ValueError: if a number is below 1, or a user may have more samples than a list.
    """

    def __init__(
        self,
        sampler: _core.PoissonSampler | _core.UserPoissonSampler,
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
        if (
            max_physical_batch_size is not None
            and isinstance(sampler, _core.UserPoissonSampler)
            and sampler.most_samples_of_a_user > max_physical_batch_size
        ):
            raise ValueError(
                f"PoissonBatchSampler: max_physical_batch_size = {max_physical_batch_size}, expected "
                f">= {sampler.most_samples_of_a_user}, the most samples of a user: all of them belong "
                "in one physical batch; max_samples_per_user bounds them"
            )
        self.sampler = sampler
        self.steps = steps
        self.max_physical_batch_size = max_physical_batch_size
        self.drawn: deque[Drawn] = deque()  # of the pass

    def limited(self, max_physical_batch_size: int) -> PoissonBatchSampler:
        """The same draws, in lists of at most so many indices."""
        return PoissonBatchSampler(self.sampler, self.steps, max_physical_batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        self.drawn = deque()
        return self._draw(self.drawn)

    def _draw(self, drawn: deque[Drawn]) -> Iterator[list[int]]:
        for _ in range(self.steps):
            users: list[int] | None = None
            if isinstance(self.sampler, _core.UserPoissonSampler):
                indices, users = self.sampler.next()
            else:
                indices = self.sampler.next()
            begin = 0
            while begin == 0 or begin < len(indices):  # an empty batch is a batch
                end = self._end_of_piece(begin, len(indices), users)
                piece = users[begin:end] if users is not None else None
                drawn.append(Drawn(end - begin, end == len(indices), piece))
                yield indices[begin:end]
                if end == 0:
                    break
                begin = end

    def _end_of_piece(self, begin: int, size: int, users: list[int] | None) -> int:
        """Where the list that starts at `begin` ends: at most the maximum later, between users."""
        end = min(size, begin + (self.max_physical_batch_size or size))
        while users is not None and begin < end < size and users[end] == users[end - 1]:
            end -= 1
        return end

    def __len__(self) -> int:
        """Logical batches in a pass, or about how many physical ones where they are limited."""
        if self.max_physical_batch_size is None:
            return self.steps
        samples = self.sampler.sampling_rate * self.sampler.dataset_size
        return self.steps * -int(-samples // self.max_physical_batch_size)


@dataclass
class Drawn:
    """A physical batch that was drawn."""

    rows: int
    last: bool  # of its logical batch
    users: list[int] | None = None  # [rows]: the user of each, where users are drawn


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


def _views_of(views: _core.ImageViews, batch: Any) -> Any:
    """A batch of images and what belongs to them, with the views of each in its place."""
    tensors = isinstance(batch, list | tuple) and all(
        isinstance(value, torch.Tensor) and value.dim() > 0 for value in batch
    )
    if not tensors or len(batch) == 0 or batch[0].dim() < 3:
        raise ValueError(
            "make_private: views with a loader whose batches are not (images [b, ..., height, width], "
            "targets [b, ...], ...), a list or tuple of tensors; call velum.ImageViews in your loop, "
            "and give the losses that its mean() gives"
        )
    images, *others = batch
    values = [views(images), *(views.repeat(other) for other in others)]
    return type(batch)(*values) if hasattr(batch, "_fields") else type(batch)(values)


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

    With `user_of_sample` whole users come with that probability instead, each with all of the
    user's samples, or a choice of at most `max_samples_per_user` of them.

    Args:
        data_loader: over a map-style data set, sequential or shuffled.
        user_of_sample: [samples] integers, the user of each sample of the data set, any numbers.
        max_samples_per_user: most samples of a user in a step, >= 1; None: all. It bounds memory;
            what bounds the privacy cost of a user is the clip.
        sample_choice: which samples of a user take part where there are more: "uniform", the
            default, a subset at random, drawn anew at every step, or "first", always those of the
            smallest indices.

    Raises:
        ValueError: for a data set that is a stream, a loader whose sampler draws something else
            than every sample once, or users that are not one integer for each sample; the text says
            what to do.
    """

    def __init__(
        self,
        data_loader: DataLoader[Any],
        *,
        user_of_sample: npt.ArrayLike | None = None,
        max_samples_per_user: int | None = None,
        sample_choice: str | None = None,
        batch_sampler: PoissonBatchSampler | None = None,
    ) -> None:
        dataset = data_loader.dataset
        empty: Any = None
        if isinstance(data_loader, PoissonDataLoader):
            if data_loader.by_user and user_of_sample is None and batch_sampler is None:
                raise ValueError(
                    "PoissonDataLoader: data_loader draws users, and user_of_sample is not given; "
                    "give it again, or a loader of samples"
                )
            collate_fn = data_loader.collate_fn
        else:
            _check_sampling(data_loader)
            make = data_loader.collate_fn
            empty = _without_rows(make([dataset[0]]))
            collate_fn = _Collate(make, empty)
        if batch_sampler is None:
            size, steps = len(dataset), len(data_loader)  # type: ignore[arg-type]
            sampler: _core.PoissonSampler | _core.UserPoissonSampler
            if user_of_sample is None:
                if max_samples_per_user is not None or sample_choice is not None:
                    raise ValueError(
                        f"PoissonDataLoader: max_samples_per_user = {max_samples_per_user!r} and "
                        f"sample_choice = {sample_choice!r} without user_of_sample, expected none of "
                        "them: there are no users; give the user of every sample"
                    )
                sampler = _core.PoissonSampler(size, 1 / steps)
            else:
                users = _users_of(user_of_sample, size)
                choice = "uniform" if sample_choice is None else sample_choice
                sampler = _core.UserPoissonSampler(users, 1 / steps, max_samples_per_user, choice)
            batch_sampler = PoissonBatchSampler(sampler, steps)
        self._listener: Listener | None = None
        self._views: _core.ImageViews | None = None
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
    def by_user(self) -> bool:
        """Whether whole users are drawn."""
        return isinstance(self.poisson.sampler, _core.UserPoissonSampler)

    @property
    def sampling_rate(self) -> float:
        """The probability with which a sample, or a user, is in a logical batch."""
        return self.poisson.sampler.sampling_rate

    @property
    def expected_batch_size(self) -> float:
        """sampling_rate * number of samples, or of users: the divisor of every step."""
        return self.poisson.sampler.expected_batch_size

    def limited(self, max_physical_batch_size: int) -> PoissonDataLoader:
        """The same loader, with logical batches cut into pieces of at most so many samples."""
        other = PoissonDataLoader(self, batch_sampler=self.poisson.limited(max_physical_batch_size))
        other._listener = self._listener
        other._views = self._views
        return other

    def show_views(self, views: _core.ImageViews) -> None:
        """From now on batches are of views: for `make_private(views=)`.

        Raises:
            ValueError: if a batch is not images and what belongs to them.
        """
        assert isinstance(self.collate_fn, _Collate)
        _views_of(views, self.collate_fn([]))
        self._views = views

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        if self._listener is not None:
            self._listener.begin_pass()
        batches = super().__iter__()
        drawn = self.poisson.drawn
        for batch in batches:
            handed_out = drawn.popleft()
            if self._listener is not None:
                self._listener.arrived(handed_out)
            yield batch if self._views is None else _views_of(self._views, batch)


class Listener:
    """What a PrivacyEngine wants to know of its loader."""

    def begin_pass(self) -> None:
        """A loop over the loader begins."""
        raise NotImplementedError

    def arrived(self, drawn: Drawn) -> None:
        """That physical batch is handed out."""
        raise NotImplementedError


def _users_of(user_of_sample: npt.ArrayLike, size: int) -> list[int]:
    """One integer for each sample."""
    users = np.asarray(user_of_sample)
    if users.dtype.kind not in "iu" or users.shape != (size,):
        raise ValueError(
            f"PoissonDataLoader: user_of_sample has shape {list(users.shape)} and type {users.dtype}, "
            f"expected [{size}] integers, the user of each sample of the data set"
        )
    named: list[int] = users.tolist()
    return named


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
