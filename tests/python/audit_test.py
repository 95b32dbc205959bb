"""velum.audit: velum's own engine passes, engines with a bug of their own are found."""

import json
import math

import pytest
import torch
import velum
from torch import nn
from torch.nn import functional as F
from velum import accounting as acc
from velum import audit

EXAMPLES, RATE, SIGMA, C = 24, 0.25, 1.0, 0.5


def make_model(users=()):
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    x, y = torch.randn(EXAMPLES, 5).double(), torch.randint(3, (EXAMPLES,))
    return audit.AuditedModel(
        parameters=list(net.parameters()),
        dataset_size=EXAMPLES,
        losses=lambda i: F.cross_entropy(net(x[i]), y[i], reduction="none"),
        user_of_example=users,
    )


class Engine:
    """DP-SGD by hand, with a bug of choice."""

    def __init__(self, parameters, settings, bug=None):
        self.parameters, self.settings, self.bug = parameters, settings, bug
        self.bound = settings.clipping.sensitivity
        self.count = 0
        seed = settings.insecure_sampling_key or torch.randint(2**31, (1,)).numpy().tobytes()
        self.sampling = torch.Generator().manual_seed(int.from_bytes(seed[:7], "little"))
        seed = settings.insecure_noise_key or torch.randint(2**31, (1,)).numpy().tobytes()
        self.noise = torch.Generator().manual_seed(int.from_bytes(seed[:7], "little"))
        self.sum = [torch.zeros_like(p) for p in parameters]

    def next_batch(self):
        drawn = torch.rand(self.settings.dataset_size, generator=self.sampling)
        return (drawn < self.settings.sampling_rate).nonzero().flatten().tolist()

    def accumulate(self, losses, users):
        assert users == []
        for loss in losses:
            gradient = torch.autograd.grad(
                loss, self.parameters, retain_graph=True, allow_unused=True
            )
            gradient = [
                torch.zeros_like(p) if g is None else g for p, g in zip(self.parameters, gradient)
            ]
            norms = [float(g.norm()) for g in gradient]
            norm = max(norms) if self.bug == "clips by the largest" else math.hypot(*norms)
            if math.isfinite(norm):
                for s, g in zip(self.sum, gradient):
                    s += g * min(1.0, self.bound / max(norm, 1e-300))

    def finish_step(self):
        mechanism = acc.PoissonSampledGaussianMechanism(
            self.settings.sampling_rate, self.settings.noise_multiplier
        )
        if self.settings.release_guard is not None:
            try:
                self.settings.release_guard.before_release(mechanism, "training")
            except RuntimeError:
                for s in self.sum:
                    s.zero_()
                raise
        divisor = self.settings.sampling_rate * self.settings.dataset_size
        for p, s in zip(self.parameters, self.sum):
            drawn = torch.randn(s.shape, dtype=s.dtype, generator=self.noise)
            scale = 0.0 if self.bug == "no noise" else self.settings.noise_multiplier * self.bound
            p.grad = (s + scale * drawn) / divisor
            s.zero_()
        self.count += 1

    def books(self):
        releases = acc.Composition()
        if self.count > 0:
            releases.append(
                acc.PoissonSampledGaussianMechanism(
                    self.settings.sampling_rate, self.settings.noise_multiplier
                ),
                self.count,
            )
        return releases

    def sensitivity(self):
        return self.bound

    def statement(self, delta):
        books = acc.RdpAccountant()
        for phase in self.books().phases:
            books.compose(phase.mechanism, phase.count)
        return books.statement(delta)

    def resumed(self):
        other = Engine(self.parameters, self.settings, self.bug)
        other.count = self.count
        other.noise.set_state(self.noise.get_state())
        other.sampling.set_state(self.sampling.get_state())
        return other


def with_bug(bug):
    return lambda parameters, settings: Engine(parameters, settings, bug)


def replay(model, **options):
    return audit.neighbour_replay(
        model,
        **{
            "steps": 4,
            "sampling_rate": RATE,
            "clipping": velum.Clipping.flat(C),
            "noise_multiplier": SIGMA,
            **options,
        },
    )


def test_velums_own_engine_passes_the_replay():
    told = []
    result = replay(make_model(), progress=lambda done, all: told.append((done, all)))
    assert result.holds and result.worst.holds
    assert told[-1] == (4, 4)
    changes = {c.change for c in result.comparisons}
    assert len(changes) >= 6
    removed = [c for c in result.comparisons if c.unit is not None and c.bound == C]
    assert removed and max(c.distance for c in removed) > 0.1 * C  # it looked at something
    for c in result.comparisons:
        assert 0 <= c.step < 4 and 0 <= c.batch_size <= EXAMPLES
        assert c.holds == (c.distance <= c.bound + c.allowance)


