#include "tests/integration/coordinator/cluster.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/digest.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"
#include "coordinator/services/pool_lookup.h"
#include "tests/support/status_matchers.h"

namespace seer::testing {

using internal::v1::AgentMessage;
using internal::v1::Assign;
using internal::v1::CoordinatorMessage;

namespace {
constexpr absl::Duration kPatience = absl::Seconds(20);
constexpr absl::Duration kHeartbeat = absl::Milliseconds(100);

std::shared_ptr<grpc::Channel> Dial(int port) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", port),
                                   grpc::InsecureChannelCredentials(), arguments);
}
}  // namespace

FakeAgent::FakeAgent(int port, Options options)
    : options_(std::move(options)),
      channel_(Dial(port)),
      stub_(internal::v1::Agents::NewStub(channel_)),
      stream_(stub_->Connect(&context_)) {
  AgentMessage hello;
  hello.mutable_hello()->set_worker(options_.name);
  hello.mutable_hello()->set_hostname("host-" + options_.name);
  hello.mutable_hello()->set_address("127.0.0.1");
  hello.mutable_hello()->set_devices(options_.devices);
  hello.mutable_hello()->set_device_kind("cpu");
  hello.mutable_hello()->set_version("test");
  hello.mutable_hello()->set_incarnation(options_.incarnation);
  hello.mutable_hello()->mutable_labels()->insert(options_.labels.begin(), options_.labels.end());
  for (const auto& rank : options_.running) {
    *hello.mutable_hello()->add_running() = rank;
    running_[{rank.attempt_id(), rank.rank()}] = rank;
  }
  Send(hello);
  reader_ = std::thread([this] { Read(); });
  beater_ = std::thread([this] { Beat(); });
}

void FakeAgent::HangUp() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  context_.TryCancel();
  if (reader_.joinable()) reader_.join();
  if (beater_.joinable()) beater_.join();
}

void FakeAgent::Send(const AgentMessage& message) {
  absl::MutexLock lock(&write_mu_);
  stream_->Write(message);
}

void FakeAgent::Read() {
  CoordinatorMessage message;
  while (stream_->Read(&message)) {
    absl::MutexLock lock(&mu_);
    if (message.has_assign()) {
      const Assign& assign = message.assign();
      internal::v1::RunningRank rank;
      rank.set_attempt_id(assign.attempt_id());
      rank.set_job(assign.job());
      rank.set_rank(assign.rank());
      running_[{assign.attempt_id(), assign.rank()}] = rank;
      assigns_.push_back(assign);
    }
    if (message.has_ack()) {
      ++acks_;
      for (; exits_known_ < message.ack().exits_known(); ++exits_known_)
        running_.erase(exits_.at(static_cast<size_t>(exits_known_)));
    }
    if (message.has_inspect()) inspects_.push_back(message.inspect());
    if (message.has_stop() && Runs(message.stop().attempt_id()) &&
        told_.insert({message.stop().attempt_id(), message.stop().kill()}).second)
      stops_.push_back(message.stop());
  }
  absl::MutexLock lock(&mu_);
  closed_ = true;
}

bool FakeAgent::Runs(int64_t attempt_id) const {
  return std::any_of(running_.begin(), running_.end(), [&](const auto& item) {
    return item.first.first == attempt_id &&
           std::find(exits_.begin(), exits_.end(), item.first) == exits_.end();
  });
}

void FakeAgent::Beat() {
  while (true) {
    AgentMessage message;
    message.mutable_heartbeat();
    {
      absl::MutexLock lock(&mu_);
      const auto done = [this] {
        mu_.AssertReaderHeld();
        return stopping_ || closed_;
      };
      if (mu_.AwaitWithTimeout(absl::Condition(&done), kHeartbeat)) return;
      for (const auto& [key, rank] : running_) *message.mutable_heartbeat()->add_running() = rank;
    }
    Send(message);
  }
}

template <typename Message>
Message FakeAgent::Next(std::deque<Message>& queue, const char* what) {
  absl::MutexLock lock(&mu_);
  const auto some = [&queue] { return !queue.empty(); };
  if (!mu_.AwaitWithTimeout(absl::Condition(&some), kPatience)) {
    ADD_FAILURE() << options_.name << " got no " << what;
    return {};
  }
  Message message = std::move(queue.front());
  queue.pop_front();
  return message;
}

Assign FakeAgent::NextAssign() { return Next(assigns_, "assignment"); }
internal::v1::Stop FakeAgent::NextStop() { return Next(stops_, "stop"); }
internal::v1::Inspect FakeAgent::NextInspect() { return Next(inspects_, "inspection"); }

bool FakeAgent::closed() {
  absl::MutexLock lock(&mu_);
  return mu_.AwaitWithTimeout(absl::Condition(&closed_), kPatience);
}

void FakeAgent::Report(const Assign& assign, internal::v1::RankReport report) {
  report.set_attempt_id(assign.attempt_id());
  report.set_job(assign.job());
  report.set_rank(assign.rank());
  AgentMessage message;
  *message.mutable_rank() = std::move(report);
  Send(message);
}

