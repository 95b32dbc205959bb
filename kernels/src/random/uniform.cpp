#include "velum/kernels/random/uniform.h"

#include <stdexcept>
#include <string>

#include "dispatch.h"
#include "random/element_range.h"
#include "random/uniform_body.h"
#include "random/uniform_halves.h"

namespace velum::kernels {
namespace {

[[noreturn]] void throw_argument(const std::string& text) { throw std::invalid_argument(text); }

void check_population(const char* function, std::int64_t population) {
  if (population < 0 || population > UniformLayout::kMaxBits) {
    throw_argument(std::string(function) + ": population = " + std::to_string(population) +
                   ", expected 0 to " + std::to_string(UniformLayout::kMaxBits));
  }
}

}  // namespace

void uniform_bits_fill(Span<std::uint64_t> out, const RandomKey& key,
                       const RandomPosition& position, std::int64_t first_element,
                       const Stream& stream) {
  check_element_range("uniform_bits_fill", first_element, out.size(), UniformLayout::kMaxBits);
  const UniformBitsFillBody body{stream_state(key, position, DrawKind::kBits), first_element, out};
  VELUM_DISPATCH(stream, uniform_bits_fill_cpu(body, stream), uniform_bits_fill_cuda(body, stream));
}

void uniform_integers_fill(std::uint64_t bound, Span<std::uint64_t> out, const RandomKey& key,
                           const RandomPosition& position, std::int64_t first_element,
                           const Stream& stream) {
  if (bound == 0) throw_argument("uniform_integers_fill: bound = 0, expected at least 1");
  check_element_range("uniform_integers_fill", first_element, out.size(),
                      UniformLayout::kMaxIntegers);
  const UniformIntegersFillBody body{stream_state(key, position, DrawKind::kInteger), bound,
                                     first_element, out};
  VELUM_DISPATCH(stream, uniform_integers_fill_cpu(body, stream),
                 uniform_integers_fill_cuda(body, stream));
}

std::int64_t poisson_select_workspace_size(std::int64_t population, const Stream& stream) {
  check_population("poisson_select_workspace_size", population);
  std::int64_t bytes = 0;
  VELUM_DISPATCH(stream, bytes = poisson_select_workspace_size_cpu(population, stream),
                 bytes = poisson_select_workspace_size_cuda(population, stream));
  return bytes;
}

void poisson_select(std::int64_t population, double sampling_rate, const RandomKey& key,
                    const RandomPosition& position, Span<std::int64_t> indices,
                    Span<std::int64_t> count, Span<std::uint8_t> workspace, const Stream& stream) {
  check_population("poisson_select", population);
  if (!(sampling_rate >= 0.0 && sampling_rate <= 1.0)) {
    throw_argument("poisson_select: sampling_rate = " + std::to_string(sampling_rate) +
                   ", expected 0 to 1");
  }
  if (indices.size() < population) {
    throw_argument("poisson_select: indices.size() = " + std::to_string(indices.size()) +
                   ", expected at least population = " + std::to_string(population));
  }
  if (count.size() != 1) {
    throw_argument("poisson_select: count.size() = " + std::to_string(count.size()) +
                   ", expected 1");
  }
  const std::int64_t needed = poisson_select_workspace_size(population, stream);
  if (workspace.size() < needed) {
    throw_argument("poisson_select: workspace.size() = " + std::to_string(workspace.size()) +
                   ", expected at least " + std::to_string(needed));
  }
  const PoissonSelection selection{stream_state(key, position, DrawKind::kSelection),
                                   SelectionRule::from_rate(sampling_rate), population, indices,
                                   count.data()};
  VELUM_DISPATCH(stream, poisson_select_cpu(selection, workspace, stream),
                 poisson_select_cuda(selection, workspace, stream));
}

}  // namespace velum::kernels
