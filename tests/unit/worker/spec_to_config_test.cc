// JobSpec -> engine: that every field arrives, each in its own place.
#include "worker/trainer/spec_to_config.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/spec/defaults.h"
#include "common/spec/yaml.h"
#include "tests/support/status_matchers.h"

namespace seer::worker {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using ::testing::ElementsAre;

std::string Dump(const engine::TrainConfig& c) {
  const auto& r = c.trunk.regnet;
  std::string text = absl::StrCat(
      "regnet ", r.depth, " ", r.w_0, " ", r.w_a, " ", r.w_m, " ", r.group_width, " ", r.se_ratio,
      " stem ", c.trunk.stem_stride, " resnet ", c.trunk.resnet.has_value(), " head ",
      absl::StrJoin(c.head.hidden, ","), " ", c.head.output_dim, " ", c.head.batch_norm, " ",
      c.head.prototypes, " more ", absl::StrJoin(c.head.extra_prototypes, ","));
  absl::StrAppend(&text, " swav ", c.swav.temperature, " ", c.swav.epsilon, " ",
                  c.swav.sinkhorn_iterations, " ", c.swav.assign_views, " ", c.swav.queue_length,
                  " ", c.swav.queue_start_step, " ", c.swav.freeze_prototypes_steps, " ",
                  static_cast<int>(c.swav.sinkhorn_domain), " ", c.swav.power_law_exponent, " ",
                  c.swav.hard_code_steps);
  const auto& o = c.optim;
  absl::StrAppend(&text, " optim ", o.momentum, " ", o.weight_decay, " ", o.nesterov, " ",
                  o.decay_norm_and_bias, " larc ", o.larc.enabled, " ", o.larc.trust, " ",
                  o.larc.clip, " kind ", static_cast<int>(o.kind), " lars ", o.lars.trust,
                  " adamw ", o.adamw.beta1, " ", o.adamw.beta2, " ", o.adamw.epsilon, " clip ",
                  o.clip_norm, " ema ", o.ema_decay);
  for (const auto& g : o.groups)
    absl::StrAppend(&text, " group ", g.match, " ", g.lr_scale, " ", g.weight_decay.value_or(-1),
                    " ", g.adapt ? (*g.adapt ? "adapted" : "plain") : "");
  absl::StrAppend(&text, " loss scale ", c.loss_scale.initial, " ", c.loss_scale.growth_interval);
  absl::StrAppend(&text, " lr ", o.base_lr, " ", o.start_lr, " ", o.final_lr, " ", o.warmup_steps,
                  " ", o.total_steps);
  const auto& s = o.schedules;
  int place = 0;
  for (const auto* schedule :
       {&s.lr, &s.weight_decay, &s.momentum, &s.larc_trust, &s.temperature, &s.epsilon}) {
    absl::StrAppend(&text, " schedule ", place++);
    for (const auto& phase : schedule->phases)
      absl::StrAppend(&text, " phase ", static_cast<int>(phase.shape), " ", phase.start, " ",
                      phase.end, " ", phase.steps);
  }
  const auto& p = c.photometry;
  absl::StrAppend(&text, " photometry ", p.jitter_strength, " ", p.jitter_probability, " ",
                  p.grey_probability, " ", p.blur_probability, " ", p.solarize_probability, " ",
                  absl::StrJoin(p.mean, ","), " ", absl::StrJoin(p.std, ","));
  absl::StrAppend(&text, " memory ", static_cast<int>(c.memory.recompute), " ",
                  absl::StrJoin(c.memory.recompute_segments, ","), " ", c.memory.budget_bytes,
                  " distributed ", c.distributed.sync_bn_group_size, " ",
                  c.distributed.bucket_bytes, " ", c.distributed.collective_timeout_seconds,
                  " precision ", static_cast<int>(c.precision), " batch ", c.global_batch, " seed ",
                  c.seed);
  absl::StrAppend(&text, " backend ", static_cast<int>(c.distributed.backend));
  absl::StrAppend(&text, " shard ", c.distributed.shard_group_size, " offload ",
                  c.memory.offload_optimizer, " parts ", c.accumulation_steps);
  absl::StrAppend(&text, " weights ", c.weights.uri, " ",
                  c.weights.names ? static_cast<int>(*c.weights.names) : -1);
  for (const auto& crop : c.crops) absl::StrAppend(&text, " crop ", crop.views, "x", crop.size);
  return text;
}

internal::v1::Assign Gang() {
  internal::v1::Assign assign;
  assign.set_attempt_id(42);
  assign.set_job("jobs/job_a");
  assign.set_rank(1);
  assign.set_world_size(4);
  assign.set_store_host("10.0.0.1");
  assign.set_store_port(20001);
  assign.set_ranks_on_machine(2);
  auto& entry = *assign.add_data_plan();
  entry.set_first_step(0);
  entry.set_generation(3);
  return assign;
}

// All that a trainer makes of a spec.
std::string Everything(const v1::JobSpec& spec) {
  const auto config = ToTrainConfig(spec, Gang().world_size());
  if (!config.ok()) return config.status().ToString();
  return absl::StrCat(Dump(*config), " threads ", ToRankConfig(spec, Gang()).threads, " ",
                      ToStreamRequest(spec, Gang(), 7).ShortDebugString());
}

v1::JobSpec Full(v1::OptimizerKind kind = v1::OPTIMIZER_KIND_SGD) {
  v1::JobSpec spec;
  spec.mutable_optim()->set_kind(kind);
  spec.set_seed(11);
  spec.mutable_metadata()->set_name("full");
  auto& regnet = *spec.mutable_model()->mutable_trunk()->mutable_regnet();
  regnet.set_depth(4);
  regnet.set_w_0(16);
  regnet.set_w_a(8);
  regnet.set_w_m(2);
  regnet.set_group_width(8);
  regnet.set_se_ratio(0.25);
  spec.mutable_model()->mutable_weights()->set_uri("/weights/trunk.safetensors");
  spec.mutable_data()->set_pool("photos");
  spec.mutable_data()->set_generation(3);
  spec.mutable_optim()->set_steps(100);
  auto& schedule = *spec.mutable_optim()->add_schedules();
  schedule.set_value(v1::SCHEDULED_VALUE_LR);
  schedule.add_phases()->set_shape(v1::SCHEDULE_SHAPE_COSINE);
  schedule.mutable_phases(0)->set_steps(40);
  v1::ParameterGroupSpec& group = *spec.mutable_optim()->add_groups();
  group.set_match("*.bias");
  group.set_weight_decay(0.5);
  group.set_adapt(false);
  v1::LossScaleSpec& scale = *spec.mutable_precision()->mutable_loss_scale();
  scale.set_initial(1024);
  scale.set_growth_interval(100);
  spec.mutable_memory()->set_recompute(v1::RECOMPUTE_MODE_LIST);
  spec.mutable_memory()->add_recompute_segments(2);
  spec.mutable_distributed()->set_threads_per_rank(3);
  spec.mutable_distributed()->mutable_collective_timeout()->set_nanos(500'000'000);
  spec.mutable_distributed()->mutable_collective_timeout()->set_seconds(90);
  spec.mutable_eval()->add_k(20);
  spec.mutable_alerts()->add_rules()->set_name("loss");
  spec.mutable_alerts()->add_webhooks()->set_url("https://hooks/seer");
  spec.mutable_chain()->add_after()->set_job("before");
  FillDefaults(spec);
  return spec;
}

// Calls `visit` with the path of each scalar that is there, after changing it; changes it back.
void ChangeEach(Message& message, const std::string& path,
                const std::function<void(const std::string&)>& visit) {
  const auto& r = *message.GetReflection();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *message.GetDescriptor()->field(i);
    if (field.is_map()) continue;
    const std::string name = path.empty() ? field.name() : absl::StrCat(path, ".", field.name());
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      if (field.is_repeated()) {
        for (int n = 0; n < r.FieldSize(message, &field); ++n)
          ChangeEach(*r.MutableRepeatedMessage(&message, &field, n), name, visit);
      } else if (r.HasField(message, &field)) {
        ChangeEach(*r.MutableMessage(&message, &field), name, visit);
      }
      continue;
    }
    // Appending to a list, or another value.
    std::unique_ptr<Message> before(message.New());
    before->CopyFrom(message);
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        field.is_repeated()
            ? r.AddInt32(&message, &field, 5)
            : r.SetInt32(&message, &field, r.GetInt32(message, &field) == 1 ? 2 : 1);
        break;
      case FieldDescriptor::CPPTYPE_INT64:
        field.is_repeated() ? r.AddInt64(&message, &field, 5)
                            : r.SetInt64(&message, &field, r.GetInt64(message, &field) + 8);
        break;
      case FieldDescriptor::CPPTYPE_UINT64:
        r.SetUInt64(&message, &field, r.GetUInt64(message, &field) + 1);
        break;
      case FieldDescriptor::CPPTYPE_DOUBLE:
        r.SetDouble(&message, &field, r.GetDouble(message, &field) * 0.5 + 0.03125);
        break;
      case FieldDescriptor::CPPTYPE_FLOAT:
        r.AddFloat(&message, &field, 0.5f);
        break;
      case FieldDescriptor::CPPTYPE_BOOL:
        r.SetBool(&message, &field, !r.GetBool(message, &field));
        break;
      case FieldDescriptor::CPPTYPE_ENUM:
        r.SetEnumValue(&message, &field, r.GetEnumValue(message, &field) == 2 ? 1 : 2);
        break;
      default:
        field.is_repeated() ? r.AddString(&message, &field, "regnety_400mf")
                            : r.SetString(&message, &field, "regnety_400mf");
    }
    visit(name);
    message.CopyFrom(*before);
  }
}

