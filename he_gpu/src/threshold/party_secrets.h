#pragma once

#include <memory>
#include <optional>

#include "secret_key_material.h"
#include "velum/he/threshold/party.h"

namespace velum::he::threshold {

struct Party::Secrets {
  Secrets(SecretKey secret, int parties)
      : key(std::move(secret)), pairs(8 * parties, Stream::serial()) {}

  SecretKey key;                          // s_i
  std::optional<SecretPolynomial> share;  // f(i), once received
  /// [n, 8]: what it masks with each other one; its own row is zero. Host memory.
  SecretBuffer<std::uint32_t> pairs;
};

}  // namespace velum::he::threshold
