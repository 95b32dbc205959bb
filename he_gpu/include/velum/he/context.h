#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "velum/he/parameters.h"
#include "velum/kernels/buffer.h"
#include "velum/kernels/polynomial/division.h"
#include "velum/kernels/polynomial/modulus_raise.h"
#include "velum/kernels/polynomial/ntt_tables.h"
#include "velum/kernels/polynomial/residues_to_doubles.h"
#include "velum/kernels/polynomial/rns_view.h"
#include "velum/kernels/stream.h"

namespace velum::he {

namespace bfv {
struct Tables;
}

using kernels::Backend;
using kernels::Buffer;
using kernels::LimbIndices;
using kernels::RnsView;
using kernels::Span;
using kernels::Stream;

/// The word of every residue: q < 2^30.
using Word = std::uint32_t;

/// Memory that operations take and give back, so that they do not ask the system for it each time.
/// Thread-safe; a buffer goes only to the queue that gave it back, so no operation still runs on
/// it. Never for secrets.
class Workspace {
 public:
  /// A buffer that goes back when it goes out of scope.
  class Lease {
   public:
    Lease(Workspace* owner, Buffer<Word> buffer, void* queue)
        : owner_(owner), buffer_(std::move(buffer)), queue_(queue) {}
    Lease(Lease&& other) noexcept
        : owner_(std::exchange(other.owner_, nullptr)),
          buffer_(std::move(other.buffer_)),
          queue_(other.queue_) {}
    Lease& operator=(Lease&&) = delete;
    ~Lease() {
      if (owner_ != nullptr) owner_->give_back(std::move(buffer_), queue_);
    }
    Word* data() const { return buffer_.data(); }
    /// At least what was asked for.
    std::int64_t size() const { return buffer_.size(); }

   private:
    Workspace* owner_;
    Buffer<Word> buffer_;
    void* queue_;
  };

  Lease take(std::int64_t words, const Stream& stream);

 private:
  void give_back(Buffer<Word> buffer, void* queue) noexcept;

  struct Free {
    Buffer<Word> buffer;
    void* queue;
  };
  std::mutex mutex_;
  std::vector<Free> free_;
};

/// Parameters with all tables that computing with them needs, in the memory of one backend.
/// Immutable and shared by threads; keys, plaintexts and ciphertexts refer to it.
class Context {
 public:
  /// @param stream  whose backend (and device) everything of this context lives on.
  static std::shared_ptr<const Context> create(Parameters parameters, const Stream& stream);

  const Parameters& parameters() const { return parameters_; }
  Backend backend() const { return tables_.backend(); }
  std::int64_t degree() const { return parameters_.ring_degree(); }
  /// Of the parameters' primes, and behind them those that BFV multiplies with.
  const kernels::NttTables<Word>& tables() const { return tables_; }
  const kernels::ModulusChain<Word>& moduli() const { return tables_.moduli(); }

  /// Moduli of the limbs of a ciphertext.
  LimbIndices q_limbs(int level) const;
  /// Those of key switching: the special primes, then q_0 .. of the level. So a key of the highest
  /// level serves all.
  LimbIndices qp_limbs(int level) const;
  LimbIndices special_limbs() const;

  /// Rescaling from `level` to the next one: the primes of the level are dropped.
  const kernels::RnsDivision<Word>& rescaling(int level) const;
  /// Division by P at a level.
  const kernels::RnsDivision<Word>& special_division(int level) const;
  /// The digits at a level, each raised to all of QP.
  Span<const kernels::DigitExtension<Word>> digit_extensions(int level) const;
  /// The factors that go before it, of all digits: [limbs(level)], in the backend's memory.
  Span<const kernels::ShoupFactor<Word>> digit_factors(int level) const;
  /// P modulo each q, for keys: [limbs(max_level)], in the backend's memory.
  Span<const kernels::ShoupFactor<Word>> special_product() const { return special_product_.span(); }

  /// Residues of a level to numbers.
  const kernels::MixedRadix& radix(int level) const;

  /// @throws std::logic_error if the scheme is not BFV.
  const bfv::Tables& bfv_tables() const;

  Workspace& workspace() const { return workspace_; }

  /// @throws std::invalid_argument naming `function` if the stream's backend is another one.
  void check_stream(const char* function, const Stream& stream) const;
  /// @throws std::invalid_argument naming `function` if the parameters are of another scheme.
  void check_scheme(const char* function, SchemeType scheme) const;

 private:
  Context(Parameters parameters, const Stream& stream);

  Parameters parameters_;
  kernels::NttTables<Word> tables_;
  std::vector<kernels::RnsDivision<Word>> rescalings_;                        // [level - 1]
  std::vector<kernels::RnsDivision<Word>> special_divisions_;                 // [level]
  std::vector<std::vector<kernels::DigitExtension<Word>>> digit_extensions_;  // [level][digit]
  std::vector<Buffer<kernels::ShoupFactor<Word>>> digit_factors_;             // [level]
  std::vector<kernels::MixedRadix> radices_;                                  // [level]
  Buffer<kernels::ShoupFactor<Word>> special_product_;
  std::shared_ptr<const bfv::Tables> bfv_tables_;  // none of CKKS
  mutable Workspace workspace_;
};

}  // namespace velum::he
