#include "velum/kernels/polynomial/ntt_tables.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "polynomial/ntt_body.h"

namespace velum::kernels {
namespace {

template <typename Word>
Word power_mod(Word base, Word exponent, const Modulus<Word>& m) {  // base in [0, q)
  Word result = 1;
  for (; exponent != 0; exponent = static_cast<Word>(exponent >> 1)) {
    if ((exponent & 1) != 0) result = multiply_mod(result, base, m);
    base = multiply_mod(base, base, m);
  }
  return result;
}

/// The smallest primitive 2N-th root of unity modulo a prime that is 1 modulo 2N.
template <typename Word>
Word smallest_root(int log_n, const Modulus<Word>& m) {
  const Word q = m.value;
  const auto cofactor = static_cast<Word>((q - 1) >> (log_n + 1));
  // x^cofactor has order 2N exactly where x is no square: for half of all x.
  Word root = 0;
  for (Word x = 2;; ++x) {
    root = power_mod(x, cofactor, m);
    if (power_mod(root, static_cast<Word>(Word{1} << log_n), m) == q - 1) break;
  }
  // The others are its odd powers.
  const Word square = multiply_mod(root, root, m);
  Word smallest = root;
  for (std::int64_t i = 1; i < std::int64_t{1} << log_n; ++i) {
    root = multiply_mod(root, square, m);
    smallest = std::min(smallest, root);
  }
  return smallest;
}

std::int64_t reverse_bits(std::int64_t value, int bits) {
  std::int64_t reversed = 0;
  for (int bit = 0; bit < bits; ++bit) reversed |= ((value >> bit) & 1) << (bits - 1 - bit);
  return reversed;
}

/// The powers of `root` in the order of NttLayout.
template <typename Word>
void fill_table(int log_n, Word root, const Modulus<Word>& m, Word* table) {
  const std::int64_t n = std::int64_t{1} << log_n;
  std::vector<Word> powers(static_cast<std::size_t>(n));
  powers[0] = 1;
  for (std::size_t i = 1; i < powers.size(); ++i) powers[i] = multiply_mod(powers[i - 1], root, m);
  std::fill_n(table, 2, Word{0});  // there is no node 0
  for (int depth = 0; depth < log_n; ++depth) {
    for (std::int64_t k = std::int64_t{1} << depth; k < std::int64_t{2} << depth; ++k) {
      const Word value = powers[static_cast<std::size_t>(reverse_bits(k, log_n))];
      const ShoupFactor<Word> factor = shoup_factor(value, m);
      const NttLayout::Place place = NttLayout::place(log_n, depth, k);
      table[place.value] = factor.value;
      table[place.quotient] = factor.quotient;
    }
  }
}

template <typename Word>
const std::vector<Word>& checked_primes(int log_n, const std::vector<Word>& primes) {
  using Tables = NttTables<Word>;
  if (log_n < Tables::kMinLogN || log_n > Tables::kMaxLogN) {
    throw std::invalid_argument("NttTables: log_n = " + std::to_string(log_n) + ", expected " +
                                std::to_string(Tables::kMinLogN) + " to " +
                                std::to_string(Tables::kMaxLogN));
  }
  for (const Word prime : primes) {
    if (!is_prime(prime) || (prime - 1) % (Word{2} << log_n) != 0) {
      throw std::invalid_argument("NttTables: the modulus " + std::to_string(prime) +
                                  ", expected a prime that is 1 modulo " +
                                  std::to_string(Word{2} << log_n));
    }
  }
  return primes;
}

template <typename T>
void put(const std::vector<T>& from, const Buffer<T>& to, const Stream& stream) {
  copy(Span<const T>(from.data(), to.size()), to.span(), stream);
}

}  // namespace

template <typename Word>
NttTables<Word>::NttTables(int log_n, const std::vector<Word>& primes, const Stream& stream)
    : log_n_(log_n),
      moduli_(checked_primes(log_n, primes), stream),
      constants_(moduli_.size(), stream),
      forward_(moduli_.size() * NttLayout::table_words(log_n), stream),
      inverse_(moduli_.size() * NttLayout::table_words(log_n), stream) {
  const auto words = static_cast<std::size_t>(NttLayout::table_words(log_n));
  std::vector<NttConstants<Word>> constants;
  std::vector<Word> forward(primes.size() * words);
  std::vector<Word> inverse(primes.size() * words);
  for (int i = 0; i < moduli_.size(); ++i) {
    const Modulus<Word>& m = moduli_[i];
    const Word root = smallest_root(log_n, m);
    const Word inverse_root = power_mod(root, static_cast<Word>(m.value - 2), m);
    const auto degree = static_cast<Word>(Word{1} << log_n);
    const Word inverse_degree = power_mod(static_cast<Word>(degree % m.value), m.value - 2, m);
    const Word half = power_mod(inverse_root, static_cast<Word>(degree / 2), m);  // psi^(-N/2)
    roots_.push_back(root);
    constants.push_back({m, shoup_factor(inverse_degree, m),
                         shoup_factor(multiply_mod(inverse_degree, half, m), m)});
    const std::size_t offset = static_cast<std::size_t>(i) * words;
    fill_table(log_n, root, m, forward.data() + offset);
    fill_table(log_n, inverse_root, m, inverse.data() + offset);
  }
  put(constants, constants_, stream);
  put(forward, forward_, stream);
  put(inverse, inverse_, stream);
  synchronize(stream);
}

template class NttTables<std::uint32_t>;
template class NttTables<std::uint64_t>;

bool is_prime(std::uint64_t value) {
  constexpr std::uint64_t kBases[] = {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37};
  for (const std::uint64_t base : kBases) {
    if (value % base == 0) return value == base;
  }
  if (value < 2) return false;
  // No velum modulus: any 64-bit number is allowed here.
  using Wide = WideOf<std::uint64_t>;
  const auto multiply = [value](std::uint64_t a, std::uint64_t b) {
    return static_cast<std::uint64_t>(Wide{a} * b % value);
  };
  int twos = 0;
  std::uint64_t odd = value - 1;
  for (; odd % 2 == 0; odd /= 2) ++twos;
  for (const std::uint64_t base : kBases) {
    std::uint64_t x = 1;
    std::uint64_t power = base;
    for (std::uint64_t e = odd; e != 0; e >>= 1) {
      if (e % 2 != 0) x = multiply(x, power);
      power = multiply(power, power);
    }
    if (x == 1) continue;
    int squarings = 0;
    for (; x != value - 1 && squarings < twos - 1; ++squarings) x = multiply(x, x);
    if (x != value - 1) return false;
  }
  return true;
}

template <typename Word>
std::vector<Word> find_ntt_primes(int bits, int log_n, int count,
                                  const std::vector<Word>& excluded) {
  const auto check = [](const char* name, int value, int least, int most) {
    if (value < least || value > most) {
      throw std::invalid_argument(std::string("find_ntt_primes: ") + name + " = " +
                                  std::to_string(value) + ", expected " + std::to_string(least) +
                                  " to " + std::to_string(most));
    }
  };
  check("bits", bits, 3, WordTraits<Word>::kModulusBits);
  check("log_n", log_n, NttTables<Word>::kMinLogN, NttTables<Word>::kMaxLogN);
  check("count", count, 0, LimbIndices::kMaxLimbs);
  const Word step = static_cast<Word>(Word{2} << log_n);
  const Word end = static_cast<Word>(Word{1} << bits);
  const Word least = end / 2;
  std::vector<Word> primes;
  // 2^bits + 1 - step, and down: all 1 modulo step, as step divides 2^bits, or is above it.
  for (Word value = end + 1; value > least + step && static_cast<int>(primes.size()) < count;) {
    value = static_cast<Word>(value - step);
    if (std::find(excluded.begin(), excluded.end(), value) == excluded.end() && is_prime(value)) {
      primes.push_back(value);
    }
  }
  if (static_cast<int>(primes.size()) < count) {
    throw std::invalid_argument(
        "find_ntt_primes: count = " + std::to_string(count) + ", expected at most " +
        std::to_string(primes.size()) + ": of " + std::to_string(bits) +
        " bits there are no more primes that are 1 modulo " + std::to_string(step));
  }
  return primes;
}

template std::vector<std::uint32_t> find_ntt_primes(int, int, int,
                                                    const std::vector<std::uint32_t>&);
template std::vector<std::uint64_t> find_ntt_primes(int, int, int,
                                                    const std::vector<std::uint64_t>&);

}  // namespace velum::kernels
