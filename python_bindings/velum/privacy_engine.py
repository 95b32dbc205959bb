"""DP-SGD for an unmodified model, any optimiser and the training loop that you have."""

from __future__ import annotations

import os
import threading
import types
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from typing import IO, Any

import numpy.typing as npt
import torch
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.hooks import RemovableHandle

from . import _core
from ._core import Clipping, ImageViews
from ._lazy_tables import LazyTables, LookupLayer
from .accounting import Accountant, PrivacyStatement, TrainingReport, make_accountant
from .data import Drawn, Listener, PoissonDataLoader
from .dpsgd import MethodOverrides, _overrides_of
from .ledger import ReleaseGuard

__all__ = ["BatchMemoryManager", "PrivacyEngine", "clipped_step"]


@dataclass
class _Batch(Drawn):
    """The physical batch that the loader handed out last."""

    added: bool = False  # its losses are in the sum
    stepped: bool = False


class PrivacyEngine:
    """Makes the training of an unmodified model private, and keeps the books.

        engine = velum.PrivacyEngine()
        model, optimizer, loader = engine.make_private(
            module=model, optimizer=optimizer, data_loader=loader,
            noise_multiplier=1.1, max_grad_norm=1.0)
        for x, y in loader:                      # Poisson samples, maybe an empty one
            optimizer.zero_grad()
            loss = criterion(model(x), y)        # a mean over the samples, or one loss per sample
            loss.backward()                      # per-sample gradients, clipped and summed
            optimizer.step()                     # noise, once; divided by the expected batch size
        print(engine.report(delta=1e-5))

    `model` and `optimizer` are the same objects: no wrapper, no hook on a layer (but those of
    `lazy_tables`), the same state_dict. `loss.backward()` on a loss of a private model reads the
    gradient of every sample off the autograd graph (`per_sample_gradients`), after a proof that no
    operation mixes samples; what cannot be treated privately is an error. A gradient that reaches a
    private parameter in any other way (torch.autograd.backward) is an error, too.

    What a loss may be: a vector [B], one element per sample; or the mean of that
    (`loss_reduction="sum"`: the sum), if velum recognises it: torch's own cross entropy, NLL, MSE,
    L1, Huber and binary cross entropy, `losses.mean()`, sums and constant multiples of these. A
    mean that depends on other samples, by class weights or ignored targets, is refused.

    One engine may make several models private; what they release is added up. Not to be used in
    a forked child (RuntimeError): it would repeat the noise of its parent.

    Args:
        accountant: "pld", tight and with a proved interval; "rdp", the Renyi bound; "prv", the
            name of Opacus' tight accountant, is taken for "pld"; or an `Accountant` with what the
            data has already paid.
        secure_mode: accepted for Opacus' sake, either way: noise and sampling always come from
            ChaCha20 (RFC 8439) with keys of the operating system.
    """

    def __init__(self, *, accountant: str | Accountant = "pld", secure_mode: bool = True) -> None:
        if isinstance(accountant, str):
            if accountant == "gdp":
                raise ValueError(
                    'PrivacyEngine: accountant = "gdp", expected "pld" or "rdp": the central limit '
                    "estimate is below the true epsilon in ordinary runs and is no guarantee"
                )
            accountant = make_accountant("pld" if accountant == "prv" else accountant)
        self._accountant = accountant
        self._runs: list[_Run] = []
        self._target_delta: float | None = None

    @property
    def accountant(self) -> Accountant:
        """The books: everything that the engine's models have released."""
        return self._accountant

    def attach(
        self,
        parameters: Iterable[torch.Tensor],
        data_loader: DataLoader[Any],
        *,
        noise_multiplier: float,
        max_grad_norm: float | Sequence[float] | None = None,
        clipping: str | Clipping = "flat",
        loss_reduction: str = "mean",
        allow_slow_rules: bool = False,
        release_guard: ReleaseGuard | None = None,
        user_of_sample: npt.ArrayLike | None = None,
        max_samples_per_user: int | None = None,
        sample_choice: str | None = None,
        user_gradient: str | None = None,
        views: ImageViews | None = None,
        method_overrides: MethodOverrides | None = None,
        _lazy: LazyTables | None = None,
        **clipping_options: float,
    ) -> PoissonDataLoader:
        """The native way: nothing but the loader is replaced.

            loader = engine.attach(model.parameters(), loader, noise_multiplier=1.1, max_grad_norm=1.0)
            for x, y in loader:
                losses = F.cross_entropy(model(x), y, reduction="none")
                velum.clipped_step(losses, engine, optimizer)

        Args:
            parameters: of the model; those that require grad are trained privately.
            others: as of `make_private`.

        Returns:
            The loader to train with: Poisson samples of the same data set.
        """
        tracked = list(parameters)
        if any(run.holds(tracked) for run in _attached_runs()):
            raise ValueError(
                "make_private: module is private already, through this engine or another one; call "
                "detach() of that engine first"
            )
        if user_of_sample is None and user_gradient is not None:
            raise ValueError(
                f"make_private: user_gradient = {user_gradient!r} without user_of_sample, expected "
                "none: there are no users, and every sample is clipped by itself; give the user of "
                "every sample to protect users"
            )
        if views is not None and not isinstance(views, ImageViews):
            raise TypeError(
                f"make_private: views is a {type(views).__name__}, expected a velum.ImageViews"
            )
        loader = PoissonDataLoader(
            data_loader,
            user_of_sample=user_of_sample,
            max_samples_per_user=max_samples_per_user,
            sample_choice=sample_choice,
        )
        if views is not None:
            loader.show_views(views)
        if self._runs and self._runs[-1].by_user != loader.by_user:
            raise ValueError(
                "make_private: user_of_sample is given for one model and not for another, expected "
                "for all of an engine or none: its books are about users or about samples; make "
                "another engine"
            )
        run = _Run(
            self,
            tracked,
            loader,
            noise_multiplier,
            _make_clipping(clipping, max_grad_norm, clipping_options),
            loss_reduction,
            allow_slow_rules,
            release_guard,
            "mean" if user_gradient is None else user_gradient,
            views,
            method_overrides,
            _lazy,
        )
        self._runs.append(run)
        return loader

    def make_private(
        self,
        *,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        data_loader: DataLoader[Any],
        noise_multiplier: float,
        max_grad_norm: float | Sequence[float] | None = None,
        criterion: Any = None,
        batch_first: bool = True,
        loss_reduction: str = "mean",
        poisson_sampling: bool = True,
        clipping: str | Clipping = "flat",
        noise_generator: None = None,
        grad_sample_mode: str = "hooks",
        allow_slow_rules: bool = False,
        release_guard: ReleaseGuard | None = None,
        user_of_sample: npt.ArrayLike | None = None,
        max_samples_per_user: int | None = None,
        sample_choice: str | None = None,
        user_gradient: str | None = None,
        views: ImageViews | None = None,
        method_overrides: MethodOverrides | None = None,
        lazy_tables: Sequence[LookupLayer] = (),
        **clipping_options: float,
    ) -> tuple[Any, ...]:
        """Makes `module` and `optimizer` train privately, and returns them with a Poisson loader.

        Args:
            module: the model; stays the same object. Its parameters that require grad now are
                trained privately, others are left alone.
            optimizer: any torch.optim optimiser over parameters of `module`; the same object.
            data_loader: over a map-style data set, sequential or shuffled; see PoissonDataLoader.
            noise_multiplier: sigma; the noise on the sum of clipped gradients has standard
                deviation sigma times the clipping's sensitivity. Finite and >= 0; 0 trains without
                privacy, and every epsilon is infinite.
            max_grad_norm: C, in units of the gradient, > 0; for clipping="per_layer" one for each
                parameter that requires grad. None where `clipping` is a `Clipping`.
            criterion: returned as it is, with grad_sample_mode="ghost".
            batch_first: accepted either way: where the samples lie is proved, not assumed.
            loss_reduction: "mean" or "sum": what the losses are that you call backward on.
            poisson_sampling: must be True.
            clipping: "flat", "per_layer", "adaptive" (with Opacus' `target_unclipped_quantile`,
                `clipbound_learning_rate`, `min_clipbound`, `max_clipbound`, `unclipped_num_std`),
                or a `velum.Clipping`.
            noise_generator: must be None.
            grad_sample_mode: "hooks", "functorch", "ew" or "ghost", which are one in velum; with
                "ghost" the result is (module, optimizer, criterion, data_loader), as in Opacus.
            allow_slow_rules: let operations without a rule of their own be treated by their own
                backward, once per sample: exact, and slow.
            release_guard: asked before every step, which it may refuse: a `velum.ledger.LedgerGuard`
                of a data set kept for add-or-remove-one, whose unit is the record, or, with
                `user_of_sample`, one that may have several, the user.
            user_of_sample: [samples] integers, the user of each sample of the data set, any
                numbers: then whole users are drawn, and the gradient of a user's samples together
                is clipped to C, so that epsilon is about a user with all samples. The number of
                users is treated as public, and how many samples each has is not.
            max_samples_per_user, sample_choice: how many samples of a user take part in a step, and
                which; see PoissonDataLoader.
            user_gradient: what of a user is clipped: "mean", the default, the mean of the gradients
                of the user's samples in the step, or "sum". Only with `user_of_sample`.
            views: the loader's batches are of images and what belongs to them, tensors with the
                samples in the first dimension; then its batches hold `views.count` random views of
                each image, one after another, and as many copies of its targets. The losses are of
                the views, and those of a sample are averaged before the clip, whatever
                `loss_reduction` is: its gradient is the mean over its views, it is clipped to C as
                one, and epsilon is what it is without views. Losses that are averaged over views
                already are refused: nothing shows that each is of one sample's views alone. A
                BatchMemoryManager counts samples, not views.
            method_overrides: how the norms of a parameter's gradients are taken, in place of the
                cheapest way: a parameter, or its index among those that require grad, and a method
                that `velum.explain` lists for it. For measuring; results differ by rounding alone.
            lazy_tables: layers of `module` whose rows get the noise of steps that did not read them
                when they are read next, by one draw (LazyDP, arXiv 2404.08847): a step costs what
                its rows cost, whatever the size of the table. Only with torch.optim.SGD without
                momentum and weight decay, for which that is the same distribution. Rows lack noise
                in between, and which do is private: a forward pass in evaluation mode or without
                gradients, `state_dict()` and `load_state_dict()` of the layer, `statement`, `report`,
                checkpoints, `velum.WeightAverage`, `detach` and `release_tables()` add it first: by
                hooks on the layers, until `detach`, as long as the model lives. Whatever goes around
                such hooks needs `release_tables()` before: who reads the weight itself or a
                dictionary of an earlier `state_dict()`, averages of others, pickles, traces and
                DataParallel.

        Returns:
            (module, optimizer, data_loader).

        Raises:
            ValueError: if a value is out of range, or asks for what would not be private.
        """
        if not poisson_sampling:
            raise ValueError(
                "make_private: poisson_sampling = False, expected True: batches of a shuffled data "
                "set are no Poisson samples, cost more, and accounting for them as such would "
                "promise too much (arXiv 2403.17673). For their true cost see "
                "velum.accounting.mechanism_of_batches"
            )
        if noise_generator is not None:
            raise ValueError(
                "make_private: noise_generator is given, expected None: the noise is ChaCha20 with "
                "a key of the operating system; a generator that can be seeded makes noise that can "
                "be taken off again"
            )
        if grad_sample_mode not in ("hooks", "functorch", "ew", "ghost"):
            raise ValueError(
                f"make_private: grad_sample_mode = {grad_sample_mode!r}, expected hooks, functorch, "
                "ew or ghost"
            )
        if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            raise ValueError(
                f"make_private: module is a {type(module).__name__}, which adds up raw gradients "
                "between devices before they are clipped; give the module inside it"
            )
        if not isinstance(module, nn.Module) or not isinstance(optimizer, torch.optim.Optimizer):
            raise TypeError(
                f"make_private: module is a {type(module).__name__} and optimizer a "
                f"{type(optimizer).__name__}, expected a torch.nn.Module and a torch.optim.Optimizer"
            )
        parameters = [p for p in module.parameters() if p.requires_grad]
        known = {id(p) for p in parameters}
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.requires_grad and id(p) not in known:
                    raise ValueError(
                        f"make_private: the optimizer trains a tensor of shape {list(p.shape)} that "
                        "is no parameter of module, so it would be trained without privacy"
                    )
        lazy = LazyTables(module, optimizer, lazy_tables, _lock) if lazy_tables else None
        loader = self.attach(
            parameters,
            data_loader,
            noise_multiplier=noise_multiplier,
            max_grad_norm=max_grad_norm,
            clipping=clipping,
            loss_reduction=loss_reduction,
            allow_slow_rules=allow_slow_rules,
            release_guard=release_guard,
            user_of_sample=user_of_sample,
            max_samples_per_user=max_samples_per_user,
            sample_choice=sample_choice,
            user_gradient=user_gradient,
            views=views,
            method_overrides=method_overrides,
            _lazy=lazy,
            **clipping_options,
        )
        self._runs[-1].take_over(module, optimizer)
        if grad_sample_mode == "ghost":
            return module, optimizer, criterion, loader
        return module, optimizer, loader

    def make_private_with_epsilon(
        self,
        *,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        data_loader: DataLoader[Any],
        target_epsilon: float,
        target_delta: float,
        epochs: int,
        max_grad_norm: float | Sequence[float] | None = None,
        **others: Any,
    ) -> tuple[Any, ...]:
        """`make_private` with the least noise that keeps `epochs` passes within a budget.

        After so many passes over the returned loader, `get_epsilon(target_delta)` is at most
        `target_epsilon`, with all that the engine has released before. Nothing stops a longer
        training: it costs more.

        Args:
            target_epsilon: finite and > 0.
            target_delta: in (0, 1); should be well below 1 / number of samples, or of users.
            epochs: passes over the loader, >= 1.
            others: as of `make_private`, but for `noise_multiplier`.

        Raises:
            ValueError: as `make_private`, or if the budget is spent already.
        """
        if "noise_multiplier" in others:
            raise TypeError("make_private_with_epsilon: noise_multiplier is what is sought")
        if epochs < 1:
            raise ValueError(f"make_private_with_epsilon: epochs = {epochs}, expected >= 1")
        steps = len(data_loader)
        if steps < 1:
            raise ValueError("make_private_with_epsilon: data_loader has no batch")
        noise_multiplier = _core.accounting.calibrate_noise_multiplier(
            self._accountant, target_epsilon, target_delta, 1 / steps, epochs * steps, 1e-4
        )
        result = self.make_private(
            module=module,
            optimizer=optimizer,
            data_loader=data_loader,
            noise_multiplier=noise_multiplier,
            max_grad_norm=max_grad_norm,
            **others,
        )
        self._target_delta = target_delta
        return result

    def backward(self, losses: torch.Tensor) -> None:
        """Adds the clipped gradients of a batch to the sum of the running step.

        What `loss.backward()` does after `make_private`; for use with `attach`.

        Args:
            losses: of the batch that the loader handed out last; [B], or their mean (or sum).

        Raises:
            ValueError: if it is neither, or an operation cannot be treated privately.
            RuntimeError: if there is no such batch, it was added already, or a proof fails.
        """
        self._run_of(losses).backward(losses)

    def finish_step(self) -> bool:
        """Ends the batch: notes the release in the books, adds noise and writes `.grad`.

        What `optimizer.step()` begins with after `make_private`; for use with `attach`.

        Returns:
            False if the batch was not the last of its logical batch (`BatchMemoryManager`): then
            nothing was written, and the optimiser must not step.

        Raises:
            RuntimeError: if there is no batch to end, or its losses were not added.
        """
        return self._only_run("finish_step").finish()

    def get_epsilon(self, delta: float) -> float:
        """Epsilon at `delta` of everything released so far, rounded up."""
        with _lock:
            return self._accountant.epsilon(delta)

    def statement(self, delta: float | None = None) -> PrivacyStatement:
        """What is promised, about whom, and on what condition; see `report` for `delta`."""
        self.release_tables()
        with _lock:
            by_user = bool(self._runs) and self._runs[-1].by_user
            return self._accountant.statement(
                self._default_delta(delta), "user" if by_user else "example", by_user
            )

    def report(self, delta: float | None = None) -> TrainingReport:
        """The report of the training: the promise, the mechanism and the assumptions.

        Prints as text, shows as a table in notebooks, and has `to_json()`.

        Args:
            delta: by default the one of `make_private_with_epsilon`, else the smaller of 1e-5 and a
                tenth of 1 / number of samples, or of users where they are protected.

        Raises:
            RuntimeError: before `make_private`.
        """
        self.release_tables()
        with _lock:
            if not self._runs:
                raise RuntimeError("PrivacyEngine: nothing is private yet; call make_private first")
            run = self._runs[-1]
            sampler = run.loader.poisson.sampler
            report = TrainingReport(
                self._accountant, self._default_delta(delta), "user" if run.by_user else "example"
            )
            if isinstance(sampler, _core.UserPoissonSampler):
                report.unit_count = sampler.user_count
            report.secure_randomness = True
            report.noise_multiplier = run.noise_multiplier
            report.clipping_norm = run.core.sensitivity
            report.clipping = str(run.clipping)
            report.sampling_rate = run.loader.sampling_rate
            report.steps = run.steps
            report.dataset_size = sampler.dataset_size
            report.expected_batch_size = run.core.expected_batch_size
            report.model = type(run.module).__name__ if run.module is not None else ""
            report.dataset = type(run.loader.dataset).__name__
            report.backend = str(run.parameters[0].device)
            report.threads = torch.get_num_threads()
            return report

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold so that the books of a resumed training stay complete.

        Plain values. No key: a resumed training draws new noise.

        Raises:
            RuntimeError: between `loss.backward()` and `optimizer.step()`.
        """
        with _lock:
            run = self._only_run("state_dict")
            run.release_tables()
            state: dict[str, Any] = run.core.state()
            return {**state, "version": 1}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where `state_dict` was taken: its releases are in the books, and the noise has a
        new key.

        Call it after `make_private` with an engine that has released nothing.

        Raises:
            ValueError: if `state` is no such state.
            RuntimeError: if the engine has released something: its books would lose it.
        """
        with _lock:
            run = self._only_run("load_state_dict")
            if self._accountant.composition.total_count > 0:
                raise RuntimeError(
                    "PrivacyEngine.load_state_dict: this engine has released something; load into "
                    "a new one"
                )
            if not isinstance(state, dict) or state.get("version") != 1:
                raise ValueError(
                    "PrivacyEngine.load_state_dict: expected what state_dict() gave, version 1"
                )
            run.resume(state)

    def save_checkpoint(
        self,
        *,
        path: str | os.PathLike[str] | IO[bytes],
        module: nn.Module,
        optimizer: torch.optim.Optimizer | None = None,
        checkpoint_dict: dict[str, Any] | None = None,
    ) -> None:
        """Saves module, optimizer and books by torch.save, as Opacus does.

        Args:
            path: a file name or an open file.
            module, optimizer: whose state_dict() is saved.
            checkpoint_dict: more to save in the same dictionary.
        """
        checkpoint = dict(checkpoint_dict or {})
        checkpoint["module_state_dict"] = module.state_dict()
        if optimizer is not None:
            checkpoint["optimizer_state_dict"] = optimizer.state_dict()
        checkpoint["privacy_engine_state_dict"] = self.state_dict()
        torch.save(checkpoint, path)

    def load_checkpoint(
        self,
        *,
        path: str | os.PathLike[str] | IO[bytes],
        module: nn.Module,
        optimizer: torch.optim.Optimizer | None = None,
    ) -> dict[str, Any]:
        """Loads what `save_checkpoint` saved, and returns all of it.

        Only plain values and tensors are unpickled (weights_only).

        Raises:
            ValueError: if it is no such checkpoint.
            RuntimeError: as `load_state_dict`.
        """
        checkpoint: dict[str, Any] = torch.load(path, weights_only=True)
        if "privacy_engine_state_dict" not in checkpoint:
            raise ValueError(
                "PrivacyEngine.load_checkpoint: there is no privacy_engine_state_dict in it, so "
                "what it has cost is unknown; expected what save_checkpoint wrote"
            )
        if optimizer is not None and "optimizer_state_dict" not in checkpoint:
            raise ValueError(
                "PrivacyEngine.load_checkpoint: there is no optimizer_state_dict in it"
            )
        self.load_state_dict(checkpoint["privacy_engine_state_dict"])
        module.load_state_dict(checkpoint["module_state_dict"])
        if optimizer is not None:
            optimizer.load_state_dict(checkpoint["optimizer_state_dict"])
        return checkpoint

    def release_tables(self) -> None:
        """Adds to the rows of all lazy tables the noise that they lack (`make_private`)."""
        with _lock:
            for run in self._runs:
                run.release_tables()

    def detach(self) -> None:
        """Gives models, optimisers and loaders back as they were; the books stay."""
        with _lock:
            for run in self._runs:
                run.detach()

    def _default_delta(self, delta: float | None) -> float:
        if delta is not None:
            return delta
        if self._target_delta is not None:
            return self._target_delta
        if not self._runs:
            raise RuntimeError("PrivacyEngine: nothing is private yet; call make_private first")
        sampler = self._runs[-1].loader.poisson.sampler
        units = sampler.dataset_size
        if isinstance(sampler, _core.UserPoissonSampler):
            units = sampler.user_count
        return min(1e-5, 0.1 / units)

    def _only_run(self, function: str) -> _Run:
        attached = [run for run in self._runs if run.attached]
        if len(attached) != 1:
            raise RuntimeError(
                f"PrivacyEngine.{function}: the engine has {len(attached)} private models, "
                "expected one"
            )
        return attached[0]

    def _run_of(self, losses: torch.Tensor) -> _Run:
        attached = [run for run in self._runs if run.attached]
        if len(attached) == 1:
            return attached[0]
        for run in attached:
            if run.core.reached_by(losses):
                return run
        raise RuntimeError(
            f"PrivacyEngine.backward: the losses belong to none of the engine's {len(attached)} "
            "private models"
        )


