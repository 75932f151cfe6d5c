// What tables and `describe` show of a job.
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "client/commands/job.h"

namespace seer::client {
namespace {

using google::protobuf::Message;

const v1::Job& AsJob(const Message& message) { return static_cast<const v1::Job&>(message); }
const v1::RankPlacement& AsRank(const Message& message) {
  return static_cast<const v1::RankPlacement&>(message);
}

// "collective: all-reduce 812 of world".
std::string DoingOf(const v1::RankActivity& activity) {
  return activity.detail().empty() ? activity.doing()
                                   : absl::StrCat(activity.doing(), ": ", activity.detail());
}

Column PartOfStep(const char* title, double (v1::RankActivity::*seconds)() const) {
  return {title, [seconds](const Message& m) {
            const v1::RankActivity& activity = AsRank(m).activity();
            return absl::StrFormat("%.3f s", (activity.*seconds)());
          }};
}

// "88.1% of 2h 3m since it left the queue: ..."; empty: it has waited all the time.
std::string GoodputText(const v1::Job& job) {
  double all = 0;
  std::string parts;
  for (const v1::TimeShare& share : job.time_shares()) {
    if (share.time_class() == "queue") continue;
    all += share.seconds();
    absl::StrAppend(&parts, parts.empty() ? ": " : ", ", share.time_class(), " ",
                    FormatSeconds(share.seconds()));
  }
  const double goodput = GoodputOf(job);
  if (std::isnan(goodput)) return "";
  return absl::StrFormat("%.1f%% of %s outside the queue", 100 * goodput, FormatSeconds(all)) +
         parts;
}

// "3 of 4 (elastic, at least 2), 1 spare"
std::string RanksText(const v1::Job& job) {
  const v1::DistributedSpec& wanted = job.spec().distributed();
  const bool has_some = job.ranks_size() > 0;
  std::string text = has_some ? absl::StrCat(job.ranks_size(), " of ", wanted.ranks())
                              : absl::StrCat(wanted.ranks());
  if (wanted.min_ranks() > 0 && wanted.min_ranks() < wanted.ranks())
    absl::StrAppend(&text, " (elastic, at least ", wanted.min_ranks(), ")");
  if (wanted.spare_ranks() == 0) return text;
  if (has_some && job.spare_devices() < wanted.spare_ranks())
    return absl::StrCat(text, ", ", job.spare_devices(), " of ", wanted.spare_ranks(), " spares");
  return absl::StrCat(text, ", ", wanted.spare_ranks(),
                      wanted.spare_ranks() == 1 ? " spare" : " spares");
}

}  // namespace

double GoodputOf(const v1::Job& job) {
  double all = 0, productive = 0;
  for (const v1::TimeShare& share : job.time_shares()) {
    if (share.time_class() == "queue") continue;
    all += share.seconds();
    if (share.time_class() == "productive") productive += share.seconds();
  }
  return all > 0 ? productive / all : std::numeric_limits<double>::quiet_NaN();
}

// Also "4+1" with a spare.
std::string RanksCell(const v1::Job& job) {
  const int wanted = job.spec().distributed().ranks();
  std::string cell = absl::StrCat(wanted);
  if (job.ranks_size() > 0 && job.ranks_size() < wanted)
    cell = absl::StrCat(job.ranks_size(), "/", wanted);
  if (job.spare_devices() > 0) absl::StrAppend(&cell, "+", job.spare_devices());
  return cell;
}

const std::vector<Column>& JobColumns() {
  static const auto& columns = *new std::vector<Column>{
      {"ID", [](const Message& m) { return ShortId(AsJob(m).name()); }},
      {"NAME", [](const Message& m) { return AsJob(m).spec().metadata().name(); }},
      {"STATE", [](const Message& m) { return StateOf(AsJob(m)); }},
      {"STEP", [](const Message& m) { return StepsOf(AsJob(m)); }},
      {"LOSS",
       [](const Message& m) {
         return AsJob(m).progress().step() > 0 ? absl::StrFormat("%.4f", AsJob(m).progress().loss())
                                               : std::string("-");
       }},
      {"RANKS", [](const Message& m) { return RanksCell(AsJob(m)); }},
      {"QUEUE", [](const Message& m) { return AsJob(m).spec().scheduling().queue(); }, true},
      {"ATTEMPT", [](const Message& m) { return absl::StrCat(AsJob(m).attempt()); }, true},
      {"IMAGES/S",
       [](const Message& m) {
         return absl::StrFormat("%.0f", AsJob(m).progress().images_per_second());
       },
       true},
      {"CHECKPOINT", [](const Message& m) { return absl::StrCat(AsJob(m).last_checkpoint_step()); },
       true},
      {"AGE", [](const Message& m) { return FormatAge(AsJob(m).create_time()); }},
      {"MESSAGE", [](const Message& m) { return AsJob(m).state_message(); }, true}};
  return columns;
}

const std::vector<Column>& TopColumns() {
  const auto measured = [](const v1::Job& job, const std::string& text) {
    return job.state() == v1::JOB_STATE_RUNNING && job.progress().step() > 0 ? text : "-";
  };
  static const auto& columns = *new std::vector<Column>{
      {"ID", [](const Message& m) { return ShortId(AsJob(m).name()); }},
      {"NAME", [](const Message& m) { return AsJob(m).spec().metadata().name(); }},
      {"STATE", [](const Message& m) { return StateOf(AsJob(m)); }},
      {"STEP", [](const Message& m) { return StepsOf(AsJob(m)); }},
      {"LOSS",
       [=](const Message& m) {
         return measured(AsJob(m), absl::StrFormat("%.4f", AsJob(m).progress().loss()));
       }},
      {"IMAGES/S",
       [=](const Message& m) {
         return measured(AsJob(m),
                         absl::StrFormat("%.0f", AsJob(m).progress().images_per_second()));
       }},
      {"STALL",
       [=](const Message& m) {
         return measured(AsJob(m),
                         absl::StrFormat("%.1f%%", AsJob(m).progress().data_stall_ratio() * 100));
       }},
      {"GOODPUT",
       [](const Message& m) {
         const double goodput = GoodputOf(AsJob(m));
         return std::isnan(goodput) ? std::string("-") : absl::StrFormat("%.0f%%", goodput * 100);
       }},
      {"RANKS", [](const Message& m) { return RanksCell(AsJob(m)); }},
      {"ETA",
       [=](const Message& m) {
         const auto& p = AsJob(m).progress();
         return measured(AsJob(m), FormatSeconds(p.step_seconds() *
                                                 static_cast<double>(p.total_steps() - p.step())));
       }},
      {"MESSAGE", [](const Message& m) { return AsJob(m).state_message(); }, true}};
  return columns;
}

std::vector<std::pair<std::string, std::string>> JobDescription(const v1::Job& job) {
  const auto& p = job.progress();
  std::vector<std::pair<std::string, std::string>> lines = {
      {"Job", ShortId(job.name())},
      {"Name", job.spec().metadata().name()},
      {"State", StateOf(job)},
      {"Reason", job.state_reason()},
      {"Message", job.state_message()},
      {"Created", FormatTime(job.create_time())},
      {"Started", FormatTime(job.start_time())},
      {"Ended", FormatTime(job.end_time())},
      {"Queue", absl::StrCat(job.spec().scheduling().queue(), ", priority ",
                             job.spec().scheduling().priority())},
      {"Ranks", RanksText(job)},
      {"Attempt", absl::StrCat(job.attempt())},
      {"Steps", StepsOf(job)}};
  if (job.has_wait()) {
    lines.emplace_back("Waits", job.wait().message());
    lines.emplace_back("Starts", job.wait().has_estimated_start_time()
                                     ? absl::StrCat(FormatTime(job.wait().estimated_start_time()),
                                                    ", by the pace of what runs")
                                     : "when is not known");
  }
  if (job.has_last_failure()) {
    const v1::Failure& failure = job.last_failure();
    const std::string kind = absl::AsciiStrToLower(
        EnumName(v1::FailureClass_Name(failure.failure_class()), "FAILURE_CLASS_"));
    lines.emplace_back("Last failure", absl::StrCat(kind, " (", failure.sign(), "), attempt ",
                                                    failure.attempt(), ", ", failure.message()));
    lines.emplace_back("Next step", failure.next_step());
  }
  if (!job.avoided_workers().empty())
    lines.emplace_back("Avoids", absl::StrJoin(job.avoided_workers(), ", "));
  if (const std::string goodput = GoodputText(job); !goodput.empty())
    lines.emplace_back("Goodput", goodput);
  if (job.preemptions() > 0) lines.emplace_back("Preemptions", absl::StrCat(job.preemptions()));
  if (p.step() > 0) {
    lines.emplace_back("Loss", absl::StrFormat("%.4f (first %.4f)", p.loss(), job.first_loss()));
    lines.emplace_back("Speed", absl::StrFormat("%.0f images/s, %.3f s a step, data stall %.1f%%",
                                                p.images_per_second(), p.step_seconds(),
                                                job.data_stall_ratio() * 100));
    lines.emplace_back("Prototypes used",
                       absl::StrFormat("%.0f%%", p.prototypes_used_ratio() * 100));
    lines.emplace_back("Assignment entropy",
                       absl::StrFormat("%.3f nats", p.assignment_entropy_nats()));
    lines.emplace_back("Feature std", absl::StrFormat("%.4f", p.feature_std()));
    if (p.skipped_steps() > 0) lines.emplace_back("Skipped steps", absl::StrCat(p.skipped_steps()));
  }
  const bool evaluation = job.spec().kind() == v1::JOB_KIND_EVAL_KNN;
  for (int i = 0; i < job.data_plan_size(); ++i) {
    const auto& entry = job.data_plan(i);
    const auto& eval = job.spec().eval();  // its plan: the train pool's generation, then the other
    const std::string& pool = !evaluation ? job.spec().data().pool()
                              : i == 0    ? eval.train_pool()
                                          : eval.test_pool();
    lines.emplace_back("Data", absl::StrCat("pool ", pool, " generation ", entry.generation()));
    if (!evaluation) absl::StrAppend(&lines.back().second, " from step ", entry.first_step());
  }
  if (job.last_checkpoint_step() > 0)
    lines.emplace_back("Last checkpoint",
                       absl::StrCat(job.name(), "/checkpoints/", job.last_checkpoint_step()));
  if (const std::string& from = job.spec().checkpoint().start_from(); !from.empty())
    lines.emplace_back("Started from", from);
  for (const v1::HealthFinding& finding : job.findings()) {
    lines.emplace_back("Health", absl::StrCat(finding.rule(), " at step ", finding.step(), ": ",
                                              finding.message()));
    if (!finding.acted() && finding.end_step() > 0)
      absl::StrAppend(&lines.back().second, "; over since step ", finding.end_step());
  }
  for (const auto& [path, value] :
       std::map<std::string, std::string>(job.overrides().begin(), job.overrides().end()))
    lines.emplace_back("Changed", absl::StrCat(path, "=", value, ", by a health rule"));
  for (const v1::AfterSpec& after : job.spec().chain().after())
    lines.emplace_back("After", ShortId(after.job()));
  if (!job.sweep().empty()) lines.emplace_back("Made by", job.sweep());
  if (!job.schedule().empty()) lines.emplace_back("Made by", job.schedule());
  if (!job.storage_warning().empty()) lines.emplace_back("Warning", job.storage_warning());
  for (const auto& rank : job.ranks()) {
    if (!rank.has_activity())  // the others stand in a table of their own
      lines.emplace_back(absl::StrCat("Rank ", rank.rank()),
                         absl::StrCat(rank.worker(), " ", rank.state()));
  }
  for (const auto& knn : job.eval_result().knn())
    lines.emplace_back(absl::StrCat("k-NN, k=", knn.k()),
                       absl::StrFormat("top-1 %.2f%%, top-5 %.2f%%", knn.top1_ratio() * 100,
                                       knn.top5_ratio() * 100));
  return lines;
}

std::string RanksTable(const v1::Job& job, bool wide) {
  static const auto& columns = *new std::vector<Column>{
      {"RANK", [](const Message& m) { return absl::StrCat(AsRank(m).rank()); }},
      {"WORKER",
       [](const Message& m) {
         return std::string(absl::StripPrefix(AsRank(m).worker(), "workers/"));
       }},
      {"DOING", [](const Message& m) { return DoingOf(AsRank(m).activity()); }},
      {"SINCE", [](const Message& m) { return FormatSeconds(AsRank(m).activity().seconds()); }},
      {"STEP", [](const Message& m) { return absl::StrCat(AsRank(m).activity().step()); }},
      PartOfStep("INPUT", &v1::RankActivity::input_seconds),
      PartOfStep("HOST", &v1::RankActivity::host_seconds),
      PartOfStep("COMPUTE", &v1::RankActivity::compute_seconds),
      PartOfStep("WAIT", &v1::RankActivity::wait_seconds),
      {"SEEN",
       [](const Message& m) {
         return absl::StrCat(FormatAge(AsRank(m).activity().time()), " ago");
       },
       true}};
  std::vector<const Message*> ranks;
  for (const v1::RankPlacement& rank : job.ranks())
    if (rank.has_activity()) ranks.push_back(&rank);
  return ranks.empty() ? "" : absl::StrCat("\n", FormatTable(ranks, columns, wide));
}

void PrintRanks(const v1::Job& job, bool wide) { std::printf("%s", RanksTable(job, wide).c_str()); }

}  // namespace seer::client
