#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

struct evp_md_ctx_st;

namespace velum::he {

/// SHA-256 by libcrypto, in pieces.
class Sha256 {
 public:
  Sha256();
  void update(const void* data, std::size_t size);
  /// The length, then the bytes: no two lists of texts have the same input.
  void update_text(std::string_view text);
  void update_u32(std::uint32_t value);  // little-endian
  void update_u64(std::uint64_t value);  // little-endian
  std::array<std::uint8_t, 32> finish();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

}  // namespace velum::he
