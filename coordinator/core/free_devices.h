// Which devices are free, and where a gang finds room. One place and release costs about as much as
// the machines that it touches, however many there are. Pure; not thread-safe.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "coordinator/core/model.h"

namespace seer::coordinator {

// What workers have in common: gangs choose by it.
struct WorkerClass {
  std::string device_kind;
  Labels labels;
  bool operator==(const WorkerClass&) const = default;
  bool operator<(const WorkerClass& other) const {
    return std::tie(device_kind, labels) < std::tie(other.device_kind, other.labels);
  }
};

// Whether it has all of these; also kDeviceLabel.
bool Has(const WorkerClass& worker_class, const Labels& labels);

struct OfferedDevices {
  std::string machine;  // workers of one machine share it
  int worker_class = 0;
  int devices = 0;
};

// Of one worker, for consecutive ranks.
struct Share {
  int worker = 0;  // index
  int devices = 0;
  bool operator==(const Share&) const = default;
};
using Placement = std::vector<Share>;  // in the order of the ranks; empty: none

class FreeDevices {
 public:
  // Workers are named by their index, and taken in that order where nothing else decides.
  FreeDevices(const std::vector<WorkerClass>& classes, const std::vector<OfferedDevices>& workers);

  // Takes devices of one kind for all ranks, or gives an empty placement and changes nothing. GPUs
  // come before CPUs; the machine that holds the rest of the gang with the least left over comes
  // before the machine that holds the most. First each machine takes as many whole groups as fit;
  // only what is left over may lie across machines, and that only if `within` is empty.
  Placement Place(const GangShape& shape);
  bool HasRoom(const GangShape& shape) { return KindWithRoom(shape).has_value(); }
  // All that is free and admitted.
  Placement TakeAll(const Labels& selector);
  // All that is free on the machines of `placement`.
  Placement TakeMachinesOf(const Placement& placement);
  void Take(const Placement& placement);
  void Release(const Placement& placement);

  int free(int worker) const { return workers_[static_cast<size_t>(worker)].free; }
  // Free devices of the classes that the selector admits, of the kind that has the most.
  int FreeFor(const Labels& selector);
  bool Admits(const Labels& selector, int worker);
  bool AnyClass(const Labels& selector) { return !ClassesFor(selector).empty(); }

 private:
  using Classes = std::vector<size_t>;
  struct OneWorker {
    size_t machine = 0;
    int free = 0;
  };
  struct Machine {
    size_t worker_class = 0;
    std::vector<int> workers;
    int free = 0;
  };
  struct Class {
    const WorkerClass* is = nullptr;
    int free = 0;
    absl::btree_map<int, absl::btree_set<size_t>> machines;  // by free devices, at least 1
  };

  const std::vector<Classes>& ClassesFor(const Labels& selector);  // one entry a kind
  const std::map<std::string, Classes>& DomainsOf(const Labels& selector, size_t kind,
                                                  const std::string& key);
  std::optional<size_t> KindWithRoom(const GangShape& shape);
  int Total(const Classes& classes) const;
  bool Fits(const Classes& classes, int groups, int group_ranks) const;  // each in one machine
  // The machine to take `wanted` devices from; none has `least`: null.
  const size_t* Choose(const Classes& classes, int wanted, int least) const;
  void TakeIn(const Classes& classes, int ranks, int group_ranks, Placement& placement);
  void TakeFrom(size_t machine, int devices, Placement& placement);
  void PlaceInDomains(const std::map<std::string, Classes>& domains, const GangShape& shape,
                      Placement& placement);
  void Add(int worker, int devices);

  std::vector<OneWorker> workers_;
  std::vector<Machine> machines_;
  std::vector<Class> classes_;
  std::map<Labels, std::vector<Classes>> classes_for_;
  std::map<std::tuple<Labels, size_t, std::string>, std::map<std::string, Classes>> domains_;
};

}  // namespace seer::coordinator
