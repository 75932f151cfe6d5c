// seer cluster doctor: what is commonly wrong with a set-up, and the fix.
#include "client/commands/cluster_doctor.h"

#include <grpcpp/grpcpp.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "absl/strings/str_cat.h"
#include "client/context_file.h"
#include "client/doctor.h"
#include "client/exit_code.h"
#include "client/paging.h"
#include "common/base/clock.h"
#include "common/base/process.h"
#include "common/rpc/channel.h"
#include "common/rpc/security.h"
#include "common/rpc/status_grpc.h"
#include "seer/v1/access.grpc.pb.h"
#include "seer/v1/jobs.grpc.pb.h"
#include "seer/v1/pools.grpc.pb.h"
#include "seer/v1/workers.grpc.pb.h"

namespace seer::client {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(5);  // for one server

// One try: the doctor says what is away, it does not wait for it.
absl::Status Ask(const std::function<absl::Status(grpc::ClientContext&)>& call) {
  RetryOptions options;
  options.attempts = 1;
  options.deadline = kPatience;
  return CallWithRetry(options, "the server", call);
}

ServerAnswer AskCoordinator(const Context& of, const std::string& address) {
  const auto channel = SecureChannel(of, {address});
  if (!channel.ok()) return {address, channel.status()};
  const auto stub = v1::Workers::NewStub(*channel);
  v1::ListWorkersRequest request;
  request.set_page_size(1);
  v1::ListWorkersResponse response;
  return {address, Ask([&](grpc::ClientContext& context) {
            return FromGrpc(stub->ListWorkers(&context, request, &response));
          })};
}

ServerAnswer AskDataService(const Context& of, const std::string& address) {
  const auto channel = SecureChannel(of, {address});
  if (!channel.ok()) return {address, channel.status()};
  const auto stub = v1::Pools::NewStub(*channel);
  v1::ListPoolsRequest request;
  request.set_page_size(1);
  v1::ListPoolsResponse response;
  return {address, Ask([&](grpc::ClientContext& context) {
            return FromGrpc(stub->ListPools(&context, request, &response));
          })};
}

absl::Status AskLeader(Session& session, ClusterFacts& facts) {
  SEER_ASSIGN_OR_RETURN(const auto channel, session.Coordinator());
  const auto workers = v1::Workers::NewStub(channel);
  v1::ListWorkersRequest all_workers;
  SEER_ASSIGN_OR_RETURN(
      facts.workers,
      FetchPages<v1::Worker>(session, "the coordinator", *workers, &v1::Workers::Stub::ListWorkers,
                             all_workers, &v1::ListWorkersResponse::workers));
  const auto jobs = v1::Jobs::NewStub(channel);
  v1::ListJobsRequest live;
  for (const v1::JobState state : {v1::JOB_STATE_QUEUED, v1::JOB_STATE_STARTING,
                                   v1::JOB_STATE_RUNNING, v1::JOB_STATE_RESTARTING})
    live.add_states(state);
  SEER_ASSIGN_OR_RETURN(
      facts.jobs, FetchPages<v1::Job>(session, "the coordinator", *jobs, &v1::Jobs::Stub::ListJobs,
                                      live, &v1::ListJobsResponse::jobs));
  return absl::OkStatus();
}

void LookAtCredentials(const Context& of, ClusterFacts& facts) {
  const std::string& file = of.security.certificate;
  // One that cannot be read is what the calls fail of.
  if (const auto end = CertificateExpiry(file); !file.empty() && end.ok())
    facts.expiries.push_back({absl::StrCat("the certificate ", file), *end,
                              "put a new one into that file (--tls-cert)"});
  if (of.security.token.empty() && of.security.token_file.empty()) return;
  const auto channel = SecureChannel(of, SplitAddresses(of.coordinator));
  if (!channel.ok()) return;
  const auto stub = v1::Access::NewStub(*channel);
  v1::Principal who;
  const absl::Status asked = Ask([&](grpc::ClientContext& context) {
    return FromGrpc(stub->Authenticate(&context, v1::AuthenticateRequest(), &who));
  });
  if (asked.ok() && who.has_expire_time()) {
    facts.expiries.push_back(
        {absl::StrCat("the token of ", who.name()),
         absl::FromUnixSeconds(who.expire_time().seconds()),
         "ask an admin for another one (`seer auth token create`), then `seer auth login`"});
  }
}

absl::Status AskForPools(Session& session, ClusterFacts& facts) {
  SEER_ASSIGN_OR_RETURN(const auto channel, session.DataService());
  const auto pools = v1::Pools::NewStub(channel);
  v1::ListPoolsRequest request;
  SEER_ASSIGN_OR_RETURN(facts.pools, FetchPages<v1::Pool>(session, "the data service", *pools,
                                                          &v1::Pools::Stub::ListPools, request,
                                                          &v1::ListPoolsResponse::pools));
  return absl::OkStatus();
}

void LookAtThisMachine(ClusterFacts& facts) {
  facts.config_path = ConfigPath();
  struct stat file {};
  if (stat(facts.config_path.c_str(), &file) == 0) facts.config_mode = file.st_mode & 0777;
  for (const char* name : {"SEER_COORDINATOR", "SEER_DATASERVICE"})
    if (const char* value = std::getenv(name); value != nullptr && *value != '\0')
      facts.environment.emplace_back(name);
  facts.now = Clock::Real().Now();
  facts.version = SEER_VERSION;
  facts.hostname = HostName();
  struct statvfs memory {};
  if (statvfs("/dev/shm", &memory) == 0)
    facts.shared_memory_bytes = static_cast<int64_t>(memory.f_blocks * memory.f_frsize);
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0)
    facts.open_files = static_cast<int64_t>(files.rlim_cur);
}

