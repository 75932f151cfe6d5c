// What a training or evaluation session is made of: plain structs, no torch, no protobuf.
// worker/trainer/spec_to_config fills them from a JobSpec that has passed validation;
// defaults here are for tests only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/arch/trunk_design.h"
#include "engine/export/names.h"

namespace seer {
class FlightRecorder;
}

namespace seer::engine {

// kBf16, kFp16: activations of the chain; weights, optimiser, statistics, features and loss stay
// fp32. kTf32: fp32 whose products a GPU may round to 10 bits; on a CPU the same as kFp32.
enum class Precision { kFp32, kBf16, kTf32, kFp16 };

// Of kFp16; see optim/loss_scale.h.
struct LossScaleConfig {
  double initial = 65536;
  int64_t growth_interval = 2000;  // good steps in a row that double it
};

struct HeadConfig {
  std::vector<int64_t> hidden = {2048};  // widths of the MLP's hidden layers
  int64_t output_dim = 128;              // L2-normalised feature
  bool batch_norm = true;                // BN + ReLU after each hidden layer
  int64_t prototypes = 3000;
  std::vector<int64_t> extra_prototypes;  // of further layers on the same feature
};

enum class SinkhornDomain {
  // As the reference, on exp(scores / epsilon), with one departure: the largest score over all
  // ranks is subtracted before the exponential, which the first normalisation cancels. A sample
  // whose scores all lie far below the largest underflows, and its code is all zeros.
  kPlain,
  // The same fixed point on logarithms: no underflow at any epsilon, for one more collective an
  // iteration.
  kLog
};

// Caron et al. 2020, arXiv:2006.09882, and its reference implementation's names.
struct SwavConfig {
  double temperature = 0.1;  // tau of equation 2
  double epsilon = 0.05;     // Sinkhorn regularisation, equation 3
  int sinkhorn_iterations = 3;
  SinkhornDomain sinkhorn_domain = SinkhornDomain::kLog;
  double power_law_exponent = 0;        // of the prototypes' target shares; 0: all alike
  int64_t hard_code_steps = 0;          // so many first steps use one-hot codes
  int assign_views = 2;                 // codes are computed for the first n views
  int64_t queue_length = 0;             // features per assigned view over all ranks; 0: no queue
  int64_t queue_start_step = 0;         // the queue is filled and used from this step on
  int64_t freeze_prototypes_steps = 0;  // so many first steps leave the prototypes as they are
};

// You et al. 2017, arXiv:1708.03888; see optim/sgd.h for the formula.
struct LarcConfig {
  bool enabled = true;
  double trust = 0.001;   // eta, the trust coefficient
  bool clip = false;      // true: a layer's rate is at most the schedule's
  double epsilon = 1e-8;  // keeps the ratio of norms finite
};

// You et al. 2017, arXiv:1708.03888; see optim/lars.h for the formula.
struct LarsConfig {
  double trust = 0.001;  // eta, the trust coefficient
};

// Loshchilov & Hutter 2019, arXiv:1711.05101; see optim/adamw.h for the formula.
struct AdamWConfig {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
};

enum class OptimizerKind { kSgd, kLars, kAdamW };

enum class ScheduleShape { kConstant, kLinear, kCosine };

struct SchedulePhase {
  ScheduleShape shape = ScheduleShape::kConstant;
  double start = 0;
  double end = 0;
  int64_t steps = 1;
};

// How a value changes with the steps; see optim/schedule.h for the curves.
struct Schedule {
  std::vector<SchedulePhase> phases;  // empty: the value stays what its own field says
};

// The values that can have one; without one the learning rate has a warm-up and a cosine.
struct ScheduleConfig {
  Schedule lr, weight_decay, momentum, larc_trust;
  Schedule temperature, epsilon;  // of SwavConfig
};

// Parameters with rules of their own; see optim/param_groups.h.
struct ParameterGroup {
  std::string match;    // a pattern of their names
  double lr_scale = 1;  // 0: they stay as they are
  std::optional<double> weight_decay;
  std::optional<bool> adapt;  // LARC or LARS apply
};

struct OptimConfig {
  OptimizerKind kind = OptimizerKind::kSgd;
  double momentum = 0.9;  // of kSgd and kLars
  double weight_decay = 1e-6;
  bool nesterov = false;               // of kSgd
  bool decay_norm_and_bias = true;     // false: no weight decay, no LARC or LARS on such parameters
  LarcConfig larc;                     // of kSgd
  LarsConfig lars;                     // of kLars
  AdamWConfig adamw;                   // of kAdamW
  std::vector<ParameterGroup> groups;  // the first whose pattern matches a parameter has it
  double clip_norm = 0;  // gradients are scaled down to this norm over all parameters; 0: never
  double ema_decay = 0;  // of the weights' exponential mean, see optim/weight_mean.h; 0: none
  // Linear warm-up from start_lr to base_lr over warmup_steps,
  // then cosine to final_lr at total_steps.
  double base_lr = 0.6;
  double start_lr = 0.0;
  double final_lr = 0.0006;
  int64_t warmup_steps = 0;
  int64_t total_steps = 1;
  ScheduleConfig schedules;
};

// Applied per crop on the device after the uint8 crops arrive, in this order.
// Probabilities 0 switch a part off.
struct PhotometryConfig {
  // s: brightness, contrast and saturation vary by 0.8 s, hue by 0.2 s, as in SimCLR and SwAV.
  double jitter_strength = 1.0;
  double jitter_probability = 0.8;
  double grey_probability = 0.2;
  double blur_probability = 0.5;  // Gaussian, sigma uniform in [0.1, 2], pixels of a 224-pixel crop
  double solarize_probability = 0.0;
  // Of red, green, blue, as values in [0, 1].
  std::vector<float> mean = {0.485f, 0.456f, 0.406f};
  std::vector<float> std = {0.229f, 0.224f, 0.225f};
};

struct CropGroup {
  int views = 2;
  int size = 224;  // pixels, square
};

struct MemoryConfig {
  enum class Recompute { kNone, kAll, kList, kBudget } recompute = Recompute::kNone;
  std::vector<int> recompute_segments;  // for kList: indices of the chain's segments
  int64_t budget_bytes = 0;             // for kBudget: of one rank, see arch/memory_plan.h
  bool offload_optimizer = false;       // its state, and the weights it updates, in host memory
};

// What ranks talk through; kAuto: NCCL if the rank's device is a GPU, else Gloo.
enum class CollectiveBackend { kAuto, kGloo, kNccl };

struct DistributedConfig {
  int sync_bn_group_size = 0;       // ranks that share BN statistics; 0: all, 1: none
  int shard_group_size = 1;         // ranks that hold one copy of all state together; 0: all
  int64_t bucket_bytes = 25 << 20;  // gradients are reduced in buckets of at least so many bytes
  double collective_timeout_seconds = 300;  // of meeting the gang, and of every collective
  CollectiveBackend backend = CollectiveBackend::kAuto;
};

// Weights from a file instead of those of the seed; the session's owner opens the store.
struct WeightsConfig {
  std::string uri;                   // of a safetensors file; empty: none
  std::optional<WeightNames> names;  // nullopt: told by the tensors' names
};

struct TrainConfig {
  TrunkConfig trunk;
  HeadConfig head;
  WeightsConfig weights;
  SwavConfig swav;
  OptimConfig optim;
  PhotometryConfig photometry;
  MemoryConfig memory;
  DistributedConfig distributed;
  Precision precision = Precision::kFp32;
  LossScaleConfig loss_scale;
  std::vector<CropGroup> crops = {{2, 224}};
  int64_t global_batch = 256;      // images a step over all ranks; divisible by the world size
  int64_t accumulation_steps = 1;  // parts that a rank's batch goes through the network in
  uint64_t seed = 0;
};

// Where this process stands in its gang.
struct RankConfig {
  int rank = 0;
  int world_size = 1;
  std::string store_host = "127.0.0.1";  // TCPStore, served by rank 0
  int store_port = 0;                    // 0 with world_size 1: no store, no collectives
  int store_listen_fd = -1;    // rank 0: a socket that listens on store_port, taken over; -1: none
  std::string store_prefix;    // one per attempt, so that a stale rank never meets a new gang
  int threads = 1;             // intra-op threads of this process
  std::string device = "cpu";  // or "cuda:<index>", see device/device.h
  // Collectives are recorded in it; may be null; must outlive the session.
  FlightRecorder* flight = nullptr;
};

}  // namespace seer::engine
