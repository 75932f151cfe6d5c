#include "engine/arch/resnet_design.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer::engine {
namespace {

constexpr int kReferenceStemWidth = 64;  // that width_per_group is given for
constexpr int64_t kMostChannels = 1 << 20;

absl::Status Bad(absl::string_view field, const std::string& text) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange, text)
      .Field(field)
      .Hint("take a preset");
}

}  // namespace

absl::StatusOr<std::vector<ResnetStage>> ResnetStages(const ResnetParams& params) {
  for (const auto& [field, value] :
       {std::pair("groups", params.groups), std::pair("width_per_group", params.width_per_group),
        std::pair("stem_width", params.stem_width)}) {
    if (value < 1 || value > kMostChannels)
      return Bad(field, absl::StrCat(field, " is ", value, ", not in 1 to 2^20"));
  }
  std::vector<ResnetStage> stages;
  int64_t planes = params.stem_width;
  for (const int blocks : params.blocks) {
    if (blocks < 1 || blocks > 1000) {
      return Bad("blocks", absl::StrCat("a stage has ", blocks, " blocks, not 1 to 1000"));
    }
    const int64_t inner =
        planes * params.width_per_group / kReferenceStemWidth * int64_t{params.groups};
    const int64_t width = planes * kResnetExpansion;
    if (inner < 1) return Bad("width_per_group", "the groups of a stage have no channels");
    if (std::max(inner, width) > kMostChannels) {
      return Bad("width_per_group",
                 absl::StrCat("a stage would be ", std::max(inner, width), " channels wide"));
    }
    stages.push_back({blocks, inner, width, stages.empty() ? 1 : 2});
    planes *= 2;
  }
  return stages;
}

absl::StatusOr<TrunkCost> ResnetCost(const ResnetParams& params, int stem_stride, int image_size) {
  SEER_ASSIGN_OR_RETURN(const std::vector<ResnetStage> stages, ResnetStages(params));
  CostCounter counter;
  // Every padding is half a kernel: outputs are ceil(size / stride) wide.
  const int64_t stem_size = (image_size + stem_stride - 1) / stem_stride;
  counter.Begin(3, image_size);
  counter.Conv(3, params.stem_width, 7, 1, stem_size);
  int64_t size = (stem_size + 1) / 2;  // after the max pool
  counter.MaxPool(params.stem_width, stem_size, size);
  counter.End(params.stem_width, size);
  int64_t in = params.stem_width;
  for (const ResnetStage& stage : stages) {
    for (int block = 0; block < stage.blocks; ++block) {
      const int stride = block == 0 ? stage.stride : 1;
      const int64_t out_size = (size + stride - 1) / stride;
      counter.Begin(in, size);
      counter.Conv(in, stage.inner_width, 1, 1, size);
      counter.Conv(stage.inner_width, stage.inner_width, 3, params.groups, out_size);
      counter.Conv(stage.inner_width, stage.width, 1, 1, out_size);
      if (in != stage.width || stride != 1)
        counter.Conv(in, stage.width, 1, 1, out_size, /*relu=*/false);
      counter.BottleneckGradients(in * size * size, stage.inner_width * size * size,
                                  stage.inner_width * out_size * out_size,
                                  stage.width * out_size * out_size, /*squeeze=*/false);
      counter.End(stage.width, out_size);
      in = stage.width;
      size = out_size;
    }
  }
  counter.Pool(in, size);
  return counter.cost();
}

}  // namespace seer::engine
