#include "engine/parallel/communicator.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <map>
#include <utility>

#include <ATen/ATen.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/flight_recorder.h"
#include "engine/parallel/nccl_group.h"

namespace seer::engine {
namespace {

double Now() { return absl::ToDoubleSeconds(Clock::Real().Steady()); }

class NothingPending final : public Pending {
 public:
  void Wait() override {}
};

class SoloCommunicator final : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  double blocked_seconds() const override { return 0; }
  std::unique_ptr<Pending> AllReduceAsync(at::Tensor) override {
    return std::make_unique<NothingPending>();
  }
  std::unique_ptr<Pending> AllReduceMaxAsync(at::Tensor) override {
    return std::make_unique<NothingPending>();
  }
  std::unique_ptr<Pending> AllGatherAsync(at::Tensor output, at::Tensor input) override {
    output.copy_(input);
    return std::make_unique<NothingPending>();
  }
  std::unique_ptr<Pending> ReduceScatterAsync(at::Tensor output, at::Tensor input) override {
    output.copy_(input);
    return std::make_unique<NothingPending>();
  }
  at::Tensor AllGather(const at::Tensor& tensor) override { return tensor; }
  void Broadcast(at::Tensor, int) override {}
  void Barrier() override {}
};

// Runs `call`, whose every failure means that the collective did not happen.
template <typename Call>
auto Guarded(const char* what, Call&& call) {
  try {
    return call();
  } catch (const std::exception& error) {
    throw CollectiveError(std::string(what) + " failed: " + error.what());
  }
}

// A collective in a recording; nothing if none runs.
struct WorkTrace {
  std::shared_ptr<TraceRecorder> recorder;  // may be null
  int64_t span = 0;

  void End() const {
    if (span != 0) recorder->End(span);
  }
};

// One group in the flight recorder.
struct FlightGroup {
  FlightRecorder* recorder = nullptr;  // may be null
  int group = -1;
  bool host_waits = true;  // false: waiting is the GPU's alone
};

// What the host waits for, in the flight recorder.
class FlightWait {
 public:
  FlightWait(const FlightGroup& flight, int64_t number, CollectiveKind kind)
      : flight_(flight), number_(number), kind_(kind) {
    if (on()) before_ = flight_.recorder->BeginWait(flight_.group, number_, kind_);
  }
  FlightWait(const FlightWait&) = delete;
  ~FlightWait() {
    if (!on()) return;
    flight_.recorder->Completed(flight_.group, number_, kind_);
    flight_.recorder->Begin(before_);
  }

 private:
  bool on() const { return flight_.recorder != nullptr && flight_.host_waits; }

  const FlightGroup& flight_;
  const int64_t number_;
  const CollectiveKind kind_;
  Doing before_ = Doing::kHost;
};

class WorkPending final : public Pending {
 public:
  // `flight` and `blocked_seconds` are the communicator's; `number`: within its group.
  WorkPending(CollectiveKind kind, c10::intrusive_ptr<c10d::Work> work, WorkTrace trace,
              const FlightGroup& flight, int64_t number, double& blocked_seconds)
      : kind_(kind),
        work_(std::move(work)),
        trace_(std::move(trace)),
        flight_(flight),
        number_(number),
        blocked_seconds_(blocked_seconds) {}
  void Wait() override {
    const char* const what = CollectiveName(kind_);
    const TraceScope waiting(trace_.recorder.get(), TraceTrack::kTraining, what, "wait");
    const FlightWait in_flight(flight_, number_, kind_);
    const double start = Now();
    Guarded(what, [&] { return work_->wait(); });
    blocked_seconds_ += Now() - start;
    trace_.End();
  }

 private:
  const CollectiveKind kind_;
  c10::intrusive_ptr<c10d::Work> work_;
  const WorkTrace trace_;
  const FlightGroup& flight_;
  const int64_t number_;
  double& blocked_seconds_;
};

class BackendCommunicator final : public Communicator {
 public:
  // `name`: of the group, in traces.
  BackendCommunicator(std::string name, c10::intrusive_ptr<c10d::Backend> group, FlightGroup flight)
      : name_(std::move(name)), group_(std::move(group)), flight_(flight) {}
  int rank() const override { return group_->getRank(); }
  int size() const override { return group_->getSize(); }
  double blocked_seconds() const override { return blocked_seconds_; }

