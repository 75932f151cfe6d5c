// The collectives that training uses, over one group of ranks. A thin face on c10d's backends, Gloo
// and NCCL, so that nothing else names one. With NCCL, tensors are on a GPU, and waiting makes the
// GPU's current stream wait, not the host. Every rank of the group calls the same collectives in
// the same order. Throws CollectiveError. Not thread-safe, and a Pending is waited on by the thread
// that started it.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "engine/session/config.h"
#include "engine/trace/trace_recorder.h"

namespace seer::engine {

// A collective, or meeting the gang, failed:
// a peer is gone, a deadline passed. The process cannot go on.
class CollectiveError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// An asynchronous collective in flight.
// The tensors it was given must live and stay untouched until Wait returns.
class Pending {
 public:
  virtual ~Pending() = default;
  virtual void Wait() = 0;
};

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  // Host seconds spent blocked in this communicator's collectives so far; never goes back.
  virtual double blocked_seconds() const = 0;

  // Sum, or maximum, in place; contiguous, any type that the back end adds (float, double, int64).
  // With one rank: nothing.
  virtual std::unique_ptr<Pending> AllReduceAsync(at::Tensor tensor) = 0;
  virtual std::unique_ptr<Pending> AllReduceMaxAsync(at::Tensor tensor) = 0;
  // `input`: [n], of every rank the same n; `output`: [size · n], all inputs in rank order; same
  // type, contiguous. With one rank: a copy.
  virtual std::unique_ptr<Pending> AllGatherAsync(at::Tensor output, at::Tensor input) = 0;
  // The other way round: `output` is this rank's part of the sum over all ranks' inputs. `input` is
  // used up.
  virtual std::unique_ptr<Pending> ReduceScatterAsync(at::Tensor output, at::Tensor input) = 0;
  // Concatenates along dimension 0 in rank order. All ranks pass the same shape and type.
  virtual at::Tensor AllGather(const at::Tensor& tensor) = 0;
  virtual void Broadcast(at::Tensor tensor, int root) = 0;  // in place, from `root`; contiguous
  virtual void Barrier() = 0;                               // returns when all ranks are in it

  void AllReduce(at::Tensor tensor) { AllReduceAsync(tensor)->Wait(); }
  void AllReduceMax(at::Tensor tensor) { AllReduceMaxAsync(tensor)->Wait(); }

  // From here on each collective between several ranks is a span on kCommunication, from its start
  // to its completion (on a GPU: until the host no longer waits), and what the host waits for it
  // one on kTraining. Shared, as one may complete after its communicator is gone.
  void SetTrace(std::shared_ptr<TraceRecorder> trace) { trace_ = std::move(trace); }

 protected:
  std::shared_ptr<TraceRecorder> trace_;  // may be null
};

// One process alone: every collective is the identity.
std::unique_ptr<Communicator> MakeSoloCommunicator();

struct GangOptions {
  int rank = 0;
  int world_size = 1;
  std::string store_host;  // as all ranks reach rank 0's machine
  int store_port = 0;
  int store_listen_fd = -1;      // rank 0: a socket that listens on store_port; -1: bind it
  std::string store_prefix;      // of all keys: one an attempt
  double timeout_seconds = 300;  // of meeting, and of every collective
  CollectiveBackend backend = CollectiveBackend::kAuto;
  at::Device device = at::kCPU;      // where the tensors will be
  FlightRecorder* flight = nullptr;  // of what each group enters and completes; may be null
};

// A gang that met through a TCPStore (rank 0 serves it).
// Makes the world's communicator and sub-groups. In the flight recorder a group has its purpose's
// name. A collective is entered when the host starts it and completed when the host has waited for
// it; on a GPU, where the host does not wait, when the step is over.
class Gang {
 public:
  virtual ~Gang() = default;
  virtual Communicator& world() = 0;
  // Consecutive ranks in groups of `group_size` (the last may be smaller); 0: the world.
  // Collective: all ranks call it in the same order with the same arguments. Owned by the gang. Its
  // collectives do not wait behind those of world(), nor of a group with another purpose.
  virtual Communicator& Group(int group_size, const std::string& purpose) = 0;
  // The ranks that have this rank's place in their groups of `group_size`, a divisor of the world's
  // size (0: the world, so that this rank is alone).
  virtual Communicator& Across(int group_size, const std::string& purpose) = 0;
};
// Blocks until all ranks are there.
// Throws CollectiveError after the time limit. A world of one needs no store.
std::unique_ptr<Gang> JoinGang(const GangOptions& options);

}  // namespace seer::engine
