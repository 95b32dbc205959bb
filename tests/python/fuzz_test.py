"""No argument crashes the interpreter: wrong types, shapes, types of numbers, devices, strides."""

import contextlib
import copy
import enum
import inspect
import pickle
import signal
import types

import numpy as np
import pytest
import torch
import velum
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from velum import accounting as acc

REFUSALS = (TypeError, ValueError, RuntimeError, IndexError, OverflowError, AttributeError)
common = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))

MODEL = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
X = torch.randn(6, 4)


def losses_like(kind):
    losses = MODEL(X).square().sum(1)
    return {
        "good": lambda: losses,
        "mean": lambda: losses.mean(),
        "matrix": lambda: MODEL(X),
        "empty": lambda: losses[:0],
        "none of it": lambda: losses.detach(),
        "strided": lambda: losses[::2],
        "reversed": lambda: losses.flip(0),
        "expanded": lambda: losses.mean().expand(5),
        "complex": lambda: losses.to(torch.complex64),
        "half": lambda: losses.half(),
        "integers": lambda: losses.detach().long(),
        "elsewhere": lambda: losses.to("meta"),
        "sparse": lambda: losses.to_sparse(),
        "nan": lambda: losses * float("nan"),
        "huge": lambda: losses * 1e38,
        "a leaf": lambda: torch.ones(6, requires_grad=True),
        "freed": lambda: (lambda t: (t.sum().backward(), t)[1])(MODEL(X).square().sum(1)),
    }[kind]()


KINDS = [
    "good", "mean", "matrix", "empty", "none of it", "strided", "reversed", "expanded", "complex", "half",
    "integers", "elsewhere", "sparse", "nan", "huge", "a leaf", "freed",
]  # fmt: skip
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=3),
    st.sampled_from([np.zeros(3), np.float64(1.0), [1, 2], {}, object(), torch.ones(2), MODEL]),
)
parameters = st.one_of(
    st.just(list(MODEL.parameters())),
    st.lists(st.sampled_from(list(MODEL.parameters())), max_size=5),
    st.lists(
        st.sampled_from(
            [
                torch.ones(2, requires_grad=True),
                torch.ones(2),
                torch.ones(2, dtype=torch.long),
                torch.ones(2, device="meta", requires_grad=True),
                torch.ones(2, dtype=torch.complex64, requires_grad=True),
                torch.ones(2, requires_grad=True) * 2,
                MODEL[0].weight,
            ]
        ),
        max_size=3,
    ),
    scalars,
)


overrides = st.one_of(
    st.none(),
    st.dictionaries(
        st.one_of(st.integers(-2, 6), st.sampled_from(list(MODEL.parameters())), st.text()),
        st.one_of(
            st.sampled_from(["kept", "gram", "tiles", "outer product", "at hand", "segments"]),
            st.sampled_from(["sample backward", "", None, 3]),
        ),
        max_size=3,
    ),
    scalars,
)


@common
@given(st.one_of(st.sampled_from(KINDS), scalars), parameters, st.booleans(), overrides)
def test_per_sample_functions(kind, params, slow, methods):
    losses = losses_like(kind) if isinstance(kind, str) and kind in KINDS else kind
    for function in (velum.per_sample_gradients, velum.per_sample_norms, velum.explain):
        try:
            function(losses, params, allow_slow_rules=slow, method_overrides=methods)
        except REFUSALS:
            continue
        assert isinstance(losses, torch.Tensor) and losses.dim() == 1


@common
@given(st.sampled_from(KINDS), st.booleans(), st.integers(-2, 8))
def test_losses_behind_a_number(kind, mean, samples):
    try:
        losses = velum._core.per_sample_losses(losses_like(kind), mean, samples)
    except REFUSALS:
        return
    assert losses.shape == (samples,)


NAMES = [
    "noise_multiplier", "max_grad_norm", "clipping", "loss_reduction", "poisson_sampling", "noise_generator",
    "grad_sample_mode", "batch_first", "allow_slow_rules", "module", "optimizer", "data_loader", "views",
    "method_overrides", "user_gradient", "sample_choice", "user_of_sample", "release_guard",
]  # fmt: skip