void FakeAgent::Started(const Assign& assign) {
  internal::v1::RankReport report;
  report.set_state(internal::v1::RankReport::STATE_STARTED);
  Report(assign, std::move(report));
}

void FakeAgent::Exited(const Assign& assign, int exit_code, const std::string& reason,
                       const std::string& message) {
  internal::v1::RankReport report;
  report.set_exit_code(exit_code);
  report.set_reason(reason);
  report.set_message(message);
  Exited(assign, std::move(report));
}

void FakeAgent::Exited(const Assign& assign, internal::v1::RankReport report) {
  report.set_state(internal::v1::RankReport::STATE_EXITED);
  {
    absl::MutexLock lock(&mu_);
    exits_.emplace_back(assign.attempt_id(), assign.rank());
  }
  Report(assign, std::move(report));
}

int64_t FakeAgent::exits_known() const {
  absl::MutexLock lock(&mu_);
  return exits_known_;
}

int64_t FakeAgent::acks() const {
  absl::MutexLock lock(&mu_);
  return acks_;
}

void FakeAgent::Log(const Assign& assign, const std::string& text) {
  AgentMessage message;
  auto* const line = message.mutable_logs()->add_lines();
  line->mutable_time()->set_seconds(1'700'000'000);
  line->set_job(assign.job());
  line->set_attempt_id(assign.attempt_id());
  line->set_attempt(assign.attempt());
  line->set_rank(assign.rank());
  line->set_text(text);
  Send(message);
}

void FakeAgent::Does(const Assign& assign, internal::v1::RankActivities::RankActivity activity) {
  activity.set_attempt_id(assign.attempt_id());
  activity.set_job(assign.job());
  activity.set_rank(assign.rank());
  AgentMessage message;
  *message.mutable_activities()->add_ranks() = std::move(activity);
  Send(message);
}

coordinator::ServerConfig Cluster::Config() const {
  coordinator::ServerConfig config;
  config.listen = "127.0.0.1:0";
  config.metrics = "127.0.0.1:0";
  config.http = http;
  config.http_hosts = {"trusted.example"};
  config.database = url_.empty() ? dir_ / "state/coordinator.db" : url_;
  config.logs = dir_ / "state/logs";
  config.leader_lease = absl::Seconds(3);
  config.storage = "file://" + (dir_ / "storage");
  config.storage_low_watermark = storage_low_watermark;
  config.hang_after = hang_after;
  config.keep_jobs = keep_jobs;
  config.keep_events = keep_events;
  config.webhook_secret_file = webhook_secret_file;
  config.dataservices = {"127.0.0.1:1"};
  // With several, agents are not what is tested.
  config.lease = absl::Seconds(count_ == 1 ? 2 : 20);
  config.heartbeat = kHeartbeat;
  config.grow_after = config.grow_every = absl::Milliseconds(100);
  return config;
}

void Cluster::Start() {
  std::vector<std::string> addresses;
  for (int i = 0; i < count_; ++i) {
    std::map<std::string, coordinator::PoolInfo> pools = {
        {"cats", {3, 100, 0}}, {"digits", {1, 50, 50}}, {"empty", {}}};
    auto server = coordinator::CoordinatorServer::Start(
        Config(), std::make_unique<coordinator::FakePoolLookup>(std::move(pools)));
    SEER_CHECK(server.ok()) << server.status();
    servers_.push_back(*std::move(server));
    addresses.push_back(absl::StrCat("127.0.0.1:", servers_.back()->port()));
  }
  const auto channel = count_ == 1 ? Dial(port()) : MakeChannel(addresses);
  jobs = v1::Jobs::NewStub(channel);
  checkpoints = v1::Checkpoints::NewStub(channel);
  workers = v1::Workers::NewStub(channel);
  trainers = internal::v1::Trainers::NewStub(channel);
}

namespace {
template <typename Response, typename Call>
absl::StatusOr<Response> Unary(Call call) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(kPatience));
  Response response;
  const absl::Status status = FromGrpc(call(&context, &response));
  if (!status.ok()) return status;
  return response;
}
}  // namespace

absl::StatusOr<v1::Job> Cluster::Create(const v1::JobSpec& spec, const std::string& request_id) {
  v1::CreateJobRequest request;
  *request.mutable_spec() = spec;
  request.set_request_id(request_id);
  return Unary<v1::Job>(
      [&](auto* context, v1::Job* job) { return jobs->CreateJob(context, request, job); });
}
absl::StatusOr<v1::Job> Cluster::Get(const std::string& name) {
  v1::GetJobRequest request;
  request.set_name(name);
  return Unary<v1::Job>(
      [&](auto* context, v1::Job* job) { return jobs->GetJob(context, request, job); });
}
absl::StatusOr<v1::Job> Cluster::Pause(const std::string& name) {
  v1::PauseJobRequest request;
  request.set_name(name);
  return Unary<v1::Job>(
      [&](auto* context, v1::Job* job) { return jobs->PauseJob(context, request, job); });
}
absl::StatusOr<v1::Job> Cluster::Resume(const std::string& name, int64_t step) {
  v1::ResumeJobRequest request;
  request.set_name(name);
  request.set_step(step);
  return Unary<v1::Job>(
      [&](auto* context, v1::Job* job) { return jobs->ResumeJob(context, request, job); });
}
absl::StatusOr<v1::Job> Cluster::Cancel(const std::string& name) {
  v1::CancelJobRequest request;
  request.set_name(name);
  return Unary<v1::Job>(
      [&](auto* context, v1::Job* job) { return jobs->CancelJob(context, request, job); });
}