  std::unique_ptr<Pending> AllReduceAsync(at::Tensor tensor) override {
    return Reduce(std::move(tensor), c10d::ReduceOp::SUM);
  }
  std::unique_ptr<Pending> AllReduceMaxAsync(at::Tensor tensor) override {
    return Reduce(std::move(tensor), c10d::ReduceOp::MAX);
  }
  std::unique_ptr<Pending> AllGatherAsync(at::Tensor output, at::Tensor input) override {
    return Started(CollectiveKind::kAllGather, input,
                   [&] { return group_->_allgather_base(output, input); });
  }
  std::unique_ptr<Pending> ReduceScatterAsync(at::Tensor output, at::Tensor input) override {
    return Started(CollectiveKind::kReduceScatter, input,
                   [&] { return group_->_reduce_scatter_base(output, input); });
  }
  at::Tensor AllGather(const at::Tensor& tensor) override {
    std::vector<at::Tensor> inputs = {tensor.contiguous()};
    std::vector<std::vector<at::Tensor>> outputs(1);
    for (int r = 0; r < size(); ++r) outputs[0].push_back(at::empty_like(inputs[0]));
    Started(CollectiveKind::kAllGather, inputs[0], [&] {
      return group_->allgather(outputs, inputs);
    })->Wait();
    return at::cat(outputs[0], 0);
  }
  void Broadcast(at::Tensor tensor, int root) override {
    SEER_CHECK(tensor.is_contiguous()) << "broadcast of a strided tensor";
    std::vector<at::Tensor> tensors = {std::move(tensor)};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    Started(CollectiveKind::kBroadcast, tensors[0], [&] {
      return group_->broadcast(tensors, options);
    })->Wait();
  }
  void Barrier() override {
    Started(CollectiveKind::kBarrier, at::Tensor(), [&] { return group_->barrier(); })->Wait();
  }

 private:
  std::unique_ptr<Pending> Reduce(at::Tensor tensor, c10d::ReduceOp op) {
    SEER_CHECK(tensor.is_contiguous()) << "all-reduce of a strided tensor";
    std::vector<at::Tensor> tensors = {std::move(tensor)};
    c10d::AllreduceOptions options;
    options.reduceOp = op;
    return Started(CollectiveKind::kAllReduce, tensors[0],
                   [&] { return group_->allreduce(tensors, options); });
  }
  // `tensor`: this rank's part; undefined: none. What `call` blocks for, before it returns the
  // work, counts as blocked too.
  template <typename Call>
  std::unique_ptr<Pending> Started(CollectiveKind kind, const at::Tensor& tensor, Call&& call) {
    const char* const what = CollectiveName(kind);
    const int64_t bytes = tensor.defined() ? static_cast<int64_t>(tensor.nbytes()) : 0;
    WorkTrace trace{trace_};
    if (trace_ != nullptr && trace_->on()) {
      trace.span = trace_->Begin(TraceTrack::kCommunication, what, "communication",
                                 {.bytes = bytes, .group = name_});
    }
    const int64_t number =
        flight_.recorder == nullptr ? 0 : flight_.recorder->Entered(flight_.group, kind, bytes);
    const c10::intrusive_ptr<c10d::Work> work = Guarded(what, call);
    // Gloo completes the future when the work is done; NCCL at once, with a GPU event.
    if (trace.span != 0 && tensor.defined() && tensor.is_cpu() && work->getFuture() != nullptr)
      work->getFuture()->addCallback([trace](c10::ivalue::Future&) { trace.End(); });
    return std::make_unique<WorkPending>(kind, work, std::move(trace), flight_, number,
                                         blocked_seconds_);
  }

  const std::string name_;
  const c10::intrusive_ptr<c10d::Backend> group_;
  const FlightGroup flight_;
  double blocked_seconds_ = 0;
};

// The address of the interface that leads to `host`: what a datagram socket connected there calls
// its own name. Nothing is sent. Gloo would take the machine's host name instead, which in a
// container is often an address nobody reaches.
std::string LocalAddressTowards(const std::string& host, int port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0) throw CollectiveError("cannot resolve '" + host + "': " + gai_strerror(error));
  std::string address;
  for (const addrinfo* a = found; a != nullptr && address.empty(); a = a->ai_next) {
    const int fd = socket(a->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) continue;
    sockaddr_storage own{};
    socklen_t length = sizeof(own);
    char text[NI_MAXHOST];
    if (connect(fd, a->ai_addr, a->ai_addrlen) == 0 &&
        getsockname(fd, reinterpret_cast<sockaddr*>(&own), &length) == 0 &&
        getnameinfo(reinterpret_cast<sockaddr*>(&own), length, text, sizeof(text), nullptr, 0,
                    NI_NUMERICHOST) == 0) {
      address = text;
    }
    close(fd);
  }
  freeaddrinfo(found);
  if (address.empty()) throw CollectiveError("no network interface leads to '" + host + "'");
  return address;
}

