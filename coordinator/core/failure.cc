#include "coordinator/core/failure.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"
#include "common/base/reasons.h"
#include "common/base/trainer_exit.h"

namespace seer::coordinator {
namespace {

using enum FailureClass;
using enum SignKind;
using Blame::kFinal;
using Blame::kFollowed;
using Blame::kKnown;
using Blame::kOwn;

constexpr FailureSign Exit(int code, FailureClass failure, Blame blame) {
  return {SignKind::kExit, code, "", failure, blame};
}
constexpr FailureSign Reason(absl::string_view reason, FailureClass failure, Blame blame) {
  return {SignKind::kReason, 0, reason, failure, blame};
}
constexpr FailureSign Text(absl::string_view text, FailureClass failure, Blame blame) {
  return {SignKind::kText, 0, text, failure, blame};
}

// What says more stands before what says less: hardware and the kernel, the trainer's own exit code
// and reason, then what a process that died of it had printed. SIGKILL and SIGTERM come from
// outside, whatever was printed before.
constexpr FailureSign kSigns[] = {
    {kOutOfMemoryKill, 0, "", kOutOfMemory, kKnown},
    {kDeviceFault, 0, "", kDevice, kKnown},
    // A GPU that is broken, or gone. Memory that is full is none of these.
    Text("uncorrectable ECC error", kDevice, kKnown),
    Text("NVRM: Xid", kDevice, kKnown),
    Text("Xid (PCI", kDevice, kKnown),
    Text("fallen off the bus", kDevice, kKnown),
    Text("uncorrectable NVLink error", kDevice, kKnown),
    Text("CUDA error: hardware stack error", kDevice, kKnown),
    Text("CUDA error: unspecified launch failure", kDevice, kKnown),
    Text("CUDA error: no CUDA-capable device", kDevice, kKnown),
    Text("CUDA-capable device(s) is/are busy or unavailable", kDevice, kKnown),
    Text("CUDA error: system not yet initialized", kDevice, kKnown),
    Text("CUDA driver version is insufficient", kDevice, kKnown),
    // What the trainer says of itself.
    Exit(kExitDone, FailureClass::kNone, Blame::kNone),
    Exit(kExitPaused, FailureClass::kNone, Blame::kNone),
    Exit(kExitUserError, kUserError, kFinal),
    Exit(kExitNonFinite, kUserError, kFinal),
    Exit(kExitRollBack, kUnknown, kKnown),
    Exit(kExitData, kData, kFinal),
    Exit(kExitOutOfMemory, kOutOfMemory, kKnown),
    Exit(kExitStorage, kStorage, kKnown),
    Exit(kExitCollective, kNetwork, kFollowed),
    Exit(kExitStale, kUnknown, kFollowed),
    // The machine.
    Exit(kLost, kMachine, kKnown),
    Exit(127, kMachine, kKnown),      // the agent could not start it
    Exit(128 + 9, kMachine, kKnown),  // SIGKILL, SIGTERM: not by the agent
    Exit(128 + 15, kMachine, kKnown),
    // Errors that the trainer has no exit code for.
    Reason(reason::kOutOfMemory, kOutOfMemory, kKnown),
    Reason(reason::kDataStalled, kNetwork, kKnown),
    Reason(reason::kServiceUnreachable, kNetwork, kKnown),
    Reason(reason::kNotLeader, kNetwork, kKnown),
    Reason(reason::kCollectiveFailed, kNetwork, kFollowed),
    Reason(reason::kDiskFull, kStorage, kKnown),
    Reason(reason::kStorageFailed, kStorage, kKnown),
    Reason(reason::kStorageNoCredentials, kStorage, kKnown),
    Reason(reason::kStorageCredentialsRefused, kStorage, kKnown),
    Reason(reason::kStorageAccessDenied, kStorage, kKnown),
    Reason(reason::kStorageNotFound, kStorage, kKnown),
    Reason(reason::kStorageCircuitOpen, kStorage, kKnown),
    Reason(reason::kImageTakenDown, kData, kFinal),
    // What it printed.
    Text("CUDA error: out of memory", kOutOfMemory, kKnown),
    Text("CUDA out of memory", kOutOfMemory, kKnown),
    Text("CUBLAS_STATUS_ALLOC_FAILED", kOutOfMemory, kKnown),
    Text("std::bad_alloc", kOutOfMemory, kKnown),
    Text("Cannot allocate memory", kOutOfMemory, kKnown),
    Text("can't allocate memory", kOutOfMemory, kKnown),
    Text("No space left on device", kStorage, kKnown),
    Text("Disk quota exceeded", kStorage, kKnown),
    Text("Read-only file system", kStorage, kKnown),
    Text("Input/output error", kStorage, kKnown),
    Text("Stale file handle", kStorage, kKnown),
    Text("failed to connect to all addresses", kNetwork, kKnown),
    Text("Temporary failure in name resolution", kNetwork, kKnown),
    Text("Name or service not known", kNetwork, kKnown),
    Text("No route to host", kNetwork, kKnown),
    Text("Network is unreachable", kNetwork, kKnown),
    Text("NCCL error", kNetwork, kFollowed),
    Text("Watchdog caught collective operation timeout", kNetwork, kFollowed),
    Text("Connection reset by peer", kNetwork, kFollowed),
    Text("Connection closed by peer", kNetwork, kFollowed),
    Text("Connection refused", kNetwork, kFollowed),
    Text("Broken pipe", kNetwork, kFollowed),
    // SIGBUS: memory that cannot be read; SIGILL: a processor that lacks what the build needs.
    Exit(128 + 7, kMachine, kKnown),
    Exit(128 + 4, kMachine, kKnown),
    {kAny, 0, "", kUnknown, kOwn},
};

// One that ended well has nothing to explain.
bool EndedWell(const Evidence& evidence) {
  return evidence.exit_code == kExitDone || evidence.exit_code == kExitPaused;
}

// `printed`: the message and the lines, in lower case.
bool Fits(const FailureSign& sign, const Evidence& evidence, const std::string& printed) {
  switch (sign.kind) {
    case kOutOfMemoryKill:
      return evidence.oom_killed;
    case kDeviceFault:
      return !evidence.device_fault.empty() && !EndedWell(evidence);
    case kExit:
      return evidence.exit_code == sign.code;
    case kReason:
      return evidence.reason == sign.text;
    case kText:
      return !EndedWell(evidence) && absl::StrContains(printed, absl::AsciiStrToLower(sign.text));
    case kAny:
      return true;
  }
  return false;
}

std::string Describe(const FailureSign& sign, const Evidence& evidence) {
  if (sign.blame == Blame::kNone) return "";
  switch (sign.kind) {
    case kOutOfMemoryKill:
      return "killed by the kernel for want of memory";
    case kDeviceFault:
      return evidence.device_fault;
    case kReason:
      return std::string(sign.text);
    case kText:
      return absl::StrCat("log: ", sign.text);
    case kExit:
    case kAny:
      break;
  }
  if (evidence.exit_code == kLost) return "lost";
  return evidence.exit_code > 128 ? absl::StrCat("signal ", evidence.exit_code - 128)
                                  : absl::StrCat("exit ", evidence.exit_code);
}

}  // namespace

absl::Span<const FailureSign> FailureSigns() { return kSigns; }

Diagnosis Diagnose(const Evidence& evidence) {
  const std::string printed = absl::AsciiStrToLower(
      absl::StrCat(evidence.message, "\n", absl::StrJoin(evidence.lines, "\n")));
  const auto* const sign =
      std::find_if(std::begin(kSigns), std::end(kSigns),
                   [&](const FailureSign& s) { return Fits(s, evidence, printed); });
  SEER_CHECK(sign != std::end(kSigns));
  return {sign->failure, sign->blame, Describe(*sign, evidence)};
}

const char* FailureClassName(FailureClass failure) {
  static constexpr const char* kNames[] = {"",       "user_error", "data",    "out_of_memory",
                                           "device", "network",    "storage", "machine",
                                           "unknown"};
  return kNames[static_cast<int>(failure)];
}

}  // namespace seer::coordinator
