#include "engine/checkpoint/import.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include <ATen/ATen.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "engine/checkpoint/parallel.h"
#include "engine/checkpoint/safetensors.h"

namespace seer::engine {
namespace {

constexpr char kField[] = "model.weights";

absl::Status Mismatch(const std::string& key, absl::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kWeightsMismatch,
               absl::StrCat("the weights in ", key, " do not fit this model: ", what))
      .Field(kField)
      .Hint(
          "set model.trunk, model.head and loss.swav.prototypes to what the file was trained "
          "with, or model.weights.names to the library it is from")
      .With("file", key);
}

// The first bytes of torch.save's zip archives and of bare pickles.
bool IsPickle(absl::string_view file) {
  return absl::StartsWith(file, "PK\x03\x04") || absl::StartsWith(file, "\x80");
}

absl::StatusOr<SafetensorsHeader> ReadHeader(absl::string_view file, const std::string& key) {
  const auto bytes = static_cast<int64_t>(file.size());
  const auto length = SafetensorsHeaderBytes(file.substr(0, kSafetensorsPrefixBytes), bytes);
  absl::Status bad = length.status();
  if (length.ok()) {
    auto header = DecodeSafetensorsHeader(
        file.substr(kSafetensorsPrefixBytes, static_cast<size_t>(*length)), bytes);
    if (header.ok()) return header;
    bad = header.status();
  }
  return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
               absl::StrCat(key, IsPickle(file) ? " is a PyTorch pickle, not a safetensors file"
                                                : absl::StrCat(": ", bad.message())))
      .Field(kField)
      .Hint(IsPickle(file) ? kPickleHint : "name a whole safetensors file")
      .With("file", key);
}

std::optional<at::ScalarType> FloatType(absl::string_view dtype) {
  if (dtype == "F32") return at::kFloat;
  if (dtype == "F16") return at::kHalf;
  if (dtype == "BF16") return at::kBFloat16;
  if (dtype == "F64") return at::kDouble;
  return std::nullopt;
}

// The file's tensors by their names there.
using Entries = std::map<std::string, const SafetensorsEntry*>;

const SafetensorsEntry* Find(const Entries& entries, absl::string_view name, WeightNames names,
                             bool squeeze) {
  const auto there = LibraryName(name, names, squeeze);
  if (!there.has_value()) return nullptr;
  for (const std::string& variant : NameVariants(*there, names)) {
    if (const auto found = entries.find(variant); found != entries.end()) return found->second;
  }
  return nullptr;
}

// The library under whose names most of the trunk, then most of the head is found; the first of
// equals. nullopt: nothing of the trunk is found under any.
std::optional<WeightNames> Recognise(const Entries& entries, const std::set<std::string>& wanted,
                                     bool squeeze) {
  std::optional<WeightNames> best;
  std::pair<int, int> most = {0, 0};
  for (const WeightNames names : kAllWeightNames) {
    std::pair<int, int> found = {0, 0};
    for (const std::string& name : wanted) {
      if (Find(entries, name, names, squeeze) == nullptr) continue;
      ++(IsTrunkTensor(name) ? found.first : found.second);
    }
    if (found.first == 0 || found <= most) continue;
    most = found;
    best = names;
  }
  return best;
}

// "stem" to "trunk_output", "projection_head", "prototypes": what is in a file as a whole.
std::string PartOf(absl::string_view name) {
  return IsTrunkTensor(name) ? "trunk" : std::string(name.substr(0, name.find('.')));
}

