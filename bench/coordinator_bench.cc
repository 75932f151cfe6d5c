// Claims: one coordinator keeps 10,000 agents on streams of their own, acknowledges 99 of 100
// heartbeats within 50 ms and takes 500 jobs a second, each on disk before it is answered. Plays
// the agents and the clients against a running coordinator; bench/coordinator_load.py starts one,
// kills it, and prints the table.
//
//   coordinator_bench agents HOST:PORT [agents=10000] [seconds=30] [devices=0]
//   coordinator_bench submit HOST:PORT SPEC.yaml [jobs=2000] [clients=16]
//
// agents: each has a connection, says hello and sends its heartbeats at the period that it is told;
// a stream that breaks is dialled again after up to a second. What they are assigned they ignore.
// JSON lines: {"attached_seconds"} when all have been welcomed, {"reattached_seconds"} when all are
// again after the first stream broke, and at the end the times from a heartbeat to its
// acknowledgement: apart those of the first 5 s after all were attached, when periods change and
// what has waited is answered. submit: one JSON line with jobs a second and times of one.
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <deque>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/random/random.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/base/clock.h"
#include "common/base/process.h"
#include "common/rpc/status_grpc.h"
#include "common/spec/yaml.h"
#include "seer/internal/v1/agent.grpc.pb.h"
#include "seer/v1/jobs.grpc.pb.h"

namespace {

using seer::internal::v1::AgentMessage;
using seer::internal::v1::Agents;
using seer::internal::v1::CoordinatorMessage;

absl::Duration Now() { return seer::Clock::Real().Steady(); }

std::shared_ptr<grpc::Channel> OwnConnection(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

// What all agents count together.
struct Totals {
  std::atomic<int> attached{0};
  absl::Mutex mu;
  absl::Duration all_since ABSL_GUARDED_BY(mu);  // that all are attached
  std::vector<float> settling ABSL_GUARDED_BY(mu), milliseconds ABSL_GUARDED_BY(mu);
  int broken ABSL_GUARDED_BY(mu) = 0;
};

class SimulatedAgent final : public grpc::ClientBidiReactor<AgentMessage, CoordinatorMessage> {
 public:
  SimulatedAgent(const std::string& address, int number, int devices, Totals& totals)
      : totals_(totals), stub_(Agents::NewStub(OwnConnection(address))) {
    seer::internal::v1::Hello& hello = *hello_.mutable_hello();
    hello.set_worker(absl::StrCat("machine-", number));
    hello.set_hostname(absl::StrCat("machine-", number));
    hello.set_address("127.0.0.1");
    hello.set_devices(devices);
    hello.set_device_kind("cpu");
    hello.set_incarnation("1");
  }

  // Called every few milliseconds: dials, or sends the heartbeat that is due.
  void Tick(absl::Duration now) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    if (!open_) {
      if (now < dial_at_) return;
      open_ = true;
      welcomed_ = writing_ = false;
      sent_.clear();
      context_ = std::make_unique<grpc::ClientContext>();
      stub_->async()->Connect(context_.get(), this);
      AddHold();  // writes come from outside of reactions, until a read has failed
      held_ = true;
      StartRead(&incoming_);
      writing_ = true;
      StartWrite(&hello_);
      StartCall();
      return;
    }
    if (!held_ || !welcomed_ || writing_ || now < beat_at_) return;
    beat_at_ = now + period_;
    sent_.push_back(Now());
    writing_ = true;
    StartWrite(&beat_);
  }

  void OnReadDone(bool ok) override ABSL_LOCKS_EXCLUDED(mu_) {
    if (!ok) return Release();
    const absl::Duration now = Now();
    float took = -1;
    {
      absl::MutexLock lock(&mu_);
      if (incoming_.has_welcome()) {
        SetPeriod(incoming_.welcome());
        beat_at_ = now + period_ * absl::Uniform(random_, 0.0, 1.0);
        welcomed_ = true;
        ++totals_.attached;
      } else if (incoming_.has_ack() && !sent_.empty()) {
        if (incoming_.ack().has_heartbeat_period()) SetPeriod(incoming_.ack());
        took = static_cast<float>(absl::ToDoubleMilliseconds(now - sent_.front()));
        sent_.pop_front();
      }
      StartRead(&incoming_);
    }
    if (took < 0) return;
    absl::MutexLock lock(&totals_.mu);
    (now - totals_.all_since < absl::Seconds(5) ? totals_.settling : totals_.milliseconds)
        .push_back(took);
  }
  void OnWriteDone(bool) override ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    writing_ = false;
  }
  void OnDone(const grpc::Status&) override ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    if (welcomed_) {
      --totals_.attached;
      absl::MutexLock all(&totals_.mu);
      ++totals_.broken;
    }
    open_ = false;
    dial_at_ = Now() + absl::Seconds(1) * absl::Uniform(random_, 0.0, 1.0);
  }
  void Cancel() ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    dial_at_ = absl::InfiniteDuration();
    if (open_) context_->TryCancel();
  }
  bool open() ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    return open_;
  }

 private:
  void Release() ABSL_LOCKS_EXCLUDED(mu_) {
    {
      absl::MutexLock lock(&mu_);
      held_ = false;
    }
    RemoveHold();
  }
  template <typename Message>
  void SetPeriod(const Message& message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    period_ = absl::Seconds(message.heartbeat_period().seconds()) +
              absl::Nanoseconds(message.heartbeat_period().nanos());
  }

  Totals& totals_;
  const std::unique_ptr<Agents::Stub> stub_;
  AgentMessage hello_, beat_ = [] {
    AgentMessage beat;
    beat.mutable_heartbeat();
    return beat;
  }();
  CoordinatorMessage incoming_;
  absl::BitGen random_;
  absl::Mutex mu_;
  std::unique_ptr<grpc::ClientContext> context_ ABSL_GUARDED_BY(mu_);
  bool open_ ABSL_GUARDED_BY(mu_) = false, held_ ABSL_GUARDED_BY(mu_) = false;
  bool welcomed_ ABSL_GUARDED_BY(mu_) = false, writing_ ABSL_GUARDED_BY(mu_) = false;
  absl::Duration period_ = absl::Seconds(1), beat_at_, dial_at_;
  std::deque<absl::Duration> sent_ ABSL_GUARDED_BY(mu_);  // heartbeats that are not acknowledged
};

