#include "worker/agent/device_faults.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/log.h"

namespace seer::worker {
namespace {

constexpr size_t kLineBytes = 8 << 10;  // a record has at most so many
constexpr int kRecordsARead = 10'000;   // the kernel keeps fewer

struct Name {
  int number;
  const char* text;
};
constexpr Name kNames[] = {
    {13, "graphics engine exception"},
    {31, "GPU memory page fault"},
    {48, "double bit ECC error"},
    {63, "ECC page retirement or row remapping recording event"},
    {64, "ECC page retirement or row remapper recording failure"},
    {74, "NVLink error"},
    {79, "GPU has fallen off the bus"},
    {94, "contained ECC error"},
    {95, "uncontained ECC error"},
};

// "PCI:0000:3B:00.0" -> "0000:3b:00": functions of one device are one.
std::string AddressOf(absl::string_view text) {
  absl::ConsumePrefix(&text, "PCI:");
  return absl::AsciiStrToLower(text.substr(0, text.find('.')));
}

}  // namespace

std::optional<Xid> ParseXid(absl::string_view record) {
  // Of a record with its head; a text has no such thing before its first ';'.
  const size_t head = record.find(';');
  if (head != absl::string_view::npos && absl::ascii_isdigit(static_cast<unsigned char>(record[0])))
    record.remove_prefix(head + 1);
  constexpr absl::string_view kSign = "NVRM: Xid (";
  const size_t sign = record.find(kSign);
  if (sign == absl::string_view::npos) return std::nullopt;
  record.remove_prefix(sign + kSign.size());
  const size_t close = record.find("): ");
  if (close == absl::string_view::npos) return std::nullopt;
  Xid xid{AddressOf(record.substr(0, close)), 0};
  record.remove_prefix(close + 3);
  const size_t digits = std::min(record.find_first_not_of("0123456789"), record.size());
  if (xid.device.empty() || !absl::SimpleAtoi(record.substr(0, digits), &xid.number))
    return std::nullopt;
  return xid;
}

std::string DescribeXid(int number) {
  for (const Name& name : kNames)
    if (name.number == number) return absl::StrCat("Xid ", number, ": ", name.text);
  return absl::StrCat("Xid ", number);
}

std::vector<std::string> DeviceAddresses(const std::string& folder, absl::string_view visible,
                                         int devices) {
  std::map<std::string, std::string> uuids;  // address -> "GPU-..."
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    std::string& uuid = uuids[AddressOf(entry.path().filename().string())];
    std::ifstream information(entry.path() / "information");
    for (std::string line; std::getline(information, line);) {
      absl::string_view value = line;
      if (absl::ConsumePrefix(&value, "GPU UUID:"))
        uuid = std::string(absl::StripAsciiWhitespace(value));
    }
  }
  std::vector<std::string> all, chosen;
  for (const auto& [address, uuid] : uuids) all.push_back(address);
  for (const absl::string_view one : absl::StrSplit(visible, ',', absl::SkipWhitespace())) {
    const absl::string_view name = absl::StripAsciiWhitespace(one);
    size_t number = 0;
    std::string& address = chosen.emplace_back();
    if (absl::SimpleAtoi(name, &number)) {
      if (number < all.size()) address = all[number];
      continue;
    }
    for (const auto& [known, uuid] : uuids)  // a prefix will do
      if (absl::StartsWith(uuid, name)) address = known;
  }
  if (visible.empty()) chosen = all;
  chosen.resize(static_cast<size_t>(devices));
  return chosen;
}

DeviceFaults::DeviceFaults(const std::string& path, std::vector<std::string> addresses)
    : addresses_(std::move(addresses)) {
  if (path.empty()) return;
  fd_ = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd_ < 0) {
    LogInfo("kernel_log_not_read", {{"path", path},
                                    {"error", std::strerror(errno)},
                                    {"effect", "faults of GPUs are told by what ranks print"}});
    return;
  }
  ::lseek(fd_, 0, SEEK_END);  // a pipe has none
}

DeviceFaults::~DeviceFaults() {
  if (fd_ >= 0) ::close(fd_);
}

void DeviceFaults::Read() {
  char buffer[kLineBytes];
  for (int reads = 0; fd_ >= 0 && reads < kRecordsARead; ++reads) {
    const ssize_t got = ::read(fd_, buffer, sizeof(buffer));
    if (got < 0 && (errno == EPIPE || errno == EINTR)) continue;  // older records were overwritten
    if (got <= 0) return;
    rest_.append(buffer, static_cast<size_t>(got));
    size_t end = 0;
    while ((end = rest_.find('\n')) != std::string::npos) {
      Take(absl::string_view(rest_).substr(0, end));
      rest_.erase(0, end + 1);
    }
    if (rest_.size() > kLineBytes) rest_.clear();
  }
}

void DeviceFaults::Take(absl::string_view record) {
  if (const auto xid = ParseXid(record)) newest_[xid->device] = xid->number;
}

std::string DeviceFaults::Newest(int device) {
  Read();
  const auto it = newest_.find(addresses_.at(static_cast<size_t>(device)));
  return it == newest_.end() ? "" : DescribeXid(it->second);
}

void DeviceFaults::Forget(int device) {
  Read();
  newest_.erase(addresses_.at(static_cast<size_t>(device)));
}

}  // namespace seer::worker
