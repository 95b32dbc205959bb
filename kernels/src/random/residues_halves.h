#pragma once

#include "random/residues_body.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

void uniform_residues_fill_cpu(const UniformResiduesTask<std::uint32_t>& task,
                               const Stream& stream);
void uniform_residues_fill_cpu(const UniformResiduesTask<std::uint64_t>& task,
                               const Stream& stream);
void uniform_residues_fill_cuda(const UniformResiduesTask<std::uint32_t>& task,
                                const Stream& stream);
void uniform_residues_fill_cuda(const UniformResiduesTask<std::uint64_t>& task,
                                const Stream& stream);

}  // namespace velum::kernels
