// What is commonly wrong with the set-up of a cluster, out of what its parts answer. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "seer/v1/jobs.pb.h"
#include "seer/v1/pools.pb.h"
#include "seer/v1/workers.pb.h"

namespace seer::client {

// What a server at one address said to a call: OK, or why not.
struct ServerAnswer {
  std::string address;
  absl::Status status;
};

// Of the caller's own credentials one that ends.
struct Expiry {
  std::string what;  // "the token", "the certificate /etc/seer/tls.crt"
  absl::Time at;
  std::string fix;
};

bool Answered(const std::vector<ServerAnswer>& servers);  // one of them did, with OK

// What there is to know. Nothing is known of workers, jobs and pools whose server did not answer.
struct ClusterFacts {
  std::string config_path;               // where the context file would be
  int config_mode = -1;                  // its permission bits; -1: there is no file
  std::vector<std::string> environment;  // variables that override it: "SEER_COORDINATOR"
  std::vector<ServerAnswer> coordinators, dataservices;
  std::vector<Expiry> expiries;
  std::vector<v1::Worker> workers;
  std::vector<v1::Job> jobs;  // that have not ended
  std::vector<v1::Pool> pools;
  absl::Time now;
  std::string version, hostname;     // of this program and machine
  int64_t shared_memory_bytes = -1;  // size of /dev/shm here; -1: there is none
  int64_t open_files = -1;           // this user's limit
};

enum class CheckState { kGood, kWarning, kBad, kUnknown };
const char* CheckStateName(CheckState state);  // "good", "warning", "bad", "unknown"

struct CheckResult {
  std::string check;  // "workers"
  CheckState state = CheckState::kGood;
  std::string text;
  std::string fix;  // empty: nothing is to be done
};

// One result or more for each check, in the order in which to mend them.
std::vector<CheckResult> Examine(const ClusterFacts& facts);

// {"good": false, "checks": [{"check", "state", "text", "fix"}]}
std::string DoctorJson(const std::vector<CheckResult>& results);
bool AllGood(const std::vector<CheckResult>& results);  // nothing is bad; warnings do not count

}  // namespace seer::client