TEST(SpecToConfigTest, EveryFieldOfASpecReachesTheTrainerOrIsKnownNotTo) {
  // What the coordinator decides by, what the trainer's loop reads itself, and evaluations.
  const std::set<std::string> not_here = {
      "kind",
      "metadata.name",
      "data.generation",  // the assignment's data plan
      "data.follow_pool",
      "data.transport",
      "data.prefetch_steps",
      "data.record_ids",
      "distributed.ranks",  // the assignment's world size
      "distributed.min_ranks",
      "distributed.spare_ranks",
      "checkpoint.every_steps",
      "checkpoint.keep_last",
      "checkpoint.keep_every",
      "checkpoint.keep_best",
      "checkpoint.keep_last_when_full",
      "checkpoint.start_from",
      "failure.max_restarts",
      "failure.no_progress_timeout.seconds",
      "failure.no_progress_timeout.nanos",
      "failure.refused_step_policy",
      "failure.refused_step_limit",
      "scheduling.queue",
      "scheduling.priority",
      "scheduling.group_within",
      "scheduling.on_preemption",
      "alerts.mode",
      "alerts.rules.name",
      "alerts.rules.signal",
      "alerts.rules.above",
      "alerts.rules.below",
      "alerts.rules.for_steps",
      "alerts.rules.after_step",
      "alerts.rules.action",
      "alerts.webhooks.url",
      "alerts.webhooks.events",
      "chain.after.job",
      "chain.after.condition",
      "eval.checkpoint",
      "eval.train_pool",
      "eval.test_pool",
      "eval.k",
      "eval.temperature",
      "eval.image_size",
      "eval.batch",
      "loss.swav.queue_start_epoch",  // the coordinator makes a step of it
  };
  std::set<std::string> seen, unseen;
  // Each kind has fields of its own.
  for (const auto kind :
       {v1::OPTIMIZER_KIND_SGD, v1::OPTIMIZER_KIND_LARS, v1::OPTIMIZER_KIND_ADAMW}) {
    v1::JobSpec spec = Full(kind);
    const std::string before = Everything(spec);
    ChangeEach(spec, "", [&](const std::string& path) {
      (Everything(spec) == before ? unseen : seen).insert(path);
    });
    EXPECT_EQ(Everything(spec), before);
  }
  EXPECT_EQ(unseen, not_here);
  EXPECT_GT(seen.size(), 50u);
  for (const char* field : {"optim.kind", "optim.lars.trust", "optim.adamw.epsilon",
                            "optim.groups.adapt", "precision.loss_scale.growth_interval"})
    EXPECT_EQ(seen.count(field), 1u) << field;
}

