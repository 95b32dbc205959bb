#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/ArrayRef.h>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "velum/dpsgd/poisson_sampler.h"
#include "velum/dpsgd/user_poisson_sampler.h"

namespace velum::dpsgd {

/// As much of a logical batch as is computed at once.
struct PhysicalBatch {
  at::Tensor inputs;                       // [b, ...], 0 <= b <= physical_batch_size
  at::Tensor targets;                      // [b, ...]
  std::vector<std::int64_t> indices = {};  // [b]: which samples these are; private. Ascending,
                                           // or user by user
  std::vector<std::int64_t> users = {};    // [b]: the user of each, where users are sampled
  bool last_of_step = false;               // the logical batch ends here: noise, step
};

/// A map-style `torch::data` dataset: `size()` and `get_batch(indices)`, which gives a vector of
/// examples or one stacked example. Datasets that are streams have no indices to sample from and
/// do not fit.
template <typename Dataset>
concept MapStyleDataset = requires(Dataset dataset, c10::ArrayRef<std::size_t> indices) {
  dataset.get_batch(indices);
  { dataset.size().value() } -> std::convertible_to<std::size_t>;
};

/// Rows of a data set by index; what a `PoissonLoader` reads from.
class RowSource {
 public:
  virtual ~RowSource() = default;
  virtual std::int64_t size() const = 0;
  /// Inputs and targets of the rows, each [indices.size(), ...], also for no index.
  virtual std::pair<at::Tensor, at::Tensor> rows(c10::ArrayRef<std::int64_t> indices) = 0;
};

/// Reads the logical batches of a sampler from a data set, cut into physical batches that fit into
/// memory. An empty logical batch gives one empty physical batch with the shapes of the others,
/// [0, ...], so that a training loop needs no special case for it.
///
///     PoissonSampler sampler(inputs.size(0), sampling_rate);
///     PoissonLoader loader(sampler, inputs, targets, physical_batch_size);
///     for (const PhysicalBatch& batch : loader.steps(1000)) { ... }
///
/// Order: the logical batch in ascending order of index, without repetition. Where users are
/// sampled, user by user, and no user is divided between physical batches: give `users` to the
/// engine.
class PoissonLoader {
 public:
  /// Over tensors, whose first dimension counts the samples. They are not copied.
  /// @param sampler              draws the batches; must outlive the loader.
  /// @param physical_batch_size  most rows in a physical batch; >= 1.
  /// @throws std::invalid_argument if a first dimension is not sampler.dataset_size(), or
  ///         physical_batch_size < 1.
  PoissonLoader(PoissonSampler& sampler, at::Tensor inputs, at::Tensor targets,
                std::int64_t physical_batch_size);
  /// Over a source of the caller's.
  /// @throws std::invalid_argument if source is null or its size is not sampler.dataset_size(), or
  ///         physical_batch_size < 1.
  PoissonLoader(PoissonSampler& sampler, std::unique_ptr<RowSource> source,
                std::int64_t physical_batch_size);
  /// The same for users.
  /// @throws std::invalid_argument also if a user may have more than physical_batch_size samples in
  ///         a step.
  PoissonLoader(UserPoissonSampler& sampler, at::Tensor inputs, at::Tensor targets,
                std::int64_t physical_batch_size);
  PoissonLoader(UserPoissonSampler& sampler, std::unique_ptr<RowSource> source,
                std::int64_t physical_batch_size);
  /// Over a map-style dataset of `torch::data`, with or without a Stack transform.
  template <MapStyleDataset Dataset>
  PoissonLoader(PoissonSampler& sampler, Dataset dataset, std::int64_t physical_batch_size);
  template <MapStyleDataset Dataset>
  PoissonLoader(UserPoissonSampler& sampler, Dataset dataset, std::int64_t physical_batch_size);

  /// The next physical batch; draws a logical batch where the last one has ended.
  PhysicalBatch next();

  class Steps;
  /// The physical batches of the next `count` logical batches (>= 0), for a range-based loop.
  /// A logical batch that was begun is finished first and counts.
  Steps steps(std::int64_t count);

 private:
  PoissonLoader(PoissonSampler* sampler, UserPoissonSampler* user_sampler,
                std::unique_ptr<RowSource> source, std::int64_t physical_batch_size);
  void draw();
  /// How many of the logical batch come next.
  std::size_t next_count() const;

