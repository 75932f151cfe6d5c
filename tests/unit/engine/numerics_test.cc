// The parts of a step by themselves: Sinkhorn, loss,
// schedule, optimiser, photometry, k-NN, weights, files.
#include <cstdlib>
#include <fstream>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "common/base/digest.h"
#include "common/base/reasons.h"
#include "common/objectstore/memory_store.h"
#include "engine/augment/photometry.h"
#include "engine/checkpoint/layout.h"
#include "engine/checkpoint/reader.h"
#include "engine/checkpoint/safetensors.h"
#include "engine/checkpoint/snapshot.h"
#include "engine/checkpoint/writer.h"
#include "engine/eval/knn.h"
#include "engine/nn/init.h"
#include "engine/optim/schedule.h"
#include "engine/ssl/sinkhorn.h"
#include "engine/ssl/swav_loss.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer::engine {
namespace {

using seer::testing::FailsWith;

at::Tensor Random(at::IntArrayRef sizes, uint64_t seed = 1) {
  return at::randn(sizes, at::detail::createCPUGenerator(seed), at::kFloat);
}
double Largest(const at::Tensor& t) { return t.abs().max().item<double>(); }

TEST(Sinkhorn, RowsSumToOneAndMarginalsBecomeUniform) {
  const auto solo = MakeSoloCommunicator();
  const at::Tensor scores = Random({2, 64, 10}).mul_(0.2);
  double before = 1e9;
  for (const int iterations : {1, 3, 30}) {
    const Codes codes = Sinkhorn(scores, {0.05, iterations}, *solo);
    EXPECT_GE(codes.codes.min().item<double>(), 0);
    EXPECT_LT(Largest(codes.codes.sum(2) - 1), 1e-5);
    const double deviation = Largest(codes.codes.mean(1) * 10 - 1);
    EXPECT_NEAR(codes.residual.item<double>(), deviation, 1e-4);
    EXPECT_LT(deviation, before);
    before = deviation;
  }
  EXPECT_LT(before, 1e-2);
}

TEST(Sinkhorn, ViewsAreSolvedAloneAndAConstantCancels) {
  const auto solo = MakeSoloCommunicator();
  const at::Tensor scores = Random({2, 16, 6});
  const at::Tensor both = Sinkhorn(scores, {}, *solo).codes;
  const at::Tensor second = Sinkhorn(scores.narrow(0, 1, 1), {}, *solo).codes;
  EXPECT_LT(Largest(both.narrow(0, 1, 1) - second), 1e-6);
  EXPECT_LT(Largest(Sinkhorn(scores + 0.5, {}, *solo).codes - both), 1e-4);
}

TEST(Sinkhorn, SmallEpsilonStaysFinite) {
  const auto solo = MakeSoloCommunicator();
  const at::Tensor codes = Sinkhorn(Random({1, 32, 8}), {0.001, 3}, *solo).codes;
  EXPECT_TRUE(codes.isfinite().all().item<bool>());
}

TEST(Sinkhorn, LogDomainIsTheSameFixedPoint) {
  const auto solo = MakeSoloCommunicator();
  const at::Tensor scores = Random({2, 48, 12}).mul_(0.3);
  for (const double exponent : {0.0, 0.5}) {
    SinkhornOptions options = {0.05, 3, SinkhornDomain::kPlain, exponent};
    const Codes plain = Sinkhorn(scores, options, *solo);
    options.domain = SinkhornDomain::kLog;
    const Codes log = Sinkhorn(scores, options, *solo);
    EXPECT_LT(Largest(log.codes - plain.codes), 1e-5) << exponent;
    EXPECT_NEAR(log.residual.item<double>(), plain.residual.item<double>(), 1e-3) << exponent;
  }
}

TEST(Sinkhorn, LogDomainLosesNoSampleToUnderflow) {
  const auto solo = MakeSoloCommunicator();
  at::Tensor scores = Random({1, 32, 8});
  scores.select(1, 5).sub_(10);  // far below the largest score of the view
  const SinkhornOptions plain = {0.01, 3}, log = {0.01, 3, SinkhornDomain::kLog};
  EXPECT_EQ(Sinkhorn(scores, plain, *solo).codes.select(1, 5).sum().item<double>(), 0);
  const at::Tensor codes = Sinkhorn(scores, log, *solo).codes;
  EXPECT_LT(Largest(codes.sum(2) - 1), 1e-5);
  const at::Tensor tiny = Sinkhorn(scores, {1e-4, 3, SinkhornDomain::kLog}, *solo).codes;
  EXPECT_LT(Largest(tiny.sum(2) - 1), 1e-5);
}

TEST(Sinkhorn, PowerLawSharesAreMet) {
  const auto solo = MakeSoloCommunicator();
  const at::Tensor shares = PrototypeShares(5, 1.0);
  EXPECT_NEAR(shares.sum().item<double>(), 1, 1e-12);
  EXPECT_NEAR(shares[0].item<double>() / shares[3].item<double>(), 4, 1e-9);
  EXPECT_TRUE(PrototypeShares(4, 0).equal(at::full({4}, 0.25, at::kDouble)));
  const SinkhornOptions options = {0.5, 50, SinkhornDomain::kLog, 1.0};
  const Codes codes = Sinkhorn(Random({2, 200, 5}), options, *solo);
  EXPECT_LT(Largest(codes.codes.mean(1).to(at::kDouble) - shares), 1e-4);
  EXPECT_LT(codes.residual.item<double>(), 1e-3);
}

TEST(Sinkhorn, HardCodesAreOneHotAtTheLargest) {
  const at::Tensor codes = at::softmax(Random({2, 7, 5}), 2), hard = HardCodes(codes);
  EXPECT_TRUE(hard.sum(2).equal(at::ones({2, 7})));
  EXPECT_TRUE(hard.argmax(2).equal(codes.argmax(2)));
}

TEST(SwavLoss, IsTheDoubleLoopOfThePaper) {
  const at::Tensor scores = Random({4, 6, 5}), codes = at::softmax(Random({2, 6, 5}, 2), 2);
  at::Tensor expected = at::zeros({});
  for (int64_t code = 0; code < 2; ++code) {
    at::Tensor sum = at::zeros({});
    for (int64_t view = 0; view < 4; ++view) {
      if (view == code) continue;
      sum -= (codes[code] * at::log_softmax(scores[view] / 0.1, 1)).sum(1).mean();
    }
    expected += sum / 3;
  }
  EXPECT_NEAR(SwavLoss(scores, codes, 0.1).item<double>(), (expected / 2).item<double>(), 1e-4);
}

TEST(Schedule, WarmsUpLinearlyThenFollowsACosine) {
  OptimConfig config;
  config.base_lr = 1;
  config.start_lr = 0.2;
  config.final_lr = 0.1;
  config.warmup_steps = 5;
  config.total_steps = 25;
  EXPECT_DOUBLE_EQ(LearningRate(config, 0), 0.2);
  EXPECT_DOUBLE_EQ(LearningRate(config, 2), 0.6);
  EXPECT_DOUBLE_EQ(LearningRate(config, 4), 1);
  EXPECT_DOUBLE_EQ(LearningRate(config, 5), 1);
  EXPECT_NEAR(LearningRate(config, 15), 0.55, 1e-12);
  for (int64_t step = 6; step < 25; ++step)
    EXPECT_LT(LearningRate(config, step), LearningRate(config, step - 1));
  EXPECT_DOUBLE_EQ(LearningRate(config, 25), 0.1);
  EXPECT_DOUBLE_EQ(LearningRate(config, 1000), 0.1);
  config.warmup_steps = 1;
  EXPECT_DOUBLE_EQ(LearningRate(config, 0), 0.2);
  config.warmup_steps = 25;
  EXPECT_DOUBLE_EQ(LearningRate(config, 24), 1);
}

TEST(Schedule, PhasesFollowEachOtherAndTheLastEndHolds) {
  using enum ScheduleShape;
  const Schedule schedule = {
      {{kConstant, 3, 3, 2}, {kLinear, 1, 2, 5}, {kCosine, 8, 4, 4}, {kLinear, 7, 9, 1}}};
  const std::vector<double> expected = {
      3, 3, 1, 1.25, 1.5, 1.75, 2, 8, 6 + std::sqrt(2.0), 6, 6 - std::sqrt(2.0), 7, 9, 9};
  for (size_t step = 0; step < expected.size(); ++step)
    EXPECT_NEAR(ValueAt(schedule, static_cast<int64_t>(step), 0), expected[step], 1e-12) << step;
  EXPECT_EQ(ValueAt({}, 5, 0.25), 0.25) << "none";
  const Schedule stairs = {{{kConstant, 1, 1, 2}, {kConstant, 0.1, 0.1, 2}}};
  EXPECT_EQ(ValueAt(stairs, 1, 0), 1);
  EXPECT_EQ(ValueAt(stairs, 2, 0), 0.1);
  EXPECT_EQ(ValueAt(stairs, 1000, 0), 0.1);
}

TEST(Schedule, TheCurveOfTheSeerRunIsTheSameByPhasesAndByDefault) {
  constexpr int64_t kWarmUp = 5500, kSteps = 122'070;
  OptimConfig plain;
  plain.start_lr = 0.15;
  plain.base_lr = 9.6;
  plain.final_lr = 0.0096;
  plain.warmup_steps = kWarmUp;
  plain.total_steps = kSteps;
  OptimConfig phased = plain;
  phased.base_lr = phased.start_lr = phased.final_lr = 1;  // not looked at
  phased.warmup_steps = 0;
  phased.schedules.lr = {{{ScheduleShape::kLinear, 0.15, 9.6, kWarmUp},
                          {ScheduleShape::kCosine, 9.6, 0.0096, kSteps - kWarmUp}}};
  for (int64_t step = 0; step <= kSteps; step += step < 20 ? 1 : 97)
    EXPECT_EQ(LearningRate(phased, step), LearningRate(plain, step)) << step;
  EXPECT_EQ(LearningRate(phased, 0), 0.15);
  EXPECT_NEAR(LearningRate(phased, kWarmUp - 1), 9.6, 1e-12);
  EXPECT_EQ(LearningRate(phased, kWarmUp), 9.6);
  // Half-way down a cosine is the mean of its ends; a third of the way, three quarters up.
  EXPECT_NEAR(LearningRate(phased, kWarmUp + (kSteps - kWarmUp) / 2), (9.6 + 0.0096) / 2, 1e-12);
  EXPECT_NEAR(LearningRate(phased, kWarmUp + 38'857), 0.0096 + 0.75 * (9.6 - 0.0096), 1e-4);
  EXPECT_EQ(LearningRate(phased, kSteps), 0.0096);
}

TEST(Schedule, EveryRateOfAStepFollowsItsOwn) {
  OptimConfig config;
  config.weight_decay = 0.5;
  config.momentum = 0.75;
  config.larc.trust = 0.25;
  const auto rates = [&](int64_t step) {
    const StepRates r = RatesAt(config, step);
    return std::vector<double>{r.learning_rate, r.weight_decay, r.momentum, r.larc_trust};
  };
  config.schedules.lr = {{{ScheduleShape::kConstant, 2, 2, 1}}};
  EXPECT_EQ(rates(0), (std::vector<double>{2, 0.5, 0.75, 0.25}));
  config.schedules.weight_decay = {{{ScheduleShape::kLinear, 3, 5, 3}}};
  config.schedules.momentum = {{{ScheduleShape::kLinear, 0, 0.5, 3}}};
  config.schedules.larc_trust = {{{ScheduleShape::kLinear, 1, 2, 3}}};
  EXPECT_EQ(rates(1), (std::vector<double>{2, 4, 0.25, 1.5}));
}

TEST(Initializer, DependsOnSeedAndNameAlone) {
  const Initializer a(5), b(5), c(6);
  const at::Tensor first = a.Conv("x", 64, 32, 3);
  a.Conv("y", 8, 8, 1);
  EXPECT_TRUE(first.detach().equal(b.Conv("x", 64, 32, 3).detach()));
  EXPECT_FALSE(first.detach().equal(b.Conv("y", 64, 32, 3).detach()));
  EXPECT_FALSE(first.detach().equal(c.Conv("x", 64, 32, 3).detach()));
  EXPECT_NEAR(first.detach().std().item<double>(), std::sqrt(2.0 / (9 * 64)), 1e-3);
  EXPECT_NEAR(first.detach().mean().item<double>(), 0, 1e-3);
  EXPECT_LE(Largest(a.Linear("z", {100, 16}, 16).detach()), 0.25);
}

at::Tensor Pixels(int64_t crops, int64_t size) {
  return at::randint(0, 256, {crops, size, size, 3}, at::detail::createCPUGenerator(3), at::kByte);
}

TEST(Photometry, ACropDoesNotDependOnItsNeighbours) {
  PhotometryConfig config;
  config.solarize_probability = 0.3;
  const at::Tensor pixels = Pixels(24, 48);
  std::vector<CropPhotometry> draws;
  for (uint64_t sample = 0; sample < 24; ++sample)
    draws.push_back(DrawPhotometry(config, 9, sample, 1));
  const at::Tensor all = ApplyPhotometry(pixels, draws, config);
  EXPECT_TRUE(all.is_contiguous(at::MemoryFormat::ChannelsLast));
  for (const size_t i : {0, 7, 23}) {
    const at::Tensor alone =
        ApplyPhotometry(pixels.narrow(0, static_cast<int64_t>(i), 1), {draws[i]}, config);
    EXPECT_LT(Largest(alone - all.narrow(0, static_cast<int64_t>(i), 1)), 1e-5) << i;
  }
}

TEST(Photometry, DrawsHaveTheirProbabilities) {
  PhotometryConfig config;
  int jitter = 0, grey = 0, blur = 0, first_is_hue = 0;
  constexpr int kDraws = 4000;
  for (uint64_t sample = 0; sample < kDraws; ++sample) {
    const CropPhotometry draw = DrawPhotometry(config, 1, sample, 0);
    jitter += draw.jitter, grey += draw.grey, blur += draw.blur, first_is_hue += draw.order[0] == 3;
    EXPECT_FALSE(draw.solarize);
    EXPECT_LE(std::abs(draw.strength[3]), 0.2f);
  }
  EXPECT_NEAR(jitter, 0.8 * kDraws, 150);
  EXPECT_NEAR(grey, 0.2 * kDraws, 150);
  EXPECT_NEAR(blur, 0.5 * kDraws, 150);
  EXPECT_NEAR(first_is_hue, 0.25 * kDraws, 150);
}

TEST(Photometry, SwitchedOffIsNormalisation) {
  PhotometryConfig config;
  config.jitter_probability = config.grey_probability = config.blur_probability = 0;
  const at::Tensor pixels = Pixels(2, 8);
  const std::vector<CropPhotometry> draws = {DrawPhotometry(config, 1, 1, 0),
                                             DrawPhotometry(config, 1, 2, 0)};
  const at::Tensor x = ApplyPhotometry(pixels, draws, config);
  EXPECT_TRUE(x.equal(NormalisePixels(pixels, config)));
  const double expected = (pixels[1][2][3][1].item<double>() / 255 - 0.456) / 0.224;
  EXPECT_NEAR(x[1][1][2][3].item<double>(), expected, 1e-5);
}

TEST(Knn, FindsClassesAndWeighsByTemperature) {
  // Three classes around three axes; the held-out points lean to one each.
  at::Tensor train = at::eye(3).repeat({4, 1}) + Random({12, 3}).mul_(0.05);
  train = train / train.norm(2, {1}, true);
  const at::Tensor labels = at::arange(3, at::kLong).repeat({4});
  at::Tensor held_out = at::eye(3) + 0.1;
  held_out = held_out / held_out.norm(2, {1}, true);
  auto results =
      WeightedKnn({train, labels}, {held_out, at::arange(3, at::kLong)}, {{1, 4, 100}, 0.07});
  ASSERT_EQ(results.size(), 3u);
  for (const KnnResult& result : results) EXPECT_EQ(result.top1_ratio, 1) << result.k;
  results = WeightedKnn({train, labels}, {held_out, at::tensor({1, 1, 1}, at::kLong)}, {{4}, 0.07});
  EXPECT_NEAR(results[0].top1_ratio, 1.0 / 3, 1e-9);
  EXPECT_EQ(results[0].top5_ratio, 1) << "of 3 classes, each is among the first 5";
  // One near neighbour of class 0 against two far ones of class 1: temperature decides.
  const at::Tensor three = at::tensor({1.f, 0.f, .8f, .6f, .8f, -.6f}).view({3, 2});
  const LabelledFeatures few{three, at::tensor({0, 1, 1}, at::kLong)},
      query{three.narrow(0, 0, 1), at::tensor({0}, at::kLong)};
  EXPECT_EQ(WeightedKnn(few, query, {{3}, 0.07})[0].top1_ratio, 1);
  EXPECT_EQ(WeightedKnn(few, query, {{3}, 10})[0].top1_ratio, 0);
}

TEST(Layout, BalancesAndPins) {
  const std::vector<TensorSize> tensors = {
      {"a", 100}, {"b", 60}, {"c", 50}, {"r", 10, true}, {"d", 10}};
  EXPECT_EQ(AssignWriters(tensors, 2), (std::vector<int>{1, 0, 0, 0, 1}));
  EXPECT_EQ(AssignWriters(tensors, 1), (std::vector<int>(5, 0)));
}

std::string SmallFile() {
  SafetensorsHeader header;
  header.metadata = {{"who", "\"quoted\" ü"}};
  header.entries = {
      {"a", "F32", {2, 2}, 0, 0}, {"b", "I64", {}, 0, 0}, {"empty", "F32", {0, 3}, 0, 0}};
  return EncodeSafetensorsHeader(header) + std::string(24, 'x');
}

TEST(Safetensors, RoundTrip) {
  const std::string file = SmallFile();
  const auto bytes = static_cast<int64_t>(file.size());
  ASSERT_OK_AND_ASSIGN(const int64_t length,
                       SafetensorsHeaderBytes(absl::string_view(file).substr(0, 8), bytes));
  EXPECT_EQ(length % 8, 0);
  ASSERT_OK_AND_ASSIGN(const auto header,
                       DecodeSafetensorsHeader(
                           absl::string_view(file).substr(8, static_cast<size_t>(length)), bytes));
  EXPECT_EQ(header.metadata.at("who"), "\"quoted\" ü");
  ASSERT_EQ(header.entries.size(), 3u);
  EXPECT_EQ(header.entries[0].shape, (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(header.entries[1].size_bytes(), 8);
  EXPECT_EQ(header.data_begin + header.data_bytes(), bytes);
}

TEST(Safetensors, RefusesBrokenHeaders) {
  const auto decode = [](const std::string& json, int64_t data) {
    return DecodeSafetensorsHeader(json, 8 + static_cast<int64_t>(json.size()) + data);
  };
  EXPECT_OK(decode(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8));
  for (const char* bad :
       {"", "[]", "{", R"({"a":1})", R"({"a":{}})", R"({"__metadata__":{"x":1}})",
        R"({"a":{"dtype":"F31","shape":[2],"data_offsets":[0,8]}})",
        R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})",
        R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})",
        R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})",
        R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}})",
        R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})"}) {
    EXPECT_THAT(decode(bad, 8),
                FailsWith(absl::StatusCode::kDataLoss, reason::kCheckpointCorrupt, ""))
        << bad;
  }
  EXPECT_THAT(SafetensorsHeaderBytes(std::string(8, '\xff'), 100),
              FailsWith(absl::StatusCode::kDataLoss, reason::kCheckpointCorrupt, "header"));
}

