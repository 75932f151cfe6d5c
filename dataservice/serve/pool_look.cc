#include "dataservice/serve/pool_look.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/rpc/status_grpc.h"
#include "dataservice/decode/decoder.h"
#include "dataservice/order/sample_order.h"
#include "dataservice/serve/pool_protos.h"
#include "dataservice/serve/pool_stats.h"
#include "dataservice/serve/pool_verify.h"
#include "dataservice/serve/stream_request.h"

namespace seer::dataservice {
namespace {

constexpr int kMostSamples = 4096;
constexpr int kDefaultSide = 160, kLeastSide = 8, kMostSide = 1024;

absl::Status CallerGone() { return absl::CancelledError("the caller went away"); }

// INVALID_ARGUMENT: `value` is outside [low, high].
absl::Status CheckRange(absl::string_view field, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return Error(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
               absl::StrCat(field, " is ", value, ", it must be from ", low, " to ", high))
      .Field(field);
}

uint8_t* Allocate(int width, int height, v1::SampledView& view) {
  view.set_width(width);
  view.set_height(height);
  view.mutable_rgb()->resize(static_cast<size_t>(width) * height * 3);
  return reinterpret_cast<uint8_t*>(view.mutable_rgb()->data());
}

// The whole image, its longer side `side` pixels long.
absl::Status Fit(absl::string_view bytes, int side, v1::SampledImage& shown) {
  const double longer = std::max(shown.width(), shown.height());
  const auto scaled = [&](int edge) {
    return std::max(1, static_cast<int>(std::lround(edge * side / longer)));
  };
  DecodeOptions options;
  options.min_width = scaled(shown.width());
  options.min_height = scaled(shown.height());
  SEER_ASSIGN_OR_RETURN(const Image image, Decode(bytes, options));
  const CropBox all{0, 0, static_cast<double>(image.width), static_cast<double>(image.height)};
  uint8_t* out = Allocate(options.min_width, options.min_height, *shown.add_views());
  return ResizeBox(image, all, options.min_width, options.min_height, out);
}

absl::Status Crop(absl::string_view bytes, const v1::SamplePoolRequest& request,
                  int64_t sample_index, v1::SampledImage& shown) {
  std::vector<CropSpec> crops;
  uint32_t view = 0;
  for (const v1::CropRecipe& recipe : request.crops()) {
    for (int v = 0; v < recipe.views(); ++v, ++view) {
      crops.push_back(
          {BoxOf(recipe, request.seed(), sample_index, view, shown.width(), shown.height()),
           recipe.size(), Allocate(recipe.size(), recipe.size(), *shown.add_views()),
           InterpolationOf(recipe)});
    }
  }
  return DecodeAndCrop(bytes, crops).status();
}

}  // namespace

template <typename Request>
absl::StatusOr<PoolLookService::Opened> PoolLookService::Open(const Request& request) {
  Opened opened;
  SEER_ASSIGN_OR_RETURN(opened.pool, PoolIdOf(request.name()));
  SEER_RETURN_IF_ERROR(store_.Info(opened.pool).status());
  int64_t number = request.generation();
  if (request.has_generation() && number < 1) return NoGeneration(opened.pool, number);
  if (!request.has_generation()) {
    SEER_ASSIGN_OR_RETURN(number, store_.Current(opened.pool));
  }
  if (number > 0) {
    SEER_ASSIGN_OR_RETURN(opened.generation, generations_.Get(opened.pool, number));
  }
  if (opened.generation == nullptr || opened.generation->images() == 0) {
    return Error(absl::StatusCode::kFailedPrecondition, reason::kPoolEmpty,
                 absl::StrCat("pool ", opened.pool, " has no images"))
        .Hint(absl::StrCat("seer pool ingest ", opened.pool, " SOURCE"));
  }
  SEER_ASSIGN_OR_RETURN(opened.takedowns, takedowns_.Read(opened.pool));
  return opened;
}

absl::Status PoolLookService::Stats(grpc::ServerContext& context,
                                    const v1::GetPoolStatsRequest& request, v1::PoolStats& stats) {
  const int64_t rows = request.has_rows() ? request.rows() : kDefaultStatsRows;
  SEER_RETURN_IF_ERROR(CheckRange("rows", rows, 1, kMostStatsRows));
  SEER_ASSIGN_OR_RETURN(const Opened opened, Open(request));
  SEER_ASSIGN_OR_RETURN(
      stats, ReadPoolStats(store_.objects(), opened.pool, opened.generation->manifest(), rows,
                           request.seed(), clock_.Now(), [&] { return context.IsCancelled(); }));
  return absl::OkStatus();
}

absl::Status PoolLookService::Verify(grpc::ServerContext& context,
                                     const v1::VerifyPoolRequest& request,
                                     grpc::ServerWriter<v1::VerifyPoolProgress>& writer) {
  constexpr int64_t kAny = std::numeric_limits<int64_t>::max();
  VerifyOptions options;
  options.seed = request.seed();
  if (request.has_sample()) options.sample = request.sample();
  if (request.has_max_findings()) options.max_findings = request.max_findings();
  SEER_RETURN_IF_ERROR(CheckRange("sample", options.sample.value_or(1), 1, kAny));
  SEER_RETURN_IF_ERROR(CheckRange("max_findings", options.max_findings, 1, kAny));
  SEER_ASSIGN_OR_RETURN(const Opened opened, Open(request));
  return VerifyGeneration(
      store_.objects(), clock_, opened.pool, *opened.generation, *opened.takedowns, options,
      [&](const v1::VerifyPoolProgress& progress) {
        return !context.IsCancelled() && writer.Write(progress) ? absl::OkStatus() : CallerGone();
      });
}

absl::Status PoolLookService::Show(const Opened& opened, const v1::SamplePoolRequest& request,
                                   int64_t sample_index, const ImageLocation& image,
                                   v1::SampledImage& shown) {
  if (opened.takedowns->Contains(image.id)) {
    return Error(absl::StatusCode::kDataLoss, reason::kImageTakenDown, "it was taken down");
  }
  const std::string& shard = opened.takedowns->ShardNow(opened.generation->ShardOf(image).name);
  SEER_ASSIGN_OR_RETURN(
      const std::string bytes,
      store_.objects().GetRange(ShardKey(opened.pool, shard), image.offset, image.size));
  if (Sha256(bytes) != image.id) {
    return Error(absl::StatusCode::kDataLoss, reason::kImageCorrupt,
                 "its bytes are not those that were ingested");
  }
  if (!request.crops().empty()) return Crop(bytes, request, sample_index, shown);
  return Fit(bytes, request.size() == 0 ? kDefaultSide : request.size(), shown);
}

absl::Status PoolLookService::Sample(grpc::ServerContext& context,
                                     const v1::SamplePoolRequest& request,
                                     grpc::ServerWriter<v1::SampledImage>& writer) {
  SEER_RETURN_IF_ERROR(CheckRange("count", request.count(), 1, kMostSamples));
  if (request.size() != 0)
    SEER_RETURN_IF_ERROR(CheckRange("size", request.size(), kLeastSide, kMostSide));
  for (const v1::CropRecipe& crop : request.crops()) SEER_RETURN_IF_ERROR(CheckCrop(crop));
  SEER_ASSIGN_OR_RETURN(const Opened opened, Open(request));
  const Generation& generation = *opened.generation;
  SEER_ASSIGN_OR_RETURN(const SampleOrder order,
                        SampleOrder::Create(generation.number(), generation.images(),
                                            request.seed(), OrderKind::kShuffled));
  const int64_t count = std::min<int64_t>(request.count(), generation.images());
  for (int64_t sample = 0; sample < count; ++sample) {
    SEER_ASSIGN_OR_RETURN(const auto found, generation.Locations(order.RowOf(sample), 1));
    const ImageLocation& image = found.front();
    v1::SampledImage shown;
    shown.set_row(order.RowOf(sample));
    shown.set_image_id(IdHex(image.id));
    shown.set_width(image.width);
    shown.set_height(image.height);
    if (image.label >= 0) shown.set_label(image.label);
    const absl::Status status = Show(opened, request, sample, image, shown);
    if (!status.ok()) {
      // One damaged image hides no other.
      const auto detail = GetErrorDetail(status);
      shown.clear_views();
      shown.set_problem(absl::StrCat(detail ? detail->reason : "", ": ", status.message()));
    }
    if (context.IsCancelled() || !writer.Write(shown)) return CallerGone();
  }
  return absl::OkStatus();
}

grpc::Status PoolLookService::GetPoolStats(grpc::ServerContext* context,
                                           const v1::GetPoolStatsRequest* request,
                                           v1::PoolStats* stats) {
  return ToGrpc(Stats(*context, *request, *stats));
}

grpc::Status PoolLookService::VerifyPool(grpc::ServerContext* context,
                                         const v1::VerifyPoolRequest* request,
                                         grpc::ServerWriter<v1::VerifyPoolProgress>* writer) {
  return ToGrpc(Verify(*context, *request, *writer));
}

grpc::Status PoolLookService::SamplePool(grpc::ServerContext* context,
                                         const v1::SamplePoolRequest* request,
                                         grpc::ServerWriter<v1::SampledImage>* writer) {
  return ToGrpc(Sample(*context, *request, *writer));
}

}  // namespace seer::dataservice
