// The calls that change a pool which is in use, and those that tell of it.
#include <algorithm>
#include <limits>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/status_macros.h"
#include "common/rpc/status_grpc.h"
#include "dataservice/ingest/garbage.h"
#include "dataservice/ingest/takedown.h"
#include "dataservice/order/sample_order.h"
#include "dataservice/pool/quarantine.h"
#include "dataservice/pool/row_finder.h"
#include "dataservice/serve/pool_protos.h"
#include "dataservice/serve/pools.h"
#include "dataservice/serve/stream_request.h"

namespace seer::dataservice {
namespace {

constexpr int kMostIds = 10'000;  // of a call
constexpr size_t kMostReasonBytes = 1'000;
constexpr int kMostIndices = 100'000;         // of a message
constexpr int64_t kRange = int64_t{1} << 22;  // of samples between two looks at the caller

absl::Status Bad(absl::string_view field, const std::string& what, const std::string& hint) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
               absl::StrCat(field, " ", what))
      .Field(field)
      .Hint(hint);
}

template <typename Repeated>
absl::StatusOr<std::vector<ImageId>> IdsFromProto(const Repeated& texts) {
  if (texts.empty() || texts.size() > kMostIds)
    return Bad("image_ids", absl::StrCat("has ", texts.size(), " ids"),
               absl::StrCat("1 to ", kMostIds, " a call"));
  std::vector<ImageId> ids;
  for (const std::string& text : texts) {
    SEER_ASSIGN_OR_RETURN(ids.emplace_back(), ParseImageId(text));
  }
  return ids;
}

void ToProto(const std::string& pool, const TakedownRecord& record, v1::Takedown& proto) {
  proto.set_name(absl::StrCat("pools/", pool, "/takedowns/", record.name));
  for (const ImageId& id : record.ids) proto.add_image_ids(IdHex(id));
  proto.set_reason(record.reason);
  SetTime(record.created, *proto.mutable_create_time());
  if (record.done()) SetTime(record.finished, *proto.mutable_finish_time());
  proto.set_generation(record.generation);
}

// A duration of the request, at least 0.
absl::StatusOr<absl::Duration> FromProto(absl::string_view field,
                                         const google::protobuf::Duration& proto) {
  const absl::Duration duration = absl::Seconds(proto.seconds()) + absl::Nanoseconds(proto.nanos());
  if (duration < absl::ZeroDuration()) return Bad(field, "is negative", "a duration such as 90 d");
  return duration;
}

}  // namespace

absl::Status PoolsService::Refresh(grpc::ServerContext& context,
                                   const v1::RefreshPoolRequest& request,
                                   grpc::ServerWriter<v1::IngestProgress>& writer) {
  SEER_ASSIGN_OR_RETURN(const std::string id, PoolIdOf(request.name()));
  RefreshOptions options;
  options.ingest.sources.assign(request.sources().begin(), request.sources().end());
  options.ingest.labels_from_folders = request.labels_from_folders();
  options.ingest.request_id = request.request_id();
  options.ingest.threads = threads_;
  options.dry_run = request.dry_run();
  if (request.has_max_age()) {
    SEER_ASSIGN_OR_RETURN(options.max_age, FromProto("max_age", request.max_age()));
    if (options.max_age == absl::ZeroDuration())
      return Bad("max_age", "is 0", "a duration such as 90 days");
  }
  SEER_RETURN_IF_ERROR(store_.Info(id).status());
  const auto go_on = [&](const TakedownCounts&) {
    return context.IsCancelled() ? absl::CancelledError("the caller went away") : absl::OkStatus();
  };
  if (!options.dry_run) SEER_RETURN_IF_ERROR(CompleteTakedowns(store_, clock_, id, go_on));
  const auto refresh = [&](const IngestReport& report) {
    return seer::dataservice::RefreshPool(store_, clock_, id, options, report);
  };
  return Fill(context, id, options.dry_run ? "pool_refresh_tried" : "pool_refreshed", refresh,
              writer);
}

absl::Status PoolsService::Refused(const v1::ListRefusedRequest& request,
                                   v1::ListRefusedResponse& response) {
  SEER_ASSIGN_OR_RETURN(const std::string id, PoolIdOf(request.name()));
  SEER_RETURN_IF_ERROR(store_.Info(id).status());
  SEER_ASSIGN_OR_RETURN(auto images, ReadRefused(store_.objects(), id));
  if (!request.rule().empty())
    std::erase_if(images, [&](const RefusedImage& image) { return image.rule != request.rule(); });
  SEER_ASSIGN_OR_RETURN(const Page page,
                        PageOf(request.page_token(), request.page_size(), 100, images.size()));
  for (size_t i = page.begin; i < page.end; ++i) {
    v1::RefusedImage& image = *response.add_images();
    image.set_source(images[i].source);
    image.set_rule(images[i].rule);
    SetTime(images[i].time, *image.mutable_time());
  }
  if (page.end < images.size()) response.set_next_page_token(absl::StrCat(page.end));
  return absl::OkStatus();
}

