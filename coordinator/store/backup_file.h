// The file of a backup (transfer.h has its form). Not thread-safe.
#pragma once

#include <cstdint>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/digest.h"
#include "coordinator/store/sql_database.h"

namespace seer::coordinator {

// Beside `path` until Finish, which puts it in place. Readable by its owner alone.
class BackupWriter {
 public:
  explicit BackupWriter(std::string path) : path_(std::move(path)) {}
  BackupWriter(const BackupWriter&) = delete;
  ~BackupWriter();  // removes what was not finished
  // ALREADY_EXISTS with INVALID_ARGUMENT. UNAVAILABLE with STORAGE_FAILED.
  absl::Status Open(int64_t schema, const std::string& database);
  absl::Status Add(const std::string& table, const std::vector<SqlValue>& row);
  absl::Status Finish();  // durable on return

 private:
  absl::Status WriteBuffer();
  absl::Status Write(const std::string& bytes);
  absl::Status Failed(const char* doing) const;
  std::string Part() const { return path_ + ".part"; }

  const std::string path_;
  int fd_ = -1;
  std::string buffer_;
  Sha256Stream digest_;
  std::map<std::string, int64_t> rows_;
};

using BackupReader =
    std::function<absl::Status(const std::string& table, std::vector<SqlValue> row)>;

// Reads the whole file and gives its rows to `reader`, before it knows that the end is right: read
// it once with a reader that does nothing. Returns the schema's version. NOT_FOUND with
// DATABASE_NOT_FOUND: no such file. DATA_LOSS with BACKUP_CORRUPT.
absl::StatusOr<int64_t> ReadBackup(const std::string& path, const BackupReader& reader);

}  // namespace seer::coordinator
