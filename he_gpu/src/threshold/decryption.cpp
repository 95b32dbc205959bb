#include "threshold/decryption.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <string>

#include "bfv/noise_bound.h"
#include "noise.h"
#include "threshold/transcript.h"

namespace velum::he::threshold {
namespace {

std::string bits_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "2^%.1f", std::log2(value));
  return text;
}

}  // namespace

void refuse(const char* function, const std::string& text) {
  throw std::invalid_argument(std::string(function) + ": " + text);
}

std::vector<int> checked_active(const char* function, const Group& group, std::vector<int> active) {
  std::sort(active.begin(), active.end());
  const int n = group.parties(), t = group.threshold();
  for (std::size_t i = 0; i < active.size(); ++i) {
    if (active[i] < 1 || active[i] > n) {
      refuse(function, "party " + std::to_string(active[i]) + " is active, expected 1 to " +
                           std::to_string(n));
    }
    if (i > 0 && active[i] == active[i - 1])
      refuse(function, "party " + std::to_string(active[i]) + " is active twice");
  }
  if (static_cast<int>(active.size()) < t) {
    refuse(function, std::to_string(active.size()) + " parties are active, " + to_string(active) +
                         "; expected at least " + std::to_string(t) + " of " + std::to_string(n));
  }
  return active;
}

template <typename AnyCiphertext>
void check_ciphertext(const char* function, const Group& group, const AnyCiphertext& ciphertext,
                      const Stream& stream) {
  group.context()->check_stream(function, stream);
  if (ciphertext.context() != group.context())
    refuse(function, "the ciphertext belongs to another context than the group");
  if (ciphertext.key_id() != group.key_id()) {
    refuse(function, "the ciphertext belongs to key " + he::to_string(ciphertext.key_id()) +
                         ", the group has key " + he::to_string(group.key_id()));
  }
  if (ciphertext.size() != 2) {
    refuse(function, "the ciphertext has " + std::to_string(ciphertext.size()) +
                         " polynomials, expected 2; relinearize first");
  }
}
template void check_ciphertext(const char*, const Group&, const bfv::Ciphertext&, const Stream&);
template void check_ciphertext(const char*, const Group&, const Ciphertext&, const Stream&);

Smudging checked_smudging(const char* function, const Group& group,
                          const bfv::Ciphertext& ciphertext, int shares) {
  const Parameters& parameters = group.context()->parameters();
  const bfv::NoiseBound& noise = ciphertext.noise();
  const Smudging smudging =
      smudging_for(function, parameters, group.shape().smudging, noise.coefficient, noise.slot);
  const double largest = noise.coefficient + shares * smudging.largest;
  const double budget =
      bfv::noise::budget(parameters, ciphertext.level(), {.coefficient = largest, .slot = 0.0});
  if (!(budget > 0.0)) {
    char missing[32];
    std::snprintf(missing, sizeof missing, "%.1f", -budget);
    refuse(function, "the noise of the ciphertext, up to " + bits_text(noise.coefficient) +
                         ", and of " + std::to_string(shares) + " shares, up to " +
                         bits_text(smudging.largest) + " each, reach " + bits_text(largest) +
                         ", expected below Q/(2t) = " + bits_text(largest * std::exp2(budget)) +
                         " at level " + std::to_string(ciphertext.level()) + ": " + missing +
                         " bits of noise budget are missing; compute less before, decrypt at a "
                         "higher level, or take parameters with more modulus_bits or a group with "
                         "fewer statistical_bits");
  }
  return smudging;
}

Smudging checked_smudging(const char* function, const Group& group, const Ciphertext& ciphertext,
                          int shares) {
  const Parameters& parameters = group.context()->parameters();
  const NoiseEstimate& noise = ciphertext.noise();
  const auto n = static_cast<double>(parameters.ring_degree());
  const Smudging smudging = smudging_for(function, parameters, group.shape().smudging,
                                         noise.slot_bound, noise.slot_bound);
  const double message = he::noise::largest_coefficient(noise, ciphertext.scale(), n);
  const double largest = message + shares * smudging.largest;
  const double log_q = parameters.log_q(ciphertext.level());
  const double slot = smudging.sigma * std::sqrt(shares * n);
  const double scaled = noise.message_bound * ciphertext.scale();
  if (!(std::log2(largest) + 1.0 < log_q && slot < scaled)) {
    refuse(function,
           "an error of up to " + bits_text(noise.slot_bound) + " is hidden by " +
               std::to_string(shares) + " shares with noise of up to " +
               bits_text(smudging.largest) + " each, " + bits_text(slot) +
               " in a slot; expected less than the scaled message, " + bits_text(scaled) +
               ", and with it below half of the modulus, " + bits_text(std::exp2(log_q - 1.0)) +
               ": encode at a larger scale (EncodeOptions::scale), decrypt at a higher level, or "
               "take a group with fewer statistical_bits");
  }
  return smudging;
}

}  // namespace velum::he::threshold