double Percentile(std::vector<float>& sorted, double share) {
  if (sorted.empty()) return 0;
  return sorted[std::min(sorted.size() - 1,
                         static_cast<size_t>(share * static_cast<double>(sorted.size())))];
}

void PrintTimes(const char* name, std::vector<float> milliseconds) {
  std::sort(milliseconds.begin(), milliseconds.end());
  std::printf("{\"%s\": %zu, \"p50_ms\": %.2f, \"p99_ms\": %.2f, \"max_ms\": %.2f}\n", name,
              milliseconds.size(), Percentile(milliseconds, 0.5), Percentile(milliseconds, 0.99),
              Percentile(milliseconds, 1));
  std::fflush(stdout);
}

int RunAgents(const std::string& address, int count, int seconds, int devices) {
  Totals totals;
  std::vector<std::unique_ptr<SimulatedAgent>> agents;
  for (int i = 0; i < count; ++i)
    agents.push_back(std::make_unique<SimulatedAgent>(address, i, devices, totals));
  const absl::Duration begin = Now();
  absl::Duration broke;
  bool all = false;
  bool told = false;
  const auto say = [](const char* what, absl::Duration time) {
    std::printf("{\"%s\": %.2f}\n", what, absl::ToDoubleSeconds(time));
    std::fflush(stdout);
  };
  while (Now() - begin < absl::Seconds(seconds)) {
    const absl::Duration now = Now();
    for (const auto& agent : agents) agent->Tick(now);
    const bool attached = totals.attached == count;
    if (all && !attached) broke = now;
    if (attached && !all) {
      if (told)
        say("reattached_seconds", now - broke);
      else
        say("attached_seconds", now - begin);
      told = true;
      absl::MutexLock lock(&totals.mu);
      totals.all_since = now;
      totals.settling.clear();  // those of all agents together alone
      totals.milliseconds.clear();
    }
    all = attached;
    absl::SleepFor(absl::Milliseconds(5));
  }
  {
    absl::MutexLock lock(&totals.mu);
    PrintTimes("settling", totals.settling);
    PrintTimes("heartbeats", totals.milliseconds);
  }
  for (const auto& agent : agents) agent->Cancel();
  for (const auto& agent : agents) {
    while (agent->open()) absl::SleepFor(absl::Milliseconds(1));
  }
  return all ? 0 : 1;
}

