#include "ckks/unit_roots.h"

#include <gtest/gtest.h>
#include <quadmath.h>

#include <cmath>

#include "reference/canonical_embedding_quad.h"

namespace velum::he {
namespace {

using ::velum::testing::Quad;

void expect_part(const DoubleDouble& x, Quad exact, int log_order, std::uint64_t k) {
  ASSERT_EQ(x.high, static_cast<double>(exact)) << "order 2^" << log_order << ", k " << k;
  const Quad error = static_cast<Quad>(x.high) + x.low - exact;
  const Quad oracle = 0x1p-111 * fabsq(exact);
  ASSERT_LE(fabsq(error), 0x1p-106 * fabsq(exact) + oracle) << "order 2^" << log_order << ", " << k;
  ASSERT_LE(fabsq(error), 0x1.0001p-108 + oracle) << "order 2^" << log_order << ", k " << k;
  ASSERT_LE(std::abs(x.low), std::abs(x.high) * 0x1p-53);
}

TEST(UnitRoots, AreTheNearestDoublesAndWhatIsLeftForEveryPower) {
  for (int log_order = 3; log_order <= 18; ++log_order) {
    const UnitRoots roots(log_order);
    const std::uint64_t order = std::uint64_t{1} << log_order;
    for (std::uint64_t k = 0; k < order; ++k) {
      const ComplexDoubleDouble w = roots.root(k);
      // Quadruple sines of multiples of pi / 2 are not exact; these roots are.
      if (k % (order / 4) == 0) {
        const double reals[] = {1, 0, -1, 0}, imags[] = {0, 1, 0, -1};
        ASSERT_EQ(w.real.high, reals[k / (order / 4)]);
        ASSERT_EQ(w.imag.high, imags[k / (order / 4)]);
        ASSERT_EQ(w.real.low, 0);
        ASSERT_EQ(w.imag.low, 0);
        continue;
      }
      // Near an axis the angle is taken from that axis, so that pi's rounding is not magnified.
      const std::uint64_t eighth = order / 8;
      const std::uint64_t axis = (k + eighth) / (2 * eighth) % 4;
      const auto off =
          static_cast<Quad>(static_cast<std::int64_t>(k) -
                            static_cast<std::int64_t>(2 * eighth * ((k + eighth) / (2 * eighth))));
      const Quad angle = 2 * ::velum::testing::pi() * off / static_cast<Quad>(order);
      const Quad c = cosq(angle), s = sinq(angle);
      const Quad reals[] = {c, -s, -c, s}, imags[] = {s, c, -s, -c};
      expect_part(w.real, reals[axis], log_order, k);
      expect_part(w.imag, imags[axis], log_order, k);
      if (HasFatalFailure()) return;
    }
    EXPECT_EQ(roots.root(order + 1), roots.root(1));
  }
}

}  // namespace
}  // namespace velum::he
