// SwAV's projection head as one segment, and its prototypes. Names of the reference implementation
// (facebookresearch/swav, resnet50.py): "projection_head.0.weight" …, "prototypes.weight".
#pragma once

#include <memory>
#include <vector>

#include "engine/nn/blocks.h"
#include "engine/nn/segment.h"
#include "engine/session/config.h"

namespace seer::engine {

// Linear -> norm -> relu for each hidden width, Linear, L2 normalisation:
// [N, input_width] -> [N, output_dim] float, each row of length 1.
// The linear layers run in the input's type, the normalisation in float.
std::unique_ptr<Segment> BuildSwavHead(const HeadConfig& config, int64_t input_width,
                                       const BuildContext& context);

// Of each layer [prototypes, output_dim] float: linear, without bias (the matrix C of
// arXiv:2006.09882); the training step keeps its rows at length 1. Several layers have the names of
// the reference's MultiPrototypes: "prototypes.prototypes0.weight" …
std::vector<NamedTensor> BuildPrototypes(const HeadConfig& config, const Initializer& init);

// rows: [N, D]. Rows of length 1, in place (F.normalize, eps 1e-12). Not recorded for gradients.
void NormaliseRows(at::Tensor& rows);

}  // namespace seer::engine