TEST(SpecToConfigTest, FieldsArriveInTheirOwnPlaces) {
  v1::JobSpec spec = Full();
  ASSERT_OK(ApplySet(spec, "loss.swav.queueLength=512"));
  ASSERT_OK(ApplySet(spec, "loss.swav.queueStartStep=9"));
  ASSERT_OK(ApplySet(spec, "optim.startLr=0.125"));
  ASSERT_OK(ApplySet(spec, "optim.finalLr=0.25"));
  ASSERT_OK(ApplySet(spec, "optim.warmupSteps=5"));
  ASSERT_OK(ApplySet(spec, "precision.mode=bf16"));
  ASSERT_OK_AND_ASSIGN(const engine::TrainConfig c, ToTrainConfig(spec, 1));
  EXPECT_EQ(c.trunk.regnet.depth, 4);
  EXPECT_EQ(c.trunk.regnet.group_width, 8);
  EXPECT_EQ(c.swav.queue_length, 512);
  EXPECT_EQ(c.swav.queue_start_step, 9);
  EXPECT_EQ(c.optim.start_lr, 0.125);
  EXPECT_EQ(c.optim.final_lr, 0.25);
  EXPECT_EQ(c.optim.base_lr, 0.6);
  EXPECT_EQ(c.optim.warmup_steps, 5);
  EXPECT_EQ(c.optim.total_steps, 100);
  EXPECT_EQ(c.precision, engine::Precision::kBf16);
  for (const auto& [mode, precision] :
       {std::pair("tf32", engine::Precision::kTf32), std::pair("fp16", engine::Precision::kFp16)}) {
    ASSERT_OK(ApplySet(spec, absl::StrCat("precision.mode=", mode)));
    ASSERT_OK_AND_ASSIGN(const engine::TrainConfig changed, ToTrainConfig(spec, 1));
    EXPECT_EQ(changed.precision, precision);
  }
  EXPECT_EQ(c.memory.recompute, engine::MemoryConfig::Recompute::kList);
  EXPECT_THAT(c.memory.recompute_segments, ElementsAre(2));
  EXPECT_EQ(c.distributed.collective_timeout_seconds, 90.5);
  EXPECT_EQ(c.seed, 11u);
}

