#include "coordinator/core/job_states.h"

#include <algorithm>
#include <utility>

namespace seer::coordinator {
namespace {

using enum JobState;

constexpr std::pair<JobState, JobState> kAllowed[] = {
    {kQueued, kStarting},     {kQueued, kPaused},        {kQueued, kCancelled},
    {kQueued, kFailed},       {kStarting, kRunning},     {kStarting, kPausing},
    {kStarting, kRestarting}, {kStarting, kSucceeded},   {kStarting, kFailed},
    {kStarting, kCancelled},  {kRunning, kPausing},      {kRunning, kRestarting},
    {kRunning, kSucceeded},   {kRunning, kFailed},       {kRunning, kCancelled},
    {kPausing, kPaused},      {kPausing, kQueued},       {kPausing, kRestarting},
    {kPausing, kSucceeded},   {kPausing, kFailed},       {kPausing, kCancelled},
    {kPaused, kQueued},       {kPaused, kCancelled},     {kRestarting, kStarting},
    {kRestarting, kPaused},   {kRestarting, kCancelled},
};

}  // namespace

bool CanChange(JobState from, JobState to) {
  return std::find(std::begin(kAllowed), std::end(kAllowed), std::pair(from, to)) !=
         std::end(kAllowed);
}

bool Ended(JobState state) {
  return state == kSucceeded || state == kFailed || state == kCancelled;
}
bool Active(JobState state) { return state == kStarting || state == kRunning || state == kPausing; }
bool Waiting(JobState state) { return state == kQueued || state == kRestarting; }

const char* StateName(JobState state) {
  static constexpr const char* kNames[] = {"",        "QUEUED",   "STARTING",   "RUNNING",
                                           "PAUSING", "PAUSED",   "RESTARTING", "SUCCEEDED",
                                           "FAILED",  "CANCELLED"};
  return kNames[static_cast<int>(state)];
}

}  // namespace seer::coordinator