absl::Status PoolsService::Collect(grpc::ServerContext& context,
                                   const v1::CollectGarbageRequest& request,
                                   grpc::ServerWriter<v1::CollectedObject>& writer) {
  SEER_ASSIGN_OR_RETURN(const std::string id, PoolIdOf(request.name()));
  GarbageOptions options;
  options.keep.insert(request.keep_generations().begin(), request.keep_generations().end());
  SEER_ASSIGN_OR_RETURN(options.keep_newer_than,
                        FromProto("keep_newer_than", request.keep_newer_than()));
  options.dry_run = request.dry_run();
  int64_t objects = 0, bytes = 0;
  const auto collected = [&](const Garbage& garbage) -> absl::Status {
    v1::CollectedObject object;
    object.set_name(absl::StrCat("pools/", id, "/", garbage.name));
    object.set_size_bytes(garbage.size_bytes);
    ++objects;
    bytes += garbage.size_bytes;
    return !context.IsCancelled() && writer.Write(object)
               ? absl::OkStatus()
               : absl::CancelledError("the caller went away; the same call goes on");
  };
  SEER_RETURN_IF_ERROR(seer::dataservice::CollectGarbage(store_, clock_, id, options, collected));
  LogInfo("pool_garbage_collected",
          {{"pool", id}, {"objects", objects}, {"bytes", bytes}, {"dry_run", options.dry_run}});
  return absl::OkStatus();
}

absl::Status PoolsService::TakeDownFrom(grpc::ServerContext& context,
                                        const v1::TakeDownImagesRequest& request,
                                        grpc::ServerWriter<v1::TakedownProgress>& writer) {
  SEER_ASSIGN_OR_RETURN(const std::string id, PoolIdOf(request.name()));
  SEER_ASSIGN_OR_RETURN(auto ids, IdsFromProto(request.image_ids()));
  if (request.reason().empty() || request.reason().size() > kMostReasonBytes)
    return Bad("reason", absl::StrCat("has ", request.reason().size(), " bytes"),
               absl::StrCat("say why, in 1 to ", kMostReasonBytes, " bytes"));
  v1::TakedownProgress message;
  const auto set = [&](const TakedownCounts& counts) {
    message.set_rows(counts.rows);
    message.set_shards_total(counts.shards_total);
    message.set_shards_rewritten(counts.shards_rewritten);
  };
  const auto report = [&](const TakedownCounts& counts) -> absl::Status {
    set(counts);
    return !context.IsCancelled() && writer.Write(message)
               ? absl::OkStatus()
               : absl::CancelledError("the caller went away; the same call goes on");
  };
  if (request.dry_run()) {
    SEER_ASSIGN_OR_RETURN(const TakedownCounts counts, TryTakeDown(store_, id, ids));
    set(counts);
  } else {
    const absl::Time before = clock_.Now();
    SEER_ASSIGN_OR_RETURN(const TakedownRecord record,
                          TakeDown(store_, clock_, id, std::move(ids), request.reason(), report));
    ToProto(id, record, *message.mutable_takedown());
    if (record.finished >= before) {  // not by an earlier call
      metrics_.takedowns.Add(1, {{"pool", id}});
      metrics_.takedown_seconds.Observe(absl::ToDoubleSeconds(record.finished - record.created));
    }
    LogInfo("images_taken_down", {{"pool", id},
                                  {"takedown", record.name},
                                  {"images", static_cast<int64_t>(record.ids.size())},
                                  {"generation", record.generation}});
  }
  message.set_done(true);
  return writer.Write(message) ? absl::OkStatus() : absl::CancelledError("the caller went away");
}

