#include "client/doctor.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "client/output.h"
#include "common/base/address.h"
#include "common/base/error.h"
#include "common/rpc/security.h"

namespace seer::client {
namespace {

using Results = std::vector<CheckResult>;

constexpr absl::Duration kClockSkew = absl::Seconds(60);
constexpr absl::Duration kExpiresSoon = absl::Hours(24 * 14);
constexpr int64_t kLeastSharedMemory = int64_t{1} << 30;  // containers begin with 64 MiB
constexpr int64_t kLeastOpenFiles = 4096;

void Good(Results& out, const char* check, std::string text) {
  out.push_back({check, CheckState::kGood, std::move(text), ""});
}
void Warn(Results& out, const char* check, std::string text, std::string fix) {
  out.push_back({check, CheckState::kWarning, std::move(text), std::move(fix)});
}
void Bad(Results& out, const char* check, std::string text, std::string fix) {
  out.push_back({check, CheckState::kBad, std::move(text), std::move(fix)});
}
void Unknown(Results& out, const char* check, const char* why) {
  out.push_back({check, CheckState::kUnknown, why, ""});
}

std::string NameOf(const v1::Worker& worker) {
  return std::string(absl::StripPrefix(worker.name(), "workers/"));
}
// What to do about a server that did not answer as one should.
std::string FixOf(const absl::Status& status, const char* program) {
  if (const auto detail = GetErrorDetail(status); detail && !detail->hint.empty())
    return detail->hint;
  if (status.code() == absl::StatusCode::kUnauthenticated ||
      status.code() == absl::StatusCode::kPermissionDenied)
    return "log in: `seer auth login`";
  return absl::StrCat("look whether ", program,
                      " runs there and listens on that address (--listen), and whether a firewall "
                      "is between; `seer cluster up` starts a cluster on this machine");
}

void CheckConfig(const ClusterFacts& facts, Results& out) {
  if (facts.coordinators.empty()) {
    return Bad(out, "config",
               absl::StrCat("no coordinator is named; looked in ", facts.config_path),
               "`seer cluster up` starts one here and writes that file; or set SEER_COORDINATOR or "
               "--coordinator to HOST:PORT");
  }
  if (facts.config_mode >= 0 && (facts.config_mode & 077) != 0) {
    Warn(out, "config", absl::StrCat("others on this machine may read ", facts.config_path),
         absl::StrCat("chmod 600 ", facts.config_path));
  } else if (!facts.environment.empty() && facts.config_mode >= 0) {
    Warn(out, "config",
         absl::StrCat(absl::StrJoin(facts.environment, " and "), " override ", facts.config_path),
         absl::StrCat("unset ", absl::StrJoin(facts.environment, " "), ", if that is not meant"));
  } else {
    Good(out, "config",
         absl::StrCat(facts.coordinators.size(), " coordinator(s), ", facts.dataservices.size(),
                      " data service(s) are named"));
  }
}

void CheckExpiries(const ClusterFacts& facts, Results& out) {
  for (const Expiry& expiry : facts.expiries) {
    const std::string at = absl::FormatTime("%Y-%m-%d %H:%MZ", expiry.at, absl::UTCTimeZone());
    if (expiry.at <= facts.now) {
      Bad(out, "credentials", absl::StrCat(expiry.what, " expired at ", at), expiry.fix);
    } else if (expiry.at <= facts.now + kExpiresSoon) {
      Warn(out, "credentials", absl::StrCat(expiry.what, " expires at ", at), expiry.fix);
    } else {
      Good(out, "credentials", absl::StrCat(expiry.what, " is good until ", at));
    }
  }
}

void CheckCoordinators(const ClusterFacts& facts, Results& out) {
  std::vector<std::string> leaders, standing_by;
  for (const ServerAnswer& server : facts.coordinators) {
    if (server.status.ok()) {
      leaders.push_back(server.address);
    } else if (HasReason(server.status, reason::kNotLeader)) {
      standing_by.push_back(server.address);
    } else {
      Bad(out, "coordinator",
          absl::StrCat(server.address, " does not answer: ", server.status.message()),
          FixOf(server.status, "seer-coordinator"));
    }
  }
  if (leaders.size() == 1) {
    Good(out, "coordinator",
         absl::StrCat(leaders[0], facts.coordinators.size() == 1 ? " answers" : " leads",
                      standing_by.empty() ? "" : "; stand by: ", absl::StrJoin(standing_by, ", ")));
  } else if (leaders.size() > 1) {
    Bad(out, "coordinator",
        absl::StrCat(absl::StrJoin(leaders, " and "),
                     " answer both: each has a database of its own"),
        "start them with the same --database postgresql://...");
  } else if (!standing_by.empty()) {
    Bad(out, "coordinator",
        absl::StrCat("nobody leads; stand by: ", absl::StrJoin(standing_by, ", ")),
        "look whether the database answers; name all coordinators, the one that leads too");
  }
}

void CheckDataServices(const ClusterFacts& facts, Results& out) {
  if (facts.dataservices.empty()) {
    return Warn(out, "dataservice", "no data service is named: `seer pool` cannot work",
                "set SEER_DATASERVICE or --dataservice, or add it to the context");
  }
  std::vector<std::string> good;
  for (const ServerAnswer& server : facts.dataservices) {
    if (server.status.ok()) {
      good.push_back(server.address);
    } else {
      Bad(out, "dataservice",
          absl::StrCat(server.address, " does not answer: ", server.status.message()),
          FixOf(server.status, "seer-dataservice"));
    }
  }
  if (!good.empty()) Good(out, "dataservice", absl::StrCat(absl::StrJoin(good, ", "), " answers"));
}

void CheckWorkers(const ClusterFacts& facts, Results& out) {
  std::vector<std::string> lost, cordoned, empty;
  int devices = 0;
  for (const v1::Worker& worker : facts.workers) {
    if (worker.state() == v1::WORKER_STATE_LOST) {
      lost.push_back(NameOf(worker));
    } else if (worker.has_cordon()) {
      cordoned.push_back(NameOf(worker));
    } else if (worker.devices() == 0) {
      empty.push_back(NameOf(worker));
    } else {
      devices += worker.devices();
    }
  }
  if (!lost.empty()) {
    Warn(out, "workers", absl::StrCat("lost: ", absl::StrJoin(lost, ", ")),
         "look whether the machines run, and seer-worker on them; one that is gone for good is "
         "forgotten after a day");
  }
  if (!cordoned.empty()) {
    Warn(out, "workers", absl::StrCat("cordoned: ", absl::StrJoin(cordoned, ", ")),
         "`seer worker describe NAME` says why; `seer worker uncordon NAME`, once it is mended");
  }
  if (!empty.empty()) {
    Bad(out, "workers", absl::StrCat("offer no device: ", absl::StrJoin(empty, ", ")),
        "with GPUs, look whether nvidia-smi lists them there, and CUDA_VISIBLE_DEVICES and the "
        "container's GPU access; without, start seer-worker with --devices N");
  }
  if (devices == 0) {
    Bad(out, "workers", "no worker offers a device: jobs wait",
        "start seer-worker --coordinator HOST:PORT on each machine; its log says why it cannot "
        "register");
  } else {
    Good(out, "workers", absl::StrCat(devices, " device(s) may be used"));
  }
}

// Ranks of one job dial each other's machines.
void CheckAddresses(const ClusterFacts& facts, Results& out) {
  std::set<std::string> hosts;
  std::vector<std::string> unreachable;
  std::map<std::string, std::set<std::string>> by_address;
  for (const v1::Worker& worker : facts.workers) {
    hosts.insert(worker.hostname());
    by_address[worker.address()].insert(worker.hostname());
    if (IsLoopback(worker.address())) unreachable.push_back(NameOf(worker));
  }
  if (hosts.size() > 1 && !unreachable.empty()) {
    return Bad(
        out, "addresses",
        absl::StrCat("ranks on other machines cannot reach ", absl::StrJoin(unreachable, ", "),
                     ": their address is this machine's own"),
        "start seer-worker with --address, an address that the other workers reach");
  }
  for (const auto& [address, machines] : by_address) {
    if (machines.size() > 1) {
      return Bad(out, "addresses",
                 absl::StrCat(absl::StrJoin(machines, " and "), " both have the address ", address),
                 "start each seer-worker with an --address of its own");
    }
  }
  for (const ServerAnswer& server : facts.coordinators) {
    if (hosts.size() > 1 && IsLoopback(HostOf(server.address)))
      return Warn(out, "addresses",
                  absl::StrCat("the coordinator is named by ", server.address,
                               ", which other machines cannot reach"),
                  "name it by an address of its own in the context");
  }
  Good(out, "addresses", "of workers differ and can be reached, as far as they tell");
}

void CheckVersions(const ClusterFacts& facts, Results& out) {
  std::map<std::string, std::vector<std::string>> versions;
  for (const v1::Worker& worker : facts.workers)
    versions[worker.version()].push_back(NameOf(worker));
  versions.erase(facts.version);
  if (versions.empty()) return Good(out, "versions", absl::StrCat("all are ", facts.version));
  for (const auto& [version, workers] : versions) {
    Warn(out, "versions",
         absl::StrCat(absl::StrJoin(workers, ", "), ": ", version.empty() ? "unknown" : version,
                      "; this program: ", facts.version),
         "upgrade what is older, one machine after another (docs/upgrade.md); gangs need one "
         "version");
  }
}

void CheckClocks(const ClusterFacts& facts, Results& out) {
  absl::Duration least = absl::InfiniteDuration();  // since the newest heartbeat, by this clock
  for (const v1::Worker& worker : facts.workers) {
    if (worker.state() != v1::WORKER_STATE_UP || !worker.has_heartbeat_time()) continue;
    const absl::Time heard = absl::FromUnixSeconds(worker.heartbeat_time().seconds()) +
                             absl::Nanoseconds(worker.heartbeat_time().nanos());
    least = std::min(least, facts.now - heard);
  }
  if (least == absl::InfiniteDuration()) return Unknown(out, "clocks", "no worker is up to tell");
  if (absl::AbsDuration(least) > kClockSkew) {
    return Bad(
        out, "clocks",
        absl::StrCat("this machine's clock is ",
                     FormatSeconds(absl::ToDoubleSeconds(absl::AbsDuration(least))),
                     least > absl::ZeroDuration() ? " ahead of" : " behind", " the coordinator's"),
        "run chrony or systemd-timesyncd on all machines");
  }
  Good(out, "clocks", "this machine's and the coordinator's agree");
}

void CheckPools(const ClusterFacts& facts, Results& out) {
  std::vector<std::string> empty;
  for (const v1::Pool& pool : facts.pools)
    if (pool.images() == 0) empty.emplace_back(absl::StripPrefix(pool.name(), "pools/"));
  if (facts.pools.size() == empty.size()) {
    return Warn(out, "pools", "no pool has images: there is nothing to train on",
                "`seer pool create photos && seer pool ingest photos FOLDER`");
  }
  Good(out, "pools", absl::StrCat(facts.pools.size() - empty.size(), " with images"));
  if (!empty.empty()) {
    Warn(out, "pools", absl::StrCat("empty: ", absl::StrJoin(empty, ", ")),
         "`seer pool ingest NAME FOLDER`");
  }
}

void CheckJobs(const ClusterFacts& facts, Results& out) {
  static const std::set<std::string> kForGood = {"capacity", "labels", "topology", "no_workers",
                                                 "queue_limit"};
  bool good = true;
  for (const v1::Job& job : facts.jobs) {
    const std::string& name = job.spec().metadata().name();
    if (kForGood.contains(job.wait().reason())) {
      good = false;
      Bad(out, "jobs", absl::StrCat(name, " can never start: ", job.wait().message()),
          "add workers or labels, or `seer job set` what it asks for");
    }
    if (!job.storage_warning().empty()) {
      good = false;
      Bad(out, "storage", absl::StrCat(name, ": ", job.storage_warning()),
          "`seer checkpoint prune JOB --keep-last N --dry-run` says what would be freed");
    }
  }
  if (good) Good(out, "jobs", "none waits for what is not there, or for space");
}

void CheckThisMachine(const ClusterFacts& facts, Results& out) {
  const bool trains_here =
      std::any_of(facts.workers.begin(), facts.workers.end(), [&](const v1::Worker& worker) {
        return worker.hostname() == facts.hostname && worker.state() == v1::WORKER_STATE_UP;
      });
  bool good = true;
  if (trains_here && facts.shared_memory_bytes >= 0 &&
      facts.shared_memory_bytes < kLeastSharedMemory) {
    good = false;
    Warn(out, "machine",
         absl::StrCat("/dev/shm has ", FormatBytes(facts.shared_memory_bytes),
                      ", batches of large jobs need more"),
         "in a container: --shm-size=8g, or an emptyDir with medium: Memory at /dev/shm");
  }
  if (facts.open_files >= 0 && facts.open_files < kLeastOpenFiles) {
    good = false;
    Warn(out, "machine",
         absl::StrCat("this user may open ", facts.open_files, " files; a busy server needs more"),
         "ulimit -n 65536, or LimitNOFILE=65536 in the unit");
  }
  if (good) Good(out, "machine", "limits of this machine are large enough");
}

}  // namespace

const char* CheckStateName(CheckState state) {
  switch (state) {
    case CheckState::kGood:
      return "good";
    case CheckState::kWarning:
      return "warning";
    case CheckState::kBad:
      return "bad";
    case CheckState::kUnknown:
      return "unknown";
  }
  return "";
}

bool Answered(const std::vector<ServerAnswer>& servers) {
  return std::any_of(servers.begin(), servers.end(),
                     [](const ServerAnswer& server) { return server.status.ok(); });
}

std::vector<CheckResult> Examine(const ClusterFacts& facts) {
  Results out;
  CheckConfig(facts, out);
  CheckExpiries(facts, out);
  CheckCoordinators(facts, out);
  CheckDataServices(facts, out);
  if (Answered(facts.coordinators)) {
    CheckWorkers(facts, out);
    CheckAddresses(facts, out);
    CheckVersions(facts, out);
    CheckClocks(facts, out);
    CheckJobs(facts, out);
  } else {
    for (const char* check : {"workers", "addresses", "versions", "clocks", "jobs"})
      Unknown(out, check, "no coordinator answers");
  }
  if (Answered(facts.dataservices)) {
    CheckPools(facts, out);
  } else {
    Unknown(out, "pools", "no data service answers");
  }
  CheckThisMachine(facts, out);
  return out;
}

bool AllGood(const std::vector<CheckResult>& results) {
  return std::none_of(results.begin(), results.end(),
                      [](const CheckResult& result) { return result.state == CheckState::kBad; });
}

std::string DoctorJson(const std::vector<CheckResult>& results) {
  using Json = nlohmann::ordered_json;
  Json checks = Json::array();
  for (const CheckResult& result : results) {
    checks.push_back(
        {{"check", result.check}, {"state", CheckStateName(result.state)}, {"text", result.text}});
    if (!result.fix.empty()) checks.back()["fix"] = result.fix;
  }
  const Json out = {{"good", AllGood(results)}, {"checks", checks}};
  return out.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace seer::client
