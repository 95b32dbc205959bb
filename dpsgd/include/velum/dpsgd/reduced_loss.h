#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace velum::dpsgd {

/// How one number was made of the losses of a batch.
enum class LossReduction {
  kMean,  ///< the mean over the samples
  kSum,   ///< their sum
};

/// The losses of single samples that `loss` is the mean (or the sum) of, read off its autograd
/// graph, so that a training loop that computes one number can be trained privately as it is:
///
///     auto loss = F::cross_entropy(model->forward(x), y);              // one number
///     engine.accumulate(per_sample_losses(loss, LossReduction::kMean, x.size(0)));
///
/// The result has a graph and no meaningful values: its gradients are those of the losses. It is
/// recognised, and nothing else is:
///
///   mean or sum of all elements   of any tensor [B, ...]; a sum also divided by B or by the number
///   of
///                                 elements, each a mean
///   nll_loss, cross_entropy       without class weights and without ignored targets
///   mse, smooth L1, Huber, binary cross entropy with and without logits; none of them broadcast
///   sums, differences, negatives and constant multiples of these; casts of them
///
/// The first dimension of what is reduced counts the samples. Or it counts the rows of a view that
/// has joined the first two dimensions of [B, steps, ...]: then the rows of a sample are one loss,
/// their mean (or sum). That the rows belong to the samples is proved as for all losses
/// (privacy_engine.h).
///
/// What makes the losses depend on other samples is refused: class weights and ignored targets
/// divide by a number that the other targets decide; a sum where a mean is expected would scale
/// each by the size of the batch. That constants do not depend on the batch is for the caller to
/// see to, as it is with losses.
///
/// @param loss       a number, with its graph, not yet gone back through; or a vector [samples],
/// which
///                   is returned.
/// @param reduction  what `loss` is, over samples.
/// @param samples    B, >= 0.
/// @return [samples]
/// @throws std::invalid_argument naming the operation that is not recognised and the remedy.
at::Tensor per_sample_losses(const at::Tensor& loss, LossReduction reduction, std::int64_t samples);

/// Whether the graph of `loss` reaches one of `parameters`.
bool depends_on(const at::Tensor& loss, at::TensorList parameters);

}  // namespace velum::dpsgd
