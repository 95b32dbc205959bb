#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/ArrayRef.h>

#include <cstdint>

#include "velum/kernels/random/key_source.h"

namespace velum::dpsgd {

/// Several random views of each image, shifted and mirrored, whose losses are averaged before the
/// clip: augmentation that costs no privacy, since a record still stands in one row of the losses.
///
///     ImageViews views({.count = 4}, kernels::secure_random_key());
///     const auto logits = model->forward(views(batch.inputs, batch.indices, step));
///     const auto losses = cross_entropy(logits, views.repeat(batch.targets), reduction none);
///     engine.accumulate(views.mean(losses));                          // [b]
///
/// Never give the views as rows of their own: a record in `count` rows would move the sum by
/// `count` times the clipping norm.
///
/// Paper: Unlocking High-Accuracy Differentially Private Image Classification through Scale
/// (arXiv 2204.13650), section 3, "augmentation multiplicity".
/// Determinism: the views are a function of key, key epoch, step and index of the sample, whatever
/// the batches.
class ImageViews {
 public:
  struct Options {
    std::int64_t count = 4;      ///< views of each image; 1 to 1024
    std::int64_t max_shift = 2;  ///< each axis moves by -max_shift..max_shift; 0 to 1024
    double fill = 0.0;           ///< what moves in at the border
    bool mirror = true;          ///< left and right change places with probability 1/2
  };

  /// @param key  of the draws; they are no secret that privacy rests on.
  /// @throws std::invalid_argument if an option is out of range.
  ImageViews(const Options& options, const kernels::RandomKey& key, std::uint32_t key_epoch = 0);

  /// @param images   [b, ..., height, width].
  /// @param indices  [b]: of the samples in the data set; 0 to 2^35 / count - 1.
  /// @param step     training step, >= 0.
  /// @return [b * count, ..., height, width]: the views of one image follow one another.
  /// @throws std::invalid_argument if a shape does not fit; std::out_of_range for an index or step.
  at::Tensor operator()(const at::Tensor& images, c10::ArrayRef<std::int64_t> indices,
                        std::int64_t step) const;

  /// Targets of the images, [b, ...], as targets of the views, [b * count, ...].
  at::Tensor repeat(const at::Tensor& targets) const;
  /// Losses of the views, [b * count], as losses of the samples, [b]: their means.
  /// @throws std::invalid_argument if the losses are no such vector.
  at::Tensor mean(const at::Tensor& losses) const;

  const Options& options() const { return options_; }

 private:
  Options options_;
  kernels::RandomKey key_;
  std::uint32_t key_epoch_;
};

}  // namespace velum::dpsgd
