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

class GlooPending final : public Pending {
 public:
  GlooPending(c10::intrusive_ptr<c10d::Work> work, double& blocked_seconds)
      : work_(std::move(work)), blocked_seconds_(blocked_seconds) {}
  void Wait() override {
    const double start = Now();
    Guarded("all-reduce", [&] { return work_->wait(); });
    blocked_seconds_ += Now() - start;
  }

 private:
  c10::intrusive_ptr<c10d::Work> work_;
  double& blocked_seconds_;
};

class GlooCommunicator final : public Communicator {
 public:
  explicit GlooCommunicator(c10::intrusive_ptr<c10d::ProcessGroupGloo> group)
      : group_(std::move(group)) {}
  int rank() const override { return group_->getRank(); }
  int size() const override { return group_->getSize(); }
  double blocked_seconds() const override { return blocked_seconds_; }

  std::unique_ptr<Pending> AllReduceAsync(at::Tensor tensor) override {
    return Reduce(std::move(tensor), c10d::ReduceOp::SUM);
  }
  std::unique_ptr<Pending> AllReduceMaxAsync(at::Tensor tensor) override {
    return Reduce(std::move(tensor), c10d::ReduceOp::MAX);
  }
  at::Tensor AllGather(const at::Tensor& tensor) override {
    std::vector<at::Tensor> inputs = {tensor.contiguous()};
    std::vector<std::vector<at::Tensor>> outputs(1);
    for (int r = 0; r < size(); ++r) outputs[0].push_back(at::empty_like(inputs[0]));
    Timed("all-gather", [&] { return group_->allgather(outputs, inputs)->wait(); });
    return at::cat(outputs[0], 0);
  }
  void Broadcast(at::Tensor tensor, int root) override {
    SEER_CHECK(tensor.is_contiguous()) << "broadcast of a strided tensor";
    std::vector<at::Tensor> tensors = {std::move(tensor)};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    Timed("broadcast", [&] { return group_->broadcast(tensors, options)->wait(); });
  }
  void Barrier() override {
    Timed("barrier", [&] { return group_->barrier()->wait(); });
  }

 private:
  std::unique_ptr<Pending> Reduce(at::Tensor tensor, c10d::ReduceOp op) {
    SEER_CHECK(tensor.is_contiguous()) << "all-reduce of a strided tensor";
    std::vector<at::Tensor> tensors = {std::move(tensor)};
    c10d::AllreduceOptions options;
    options.reduceOp = op;
    return std::make_unique<GlooPending>(
        Guarded("all-reduce", [&] { return group_->allreduce(tensors, options); }),
        blocked_seconds_);
  }
  template <typename Call>
  void Timed(const char* what, Call&& call) {
    const double start = Now();
    Guarded(what, call);
    blocked_seconds_ += Now() - start;
  }

  c10::intrusive_ptr<c10d::ProcessGroupGloo> group_;
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
  Communicator& Group(int) override { return solo_; }

 private:
  SoloCommunicator solo_;
};

class GlooGang final : public Gang {
 public:
  explicit GlooGang(const GangOptions& options)
      : options_(options), timeout_(static_cast<int64_t>(options.timeout_seconds * 1000)) {
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
    world_ = Make("world", options.rank, options.world_size);
  }

  Communicator& world() override { return *world_; }

  Communicator& Group(int group_size) override {
    const int size =
        group_size <= 0 ? options_.world_size : std::min(group_size, options_.world_size);
    std::unique_ptr<Communicator>& group = groups_[size];
    if (group == nullptr) {
      const int index = options_.rank / size;
      const int first = index * size;
      group = Make("group-" + std::to_string(size) + "-" + std::to_string(index),
                   options_.rank - first, std::min(size, options_.world_size - first));
    }
    return *group;
  }

 private:
  std::unique_ptr<Communicator> Make(const std::string& name, int rank, int size) {
    if (size == 1) return std::make_unique<SoloCommunicator>();
    auto group_options = c10d::ProcessGroupGloo::Options::create(timeout_);
    group_options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(address_));
    auto store = c10::make_intrusive<c10d::PrefixStore>(name, store_);
    return std::make_unique<GlooCommunicator>(
        c10::make_intrusive<c10d::ProcessGroupGloo>(store, rank, size, group_options));
  }

  const GangOptions options_;
  const std::chrono::milliseconds timeout_;
  c10::intrusive_ptr<c10d::Store> store_;
  std::string address_;
  std::unique_ptr<Communicator> world_;
  std::map<int, std::unique_ptr<Communicator>> groups_;
};

}  // namespace

std::unique_ptr<Communicator> MakeSoloCommunicator() {
  return std::make_unique<SoloCommunicator>();
}

std::unique_ptr<Gang> JoinGang(const GangOptions& options) {
  if (options.world_size == 1) return std::make_unique<SoloGang>();
  return Guarded("meeting the gang",
                 [&]() -> std::unique_ptr<Gang> { return std::make_unique<GlooGang>(options); });
}

}  // namespace seer::engine
