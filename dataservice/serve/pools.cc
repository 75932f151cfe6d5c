#include "dataservice/serve/pools.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/status_macros.h"
#include "common/rpc/status_grpc.h"
#include "dataservice/ingest/ingest.h"
#include "dataservice/order/sample_order.h"
#include "dataservice/pool/quarantine.h"
#include "dataservice/serve/pool_protos.h"
#include "dataservice/serve/stream_request.h"

namespace seer::dataservice {
namespace {

void AddViews(const v1::ListSamplesRequest& request, v1::Sample& sample) {
  uint32_t view = 0;
  for (const v1::CropRecipe& recipe : request.crops()) {
    for (int v = 0; v < recipe.views(); ++v, ++view) {
      const CropBox box = BoxOf(recipe, request.seed(), sample.sample_index(), view, sample.width(),
                                sample.height());
      v1::ViewBox& out = *sample.add_views();
      out.set_size(recipe.size());
      out.set_x(box.x);
      out.set_y(box.y);
      out.set_width(box.width);
      out.set_height(box.height);
      out.set_flip(box.flip);
      out.set_interpolation(InterpolationOf(recipe) == Interpolation::kBicubic
                                ? v1::INTERPOLATION_BICUBIC
                                : v1::INTERPOLATION_BILINEAR);
    }
  }
}

}  // namespace

absl::Status PoolsService::Create(const v1::CreatePoolRequest& request, v1::Pool& pool) {
  SEER_ASSIGN_OR_RETURN(const std::string id, PoolIdOf(request.pool_id()));
  SEER_ASSIGN_OR_RETURN(const PoolPolicy policy, PolicyFromProto(request.policy()));
  SEER_RETURN_IF_ERROR(store_.Create(id, policy, request.request_id()));
  LogInfo("pool_created", {{"pool", id}});
  return Describe(id, 0, pool);
}

absl::Status PoolsService::Describe(const std::string& id, int64_t generation, v1::Pool& pool) {
  SEER_ASSIGN_OR_RETURN(const PoolInfo info, store_.Info(id));
  pool.Clear();
  pool.set_name(absl::StrCat("pools/", id));
  pool.set_uri(absl::StrCat(uri_, "/", id));
  SetTime(info.created, *pool.mutable_create_time());
  PolicyToProto(info.policy, *pool.mutable_policy());
  const bool newest = generation == 0;
  if (newest) {
    SEER_ASSIGN_OR_RETURN(generation, store_.Current(id));
    if (generation == 0) return absl::OkStatus();
  }
  SEER_ASSIGN_OR_RETURN(const Manifest manifest, store_.ReadManifest(id, generation));
  pool.set_generation(generation);
  pool.set_images(manifest.images);
  pool.set_size_bytes(manifest.size_bytes);
  pool.set_labelled_images(manifest.labelled_images);
  pool.set_classes(manifest.classes);
  pool.set_shards(std::count_if(manifest.shards.begin(), manifest.shards.end(),
                                [](const ShardInfo& shard) { return shard.images > 0; }));
  SetTime(manifest.created, *pool.mutable_update_time());
  for (const auto& [format, count] : manifest.formats) (*pool.mutable_formats())[format] = count;
  for (const auto& [rule, count] : manifest.refused) (*pool.mutable_refused())[rule] = count;
  pool.set_quarantined(manifest.quarantined);
  if (newest) {
    metrics_.pool_generation.Set(static_cast<double>(generation), {{"pool", id}});
    metrics_.pool_images.Set(static_cast<double>(manifest.images), {{"pool", id}});
  }
  return absl::OkStatus();
}

absl::Status PoolsService::Ingest(grpc::ServerContext& context,
                                  const v1::IngestPoolRequest& request,
                                  grpc::ServerWriter<v1::IngestProgress>& writer) {
  SEER_ASSIGN_OR_RETURN(const std::string id, PoolIdOf(request.name()));
  IngestOptions options;
  options.sources.assign(request.sources().begin(), request.sources().end());
  options.labels_from_folders = request.labels_from_folders();
  options.request_id = request.request_id();
  options.threads = threads_;
  if (request.part() != 0 || request.parts() != 0) options.part = {request.part(), request.parts()};
  const auto ingest = [&](const IngestReport& report) {
    return IngestIntoPool(store_, clock_, id, options, report);
  };
  return Fill(context, id, "pool_ingested", ingest, writer);
}

absl::Status PoolsService::Fill(
    grpc::ServerContext& context, const std::string& id, const char* event,
    absl::FunctionRef<absl::StatusOr<IngestCounts>(const IngestReport&)> work,
    grpc::ServerWriter<v1::IngestProgress>& writer) {
  v1::IngestProgress message;
  const IngestReport report = [&](const IngestCounts& counts) -> absl::Status {
    if (context.IsCancelled())
      return absl::CancelledError("the caller went away; the same call goes on");
    message.set_images_seen(counts.seen);
    message.set_images_added(counts.added);
    message.set_images_quarantined(counts.quarantined);
    message.set_images_refused(counts.refused);
    message.set_images_expired(counts.expired);
    message.set_bytes_read(counts.bytes_read);
    message.set_images_total(counts.total);
    message.set_parts_missing(counts.parts_missing);
    return writer.Write(message)
               ? absl::OkStatus()
               : absl::CancelledError("the caller went away; the same call goes on");
  };
  SEER_ASSIGN_OR_RETURN(const IngestCounts counts, work(report));
  SEER_RETURN_IF_ERROR(Describe(id, 0, *message.mutable_pool()));
  for (const auto& [rule, count] : counts.refused_by_rule)
    metrics_.pool_refused.Add(static_cast<double>(count), {{"pool", id}, {"rule", rule}});
  message.set_done(true);
  LogInfo(event, {{"pool", id},
                  {"generation", message.pool().generation()},
                  {"added", counts.added},
                  {"staged", counts.staged},
                  {"parts_missing", counts.parts_missing},
                  {"expired", counts.expired},
                  {"quarantined", counts.quarantined},
                  {"refused", counts.refused}});
  return report(counts);
}

absl::Status PoolsService::Samples(const v1::ListSamplesRequest& request,
                                   v1::ListSamplesResponse& response) {
  SEER_ASSIGN_OR_RETURN(const std::string id, PoolIdOf(request.name()));
  SEER_RETURN_IF_ERROR(store_.Info(id).status());
  SEER_ASSIGN_OR_RETURN(const OrderKind kind, request.order() == v1::SAMPLE_ORDER_UNSPECIFIED
                                                  ? OrderKind::kShuffled
                                                  : CheckOrder(request.order()));
  for (const v1::CropRecipe& crop : request.crops()) SEER_RETURN_IF_ERROR(CheckCrop(crop));
  const int world = request.world_size() == 0 ? 1 : request.world_size();
  SEER_ASSIGN_OR_RETURN(SampleSlice slice,
                        SliceOfRank(request.step(), request.global_batch(), request.rank(), world));
  const int64_t local = slice.count;
  if (!request.has_rank()) slice.count = request.global_batch();

  int64_t number = request.generation();
  if (request.has_generation() && number < 1) return NoGeneration(id, number);
  if (!request.has_generation()) {
    SEER_ASSIGN_OR_RETURN(number, store_.Current(id));
  }
  std::shared_ptr<const Generation> generation;
  if (number > 0) {
    SEER_ASSIGN_OR_RETURN(generation, generations_.Get(id, number));
  }
  SEER_ASSIGN_OR_RETURN(
      const SampleOrder order,
      SampleOrder::Create(number, generation ? generation->images() : 0, request.seed(), kind));
  SEER_ASSIGN_OR_RETURN(const Page page, PageOf(request.page_token(), request.page_size(), 100,
                                                static_cast<size_t>(slice.count)));
  SEER_ASSIGN_OR_RETURN(const auto takedowns, takedowns_.Of(id));
  for (size_t i = page.begin; i < page.end; ++i) {
    v1::Sample& sample = *response.add_samples();
    sample.set_sample_index(slice.first + static_cast<int64_t>(i));
    sample.set_rank(request.rank() + static_cast<int>(static_cast<int64_t>(i) / local));
    sample.set_row(order.RowOf(sample.sample_index()));
    SEER_ASSIGN_OR_RETURN(const auto found, generation->Locations(sample.row(), 1));
    const ImageLocation& image = found.front();
    sample.set_image_id(IdHex(image.id));
    sample.set_shard(takedowns->ShardNow(generation->ShardOf(image).name));
    sample.set_offset(image.offset);
    sample.set_size_bytes(image.size);
    sample.set_width(image.width);
    sample.set_height(image.height);
    if (image.label >= 0) sample.set_label(image.label);
    AddViews(request, sample);
  }
  if (page.end < static_cast<size_t>(slice.count))
    response.set_next_page_token(absl::StrCat(page.end));
  return absl::OkStatus();
}

grpc::Status PoolsService::CreatePool(grpc::ServerContext*, const v1::CreatePoolRequest* request,
                                      v1::Pool* pool) {
  return ToGrpc(Create(*request, *pool));
}

grpc::Status PoolsService::GetPool(grpc::ServerContext*, const v1::GetPoolRequest* request,
                                   v1::Pool* pool) {
  const auto id = PoolIdOf(request->name());
  if (!id.ok()) return ToGrpc(id.status());
  if (request->has_generation() && request->generation() < 1)
    return ToGrpc(NoGeneration(*id, request->generation()));
  return ToGrpc(Describe(*id, request->has_generation() ? request->generation() : 0, *pool));
}

grpc::Status PoolsService::ListPools(grpc::ServerContext*, const v1::ListPoolsRequest* request,
                                     v1::ListPoolsResponse* response) {
  const auto list = [&]() -> absl::Status {
    SEER_ASSIGN_OR_RETURN(const auto names, store_.Names());
    SEER_ASSIGN_OR_RETURN(const Page page,
                          PageOf(request->page_token(), request->page_size(), 100, names.size()));
    for (size_t i = page.begin; i < page.end; ++i)
      SEER_RETURN_IF_ERROR(Describe(names[i], 0, *response->add_pools()));
    if (page.end < names.size()) response->set_next_page_token(absl::StrCat(page.end));
    return absl::OkStatus();
  };
  return ToGrpc(list());
}

grpc::Status PoolsService::IngestPool(grpc::ServerContext* context,
                                      const v1::IngestPoolRequest* request,
                                      grpc::ServerWriter<v1::IngestProgress>* writer) {
  return ToGrpc(Ingest(*context, *request, *writer));
}

grpc::Status PoolsService::ListQuarantine(grpc::ServerContext*,
                                          const v1::ListQuarantineRequest* request,
                                          v1::ListQuarantineResponse* response) {
  const auto list = [&]() -> absl::Status {
    SEER_ASSIGN_OR_RETURN(const std::string id, PoolIdOf(request->name()));
    SEER_RETURN_IF_ERROR(store_.Info(id).status());
    SEER_ASSIGN_OR_RETURN(const auto images, ReadQuarantine(store_.objects(), id));
    SEER_ASSIGN_OR_RETURN(const Page page,
                          PageOf(request->page_token(), request->page_size(), 100, images.size()));
    for (size_t i = page.begin; i < page.end; ++i) {
      v1::QuarantinedImage& image = *response->add_images();
      image.set_source(images[i].source);
      image.set_reason(images[i].reason);
      image.set_message(images[i].message);
      SetTime(images[i].time, *image.mutable_time());
    }
    if (page.end < images.size()) response->set_next_page_token(absl::StrCat(page.end));
    return absl::OkStatus();
  };
  return ToGrpc(list());
}

grpc::Status PoolsService::ListSamples(grpc::ServerContext*, const v1::ListSamplesRequest* request,
                                       v1::ListSamplesResponse* response) {
  return ToGrpc(Samples(*request, *response));
}

}  // namespace seer::dataservice
