#include "client/output.h"

#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/util/json_util.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/exit_code.h"
#include "common/base/clock.h"
#include "common/base/error.h"

namespace seer::client {
namespace {

using google::protobuf::Message;

std::string Json(const Message& message, bool pretty) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = pretty;
  std::string out;
  google::protobuf::util::MessageToJsonString(message, &out, options);
  return out;
}

void MakeBlock(YAML::Node node) {
  if (node.IsMap() || node.IsSequence()) node.SetStyle(YAML::EmitterStyle::Block);
  if (node.IsMap())
    for (auto item : node) MakeBlock(item.second);
  if (node.IsSequence())
    for (auto item : node) MakeBlock(item);
}

std::string NameOf(const Message& message) {
  const auto* field = message.GetDescriptor()->FindFieldByName("name");
  return field == nullptr ? "" : message.GetReflection()->GetString(message, field);
}

}  // namespace

void PrintYaml(const std::string& json) {
  YAML::Node node = YAML::Load(json);  // JSON is YAML
  MakeBlock(node);
  YAML::Emitter out;
  out << node;
  std::printf("%s\n", out.c_str());
}

void PrintLines(const std::vector<std::pair<std::string, std::string>>& lines) {
  size_t width = 0;
  for (const auto& [key, value] : lines) width = std::max(width, key.size());
  for (const auto& [key, value] : lines)
    if (!value.empty())
      std::printf("%s:%s%s\n", key.c_str(), std::string(width - key.size() + 2, ' ').c_str(),
                  value.c_str());
}

std::string FormatTable(const std::vector<const Message*>& items,
                        const std::vector<Column>& columns, bool wide) {
  std::vector<std::vector<std::string>> rows(1);
  std::vector<const Column*> shown;
  for (const Column& column : columns)
    if (!column.wide || wide) shown.push_back(&column);
  for (const Column* column : shown) rows[0].push_back(column->title);
  for (const Message* item : items) {
    rows.emplace_back();
    for (const Column* column : shown) rows.back().push_back(column->text(*item));
  }
  std::vector<size_t> widths(shown.size(), 0);
  for (const auto& row : rows)
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  std::string text;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i)
      absl::StrAppend(&text, row[i],
                      i + 1 < row.size() ? std::string(widths[i] - row[i].size() + 2, ' ') : "\n");
  }
  return text;
}

void PrintList(OutputForm form, const std::vector<const Message*>& items,
               const std::vector<Column>& columns) {
  if (form == OutputForm::kName) {
    for (const Message* item : items) std::printf("%s\n", NameOf(*item).c_str());
  } else if (form == OutputForm::kJsonl) {
    for (const Message* item : items) std::printf("%s\n", Json(*item, false).c_str());
  } else if (form == OutputForm::kJson || form == OutputForm::kYaml) {
    std::vector<std::string> parts;
    for (const Message* item : items) parts.push_back(Json(*item, false));
    const std::string json = absl::StrCat("[", absl::StrJoin(parts, ",\n "), "]");
    if (form == OutputForm::kYaml) return PrintYaml(json);
    std::printf("%s\n", json.c_str());
  } else {
    std::printf("%s", FormatTable(items, columns, form == OutputForm::kWide).c_str());
  }
}

void PrintOne(OutputForm form, const Message& item,
              const std::vector<std::pair<std::string, std::string>>& lines) {
  switch (form) {
    case OutputForm::kJson:
      std::printf("%s", Json(item, true).c_str());
      return;
    case OutputForm::kJsonl:
      std::printf("%s\n", Json(item, false).c_str());
      return;
    case OutputForm::kYaml:
      return PrintYaml(Json(item, false));
    case OutputForm::kName:
      std::printf("%s\n", NameOf(item).c_str());
      return;
    default:
      return PrintLines(lines);
  }
}

void PrintDocument(OutputForm form, const std::string& json) {
  if (form == OutputForm::kYaml) return PrintYaml(json);
  std::printf("%s\n", form == OutputForm::kJson
                          ? nlohmann::ordered_json::parse(json).dump(1).c_str()
                          : json.c_str());
}

bool IsDocument(OutputForm form) {
  return form == OutputForm::kJson || form == OutputForm::kJsonl || form == OutputForm::kYaml;
}

