#include "velum/he/threshold/combine.h"

#include <algorithm>
#include <string>

#include "bfv/scaled_message.h"
#include "noise.h"
#include "threshold/decryption.h"
#include "threshold/transcript.h"
#include "velum/kernels/polynomial/elementwise.h"
#include "velum/kernels/polynomial/ntt.h"

namespace velum::he::threshold {
namespace {

/// One share of each of `parties`, of this group and of shape [polys, limbs, N].
/// @param subject  what all are about.
/// @param about    for the text: "another ciphertext".
template <typename Share>
void check_shares(const char* function, const Group& group, const std::vector<Share>& shares,
                  const std::vector<int>& parties, const Digest& subject, const char* about,
                  std::int64_t polys, std::int64_t limbs, const Stream& stream) {
  group.context()->check_stream(function, stream);
  std::vector<int> seen;
  for (const Share& share : shares) {
    if (share.group() != group.id() || share.context() != group.context()) {
      refuse(function, "the share of party " + std::to_string(share.party()) + " is of group " +
                           to_string(share.group()) + ", expected group " + to_string(group.id()));
    }
    if (std::find(parties.begin(), parties.end(), share.party()) == parties.end()) {
      refuse(function, "there is a share of party " + std::to_string(share.party()) +
                           ", expected those of " + to_string(parties));
    }
    if (std::find(seen.begin(), seen.end(), share.party()) != seen.end())
      refuse(function, "there are two shares of party " + std::to_string(share.party()));
    if (share.subject() != subject) {
      refuse(function, "the share of party " + std::to_string(share.party()) + " is of " + about +
                           ": it names " + to_string(share.subject()) + ", expected " +
                           to_string(subject));
    }
    if (share.view().polys != polys || share.view().limbs != limbs) {
      refuse(function, "the share of party " + std::to_string(share.party()) + " has " +
                           std::to_string(share.view().polys) + " polynomials of " +
                           std::to_string(share.view().limbs) + " limbs, expected " +
                           std::to_string(polys) + " of " + std::to_string(limbs));
    }
    seen.push_back(share.party());
  }
  for (const int party : parties) {
    if (std::find(seen.begin(), seen.end(), party) == seen.end())
      refuse(function, "the share of party " + std::to_string(party) + " is missing");
  }
}

/// The sum of shares of one shape.
template <typename Share>
Buffer<Word> sum_of(const Context& context, const std::vector<Share>& shares,
                    const LimbIndices& limbs, const Stream& stream) {
  const RnsView<const Word> first = shares.front().view();
  Buffer<Word> sum(first.polys * first.limbs * first.degree, stream);
  const RnsView<Word> out(sum.data(), first.polys, first.limbs, first.degree);
  kernels::copy_limbs<Word>(first, out, stream);
  for (std::size_t i = 1; i < shares.size(); ++i)
    kernels::add<Word>(out, shares[i].view(), out, limbs, context.moduli(), stream);
  return sum;
}

/// c_0 + all shares, [1, limbs(level), N], NTT form.
template <typename AnyCiphertext>
Buffer<Word> phase(const char* function, const Group& group, const AnyCiphertext& ciphertext,
                   const std::vector<DecryptionShare>& shares, const Stream& stream) {
  check_ciphertext(function, group, ciphertext, stream);
  if (shares.empty()) refuse(function, "there are no shares");
  const std::vector<int> active = checked_active(function, group, shares.front().active());
  const int level = ciphertext.level();
  for (const DecryptionShare& share : shares) {
    if (share.active() != active) {
      refuse(function, "the share of party " + std::to_string(share.party()) +
                           " is for the active parties " + to_string(share.active()) +
                           ", that of party " + std::to_string(shares.front().party()) + " for " +
                           to_string(active));
    }
  }
  const Context& context = *group.context();
  const LimbIndices limbs = context.q_limbs(level);
  check_shares(function, group, shares, active,
               ciphertext_digest(group.id(), level, ciphertext.view(), stream),
               "another ciphertext", 1, limbs.count, stream);
  checked_smudging(function, group, ciphertext, static_cast<int>(active.size()));
  Buffer<Word> sum = sum_of(context, shares, limbs, stream);
  const RnsView<Word> out(sum.data(), 1, limbs.count, context.degree());
  kernels::add<Word>(out, ciphertext.view().poly_range(0, 1), out, limbs, context.moduli(), stream);
  return sum;
}

}  // namespace

PublicKey combine_public_key(const Group& group, const std::vector<PublicKeyShare>& shares,
                             const Stream& stream) {
  const char* const function = "combine_public_key";
  const Context& context = *group.context();
  const LimbIndices limbs = context.q_limbs(context.parameters().max_level());
  check_shares(function, group, shares, group.everybody(), Digest{}, "something else", 1,
               limbs.count, stream);
  const Buffer<Word> b = sum_of(context, shares, limbs, stream);
  PublicKey key = PublicKey::expand(group.context(), group.key_id(),
                                    group.polynomials_of("public key"), b.span(), stream);
  kernels::synchronize(stream);
  return key;
}

RelinearizationRoundOne combine_round_one(const Group& group,
                                          const std::vector<RelinearizationShareOne>& shares,
                                          const Stream& stream) {
  const char* const function = "combine_round_one";
  const Context& context = *group.context();
  const LimbIndices limbs = context.qp_limbs(context.parameters().max_level());
  const std::int64_t polys = 2 * context.parameters().dnum();
  check_shares(function, group, shares, group.everybody(), Digest{}, "something else", polys,
               limbs.count, stream);
  Buffer<Word> sum = sum_of(context, shares, limbs, stream);
  const Digest subject =
      round_one_digest(group.id(), {sum.data(), polys, limbs.count, context.degree()}, stream);
  return RelinearizationRoundOne(
      {group.context(), group.id(), 0, subject, std::move(sum), polys, limbs.count});
}

RelinearizationKey combine_relinearization_key(const Group& group,
                                               const RelinearizationRoundOne& sum,
                                               const std::vector<RelinearizationShareTwo>& shares,
                                               const Stream& stream) {
  const char* const function = "combine_relinearization_key";
  const Context& context = *group.context();
  const LimbIndices limbs = context.qp_limbs(context.parameters().max_level());
  check_shares(function, group, shares, group.everybody(), sum.subject(), "another first round",
               context.parameters().dnum(), limbs.count, stream);
  const Buffer<Word> b = sum_of(context, shares, limbs, stream);
  RelinearizationKey key{KeySwitchingKey::expand(
      group.context(), group.key_id(), group.polynomials_of("relinearisation key", sum.subject()),
      b.span(), stream)};
  kernels::synchronize(stream);
  return key;
}

std::pair<std::uint32_t, KeySwitchingKey> combine_galois_key(
    const Group& group, const std::vector<GaloisKeyShare>& shares, const Stream& stream) {
  const char* const function = "combine_galois_key";
  const Context& context = *group.context();
  if (shares.empty()) refuse(function, "there are no shares");
  const std::uint32_t element = shares.front().galois_element();
  for (const GaloisKeyShare& share : shares) {
    if (share.galois_element() != element) {
      refuse(function, "the share of party " + std::to_string(share.party()) +
                           " is for the Galois element " + std::to_string(share.galois_element()) +
                           ", that of party " + std::to_string(shares.front().party()) + " for " +
                           std::to_string(element));
    }
  }
  const Digest subject = galois_digest(group.id(), element);
  const LimbIndices limbs = context.qp_limbs(context.parameters().max_level());
  check_shares(function, group, shares, group.everybody(), subject, "another Galois element",
               context.parameters().dnum(), limbs.count, stream);
  const Buffer<Word> b = sum_of(context, shares, limbs, stream);
  std::pair<std::uint32_t, KeySwitchingKey> key{
      element, KeySwitchingKey::expand(group.context(), group.key_id(),
                                       group.polynomials_of("galois", subject), b.span(), stream)};
  kernels::synchronize(stream);
  return key;
}

bfv::Plaintext combine_decryption(const Group& group, const bfv::Ciphertext& ciphertext,
                                  const std::vector<DecryptionShare>& shares,
                                  const Stream& stream) {
  const Context& context = *group.context();
  const Buffer<Word> residues = phase("combine_decryption", group, ciphertext, shares, stream);
  const LimbIndices limbs = context.q_limbs(ciphertext.level());
  const RnsView<Word> view(residues.data(), 1, limbs.count, context.degree());
  kernels::ntt_inverse_inplace(view, limbs, context.tables(), stream);
  bfv::Plaintext message = bfv::unscaled_message(group.context(), view, ciphertext.level(), stream);
  kernels::synchronize(stream);
  return message;
}

Plaintext combine_decryption(const Group& group, const Ciphertext& ciphertext,
                             const std::vector<DecryptionShare>& shares, const Stream& stream) {
  const char* const function = "combine_decryption";
  Buffer<Word> residues = phase(function, group, ciphertext, shares, stream);
  const auto count = static_cast<int>(shares.size());
  const Smudging smudging = checked_smudging(function, group, ciphertext, count);
  const he::noise::Error added = he::noise::sum_error(
      static_cast<double>(group.context()->degree()), count * smudging.sigma * smudging.sigma);
  kernels::synchronize(stream);
  return {
      group.context(),
      std::move(residues),
      ciphertext.level(),
      ciphertext.scale(),
      he::noise::with_error(ciphertext.noise(), he::noise::error_of(ciphertext.noise()) + added),
      ciphertext.history()};
}

}  // namespace velum::he::threshold
