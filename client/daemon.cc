#include "client/daemon.h"

#include <fstream>
#include <sstream>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace seer::client {

namespace fs = std::filesystem;

std::string ReadFile(const fs::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string StartTime(int pid) {
  const std::string stat = ReadFile(absl::StrCat("/proc/", pid, "/stat"));
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return "";
  const std::vector<std::string> fields = absl::StrSplit(stat.substr(name_end + 2), ' ');
  return fields.size() > 19 && fields[0] != "Z" ? fields[19] : "";
}

int RunningPid(const fs::path& pid_file) {
  const std::vector<std::string> parts =
      absl::StrSplit(ReadFile(pid_file), absl::ByAnyChar(" \n"), absl::SkipEmpty());
  int pid = 0;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &pid) || pid <= 1) return 0;
  return StartTime(pid) == parts[1] ? pid : 0;
}

std::string LastLines(const fs::path& log, size_t count) {
  std::vector<std::string> lines = absl::StrSplit(ReadFile(log), '\n', absl::SkipEmpty());
  if (lines.size() > count)
    lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(count));
  return absl::StrJoin(lines, "\n  ");
}

}  // namespace seer::client
