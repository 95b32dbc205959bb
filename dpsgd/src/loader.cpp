#include "velum/dpsgd/loader.h"

#include <ATen/ops/from_blob.h>
#include <ATen/ops/stack.h>

#include <algorithm>
#include <string>

namespace velum::dpsgd {
namespace {

void check_rows(const char* name, std::int64_t rows, std::int64_t expected) {
  if (rows != expected) {
    throw std::invalid_argument("PoissonLoader: " + std::string(name) + " = " +
                                std::to_string(rows) +
                                ", expected sampler.dataset_size() = " + std::to_string(expected));
  }
}

std::int64_t row_count(const char* name, const at::Tensor& tensor) {
  if (!tensor.defined() || tensor.dim() == 0) {
    throw std::invalid_argument("PoissonLoader: " + std::string(name) +
                                " has no dimension, expected [samples, ...]");
  }
  return tensor.size(0);
}

class TensorRows final : public RowSource {
 public:
  TensorRows(at::Tensor inputs, at::Tensor targets)
      : inputs_(std::move(inputs)), targets_(std::move(targets)) {}
  std::int64_t size() const override { return inputs_.size(0); }
  std::pair<at::Tensor, at::Tensor> rows(c10::ArrayRef<std::int64_t> indices) override {
    return {select(inputs_, indices), select(targets_, indices)};
  }

 private:
  static at::Tensor select(const at::Tensor& tensor, c10::ArrayRef<std::int64_t> indices) {
    const auto count = static_cast<std::int64_t>(indices.size());
    // Indices one after the other: a full batch, among others, is a view and no copy.
    bool consecutive = true;
    for (std::size_t i = 1; i < indices.size() && consecutive; ++i) {
      consecutive = indices[i] == indices[i - 1] + 1;
    }
    if (consecutive) {
      return tensor.narrow(0, count == 0 ? 0 : indices.front(), count);
    }
    const at::Tensor index =
        at::from_blob(const_cast<std::int64_t*>(indices.data()), {count}, at::kLong);
    return tensor.index_select(0, index.to(tensor.device()));
  }
  at::Tensor inputs_;
  at::Tensor targets_;
};

std::unique_ptr<RowSource> tensor_rows(at::Tensor inputs, at::Tensor targets, std::int64_t size) {
  check_rows("inputs.size(0)", row_count("inputs", inputs), size);
  check_rows("targets.size(0)", row_count("targets", targets), size);
  return std::make_unique<TensorRows>(std::move(inputs), std::move(targets));
}

}  // namespace

namespace detail {

at::Tensor stack_rows(const std::vector<at::Tensor>& rows) { return at::stack(rows); }

at::Tensor without_rows(const at::Tensor& tensor) { return tensor.narrow(0, 0, 0); }

}  // namespace detail

PoissonLoader::PoissonLoader(PoissonSampler* sampler, UserPoissonSampler* user_sampler,
                             std::unique_ptr<RowSource> source, std::int64_t physical_batch_size)
    : sampler_(sampler),
      user_sampler_(user_sampler),
      source_(std::move(source)),
      physical_batch_size_(physical_batch_size) {
  if (source_ == nullptr) {
    throw std::invalid_argument("PoissonLoader: source is null, expected a data set");
  }
  check_rows("the size of the data set", source_->size(),
             sampler_ != nullptr ? sampler_->dataset_size() : user_sampler_->dataset_size());
  if (physical_batch_size < 1) {
    throw std::invalid_argument("PoissonLoader: physical_batch_size = " +
                                std::to_string(physical_batch_size) + ", expected at least 1");
  }
  if (user_sampler_ != nullptr && user_sampler_->most_samples_of_a_user() > physical_batch_size) {
    throw std::invalid_argument(
        "PoissonLoader: physical_batch_size = " + std::to_string(physical_batch_size) +
        ", expected at least " + std::to_string(user_sampler_->most_samples_of_a_user()) +
        ", the most samples of a user: all of them belong in one physical batch; "
        "max_samples_per_user of the sampler bounds them");
  }
}

PoissonLoader::PoissonLoader(PoissonSampler& sampler, std::unique_ptr<RowSource> source,
                             std::int64_t physical_batch_size)
    : PoissonLoader(&sampler, nullptr, std::move(source), physical_batch_size) {}

PoissonLoader::PoissonLoader(UserPoissonSampler& sampler, std::unique_ptr<RowSource> source,
                             std::int64_t physical_batch_size)
    : PoissonLoader(nullptr, &sampler, std::move(source), physical_batch_size) {}

PoissonLoader::PoissonLoader(PoissonSampler& sampler, at::Tensor inputs, at::Tensor targets,
                             std::int64_t physical_batch_size)
    : PoissonLoader(sampler,
                    tensor_rows(std::move(inputs), std::move(targets), sampler.dataset_size()),
                    physical_batch_size) {}

PoissonLoader::PoissonLoader(UserPoissonSampler& sampler, at::Tensor inputs, at::Tensor targets,
                             std::int64_t physical_batch_size)
    : PoissonLoader(sampler,
                    tensor_rows(std::move(inputs), std::move(targets), sampler.dataset_size()),
                    physical_batch_size) {}

void PoissonLoader::draw() {
  if (sampler_ != nullptr) {
    logical_batch_ = sampler_->next();
  } else {
    UserBatch batch = user_sampler_->next();
    logical_batch_ = std::move(batch.samples);
    users_ = std::move(batch.users);
  }
}

std::size_t PoissonLoader::next_count() const {
  const std::size_t left = logical_batch_.size() - position_;
  std::size_t count = std::min(static_cast<std::size_t>(physical_batch_size_), left);
  if (user_sampler_ == nullptr || count == left) return count;
  // Back to where a user begins: there is one, since no user has more than a physical batch.
  while (users_[position_ + count] == users_[position_ + count - 1]) --count;
  return count;
}

PhysicalBatch PoissonLoader::next() {
  if (!inside_step_) {
    draw();
    position_ = 0;
    inside_step_ = true;
  }
  const std::size_t count = next_count();
  PhysicalBatch batch;
  const c10::ArrayRef<std::int64_t> indices(logical_batch_.data() + position_, count);
  std::tie(batch.inputs, batch.targets) = source_->rows(indices);
  batch.indices = indices.vec();
  if (user_sampler_ != nullptr) {
    batch.users = c10::ArrayRef<std::int64_t>(users_.data() + position_, count).vec();
  }
  position_ += count;
  batch.last_of_step = position_ == logical_batch_.size();
  inside_step_ = !batch.last_of_step;
  return batch;
}

PoissonLoader::Steps PoissonLoader::steps(std::int64_t count) {
  if (count < 0) {
    throw std::invalid_argument("PoissonLoader::steps: count = " + std::to_string(count) +
                                ", expected at least 0");
  }
  return Steps(this, count);
}

}  // namespace velum::dpsgd
