#include "kernel_cases.h"

#include <array>
#include <memory>
#include <optional>
#include <utility>

#include "gradients/product_tiles.h"
#include "random/keystream.h"
#include "velum/kernels/buffer.h"
#include "velum/kernels/gradients/add_gaussian_noise.h"
#include "velum/kernels/gradients/clip_and_sum.h"
#include "velum/kernels/gradients/clip_factors.h"
#include "velum/kernels/gradients/clip_sum_noise_scale.h"
#include "velum/kernels/gradients/conv_squared_norms.h"
#include "velum/kernels/gradients/linear_squared_norms.h"
#include "velum/kernels/gradients/per_sample_norms.h"
#include "velum/kernels/gradients/segment_sums.h"
#include "velum/kernels/polynomial/automorphism.h"
#include "velum/kernels/polynomial/base_conversion.h"
#include "velum/kernels/polynomial/digit_packing.h"
#include "velum/kernels/polynomial/elementwise.h"
#include "velum/kernels/polynomial/inner_product.h"
#include "velum/kernels/polynomial/integers_to_residues.h"
#include "velum/kernels/polynomial/modulus_ratio.h"
#include "velum/kernels/polynomial/ntt.h"
#include "velum/kernels/polynomial/ntt_tables.h"
#include "velum/kernels/polynomial/residues_to_doubles.h"
#include "velum/kernels/random/discrete_gaussian.h"
#include "velum/kernels/random/gaussian.h"
#include "velum/kernels/random/residues.h"
#include "velum/kernels/random/skellam.h"
#include "velum/kernels/random/small_polynomial.h"
#include "velum/kernels/random/uniform.h"

namespace velum::benchmarking {
namespace {

using namespace kernels;

using Operation = std::function<void()>;

const RandomKey kKey = insecure_key_from_seed(1);
constexpr RandomPosition kPosition{Purpose::kTest, 0, 0, 0};

template <typename Word>
constexpr std::int64_t kWordBytes = static_cast<std::int64_t>(sizeof(Word));

std::string word_name(std::int64_t bytes) { return "/word:" + std::to_string(8 * bytes); }

/// The host's memory in that of a stream; waits.
template <typename T>
Buffer<T> resident(Span<const T> host, const Stream& stream) {
  Buffer<T> buffer(host.size(), stream);
  copy(host, buffer.span(), stream);
  synchronize(stream);
  return buffer;
}

template <typename T>
Buffer<T> gaussian_values(std::int64_t size, const Stream& stream) {
  const Buffer<T> host(size, Stream::serial());
  gaussian_fill(host.span(), kKey, kPosition, Stream::serial());
  return resident(Span<const T>(host.span()), stream);
}

// ---- Polynomials ----

/// Residues of a chain, made on the host: kernels that run here would be counted with the case.
template <typename Word>
Buffer<Word> residues(const std::vector<Word>& moduli, std::int64_t polys, const LimbIndices& limbs,
                      std::int64_t degree, const Stream& stream) {
  const ModulusChain<Word> chain(moduli, Stream::serial());
  const Buffer<Word> host(polys * limbs.count * degree, Stream::serial());
  uniform_residues_fill(RnsView<Word>(host.data(), polys, limbs.count, degree), limbs, chain, kKey,
                        kPosition, Stream::serial());
  return resident(Span<const Word>(host.span()), stream);
}

template <typename Word>
std::vector<Word> primes(int log_n, int count) {
  return find_ntt_primes<Word>(WordTraits<Word>::kModulusBits, log_n, count);
}

template <typename Word>
ShoupFactor<Word> some_factor(Word q) {
  return shoup_factor(static_cast<Word>(q / 3), q);
}

/// Polynomials of N = 2^log_n over as many primes as there are rows, with tables and a factor each.
template <typename Word>
struct Ring {
  Ring(int log_n, std::int64_t rows, const Stream& stream_)
      : stream(stream_),
        degree(std::int64_t{1} << log_n),
        limbs(LimbIndices::range(0, static_cast<int>(rows))),
        moduli(primes<Word>(log_n, limbs.count)),
        chain(moduli, stream),
        factors(limbs.count, stream) {
    std::vector<ShoupFactor<Word>> host;
    host.reserve(moduli.size());
    for (const Word q : moduli) host.push_back(some_factor(q));
    copy(Span<const ShoupFactor<Word>>(host), factors.span(), stream);
    synchronize(stream);
  }
  Buffer<Word> random(std::int64_t polys) const {
    return residues(moduli, polys, limbs, degree, stream);
  }
  RnsView<Word> view(const Buffer<Word>& buffer, std::int64_t polys) const {
    return {buffer.data(), polys, limbs.count, degree};
  }

  Stream stream;
  std::int64_t degree;
  LimbIndices limbs;
  std::vector<Word> moduli;
  ModulusChain<Word> chain;
  Buffer<ShoupFactor<Word>> factors;
};

/// An operation of up to four operands, each of some polynomials of the ring.
template <typename Word, std::size_t kOperands>
struct RingState {
  RingState(int log_n, std::int64_t rows, const std::array<std::int64_t, kOperands>& polys_,
            bool transforms, const Stream& stream)
      : ring(log_n, rows, stream), polys(polys_) {
    if (transforms) tables.emplace(log_n, ring.moduli, stream);
    for (const std::int64_t count : polys) operands.push_back(ring.random(count));
  }
  RnsView<Word> operator[](std::size_t i) const { return ring.view(operands[i], polys[i]); }

