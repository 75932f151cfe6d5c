// Runs a script against a core with a store in memory: lines that start with "> " are commands,
// what follows is what they answer. Job ids are printed as job names. Not thread-safe.
//
//   > worker w1 devices=2 [incarnation=a] [running=1:0,1:1]     hello; running is attempt:rank
//                 [kind=cpu] [labels=rack:1,...]
//   > beat w1 [running=1:0]      > gone w1
//   > create NAME [ranks=1] [steps=10] [max_restarts=10] [keep=3] [timeout=600]
//                 [request=ID] [eval=JOB/STEP] [from=JOB/STEP]
//                 [every=0] [best=0] [when_full=0]     retention, as keep
//                 [follows=POOL] [queue=default] [priority=0] [preempted=stop]
//                 [after=JOB,...] [after_end=JOB,...] [eval=JOB: its newest]
//                 [group=1] [within=rack] [selector=rack:1,...]
//                 [smaller=2,1] [spares=0]    numbers of ranks that do as well, and devices besides
//   > queue NAME [quota=N] [borrow=N] [weight=1] [preemptions=2] [grace=300] [etag=N]
//                 makes it, or changes all of it
//   > unqueue NAME [etag=N]
//   > pause|resume|cancel NAME [request=ID]     resume: [step=0]
//   > set NAME [priority=N] [keep=N] [queue=Q] [after=JOB,...] [etag=N]
//   > pin JOB/STEP user=U [reason=R]            > unpin JOB/STEP
//   > prune JOB [last=N] [every=N] [best=N]
//   > storage free=N           of 100
//   > started|exited w1 1:0 [code=0] [reason=R]
//   > does w1 1:0 DOING [for=0] [where=WORDS] [done=STEPS] [group=world:ENTERED:COMPLETED]
//                 [compute=0 seconds a step]     "_" in DOING and WORDS for " "
//   > progress NAME attempt=1 step=3 [seconds=0 of a step] [profile=NUMBER] [first=STEP]
//                 [plan=STEP:GENERATION,...]
//   > pool NAME GENERATION    the data service's newest
//   > profile NAME [steps=3] [request=ID]
//   > trace NAME attempt=1 rank=0 profile=NUMBER [first=4] [bytes=10]
//   > profiles NAME NUMBER       prints it
//   > checkpoint NAME attempt=1 rank=0 step=5 [world=1] [file=f] [plan=...]
//   > eval NAME attempt=1 [top1=0]      in percent
//   > wait SECONDS              time passes, then a tick
//   > marked|deleted NAME STEP
//   > restart                   as after SIGKILL
//   > jobs                      prints them
//   > checkpoints NAME          prints them, and why they are kept
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/core/core.h"
#include "coordinator/store/store.h"

namespace seer::testing {

class Script {
 public:
  Script();
  // The whole script again, with what the commands answer now.
  std::string Run(const std::string& text);

 private:
  // "key=value", and "0", "1" ... by position.
  using Arguments = std::map<std::string, std::string>;
  std::string Execute(const std::string& line);
  coordinator::Command Parse(const std::string& verb, const Arguments& arguments);
  std::string Restart();
  std::string Apply(const coordinator::Decision& decision);
  std::string Print(const coordinator::Decision& decision);
  std::string Jobs() const;
  std::string Checkpoints(const std::string& job) const;
  std::string Workers() const;
  std::string Profile(const std::string& job, const std::string& number) const;
  std::string WithNames(std::string text) const;
  std::vector<coordinator::After> ParseAfter(const std::string& jobs, bool any_end) const;
  std::string IdOf(const std::string& name) const;
  coordinator::CheckpointKey KeyOf(const std::string& text) const;  // of "JOB/STEP"

  std::unique_ptr<coordinator::Store> store_;
  std::unique_ptr<coordinator::Core> core_;
  coordinator::Moment now_;
};

}  // namespace seer::testing