@common
@given(st.dictionaries(st.sampled_from(NAMES), scalars, min_size=1, max_size=3))
def test_make_private(options):
    model = nn.Linear(4, 2)
    engine = velum.PrivacyEngine()
    arguments = {
        "module": model,
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1),
        "data_loader": DataLoader(TensorDataset(X)),
        "noise_multiplier": 1.0,
        "max_grad_norm": 1.0,
    }
    try:
        engine.make_private(**{**arguments, **options})
    except REFUSALS:
        return
    engine.detach()


@common
@given(
    st.dictionaries(
        st.sampled_from(["version", "composition", "step", "key_epoch", "clipping_norm"]), scalars
    )
)
def test_states_of_checkpoints(changes):
    model = nn.Linear(4, 2)
    engine = velum.PrivacyEngine()
    engine.attach(
        model.parameters(), DataLoader(TensorDataset(X)), noise_multiplier=1, max_grad_norm=1
    )
    try:
        engine.load_state_dict({**engine.state_dict(), **changes})
    except REFUSALS:
        pass
    engine.detach()


@common
@given(st.lists(scalars, max_size=4), scalars)
def test_accountants_and_reports(arguments, delta):
    books = acc.RdpAccountant()
    for function in (
        acc.TrainingReport,
        acc.Composition.from_json,
        acc.Composition,
        books.compose_all,
        books.statement,
        books.epsilon_curve,
        velum.Clipping.by_groups,
        velum.Clipping.from_json,
    ):
        try:
            function(*arguments)
        except REFUSALS:
            pass
    try:
        books.guarantee(delta)
    except REFUSALS:
        pass


def test_an_interrupted_training_goes_on_with_true_books():
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    engine = velum.PrivacyEngine()
    _, _, loader = engine.make_private(
        module=model,
        optimizer=optimizer,
        data_loader=DataLoader(TensorDataset(X, torch.zeros(6, dtype=torch.long)), batch_size=6),
        noise_multiplier=1.0,
        max_grad_norm=1.0,
    )

    def interrupt(*_):
        signal.raise_signal(signal.SIGINT)

    finished = 0
    for place in ("before", "in the forward pass", "in the backward pass", "after backward", "not"):
        try:
            for x, y in loader:
                if place == "before":
                    interrupt()
                hook = None
                if place == "in the forward pass":
                    hook = model.register_forward_hook(interrupt)
                try:
                    out = model(x)
                finally:
                    if hook is not None:
                        hook.remove()
                if place == "in the backward pass":
                    out.register_hook(interrupt)
                F.cross_entropy(out, y).backward()
                if place == "after backward":
                    interrupt()
                optimizer.step()
                finished += 1
        except KeyboardInterrupt:
            assert place != "not"
        else:
            assert place == "not" or finished
    assert engine.accountant.composition.total_count == finished >= 1
    assert engine.report().steps == finished
    with pytest.raises(RuntimeError):
        optimizer.step()


@common
@given(
    st.one_of(st.just([1, 2, 1]), st.lists(st.integers(), max_size=4), scalars), scalars, scalars
)
def test_samplers_of_users(users, limit, choice):
    for arguments in ((users, 0.5, limit, choice), (users, limit, 2, "first")):
        try:
            samples, named = velum._core.UserPoissonSampler(*arguments).next()
            assert len(samples) == len(named) <= 4
        except REFUSALS:
            pass


