// A folder of the test's own, removed when the test is over.
#pragma once

#include <filesystem>
#include <string>

#include "common/base/check.h"

namespace seer::testing {

class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "seer-test-XXXXXX").string();
    SEER_CHECK(mkdtemp(pattern.data()) != nullptr) << "cannot make " << pattern;
    path_ = pattern;
  }
  TempDir(const TempDir&) = delete;
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace seer::testing
