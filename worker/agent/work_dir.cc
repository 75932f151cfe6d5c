#include "worker/agent/work_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer::worker {
namespace {

namespace fs = std::filesystem;

absl::Status CannotUse(const std::string& path, const std::string& why) {
  return Error(absl::StatusCode::kPermissionDenied, reason::kStorageFailed,
               absl::StrCat("cannot use ", path, ": ", why))
      .Field("work-dir")
      .Hint("choose a folder that can be written with --work-dir");
}

// The trainer wrote it, but a trainer is a program that may do anything: every type is checked.
std::string TextOf(const nlohmann::json& word, const char* key) {
  const auto it = word.find(key);
  return it != word.end() && it->is_string() ? it->get<std::string>() : "";
}

}  // namespace

absl::StatusOr<std::unique_ptr<WorkDir>> WorkDir::Open(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return CannotUse(path, error.message());
  const int fd = ::open((path + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return CannotUse(path, std::strerror(errno));
  std::unique_ptr<WorkDir> dir(new WorkDir(path, fd));
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    return Error(absl::StatusCode::kAlreadyExists, reason::kInvalidArgument,
                 absl::StrCat("another agent uses ", path))
        .Field("work-dir")
        .Hint("give each agent of a machine a folder of its own with --work-dir");
  }
  fs::remove_all(path + "/ranks", error);  // of an earlier life: its trainers died with it
  fs::create_directories(path + "/ranks", error);
  if (error) return CannotUse(path, error.message());
  return dir;
}

WorkDir::~WorkDir() { ::close(lock_fd_); }

std::string WorkDir::AssignmentPath(int64_t attempt_id, int rank) const {
  return absl::StrCat(path_, "/ranks/attempt-", attempt_id, "-rank-", rank);
}

absl::Status WorkDir::WriteAssignment(const internal::v1::Assign& assign) const {
  const std::string path = AssignmentPath(assign.attempt_id(), assign.rank());
  std::error_code ignored;
  fs::create_directories(path_ + "/ranks", ignored);  // should somebody have cleaned up
  fs::remove(path + ".exit", ignored);
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  assign.SerializeToOstream(&file);
  file.close();
  if (file) return absl::OkStatus();
  return Error(absl::StatusCode::kUnavailable, reason::kStorageFailed,
               absl::StrCat("the agent cannot write ", path));
}

absl::Status WorkDir::LinkFlight(int64_t attempt_id, int rank, const std::string& target) const {
  const std::string path = AssignmentPath(attempt_id, rank) + ".flight";
  std::error_code error;
  fs::remove(path, error);
  fs::create_symlink(target, path, error);
  if (!error) return absl::OkStatus();
  return Error(absl::StatusCode::kUnavailable, reason::kStorageFailed,
               absl::StrCat("the agent cannot link ", path, ": ", error.message()));
}

std::optional<LastWord> WorkDir::TakeLastWord(int64_t attempt_id, int rank) const {
  const std::string path = AssignmentPath(attempt_id, rank);
  std::stringstream text;
  text << std::ifstream(path + ".exit").rdbuf();
  std::error_code ignored;
  // Also a word whose writer was killed: "<path>.exit.tmp-<pid>".
  for (const auto& entry : fs::directory_iterator(path_ + "/ranks", ignored)) {
    if (entry.path() == path || entry.path() == path + ".flight" ||
        entry.path() == MetricsPortFile(path) ||
        absl::StartsWith(entry.path().string(), path + ".exit"))
      fs::remove(entry.path(), ignored);
  }
  const auto word = nlohmann::json::parse(text.str(), nullptr, /*allow_exceptions=*/false);
  if (!word.is_object()) return std::nullopt;
  return LastWord{TextOf(word, "reason"), TextOf(word, "message")};
}

}  // namespace seer::worker
