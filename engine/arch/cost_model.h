// How long a rank's step takes: a sum of kinds of work, each with seconds a unit that were fitted
// to measured steps. Linear, so that a handful of small steps tells the constants. Pure.
//
// It knows one machine and thread count, and one precision. It leaves out: waiting for data, other
// load, and caches and vector units that narrow layers use less well than wide ones.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/arch/memory_plan.h"
#include "engine/arch/network_cost.h"
#include "engine/arch/traffic.h"

namespace seer::engine {

// Kinds of work, in a step's units. A backward pass counts as two forward passes.
enum class Work {
  kMultiplyAdds,         // of convolutions in one group, and linear layers
  kGroupedMultiplyAdds,  // of convolutions in several
  kActivationBytes,      // written by convolutions: norm layers and relus read them again
  kLayers,               // calls of a layer, of any size
  kPixels,               // that photometry changes
  kOptimizerNumbers,     // weights and what the optimiser keeps of them
};
inline constexpr size_t kWorkKinds = 6;
const char* WorkName(Work kind);  // "multiply_adds"
using WorkAmounts = std::array<double, kWorkKinds>;

// `recompute`: as in MemoryPlan. An offloaded or sharded optimiser updates this rank's share alone.
WorkAmounts CountWork(const NetworkCost& cost, const StepShape& step,
                      const std::vector<bool>& recompute);

// A measured step.
struct StepSample {
  WorkAmounts work{};
  double network_seconds = 0;    // forward, loss, backward
  double augment_seconds = 0;    // photometry
  double optimizer_seconds = 0;  // and what else a step does after its backward pass
  double seconds() const { return network_seconds + augment_seconds + optimizer_seconds; }
};

struct StepTime {
  double network = 0, augment = 0, optimizer = 0;  // seconds
  double seconds() const { return network + augment + optimizer; }
};

struct CostConstants {
  WorkAmounts seconds{};  // a unit of each kind, at least 0
};

// Least squares of the relative errors, with no constant below 0. INVALID_ARGUMENT: fewer than 4
// samples, or one that took no time.
absl::StatusOr<CostConstants> FitCosts(const std::vector<StepSample>& samples);
StepTime PredictStep(const CostConstants& constants, const WorkAmounts& work);

// |predicted − measured| / measured of whole steps.
struct ModelError {
  double mean = 0, largest = 0;
  int steps = 0;
};
ModelError MeasureError(const CostConstants& constants, const std::vector<StepSample>& samples);

// Of an all-reduce between two ranks: latency + seconds a byte.
struct LinkCost {
  double latency_seconds = 0;
  double seconds_per_byte = 0;
};
struct LinkSample {
  double bytes = 0, seconds = 0;
};
// As FitCosts. INVALID_ARGUMENT: fewer than 2 samples.
absl::StatusOr<LinkCost> FitLink(const std::vector<LinkSample>& samples);

// Among n ranks: latency times log2 n, bytes times 2 (n − 1) / n of the two-rank rate, and half the
// bytes of that for a gather or reduce-scatter, as rings move them (Patarasuk & Yuan 2009). Assumes
// that every pair of ranks is linked as the measured two.
struct TrafficTime {
  double blocking = 0;  // the step waits: SyncBN, codes, the step's numbers
  double hidden = 0;    // gradients and weights, beside the backward pass
  double exposed = 0;   // of those what is longer than two thirds of the network's time
  double seconds() const { return blocking + exposed; }
};
TrafficTime PredictTraffic(const LinkCost& link, const StepTraffic& traffic,
                           double network_seconds);

}  // namespace seer::engine