TEST(Safetensors, ASnapshotComesBack) {
  const std::vector<NamedTensor> state = {{"w", Random({7, 3})}, {"t", Random({3, 7}).t()}};
  const std::vector<NamedTensor> counts = {{"n", at::arange(5, at::kLong)}};
  const auto store = MakeMemoryStore();
  for (int rank = 0; rank < 2; ++rank) {
    const HostSnapshot snapshot =
        TakeSnapshot(HeldWhole(state), HeldWhole(counts), {{"step", "3"}}, rank, 2);
    ASSERT_OK_AND_ASSIGN(const CheckpointFile file, WriteSnapshot(snapshot, *store, "c"));
    ASSERT_OK_AND_ASSIGN(const std::string bytes, store->Get("c/" + file.name));
    EXPECT_EQ(file.size_bytes, static_cast<int64_t>(bytes.size()));
    EXPECT_EQ(file.sha256, Sha256Hex(bytes));
  }
  ASSERT_OK_AND_ASSIGN(const LoadedCheckpoint loaded, ReadCheckpoint(*store, "c"));
  EXPECT_EQ(loaded.metadata.at("step"), "3");
  for (const auto& t : {state[0], state[1], counts[0]})
    EXPECT_TRUE(loaded.tensors.at(t.name).equal(t.tensor)) << t.name;
}

// The format's own package is an independent reader.
TEST(Safetensors, TheFormatsOwnPackageReadsIt) {
  const seer::testing::TempDir dir;
  const HostSnapshot snapshot = TakeSnapshot(
      {HeldWhole({"w", at::arange(6, at::kFloat).view({2, 3})})}, {}, {{"step", "3"}}, 0, 1);
  const auto store = MakeMemoryStore();
  ASSERT_OK(WriteSnapshot(snapshot, *store, "c"));
  std::ofstream(dir / "f.safetensors", std::ios::binary) << *store->Get("c/rank-0.safetensors");
  std::ofstream(dir / "check.py") << R"py(
import sys
import numpy
from safetensors import safe_open
with safe_open(sys.argv[1], "numpy") as f:
    tensor, metadata = f.get_tensor("w"), f.metadata()
assert (tensor == numpy.arange(6).reshape(2, 3)).all() and metadata["step"] == "3", (tensor, metadata)
)py";
  const std::string command =
      std::string(SEER_PYTHON) + " " + (dir / "check.py") + " " + (dir / "f.safetensors");
  EXPECT_EQ(std::system(command.c_str()), 0);
}

}  // namespace
}  // namespace seer::engine
