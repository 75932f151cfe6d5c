// Which failure is whose fault: what ranks leave, as it looks in reality, and a row for each sign.
#include "coordinator/core/failure.h"

#include <gtest/gtest.h>

#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/reasons.h"
#include "common/base/trainer_exit.h"

namespace seer::coordinator {
namespace {

Evidence Printed(int exit_code, const std::string& line) {
  return {exit_code, "", "", {"a line before", line, "a line after"}, false};
}

struct Seen {
  const char* name;
  Evidence evidence;
  FailureClass failure;
  const char* sign;
};

TEST(Diagnose, WhatRanksLeaveInReality) {
  const Seen seen[] = {
      {"a spec that cannot be run",
       {kExitUserError, "INVALID_SPEC", "no trunk", {}, false},
       FailureClass::kUserError,
       "exit 11"},
      {"the training diverged",
       {kExitNonFinite, "NON_FINITE", "100 steps", {}, false},
       FailureClass::kUserError,
       "exit 18"},
      {"bad images",
       {kExitData, "TOO_MANY_BAD_IMAGES", "", {}, false},
       FailureClass::kData,
       "exit 12"},
      {"the trainer caught it",
       {kExitOutOfMemory,
        "OUT_OF_MEMORY",
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        {},
        false},
       FailureClass::kOutOfMemory,
       "exit 13"},
      {"the kernel's out-of-memory killer",
       {128 + 9, "", "", {}, true},
       FailureClass::kOutOfMemory,
       "killed by the kernel for want of memory"},
      {"LibTorch aborted",
       Printed(128 + 6,
               "terminate called after throwing an instance of 'c10::Error': CUDA error: out of "
               "memory"),
       FailureClass::kOutOfMemory, "log: CUDA error: out of memory"},
      {"an allocation of the host",
       Printed(128 + 6, "terminate called after throwing an instance of 'std::bad_alloc'"),
       FailureClass::kOutOfMemory, "log: std::bad_alloc"},
      {"a GPU's memory is broken",
       {kExitInternal, "INTERNAL", "CUDA error: uncorrectable ECC error encountered", {}, false},
       FailureClass::kDevice,
       "log: uncorrectable ECC error"},
      {"the same, seen by a collective",
       {kExitCollective,
        "COLLECTIVE_FAILED",
        "NCCL error: CUDA failure 'uncorrectable ECC error encountered'",
        {},
        false},
       FailureClass::kDevice,
       "log: uncorrectable ECC error"},
      {"the driver's word",
       Printed(128 + 6, "NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus."),
       FailureClass::kDevice, "log: NVRM: Xid"},
      {"a peer died",
       {kExitCollective, "COLLECTIVE_FAILED", "Connection closed by peer", {}, false},
       FailureClass::kNetwork,
       "exit 14"},
      {"NCCL aborted", Printed(128 + 6, "NCCL error in: ProcessGroupNCCL.cpp:1970"),
       FailureClass::kNetwork, "log: NCCL error"},
      {"no data service",
       {kExitInternal, "DATA_STALLED", "no batch for 5m", {}, false},
       FailureClass::kNetwork,
       "DATA_STALLED"},
      {"gRPC found nobody",
       {kExitInternal,
        "INTERNAL",
        "UNAVAILABLE: failed to connect to all addresses; last error: ipv4:10.0.0.2:7080",
        {},
        false},
       FailureClass::kNetwork,
       "log: failed to connect to all addresses"},
      {"a full disk",
       {kExitStorage, "DISK_FULL", "no space", {}, false},
       FailureClass::kStorage,
       "exit 15"},
      {"a full disk that nobody caught",
       Printed(1, "write /data/ckpt/rank-0: No space left on device"), FailureClass::kStorage,
       "log: No space left on device"},
      {"a GPU that the kernel complained of, whatever the rank made of it",
       {kExitCollective,
        "COLLECTIVE_FAILED",
        "rank 3 is gone",
        {"Connection reset by peer"},
        false,
        "Xid 79: GPU has fallen off the bus"},
       FailureClass::kDevice,
       "Xid 79: GPU has fallen off the bus"},
      {"one that did its work all the same",
       {kExitDone,
        "",
        "",
        {},
        false,
        "Xid 63: ECC page retirement or row remapping recording event"},
       FailureClass::kNone,
       ""},
      {"the worker is gone",
       {kLost, "LEASE_LOST", "its worker's lease ran out", {}, false},
       FailureClass::kMachine,
       "lost"},
      {"somebody's kill -9, after a complaint",
       Printed(128 + 9, "Connection refused by 10.0.0.2:7080, tries again"), FailureClass::kMachine,
       "signal 9"},
      {"no process could be started",
       Printed(127, "cannot start a process: fork: Resource temporarily unavailable"),
       FailureClass::kMachine, "exit 127"},
      {"memory that cannot be read",
       {128 + 7, "", "", {}, false},
       FailureClass::kMachine,
       "signal 7"},
      {"a bug", {128 + 11, "", "", {}, false}, FailureClass::kUnknown, "signal 11"},
      {"a bug that was caught",
       {kExitInternal, "INTERNAL", "index 3 is out of range", {}, false},
       FailureClass::kUnknown,
       "exit 17"},
  };
  for (const Seen& one : seen) {
    const Diagnosis diagnosis = Diagnose(one.evidence);
    EXPECT_STREQ(FailureClassName(diagnosis.failure), FailureClassName(one.failure)) << one.name;
    EXPECT_EQ(diagnosis.sign, one.sign) << one.name;
  }
}

TEST(Diagnose, EachRowOfTheTableIsReached) {
  std::set<std::string> texts;
  for (const FailureSign& sign : FailureSigns()) {
    Evidence evidence{kExitInternal, "", "", {}, false};
    switch (sign.kind) {
      case SignKind::kOutOfMemoryKill:
        evidence.oom_killed = true;
        break;
      case SignKind::kDeviceFault:
        evidence.device_fault = "Xid 79: GPU has fallen off the bus";
        break;
      case SignKind::kExit:
        evidence.exit_code = sign.code;
        break;
      case SignKind::kReason:
        evidence.reason = std::string(sign.text);
        break;
      case SignKind::kText:
        evidence.lines = {absl::StrCat("[rank 3] ", absl::AsciiStrToUpper(sign.text), ".")};
        EXPECT_TRUE(texts.insert(std::string(sign.text)).second) << sign.text << " stands twice";
        break;
      case SignKind::kAny:
        break;
    }
    const Diagnosis diagnosis = Diagnose(evidence);
    EXPECT_EQ(diagnosis.failure, sign.failure) << diagnosis.sign << " came before " << sign.text;
    EXPECT_EQ(diagnosis.blame, sign.blame) << diagnosis.sign << " came before " << sign.text;
    if (sign.kind != SignKind::kText) continue;
    evidence = {kExitInternal, "", std::string(sign.text), {}, false};
    EXPECT_EQ(Diagnose(evidence).failure, sign.failure) << "in the message: " << sign.text;
    for (const int well : {kExitDone, kExitPaused}) {
      evidence.exit_code = well;
      EXPECT_EQ(Diagnose(evidence).failure, FailureClass::kNone)
          << "what it survived is no failure: " << sign.text;
    }
  }
}

}  // namespace
}  // namespace seer::coordinator
