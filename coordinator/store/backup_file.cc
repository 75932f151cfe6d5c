#include "coordinator/store/backup_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/error.h"

namespace seer::coordinator {
namespace {

using nlohmann::json;

constexpr int kFileVersion = 1;
constexpr size_t kBufferBytes = 1 << 20;

json ToJson(const SqlValue& value) {
  if (const auto* integer = std::get_if<int64_t>(&value)) return *integer;
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  return {{"base64", absl::Base64Escape(std::get<SqlBytes>(value).bytes)}};
}

// Throws like the parser does.
SqlValue FromJson(const json& value) {
  if (value.is_number_integer()) return value.get<int64_t>();
  if (value.is_string()) return value.get<std::string>();
  SqlBytes bytes;
  if (!absl::Base64Unescape(value.at("base64").get<std::string>(), &bytes.bytes))
    throw std::invalid_argument("not base64");
  return bytes;
}

std::string Line(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace

BackupWriter::~BackupWriter() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(Part().c_str());
}

absl::Status BackupWriter::Failed(const char* doing) const {
  const int code = errno;
  const std::string text = absl::StrCat(doing, " ", Part(), ": ", strerror(code));
  if (code == ENOSPC || code == EDQUOT) {
    return Error(absl::StatusCode::kResourceExhausted, reason::kDiskFull, text)
        .Field("file")
        .Hint("free space there, or write the backup elsewhere");
  }
  return Error(absl::StatusCode::kUnavailable, reason::kStorageFailed, text)
      .Field("file")
      .Hint("name a file in a folder that can be written");
}

absl::Status BackupWriter::Open(int64_t schema, const std::string& database) {
  if (std::filesystem::exists(path_)) {
    return Error(absl::StatusCode::kAlreadyExists, reason::kInvalidArgument,
                 absl::StrCat(path_, " exists"))
        .Field("file")
        .Hint("name a new file, or remove that one");
  }
  fd_ = ::open(Part().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd_ < 0) return Failed("cannot make");
  buffer_ = Line({{"backup", kFileVersion},
                  {"schema", schema},
                  {"database", database},
                  {"created", absl::FormatTime(Clock::Real().Now(), absl::UTCTimeZone())}});
  return absl::OkStatus();
}

absl::Status BackupWriter::Add(const std::string& table, const std::vector<SqlValue>& row) {
  ++rows_[table];
  json values = json::array();
  for (const SqlValue& value : row) values.push_back(ToJson(value));
  buffer_ += Line({{"table", table}, {"row", std::move(values)}});
  return buffer_.size() < kBufferBytes ? absl::OkStatus() : WriteBuffer();
}

absl::Status BackupWriter::WriteBuffer() {
  digest_.Update(buffer_);
  return Write(std::exchange(buffer_, ""));
}

absl::Status BackupWriter::Write(const std::string& bytes) {
  for (size_t at = 0; at < bytes.size();) {
    const ssize_t wrote = ::write(fd_, bytes.data() + at, bytes.size() - at);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return Failed("cannot write");
    at += static_cast<size_t>(wrote);
  }
  return absl::OkStatus();
}

absl::Status BackupWriter::Finish() {
  SEER_RETURN_IF_ERROR(WriteBuffer());
  const Sha256Digest digest = digest_.Finish();
  const std::string hex = ToHex({reinterpret_cast<const char*>(digest.data()), digest.size()});
  SEER_RETURN_IF_ERROR(Write(Line({{"rows", rows_}, {"sha256", hex}})));
  if (::fsync(fd_) != 0) return Failed("cannot write");
  if (::rename(Part().c_str(), path_.c_str()) != 0) return Failed("cannot rename");
  ::close(std::exchange(fd_, -1));
  const std::string folder = std::filesystem::absolute(path_).parent_path().string();
  const int folder_fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_fd >= 0) {
    ::fsync(folder_fd);
    ::close(folder_fd);
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> ReadBackup(const std::string& path, const BackupReader& reader) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return Error(absl::StatusCode::kNotFound, reason::kDatabaseNotFound,
                 absl::StrCat("cannot read ", path, ": ", strerror(errno)))
        .Field("file")
        .Hint("name a file that `seer-coordinator backup` wrote");
  }
  int64_t number = 0;
  const auto corrupt = [&](absl::string_view why) -> absl::Status {
    return Error(absl::StatusCode::kDataLoss, reason::kBackupCorrupt,
                 absl::StrCat(path, ", line ", number, ": not a whole backup: ", why))
        .Field("file")
        .Hint("take another backup; nothing was restored");
  };
  Sha256Stream digest;
  std::map<std::string, int64_t> rows;
  int64_t schema = 0;
  bool ended = false;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (ended) return corrupt("it goes on after its end");
    try {
      const json in = json::parse(line);
      if (number == 1) {
        if (in.at("backup").get<int>() > kFileVersion) {
          return Error(absl::StatusCode::kFailedPrecondition, reason::kDatabaseTooNew,
                       absl::StrCat(path, " was written by a newer version"))
              .Field("file")
              .Hint("restore it with that version's seer-coordinator");
        }
        schema = in.at("schema");
      } else if (in.contains("sha256")) {
        const Sha256Digest bytes = digest.Finish();
        if (in.at("sha256").get<std::string>() !=
            ToHex({reinterpret_cast<const char*>(bytes.data()), bytes.size()}))
          return corrupt("its SHA-256 is another one");
        if (in.at("rows").get<std::map<std::string, int64_t>>() != rows)
          return corrupt("the number of its rows is another one");
        ended = true;
        continue;
      } else {
        std::vector<SqlValue> row;
        for (const json& value : in.at("row")) row.push_back(FromJson(value));
        const std::string table = in.at("table");
        ++rows[table];
        SEER_RETURN_IF_ERROR(reader(table, std::move(row)));
      }
    } catch (const std::exception& error) {
      return corrupt(error.what());
    }
    digest.Update(line);
    digest.Update("\n");
  }
  if (!ended) return corrupt("its end is missing");
  return schema;
}

}  // namespace seer::coordinator