TEST(SpecToConfigTest, EachOptimizerArrivesWithItsNumbers) {
  v1::JobSpec spec = Full(v1::OPTIMIZER_KIND_ADAMW);
  ASSERT_OK(ApplySet(spec, "optim.adamw.beta1=0.25"));
  ASSERT_OK(ApplySet(spec, "optim.adamw.beta2=0.5"));
  ASSERT_OK(ApplySet(spec, "optim.adamw.epsilon=0.125"));
  ASSERT_OK(ApplySet(spec, "optim.clipNorm=3"));
  ASSERT_OK_AND_ASSIGN(const engine::TrainConfig adamw, ToTrainConfig(spec, 1));
  EXPECT_EQ(adamw.optim.kind, engine::OptimizerKind::kAdamW);
  EXPECT_EQ(adamw.optim.adamw.beta1, 0.25);
  EXPECT_EQ(adamw.optim.adamw.beta2, 0.5);
  EXPECT_EQ(adamw.optim.adamw.epsilon, 0.125);
  EXPECT_EQ(adamw.optim.clip_norm, 3);
  EXPECT_FALSE(adamw.optim.larc.enabled);
  spec = Full(v1::OPTIMIZER_KIND_LARS);
  ASSERT_OK(ApplySet(spec, "optim.lars.trust=0.25"));
  ASSERT_OK_AND_ASSIGN(const engine::TrainConfig lars, ToTrainConfig(spec, 1));
  EXPECT_EQ(lars.optim.kind, engine::OptimizerKind::kLars);
  EXPECT_EQ(lars.optim.lars.trust, 0.25);
  EXPECT_FALSE(lars.optim.decay_norm_and_bias);
  spec = Full();
  spec.mutable_optim()->clear_kind();  // as stored before there were kinds
  ASSERT_OK_AND_ASSIGN(const engine::TrainConfig old, ToTrainConfig(spec, 1));
  EXPECT_EQ(old.optim.kind, engine::OptimizerKind::kSgd);
}