void PrintDeleted(OutputForm form, const Message& item, const std::string& name) {
  if (IsDocument(form) || form == OutputForm::kName) return PrintOne(form, item, {});
  std::printf("deleted %s\n", name.c_str());
}

absl::Status FlushOutput() {
  errno = 0;
  std::cout.flush();  // of stdio's buffer: they are one
  std::fflush(stdout);
  const int error = errno;  // 0: it was an earlier write that failed
  if (std::ferror(stdout) == 0) return absl::OkStatus();
  std::clearerr(stdout);
  std::cout.clear();
  return Error(absl::StatusCode::kFailedPrecondition, reason::kStorageFailed,
               absl::StrCat("cannot write the output",
                            error == 0 ? "" : absl::StrCat(": ", std::strerror(error))))
      .Hint("what was printed is not complete: make room, or write it elsewhere");
}

void Note(const std::string& text) { std::fprintf(stderr, "%s\n", text.c_str()); }

int Fail(const absl::Status& status) {
  Note(absl::StrCat(absl::IsCancelled(status) ? "" : "error: ", status.message()));
  if (const auto detail = GetErrorDetail(status)) {
    if (!detail->field.empty() && !absl::StrContains(status.message(), detail->field))
      Note(absl::StrCat("field: ", detail->field));
    if (!detail->hint.empty()) Note(absl::StrCat("hint: ", detail->hint));
  }
  return ExitCodeOf(status);
}

int ExitCode(const absl::Status& status) { return status.ok() ? kExitOk : Fail(status); }

absl::Status CheckNewFile(const std::string& file, bool force, const std::string& flag) {
  std::error_code error;
  const std::filesystem::path path = std::filesystem::absolute(file, error);
  if (file.empty() || std::filesystem::is_directory(path, error)) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 absl::StrCat("'", file, "' is no name of a file"))
        .Field(flag)
        .Hint("name the file to write");
  }
  if (std::filesystem::exists(path, error) && !force) {
    return Error(absl::StatusCode::kAlreadyExists, reason::kInvalidArgument,
                 absl::StrCat(file, " is there already"))
        .Field(flag)
        .Hint("choose another file, or give --force to replace it");
  }
  if (!std::filesystem::is_directory(path.parent_path(), error)) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 absl::StrCat("there is no folder ", path.parent_path().string()))
        .Field(flag)
        .Hint("make the folder, or choose another file");
  }
  return absl::OkStatus();
}

std::string FormatBytes(int64_t bytes) {
  if (bytes < 1024) return absl::StrCat(bytes, " B");
  auto value = static_cast<double>(bytes);
  for (const char* unit : {"KiB", "MiB", "GiB", "TiB"}) {
    value /= 1024;
    if (value < 1024) return absl::StrFormat("%.1f %s", value, unit);
  }
  return absl::StrFormat("%.1f PiB", value / 1024);
}

std::string FormatSeconds(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "-";
  if (seconds < 60) return absl::StrFormat("%.*fs", seconds < 10 ? 1 : 0, seconds);
  const auto whole = static_cast<int64_t>(seconds + 0.5);
  if (whole < 3600) return absl::StrFormat("%dm%02ds", whole / 60, whole % 60);
  if (whole < 86400) return absl::StrFormat("%dh%02dm", whole / 3600, whole / 60 % 60);
  return absl::StrFormat("%dd%02dh", whole / 86400, whole / 3600 % 24);
}

std::string FormatTime(const google::protobuf::Timestamp& time) {
  return time.seconds() == 0
             ? ""
             : absl::FormatTime("%Y-%m-%d %H:%M:%SZ", absl::FromUnixSeconds(time.seconds()),
                                absl::UTCTimeZone());
}

std::string FormatAge(const google::protobuf::Timestamp& time) {
  return time.seconds() == 0
             ? "-"
             : FormatSeconds(
                   std::max(0.0, absl::ToDoubleSeconds(Clock::Real().Now() -
                                                       absl::FromUnixSeconds(time.seconds()))));
}

std::string EnumName(const std::string& name, const std::string& prefix) {
  return absl::StartsWith(name, prefix) ? name.substr(prefix.size()) : name;
}

bool IsTerminal(int fd) { return ::isatty(fd) == 1; }

}  // namespace seer::client
