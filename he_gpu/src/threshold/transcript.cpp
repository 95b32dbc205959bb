#include "threshold/transcript.h"

#include <algorithm>
#include <cstddef>

#include "velum/kernels/buffer.h"

namespace velum::he::threshold {

kernels::RandomKey random_key_of(const Digest& digest) {
  kernels::RandomKey key{};
  for (std::size_t i = 0; i < digest.size(); ++i)
    key.words[i / 4] |= static_cast<std::uint32_t>(digest[i]) << (8 * (i % 4));
  return key;
}

std::string to_string(const Digest& digest) { return he::to_string(ParametersId{digest}); }

std::string to_string(const std::vector<int>& parties) {
  std::string text;
  for (const int party : parties) text += (text.empty() ? "" : ", ") + std::to_string(party);
  return text;
}

KeyId key_id_of(const Digest& group) {
  Sha256 hash;
  hash.update_text("velum threshold key 1");
  hash.update(group.data(), group.size());
  const Digest digest = hash.finish();
  KeyId id{};
  std::copy_n(digest.begin(), id.size(), id.begin());
  return id;
}

void update_residues(Sha256& hash, RnsView<const Word> view, const Stream& stream) {
  hash.update_u64(static_cast<std::uint64_t>(view.polys));
  hash.update_u64(static_cast<std::uint64_t>(view.limbs));
  hash.update_u64(static_cast<std::uint64_t>(view.degree));
  std::vector<Word> limb(static_cast<std::size_t>(view.degree));
  std::vector<std::uint8_t> bytes(4 * limb.size());
  for (std::int64_t poly = 0; poly < view.polys; ++poly) {
    for (std::int64_t l = 0; l < view.limbs; ++l) {
      kernels::copy(Span<const Word>(view.limb(poly, l), view.degree), Span<Word>(limb), stream);
      kernels::synchronize(stream);
      for (std::size_t i = 0; i < limb.size(); ++i) {
        for (std::size_t j = 0; j < 4; ++j)
          bytes[4 * i + j] = static_cast<std::uint8_t>(limb[i] >> (8 * j));
      }
      hash.update(bytes.data(), bytes.size());
    }
  }
}

Digest ciphertext_digest(const Digest& group, int level, RnsView<const Word> view,
                         const Stream& stream) {
  Sha256 hash;
  hash.update_text("velum threshold ciphertext 1");
  hash.update(group.data(), group.size());
  hash.update_u32(static_cast<std::uint32_t>(level));
  update_residues(hash, view, stream);
  return hash.finish();
}

Digest round_one_digest(const Digest& group, RnsView<const Word> view, const Stream& stream) {
  Sha256 hash;
  hash.update_text("velum threshold relinearisation 1");
  hash.update(group.data(), group.size());
  update_residues(hash, view, stream);
  return hash.finish();
}

Digest galois_digest(const Digest& group, std::uint32_t galois_element) {
  Sha256 hash;
  hash.update_text("velum threshold galois 1");
  hash.update(group.data(), group.size());
  hash.update_u32(galois_element);
  return hash.finish();
}

}  // namespace velum::he::threshold