absl::Status PoolsService::Takedowns(const v1::ListTakedownsRequest& request,
                                     v1::ListTakedownsResponse& response) {
  SEER_ASSIGN_OR_RETURN(const std::string id, PoolIdOf(request.name()));
  SEER_RETURN_IF_ERROR(store_.Info(id).status());
  SEER_ASSIGN_OR_RETURN(const auto records, ReadTakedowns(store_.objects(), id));
  SEER_ASSIGN_OR_RETURN(const Page page,
                        PageOf(request.page_token(), request.page_size(), 100, records.size()));
  for (size_t i = page.begin; i < page.end; ++i) ToProto(id, records[i], *response.add_takedowns());
  if (page.end < records.size()) response.set_next_page_token(absl::StrCat(page.end));
  return absl::OkStatus();
}

absl::Status PoolsService::Find(grpc::ServerContext& context, const v1::FindSamplesRequest& request,
                                grpc::ServerWriter<v1::FoundSamples>& writer) {
  SEER_ASSIGN_OR_RETURN(const std::string id, PoolIdOf(request.name()));
  SEER_ASSIGN_OR_RETURN(const auto ids, IdsFromProto(request.image_ids()));
  SEER_ASSIGN_OR_RETURN(const OrderKind kind, request.order() == v1::SAMPLE_ORDER_UNSPECIFIED
                                                  ? OrderKind::kShuffled
                                                  : CheckOrder(request.order()));
  if (request.first_sample() < 0) return Bad("first_sample", "is negative", "at least 0");
  if (request.end_sample() < request.first_sample())
    return Bad("end_sample", "is before first_sample", "exclusive and at least first_sample");
  SEER_RETURN_IF_ERROR(store_.Info(id).status());
  if (request.generation() < 1) return NoGeneration(id, request.generation());
  SEER_ASSIGN_OR_RETURN(const Manifest manifest, store_.ReadManifest(id, request.generation()));
  SEER_ASSIGN_OR_RETURN(
      const SampleOrder order,
      SampleOrder::Create(manifest.generation, manifest.images, request.seed(), kind));
  RowFinder finder(store_.objects(), id, ImageIds(ids.begin(), ids.end()));
  SEER_ASSIGN_OR_RETURN(const auto rows, finder.Find(manifest));
  for (const RowFinder::Row& row : rows) {
    v1::FoundSamples found;
    found.set_image_id(IdHex(row.image.id));
    found.set_row(row.row);
    // A range at a time: with replacement a walk of all samples, which may take minutes.
    const int64_t range =
        kind == OrderKind::kReplacement ? kRange : std::numeric_limits<int64_t>::max();
    for (int64_t first = request.first_sample(); first < request.end_sample();) {
      if (context.IsCancelled()) return absl::CancelledError("the caller went away");
      const int64_t end = first + std::min(range, request.end_sample() - first);
      for (const int64_t index : order.SampleIndicesOf(row.row, first, end)) {
        if (found.sample_indices_size() == kMostIndices) {
          if (!writer.Write(found)) return absl::CancelledError("the caller went away");
          found.clear_sample_indices();
        }
        found.add_sample_indices(index);
      }
      first = end;
    }
    if (!writer.Write(found)) return absl::CancelledError("the caller went away");
  }
  return absl::OkStatus();
}

grpc::Status PoolsService::RefreshPool(grpc::ServerContext* context,
                                       const v1::RefreshPoolRequest* request,
                                       grpc::ServerWriter<v1::IngestProgress>* writer) {
  return ToGrpc(Refresh(*context, *request, *writer));
}

grpc::Status PoolsService::ListRefused(grpc::ServerContext*, const v1::ListRefusedRequest* request,
                                       v1::ListRefusedResponse* response) {
  return ToGrpc(Refused(*request, *response));
}

grpc::Status PoolsService::CollectGarbage(grpc::ServerContext* context,
                                          const v1::CollectGarbageRequest* request,
                                          grpc::ServerWriter<v1::CollectedObject>* writer) {
  return ToGrpc(Collect(*context, *request, *writer));
}

grpc::Status PoolsService::TakeDownImages(grpc::ServerContext* context,
                                          const v1::TakeDownImagesRequest* request,
                                          grpc::ServerWriter<v1::TakedownProgress>* writer) {
  return ToGrpc(TakeDownFrom(*context, *request, *writer));
}

grpc::Status PoolsService::ListTakedowns(grpc::ServerContext*,
                                         const v1::ListTakedownsRequest* request,
                                         v1::ListTakedownsResponse* response) {
  return ToGrpc(Takedowns(*request, *response));
}

grpc::Status PoolsService::FindSamples(grpc::ServerContext* context,
                                       const v1::FindSamplesRequest* request,
                                       grpc::ServerWriter<v1::FoundSamples>* writer) {
  return ToGrpc(Find(*context, *request, *writer));
}

}  // namespace seer::dataservice