class SoloGang final : public Gang {
 public:
  Communicator& world() override { return solo_; }
  Communicator& Group(int, const std::string&) override { return solo_; }
  Communicator& Across(int, const std::string&) override { return solo_; }

 private:
  SoloCommunicator solo_;
};

bool UsesNccl(const GangOptions& options) {
  if (options.backend == CollectiveBackend::kAuto) return !options.device.is_cpu();
  return options.backend == CollectiveBackend::kNccl;
}

class StoreGang final : public Gang {
 public:
  explicit StoreGang(const GangOptions& options)
      : options_(options), timeout_(static_cast<int64_t>(options.timeout_seconds * 1000)) {
    // Before the store: a rank that gave up would take it away from those that come later.
    if (UsesNccl(options)) CheckNccl(options.device);
    c10d::TCPStoreOptions store;
    store.port = static_cast<uint16_t>(options.store_port);
    store.isServer = options.rank == 0;
    store.numWorkers = options.world_size;
    store.waitWorkers = false;
    store.timeout = timeout_;
    if (store.isServer && options.store_listen_fd >= 0)
      store.masterListenFd = options.store_listen_fd;
    store_ = c10::make_intrusive<c10d::PrefixStore>(
        options.store_prefix, c10::make_intrusive<c10d::TCPStore>(options.store_host, store));
    address_ = LocalAddressTowards(options.store_host, options.store_port);
    world_ = Make("world", options.rank, options.world_size, {"world", 0});
  }

  Communicator& world() override { return *world_; }

  Communicator& Group(int group_size, const std::string& purpose) override {
    const int size = SizeOf(group_size), index = options_.rank / size, first = index * size;
    return Named(purpose + "-of-" + std::to_string(size) + "-" + std::to_string(index),
                 options_.rank - first, std::min(size, options_.world_size - first),
                 {purpose, first});
  }

  Communicator& Across(int group_size, const std::string& purpose) override {
    const int size = SizeOf(group_size), place = options_.rank % size;
    SEER_CHECK(options_.world_size % size == 0) << "groups of " << size << " of unequal size";
    return Named(purpose + "-across-" + std::to_string(size) + "-" + std::to_string(place),
                 options_.rank / size, options_.world_size / size, {purpose, place});
  }

 private:
  int SizeOf(int group_size) const {
    return group_size <= 0 ? options_.world_size : std::min(group_size, options_.world_size);
  }

  // As the flight recorder knows a group.
  struct Label {
    std::string purpose;
    int first_rank = 0;
  };

  Communicator& Named(const std::string& name, int rank, int size, const Label& label) {
    std::unique_ptr<Communicator>& group = groups_[name];
    if (group == nullptr) group = Make(name, rank, size, label);
    return *group;
  }

  std::unique_ptr<Communicator> Make(const std::string& name, int rank, int size,
                                     const Label& label) {
    if (size == 1) return std::make_unique<SoloCommunicator>();
    auto store = c10::make_intrusive<c10d::PrefixStore>(name, store_);
    FlightGroup flight{options_.flight, -1, options_.device.is_cpu()};
    if (flight.recorder != nullptr)
      flight.group = flight.recorder->AddGroup(label.purpose, label.first_rank, size);
    return std::make_unique<BackendCommunicator>(
        name,
        UsesNccl(options_)
            ? MakeNcclGroup({std::move(store), rank, size, options_.device, timeout_})
            : MakeGlooGroup(std::move(store), rank, size),
        flight);
  }

  c10::intrusive_ptr<c10d::Backend> MakeGlooGroup(c10::intrusive_ptr<c10d::Store> store, int rank,
                                                  int size) const {
    auto group_options = c10d::ProcessGroupGloo::Options::create(timeout_);
    group_options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(address_));
    return c10::make_intrusive<c10d::ProcessGroupGloo>(std::move(store), rank, size, group_options);
  }

  const GangOptions options_;
  const std::chrono::milliseconds timeout_;
  c10::intrusive_ptr<c10d::Store> store_;
  std::string address_;
  std::unique_ptr<Communicator> world_;
  std::map<std::string, std::unique_ptr<Communicator>> groups_;
};

}  // namespace

std::unique_ptr<Communicator> MakeSoloCommunicator() {
  return std::make_unique<SoloCommunicator>();
}

std::unique_ptr<Gang> JoinGang(const GangOptions& options) {
  if (options.world_size == 1) return std::make_unique<SoloGang>();
  return Guarded("meeting the gang",
                 [&]() -> std::unique_ptr<Gang> { return std::make_unique<StoreGang>(options); });
}

}  // namespace seer::engine
