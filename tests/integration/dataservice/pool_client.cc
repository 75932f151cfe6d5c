#include "tests/integration/dataservice/pool_client.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <tuple>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/http/http_client.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"
#include "seer/v1/batches.grpc.pb.h"
#include "seer/v1/pools.grpc.pb.h"
#include "tests/support/status_matchers.h"

namespace seer::dataservice {
namespace {

std::shared_ptr<grpc::Channel> ChannelTo(const DataServer& server) {
  return MakeChannel({absl::StrCat("127.0.0.1:", server.port())});
}

}  // namespace

absl::StatusOr<std::unique_ptr<DataServer>> StartServer(const std::string& pools, int threads) {
  ServerConfig config;
  config.listen = "127.0.0.1:0";
  config.pools = pools;
  config.threads = threads;
  return DataServer::Start(config);
}

absl::Status CreatePool(const DataServer& server, const std::string& pool) {
  grpc::ClientContext context;
  v1::CreatePoolRequest request;
  request.set_pool_id(pool);
  v1::Pool answer;
  return FromGrpc(v1::Pools::NewStub(ChannelTo(server))->CreatePool(&context, request, &answer));
}

absl::StatusOr<v1::IngestProgress> IngestPool(const DataServer& server, const std::string& pool,
                                              const std::vector<std::string>& sources,
                                              bool labels) {
  grpc::ClientContext context;
  v1::IngestPoolRequest request;
  request.set_name("pools/" + pool);
  for (const auto& source : sources) request.add_sources(source);
  request.set_labels_from_folders(labels);
  const auto stub = v1::Pools::NewStub(ChannelTo(server));
  const auto stream = stub->IngestPool(&context, request);
  v1::IngestProgress progress, last;
  while (stream->Read(&progress)) last = progress;
  SEER_RETURN_IF_ERROR(FromGrpc(stream->Finish()));
  return last;
}

absl::StatusOr<std::vector<std::string>> QuarantineReasons(const DataServer& server,
                                                           const std::string& pool) {
  grpc::ClientContext context;
  v1::ListQuarantineRequest request;
  request.set_name("pools/" + pool);
  v1::ListQuarantineResponse response;
  SEER_RETURN_IF_ERROR(FromGrpc(
      v1::Pools::NewStub(ChannelTo(server))->ListQuarantine(&context, request, &response)));
  std::vector<std::string> reasons;
  for (const auto& image : response.images()) reasons.push_back(image.reason());
  return reasons;
}

v1::StreamBatchesRequest BatchesOf(const std::string& pool, int64_t steps, int64_t batch) {
  v1::StreamBatchesRequest request;
  request.set_pool("pools/" + pool);
  request.add_data_plan()->set_generation(1);
  request.set_seed(7);
  request.set_end_step(steps);
  request.set_world_size(1);
  request.set_global_batch(batch);
  request.set_order(v1::SAMPLE_ORDER_SHUFFLED);
  for (const auto& [views, size, low, high] :
       {std::tuple(2, 16, 0.4, 1.0), std::tuple(1, 8, 0.1, 0.4)}) {
    auto& crop = *request.add_crops();
    crop.set_views(views);
    crop.set_size(size);
    crop.set_min_scale(low);
    crop.set_max_scale(high);
    crop.set_flip_probability(0.5);
  }
  request.set_max_bad_ratio(0.01);
  return request;
}

absl::StatusOr<std::vector<v1::BatchMessage>> StreamBatches(
    const DataServer& server, const v1::StreamBatchesRequest& request) {
  grpc::ClientContext context;
  const auto stub = v1::Batches::NewStub(ChannelTo(server));
  const auto stream = stub->StreamBatches(&context, request);
  std::vector<v1::BatchMessage> messages;
  v1::BatchMessage message;
  while (stream->Read(&message)) messages.push_back(message);
  SEER_RETURN_IF_ERROR(FromGrpc(stream->Finish()));
  return messages;
}

std::string MetricsOf(const DataServer& server) {
  HttpRequest request;
  request.url = absl::StrCat("http://127.0.0.1:", server.metrics_port(), "/metrics");
  const auto response = HttpClient().Do(request);
  EXPECT_OK(response);
  return response.ok() ? response->body : "";
}

}  // namespace seer::dataservice
