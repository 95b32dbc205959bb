// Products of matrices on the CPU, on every SIMD target, against torch's in float64.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <limits>
#include <ostream>
#include <string>
#include <tuple>
#include <vector>

#include "linear/product.h"
#include "support/simd_targets.h"

namespace velum::testing {
namespace {

using dpsgd::detail::product_out;
using torch::Tensor;

struct Sizes {
  std::int64_t rows, terms, columns;
};
void PrintTo(const Sizes& sizes, std::ostream* os) {
  *os << sizes.rows << "x" << sizes.terms << "x" << sizes.columns;
}

// Around a tile of rows (6), blocks of terms (128) and of rows (192), vectors of 4 to 16 columns
// and pairs of these; and one that threads share by columns.
const std::vector<Sizes> kSizes{{1, 1, 1},     {5, 3, 7},     {6, 128, 32},    {7, 129, 33},
                                {12, 0, 5},    {0, 4, 5},     {4, 5, 0},       {193, 17, 31},
                                {31, 300, 65}, {200, 257, 8}, {385, 130, 144}, {20, 260, 700}};

class Products : public ::testing::TestWithParam<std::tuple<Sizes, at::ScalarType>> {
 protected:
  at::ScalarType type() const { return std::get<1>(GetParam()); }
  Tensor random(at::IntArrayRef sizes) const { return torch::randn(sizes, type()); }
  Tensor random_left() const { return random({sizes_.rows, sizes_.terms}); }
  Tensor random_right() const { return random({sizes_.terms, sizes_.columns}); }

  /// Within one rounding for each term, the factor and what is added.
  void expect_sums(const Tensor& got, const Tensor& left, const Tensor& right,
                   const Tensor& factors, const Tensor& added) const {
    Tensor a = left.to(torch::kDouble);
    if (factors.defined()) a = a * factors.to(torch::kDouble);
    const Tensor b = right.to(torch::kDouble);
    Tensor sums = torch::matmul(a, b), magnitudes = torch::matmul(a.abs(), b.abs());
    if (added.defined()) {
      sums = sums + added;
      magnitudes = magnitudes + added.abs();
    }
    const double roundings = static_cast<double>(sizes_.terms) + 3;
    const double unit = type() == torch::kFloat ? 0x1p-24 : 0x1p-53;
    EXPECT_TRUE((got.to(torch::kDouble) - sums)
                    .abs()
                    .le(2 * roundings * unit * magnitudes)
                    .all()
                    .item<bool>());
  }

  Sizes sizes_ = std::get<0>(GetParam());
};

TEST_P(Products, AreTheSumsOfTheirTermsForEveryOrderOfStorage) {
  torch::manual_seed(1);
  const Tensor factors = random({sizes_.terms});
  const auto stored_by_columns = [](const Tensor& x) { return x.t().contiguous().t(); };
  const auto in_between = [](const Tensor& x) {  // no stride is 1
    return torch::stack({x, x}, 2).select(2, 0);
  };
  for_each_simd_target(kernels::Backend::kCpu, [&] {
    const Tensor left = random_left(), right = random_right();
    for (const Tensor& a : {left, stored_by_columns(left), in_between(left)}) {
      for (const Tensor& b : {right, stored_by_columns(right), in_between(right)}) {
        const Tensor out = torch::full({sizes_.rows, sizes_.columns}, NAN, type());
        product_out(a, b, factors, /*add=*/false, out);
        expect_sums(out, left, right, factors, {});
      }
    }
  });
}

TEST_P(Products, AreAddedWithinTheirColumnsAlone) {
  torch::manual_seed(2);
  for_each_simd_target(kernels::Backend::kCpu, [&] {
    const Tensor left = random_left(), right = random_right();
    const Tensor around = random({sizes_.rows, sizes_.columns + 5});
    const Tensor before = around.clone();
    product_out(left, right, {}, /*add=*/true, around.narrow(1, 2, sizes_.columns));
    expect_sums(around.narrow(1, 2, sizes_.columns), left, right, {},
                before.narrow(1, 2, sizes_.columns));
    EXPECT_TRUE(around.narrow(1, 0, 2).equal(before.narrow(1, 0, 2)));
    EXPECT_TRUE(
        around.narrow(1, sizes_.columns + 2, 3).equal(before.narrow(1, sizes_.columns + 2, 3)));
  });
}

TEST_P(Products, RowsAndColumnsThatAreNotFiniteReachNoOther) {
  if (sizes_.rows < 2 || sizes_.columns < 2 || sizes_.terms == 0) GTEST_SKIP() << "no other";
  torch::manual_seed(3);
  for_each_simd_target(kernels::Backend::kCpu, [&] {
    const Tensor left = random_left(), right = random_right();
    const Tensor clean = torch::empty({sizes_.rows, sizes_.columns}, type());
    const Tensor spoilt = clean.clone();
    product_out(left, right, {}, /*add=*/false, clean);
    left[1][0] = NAN;
    right.select(1, sizes_.columns - 1).fill_(std::numeric_limits<float>::infinity());
    product_out(left, right, {}, /*add=*/false, spoilt);
    const Tensor same = spoilt.eq(clean);
    EXPECT_TRUE(spoilt[1].isnan().all().item<bool>());
    EXPECT_TRUE(same.narrow(1, 0, sizes_.columns - 1).narrow(0, 0, 1).all().item<bool>());
    EXPECT_TRUE(
        same.narrow(1, 0, sizes_.columns - 1).narrow(0, 2, sizes_.rows - 2).all().item<bool>());
    EXPECT_FALSE(spoilt.select(1, sizes_.columns - 1).isfinite().any().item<bool>());
  });
}

TEST_P(Products, AreTheSameForEveryNumberOfThreads) {
  torch::manual_seed(4);
  const Tensor left = random_left(), right = random_right();
  const int before = at::get_num_threads();
  std::vector<Tensor> found;
  for (const int threads : {1, 2, 5}) {
    at::set_num_threads(threads);
    found.push_back(torch::empty({sizes_.rows, sizes_.columns}, type()));
    product_out(left, right, {}, /*add=*/false, found.back());
  }
  at::set_num_threads(before);
  EXPECT_TRUE(found[0].equal(found[1]));
  EXPECT_TRUE(found[0].equal(found[2]));
}

INSTANTIATE_TEST_SUITE_P(Shapes, Products,
                         ::testing::Combine(::testing::ValuesIn(kSizes),
                                            ::testing::Values(torch::kFloat, torch::kDouble)),
                         [](const auto& both) {
                           const Sizes& sizes = std::get<0>(both.param);
                           return std::to_string(sizes.rows) + "x" + std::to_string(sizes.terms) +
                                  "x" + std::to_string(sizes.columns) +
                                  (std::get<1>(both.param) == torch::kFloat ? "Float" : "Double");
                         });

}  // namespace
}  // namespace velum::testing
