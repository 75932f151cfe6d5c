#include "coordinator/services/curve_store.h"

#include <google/protobuf/util/delimited_message_util.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"

namespace seer::coordinator {
namespace {

absl::Status Failed(const std::string& path) {
  const std::string text = absl::StrCat("curve ", path, ": ", std::strerror(errno));
  if (errno == ENOSPC || errno == EDQUOT) {
    return Error(absl::StatusCode::kResourceExhausted, reason::kDiskFull, text)
        .Hint("free space on that file system");
  }
  return Error(absl::StatusCode::kUnavailable, reason::kStorageFailed, text);
}

absl::Status Write(const std::string& path, std::ios::openmode mode,
                   const std::vector<v1::Progress>& points) {
  std::ofstream file(path, std::ios::binary | mode);
  for (const v1::Progress& point : points)
    google::protobuf::util::SerializeDelimitedToOstream(point, &file);
  file.flush();
  return file ? absl::OkStatus() : Failed(path);
}

}  // namespace

std::vector<v1::Progress> Thinned(const std::vector<v1::Progress>& points, size_t most) {
  if (points.size() <= most) return points;
  std::vector<v1::Progress> out;
  for (size_t i = 0; i < most; ++i)
    out.push_back(points[most == 1 ? points.size() - 1 : i * (points.size() - 1) / (most - 1)]);
  return out;
}

std::string CurveStore::Path(const std::string& job) const {
  return absl::StrCat(root_, "/", job, "/curve");
}

// Up to the first that is not whole: a process that was killed while it wrote leaves half a point.
std::vector<v1::Progress> CurveStore::Load(const std::string& job) const {
  std::vector<v1::Progress> points;
  std::ifstream file(Path(job), std::ios::binary);
  google::protobuf::io::IstreamInputStream stream(&file);
  bool end = false;
  for (v1::Progress point;
       google::protobuf::util::ParseDelimitedFromZeroCopyStream(&point, &stream, &end);
       point.Clear()) {
    if (points.empty() || point.step() > points.back().step()) points.push_back(point);
  }
  return points;
}

absl::Status CurveStore::Save(const std::string& job,
                              const std::vector<v1::Progress>& points) const {
  const std::string path = Path(job), beside = path + ".new";
  const absl::Status written = Write(beside, std::ios::trunc, points);
  if (!written.ok()) return written;
  std::error_code error;
  std::filesystem::rename(beside, path, error);
  if (!error) return absl::OkStatus();
  errno = error.value();
  return Failed(path);
}

CurveStore::Curve CurveStore::Look(const std::string& job) const {
  const std::vector<v1::Progress> points = Load(job);
  Curve curve;
  curve.points = points.size();
  if (points.empty()) return curve;
  curve.last_step = points.back().step();
  // As it was thinned before.
  if (points.size() > kMaxPoints / 2) {
    curve.gap = std::max<int64_t>(
        1, (curve.last_step - points.front().step()) / static_cast<int64_t>(points.size()) / 2);
  }
  return curve;
}

absl::Status CurveStore::Add(const std::string& job, const v1::Progress& point) {
  absl::MutexLock lock(&mu_);
  auto [it, first] = curves_.try_emplace(job);
  Curve& curve = it->second;
  if (first) {  // since this start: go on where an earlier one stopped, without half a point
    std::error_code ignored;
    std::filesystem::create_directories(absl::StrCat(root_, "/", job), ignored);
    curve = Look(job);
    if (curve.points > 0) {
      const absl::Status saved = Save(job, Load(job));
      if (!saved.ok()) {
        curves_.erase(it);
        return saved;
      }
    }
  }
  const bool again = point.step() <= curve.last_step && curve.points > 0;
  if (!again && curve.points > 0 && point.step() - curve.last_step < curve.gap)
    return absl::OkStatus();
  if (!again && curve.points < kMaxPoints) {
    const absl::Status written = Write(Path(job), std::ios::app, {point});
    if (!written.ok()) {
      curves_.erase(it);  // look at the file anew next time
      return written;
    }
    ++curve.points;
    curve.last_step = point.step();
    return absl::OkStatus();
  }
  std::vector<v1::Progress> points = Load(job);
  while (!points.empty() && points.back().step() >= point.step()) points.pop_back();
  if (points.size() >= kMaxPoints) {
    points = Thinned(points, kMaxPoints / 2);
    curve.gap = std::max<int64_t>(curve.gap * 2, 1);
  }
  points.push_back(point);
  const absl::Status saved = Save(job, points);
  if (!saved.ok()) {
    curves_.erase(it);
    return saved;
  }
  curve.points = points.size();
  curve.last_step = point.step();
  return absl::OkStatus();
}

absl::Status CurveStore::Remove(const std::string& job) {
  absl::MutexLock lock(&mu_);
  curves_.erase(job);
  std::error_code error;
  std::filesystem::remove(Path(job), error);
  if (!error) return absl::OkStatus();
  errno = error.value();
  return Failed(Path(job));
}

void CurveStore::Reopen() {
  absl::MutexLock lock(&mu_);
  curves_.clear();
}

std::vector<v1::Progress> CurveStore::Read(const std::string& job) const {
  absl::MutexLock lock(&mu_);
  return Load(job);
}

}  // namespace seer::coordinator
