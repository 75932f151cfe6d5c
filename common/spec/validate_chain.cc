#include "common/spec/validate_chain.h"

#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
#include "common/spec/rules.h"

namespace seer {
namespace {

constexpr int kMaxAfter = 64;

}  // namespace

bool IsNewestOf(const std::string& checkpoint) {
  return !checkpoint.empty() && !absl::StrContains(absl::StripPrefix(checkpoint, "jobs/"), "/");
}

absl::Status CheckChain(const v1::JobSpec& spec) {
  const v1::ChainSpec& chain = spec.chain();
  if (chain.after_size() > kMaxAfter)
    return Broken("chain.after", absl::StrCat(chain.after_size(), " jobs"),
                  absl::StrCat("at most ", kMaxAfter, " jobs"),
                  "let a job of its own wait for some of them, and this one for that");
  std::set<std::string> jobs;
  for (int i = 0; i < chain.after_size(); ++i) {
    const v1::AfterSpec& after = chain.after(i);
    const std::string field = absl::StrCat("chain.after[", i, "].");
    if (after.job().empty())
      return Missing(field + "job", "name the job to wait for, by jobs/ID or its name");
    if (!jobs.insert(std::string(absl::StripPrefix(after.job(), "jobs/"))).second)
      return Broken(field + "job", absl::StrCat("'", after.job(), "' a second time"), "another job",
                    "take one of the two out");
    if (after.condition() < v1::AFTER_CONDITION_SUCCEEDED ||
        after.condition() > v1::AFTER_CONDITION_ENDED)
      return Broken(field + "condition", absl::StrCat(static_cast<int>(after.condition())),
                    "succeeded or ended");
  }
  const std::string& checkpoint = spec.eval().checkpoint();
  if (!IsNewestOf(checkpoint) || jobs.contains(std::string(absl::StripPrefix(checkpoint, "jobs/"))))
    return absl::OkStatus();
  return Broken("eval.checkpoint", absl::StrCat("'", checkpoint, "'"),
                "jobs/JOB/checkpoints/STEP, or a job of chain.after",
                absl::StrCat("add {job: ", absl::StripPrefix(checkpoint, "jobs/"),
                             "} to chain.after, or name a step"));
}

}  // namespace seer
