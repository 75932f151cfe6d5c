#include "engine/arch/regnet_design.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer::engine {
namespace {

constexpr int kWidthQuantum = 8;

// The nearest multiple of `divisor`, not more than 10 % below `value`.
int64_t MakeDivisible(int64_t value, int64_t divisor) {
  const int64_t rounded = std::max(divisor, (value + divisor / 2) / divisor * divisor);
  return rounded < 0.9 * static_cast<double>(value) ? rounded + divisor : rounded;
}

absl::Status Check(const RegnetParams& p) {
  const auto fail = [](absl::string_view field, const std::string& text) -> absl::Status {
    return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange, text)
        .Field(field)
        .Hint("take a preset, or the constraints of arXiv:2003.13678, section 3.3");
  };
  if (p.depth < 1 || p.depth > 1000)
    return fail("depth", absl::StrCat("depth is ", p.depth, ", not in 1 to 1000"));
  if (!(p.w_0 > 0) || std::fmod(p.w_0, kWidthQuantum) != 0)
    return fail("w_0", absl::StrCat("w_0 is ", p.w_0, ", not a positive multiple of 8"));
  if (!(p.w_a >= 0)) return fail("w_a", absl::StrCat("w_a is ", p.w_a, ", negative"));
  if (!(p.w_m > 1)) return fail("w_m", absl::StrCat("w_m is ", p.w_m, ", not above 1"));
  if (p.group_width < 1)
    return fail("group_width", absl::StrCat("group_width is ", p.group_width, ", below 1"));
  if (!(p.se_ratio >= 0 && p.se_ratio <= 1))
    return fail("se_ratio", absl::StrCat("se_ratio is ", p.se_ratio, ", not in 0 to 1"));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<RegnetStage>> RegnetStages(const RegnetParams& params) {
  SEER_RETURN_IF_ERROR(Check(params));
  // In float, and rounding half to even, as torchvision does:
  // a width on the edge of two steps falls the same way.
  const auto w_0 = static_cast<float>(params.w_0);
  const auto log_w_m = static_cast<float>(std::log(params.w_m));
  std::vector<RegnetStage> stages;
  int64_t previous = -1;
  for (int block = 0; block < params.depth; ++block) {
    // Equations 2, 3 and 4.
    const float linear = static_cast<float>(block) * static_cast<float>(params.w_a) + w_0;
    const float step = std::nearbyint(std::log(linear / w_0) / log_w_m);
    const float width = w_0 * std::pow(static_cast<float>(params.w_m), step);
    const auto quantised =
        static_cast<int64_t>(std::nearbyint(width / kWidthQuantum)) * kWidthQuantum;
    if (quantised > (int64_t{1} << 20)) {
      return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                   absl::StrCat("block ", block, " would be ", quantised, " channels wide"))
          .Field("w_a");
    }
    if (quantised != previous) stages.push_back({0, quantised, 0, 2});
    previous = quantised;
    ++stages.back().blocks;
  }
  for (RegnetStage& stage : stages) {
    stage.group_width = std::min<int64_t>(params.group_width, stage.width);
    stage.width = MakeDivisible(stage.width, stage.group_width);
  }
  return stages;
}

absl::StatusOr<TrunkCost> RegnetCost(const RegnetParams& params, int stem_stride, int image_size) {
  SEER_ASSIGN_OR_RETURN(const std::vector<RegnetStage> stages, RegnetStages(params));
  CostCounter counter;
  // 3 x 3 with padding 1 and 1 x 1 without both give ceil(size / stride).
  int64_t size = (image_size + stem_stride - 1) / stem_stride;
  counter.Begin(3, image_size);
  counter.Conv(3, kRegnetStemWidth, 3, 1, size);
  counter.Gradients(kRegnetStemWidth * size * size);
  counter.End(kRegnetStemWidth, size);
  int64_t in = kRegnetStemWidth;
  for (const RegnetStage& stage : stages) {
    for (int block = 0; block < stage.blocks; ++block) {
      const int stride = block == 0 ? stage.stride : 1;
      const int64_t out_size = (size + stride - 1) / stride;
      counter.Begin(in, size);
      if (in != stage.width || stride != 1)
        counter.Conv(in, stage.width, 1, 1, out_size, /*relu=*/false);
      counter.Conv(in, stage.width, 1, 1, size);
      counter.Conv(stage.width, stage.width, 3, stage.width / stage.group_width, out_size);
      const int64_t squeezed = RegnetSqueezeWidth(params, in);
      if (squeezed > 0) counter.Squeeze(stage.width, squeezed, out_size);
      counter.Conv(stage.width, stage.width, 1, 1, out_size);
      const int64_t outputs = stage.width * out_size * out_size;
      counter.BottleneckGradients(in * size * size, stage.width * size * size, outputs, outputs,
                                  squeezed > 0);
      counter.End(stage.width, out_size);
      in = stage.width;
      size = out_size;
    }
  }
  counter.Pool(in, size);
  return counter.cost();
}

int64_t RegnetSqueezeWidth(const RegnetParams& params, int64_t input_width) {
  return static_cast<int64_t>(std::nearbyint(params.se_ratio * static_cast<double>(input_width)));
}

}  // namespace seer::engine
