// What commands print: data to stdout in the form that -o asks for, notes and errors to stderr.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace google::protobuf {
class Message;
class Timestamp;
}  // namespace google::protobuf

namespace seer::client {

enum class OutputForm { kTable, kWide, kJson, kJsonl, kYaml, kName };

// One column of a table; `wide`: only with -o wide.
struct Column {
  std::string title;
  std::function<std::string(const google::protobuf::Message&)> text;
  bool wide = false;
};

// Lines with aligned columns below a line of titles.
std::string FormatTable(const std::vector<const google::protobuf::Message*>& items,
                        const std::vector<Column>& columns, bool wide);
// JSON is the proto3 JSON of the messages: one array, or with jsonl a message a line. `name`: the
// resources' names, a line each.
void PrintList(OutputForm form, const std::vector<const google::protobuf::Message*>& items,
               const std::vector<Column>& columns);
// One resource: JSON and YAML as it is, otherwise the lines "Key:  value" that `describe` gives.
void PrintOne(OutputForm form, const google::protobuf::Message& item,
              const std::vector<std::pair<std::string, std::string>>& lines);

// A document that is no message, given as JSON: indented for kJson, else as it is, or as YAML.
// `form` is one of these three.
void PrintDocument(OutputForm form, const std::string& json);
bool IsDocument(OutputForm form);  // kJson, kJsonl or kYaml
// A resource that is gone: "deleted NAME" for people, otherwise as PrintOne.
void PrintDeleted(OutputForm form, const google::protobuf::Message& item, const std::string& name);

void PrintLines(const std::vector<std::pair<std::string, std::string>>& lines);
void PrintYaml(const std::string& json);

// Hands all that was printed so far to the system. FAILED_PRECONDITION with STORAGE_FAILED: some of
// it could not be written, and why; said once.
absl::Status FlushOutput();

void Note(const std::string& text);  // stderr
// "error: …", field and hint on stderr, for CANCELLED the message alone; returns the exit code.
int Fail(const absl::Status& status);
int ExitCode(const absl::Status& status);  // kExitOk, or as Fail

// A command may write `file`. ALREADY_EXISTS: it is there, and not to be replaced.
// INVALID_ARGUMENT: its folder is not. Both name `flag`.
absl::Status CheckNewFile(const std::string& file, bool force, const std::string& flag = "--file");

std::string FormatBytes(int64_t bytes);
std::string FormatSeconds(double seconds);  // "1h02m", "3m20s", "4.2s"
std::string FormatAge(const google::protobuf::Timestamp& time);
// In UTC, as logs and the times of schedules are: "2026-03-01 12:00:00Z". Empty: there is no time.
std::string FormatTime(const google::protobuf::Timestamp& time);
std::string EnumName(const std::string& name, const std::string& prefix);
bool IsTerminal(int fd);

}  // namespace seer::client