// From which tensor of the file each of the network comes; those of parts that the file lacks are
// left out.
absl::StatusOr<std::map<std::string, const SafetensorsEntry*>> Match(
    const Entries& entries, const std::set<std::string>& wanted, WeightNames names, bool squeeze,
    const std::string& key) {
  std::map<std::string, const SafetensorsEntry*> sources;
  std::set<std::string> parts_found;
  for (const std::string& name : wanted) {
    const SafetensorsEntry* const found = Find(entries, name, names, squeeze);
    sources[name] = found;
    if (found != nullptr) parts_found.insert(PartOf(name));
  }
  for (auto it = sources.begin(); it != sources.end();) {
    if (it->second == nullptr &&
        (parts_found.contains(PartOf(it->first)) || IsTrunkTensor(it->first))) {
      const auto there = LibraryName(it->first, names, squeeze);
      return Mismatch(key, absl::StrCat("tensor '", it->first, "', ",
                                        there ? absl::StrCat("'", *there, "'") : "without a name",
                                        " in ", WeightNamesText(names), ", is not in the file"));
    }
    it = it->second == nullptr ? sources.erase(it) : std::next(it);
  }
  return sources;
}

absl::Status CheckFit(const SafetensorsEntry& entry, const StateTensor& to,
                      const std::string& key) {
  if (entry.shape != to.sizes) {
    return Mismatch(
        key, absl::StrCat("tensor '", to.name, "', '", entry.name, "' in the file, has shape ",
                          ShapeText(entry.shape), " there and ", ShapeText(to.sizes), " here"));
  }
  if (FloatType(entry.dtype)) return absl::OkStatus();
  return Mismatch(
      key, absl::StrCat("tensor '", to.name, "', '", entry.name, "' in the file, is of type ",
                        entry.dtype, ", not floating-point"));
}

std::string Report(WeightNames names, const std::map<std::string, const SafetensorsEntry*>& sources,
                   const std::set<std::string>& wanted) {
  std::set<std::string> kept;
  for (const std::string& name : wanted) {
    if (!sources.contains(name)) kept.insert(PartOf(name));
  }
  return absl::StrCat(
      sources.size(), " tensors under the names of ", WeightNamesText(names),
      kept.empty() ? "" : "; random as the seed has it: ", absl::StrJoin(kept, ", "));
}

}  // namespace

absl::StatusOr<std::string> ImportWeights(ObjectStore& store, const std::string& key,
                                          std::optional<WeightNames> names,
                                          const std::vector<StateTensor>& state) {
  SEER_ASSIGN_OR_RETURN(const std::unique_ptr<ObjectView> view, store.View(key));
  SEER_ASSIGN_OR_RETURN(const SafetensorsHeader header, ReadHeader(view->bytes(), key));
  Entries entries;
  for (const SafetensorsEntry& entry : header.entries) entries.emplace(entry.name, &entry);
  std::set<std::string> wanted;
  for (const StateTensor& to : state) {
    if (IsTrunkTensor(to.name) || IsHeadTensor(to.name)) wanted.insert(to.name);
  }
  const bool squeeze = std::any_of(wanted.begin(), wanted.end(), IsSqueezeTensor);
  if (!names.has_value()) names = Recognise(entries, wanted, squeeze);
  if (!names.has_value()) {
    return Mismatch(key, absl::StrCat("no tensor has a name that a library gives such a trunk",
                                      entries.empty() ? "" : "; the first is '",
                                      entries.empty() ? "" : entries.begin()->first + "'"));
  }
  SEER_ASSIGN_OR_RETURN(const auto sources, Match(entries, wanted, *names, squeeze, key));
  std::vector<std::pair<const SafetensorsEntry*, const StateTensor*>> copies;
  for (const StateTensor& to : state) {
    const auto source = sources.find(to.name);
    if (source == sources.end()) continue;
    SEER_RETURN_IF_ERROR(CheckFit(*source->second, to, key));
    copies.emplace_back(source->second, &to);
  }
  const absl::string_view data = view->bytes().substr(static_cast<size_t>(header.data_begin));
  RunInParallel(static_cast<int64_t>(copies.size()), [&](int64_t i) {
    const auto& [entry, to] = copies[static_cast<size_t>(i)];
    WithTensor(
        data.substr(static_cast<size_t>(entry->begin), static_cast<size_t>(entry->size_bytes())),
        *FloatType(entry->dtype), entry->shape,
        [&](const at::Tensor& there) { to->restore(there.to(at::kFloat)); });
  });
  return Report(*names, sources, wanted);
}

}  // namespace seer::engine
