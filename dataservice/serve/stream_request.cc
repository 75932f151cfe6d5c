#include "dataservice/serve/stream_request.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/batches/message.h"

namespace seer::dataservice {
namespace {

constexpr int64_t kMaxMessageBytes = int64_t{480} << 20;

absl::Status Bad(absl::string_view field, const std::string& what, const std::string& hint) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
               absl::StrCat(field, " ", what))
      .Field(field)
      .Hint(hint);
}

}  // namespace

absl::StatusOr<std::string> PoolIdOf(const std::string& resource_name) {
  absl::string_view id = resource_name;
  absl::ConsumePrefix(&id, "pools/");
  bool good = !id.empty() && id.size() <= 63 && id.front() != '-' && id.back() != '-';
  for (char c : id)
    good = good && (absl::ascii_islower(static_cast<unsigned char>(c)) ||
                    absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == '-');
  if (!good)
    return Bad("name", absl::StrCat("'", resource_name, "' is not a pool's name"),
               "1 to 63 of a-z, 0-9 and '-', not at the ends");
  return std::string(id);
}

absl::StatusOr<OrderKind> CheckOrder(v1::SampleOrder order) {
  switch (order) {
    case v1::SAMPLE_ORDER_SHUFFLED:
      return OrderKind::kShuffled;
    case v1::SAMPLE_ORDER_SEQUENTIAL:
      return OrderKind::kSequential;
    case v1::SAMPLE_ORDER_REPLACEMENT:
      return OrderKind::kReplacement;
    default:
      return Bad("order", "is not set",
                 "SAMPLE_ORDER_SHUFFLED, SAMPLE_ORDER_SEQUENTIAL or SAMPLE_ORDER_REPLACEMENT");
  }
}

absl::Status CheckCrop(const v1::CropRecipe& crop) {
  if (crop.views() < 1 || crop.views() > 64)
    return Bad("crops.views", absl::StrCat("is ", crop.views()), "1 to 64 views");
  if (crop.size() < 8 || crop.size() > 1024)
    return Bad("crops.size", absl::StrCat("is ", crop.size()), "8 to 1024 pixels");
  if (!v1::Interpolation_IsValid(crop.interpolation()))
    return Bad("crops.interpolation", absl::StrCat("is ", static_cast<int>(crop.interpolation())),
               "INTERPOLATION_BILINEAR or INTERPOLATION_BICUBIC");
  if (crop.center()) return absl::OkStatus();
  if (!(crop.min_scale() > 0 && crop.min_scale() <= crop.max_scale() && crop.max_scale() <= 1)) {
    return Bad("crops.min_scale",
               absl::StrCat("to max_scale is ", crop.min_scale(), " to ", crop.max_scale()),
               "0 < min_scale <= max_scale <= 1");
  }
  if (!(crop.flip_probability() >= 0 && crop.flip_probability() <= 1))
    return Bad("crops.flip_probability", absl::StrCat("is ", crop.flip_probability()), "0 to 1");
  return absl::OkStatus();
}

Interpolation InterpolationOf(const v1::CropRecipe& recipe) {
  return recipe.interpolation() == v1::INTERPOLATION_BICUBIC ? Interpolation::kBicubic
                                                             : Interpolation::kBilinear;
}

CropBox BoxOf(const v1::CropRecipe& recipe, uint64_t seed, int64_t sample_index, uint32_t view,
              int64_t image_width, int64_t image_height) {
  return recipe.center()
             ? CenterCrop(recipe.size(), image_width, image_height)
             : RandomResizedCrop(seed, sample_index, view, image_width, image_height,
                                 recipe.min_scale(), recipe.max_scale(), recipe.flip_probability());
}