  PoissonSampler* sampler_;  // one of them is null
  UserPoissonSampler* user_sampler_;
  std::unique_ptr<RowSource> source_;
  std::int64_t physical_batch_size_;
  std::vector<std::int64_t> logical_batch_;
  std::vector<std::int64_t> users_;
  std::size_t position_ = 0;
  bool inside_step_ = false;
};

/// A single-pass range of physical batches.
class PoissonLoader::Steps {
 public:
  class Iterator {
   public:
    using value_type = PhysicalBatch;
    using difference_type = std::ptrdiff_t;

    explicit Iterator(Steps* steps) : steps_(steps) { fetch(); }
    const PhysicalBatch& operator*() const { return batch_; }
    const PhysicalBatch* operator->() const { return &batch_; }
    Iterator& operator++() {
      fetch();
      return *this;
    }
    void operator++(int) { fetch(); }
    friend bool operator==(const Iterator& iterator, std::default_sentinel_t /*end*/) {
      return iterator.steps_ == nullptr;
    }

   private:
    void fetch() {
      if (steps_->remaining_ == 0) {
        steps_ = nullptr;
        batch_ = {};
        return;
      }
      batch_ = {};  // frees the last batch before the next is read
      batch_ = steps_->loader_->next();
      if (batch_.last_of_step) --steps_->remaining_;
    }
    Steps* steps_;
    PhysicalBatch batch_;
  };

  Steps(PoissonLoader* loader, std::int64_t count) : loader_(loader), remaining_(count) {}
  Iterator begin() { return Iterator(this); }
  std::default_sentinel_t end() const { return std::default_sentinel; }

 private:
  PoissonLoader* loader_;
  std::int64_t remaining_;
};

namespace detail {

/// [n, ...] from n tensors of one shape.
at::Tensor stack_rows(const std::vector<at::Tensor>& rows);
/// The same tensor with no rows.
at::Tensor without_rows(const at::Tensor& tensor);

template <typename Dataset>
class DatasetRows final : public RowSource {
 public:
  explicit DatasetRows(Dataset dataset) : dataset_(std::move(dataset)) {
    const auto size = dataset_.size();
    if (!size.has_value()) {
      throw std::invalid_argument(
          "PoissonLoader: dataset.size() is unknown, expected the number of samples");
    }
    size_ = static_cast<std::int64_t>(*size);
  }
  std::int64_t size() const override { return size_; }
  std::pair<at::Tensor, at::Tensor> rows(c10::ArrayRef<std::int64_t> indices) override {
    if (indices.empty()) {  // the shapes are those of any sample; its values are not used
      auto [inputs, targets] = read({0});
      return {without_rows(inputs), without_rows(targets)};
    }
    return read({indices.begin(), indices.end()});
  }

 private:
  std::pair<at::Tensor, at::Tensor> read(const std::vector<std::size_t>& indices) {
    auto batch = dataset_.get_batch(indices);
    if constexpr (requires { batch.data; }) {
      return {std::move(batch.data), std::move(batch.target)};
    } else {
      std::vector<at::Tensor> inputs;
      std::vector<at::Tensor> targets;
      for (auto& example : batch) {
        inputs.push_back(std::move(example.data));
        targets.push_back(std::move(example.target));
      }
      return {stack_rows(inputs), stack_rows(targets)};
    }
  }
  Dataset dataset_;
  std::int64_t size_ = 0;
};

}  // namespace detail

template <MapStyleDataset Dataset>
PoissonLoader::PoissonLoader(PoissonSampler& sampler, Dataset dataset,
                             std::int64_t physical_batch_size)
    : PoissonLoader(sampler, std::make_unique<detail::DatasetRows<Dataset>>(std::move(dataset)),
                    physical_batch_size) {}

template <MapStyleDataset Dataset>
PoissonLoader::PoissonLoader(UserPoissonSampler& sampler, Dataset dataset,
                             std::int64_t physical_batch_size)
    : PoissonLoader(sampler, std::make_unique<detail::DatasetRows<Dataset>>(std::move(dataset)),
                    physical_batch_size) {}

}  // namespace velum::dpsgd
