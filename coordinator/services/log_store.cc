#include "coordinator/services/log_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/base/utf8.h"

namespace seer::coordinator {
namespace {

constexpr size_t kReadBytes = 1 << 20;

absl::Status Failed(const std::string& path, int error) {
  const std::string text = absl::StrCat("log ", path, ": ", std::strerror(error));
  if (error == ENOSPC || error == EDQUOT) {
    return Error(absl::StatusCode::kResourceExhausted, reason::kDiskFull, text)
        .Hint("free space on that file system");
  }
  return Error(absl::StatusCode::kUnavailable, reason::kStorageFailed, text);
}

// "<microseconds> <attempt> <rank> <text>"
bool Parse(absl::string_view line, LogRecord& out) {
  const std::vector<absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(' ', 3));
  int64_t micros = 0;
  if (parts.size() != 4 || !absl::SimpleAtoi(parts[0], &micros)) return false;
  if (!absl::SimpleAtoi(parts[1], &out.attempt) || !absl::SimpleAtoi(parts[2], &out.rank))
    return false;
  out.time = absl::FromUnixMicros(micros);
  out.text = std::string(parts[3]);
  return true;
}

// A process that was killed while it wrote, or a machine that lost its power, may leave half a
// line: it is cut off, or the next line would be glued to it. 0: there is no file.
int64_t EndOfWholeLines(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return 0;
  int64_t end = std::max<int64_t>(::lseek(fd, 0, SEEK_END), 0);
  const int64_t size = end;
  char last = '\n';
  while (end > 0 && ::pread(fd, &last, 1, end - 1) == 1 && last != '\n') --end;
  if (end < size && ::ftruncate(fd, end) != 0) end = size;
  ::close(fd);
  return end;
}

}  // namespace

std::string LogStore::Path(const std::string& job, int64_t segment) const {
  return absl::StrCat(root_, "/", job, "/", absl::StrFormat("%08d.log", segment));
}

std::vector<int64_t> LogStore::Segments(const std::string& job) const {
  std::vector<int64_t> segments;
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator(absl::StrCat(root_, "/", job), error)) {
    int64_t number = 0;
    if (absl::SimpleAtoi(entry.path().stem().string(), &number)) segments.push_back(number);
  }
  std::sort(segments.begin(), segments.end());
  return segments;
}

absl::Status LogStore::Append(const std::string& job, const std::vector<LogRecord>& lines) {
  std::string text;
  for (const LogRecord& line : lines) {
    // Readers get it in a protobuf string, which must be UTF-8.
    std::string kept(Utf8Prefix(ToValidUtf8(line.text), kLineBytes));
    std::replace(kept.begin(), kept.end(), '\n', ' ');
    absl::StrAppend(&text, absl::ToUnixMicros(line.time), " ", line.attempt, " ", line.rank, " ",
                    kept, "\n");
  }
  absl::MutexLock lock(&mu_);
  auto [it, first] = ends_.try_emplace(job);
  LogPosition& end = it->second;
  std::error_code ignored;
  if (first) {  // since this start: go on where an earlier one stopped
    std::filesystem::create_directories(absl::StrCat(root_, "/", job), ignored);
    const std::vector<int64_t> segments = Segments(job);
    end.segment = segments.empty() ? 1 : segments.back();
    end.offset = EndOfWholeLines(Path(job, end.segment));
  }
  if (end.offset >= kSegmentBytes) {
    end = {end.segment + 1, 0};
    for (int64_t old : Segments(job)) {
      if (old <= end.segment - kSegments) std::filesystem::remove(Path(job, old), ignored);
    }
  }
  const std::string path = Path(job, end.segment);
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return Failed(path, errno);
  const ssize_t written = ::write(fd, text.data(), text.size());
  const int error = written < 0 ? errno : ENOSPC;
  if (written == static_cast<ssize_t>(text.size())) {
    end.offset += written;
    ::close(fd);
    return absl::OkStatus();
  }
  if (::ftruncate(fd, end.offset) != 0)
    ends_.erase(it);  // no half line; else look at the file anew next time
  ::close(fd);
  return Failed(path, error);
}

std::vector<std::string> LogStore::Jobs() const {
  std::vector<std::string> jobs;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(root_, error)) {
    std::string job = entry.path().filename().string();
    if (entry.is_directory(error) && !Segments(job).empty()) jobs.push_back(std::move(job));
  }
  return jobs;
}

absl::StatusOr<int64_t> LogStore::Drop(const std::string& job) {
  absl::MutexLock lock(&mu_);
  ends_.erase(job);
  int64_t bytes = 0;
  for (const int64_t segment : Segments(job)) {
    const std::string path = Path(job, segment);
    std::error_code error;
    const auto size = std::filesystem::file_size(path, error);
    if (!std::filesystem::remove(path, error) && error) return Failed(path, error.value());
    bytes += static_cast<int64_t>(size);
  }
  std::error_code not_empty;  // the curve's file stays
  std::filesystem::remove(absl::StrCat(root_, "/", job), not_empty);
  return bytes;
}

absl::Status LogStore::Remove(const std::string& job) {
  absl::MutexLock lock(&mu_);
  ends_.erase(job);
  const std::string folder = absl::StrCat(root_, "/", job);
  std::error_code error;
  std::filesystem::remove_all(folder, error);
  return error ? Failed(folder, error.value()) : absl::OkStatus();
}

void LogStore::Reopen() {
  absl::MutexLock lock(&mu_);
  ends_.clear();
}

absl::StatusOr<std::vector<LogRecord>> LogStore::Read(const std::string& job,
                                                      LogPosition& position) {
  std::vector<LogRecord> lines;
  for (int64_t segment : Segments(job)) {
    if (segment < position.segment) continue;
    if (segment > position.segment) position = {segment, 0};
    const std::string path = Path(job, segment);
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;  // dropped meanwhile
    std::string text(kReadBytes, '\0');
    const ssize_t got = ::pread(fd, text.data(), text.size(), position.offset);
    const int error = errno;
    ::close(fd);
    if (got < 0) return Failed(path, error);
    text.resize(static_cast<size_t>(got));
    text.resize(text.rfind('\n') == std::string::npos ? 0 : text.rfind('\n') + 1);  // whole lines
    for (absl::string_view rest = text; !rest.empty();) {
      const size_t end = rest.find('\n');
      position.offset += static_cast<int64_t>(end) + 1;
      if (LogRecord record; Parse(rest.substr(0, end), record)) {
        record.next = position;
        lines.push_back(std::move(record));
      }
      rest.remove_prefix(end + 1);
    }
    if (!lines.empty()) break;
  }
  return lines;
}

absl::StatusOr<LogPosition> LogStore::Behind(const std::string& job, LogPosition position,
                                             absl::Time time) {
  const std::vector<int64_t> segments = Segments(job);
  if (!segments.empty() && position.segment < segments.front()) return position;
  // The line before, and more: one is at most so long.
  LogPosition before{position.segment,
                     std::max<int64_t>(0, position.offset - static_cast<int64_t>(kReadBytes) / 2)};
  SEER_ASSIGN_OR_RETURN(const std::vector<LogRecord> near, Read(job, before));
  for (const LogRecord& line : near) {
    if (line.next.segment == position.segment && line.next.offset == position.offset &&
        line.time == time)
      return position;
  }
  LogPosition behind, reader;
  while (true) {
    SEER_ASSIGN_OR_RETURN(const std::vector<LogRecord> lines, Read(job, reader));
    if (lines.empty()) return behind;
    for (const LogRecord& line : lines) {
      if (line.time <= time) behind = line.next;
    }
  }
}

}  // namespace seer::coordinator