TEST(SpecToConfigTest, EachScheduleArrivesInItsPlace) {
  v1::JobSpec spec = Full();
  spec.mutable_optim()->clear_schedules();
  const auto shapes = {v1::SCHEDULE_SHAPE_CONSTANT, v1::SCHEDULE_SHAPE_LINEAR,
                       v1::SCHEDULE_SHAPE_COSINE};
  for (int value = v1::SCHEDULED_VALUE_LR; value <= v1::SCHEDULED_VALUE_EPSILON; ++value) {
    auto& schedule = *spec.mutable_optim()->add_schedules();
    schedule.set_value(static_cast<v1::ScheduledValue>(value));
    for (const auto shape : shapes) {
      auto& phase = *schedule.add_phases();
      phase.set_shape(shape);
      phase.set_start(value);
      phase.set_end(0.5);
      phase.set_steps(7);
    }
  }
  ASSERT_OK_AND_ASSIGN(const engine::TrainConfig c, ToTrainConfig(spec, 1));
  const engine::ScheduleConfig& s = c.optim.schedules;
  int value = v1::SCHEDULED_VALUE_LR;
  for (const engine::Schedule* schedule :
       {&s.lr, &s.weight_decay, &s.momentum, &s.larc_trust, &s.temperature, &s.epsilon}) {
    ASSERT_EQ(schedule->phases.size(), 3u) << value;
    EXPECT_EQ(schedule->phases[0].shape, engine::ScheduleShape::kConstant);
    EXPECT_EQ(schedule->phases[1].shape, engine::ScheduleShape::kLinear);
    EXPECT_EQ(schedule->phases[2].shape, engine::ScheduleShape::kCosine);
    EXPECT_EQ(schedule->phases[2].start, value++);
    EXPECT_EQ(schedule->phases[2].end, 0.5);
    EXPECT_EQ(schedule->phases[2].steps, 7);
  }
}

TEST(SpecToConfigTest, TheDefaultsAreSwAVs) {
  v1::JobSpec spec;
  spec.mutable_data()->set_pool("photos");
  spec.mutable_optim()->set_steps(10);
  FillDefaults(spec);
  ASSERT_OK_AND_ASSIGN(const engine::TrainConfig c, ToTrainConfig(spec, 1));
  ASSERT_OK_AND_ASSIGN(const auto preset, engine::TrunkPreset("regnety_200mf"));
  EXPECT_EQ(c.trunk.regnet.depth, preset.regnet.depth);
  EXPECT_EQ(c.trunk.regnet.w_m, preset.regnet.w_m);
  EXPECT_EQ(c.trunk.stem_stride, 2);
  EXPECT_THAT(c.head.hidden, ElementsAre(2048));
  EXPECT_EQ(c.head.output_dim, 128);
  EXPECT_TRUE(c.head.batch_norm);
  EXPECT_EQ(c.head.prototypes, 3000);
  EXPECT_EQ(c.swav.freeze_prototypes_steps, 313);
  ASSERT_EQ(c.crops.size(), 2u);
  EXPECT_EQ(c.crops[0].views, 2);
  EXPECT_EQ(c.crops[0].size, 224);
  EXPECT_EQ(c.crops[1].views, 6);
  EXPECT_EQ(c.crops[1].size, 96);
  EXPECT_EQ(c.global_batch, 256);
  EXPECT_EQ(c.precision, engine::Precision::kFp32);
  EXPECT_EQ(c.memory.recompute, engine::MemoryConfig::Recompute::kNone);
  EXPECT_EQ(c.distributed.collective_timeout_seconds, 300);
  EXPECT_THAT(c.photometry.mean, ElementsAre(0.485f, 0.456f, 0.406f));
}