@common
@given(st.one_of(st.sampled_from(["skellam", "discrete_gaussian"]), scalars), scalars, scalars)
def test_integer_noise(kind, a, b):
    noise = velum.integer_noise
    for call in (
        lambda: noise.plan_integer_noise(kind, variance=a, honest_clients=b),
        lambda: noise.QuantizationPlan(a, b, 3),
        lambda: noise.QuantizationPlan(2.0, a, b),
        lambda: noise.round_to_integers(a, noise.QuantizationPlan(1.0, 0.1, 3)),
        lambda: noise.clip_and_round_to_integers([a, b, 1.0], noise.QuantizationPlan(1.0, 0.1, 3)),
        lambda: noise.IntegerSensitivity(a, b),
        lambda: noise.integer_sensitivity(a, b),
        lambda: noise.granularity_of_bits(a, b),
    ):
        try:
            call()
        except REFUSALS:
            pass


@common
@given(scalars, scalars, scalars)
@example(2**40, 2**40, 2**40)
@example(2**40, 2**39, 2**38)
def test_lower_bounds_and_audited_models(a, b, c):
    audit = velum.audit
    for call in (
        lambda: audit.clopper_pearson_lower(a, b, c),
        lambda: audit.one_run_p_value(audit.OneRunGuesses(a, b, c), epsilon=1.0, delta=1e-5),
        lambda: audit.epsilon_lower_bound_of_runs(a, delta=b, confidence=c),
        lambda: audit.neighbour_replay(audit.AuditedModel(a, b, c), steps=1),
        lambda: audit.neighbour_replay(
            audit.AuditedModel([MODEL[0].weight], 2, lambda indices: a), steps=1, engine=b
        ),
        lambda: audit.AuditReport(a, replay=b),
    ):
        try:
            call()
        except REFUSALS:
            pass


IMAGES = st.one_of(
    scalars,
    st.sampled_from(KINDS),
    st.builds(
        lambda shape, kind, strides: strides(torch.zeros(shape, dtype=kind)),
        st.lists(st.integers(0, 4), max_size=5),
        st.sampled_from([torch.float32, torch.uint8, torch.bool, torch.complex64, torch.bfloat16]),
        st.sampled_from(
            [
                lambda t: t,
                lambda t: t.to("meta"),
                lambda t: t.to_sparse(),
                lambda t: t.transpose(0, -1) if t.dim() > 1 else t,
                lambda t: t[..., ::2] if t.dim() > 0 else t,
            ]
        ),
    ),
)


@common
@given(
    st.one_of(st.integers(-1, 5), scalars),
    st.fixed_dictionaries(
        {},
        optional={
            "max_shift": st.one_of(st.integers(-1, 3), scalars),
            "fill": scalars,
            "mirror": scalars,
        },
    ),
    IMAGES,
)
def test_views_of_images(count, options, given):
    try:
        views = velum.ImageViews(count, **options)
    except REFUSALS:
        return
    value = losses_like(given) if isinstance(given, str) and given in KINDS else given
    for call, rows in (
        (views, views.count),
        (views.repeat, views.count),
        (views.mean, 1 / views.count),
    ):
        try:
            result = call(value)
        except REFUSALS:
            continue
        assert len(result) == len(value) * rows


@common
@given(
    st.one_of(st.just(MODEL), scalars),
    st.one_of(st.just(0.5), scalars),
    st.one_of(
        scalars, st.dictionaries(st.sampled_from(["version", "updates", "averages"]), scalars)
    ),
    st.one_of(scalars, st.dictionaries(st.just("0.weight"), scalars)),
)
def test_averages_of_weights(model, decay, state, averages):
    before = {name: value.clone() for name, value in MODEL.state_dict().items()}
    try:
        average = velum.WeightAverage(model, decay)
    except REFUSALS:
        return
    good = average.state_dict()
    for wrong in (
        state,
        {**good, **state} if isinstance(state, dict) else good,
        {**good, "averages": {**good["averages"], **averages}}
        if isinstance(averages, dict)
        else {**good, "averages": averages},
        {**good, "averages": {name: averages for name in good["averages"]}},
    ):
        try:
            average.load_state_dict(wrong)
            average.update()
        except REFUSALS:
            pass
    core = velum._core.WeightAverage
    for arguments in ((list(MODEL.parameters()), decay), (averages, decay), (state, 0.5)):
        try:
            core(*arguments).restore(averages, state)
        except REFUSALS:
            pass
    for name, value in MODEL.state_dict().items():
        assert torch.equal(value, before[name])