def test_the_same_seed_sees_the_same():
    one, two = (replay(make_model(), insecure_seed=5) for _ in range(2))
    assert [c.distance for c in one.comparisons] == [c.distance for c in two.comparisons]


def test_users_are_units_too():
    users = [i % 5 for i in range(EXAMPLES)]
    result = replay(make_model(users), user_gradient="sum")
    assert result.holds
    assert {c.unit for c in result.comparisons} - {None} <= set(users)


def test_a_wrong_clip_is_found_in_an_engine_in_python():
    sound = replay(make_model(), engine=with_bug(None))
    assert sound.holds
    broken = replay(make_model(), engine=with_bug("clips by the largest"))
    assert not broken.holds
    assert not broken.worst.holds and broken.worst.distance > C
    report = audit.AuditReport([("engine", "by hand")], replay=broken)
    assert not report.holds
    told = json.loads(report.to_json())
    assert told["holds"] is False and told["subject"] == {"engine": "by hand"} or told["subject"]
    assert "by hand" in report.to_markdown() and report._repr_markdown_() == str(report)


def test_canaries_find_an_engine_without_noise():
    options = {
        "canaries": 100,
        "steps": 3,
        "sampling_rate": 0.5,
        "clipping": velum.Clipping.flat(C),
        "insecure_seed": 1,
    }
    sound = audit.canary_audit(make_model(), **options)
    assert sound.holds and 0 <= sound.epsilon_lower <= sound.epsilon_upper < math.inf
    assert sound.confidence == 0.95 and sound.delta == 1e-5 and sound.runs is None
    assert [g.share for g in sound.guesses] == [1.0, 0.4, 0.1]
    for guesses in sound.guesses:
        assert guesses.counts.canaries == 100
        assert 0 <= guesses.counts.correct <= guesses.counts.guesses <= 100
    broken = audit.canary_audit(
        make_model(), engine=with_bug("no noise"), noise_multiplier=8.0, **options
    )
    assert not broken.holds and broken.epsilon_lower > broken.epsilon_upper


def test_canaries_of_ones_own_are_recognised_by_their_loss():
    net = nn.Linear(5, 3).double()
    torch.manual_seed(1)
    x, y = torch.randn(30, 5).double(), torch.randint(3, (30,))
    model = audit.AuditedModel(
        list(net.parameters()), 10, lambda i: F.cross_entropy(net(x[i]), y[i], reduction="none")
    )
    result = audit.canary_audit(
        model,
        kind="input",
        canaries=20,
        steps=2,
        sampling_rate=1.0,
        canary_losses=lambda i: F.cross_entropy(net(x[10 + i]), y[10 + i], reduction="none"),
    )
    assert result.holds


def test_velums_own_engine_conforms():
    result = audit.engine_conformance(
        make_model(), sampling_rate=RATE, clipping=velum.Clipping.flat(C), draws=60
    )
    assert result.holds and result.violations == []
    assert len(result.checks) > 10
    statistical = [c for c in result.checks if c.statistical]
    assert statistical and all(c.p_value >= result.threshold for c in statistical)
    assert 0 < result.threshold <= result.false_alarm_probability == 1e-6


def test_missing_noise_does_not_conform():
    result = audit.engine_conformance(
        make_model(), engine=with_bug("no noise"), sampling_rate=RATE, draws=60
    )
    assert not result.holds
    assert any("noise" in name for name in result.violations)
    report = audit.AuditReport([], conformance=result)
    assert not report.holds