  Ring<Word> ring;
  std::array<std::int64_t, kOperands> polys;
  std::optional<NttTables<Word>> tables;
  std::vector<Buffer<Word>> operands;
};

/// A case whose rows are limbs: `run(state)` on `polys` polynomials for each operand.
template <typename Word, std::size_t kOperands, typename Run>
auto over_limbs(int log_n, std::array<std::int64_t, kOperands> polys, bool transforms, Run run) {
  return [=](std::int64_t rows, const Stream& stream) -> Operation {
    const auto state =
        std::make_shared<RingState<Word, kOperands>>(log_n, rows, polys, transforms, stream);
    return [state, run] { run(*state); };
  };
}

LeastWork with(LeastWork work, const LeastWork& more) {
  work.bytes += more.bytes;
  work.multiply += more.multiply;
  work.wide += more.wide;
  work.alu += more.alu;
  work.fp32 += more.fp32;
  work.fp64 += more.fp64;
  return work;
}

// What residues ask for, in machine instructions. Words of 64 bits: a high word of a product is
// four IMAD.WIDE and the sums between them, a low word one and two IMAD.

/// Shoup's: the high word of one product; q times that and the low word of the other.
LeastWork least_of_product(bool narrow) {
  return narrow ? LeastWork{.multiply = 2, .wide = 1}
                : LeastWork{.multiply = 4, .wide = 6, .alu = 4};
}
/// Products added in two words. Of 64-bit words the unlike halves have a sum of their own, which
/// joins the other after four products.
LeastWork least_of_sum(double products, bool narrow) {
  return narrow ? LeastWork{.wide = products}
                : LeastWork{.wide = 4 * products, .alu = 1.25 * products};
}
/// Two words to a residue.
LeastWork least_of_reduction(bool narrow) {
  return narrow ? LeastWork{.multiply = 1, .wide = 1, .alu = 2}
                : LeastWork{.multiply = 2, .wide = 5, .alu = 10};
}
/// A butterfly: Shoup's product; by Harvey's ranges the smaller of x and x - 2q (one instruction),
/// a sum and a difference. 64-bit words have room for a reduction by every second stage, and the
/// sum is taken in by the product: the difference is four instructions, half a reduction 2.5.
LeastWork least_of_transform(int log_n, std::int64_t word_bytes) {
  const double butterflies = log_n / 2.0;  // of a coefficient
  const bool narrow = word_bytes == 4;
  LeastWork least = with(least_of_product(narrow), {.alu = narrow ? 3.0 : 6.5});
  // A limb of 2^16 exceeds the shared memory of a block: it crosses the device's memory twice.
  const double passes = log_n >= (narrow ? 16 : 15) ? 2 : 1;
  return {.bytes = 2.0 * passes * static_cast<double>(word_bytes),
          .multiply = butterflies * least.multiply,
          .wide = butterflies * least.wide,
          .alu = butterflies * least.alu};
}

/// `polys` polynomials; with 66 of them and two rows there is a limb for every multiprocessor, and
/// a limb is a block's.
template <typename Word>
void add_transforms(std::vector<KernelCase>& cases, int log_n, std::int64_t polys,
                    std::int64_t rows, std::int64_t emulated_rows) {
  const std::string size = word_name(kWordBytes<Word>) + "/log_n:" + std::to_string(log_n) +
                           "/polys:" + std::to_string(polys);
  const LeastWork least = least_of_transform(log_n, kWordBytes<Word>);
  const std::int64_t coefficients = polys << log_n;
  using State = RingState<Word, 1>;
  cases.push_back({"ntt_forward" + size, "coefficient", coefficients, rows, emulated_rows, least,
                   over_limbs<Word, 1>(log_n, {polys}, true, [](const State& s) {
                     ntt_forward_inplace(s[0], s.ring.limbs, *s.tables, s.ring.stream);
                   })});
  cases.push_back({"ntt_inverse" + size, "coefficient", coefficients, rows, emulated_rows, least,
                   over_limbs<Word, 1>(log_n, {polys}, true, [](const State& s) {
                     ntt_inverse_inplace(s[0], s.ring.limbs, *s.tables, s.ring.stream);
                   })});
}

/// The ends of a division and of a digit's key switching, fused into their transforms.
template <typename Word>
void add_fused_transforms(std::vector<KernelCase>& cases, int log_n, std::int64_t rows) {
  const std::string size = word_name(kWordBytes<Word>) + "/log_n:" + std::to_string(log_n);
  const auto bytes = static_cast<double>(kWordBytes<Word>);
  constexpr bool kNarrow = kWordBytes<Word> == 4;
  LeastWork least = with(least_of_transform(log_n, kWordBytes<Word>), least_of_product(kNarrow));
  least.bytes += bytes;  // the minuend
  least.alu += 4;        // the difference, reductions
  cases.push_back({"ntt_forward_subtract_multiply" + size, "coefficient", std::int64_t{2} << log_n,
                   rows, 1, least,
                   over_limbs<Word, 2>(log_n, {2, 2}, true, [](const RingState<Word, 2>& s) {
                     ntt_forward_subtract_multiply(s[0], s[1], s.ring.limbs, s.ring.factors.span(),
                                                   *s.tables, s.ring.stream);
                   })});
  least = least_of_transform(log_n, kWordBytes<Word>);
  least.bytes += 5 * bytes;  // two of the key, two accumulators read and written, no digit written
  for (int k = 0; k < 2; ++k) {
    least = with(least, with(least_of_sum(1, kNarrow), least_of_reduction(kNarrow)));
  }
  cases.push_back(
      {"ntt_forward_inner_product" + size, "coefficient", std::int64_t{1} << log_n, rows, 1, least,
       over_limbs<Word, 3>(log_n, {1, 2, 2}, true, [](const RingState<Word, 3>& s) {
         ntt_forward_inner_product(s[0], s[1], s[2], false, s.ring.limbs, *s.tables, s.ring.stream);
       })});
}

/// `polys` polynomials from `from` moduli to `to` others. A row is 2^10 coefficients of each: the
/// number of rows is a power of two.
template <typename Word>
KernelCase base_conversion(const std::string& name, int from, int to, std::int64_t polys,
                           Correction correction) {
  struct State {
    State(std::int64_t degree_, int sources_, int targets, std::int64_t count,
          const Stream& stream_)
        : stream(stream_),
          degree(degree_),
          moduli(primes<Word>(10, sources_ + targets)),
          conversion(ModulusChain<Word>(moduli, stream), LimbIndices::range(0, sources_),
                     LimbIndices::range(sources_, targets), stream),
          in(residues(moduli, count, LimbIndices::range(0, sources_), degree, stream)),
          out(count * targets * degree, stream) {}
    Stream stream;
    std::int64_t degree;
    std::vector<Word> moduli;
    BaseConversion<Word> conversion;
    Buffer<Word> in;
    Buffer<Word> out;
  };
  const double sources = static_cast<double>(from) / to;  // of a result
  const bool centred = correction == Correction::kCentred;
  const bool narrow = kWordBytes<Word> == 4;
  return {name + word_name(kWordBytes<Word>) + "/from:" + std::to_string(from) +
              "/to:" + std::to_string(to),
          "residue", polys * to * 1024, 64, 2,
          // A product for each source and the reduction; for the correction one more, and a
          // fraction of two products for each source.
          with(with(least_of_sum(from + (centred ? 1 + 2 * sources : 0), narrow),
                    least_of_reduction(narrow)),
               {.bytes = (1 + sources) * static_cast<double>(kWordBytes<Word>)}),
          [=](std::int64_t rows, const Stream& stream) -> Operation {
            const auto state = std::make_shared<State>(rows * 1024, from, to, polys, stream);
            return [=] {
              const State& s = *state;
              convert_base<Word>({s.in.data(), polys, from, s.degree},
                                 {s.out.data(), polys, to, s.degree}, s.conversion, correction,
                                 Premultiplied::kYes, s.stream);
            };
          }};
}

/// A key switching's second step: three digits, a key of two polynomials for each.
template <typename Word>
KernelCase inner_product_of_digits(int log_n, std::int64_t rows) {
  constexpr std::int64_t kDigits = 3;
  const bool narrow = kWordBytes<Word> == 4;
  return {
      "inner_product" + word_name(kWordBytes<Word>) + "/log_n:" + std::to_string(log_n) +
          "/digits:" + std::to_string(kDigits),
      "residue",
      std::int64_t{2} << log_n,
      rows,
      1,
      with(with(least_of_sum(kDigits, narrow), least_of_reduction(narrow)),
           {.bytes = (kDigits / 2.0 + kDigits + 1) * static_cast<double>(kWordBytes<Word>)}),
      over_limbs<Word, 3>(log_n, {kDigits, 2 * kDigits, 2}, false, [](const RingState<Word, 3>& s) {
        inner_product(s[0], s[1], s[2], s.ring.limbs, s.ring.chain, s.ring.stream);
      })};
}

/// A ciphertext of two polynomials and its neighbours.
template <typename Word>
void add_elementwise(std::vector<KernelCase>& cases, int log_n, std::int64_t rows) {
  const std::string size = word_name(kWordBytes<Word>) + "/log_n:" + std::to_string(log_n);
  const auto bytes = static_cast<double>(kWordBytes<Word>);
  constexpr bool kNarrow = kWordBytes<Word> == 4;
  const LeastWork product = with(least_of_sum(1, kNarrow), least_of_reduction(kNarrow));
  const std::int64_t residues_of_row = std::int64_t{2} << log_n;
  using State = RingState<Word, 3>;
  const std::array<std::int64_t, 3> polys{2, 2, 2};
  cases.push_back({"add" + size, "residue", residues_of_row, rows, 1,
                   LeastWork{.bytes = 3 * bytes, .alu = kNarrow ? 2.0 : 6.0},
                   over_limbs<Word, 3>(log_n, polys, false, [](const State& s) {
                     add(s[0], s[1], s[2], s.ring.limbs, s.ring.chain, s.ring.stream);
                   })});
  cases.push_back({"multiply" + size, "residue", residues_of_row, rows, 1,
                   with(product, {.bytes = 3 * bytes}),
                   over_limbs<Word, 3>(log_n, polys, false, [](const State& s) {
                     multiply(s[0], s[1], s[2], s.ring.limbs, s.ring.chain, s.ring.stream);
                   })});
  cases.push_back({"multiply_accumulate" + size, "residue", residues_of_row, rows, 1,
                   with(product, {.bytes = 4 * bytes, .alu = 2}),
                   over_limbs<Word, 3>(log_n, polys, false, [](const State& s) {
                     multiply_accumulate(s[0], s[1], s[2], s.ring.limbs, s.ring.chain,
                                         s.ring.stream);
                   })});
  cases.push_back({"subtract" + size, "residue", residues_of_row, rows, 1,
                   LeastWork{.bytes = 3 * bytes, .alu = kNarrow ? 2.0 : 6.0},
                   over_limbs<Word, 3>(log_n, polys, false, [](const State& s) {
                     subtract(s[0], s[1], s[2], s.ring.limbs, s.ring.chain, s.ring.stream);
                   })});
  cases.push_back({"negate" + size, "residue", residues_of_row, rows, 1,
                   LeastWork{.bytes = 2 * bytes, .alu = kNarrow ? 2.0 : 6.0},
                   over_limbs<Word, 2>(log_n, {2, 2}, false, [](const RingState<Word, 2>& s) {
                     negate(s[0], s[1], s.ring.limbs, s.ring.chain, s.ring.stream);
                   })});
  cases.push_back({"multiply_factors" + size, "residue", residues_of_row, rows, 1,
                   with(least_of_product(kNarrow), {.bytes = 2 * bytes, .alu = 2}),
                   over_limbs<Word, 2>(log_n, {2, 2}, false, [](const RingState<Word, 2>& s) {
                     multiply_factors(s[0], s.ring.factors.span(), s[1], s.ring.limbs, s.ring.chain,
                                      s.ring.stream);
                   })});
  cases.push_back({"multiply_factors_accumulate" + size, "residue", residues_of_row, rows, 1,
                   with(least_of_product(kNarrow), {.bytes = 3 * bytes, .alu = 4}),
                   over_limbs<Word, 2>(log_n, {2, 2}, false, [](const RingState<Word, 2>& s) {
                     multiply_factors_accumulate(s[0], s.ring.factors.span(), s[1], s.ring.limbs,
                                                 s.ring.chain, s.ring.stream);
                   })});
  cases.push_back({"add_constants" + size, "residue", residues_of_row, rows, 1,
                   LeastWork{.bytes = 2 * bytes, .alu = kNarrow ? 2.0 : 6.0},
                   [=](std::int64_t count, const Stream& stream) -> Operation {
                     const auto state = std::make_shared<RingState<Word, 2>>(
                         log_n, count, std::array<std::int64_t, 2>{2, 2}, false, stream);
                     const std::vector<Word> ones(static_cast<std::size_t>(count), Word{1});
                     const auto constants =
                         std::make_shared<Buffer<Word>>(resident(Span<const Word>(ones), stream));
                     return [=] {
                       const RingState<Word, 2>& x = *state;
                       add_constants(x[0], constants->span(), x[1], x.ring.limbs, x.ring.chain,
                                     x.ring.stream);
                     };
                   }});
  cases.push_back({"copy_limbs" + size, "residue", residues_of_row, rows, 1,
                   LeastWork{.bytes = 2 * bytes},
                   over_limbs<Word, 2>(log_n, {2, 2}, false, [](const RingState<Word, 2>& s) {
                     copy_limbs<Word>(s[0], s[1], s.ring.stream);
                   })});
  constexpr std::int64_t kGaloisElement = 125;
  // Two rows: four limbs, which a thread takes at a time.
  cases.push_back({"automorphism_ntt" + size, "residue", residues_of_row, rows, 2,
                   LeastWork{.bytes = 2 * bytes},
                   over_limbs<Word, 2>(log_n, {2, 2}, false, [](const RingState<Word, 2>& s) {
                     automorphism_ntt<Word>(s[0], s[1], kGaloisElement, s.ring.stream);
                   })});
  cases.push_back({"automorphism_coefficient" + size, "residue", residues_of_row, rows, 2,
                   LeastWork{.bytes = 2 * bytes, .alu = 2},
                   over_limbs<Word, 2>(log_n, {2, 2}, false, [](const RingState<Word, 2>& s) {
                     automorphism_coefficient(s[0], s[1], kGaloisElement, s.ring.limbs,
                                              s.ring.chain, s.ring.stream);
                   })});
}

/// Coefficients of all limbs by a thread each: what decoding, BFV's scaling and sums under
/// encryption do. A row is a limb; there are as many under the emulation.
template <typename Prepare>
KernelCase of_all_limbs(const std::string& name, std::int64_t limbs, Prepare prepare) {
  static constexpr int kLogN = 13;
  using State = RingState<std::uint32_t, 1>;
  return {name + "/limbs:" + std::to_string(limbs) + "/log_n:" + std::to_string(kLogN),
          "residue",
          std::int64_t{1} << kLogN,
          limbs,
          limbs,
          std::nullopt,
          [prepare](std::int64_t rows, const Stream& stream) -> Operation {
            const auto state =
                std::make_shared<State>(kLogN, rows, std::array<std::int64_t, 1>{1}, false, stream);
            return prepare(state, stream);
          }};
}

void add_sums_of_limbs(std::vector<KernelCase>& cases) {
  using Ring = std::shared_ptr<RingState<std::uint32_t, 1>>;
  cases.push_back(
      of_all_limbs("residues_to_doubles", 4, [](const Ring& s, const Stream& stream) -> Operation {
        const auto radix = std::make_shared<MixedRadix>(s->ring.chain, s->ring.limbs, stream);
        const auto high = std::make_shared<Buffer<double>>(s->ring.degree, stream);
        const auto low = std::make_shared<Buffer<double>>(s->ring.degree, stream);
        return [=] { residues_to_doubles((*s)[0], high->span(), low->span(), *radix, stream); };
      }));
  static constexpr std::uint64_t kT = 65'537;
  cases.push_back(
      of_all_limbs("multiply_by_ratio", 8, [](const Ring& s, const Stream& stream) -> Operation {
        const auto ratio = std::make_shared<ModulusRatio>(s->ring.chain, s->ring.limbs, kT, stream);
        std::vector<std::int64_t> host;
        for (std::int64_t i = 0; i < s->ring.degree; ++i) host.push_back(i * 7919 % 65'537);
        const auto numbers = std::make_shared<Buffer<std::int64_t>>(
            resident(Span<const std::int64_t>(host), stream));
        return [=] { multiply_by_ratio(numbers->span(), (*s)[0], *ratio, stream); };
      }));
  cases.push_back(
      of_all_limbs("divide_by_ratio", 8, [](const Ring& s, const Stream& stream) -> Operation {
        const auto ratio = std::make_shared<ModulusRatio>(s->ring.chain, s->ring.limbs, kT, stream);
        const auto numbers = std::make_shared<Buffer<std::int64_t>>(s->ring.degree, stream);
        return [=] { divide_by_ratio((*s)[0], numbers->span(), *ratio, stream); };
      }));
  // Digits of 20 bits: fractions of 4, 8 and 16 words.
  for (const auto& [limbs, digits] : {std::pair{4, 3}, {8, 9}, {16, 20}}) {
    const auto with_digits = [digits = digits](auto run) {
      return [=](const Ring& s, const Stream& stream) -> Operation {
        const std::uint32_t base = 1u << 20;
        const auto packing =
            std::make_shared<DigitPacking>(s->ring.chain, s->ring.limbs, base, digits, stream);
        const std::vector<std::int32_t> host(static_cast<std::size_t>(s->ring.degree * digits), 7);
        const auto values = std::make_shared<Buffer<std::int32_t>>(
            resident(Span<const std::int32_t>(host), stream));
        const auto deviations = std::make_shared<Buffer<std::int32_t>>(s->ring.degree, stream);
        return [=] { run(*s, values->span(), deviations->span(), *packing, stream); };
      };
    };
    const std::string suffix = "/digits:" + std::to_string(digits);
    if (limbs == 4) {
      cases.push_back(of_all_limbs("pack_digits" + suffix, limbs,
                                   with_digits([](const auto& s, Span<const std::int32_t> values,
                                                  auto, const auto& packing, const Stream& stream) {
                                     pack_digits_accumulate(values, s.ring.degree, 0, 0, s[0],
                                                            packing, stream);
                                   })));
    }
    cases.push_back(of_all_limbs("unpack_digits" + suffix, limbs,
                                 with_digits([](const auto& s, auto values, auto deviations,
                                                const auto& packing, const Stream& stream) {
                                   unpack_digits(s[0], s.ring.degree, 0, 0, values, deviations,
                                                 packing, stream);
                                 })));
  }
}

// ---- Gradients ----

constexpr ClippingBound kBound{1.0, 1e-12};

template <typename T>
std::string type_name() {
  return sizeof(T) == 4 ? "/float" : "/double";
}

/// Gradients of 256 samples; a row is 1024 parameters of each.
template <typename T>
void add_clipping(std::vector<KernelCase>& cases) {
  constexpr std::int64_t kBatch = 256;
  constexpr std::int64_t kCols = 1024;
  struct State {
    State(std::int64_t params, const Stream& stream_)
        : stream(stream_),
          grads(gaussian_values<T>(kBatch * params, stream)),
          norms(resident(Span<const double>(std::vector<double>(kBatch, 2.0)), stream)),
          out(params, stream) {}
    MatrixView<const T> view() const { return {grads.data(), kBatch, out.size()}; }
    Stream stream;
    Buffer<T> grads;
    Buffer<double> norms;
    Buffer<T> out;
  };
  const LeastWork least{.bytes = sizeof(T), .fp64 = 1};
  cases.push_back({"clip_and_sum" + type_name<T>(), "gradient element", kBatch * kCols, 256, 4,
                   least, [](std::int64_t rows, const Stream& stream) -> Operation {
                     const auto s = std::make_shared<State>(rows * kCols, stream);
                     return [s] {
                       clip_and_sum(s->view(), s->norms.span(), kBound, s->out.span(), s->stream);
                     };
                   }});
  cases.push_back({"clip_sum_noise_scale" + type_name<T>(), "gradient element", kBatch * kCols, 256,
                   4, least, [](std::int64_t rows, const Stream& stream) -> Operation {
                     const auto s = std::make_shared<State>(rows * kCols, stream);
                     return [s] {
                       clip_sum_noise_scale(s->view(), s->norms.span(), kBound, Span<const T>(),
                                            1.0, 256.0, kKey, kPosition, s->out.span(), s->stream);
                     };
                   }});
  if constexpr (sizeof(T) == sizeof(float)) {
    // Micro-batches, whose sum is double until the last.
    struct Sums : State {
      Sums(std::int64_t params, const Stream& stream_)
          : State(params, stream_), sum(params, stream_) {
        const std::vector<double> zeros(static_cast<std::size_t>(params));
        copy(Span<const double>(zeros), sum.span(), stream_);
        synchronize(stream_);
      }
      Buffer<double> sum;
    };
    cases.push_back({"clip_and_sum/float_to_double", "gradient element", kBatch * kCols, 256, 4,
                     least, [](std::int64_t rows, const Stream& stream) -> Operation {
                       const auto s = std::make_shared<Sums>(rows * kCols, stream);
                       return [s] {
                         clip_and_sum(s->view(), s->norms.span(), kBound, s->sum.span(), s->stream);
                       };
                     }});
    cases.push_back({"clip_sum_noise_scale/float_to_double", "gradient element", kBatch * kCols,
                     256, 4, least, [](std::int64_t rows, const Stream& stream) -> Operation {
                       const auto s = std::make_shared<Sums>(rows * kCols, stream);
                       return [s] {
                         clip_sum_noise_scale(s->view(), s->norms.span(), kBound,
                                              Span<const double>(s->sum.span()), 1.0, 256.0, kKey,
                                              kPosition, s->out.span(), s->stream);
                       };
                     }});
  }
  cases.push_back(
      {"clip_factors" + type_name<T>(), "sample", 1024, 256, 4, LeastWork{.bytes = 8 + sizeof(T)},
       [](std::int64_t rows, const Stream& stream) -> Operation {
         const std::vector<double> host(static_cast<std::size_t>(rows) * 1024, 2.0);
         const auto norms =
             std::make_shared<Buffer<double>>(resident(Span<const double>(host), stream));
         const auto out = std::make_shared<Buffer<T>>(norms->size(), stream);
         return [=] { clip_factors(norms->span(), kBound, out->span(), stream); };
       }});
}

/// A row is a sample.
template <typename T>
KernelCase squared_norms(std::int64_t params, std::int64_t rows, std::int64_t emulated_rows) {
  struct State {
    State(std::int64_t samples, std::int64_t cols, const Stream& stream_)
        : stream(stream_),
          grads(gaussian_values<T>(samples * cols, stream)),
          norms(samples, stream) {}
    Stream stream;
    Buffer<T> grads;
    Buffer<double> norms;
  };
  return {"per_sample_squared_norms" + type_name<T>() + "/params:" + std::to_string(params),
          "gradient element",
          params,
          rows,
          emulated_rows,
          LeastWork{.bytes = sizeof(T), .fp64 = 1},
          [=](std::int64_t count, const Stream& stream) -> Operation {
            const auto s = std::make_shared<State>(count, params, stream);
            return [=] {
              per_sample_squared_norms(MatrixView<const T>(s->grads.data(), count, params),
                                       s->norms.span(), s->stream);
            };
          }};
}

/// Operands of a product whose norms are wanted; what is between is the operation's workspace.
template <typename T>
struct ProductState {
  ProductState(std::int64_t inputs, std::int64_t outputs, std::int64_t batch,
               std::int64_t workspace_size, const Stream& stream_)
      : stream(stream_),
        input(gaussian_values<T>(inputs, stream)),
        grads(gaussian_values<T>(outputs, stream)),
        norms(batch, stream),
        workspace(workspace_size, stream) {}
  Stream stream;
  Buffer<T> input;
  Buffer<T> grads;
  Buffer<double> norms;
  Buffer<double> workspace;
};

/// A row is a sample of a layer of a small transformer.
template <typename T = float>
KernelCase linear_norms(LinearNormForm form, const std::string& name, std::int64_t inputs = 256,
                        std::int64_t outputs = 256) {
  constexpr bool kDouble = sizeof(T) == 8;
  constexpr std::int64_t kSteps = 128;
  const bool tile = form == LinearNormForm::kTile;
  const std::int64_t products =
      tile ? kSteps * inputs * outputs : kSteps * (kSteps + 1) / 2 * (inputs + outputs);
  LeastWork least{.bytes = sizeof(T) * static_cast<double>(kSteps * (inputs + outputs)) /
                           static_cast<double>(products)};
  if (tile && !kDouble) {
    least.fp32 = 1;
  } else {
    least.dmma = 1.0 / 32;
  }
  return {name + (kDouble ? "/double" : "") + "/steps:128/inputs:" + std::to_string(inputs) +
              "/outputs:" + std::to_string(outputs),
          "multiply-add",
          products,
          512,
          1,
          least,
          [=](std::int64_t rows, const Stream& stream) -> Operation {
            const auto s = std::make_shared<ProductState<T>>(
                rows * kSteps * inputs, rows * kSteps * outputs, rows,
                linear_squared_norms_workspace_size(form, rows, kSteps, inputs, outputs, stream),
                stream);
            return [=] {
              linear_squared_norms(form,
                                   SequenceView<const T>(s->input.data(), rows, kSteps, inputs),
                                   SequenceView<const T>(s->grads.data(), rows, kSteps, outputs),
                                   s->norms.span(), s->workspace.span(), s->stream);
            };
          }};
}

struct ConvLayer {
  std::int64_t channels_in;
  std::int64_t channels_out;
  std::int64_t side;  // of its images
  std::int64_t kernel;
  std::int64_t stride;
  std::int64_t padding;
  std::int64_t groups;
};

/// A row is a sample.
template <typename T = float>
KernelCase conv_norms(const std::string& name, const ConvLayer& layer) {
  constexpr bool kDouble = sizeof(T) == 8;
  const std::int64_t in = layer.channels_in;
  const std::int64_t out = layer.channels_out;
  const std::int64_t in_side = layer.side;
  const std::int64_t out_side = (in_side + 2 * layer.padding - layer.kernel) / layer.stride + 1;
  const std::int64_t elements = in * in_side * in_side + out * out_side * out_side;
  const std::int64_t products =
      out_side * out_side * out * in / layer.groups * layer.kernel * layer.kernel;
  LeastWork least{.bytes =
                      sizeof(T) * static_cast<double>(elements) / static_cast<double>(products)};
  (kDouble ? least.fp64 : least.fp32) = 1;
  return {name + (kDouble ? "/double" : ""),
          "multiply-add",
          products,
          256,
          1,
          least,
          [=](std::int64_t rows, const Stream& stream) -> Operation {
            const ConvolutionGeometry geometry{.kernel = {1, layer.kernel, layer.kernel},
                                               .stride = {1, layer.stride, layer.stride},
                                               .padding = {0, layer.padding, layer.padding},
                                               .groups = layer.groups};
            const auto s = std::make_shared<ProductState<T>>(
                rows * in * in_side * in_side, rows * out * out_side * out_side, rows,
                conv_squared_norms_workspace_size(rows, in, out, geometry, stream), stream);
            const auto images = [=](const Buffer<T>& memory, std::int64_t channels,
                                    std::int64_t side) {
              return ImageView<const T>{memory.data(),
                                        rows,
                                        channels,
                                        {1, side, side},
                                        channels * side * side,
                                        side * side,
                                        {side * side, side, 1}};
            };
            return [=] {
              conv_squared_norms(images(s->input, in, in_side), images(s->grads, out, out_side),
                                 geometry, s->norms.span(), s->workspace.span(), s->stream);
            };
          }};
}

/// Images of 16 x 16, kernels of 3 x 3.
template <typename T = float>
KernelCase conv_norms(const std::string& name, std::int64_t groups, std::int64_t channels = 64) {
  return conv_norms<T>(name, {channels, channels, 16, 3, 1, 1, groups});
}

/// The same with tiles of multiply-adds, whatever the device takes.
KernelCase by_multiply_adds(KernelCase of) {
  of.name += "/multiply_adds";
  of.prepare = [prepare = of.prepare](std::int64_t rows, const Stream& stream) -> Operation {
    const Operation operation = prepare(rows, stream);
    return [=] {
      const ProductTilesGuard guard(ProductTiles::kMultiplyAdds);
      operation();
    };
  };
  return of;
}

/// A row is a sample of 128 lookups, 256 wide, in a table of 10 000: some words are frequent.
template <typename T>
void add_segments(std::vector<KernelCase>& cases) {
  constexpr std::int64_t kSteps = 128;
  constexpr std::int64_t kWidth = 256;
  constexpr std::int64_t kTable = 10'000;
  struct State {
    State(std::int64_t batch_, const Stream& stream_)
        : stream(stream_),
          batch(batch_),
          grads(gaussian_values<T>(batch * kSteps * kWidth, stream)),
          indices(batch * kSteps, stream),
          samples(batch * kSteps, stream) {
      std::vector<std::int64_t> words;
      std::vector<std::int64_t> owners;
      for (std::int64_t r = 0; r < batch * kSteps; ++r) {
        const std::int64_t uniform = r * 7919 % kTable;
        words.push_back(uniform * uniform / kTable);
        owners.push_back(r / kSteps);
      }
      copy(Span<const std::int64_t>(words), indices.span(), stream);
      copy(Span<const std::int64_t>(owners), samples.span(), stream);
      synchronize(stream);
    }
    LookedUpRows<T> view() const {
      return {MatrixView<const T>(grads.data(), batch * kSteps, kWidth),
              indices.span(),
              samples.span(),
              batch,
              kTable,
              -1};
    }
    Stream stream;
    std::int64_t batch;
    Buffer<T> grads;
    Buffer<std::int64_t> indices;
    Buffer<std::int64_t> samples;
  };
  const LeastWork least{.bytes = sizeof(T), .fp64 = 1};
  const std::string type = sizeof(T) == 8 ? "/double" : "";
  cases.push_back(
      {"segment_squared_norms/width:256" + type, "gradient element", kSteps * kWidth, 64, 64, least,
       [](std::int64_t rows, const Stream& stream) -> Operation {
         const auto s = std::make_shared<State>(rows, stream);
         const auto norms = std::make_shared<Buffer<double>>(rows, stream);
         const auto workspace = std::make_shared<Buffer<std::uint8_t>>(
             segment_squared_norms_workspace_size(rows * kSteps, kWidth, rows, kTable, stream),
             stream);
         return
             [=] { segment_squared_norms(s->view(), norms->span(), workspace->span(), s->stream); };
       }});
  // The whole table is written, whatever is looked up: no work of an element.
  cases.push_back(
      {"segment_weighted_sum/width:256" + type, "gradient element", kSteps * kWidth, 64, 64,
       std::nullopt, [](std::int64_t rows, const Stream& stream) -> Operation {
         const auto s = std::make_shared<State>(rows, stream);
         const std::vector<double> halves(static_cast<std::size_t>(rows), 0.5);
         const auto factors =
             std::make_shared<Buffer<double>>(resident(Span<const double>(halves), stream));
         const auto out = std::make_shared<Buffer<T>>(kTable * kWidth, stream);
         const auto workspace = std::make_shared<Buffer<std::uint8_t>>(
             segment_weighted_sum_workspace_size(rows * kSteps, kWidth, kTable, stream), stream);
         return [=] {
           segment_weighted_sum(s->view(), factors->span(),
                                MatrixView<T>(out->data(), kTable, kWidth), workspace->span(),
                                s->stream);
         };
       }});
}

/// The case, and what other devices take for it.
void add_with_multiply_adds(std::vector<KernelCase>& cases, const KernelCase& one) {
  cases.push_back(one);
  cases.push_back(by_multiply_adds(one));
}

void add_linear_norms(std::vector<KernelCase>& cases) {
  constexpr auto kTile = LinearNormForm::kTile;
  constexpr auto kGram = LinearNormForm::kGram;
  const std::string tile = "linear_squared_norms_tile";
  const std::string gram = "linear_squared_norms_gram";
  // Widths that vectors divide and others; many outputs, and few.
  for (const std::int64_t width : {256, 255}) {
    add_with_multiply_adds(cases, linear_norms(kTile, tile, width, width));
    add_with_multiply_adds(cases, linear_norms<double>(kTile, tile, width, width));
    cases.push_back(linear_norms(kGram, gram, width, width));
    cases.push_back(linear_norms<double>(kGram, gram, width, width));
  }
  for (const auto& [inputs, outputs] : {std::pair{256, 10}, {256, 12}, {256, 8}, {255, 8}}) {
    add_with_multiply_adds(cases, linear_norms(kTile, tile, inputs, outputs));
    add_with_multiply_adds(cases, linear_norms<double>(kTile, tile, inputs, outputs));
  }
}

void add_conv_norms(std::vector<KernelCase>& cases) {
  const std::string name = "conv_squared_norms/channels:";
  add_with_multiply_adds(cases, conv_norms(name + "64", 1));
  add_with_multiply_adds(cases, conv_norms<double>(name + "64", 1));
  cases.push_back(conv_norms("conv_squared_norms/depthwise:64", 64));
  cases.push_back(conv_norms<double>("conv_squared_norms/depthwise:64", 64));
  // Images that shared memory does not hold.
  const ConvLayer large{8, 8, 128, 3, 1, 1, 8};
  cases.push_back(conv_norms("conv_squared_norms/depthwise:8/side:128", large));
  cases.push_back(conv_norms<double>("conv_squared_norms/depthwise:8/side:128", large));
  // Few outputs.
  add_with_multiply_adds(cases, conv_norms(name + "8", 1, 8));
  add_with_multiply_adds(cases, conv_norms<double>(name + "8", 1, 8));
  cases.push_back(conv_norms<double>(name + "16", 1, 16));
  // The layers of a small network for images of 28 x 28, and a first one for 32 x 32.
  cases.push_back(conv_norms(name + "1-16/side:28/kernel:8/stride:2", {1, 16, 28, 8, 2, 3, 1}));
  cases.push_back(conv_norms(name + "16-32/side:13/kernel:4/stride:2", {16, 32, 13, 4, 2, 0, 1}));
  cases.push_back(conv_norms(name + "3-16/side:32/kernel:3", {3, 16, 32, 3, 1, 1, 1}));
  // In bands of rows, with rows of odd length, and late layers.
  cases.push_back(conv_norms(name + "8/side:64", {8, 8, 64, 3, 1, 1, 1}));
  cases.push_back(conv_norms(name + "8/side:15", {8, 8, 15, 3, 1, 1, 1}));
  for (const std::int64_t outputs : {8, 16, 32}) {
    const std::string late = name + "8-" + std::to_string(outputs) + "/side:";
    cases.push_back(conv_norms(late + "8", {8, outputs, 8, 3, 1, 1, 1}));
    cases.push_back(conv_norms<double>(late + "8", {8, outputs, 8, 3, 1, 1, 1}));
    cases.push_back(conv_norms(late + "7", {8, outputs, 7, 3, 1, 1, 1}));
  }
}

// ---- Random numbers ----

/// A row is 4096 draws, element by element independent of its neighbours.
constexpr std::int64_t kDraws = 4096;

/// ChaCha20 for `bytes`: 80 quarter rounds of four exclusive ors, four rotations and four sums, and
/// 16 sums, for 64 bytes. The multiplier can take sums.
LeastWork keystream(double bytes) {
  return {.multiply = 336 * bytes / 64, .alu = 640 * bytes / 64};
}

/// `fill(span, stream)` on the memory of a row or more.
template <typename T, typename Fill>
KernelCase draws(const std::string& name, std::int64_t rows, std::int64_t emulated_rows,
                 const std::optional<LeastWork>& least, Fill fill) {
  return {name,
          "draw",
          kDraws,
          rows,
          emulated_rows,
          least,
          [fill](std::int64_t count, const Stream& stream) -> Operation {
            const std::vector<T> zeros(static_cast<std::size_t>(count * kDraws));
            const auto out = std::make_shared<Buffer<T>>(resident(Span<const T>(zeros), stream));
            return [out, fill, stream] { fill(out->span(), stream); };
          }};
}

/// A row is a limb of two polynomials of 2^14.
template <typename Word>
KernelCase residues_case(std::int64_t rows) {
  constexpr int kLogN = 14;
  const bool narrow = kWordBytes<Word> == 4;
  return {"uniform_residues_fill" + word_name(kWordBytes<Word>),
          "residue",
          std::int64_t{2} << kLogN,
          rows,
          1,
          with(keystream(narrow ? 12 : 16),
               {.bytes = static_cast<double>(kWordBytes<Word>), .wide = narrow ? 3.0 : 8.0}),
          over_limbs<Word, 1>(kLogN, {2}, false, [](const RingState<Word, 1>& s) {
            uniform_residues_fill(s[0], s.ring.limbs, s.ring.chain, kKey, kPosition, s.ring.stream);
          })};
}

/// Integers to the residues of a chain: a row is a limb of 2^16 of them.
template <typename Word, typename Integer, typename Convert>
KernelCase to_residues(const std::string& name, std::int64_t rows, Convert convert) {
  static constexpr int kLogN = 16;
  const double read = sizeof(Integer) / static_cast<double>(rows);  // for every limb of an integer
  return {name + word_name(kWordBytes<Word>),
          "residue",
          std::int64_t{1} << kLogN,
          rows,
          rows,  // a thread has all limbs of its coefficients
          LeastWork{.bytes = static_cast<double>(kWordBytes<Word>) + read},
          [convert](std::int64_t count, const Stream& stream) -> Operation {
            const auto state = std::make_shared<RingState<Word, 1>>(
                kLogN, count, std::array<std::int64_t, 1>{1}, false, stream);
            std::vector<Integer> host;
            for (std::int64_t i = 0; i < state->ring.degree; ++i) {
              host.push_back(static_cast<Integer>(i * 7919 % 101 - 50));
            }
            const auto in =
                std::make_shared<Buffer<Integer>>(resident(Span<const Integer>(host), stream));
            return [=] { convert(Span<const Integer>(in->span()), *state); };
          }};
}

template <typename Word>
void add_conversions(std::vector<KernelCase>& cases, std::int64_t rows) {
  using State = RingState<Word, 1>;
  const auto small = [](const auto& in, const State& s) {
    small_to_residues(in, s[0], s.ring.limbs, s.ring.chain, s.ring.stream);
  };
  const auto large = [](const auto& in, const State& s) {
    integers_to_residues(in, s[0], s.ring.limbs, s.ring.chain, s.ring.stream);
  };
  cases.push_back(to_residues<Word, std::int8_t>("small_to_residues/bits:8", rows, small));
  cases.push_back(to_residues<Word, std::int32_t>("small_to_residues/bits:32", rows, small));
  cases.push_back(to_residues<Word, std::int64_t>("small_to_residues/bits:64", rows, small));
  cases.push_back(to_residues<Word, std::int64_t>("integers_to_residues/bits:64", rows, large));
  cases.push_back(to_residues<Word, Int128>("integers_to_residues/bits:128", rows, large));
}

void add_random(std::vector<KernelCase>& cases) {
  cases.push_back(draws<std::uint32_t>(
      "keystream_fill", 4096, 16, with(keystream(4), {.bytes = 4}),
      [](Span<std::uint32_t> out, const Stream& stream) {
        keystream_fill(chacha20_state({1, 2, 3, 4, 5, 6, 7, 8}, 0, {9, 10, 11}), 0, out, stream);
      }));
  cases.push_back(draws<std::uint64_t>("uniform_bits_fill", 4096, 16,
                                       with(keystream(8), {.bytes = 8}),
                                       [](Span<std::uint64_t> out, const Stream& stream) {
                                         uniform_bits_fill(out, kKey, kPosition, 0, stream);
                                       }));
  cases.push_back(draws<std::uint64_t>(
      "uniform_integers_fill", 4096, 8, with(keystream(16), {.bytes = 8, .wide = 8}),
      [](Span<std::uint64_t> out, const Stream& stream) {
        uniform_integers_fill(1'000'003, out, kKey, kPosition, 0, stream);
      }));
  // The map's operations in gaussian_map-inl.h, with eight for a quotient and seven for a root.
  const LeastWork float_map{.alu = 10, .fp32 = 16};
  const LeastWork double_map{.alu = 12, .fp64 = 25};
  cases.push_back(draws<float>(
      "gaussian_fill/float", 4096, 8, with(with(keystream(8), float_map), {.bytes = 4}),
      [](Span<float> out, const Stream& stream) { gaussian_fill(out, kKey, kPosition, stream); }));
  cases.push_back(draws<double>(
      "gaussian_fill/double", 4096, 8, with(with(keystream(8), double_map), {.bytes = 8}),
      [](Span<double> out, const Stream& stream) { gaussian_fill(out, kKey, kPosition, stream); }));
  cases.push_back(draws<float>("add_gaussian_noise/float", 4096, 8,
                               with(with(keystream(8), double_map), {.bytes = 8, .fp64 = 10}),
                               [](Span<float> out, const Stream& stream) {
                                 add_gaussian_noise(out, 1.0, 256.0, kKey, kPosition, stream);
                               }));
  cases.push_back(draws<double>("add_gaussian_noise/double", 4096, 8,
                                with(with(keystream(8), double_map), {.bytes = 16, .fp64 = 10}),
                                [](Span<double> out, const Stream& stream) {
                                  add_gaussian_noise(out, 1.0, 256.0, kKey, kPosition, stream);
                                }));
  cases.push_back({"add_gaussian_noise/double_to_float", "draw", kDraws, 4096, 8,
                   with(with(keystream(8), double_map), {.bytes = 12, .fp64 = 10}),
                   [](std::int64_t rows, const Stream& stream) -> Operation {
                     const std::vector<double> zeros(static_cast<std::size_t>(rows * kDraws));
                     const auto sum = std::make_shared<Buffer<double>>(
                         resident(Span<const double>(zeros), stream));
                     const auto out = std::make_shared<Buffer<float>>(rows * kDraws, stream);
                     return [=] {
                       add_gaussian_noise(Span<const double>(sum->span()), 1.0, 256.0, kKey,
                                          kPosition, out->span(), stream);
                     };
                   }});
  // A selection of one in 256.
  cases.push_back({"poisson_select", "record", kDraws, 4096, 16, with(keystream(8), {}),
                   [](std::int64_t rows, const Stream& stream) -> Operation {
                     const std::int64_t population = rows * kDraws;
                     const auto indices =
                         std::make_shared<Buffer<std::int64_t>>(population, stream);
                     const auto count = std::make_shared<Buffer<std::int64_t>>(1, stream);
                     const auto workspace = std::make_shared<Buffer<std::uint8_t>>(
                         poisson_select_workspace_size(population, stream), stream);
                     return [=] {
                       poisson_select(population, 0x1p-8, kKey, kPosition, indices->span(),
                                      count->span(), workspace->span(), stream);
                     };
                   }});
  cases.push_back(residues_case<std::uint32_t>(72));
  cases.push_back(residues_case<std::uint64_t>(36));
  cases.push_back(draws<std::int8_t>("ternary_fill", 1024, 8, with(keystream(8), {.bytes = 1}),
                                     [](Span<std::int8_t> out, const Stream& stream) {
                                       ternary_fill(out, kKey, kPosition, stream);
                                     }));
  // 41 thresholds of four words: a chain of borrows and a count for each.
  cases.push_back(draws<std::int8_t>("discrete_gaussian_fill", 1024, 4,
                                     with(keystream(16), {.bytes = 1, .alu = 41 * 5}),
                                     [](Span<std::int8_t> out, const Stream& stream) {
                                       discrete_gaussian_fill(out, kKey, kPosition, stream);
                                     }));
  cases.push_back(draws<std::int8_t>("fixed_weight_ternary_fill", 16, 4, std::nullopt,
                                     [](Span<std::int8_t> out, const Stream& stream) {
                                       fixed_weight_ternary_fill_insecure(192, out, kKey, kPosition,
                                                                          stream);
                                     }));
  // Samplers by rejection: how much they must do is not known.
  const ExactVariance variance{3 * (std::uint64_t{1} << 20) + 1, 3};
  cases.push_back(
      draws<std::int64_t>("exact_discrete_gaussian_fill/log2_variance:20", 1024, 1, std::nullopt,
                          [=](Span<std::int64_t> out, const Stream& stream) {
                            exact_discrete_gaussian_fill(out, variance, kKey, kPosition, 0, stream);
                          }));
  cases.push_back(draws<std::int64_t>("skellam_fill/log2_variance:20", 1024, 1, std::nullopt,
                                      [=](Span<std::int64_t> out, const Stream& stream) {
                                        skellam_fill(out, variance, kKey, kPosition, 0, stream);
                                      }));
}

}  // namespace

std::vector<KernelCase> kernel_cases() {
  std::vector<KernelCase> cases;
  // A ciphertext's two polynomials over the primes of log(QP) = 1080 ..
  constexpr std::int64_t kLimbs = 36;
  constexpr std::int64_t kWideLimbs = 18;
  for (int log_n = 12; log_n <= 16; ++log_n) {
    add_transforms<std::uint32_t>(cases, log_n, 2, kLimbs, 1);
    add_transforms<std::uint64_t>(cases, log_n, 2, kWideLimbs, 1);
  }
  // .. and many of them, each limb in the shared memory of one block.
  for (const int log_n : {12, 13, 14, 15}) {
    add_transforms<std::uint32_t>(cases, log_n, 66, kLimbs, 2);
  }
  // The largest ring.
  add_transforms<std::uint32_t>(cases, 17, 2, kLimbs, 1);
  add_transforms<std::uint64_t>(cases, 17, 2, kWideLimbs, 1);
  // Rings of one block's stages: no encryption has them, tests have.
  add_transforms<std::uint32_t>(cases, 9, 66, kLimbs, 2);
  add_transforms<std::uint64_t>(cases, 9, 66, kWideLimbs, 2);
  for (const int log_n : {9, 16, 17}) {
    add_fused_transforms<std::uint32_t>(cases, log_n, kLimbs);
    add_fused_transforms<std::uint64_t>(cases, log_n, kWideLimbs);
  }
  cases.push_back(base_conversion<std::uint32_t>("mod_up", 12, 36, 1, Correction::kNone));
  cases.push_back(base_conversion<std::uint32_t>("mod_down", 12, 36, 2, Correction::kCentred));
  cases.push_back(base_conversion<std::uint64_t>("mod_up", 6, 18, 1, Correction::kNone));
  cases.push_back(base_conversion<std::uint64_t>("mod_down", 6, 18, 2, Correction::kCentred));
  cases.push_back(inner_product_of_digits<std::uint32_t>(16, 48));
  cases.push_back(inner_product_of_digits<std::uint64_t>(16, 24));
  add_elementwise<std::uint32_t>(cases, 16, kLimbs);
  add_elementwise<std::uint64_t>(cases, 16, kWideLimbs);
  add_conversions<std::uint32_t>(cases, kLimbs);
  add_conversions<std::uint64_t>(cases, kWideLimbs);
  add_sums_of_limbs(cases);
  add_clipping<float>(cases);
  add_clipping<double>(cases);
  cases.push_back(squared_norms<float>(262'144, 256, 1));
  cases.push_back(squared_norms<double>(262'144, 256, 1));
  cases.push_back(squared_norms<float>(1024, 65'536, 256));
  cases.push_back(squared_norms<double>(1024, 65'536, 256));
  add_linear_norms(cases);
  add_conv_norms(cases);
  add_segments<float>(cases);
  add_segments<double>(cases);
  add_random(cases);
  return cases;
}

}  // namespace velum::benchmarking