v1::Job Cluster::WaitFor(const std::string& name, v1::JobState state) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(kPatience));
  v1::WatchJobRequest request;
  request.set_name(name);
  const auto reader = jobs->WatchJob(&context, request);
  v1::Job job;
  while (reader->Read(&job)) {
    if (job.state() == state) return job;
  }
  ADD_FAILURE() << name << " did not become " << v1::JobState_Name(state) << ", but "
                << job.ShortDebugString();
  return job;
}

bool Cluster::WaitForWorkers(int count) {
  return Eventually([&] {
    const auto found = Unary<v1::ListWorkersResponse>(
        [&](auto* context, auto* out) { return workers->ListWorkers(context, {}, out); });
    return found.ok() && found->workers_size() == count;
  });
}

std::vector<v1::Event> Cluster::Events(const std::string& name) {
  v1::ListEventsRequest request;
  request.set_name(name);
  const auto found = Unary<v1::ListEventsResponse>([&](auto* context, v1::ListEventsResponse* out) {
    return jobs->ListEvents(context, request, out);
  });
  if (!found.ok()) {
    ADD_FAILURE() << found.status();
    return {};
  }
  return {found->events().begin(), found->events().end()};
}

std::vector<v1::LogLine> Cluster::Logs(const std::string& name, bool follow, int tail) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(kPatience));
  v1::ReadLogsRequest request;
  request.set_name(name);
  request.set_follow(follow);
  request.set_tail(tail);
  const auto reader = jobs->ReadLogs(&context, request);
  std::vector<v1::LogLine> lines;
  for (v1::LogLine line; reader->Read(&line);) lines.push_back(line);
  EXPECT_OK(FromGrpc(reader->Finish()));
  return lines;
}

absl::StatusOr<bool> Cluster::Progress(const Assign& assign, int64_t step, double step_seconds) {
  internal::v1::ReportProgressRequest request;
  request.set_attempt_id(assign.attempt_id());
  request.set_job(assign.job());
  request.set_step(step);
  request.set_loss(5.5);
  request.set_first_loss(6.5);
  request.set_step_seconds(step_seconds);
  request.set_data_wait_seconds(1);
  request.set_train_seconds(4);
  const auto reply = Unary<internal::v1::ReportProgressResponse>(
      [&](auto* context, auto* out) { return trainers->ReportProgress(context, request, out); });
  if (!reply.ok()) return reply.status();
  return reply->pause();
}

absl::StatusOr<bool> Cluster::Checkpoint(const Assign& assign, int64_t step) {
  const std::string bytes = absl::StrCat("weights of rank ", assign.rank(), " at step ", step);
  const std::string name = absl::StrCat("rank-", assign.rank(), ".safetensors");
  const std::filesystem::path folder = absl::StrCat(assign.storage_uri().substr(7), "/",
                                                    assign.job().substr(5), "/checkpoints/", step);
  std::filesystem::create_directories(folder);
  std::ofstream(folder / name, std::ios::binary) << bytes;
  internal::v1::ReportCheckpointRequest request;
  request.set_attempt_id(assign.attempt_id());
  request.set_job(assign.job());
  request.set_rank(assign.rank());
  request.set_world_size(assign.world_size());
  request.set_step(step);
  request.set_file_name(name);
  request.set_size_bytes(static_cast<int64_t>(bytes.size()));
  request.set_sha256(Sha256Hex(bytes));
  const auto reply = Unary<internal::v1::ReportCheckpointResponse>(
      [&](auto* context, auto* out) { return trainers->ReportCheckpoint(context, request, out); });
  if (!reply.ok()) return reply.status();
  return reply->committed();
}

bool Eventually(const std::function<bool()>& condition) {
  const absl::Time deadline = absl::Now() + kPatience;
  while (!condition()) {
    if (absl::Now() > deadline) return false;
    absl::SleepFor(absl::Milliseconds(5));
  }
  return true;
}

v1::JobSpec SmallSpec(const std::string& name, int ranks) {
  v1::JobSpec spec;
  spec.mutable_metadata()->set_name(name);
  spec.mutable_model()->mutable_trunk()->set_preset("regnety_200mf");
  spec.mutable_data()->set_pool("cats");
  spec.mutable_data()->set_global_batch(8);
  spec.mutable_optim()->set_steps(20);
  spec.mutable_distributed()->set_ranks(ranks);
  spec.mutable_checkpoint()->set_every_steps(10);
  spec.mutable_checkpoint()->set_keep_last(2);
  return spec;
}

}  // namespace seer::testing
