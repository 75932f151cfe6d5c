#include <nlohmann/json.hpp>

#include "client/plan.h"
#include "common/base/process.h"
#include "common/spec/elastic.h"

namespace seer::client {
namespace {

using Json = nlohmann::ordered_json;

Json OfMemory(const engine::MemoryPlan& memory) {
  Json recomputed = Json::array();
  for (size_t i = 0; i < memory.recompute.size(); ++i)
    if (memory.recompute[i]) recomputed.push_back(i);
  return {{"weightBytes", memory.weight_bytes},
          {"gradientBytes", memory.gradient_bytes},
          {"optimizerBytes", memory.optimizer_bytes},
          {"gatheredBytes", memory.gathered_bytes},
          {"activationBytes", memory.activation_bytes},
          {"transientBytes", memory.transient_bytes},
          {"peakBytes", memory.peak_bytes()},
          {"hostBytes", memory.host_bytes},
          {"recomputedSegments", recomputed},
          {"extraForwardRatio", memory.extra_forward_ratio}};
}

Json OfTraffic(const engine::StepTraffic& traffic) {
  const auto of = [](const engine::Collectives& c) -> Json {
    return {{"count", c.count}, {"bytes", c.bytes}, {"groupRanks", c.group}};
  };
  return {{"gradients", of(traffic.gradients)}, {"replicaGradients", of(traffic.replica_gradients)},
          {"weights", of(traffic.weights)},     {"batchStatistics", of(traffic.norms)},
          {"codes", of(traffic.codes)},         {"numbers", of(traffic.numbers)}};
}

Json OfTime(const TimePlan& time, const v1::JobSpec& spec, const Calibration& calibration) {
  const double ranks = spec.distributed().ranks();
  return {
      {"stepSeconds", time.step_seconds()},
      {"networkSeconds", time.step.network},
      {"photometrySeconds", time.step.augment},
      {"optimizerSeconds", time.step.optimizer},
      {"blockingCollectiveSeconds", time.traffic.blocking},
      {"hiddenCollectiveSeconds", time.traffic.hidden},
      {"exposedCollectiveSeconds", time.traffic.exposed},
      {"imagesPerSecond", static_cast<double>(spec.data().global_batch()) / time.step_seconds()},
      {"jobSeconds", time.job_seconds},
      {"rankHours", time.job_seconds * ranks / 3600},
      {"meanRelativeError", time.error.mean},
      {"largestRelativeError", time.error.largest},
      {"calibration",
       {{"file", calibration.file},
        {"host", calibration.host},
        {"cpu", calibration.cpu},
        {"device", calibration.device},
        {"threads", calibration.threads},
        {"date", calibration.date},
        {"thisMachine", calibration.host == HostName()}}}};
}

// The numbers of ranks below distributed.ranks that do as well.
Json OfSizes(const v1::JobSpec& spec) {
  Json sizes = Json::array();
  for (const int ranks : WorldSizes(spec)) {
    if (ranks == spec.distributed().ranks()) continue;
    sizes.push_back({{"count", ranks},
                     {"images", spec.data().global_batch() / ranks},
                     {"parts", AccumulationSteps(spec, ranks)}});
  }
  return sizes;
}

}  // namespace

std::string PlanJson(const v1::JobSpec& spec, const JobPlan& plan, const Calibration* calibration) {
  Json stages = Json::array();
  for (const engine::TrunkStage& stage : plan.stages)
    stages.push_back({{"blocks", stage.blocks}, {"width", stage.width}});
  int64_t prototypes = 0;
  for (const int64_t layer : plan.cost.prototype_parameters) prototypes += layer;
  Json json = {{"name", spec.metadata().name()},
               {"trunk", {{"preset", spec.model().trunk().preset()}, {"stages", stages}}},
               {"parameters",
                {{"all", plan.cost.parameters()},
                 {"trunk", plan.cost.trunk_parameters()},
                 {"head", plan.cost.head.parameters},
                 {"prototypes", prototypes}}},
               {"multiplyAddsPerImage", plan.cost.multiply_adds_per_image()},
               {"memory", OfMemory(plan.memory)},
               {"ranks",
                {{"count", plan.step.ranks},
                 {"images", plan.step.images},
                 {"parts", plan.step.parts},
                 {"batchNormGroups", plan.step.ranks / plan.step.norm_group},
                 {"batchNormGroupRanks", plan.step.norm_group},
                 {"shardGroupRanks", plan.step.shard_group},
                 {"elastic", OfSizes(spec)},
                 {"spares", spec.distributed().spare_ranks()}}},
               {"traffic", OfTraffic(plan.traffic)}};
  if (plan.start) {
    json["start"] = {{"now", plan.start->why_not.empty()},
                     {"message", plan.start->why_not},
                     {"estimatedStartTime", plan.start->when},
                     {"machines", plan.start->machines}};
  }
  if (spec.kind() == v1::JOB_KIND_EVAL_KNN) return json.dump();
  json["steps"] = spec.optim().steps();
  json["images"] = spec.optim().steps() * spec.data().global_batch();
  json["learningRates"] = plan.learning_rates;
  json["checkpointBytes"] = plan.checkpoint_bytes;
  json["time"] =
      plan.time && calibration != nullptr ? OfTime(*plan.time, spec, *calibration) : Json(nullptr);
  return json.dump();
}

}  // namespace seer::client
