#pragma once

#include "polynomial/residues_to_doubles_body.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

void residues_to_doubles_cpu(const ResiduesToDoublesBody& body, const Stream& stream);
void residues_to_doubles_cuda(const ResiduesToDoublesBody& body, const Stream& stream);

}  // namespace velum::kernels