def test_lower_bounds_are_the_closed_forms():
    # All of n right: the bound p has p^n = beta.
    n, beta = 50, 0.05
    assert audit.clopper_pearson_lower(n, n, beta) == pytest.approx(beta ** (1 / n), rel=1e-9)
    assert audit.clopper_pearson_upper(n, 0, beta) == pytest.approx(1 - beta ** (1 / n), rel=1e-9)
    assert audit.clopper_pearson_lower(n, 0, beta) == 0.0
    # Of one run, delta = 0: (e^eps / (e^eps + 1))^n = beta.
    guesses = audit.OneRunGuesses(canaries=n, guesses=n, correct=n)
    p = beta ** (1 / n)
    bound = audit.epsilon_lower_bound_of_one_run(guesses, delta=0.0, confidence=1 - beta)
    assert bound == pytest.approx(math.log(p / (1 - p)), rel=1e-6)
    assert audit.one_run_p_value(guesses, epsilon=0.0, delta=0.0) == pytest.approx(0.5**n)
    # Of many runs: every member recognised, nobody accused.
    counts = audit.MembershipCounts(
        members=n, members_recognised=n, non_members=n, non_members_accused=0
    )
    q = (beta / 2) ** (1 / n)
    bound = audit.epsilon_lower_bound_of_runs(counts, delta=0.0, confidence=1 - beta)
    assert bound == pytest.approx(math.log(q / (1 - q)), rel=1e-6)
    assert (counts.members, counts.members_recognised) == (n, n)
    for call in (
        lambda: audit.clopper_pearson_lower(0, 0, 0.1),
        lambda: audit.clopper_pearson_upper(3, 4, 0.1),
        lambda: audit.one_run_p_value(guesses, epsilon=-1.0, delta=0.0),
        lambda: audit.epsilon_lower_bound_of_one_run(guesses, delta=0.0, confidence=1.0),
        lambda: audit.epsilon_lower_bound_of_runs(
            audit.MembershipCounts(0, 0, 0, 0), delta=0.0, confidence=0.9
        ),
    ):
        with pytest.raises(ValueError):
            call()


def test_exceptions_of_the_callers_functions_end_an_audit():
    def broken(error):
        def losses(indices):
            raise error

        return audit.AuditedModel([torch.zeros(2, requires_grad=True)], 5, losses)

    with pytest.raises(ZeroDivisionError, match="here"):
        replay(broken(ZeroDivisionError("here")))
    with pytest.raises(KeyboardInterrupt):
        replay(broken(KeyboardInterrupt()))
    model = audit.AuditedModel([torch.zeros(2, requires_grad=True)], 5, lambda i: "no tensor")
    with pytest.raises(TypeError, match="losses: gave a str, expected a tensor"):
        replay(model)

    def stop(done, all):
        raise StopIteration("enough")

    with pytest.raises(StopIteration):
        replay(make_model(), progress=stop)

    class NoEngine:
        def next_batch(self):
            return "no numbers"

    with pytest.raises(TypeError, match="next_batch: gave a str"):
        replay(make_model(), engine=lambda parameters, settings: NoEngine())
    with pytest.raises(AttributeError):
        replay(make_model(), engine=lambda parameters, settings: object())


@pytest.mark.parametrize(
    "function, options",
    [
        (audit.neighbour_replay, {"steps": 0}),
        (audit.neighbour_replay, {"sampling_rate": 0.0}),
        (audit.neighbour_replay, {"user_gradient": "all"}),
        (audit.engine_conformance, {"draws": 1}),
        (audit.canary_audit, {"kind": "bird"}),
        (audit.canary_audit, {"kind": "input"}),
        (audit.canary_audit, {"kind": "gradient", "canaries": 10_000}),
        (audit.canary_audit, {"confidence": 1.0}),
    ],
)
def test_what_is_out_of_range_is_refused(function, options):
    with pytest.raises(ValueError):
        function(make_model(), **options)
    with pytest.raises(ValueError):
        replay(audit.AuditedModel([], 5, lambda i: None))


def test_lazy_tables():
    torch.manual_seed(2)
    table, net = nn.Embedding(40, 4).double(), nn.Linear(4, 3).double()
    tokens, y = torch.randint(15, (EXAMPLES, 3)), torch.randint(3, (EXAMPLES,))
    model = audit.AuditedModel(
        parameters=[table.weight, *net.parameters()],
        dataset_size=EXAMPLES,
        losses=lambda i: F.cross_entropy(net(table(tokens[i]).mean(1)), y[i], reduction="none"),
    )
    replay = audit.neighbour_replay(
        model, steps=2, clipping=velum.Clipping.flat(C), positions=3, lazy_tables=[table.weight]
    )
    assert replay.holds and replay.comparisons
    conformance = audit.engine_conformance(model, lazy_tables=[table.weight])
    assert conformance.holds, conformance.violations
    assert table.weight.grad is not None

    table.float()
    with pytest.raises(ValueError, match="Float, expected double"):
        audit.neighbour_replay(model, lazy_tables=[table.weight])
    for check in (audit.neighbour_replay, audit.engine_conformance):
        with pytest.raises(ValueError, match=r"lazy_tables\[0\]: expected one of the model's"):
            check(model, lazy_tables=[table.weight.detach().clone()])
        with pytest.raises(ValueError, match="beside engine"):
            check(model, lazy_tables=[table.weight], engine=Engine)