void Print(const std::vector<CheckResult>& results) {
  static const std::map<CheckState, const char*> kMarks = {{CheckState::kGood, "ok"},
                                                           {CheckState::kWarning, "warning"},
                                                           {CheckState::kBad, "BAD"},
                                                           {CheckState::kUnknown, "?"}};
  for (const CheckResult& result : results) {
    std::printf("%-8s %-12s %s\n", kMarks.at(result.state), result.check.c_str(),
                result.text.c_str());
    if (!result.fix.empty()) std::printf("%-21s fix: %s\n", "", result.fix.c_str());
  }
}

int Doctor(Session& session) {
  const auto context = LoadContext(session.flags);
  if (!context.ok()) return Fail(context.status());
  ClusterFacts facts;
  LookAtThisMachine(facts);
  for (const std::string& address : SplitAddresses(context->coordinator))
    facts.coordinators.push_back(AskCoordinator(*context, address));
  for (const std::string& address : context->dataservice)
    facts.dataservices.push_back(AskDataService(*context, address));
  LookAtCredentials(*context, facts);
  if (Answered(facts.coordinators))
    if (const absl::Status status = AskLeader(session, facts); !status.ok()) return Fail(status);
  if (Answered(facts.dataservices))
    if (const absl::Status status = AskForPools(session, facts); !status.ok()) return Fail(status);
  if (session.interrupt->caught()) return Fail(absl::CancelledError("interrupted"));
  facts.now = Clock::Real().Now();
  const std::vector<CheckResult> results = Examine(facts);
  if (session.form == OutputForm::kJson || session.form == OutputForm::kJsonl) {
    std::printf("%s\n", DoctorJson(results).c_str());
  } else if (session.form == OutputForm::kYaml) {
    PrintYaml(DoctorJson(results));
  } else {
    Print(results);
  }
  return AllGood(results) ? kExitOk : kExitError;
}

}  // namespace

void AddDoctor(CLI::App& noun, Session& session) {
  CLI::App* command = noun.add_subcommand(
      "doctor",
      "Find what is commonly wrong with a set-up, and say the fix; exits with 1 if it is");
  command->footer(
      "Looks at the context, its certificates and token, coordinators, data services, workers and "
      "their addresses, versions, "
      "clocks, pools, waiting jobs and this machine.\nExamples:\n  seer cluster doctor\n  seer "
      "--coordinator head-0:7070,head-1:7070 cluster doctor -o json");
  command->callback([&session] { session.exit_code = Doctor(session); });
}

}  // namespace seer::client
