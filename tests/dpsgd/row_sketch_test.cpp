// The sketch of a batch's rows, held to sums of single elements in long double.
#include "tape/row_sketch.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace velum::testing {
namespace {

using dpsgd::detail::RowMapping;
using dpsgd::detail::RowSketch;

/// Element by element, by the indices of the tensor.
void expect_the_sums(const at::Tensor& grad, const RowMapping& mapping) {
  RowSketch sketch;
  const RowSketch::Rows rows = sketch.of(grad, mapping);
  const at::Tensor samples = mapping.samples_first(grad).to(at::kDouble).contiguous();
  const std::int64_t batch = samples.size(0), each = samples.numel() / batch;
  const std::int64_t sums = each / 64 + 1;
  ASSERT_EQ(rows.sums.sizes(), (std::vector<std::int64_t>{batch, sums}));
  ASSERT_EQ(rows.norms.sizes(), (std::vector<std::int64_t>{batch}));
  const std::vector<double>& multipliers = sketch.multipliers_of(each);
  ASSERT_EQ(static_cast<std::int64_t>(multipliers.size()), each);
  const double* const data = samples.const_data_ptr<double>();
  for (std::int64_t b = 0; b < batch; ++b) {
    std::vector<long double> expected(static_cast<std::size_t>(sums), 0.0L), size = expected;
    long double squares = 0.0L;
    for (std::int64_t i = 0; i < each; ++i) {
      const long double x = data[b * each + i];
      const long double m = multipliers[static_cast<std::size_t>(i)];
      expected[static_cast<std::size_t>(i / 64)] += m * x;
      size[static_cast<std::size_t>(i / 64)] += std::abs(m * x);
      squares += x * x;
    }
    for (std::int64_t k = 0; k < sums; ++k) {
      const auto at = static_cast<std::size_t>(k);
      EXPECT_LE(std::abs(rows.sums[b][k].item<double>() - expected[at]), 1e-14L * size[at]);
    }
    EXPECT_NEAR(rows.norms[b].item<double>(), static_cast<double>(std::sqrt(squares)),
                1e-13 * static_cast<double>(std::sqrt(squares)));
  }
}

TEST(RowSketch, IsTheSumsOfEveryLayoutAndType) {
  torch::manual_seed(3);
  for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kBFloat16}) {
    const auto random = [&](std::vector<std::int64_t> sizes) {
      return torch::randn(sizes).to(type);
    };
    expect_the_sums(random({5, 1}), {0, 1, 5, 1});
    expect_the_sums(random({5, 64}), {0, 1, 5, 1});
    expect_the_sums(random({5, 200}), {0, 1, 5, 1});
    expect_the_sums(random({4, 3, 7, 9}), {0, 1, 4, 1});
    expect_the_sums(random({12, 70}), {0, 1, 4, 3});  // batch-major rows
    expect_the_sums(random({12, 70}), {0, 3, 4, 1});  // time-major rows
    expect_the_sums(random({24, 33}), {0, 2, 4, 3});  // steps on both sides
    expect_the_sums(random({7, 4, 65}), {1, 1, 4, 1});
    expect_the_sums(random({4, 66, 3}).transpose(1, 2), {0, 1, 4, 1});
    expect_the_sums(random({130, 4}).t(), {0, 1, 4, 1});
    expect_the_sums(random({4, 1, 1}).expand({4, 5, 31}), {0, 1, 4, 1});
    expect_the_sums(random({4, 300}).slice(1, 3, 299, 2), {0, 1, 4, 1});
    expect_the_sums(random({1, 90}), {0, 1, 1, 1});
  }
}

TEST(RowSketch, HasTheSameBitsForTheSameRows) {
  torch::manual_seed(4);
  const at::Tensor rows = torch::randn({6, 5, 77});
  RowSketch sketch;
  const RowSketch::Rows plain = sketch.of(rows, {0, 1, 6, 1});
  const RowSketch::Rows apart =
      sketch.of(rows.transpose(0, 1).contiguous().view({30, 77}), {0, 5, 6, 1});
  EXPECT_TRUE(torch::equal(plain.sums, apart.sums));
  EXPECT_TRUE(torch::equal(plain.norms, apart.norms));
  const RowSketch::Rows negative = sketch.of(rows.neg(), {0, 1, 6, 1});
  EXPECT_TRUE(torch::equal(plain.sums, negative.sums.neg()));
  EXPECT_TRUE(torch::equal(plain.norms, negative.norms));
}

TEST(RowSketch, ShowsWhichSampleChanged) {
  torch::manual_seed(5);
  const at::Tensor rows = torch::randn({6, 3, 50});
  RowSketch sketch;
  const RowSketch::Rows before = sketch.of(rows, {0, 1, 6, 1});
  for (const std::int64_t place : {0, 49}) {
    at::Tensor changed = rows.clone();
    changed[2][1][place] += 1e-4;
    const RowSketch::Rows after = sketch.of(changed, {0, 1, 6, 1});
    const at::Tensor differs = after.sums.ne(before.sums).any(1);
    EXPECT_TRUE(torch::equal(differs, torch::tensor({0, 0, 1, 0, 0, 0}).to(torch::kBool)));
  }
  at::Tensor swapped = rows.clone();
  swapped[4][0].copy_(rows[4][1]);
  swapped[4][1].copy_(rows[4][0]);
  EXPECT_FALSE(torch::equal(sketch.of(swapped, {0, 1, 6, 1}).sums, before.sums));
}

TEST(RowSketch, KeepsWhatIsNotFiniteWithItsSample) {
  at::Tensor rows = torch::ones({3, 100});
  rows[1][70] = std::numeric_limits<float>::quiet_NaN();
  RowSketch sketch;
  const RowSketch::Rows found = sketch.of(rows, {0, 1, 3, 1});
  const at::Tensor finite = torch::isfinite(found.norms);
  EXPECT_TRUE(torch::equal(finite, torch::tensor({1, 0, 1}).to(torch::kBool)));
  EXPECT_TRUE(torch::isfinite(found.sums[0]).all().item<bool>());
}

}  // namespace
}  // namespace velum::testing
