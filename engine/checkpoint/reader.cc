#include "engine/checkpoint/reader.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "engine/checkpoint/parallel.h"
#include "engine/checkpoint/snapshot.h"

namespace seer::engine {
namespace {

absl::Status Mismatch(const std::string& tensor, absl::string_view what) {
  return Error(absl::StatusCode::kFailedPrecondition, reason::kCheckpointMismatch,
               absl::StrCat("the checkpoint does not fit this model: tensor '", tensor, "' ", what))
      .Hint("use the model, head and queue settings of the job that wrote it")
      .With("tensor", tensor);
}

absl::Status CheckFit(const SafetensorsEntry& entry, const StateTensor& to) {
  if (entry.shape != to.sizes) {
    return Mismatch(entry.name, absl::StrCat("has shape ", ShapeText(entry.shape), " there and ",
                                             ShapeText(to.sizes), " here"));
  }
  const std::string dtype = SafetensorsDtype(to.type);
  if (entry.dtype != dtype) {
    return Mismatch(entry.name,
                    absl::StrCat("is of type ", entry.dtype, " there and ", dtype, " here"));
  }
  return absl::OkStatus();
}

// The way of one tensor out of one file's data.
class Copy {
 public:
  Copy(const SafetensorsEntry& entry, const StateTensor& to)
      : to_(to), begin_(entry.begin), end_(entry.end), missing_(end_ - begin_) {
    if (to.held.defined() && to.held.is_cpu() && to.held.is_contiguous()) plain_ = to.held;
    if (plain_.defined()) start_ = static_cast<char*>(plain_.mutable_data_ptr());
  }

  int64_t begin() const { return begin_; }
  int64_t end() const { return end_; }

  // Bytes [begin, end) of the file's data are there. From several threads, but each byte once.
  void Take(absl::string_view data, int64_t begin, int64_t end) {
    begin = std::max(begin, begin_);
    end = std::min(end, end_);
    if (begin >= end) return;
    if (plain_.defined()) {
      std::memcpy(start_ + (begin - begin_), data.data() + begin, static_cast<size_t>(end - begin));
    } else if (missing_.fetch_sub(end - begin) == end - begin) {
      WithTensor(data.substr(static_cast<size_t>(begin_), static_cast<size_t>(end_ - begin_)),
                 to_.type, to_.sizes, to_.restore);
    }
  }

 private:
  const StateTensor& to_;
  const int64_t begin_, end_;
  at::Tensor plain_;  // defined: its bytes are copied as they are
  char* start_ = nullptr;
  std::atomic<int64_t> missing_;  // bytes that were not there yet
};

// Of one file, by position.
using Copies = std::vector<std::unique_ptr<Copy>>;

// What goes where, file by file. FAILED_PRECONDITION: something does not fit.
absl::StatusOr<std::vector<Copies>> Plan(const CheckpointFiles& files,
                                         const std::vector<StateTensor>& state, bool exact) {
  std::map<std::string, std::pair<size_t, const SafetensorsEntry*>> entries;
  for (size_t part = 0; part < files.parts().size(); ++part) {
    for (const SafetensorsEntry& entry : files.parts()[part].header.entries)
      entries.emplace(entry.name, std::pair(part, &entry));
  }
  std::multimap<std::string, const StateTensor*> wanted;
  for (const StateTensor& to : state) wanted.emplace(to.name, &to);
  std::vector<Copies> plan(files.parts().size());
  for (const auto& [name, to] : wanted) {
    const auto found = entries.find(name);
    if (found == entries.end()) return Mismatch(name, "is not in the checkpoint");
    SEER_RETURN_IF_ERROR(CheckFit(*found->second.second, *to));
    plan[found->second.first].push_back(std::make_unique<Copy>(*found->second.second, *to));
  }
  if (exact) {
    for (const auto& [name, entry] : entries) {
      if (!wanted.contains(name))
        return Mismatch(name, "is in the checkpoint, but not in the model");
    }
  }
  return plan;
}

}  // namespace

void WithTensor(absl::string_view bytes, at::ScalarType type, const std::vector<int64_t>& sizes,
                const std::function<void(const at::Tensor&)>& body) {
  const at::NoGradGuard no_grad;
  const at::TensorOptions options = at::TensorOptions().dtype(type);
  if (reinterpret_cast<uintptr_t>(bytes.data()) % c10::elementSize(type) == 0) {
    body(at::from_blob(const_cast<char*>(bytes.data()), sizes, options));
    return;
  }
  const at::Tensor aligned = at::empty(sizes, options);
  std::memcpy(aligned.mutable_data_ptr(), bytes.data(), aligned.nbytes());
  body(aligned);
}

absl::Status RestoreCheckpoint(ObjectStore& store, const std::string& prefix,
                               const std::vector<StateTensor>& state, bool exact,
                               const MetadataCheck& check) {
  SEER_ASSIGN_OR_RETURN(const CheckpointFiles files, CheckpointFiles::Open(store, prefix));
  absl::Status fits = check ? check(files.metadata()) : absl::OkStatus();
  auto plan = Plan(files, state, exact);
  if (fits.ok()) fits = plan.status();
  if (!fits.ok()) {
    // A flipped bit in a header may look like another model.
    SEER_RETURN_IF_ERROR(files.Read(RunInParallel, {}, {}));
    return fits;
  }
  return files.Read(RunInParallel,
                    [&](size_t part, absl::string_view data, int64_t begin, int64_t end) {
                      for (const auto& copy : (*plan)[part]) {
                        if (copy->begin() < end && copy->end() > begin)
                          copy->Take(data, begin, end);
                      }
                    },
                    {});
}

absl::StatusOr<LoadedCheckpoint> ReadCheckpoint(ObjectStore& store, const std::string& prefix) {
  LoadedCheckpoint checkpoint;
  SEER_ASSIGN_OR_RETURN(
      checkpoint.metadata,
      VisitCheckpoint(store, prefix, [&](const SafetensorsEntry& entry, absl::string_view bytes) {
        at::Tensor tensor = at::empty(entry.shape, entry.dtype == "F32" ? at::kFloat : at::kLong);
        std::memcpy(tensor.mutable_data_ptr(), bytes.data(), bytes.size());
        checkpoint.tensors.emplace(entry.name, std::move(tensor));
        return absl::OkStatus();
      }));
  return checkpoint;
}

}  // namespace seer::engine
