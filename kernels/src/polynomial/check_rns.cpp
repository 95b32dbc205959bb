#include "polynomial/check_rns.h"

#include <algorithm>
#include <bit>
#include <stdexcept>

namespace velum::kernels {
namespace {

bool is_empty(const RnsShape& view) { return view.polys == 0 || view.limbs == 0; }

/// Whether a limb of `a` and a limb of `b` share a byte. Both are runs of bytes at a fixed
/// distance: the run that ends first is passed over until two meet.
bool overlap(const RnsShape& a, const RnsShape& b) {
  if (is_empty(a) || is_empty(b)) return false;
  const auto first = [](const RnsShape& view, std::int64_t poly) {
    return reinterpret_cast<std::uintptr_t>(view.data) +
           static_cast<std::uintptr_t>(poly * view.poly_stride * view.word_bytes);
  };
  const auto last = [&first](const RnsShape& view, std::int64_t poly) {
    return first(view, poly) +
           static_cast<std::uintptr_t>(view.limbs * view.degree * view.word_bytes);
  };
  for (std::int64_t i = 0, j = 0; i < a.polys && j < b.polys;) {
    if (last(a, i) <= first(b, j)) {
      ++i;
    } else if (last(b, j) <= first(a, i)) {
      ++j;
    } else {
      return true;
    }
  }
  return false;
}

std::string field(const RnsShape& view, const char* member) {
  return std::string(view.name) + "." + member;
}

[[noreturn]] void refuse_overlap(const char* function, const RnsShape& out, const RnsShape& in,
                                 const char* expected) {
  throw std::invalid_argument(std::string(function) + ": " + out.name + " overlaps " + in.name +
                              ", expected " + expected);
}

}  // namespace

void refuse(const char* function, const std::string& what, std::int64_t value,
            const std::string& expected) {
  throw std::invalid_argument(std::string(function) + ": " + what + " = " + std::to_string(value) +
                              ", expected " + expected);
}

void check_view(const char* function, const RnsShape& view) {
  if (view.polys < 0) refuse(function, field(view, "polys"), view.polys, "at least 0");
  if (view.limbs < 0 || view.limbs > LimbIndices::kMaxLimbs) {
    refuse(function, field(view, "limbs"), view.limbs,
           "0 to " + std::to_string(LimbIndices::kMaxLimbs));
  }
  if (view.degree < 2 || view.degree > kMaxDegree ||
      !std::has_single_bit(static_cast<std::uint64_t>(view.degree))) {
    refuse(function, field(view, "degree"), view.degree,
           "a power of two from 2 to " + std::to_string(kMaxDegree));
  }
  if (view.polys > 1 && view.poly_stride < view.limbs * view.degree) {
    refuse(function, field(view, "poly_stride"), view.poly_stride,
           "at least limbs * degree = " + std::to_string(view.limbs * view.degree));
  }
}

void check_count(const char* function, const std::string& what, std::int64_t value,
                 const std::string& expected_name, std::int64_t expected) {
  if (value != expected) {
    refuse(function, what, value, expected_name + " = " + std::to_string(expected));
  }
}

void check_same_ring(const char* function, const RnsShape& view, const RnsShape& expected) {
  check_count(function, field(view, "degree"), view.degree, field(expected, "degree"),
              expected.degree);
  check_count(function, field(view, "limbs"), view.limbs, field(expected, "limbs"), expected.limbs);
}

void check_polys(const char* function, const RnsShape& view, const RnsShape& expected,
                 bool may_broadcast) {
  if (may_broadcast && view.polys == 1) return;
  check_count(function, field(view, "polys"), view.polys,
              (may_broadcast ? "1 or " : "") + field(expected, "polys"), expected.polys);
}

void check_memory(const char* function, const char* name, Backend backend, const Stream& stream) {
  if (backend == stream.backend()) return;
  throw std::invalid_argument(std::string(function) + ": " + name + " lies in the memory of " +
                              std::string(to_string(backend)) + ", expected that of the stream, " +
                              std::string(to_string(stream.backend())));
}

void check_at_least(const char* function, const std::string& what, std::int64_t value,
                    std::int64_t least) {
  if (value < least) refuse(function, what, value, "at least " + std::to_string(least));
}

void check_indices(const char* function, const char* name, const LimbIndices& limbs,
                   int chain_size) {
  for (int i = 0; i < limbs.count; ++i) {
    if (limbs[i] >= chain_size) {
      refuse(function, std::string(name) + "[" + std::to_string(i) + "]", limbs[i],
             "0 to " + std::to_string(chain_size - 1));
    }
  }
}

void check_distinct(const char* function, const char* names, const LimbIndices& a,
                    const LimbIndices& b) {
  bool seen[LimbIndices::kMaxLimbs] = {};
  for (const LimbIndices* limbs : {&a, &b}) {
    for (int i = 0; i < limbs->count; ++i) {
      bool& before = seen[(*limbs)[i]];
      if (before) {
        throw std::invalid_argument(std::string(function) + ": limb " +
                                    std::to_string((*limbs)[i]) + " is there twice in " + names +
                                    ", expected each once");
      }
      before = true;
    }
  }
}

void check_limbs(const char* function, const LimbIndices& limbs, const RnsShape& view,
                 int chain_size) {
  check_count(function, field(view, "limbs"), view.limbs, "limbs.count", limbs.count);
  check_indices(function, "limbs", limbs, chain_size);
}

void check_disjoint(const char* function, const RnsShape& out, const RnsShape& in) {
  if (overlap(out, in)) refuse_overlap(function, out, in, "none of its limbs");
}

void check_same_or_disjoint(const char* function, const RnsShape& out, const RnsShape& in) {
  const bool same = out.data == in.data && out.polys == in.polys && out.limbs == in.limbs &&
                    (out.polys == 1 || out.poly_stride == in.poly_stride);
  if (!same && overlap(out, in)) {
    refuse_overlap(function, out, in, "the same view or none of its limbs");
  }
}

}  // namespace velum::kernels