class _Run(Listener):
    """One private model: what the loader hands out, and what became of it."""

    def __init__(
        self,
        owner: PrivacyEngine,
        parameters: list[torch.Tensor],
        loader: PoissonDataLoader,
        noise_multiplier: float,
        clipping: Clipping,
        loss_reduction: str,
        allow_slow_rules: bool,
        release_guard: ReleaseGuard | None,
        user_gradient: str,
        views: ImageViews | None,
        method_overrides: MethodOverrides | None,
        lazy: LazyTables | None,
    ) -> None:
        if loss_reduction not in ("mean", "sum"):
            raise ValueError(
                f"make_private: loss_reduction = {loss_reduction!r}, expected mean or sum"
            )
        self.owner = owner
        self.parameters = [p for p in parameters if p.requires_grad]
        self.loader = loader
        self.noise_multiplier = noise_multiplier
        self.clipping = clipping
        self.loss_reduction = loss_reduction
        self.allow_slow_rules = allow_slow_rules
        self.release_guard = release_guard
        self.user_gradient = user_gradient
        self.views = views
        different = list({id(p): p for p in self.parameters}.values())
        self.method_overrides = _overrides_of("make_private", different, method_overrides)
        self.lazy = lazy
        self.core = self._make_core(None)
        self.batch: _Batch | None = None
        self.steps = 0
        self.module: nn.Module | None = None
        self.optimizer: torch.optim.Optimizer | None = None
        self.attached = True
        loader._listener = self
        self._hooks: list[RemovableHandle] = [
            p.register_post_accumulate_grad_hook(_refuse_raw)  # type: ignore[no-untyped-call]
            for p in self.parameters
        ]
        _runs.add(self)
        _intercept_backward()

    @property
    def by_user(self) -> bool:
        """Whether users are drawn and protected, not samples."""
        return self.loader.by_user

    def _make_core(self, state: dict[str, Any] | None) -> _core.PrivacyEngine:
        tables = self.lazy.new_tables() if self.lazy is not None else []
        core = _core.PrivacyEngine(
            self.parameters,
            self.loader.poisson.sampler,
            self.clipping,
            self.noise_multiplier,
            self.owner.accountant,
            self.allow_slow_rules,
            self.release_guard,
            self.user_gradient,
            self.method_overrides,
            tables,
            state,
        )
        if self.lazy is not None:
            self.lazy.adopt(tables)
        return core

    def release_tables(self) -> None:
        if self.lazy is not None:
            self.lazy.release()

    def resume(self, state: dict[str, Any]) -> None:
        self.core = self._make_core(state)
        self.steps = state["step"]

    def take_over(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Makes `optimizer.step` end the private step first."""
        self.module = module
        self.optimizer = optimizer
        self._step_before = optimizer.__dict__.get("step")  # of a scheduler, for example
        plain_step: Callable[..., Any] = optimizer.step
        this = weakref.ref(self)

        def step(optimizer: torch.optim.Optimizer, closure: None = None) -> Any:
            run = this()
            if run is None or not run.attached:
                return plain_step() if closure is None else plain_step(closure)
            if closure is not None:
                raise ValueError(
                    "optimizer.step: closure is given, expected none: it would compute a gradient "
                    "that is not private; call loss.backward() before step()"
                )
            return plain_step() if run.finish() else None

        # On the object, as torch's schedulers do; a method, as they expect.
        optimizer.step = types.MethodType(step, optimizer)  # type: ignore[method-assign]

    def holds(self, parameters: Sequence[torch.Tensor]) -> bool:
        mine = {id(p) for p in self.parameters}
        return self.attached and any(id(p) in mine for p in parameters)

    def detach(self) -> None:
        if not self.attached:
            return
        self.core.abandon_step()
        try:
            self.release_tables()
        finally:
            self._detach()

    def _detach(self) -> None:
        self.attached = False
        self.loader._listener = None
        self.loader._views = None
        for hook in self._hooks:
            hook.remove()
        if self.lazy is not None:
            self.lazy.detach()
        if self.optimizer is not None:
            del self.optimizer.__dict__["step"]
            if self._step_before is not None:
                self.optimizer.__dict__["step"] = self._step_before
        _runs.discard(self)

    # What the loader tells.

    def begin_pass(self) -> None:
        with _lock:
            self.core.abandon_step()  # of a loop that was broken off: nothing of it was released
            self.batch = None

    def arrived(self, drawn: Drawn) -> None:
        with _lock:
            before = self.batch
            if before is not None and not before.stepped:
                if before.added:
                    raise RuntimeError(
                        "PrivacyEngine: the losses of the last batch were added, and no "
                        "optimizer.step() followed: every batch of the loader is a step of its own. "
                        "For batches that do not fit the memory use velum.BatchMemoryManager, for "
                        "larger ones a larger batch_size"
                    )
                if before.rows == 0 and (self.module is None or self.module.training):
                    raise RuntimeError(
                        "PrivacyEngine: the last batch was empty, and no optimizer.step() followed: "
                        "an empty batch is a step like any other, and leaving it out would tell that "
                        "nobody was drawn"
                    )
            self.batch = _Batch(drawn.rows, drawn.last, drawn.users)

    # What the training loop does.

    def backward(self, loss: torch.Tensor) -> None:
        with _lock:
            batch = self.batch
            if batch is None or batch.stepped:
                raise RuntimeError(
                    "PrivacyEngine: loss.backward() without a batch of the private loader: iterate "
                    "over the data_loader that make_private returned, whose batches are the Poisson "
                    "samples that are accounted for"
                )
            if batch.added:
                raise RuntimeError(
                    "PrivacyEngine: a second loss.backward() for one batch: each of its samples "
                    "would count twice, and C would not bound it; add the losses before backward"
                )
            losses = self._losses_of_samples(loss, batch.rows)
            if self.lazy is not None:
                self.lazy.in_pass = True
            try:
                self.core.accumulate(losses, batch.users)
            finally:
                if self.lazy is not None:
                    self.lazy.in_pass = False
            batch.added = True

    def _losses_of_samples(self, loss: torch.Tensor, samples: int) -> torch.Tensor:
        """[samples], one for each; of views their means."""
        mean = self.loss_reduction == "mean"
        if self.views is None:
            return _core.per_sample_losses(loss, mean, samples)
        losses = _core.per_sample_losses(loss, mean, samples * self.views.count)
        with torch.enable_grad():
            return self.views.mean(losses)

    def finish(self) -> bool:
        with _lock:
            batch = self.batch
            if batch is None or batch.stepped:
                raise RuntimeError(
                    "PrivacyEngine: optimizer.step() without a new batch of the private loader: a "
                    "step is one Poisson sample"
                )
            if not batch.added and batch.rows > 0:
                raise RuntimeError(
                    "PrivacyEngine: optimizer.step() before loss.backward() of this batch (or after "
                    "a gradient that was computed in another way)"
                )
            rates = []
            if self.lazy is not None and self.optimizer is not None:
                rates = self.lazy.check(self.optimizer)
            batch.stepped = True
            if not batch.last:
                return False
            self.core.finish_step()
            self.steps += 1
            if self.lazy is not None:
                self.lazy.step(rates)
            return True


_lock = threading.RLock()  # engines are not thread-safe; one step at a time
_runs: weakref.WeakSet[_Run] = weakref.WeakSet()


def _attached_runs() -> Iterator[_Run]:
    return (run for run in list(_runs) if run.attached)


def _refuse_raw(parameter: torch.Tensor) -> None:
    """A raw gradient has reached a private parameter."""
    parameter.grad = None
    raise RuntimeError(
        "PrivacyEngine: a raw gradient reached a private parameter and was dropped: call "
        "loss.backward() on the loss of a batch of the private loader; for gradients of inputs use "
        "torch.autograd.grad"
    )


_plain_backward: Callable[..., None] = torch.Tensor.backward


def _backward(
    self: torch.Tensor,
    gradient: torch.Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    if inputs is None and self.grad_fn is not None:
        for run in _attached_runs():
            if run.core.reached_by(self):
                if gradient is not None or create_graph or retain_graph:
                    raise ValueError(
                        "loss.backward: gradient, retain_graph or create_graph is given, expected "
                        "none of them: a private model takes one backward pass of the losses "
                        "themselves"
                    )
                run.backward(self)
                return
    _plain_backward(self, gradient, retain_graph, create_graph, inputs=inputs)


_backward.__doc__ = torch.Tensor.backward.__doc__


def _intercept_backward() -> None:
    """`Tensor.backward` asks first whether the loss is a private model's.

    There is no hook that runs before a backward pass, and in one it is too late: what autograd has
    gone through is freed. Losses of other models go on to torch's function unchanged.
    """
    torch.Tensor.backward = _backward  # type: ignore[method-assign]


def _make_clipping(
    clipping: str | Clipping,
    max_grad_norm: float | Sequence[float] | None,
    options: dict[str, float],
) -> Clipping:
    if isinstance(clipping, Clipping):
        if max_grad_norm is not None or options:
            raise ValueError(
                "make_private: max_grad_norm or clipping options beside a velum.Clipping, expected "
                "none: it has norms of its own"
            )
        return clipping
    if clipping == "adaptive":
        names = {
            "target_unclipped_quantile": "quantile",
            "clipbound_learning_rate": "learning_rate",
            "min_clipbound": "smallest_norm",
            "max_clipbound": "largest_norm",
            "unclipped_num_std": "count_noise",
        }
        unknown = options.keys() - names.keys()
        if unknown or "unclipped_num_std" not in options or not isinstance(max_grad_norm, Real):
            raise ValueError(
                'make_private: clipping = "adaptive" takes max_grad_norm, one number for the first '
                f"step, unclipped_num_std and {', '.join(sorted(names.keys() - {'unclipped_num_std'}))}"
            )
        return Clipping.adaptive(
            initial_norm=float(max_grad_norm),
            **{names[name]: value for name, value in options.items()},
        )
    if options:
        raise TypeError(f"make_private: unknown arguments {sorted(options)}")
    if clipping == "flat":
        if not isinstance(max_grad_norm, Real):
            raise ValueError(
                f"make_private: max_grad_norm = {max_grad_norm!r}, expected one number, > 0"
            )
        return Clipping.flat(float(max_grad_norm))
    if clipping == "per_layer":
        if not isinstance(max_grad_norm, Sequence):
            raise ValueError(
                f"make_private: max_grad_norm = {max_grad_norm!r}, expected a list with one norm for "
                "each parameter that requires grad"
            )
        return Clipping.per_layer(list(max_grad_norm))
    raise ValueError(
        f"make_private: clipping = {clipping!r}, expected flat, per_layer, adaptive or a "
        "velum.Clipping"
    )


def clipped_step(
    losses: torch.Tensor, engine: PrivacyEngine, optimizer: torch.optim.Optimizer
) -> bool:
    """One private step of a loop over the loader of `PrivacyEngine.attach`.

    Clips, sums and noises the gradients of the batch, writes `.grad`, and steps; nothing of torch
    is replaced for it. The optimiser's next `zero_grad` is not needed.

    Args:
        losses: [B], one loss per sample of the batch (or their mean); with no rows for an empty one.
        engine: whose loader handed the batch out.
        optimizer: over parameters that the engine was given.

    Returns:
        Whether the optimiser stepped: not before the last part of a batch (`BatchMemoryManager`).

    Raises:
        ValueError, RuntimeError: as `PrivacyEngine.backward`.
    """
    engine.backward(losses)
    if not engine.finish_step():
        return False
    optimizer.step()
    return True


@contextmanager
def BatchMemoryManager(
    *,
    data_loader: DataLoader[Any],
    max_physical_batch_size: int,
    optimizer: torch.optim.Optimizer | None = None,
) -> Iterator[PoissonDataLoader]:
    """Cuts logical batches into physical ones that fit the memory; the loop stays as it is.

        with velum.BatchMemoryManager(data_loader=loader, max_physical_batch_size=64,
                                      optimizer=optimizer) as small:
            for x, y in small:
                optimizer.zero_grad()
                criterion(model(x), y).backward()
                optimizer.step()                  # does nothing before the last part of a batch

    Gradients of all parts are added up, and noise is added once: the result is that of the whole
    batch.

    Args:
        data_loader: the one that `make_private` returned.
        max_physical_batch_size: most samples in a part, >= 1.
        optimizer: not needed; taken for Opacus' sake.
    """
    if not isinstance(data_loader, PoissonDataLoader):
        raise TypeError(
            f"BatchMemoryManager: data_loader is a {type(data_loader).__name__}, expected the loader "
            "that make_private returned"
        )
    yield data_loader.limited(max_physical_batch_size)