absl::StatusOr<StreamPlan> CheckStreamRequest(const v1::StreamBatchesRequest& r) {
  StreamPlan plan;
  SEER_ASSIGN_OR_RETURN(plan.pool, PoolIdOf(r.pool()));
  if (r.data_plan().empty())
    return Bad("data_plan", "is empty", "give at least one entry, its first_step 0");
  for (const v1::PlanEntry& entry : r.data_plan()) {
    const int64_t previous = plan.entries.empty() ? -1 : plan.entries.back().first_step;
    if (entry.first_step() <= previous || (plan.entries.empty() && entry.first_step() != 0))
      return Bad("data_plan.first_step", "does not start at 0 or does not ascend",
                 "order the entries by first_step, from 0");
    if (entry.generation() < 1)
      return Bad("data_plan.generation", absl::StrCat("is ", entry.generation()),
                 "generations count from 1");
    plan.entries.push_back({entry.first_step(), entry.generation()});
  }
  if (r.crops().empty()) return Bad("crops", "is empty", "ask for at least one crop");
  for (const v1::CropRecipe& crop : r.crops()) {
    SEER_RETURN_IF_ERROR(CheckCrop(crop));
    plan.crops.push_back(crop);
  }
  SEER_ASSIGN_OR_RETURN(plan.order, CheckOrder(r.order()));
  plan.one_epoch = r.one_epoch();
  if (plan.one_epoch && (plan.order != OrderKind::kSequential || r.world_size() != 1))
    return Bad("one_epoch", "needs sequential order and a world size of 1",
               "leave it out for training");
  plan.seed = r.seed();
  plan.first_step = r.first_step();
  plan.end_step = r.end_step();
  plan.rank = r.rank();
  plan.world_size = r.world_size();
  plan.global_batch = r.global_batch();
  plan.job = r.job();
  plan.max_bad_ratio = r.max_bad_ratio();
  if (!(plan.max_bad_ratio >= 0 && plan.max_bad_ratio <= 1))
    return Bad("max_bad_ratio", absl::StrCat("is ", plan.max_bad_ratio), "0 to 1");
  if (plan.end_step < plan.first_step)
    return Bad("end_step", "is before first_step", "end_step is exclusive and at least first_step");
  SEER_ASSIGN_OR_RETURN(const SampleSlice slice, SliceOfRank(plan.first_step, plan.global_batch,
                                                             plan.rank, plan.world_size));
  SEER_RETURN_IF_ERROR(
      SliceOfRank(plan.end_step, plan.global_batch, plan.rank, plan.world_size).status());
  // Divided, not multiplied: the product of a hostile request does not fit 63 bits.
  if (slice.count > kMaxMessageBytes / plan.bytes_per_image()) {
    return Bad("global_batch",
               absl::StrCat("gives messages of ", slice.count, " images of ",
                            plan.bytes_per_image(), " bytes"),
               absl::StrCat("at most ", kMaxMessageBytes,
                            " bytes a rank and step: more ranks, fewer images or smaller crops"));
  }
  return plan;
}

absl::Status CheckCropsFit(const std::vector<v1::CropRecipe>& crops, const std::string& pool,
                           int longest_side) {
  for (const v1::CropRecipe& crop : crops) {
    if (longest_side == 0 || crop.size() <= kMostEnlarged * longest_side) continue;
    return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                 absl::StrCat("a crop of ", crop.size(), " pixels is more than ", kMostEnlarged,
                              " times the longest side of any image of pool ", pool, ", ",
                              longest_side, " pixels"))
        .Field("augment.crops.size")
        .Hint("ask for crops of about the images' size, or train on a pool of larger images")
        .With("pool", pool);
  }
  return absl::OkStatus();
}

int64_t StreamPlan::GenerationAt(int64_t step) const {
  int64_t generation = entries.front().generation;
  for (const Entry& entry : entries)
    if (entry.first_step <= step) generation = entry.generation;
  return generation;
}

int StreamPlan::views() const {
  int views = 0;
  for (const v1::CropRecipe& crop : crops) views += crop.views();
  return views;
}

int64_t StreamPlan::bytes_per_image() const { return PixelBytesPerImage(crops); }

}  // namespace seer::dataservice