TEST(SpecToConfigTest, APresetWinsAndAnUnknownOneIsAnError) {
  v1::JobSpec spec = Full();
  spec.mutable_model()->mutable_trunk()->set_preset("regnety_400mf");
  ASSERT_OK_AND_ASSIGN(const engine::TrainConfig c, ToTrainConfig(spec, 1));
  ASSERT_OK_AND_ASSIGN(const auto preset, engine::TrunkPreset("regnety_400mf"));
  EXPECT_EQ(c.trunk.regnet.depth, preset.regnet.depth);
  spec.mutable_model()->mutable_trunk()->set_preset("resnext101_32x8d");
  spec.mutable_model()->mutable_trunk()->set_stem_stride(1);
  ASSERT_OK_AND_ASSIGN(const engine::TrainConfig resnext, ToTrainConfig(spec, 1));
  ASSERT_TRUE(resnext.trunk.resnet.has_value());
  EXPECT_THAT(resnext.trunk.resnet->blocks, ElementsAre(3, 4, 23, 3));
  EXPECT_EQ(resnext.trunk.resnet->groups, 32);
  EXPECT_EQ(resnext.trunk.resnet->width_per_group, 8);
  EXPECT_EQ(resnext.trunk.stem_stride, 1);
  EXPECT_FALSE(c.trunk.resnet.has_value());
  spec.mutable_model()->mutable_trunk()->set_preset("regnetz_1tf");
  EXPECT_THAT(ToTrainConfig(spec, 1).status(),
              testing::FailsWith(absl::StatusCode::kNotFound, reason::kInvalidSpec, "regnetz_1tf"));
}

TEST(SpecToConfigTest, EveryRecipeMaps) {
  const char* source = std::getenv("SEER_SOURCE_DIR");
  ASSERT_NE(source, nullptr) << "run by ctest";
  int recipes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(source) + "/recipes")) {
    if (entry.path().extension() != ".yaml") continue;
    ++recipes;
    std::stringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    ASSERT_OK_AND_ASSIGN(auto specs, ParseJobSpecs(text.str(), entry.path().string(),
                                                   {std::string(source) + "/recipes"}));
    for (v1::JobSpec& spec : specs) {
      if (spec.kind() == v1::JOB_KIND_EVAL_KNN) continue;
      FillDefaults(spec);
      ASSERT_OK_AND_ASSIGN(const engine::TrainConfig c, ToTrainConfig(spec, 1));
      EXPECT_EQ(c.optim.total_steps, spec.optim().steps()) << entry.path();
      EXPECT_EQ(c.head.prototypes, spec.loss().swav().prototypes()) << entry.path();
      EXPECT_EQ(c.crops.size(), static_cast<size_t>(spec.augment().crops_size())) << entry.path();
      EXPECT_GT(c.trunk.regnet.depth, 0) << entry.path();
    }
  }
  EXPECT_GE(recipes, 3);
}

TEST(SpecToConfigTest, ARankKnowsItsGang) {
  v1::JobSpec spec = Full();
  const engine::RankConfig rank = ToRankConfig(spec, Gang());
  EXPECT_EQ(rank.rank, 1);
  EXPECT_EQ(rank.world_size, 4);
  EXPECT_EQ(rank.store_host, "10.0.0.1");
  EXPECT_EQ(rank.store_port, 20001);
  EXPECT_EQ(rank.store_prefix, "attempt-42") << "no stale rank meets a new gang";
  EXPECT_EQ(rank.threads, 3);
  EXPECT_EQ(rank.device, "cpu") << "an agent that names none has no GPUs";
  internal::v1::Assign on_gpu = Gang();
  on_gpu.set_device("cuda:1");
  EXPECT_EQ(ToRankConfig(spec, on_gpu).device, "cuda:1");
  spec.mutable_distributed()->set_threads_per_rank(0);
  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  EXPECT_EQ(ToRankConfig(spec, Gang()).threads, std::max(1, cores / 2));
  internal::v1::Assign crowded = Gang();
  crowded.set_ranks_on_machine(100 * cores);
  EXPECT_EQ(ToRankConfig(spec, crowded).threads, 1);
  crowded.set_ranks_on_machine(0);
  EXPECT_EQ(ToRankConfig(spec, crowded).threads, cores);
}

