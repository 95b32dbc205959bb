#include "velum/he/randomness.h"

#include <atomic>

#include "sha256.h"

namespace velum::he {
namespace {

class SecureRandomness final : public Randomness {
 public:
  kernels::RandomKey next() override { return kernels::secure_random_key(); }
};

class InsecureRandomness final : public Randomness {
 public:
  explicit InsecureRandomness(std::uint64_t seed) : seed_(seed) {}
  kernels::RandomKey next() override {
    Sha256 hash;
    hash.update_text("velum insecure randomness");
    hash.update_u64(seed_);
    hash.update_u64(count_.fetch_add(1));
    const auto bytes = hash.finish();
    kernels::RandomKey key{};
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      key.words[i / 4] |= static_cast<std::uint32_t>(bytes[i]) << (8 * (i % 4));
    }
    return key;
  }

 private:
  std::uint64_t seed_;
  std::atomic<std::uint64_t> count_{0};
};

}  // namespace

std::shared_ptr<Randomness> Randomness::secure() { return std::make_shared<SecureRandomness>(); }

std::shared_ptr<Randomness> Randomness::insecure_from_seed(std::uint64_t seed) {
  return std::make_shared<InsecureRandomness>(seed);
}

}  // namespace velum::he
