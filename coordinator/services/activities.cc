#include "coordinator/services/activities.h"

#include <algorithm>
#include <cmath>

#include "coordinator/services/convert.h"

namespace seer::coordinator {
namespace {

// An agent may say anything.
double Seconds(double seconds) { return std::isfinite(seconds) ? std::max(seconds, 0.0) : 0; }

}  // namespace

command::RankActivities FromProto(const std::string& worker,
                                  const internal::v1::RankActivities& activities) {
  command::RankActivities out;
  out.worker = worker;
  for (const auto& from : activities.ranks()) {
    command::RankActivities::One& one = out.ranks.emplace_back();
    one.rank = {from.attempt_id(), from.job(), from.rank()};
    RankActivity& to = one.activity;
    to.step = from.step();
    to.steps_done = from.steps_done();
    to.doing = from.doing();
    to.detail = from.detail();
    to.seconds = Seconds(from.seconds());
    to.input_seconds = Seconds(from.input_seconds());
    to.host_seconds = Seconds(from.host_seconds());
    to.compute_seconds = Seconds(from.compute_seconds());
    to.wait_seconds = Seconds(from.wait_seconds());
    for (const auto& group : from.groups())
      to.groups.push_back({group.name(), group.first_rank(), group.entered(), group.completed(),
                           group.operation()});
  }
  return out;
}

void SetActivities(const Job& job, v1::Job& out) {
  if (!job.attempt) return;
  for (v1::RankPlacement& placement : *out.mutable_ranks()) {
    const Rank& rank = job.attempt->ranks[static_cast<size_t>(placement.rank())];
    if (!rank.activity || rank.state == RankState::kExited) continue;
    const RankActivity& from = *rank.activity;
    v1::RankActivity& to = *placement.mutable_activity();
    to.set_step(from.step);
    to.set_doing(from.doing);
    to.set_detail(from.detail);
    to.set_seconds(from.seconds);
    int64_t collectives = 0;
    for (const GroupActivity& group : from.groups) collectives += group.entered;
    to.set_collectives(collectives);
    to.set_input_seconds(from.input_seconds);
    to.set_host_seconds(from.host_seconds);
    to.set_compute_seconds(from.compute_seconds);
    to.set_wait_seconds(from.wait_seconds);
    SetTime(from.time, to.mutable_time());
  }
}

}  // namespace seer::coordinator
