// What one pass of the scheduler costs with as many jobs and machines as are asked for, on one
// core: building its input out of the coordinator's state, the decision, and what is done with it
// (coordinator/core/scheduling.cc), beside the bound of 100 ms. Three loads: all jobs are new and
// start until the cluster is full; it is full and the rest waits, with every job looked at;
// it is full and some of those that run end.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/philox.h"
#include "coordinator/core/core.h"
#include "coordinator/core/job_states.h"

namespace seer::coordinator {
namespace {

constexpr double kBoundSeconds = 0.1;
constexpr int kDevices = 8;  // of a machine
constexpr int kRack = 100;   // machines
constexpr int kQueues = 20;
constexpr int kRounds = 9;

// Of this thread: other load on the machine matters less than by the clock.
double CpuSeconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

class Cluster {
 public:
  Cluster(int jobs, int machines) : jobs_(jobs), machines_(machines) {
    StoredState state;
    for (int i = 0; i < kQueues; ++i) {
      Queue queue;
      queue.name = absl::StrCat("queue-", i);
      if (i % 2 == 0) queue.quota = machines * kDevices / kQueues;
      queue.weight = 1 + i % 3;
      state.queues.push_back(queue);
    }
    for (int i = 0; i < jobs; ++i) state.jobs.push_back(NewJob(i));
    core_.Load(std::move(state), now_);
    for (int i = 0; i < machines; ++i) {
      Worker worker;
      worker.name = absl::StrCat("node-", i);
      worker.devices = kDevices;
      worker.device_kind = "cuda";
      worker.labels = {{"rack", absl::StrCat(i / kRack)}, {"gpu", i % 3 == 0 ? "h100" : "a100"}};
      worker.incarnation = "a";
      core_.Step(command::WorkerHello{worker, {}}, now_);
    }
  }

  // CPU seconds of one tick.
  double Tick() {
    now_.steady += absl::Milliseconds(1);  // leases run on
    const double start = CpuSeconds();
    const Decision decision = core_.Step(command::Tick{}, now_);
    const double seconds = CpuSeconds() - start;
    started_ = 0;
    for (const Event& event : decision.changes.events) started_ += event.type == "attempt_started";
    return seconds;
  }
  // Every `each`th of those that run ends.
  void End(int each) {
    std::vector<std::string> ids;
    for (const auto& [id, job] : core_.jobs())
      if (job.attempt && static_cast<int>(random_.Below(static_cast<uint64_t>(each))) == 0)
        ids.push_back(id);
    for (const std::string& id : ids) {
      const Attempt attempt = *core_.jobs().at(id).attempt;
      for (size_t rank = 0; rank < attempt.ranks.size(); ++rank)
        core_.Step(
            command::RankExited{attempt.ranks[rank].worker,
                                {attempt.id, absl::StrCat("jobs/", id), static_cast<int>(rank)},
                                0,
                                "",
                                ""},
            now_);
    }
  }
  int Count(bool (*of)(JobState)) const {
    return static_cast<int>(std::count_if(core_.jobs().begin(), core_.jobs().end(),
                                          [of](const auto& job) { return of(job.second.state); }));
  }
  int started() const { return started_; }

 private:
  Job NewJob(int i) {
    constexpr int kRanks[] = {1, 2, 4, 8, 8, 16, 16, 32, 64, 256};
    Job job;
    job.id = absl::StrCat("job_", 10'000'000 + i);
    job.name = absl::StrCat("bench-", i);
    job.numbers.queue = absl::StrCat("queue-", random_.Below(kQueues));
    job.numbers.priority = static_cast<int>(random_.Below(3));
    job.numbers.steps = 1000;
    GangShape& shape = job.numbers.shape;
    shape.ranks = kRanks[random_.Below(10)];
    if (random_.Below(3) == 0) shape.selector = {{"gpu", "h100"}};
    if (shape.ranks >= 8 && random_.Below(3) == 0) {
      shape.group_ranks = 8;
      shape.within = random_.Below(2) == 0 ? "machine" : "rack";
    }
    job.number = job.queue_number = i + 1;
    return job;
  }

  const int jobs_, machines_;
  Philox random_{7, RandomPurpose::kTest, 1};
  Core core_{CoreOptions{}};
  Moment now_{absl::FromUnixSeconds(1'000'000), absl::Seconds(1000)};
  int started_ = 0;
};

// Prints one line; whether it is within the bound.
bool Report(const char* what, std::vector<double> seconds, const Cluster& cluster) {
  std::sort(seconds.begin(), seconds.end());
  std::printf(
      "%-44s %7.1f ms (fastest %.1f, slowest %.1f): %.2f of the bound; %d run, %d wait, %d started "
      "by the last\n",
      what, 1e3 * seconds[seconds.size() / 2], 1e3 * seconds.front(), 1e3 * seconds.back(),
      seconds[seconds.size() / 2] / kBoundSeconds, cluster.Count(Active), cluster.Count(Waiting),
      cluster.started());
  return seconds[seconds.size() / 2] <= kBoundSeconds;
}

int Main(int jobs, int machines) {
  std::printf(
      "%d jobs, %d machines of %d devices, %d queues; medians of %d passes in CPU time, bound %.0f "
      "ms\n",
      jobs, machines, kDevices, kQueues, kRounds, 1e3 * kBoundSeconds);
  std::vector<double> empty, full, turnover;
  for (int round = 0; round < kRounds; ++round) {
    Cluster cluster(jobs, machines);
    empty.push_back(cluster.Tick());
    if (round + 1 < kRounds) continue;
    bool good = Report("all jobs are new, the cluster is empty", empty, cluster);
    for (int i = 0; i < kRounds; ++i) full.push_back(cluster.Tick());
    good = Report("nothing changes, the cluster is full", full, cluster) && good;
    for (int i = 0; i < kRounds; ++i) {
      cluster.End(20);
      turnover.push_back(cluster.Tick());
    }
    good = Report("one in twenty of those that ran has ended", turnover, cluster) && good;
    return good ? 0 : 1;
  }
  return 1;
}

}  // namespace
}  // namespace seer::coordinator

int main(int argc, char** argv) {
  const auto number = [&](int at) { return argc > at ? std::atoi(argv[at]) : 10'000; };
  return seer::coordinator::Main(number(1), number(2));
}
