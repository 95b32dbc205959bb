#pragma once

#include "polynomial/integers_to_residues_body.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

template <typename Word, typename Integer>
void integers_to_residues_cpu(const IntegersToResiduesBody<Word, Integer>& body,
                              const Stream& stream);
template <typename Word, typename Integer>
void integers_to_residues_cuda(const IntegersToResiduesBody<Word, Integer>& body,
                               const Stream& stream);

#define VELUM_FOR_EACH_INTEGERS_TO_RESIDUES(MACRO) \
  MACRO(std::uint32_t, std::int64_t)               \
  MACRO(std::uint32_t, Int128)                     \
  MACRO(std::uint64_t, std::int64_t)               \
  MACRO(std::uint64_t, Int128)

}  // namespace velum::kernels