int RunSubmits(const std::string& address, const std::string& path, int jobs, int clients) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  const auto spec = seer::ParseJobSpec(text.str(), path, {});
  if (!spec.ok()) {
    std::fprintf(stderr, "%s\n", spec.status().ToString().c_str());
    return 1;
  }
  std::atomic<int> next{0}, failed{0};
  absl::Mutex mu;
  std::vector<float> milliseconds;
  const absl::Duration begin = Now();
  std::vector<std::thread> threads;
  for (int c = 0; c < clients; ++c) {
    threads.emplace_back([&] {
      const auto stub = seer::v1::Jobs::NewStub(OwnConnection(address));
      for (int i = next++; i < jobs; i = next++) {
        seer::v1::CreateJobRequest request;
        *request.mutable_spec() = *spec;
        request.mutable_spec()->mutable_metadata()->set_name(absl::StrCat("load-", i));
        seer::v1::Job job;
        grpc::ClientContext context;
        const absl::Duration start = Now();
        const grpc::Status status = stub->CreateJob(&context, request, &job);
        if (!status.ok() && failed++ == 0)
          std::fprintf(stderr, "%s\n", status.error_message().c_str());
        absl::MutexLock lock(&mu);
        milliseconds.push_back(static_cast<float>(absl::ToDoubleMilliseconds(Now() - start)));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const double seconds = absl::ToDoubleSeconds(Now() - begin);
  std::printf("{\"jobs_per_second\": %.1f, \"failed\": %d}\n", jobs / seconds, failed.load());
  PrintTimes("submits", milliseconds);
  return failed == 0 ? 0 : 1;
}

int Usage(const char* program) {
  std::fprintf(stderr,
               "usage: %s agents HOST:PORT [agents=10000] [seconds=30] [devices=0]\n"
               "       %s submit HOST:PORT SPEC.yaml [jobs=2000] [clients=16]\n",
               program, program);
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  seer::SkipLockOrderChecks();
  const std::string mode = argc > 2 ? argv[1] : "";
  const int first = mode == "submit" ? 4 : 3;
  if ((mode != "agents" && mode != "submit") || argc < first) return Usage(argv[0]);
  int agents = 10000, seconds = 30, devices = 0, jobs = 2000, clients = 16;
  for (int i = first; i < argc; ++i) {
    absl::string_view argument = argv[i];
    int* const value = absl::ConsumePrefix(&argument, "agents=")    ? &agents
                       : absl::ConsumePrefix(&argument, "seconds=") ? &seconds
                       : absl::ConsumePrefix(&argument, "devices=") ? &devices
                       : absl::ConsumePrefix(&argument, "jobs=")    ? &jobs
                       : absl::ConsumePrefix(&argument, "clients=") ? &clients
                                                                    : nullptr;
    if (value == nullptr || !absl::SimpleAtoi(argument, value) || *value < 0) return Usage(argv[0]);
  }
  return mode == "agents" ? RunAgents(argv[2], agents, seconds, devices)
                          : RunSubmits(argv[2], argv[3], jobs, clients);
}
