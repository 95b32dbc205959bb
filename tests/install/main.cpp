#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <cstdio>

#include "velum/dpsgd/poisson_sampler.h"
#include "velum/dpsgd/privacy_engine.h"

int main() {
  using namespace velum::dpsgd;
  at::Tensor weight = at::zeros({3, 5}).requires_grad_(true);
  const PoissonSampler sampler(1000, 0.01);
  PrivacyEngine engine({weight}, sampler,
                       {.clipping = Clipping::flat(1.0), .noise_multiplier = 1.0});
  engine.backward(at::linear(at::ones({4, 5}), weight).sum(1));
  const double epsilon = engine.epsilon(1e-5);
  std::printf("one step: epsilon = %g\n", epsilon);
  return weight.grad().defined() && std::isfinite(epsilon) && epsilon > 0 ? 0 : 1;
}
