#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "velum/he/bfv/ciphertext.h"

/// Integers modulo t between their representatives. They decide no branch.
namespace velum::he::bfv::message {

/// In [0, t), of x in [-t, t).
inline std::uint64_t residue(std::int64_t x, std::uint64_t t) {
  const auto bits = static_cast<std::uint64_t>(x);
  return bits + (t & (0 - (bits >> 63)));
}
/// In [-floor(t/2), floor((t - 1)/2)], of x in [0, t).
inline std::int64_t centred(std::uint64_t x, std::uint64_t t) {
  return static_cast<std::int64_t>(x - (t & (0 - static_cast<std::uint64_t>(x > (t - 1) / 2))));
}

/// @throws std::invalid_argument naming the first value that is not in [low, high].
template <typename Value>
void check_values(const std::string& function, Span<const Value> values, std::int64_t most,
                  Value low, Value high) {
  if (values.size() > most) {
    throw std::invalid_argument(function + ": " + std::to_string(values.size()) +
                                " values, expected at most N = " + std::to_string(most));
  }
  for (std::int64_t i = 0; i < values.size(); ++i) {
    if (values[i] < low || values[i] > high) {
      throw std::invalid_argument(function + ": value " + std::to_string(i) + " is " +
                                  std::to_string(values[i]) + ", expected " + std::to_string(low) +
                                  " to " + std::to_string(high));
    }
  }
}

/// Coefficients in host memory, [N], to the backend; waits for the copy.
inline Plaintext plaintext_of(const std::shared_ptr<const Context>& context,
                              const std::vector<std::int64_t>& coefficients, double coefficient_sum,
                              const Stream& stream) {
  Buffer<std::int64_t> buffer(context->degree(), stream);
  kernels::copy(Span<const std::int64_t>(coefficients), buffer.span(), stream);
  kernels::synchronize(stream);
  return {context, std::move(buffer), coefficient_sum};
}

/// The other way, with a decoder's checks.
inline std::vector<std::int64_t> coefficients_of(const std::string& function,
                                                 const std::shared_ptr<const Context>& context,
                                                 const Plaintext& plaintext, std::int64_t count,
                                                 const Stream& stream) {
  context->check_stream(function.c_str(), stream);
  if (plaintext.context() != context)
    throw std::invalid_argument(function + ": the plaintext belongs to another context");
  if (count > context->degree()) {
    throw std::invalid_argument(
        function + ": " + std::to_string(count) +
        " values, expected at most N = " + std::to_string(context->degree()));
  }
  std::vector<std::int64_t> coefficients(static_cast<std::size_t>(context->degree()));
  kernels::copy(plaintext.coefficients(), Span<std::int64_t>(coefficients), stream);
  kernels::synchronize(stream);
  return coefficients;
}

/// The largest sum of magnitudes of `count` coefficients.
inline double largest_sum(std::int64_t count, std::uint64_t t) {
  return static_cast<double>(count) * static_cast<double>(t / 2);
}

}  // namespace velum::he::bfv::message
