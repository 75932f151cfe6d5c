#include "coordinator/core/free_devices.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "common/base/check.h"
#include "common/base/label.h"

namespace seer::coordinator {

bool Has(const WorkerClass& worker_class, const Labels& labels) {
  return std::all_of(labels.begin(), labels.end(), [&](const auto& label) {
    if (label.first == kDeviceLabel) return worker_class.device_kind == label.second;
    const auto it = worker_class.labels.find(label.first);
    return it != worker_class.labels.end() && it->second == label.second;
  });
}

FreeDevices::FreeDevices(const std::vector<WorkerClass>& classes,
                         const std::vector<OfferedDevices>& workers) {
  for (const WorkerClass& c : classes) classes_.push_back({&c, 0, {}});
  absl::flat_hash_map<std::pair<absl::string_view, int>, size_t> known;
  for (size_t i = 0; i < workers.size(); ++i) {
    const OfferedDevices& worker = workers[i];
    const auto [it, fresh] =
        known.try_emplace({worker.machine, worker.worker_class}, machines_.size());
    if (fresh) machines_.push_back({static_cast<size_t>(worker.worker_class), {}, 0});
    Machine& machine = machines_[it->second];
    machine.workers.push_back(static_cast<int>(i));
    machine.free += worker.devices;
    workers_.push_back({it->second, worker.devices});
  }
  for (size_t i = 0; i < machines_.size(); ++i) {
    Class& c = classes_[machines_[i].worker_class];
    c.free += machines_[i].free;
    if (machines_[i].free > 0) c.machines[machines_[i].free].insert(i);
  }
}

const std::vector<FreeDevices::Classes>& FreeDevices::ClassesFor(const Labels& selector) {
  const auto [it, fresh] = classes_for_.try_emplace(selector);
  if (!fresh) return it->second;
  std::map<std::string, Classes, std::greater<>> kinds;  // "cuda" before "cpu"
  for (size_t i = 0; i < classes_.size(); ++i) {
    const WorkerClass& c = *classes_[i].is;
    if (Has(c, selector)) kinds[c.device_kind].push_back(i);
  }
  for (auto& [kind, classes] : kinds) it->second.push_back(std::move(classes));
  return it->second;
}

const std::map<std::string, FreeDevices::Classes>& FreeDevices::DomainsOf(const Labels& selector,
                                                                          size_t kind,
                                                                          const std::string& key) {
  const auto [it, fresh] = domains_.try_emplace({selector, kind, key});
  if (!fresh) return it->second;
  for (const size_t i : ClassesFor(selector)[kind]) {
    const Labels& labels = classes_[i].is->labels;
    if (const auto label = labels.find(key); label != labels.end())
      it->second[label->second].push_back(i);
  }
  return it->second;
}

int FreeDevices::Total(const Classes& classes) const {
  int total = 0;
  for (const size_t i : classes) total += classes_[i].free;
  return total;
}

int FreeDevices::FreeFor(const Labels& selector) {
  int most = 0;
  for (const Classes& classes : ClassesFor(selector)) most = std::max(most, Total(classes));
  return most;
}

bool FreeDevices::Admits(const Labels& selector, int worker) {
  const size_t wanted = machines_[workers_[static_cast<size_t>(worker)].machine].worker_class;
  for (const Classes& classes : ClassesFor(selector))
    if (std::binary_search(classes.begin(), classes.end(), wanted)) return true;
  return false;
}

bool FreeDevices::Fits(const Classes& classes, int groups, int group_ranks) const {
  int64_t fit = 0;
  for (const size_t i : classes) {
    for (auto it = classes_[i].machines.rbegin();
         it != classes_[i].machines.rend() && it->first >= group_ranks; ++it)
      fit +=
          static_cast<int64_t>(it->first / group_ranks) * static_cast<int64_t>(it->second.size());
  }
  return fit >= groups;
}

const size_t* FreeDevices::Choose(const Classes& classes, int wanted, int least) const {
  const size_t* best = nullptr;
  int free = 0;
  for (const size_t i : classes) {  // the least that holds all
    const auto it = classes_[i].machines.lower_bound(wanted);
    if (it == classes_[i].machines.end()) continue;
    const size_t& machine = *it->second.begin();
    if (best != nullptr && (it->first > free || (it->first == free && machine > *best))) continue;
    best = &machine;
    free = it->first;
  }
  if (best != nullptr) return best;
  for (const size_t i : classes) {  // the most
    if (classes_[i].machines.empty()) continue;
    const auto& [devices, machines] = *classes_[i].machines.rbegin();
    if (devices < least) continue;
    const size_t& machine = *machines.begin();
    if (best != nullptr && (devices < free || (devices == free && machine > *best))) continue;
    best = &machine;
    free = devices;
  }
  return best;
}

void FreeDevices::Add(int worker, int devices) {
  OneWorker& one = workers_[static_cast<size_t>(worker)];
  Machine& machine = machines_[one.machine];
  Class& c = classes_[machine.worker_class];
  if (const auto it = c.machines.find(machine.free); it != c.machines.end()) {
    it->second.erase(one.machine);
    if (it->second.empty()) c.machines.erase(it);
  }
  one.free += devices;
  machine.free += devices;
  c.free += devices;
  SEER_CHECK(one.free >= 0);
  if (machine.free > 0) c.machines[machine.free].insert(one.machine);
}

void FreeDevices::Take(const Placement& placement) {
  for (const Share& share : placement) Add(share.worker, -share.devices);
}
void FreeDevices::Release(const Placement& placement) {
  for (const Share& share : placement) Add(share.worker, share.devices);
}

Placement FreeDevices::TakeAll(const Labels& selector) {
  Placement all;
  for (size_t i = 0; i < workers_.size(); ++i) {
    const int worker = static_cast<int>(i);
    if (free(worker) > 0 && Admits(selector, worker)) all.push_back({worker, free(worker)});
  }
  Take(all);
  return all;
}

Placement FreeDevices::TakeMachinesOf(const Placement& placement) {
  Placement all;
  for (const Share& share : placement) {
    const Machine& machine = machines_[workers_[static_cast<size_t>(share.worker)].machine];
    for (const int worker : machine.workers) {
      if (free(worker) == 0) continue;
      all.push_back({worker, free(worker)});
      Take({all.back()});
    }
  }
  return all;
}

void FreeDevices::TakeFrom(size_t machine, int devices, Placement& placement) {
  for (const int worker : machines_[machine].workers) {
    const int taken = std::min(devices, free(worker));
    if (taken == 0) continue;
    Add(worker, -taken);
    placement.push_back({worker, taken});
    devices -= taken;
  }
}

void FreeDevices::TakeIn(const Classes& classes, int ranks, int group_ranks, Placement& placement) {
  for (const int unit : {group_ranks, 1}) {
    while (ranks >= unit) {
      const size_t* const chosen = Choose(classes, ranks, unit);
      if (chosen == nullptr) break;
      const size_t machine = *chosen;
      const int free = machines_[machine].free;
      const int taken = free >= ranks ? ranks : free / unit * unit;
      TakeFrom(machine, taken, placement);
      ranks -= taken;
    }
  }
  SEER_CHECK(ranks == 0);
}

void FreeDevices::PlaceInDomains(const std::map<std::string, Classes>& domains,
                                 const GangShape& shape, Placement& placement) {
  const int unit = shape.group_ranks;
  for (int left = shape.ranks; left > 0;) {
    const Classes* best = nullptr;
    int holds = 0, best_total = 0;
    for (const auto& [value, classes] : domains) {
      const int total = Total(classes), here = total / unit * unit;
      const bool better = holds >= left ? here >= left && total < best_total : here > holds;
      if (!better) continue;
      best = &classes;
      holds = here;
      best_total = total;
    }
    const int taken = std::min(holds, left);
    TakeIn(*best, taken, unit, placement);
    left -= taken;
  }
}

std::optional<size_t> FreeDevices::KindWithRoom(const GangShape& shape) {
  const std::vector<Classes>& kinds = ClassesFor(shape.selector);
  const int groups = shape.ranks / shape.group_ranks;
  for (size_t kind = 0; kind < kinds.size(); ++kind) {
    if (Total(kinds[kind]) < shape.ranks) continue;
    if (shape.within.empty()) return kind;
    if (shape.within == kMachineTopology) {
      if (Fits(kinds[kind], groups, shape.group_ranks)) return kind;
      continue;
    }
    int64_t fit = 0;
    for (const auto& [value, classes] : DomainsOf(shape.selector, kind, shape.within))
      fit += Total(classes) / shape.group_ranks;
    if (fit >= groups) return kind;
  }
  return std::nullopt;
}

Placement FreeDevices::Place(const GangShape& shape) {
  Placement placement;
  const auto kind = KindWithRoom(shape);
  if (!kind) return placement;
  if (shape.within.empty() || shape.within == kMachineTopology) {
    TakeIn(ClassesFor(shape.selector)[*kind], shape.ranks, shape.group_ranks, placement);
  } else {
    PlaceInDomains(DomainsOf(shape.selector, *kind, shape.within), shape, placement);
  }
  return placement;
}

}  // namespace seer::coordinator
