#include "velum/kernels/buffer.h"

#include <gtest/gtest.h>

#include <numeric>
#include <stdexcept>

#include "support/every_backend.h"
#include "velum/kernels/gradients/clip_factors.h"

namespace velum::kernels {
namespace {

using ::velum::testing::BackendName;
using ::velum::testing::every_backend;
using ::velum::testing::make_stream;
using ::velum::testing::to_backend;
using ::velum::testing::to_host;

class BufferOnEveryBackend : public ::testing::TestWithParam<Backend> {};

TEST_P(BufferOnEveryBackend, CopiesThereAndBackUnchanged) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const Stream stream = make_stream(GetParam());
  for (const std::size_t size : {0u, 1u, 31u, 32u, 33u, 1000003u}) {
    std::vector<double> values(size);
    std::iota(values.begin(), values.end(), 1.5);
    const Buffer<double> buffer = to_backend(values, stream);
    EXPECT_EQ(to_host(Span<const double>(buffer.data(), buffer.size()), stream), values);
  }
}

TEST_P(BufferOnEveryBackend, MovingLeavesTheSourceEmpty) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const Stream stream = make_stream(GetParam());
  Buffer<float> a(7, stream);
  float* const data = a.data();
  Buffer<float> b(std::move(a));
  EXPECT_EQ(b.data(), data);
  EXPECT_EQ(a.size(), 0);  // NOLINT(bugprone-use-after-move): the claim of this test
  a = std::move(b);
  EXPECT_EQ(a.data(), data);
  EXPECT_EQ(a.size(), 7);
}

TEST_P(BufferOnEveryBackend, NegativeSizeIsRefused) {
  EXPECT_THROW(Buffer<float>(-1, make_stream(GetParam())), std::invalid_argument);
}

TEST_P(BufferOnEveryBackend, AnErrorThatWasHandledDoesNotMeetTheNextCall) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const Stream stream = make_stream(GetParam());
  constexpr std::int64_t kTooLarge = std::int64_t{1} << 56;
  EXPECT_ANY_THROW(Buffer<char>(kTooLarge, stream));
  const Buffer<double> squared_norms = to_backend(std::vector<double>{4.0}, stream);
  const Buffer<double> factors(1, stream);
  EXPECT_NO_THROW(clip_factors(squared_norms.span(), {1.0, 0.0}, factors.span(), stream));
  EXPECT_EQ(to_host(Span<const double>(factors.data(), 1), stream), std::vector<double>{0.5});
}

INSTANTIATE_TEST_SUITE_P(All, BufferOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

TEST(Stream, ZeroThreadsAreRefused) { EXPECT_THROW(Stream::cpu(0), std::invalid_argument); }

TEST(Stream, ParallelForCoversEveryIndexOnce) {
  for (const std::int64_t count : {0, 1, 5, 1000}) {
    for (const std::int64_t grain : {0, 1, 7, 5000}) {
      std::vector<int> visits(static_cast<std::size_t>(count));
      Stream::cpu(2).parallel_for().run(count, grain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) ++visits[static_cast<std::size_t>(i)];
      });
      EXPECT_EQ(visits, std::vector<int>(static_cast<std::size_t>(count), 1));
    }
  }
}

}  // namespace
}  // namespace velum::kernels