def classes_of(module, seen):
    """Every class of velum's own in a module and those below it."""
    if module.__name__ in seen:
        return
    seen.add(module.__name__)
    for member in vars(module).values():
        if isinstance(member, types.ModuleType) and member.__name__.startswith("velum"):
            yield from classes_of(member, seen)
        elif inspect.isclass(member) and member.__module__.startswith("velum"):
            yield member


CLASSES = sorted(
    {
        cls
        for cls in classes_of(velum, set())
        if not issubclass(cls, BaseException | enum.Enum) and "__init__" in dir(cls)
    },
    key=lambda cls: f"{cls.__module__}.{cls.__qualname__}",
)
NOT_CALLED = {
    "__init__", "__new__", "__init_subclass__", "__subclasshook__", "__class_getitem__", "__setstate__",
    "__instancecheck__", "__subclasscheck__",
}  # fmt: skip


def test_there_are_many_classes():
    names = {cls.__name__ for cls in CLASSES}
    assert len(CLASSES) > 100
    assert names >= {
        "PrivacyEngine",
        "Clipping",
        "PoissonSampler",
        "Ledger",
        "LedgerGuard",
        "Composition",
    }


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: f"{cls.__module__}.{cls.__qualname__}")
def test_an_object_that_was_never_made_is_an_error_and_no_crash(cls):
    try:
        unmade = cls.__new__(cls)
    except TypeError:  # an abstract class
        return
    bound = cls.__module__.startswith("velum._core")
    for base in cls.__mro__:
        if not base.__module__.startswith("velum"):
            continue
        for name, member in vars(base).items():
            if name in NOT_CALLED or isinstance(member, staticmethod | classmethod):
                continue
            if isinstance(member, property):
                with pytest.raises(REFUSALS) if bound else contextlib.suppress(*REFUSALS):
                    getattr(unmade, name)
                for value in (0, None, unmade):
                    with contextlib.suppress(*REFUSALS):
                        setattr(unmade, name, value)
            elif callable(member) and not inspect.isclass(member):
                for value in (0, 1.5, "a", None, [], b"", unmade, np.zeros(2), torch.zeros(2)):
                    for count in range(5):
                        with contextlib.suppress(*REFUSALS):
                            member(unmade, *[value] * count)
    for use in (repr, str, hash, bool, len, iter, copy.copy, copy.deepcopy, pickle.dumps):
        with contextlib.suppress(*REFUSALS, pickle.PicklingError):
            use(unmade)
    del unmade


def test_no_function_takes_an_object_that_was_never_made():
    acc, ledger = velum.accounting, velum.ledger
    unmade = {cls: cls.__new__(cls) for cls in (acc.PldAccountant, acc.Composition, ledger.Ledger)}
    guard = ledger.LedgerGuard.__new__(ledger.LedgerGuard)
    clipping = velum.Clipping.__new__(velum.Clipping)
    model = nn.Linear(4, 2)
    options = {"noise_multiplier": 1.0, "max_grad_norm": 1.0}
    for call in (
        lambda: velum.PrivacyEngine(accountant=unmade[acc.PldAccountant]).attach(
            model.parameters(), DataLoader(TensorDataset(X)), **options
        ),
        lambda: velum.PrivacyEngine().attach(
            model.parameters(), DataLoader(TensorDataset(X)), release_guard=guard, **options
        ),
        lambda: velum.PrivacyEngine().attach(
            model.parameters(),
            DataLoader(TensorDataset(X)),
            noise_multiplier=1.0,
            clipping=clipping,
        ),
        lambda: acc.PldAccountant().compose_all(unmade[acc.Composition]),
        lambda: ledger.LedgerGuard(unmade[ledger.Ledger], "survey", "run"),
        lambda: clipping == clipping,
    ):
        with pytest.raises((TypeError, RuntimeError)):
            call()