TEST(SpecToConfigTest, FewerRanksTakeTheSameBatchInMoreParts) {
  v1::JobSpec spec = Full();
  spec.mutable_data()->set_global_batch(96);
  spec.mutable_distributed()->set_ranks(4);
  spec.mutable_optim()->set_accumulation_steps(2);  // of 12 images
  for (const auto& [world, parts] :
       {std::pair(4, 2), std::pair(3, 4), std::pair(2, 4), std::pair(1, 8)}) {
    ASSERT_OK_AND_ASSIGN(const engine::TrainConfig c, ToTrainConfig(spec, world));
    EXPECT_EQ(c.accumulation_steps, parts) << world;
    EXPECT_EQ(c.global_batch, 96);
    EXPECT_EQ(c.optim.base_lr, spec.optim().lr());
  }
}

TEST(SpecToConfigTest, AStreamIsTheRanksSliceOfTheJob) {
  v1::JobSpec spec = Full();
  const v1::StreamBatchesRequest request = ToStreamRequest(spec, Gang(), 7);
  EXPECT_EQ(request.pool(), "pools/photos");
  EXPECT_EQ(request.job(), "jobs/job_a");
  EXPECT_EQ(request.first_step(), 7);
  EXPECT_EQ(request.end_step(), 100);
  EXPECT_EQ(request.rank(), 1);
  EXPECT_EQ(request.world_size(), 4);
  EXPECT_EQ(request.global_batch(), 256);
  EXPECT_EQ(request.seed(), 11u);
  EXPECT_EQ(request.order(), v1::SAMPLE_ORDER_SHUFFLED);
  EXPECT_FALSE(request.one_epoch());
  ASSERT_EQ(request.data_plan_size(), 1);
  EXPECT_EQ(request.data_plan(0).generation(), 3);
  ASSERT_EQ(request.crops_size(), 2);
  EXPECT_EQ(request.crops(1).views(), 6);
  EXPECT_EQ(request.crops(1).max_scale(), 0.14);
  EXPECT_EQ(request.crops(1).flip_probability(), 0.5);
  EXPECT_EQ(request.crops(1).interpolation(), v1::INTERPOLATION_BILINEAR);
  ASSERT_OK(ApplySet(spec, "augment.interpolation=bicubic"));
  const auto bicubic = ToStreamRequest(spec, Gang(), 7);
  for (const v1::CropRecipe& crop : bicubic.crops())
    EXPECT_EQ(crop.interpolation(), v1::INTERPOLATION_BICUBIC);
  ASSERT_OK(ApplySet(spec, "data.sampling=replacement"));
  EXPECT_EQ(ToStreamRequest(spec, Gang(), 7).order(), v1::SAMPLE_ORDER_REPLACEMENT);
  spec.mutable_data()->clear_sampling();  // as stored before there was a choice
  EXPECT_EQ(ToStreamRequest(spec, Gang(), 7).order(), v1::SAMPLE_ORDER_SHUFFLED);
}

TEST(KeyBelowTest, IsTheStoresKey) {
  EXPECT_EQ(KeyBelow("file:///root/job_x/checkpoints/40", "file:///root"), "job_x/checkpoints/40");
  EXPECT_EQ(KeyBelow("file:///root/job_x/checkpoints/40/", "file:///root/"),
            "job_x/checkpoints/40");
  EXPECT_EQ(KeyBelow("file:///root", "file:///root"), "");
}

}  // namespace
}  // namespace seer::worker
