// seer pool takedown: takes images out of a pool; seer pool takedown-status: who saw them.
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <map>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/commands/pool.h"
#include "client/confirm.h"
#include "client/exit_code.h"
#include "client/paging.h"
#include "client/pool_jobs.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"

namespace seer::client {
namespace {

using google::protobuf::Message;

const v1::Takedown& As(const Message& m) { return static_cast<const v1::Takedown&>(m); }

std::string ShortName(const v1::Takedown& takedown) {
  return takedown.name().substr(takedown.name().rfind('/') + 1);
}

// One id a line; empty lines do not count.
absl::StatusOr<std::vector<std::string>> ReadIds(const std::string& file) {
  std::ifstream in(file);
  std::vector<std::string> ids;
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    const std::string id(absl::StripAsciiWhitespace(line));
    if (id.empty()) continue;
    const bool hex = std::all_of(id.begin(), id.end(), [](char c) {
      return absl::ascii_isxdigit(static_cast<unsigned char>(c));
    });
    if (id.size() != 64 || !hex) {
      return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                   absl::StrCat("line ", number, " of ", file, ": '", id.substr(0, 80),
                                "' is not an image's id"))
          .Field("--ids")
          .Hint("64 hexadecimal digits a line, as `seer pool order -o name` prints");
    }
    ids.push_back(absl::AsciiStrToLower(id));
  }
  if (number == 0 && !in.is_open()) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 absl::StrCat("cannot read ", file))
        .Field("--ids");
  }
  if (ids.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 absl::StrCat(file, " has no image's id"))
        .Field("--ids")
        .Hint("64 hexadecimal digits a line, as `seer pool order -o name` prints");
  }
  return ids;
}

struct Options {
  std::string pool, ids, reason;
  bool dry_run = false, yes = false;
};

int TakeDown(Session& session, const Options& options) {
  const auto ids = ReadIds(options.ids);
  if (!ids.ok()) return Fail(ids.status());
  if (!options.dry_run) {
    const absl::Status confirmed =
        Confirm(absl::StrCat("take ", ids->size(), " images out of pool ", PoolId(options.pool),
                             " for good"),
                options.yes, *session.interrupt, DryRun::kOffered);
    if (!confirmed.ok()) return Fail(confirmed);
  }
  const auto channel = session.DataService();
  if (!channel.ok()) return Fail(channel.status());
  const auto stub = v1::Pools::NewStub(*channel);
  v1::TakeDownImagesRequest request;
  request.set_name(PoolName(options.pool));
  request.mutable_image_ids()->Assign(ids->begin(), ids->end());
  request.set_reason(options.reason);
  request.set_dry_run(options.dry_run);
  grpc::ClientContext context;
  Interrupt::Scope scope(*session.interrupt, context);
  const auto stream = stub->TakeDownImages(&context, request);
  v1::TakedownProgress progress, last;
  while (stream->Read(&progress)) last = progress;
  const absl::Status status = ReachStatus("the data service", FromGrpc(stream->Finish()));
  if (!status.ok() && session.interrupt->caught()) {
    Note(
        "interrupted: the same command again goes on; `seer pool takedown-status` shows how far "
        "it is");
    return kExitInterrupted;
  }
  if (!status.ok()) return Fail(status);
  if (options.dry_run) {
    Note(absl::StrCat("would leave out ", last.rows(), " rows of the newest generation and write ",
                      last.shards_total(), " shards anew"));
    return kExitOk;
  }
  const v1::Takedown& takedown = last.takedown();
  PrintOne(session.form, takedown,
           {{"Takedown", ShortName(takedown)},
            {"Images", absl::StrCat(takedown.image_ids_size())},
            {"Reason", takedown.reason()},
            {"Generation", absl::StrCat(takedown.generation())},
            {"Created", FormatTime(takedown.create_time())},
            {"Finished", FormatTime(takedown.finish_time())}});
  return kExitOk;
}

absl::StatusOr<std::vector<v1::Takedown>> FetchTakedowns(Session& session, v1::Pools::Stub& stub,
                                                         const std::string& pool) {
  v1::ListTakedownsRequest request;
  request.set_name(PoolName(pool));
  return FetchPages<v1::Takedown>(session, "the data service", stub,
                                  &v1::Pools::Stub::ListTakedowns, request,
                                  &v1::ListTakedownsResponse::takedowns);
}

// Steps by image, of a run of a job.
using StepsOf = std::map<std::string, std::vector<int64_t>>;

// NOT_FOUND with GENERATION_NOT_FOUND: it has been collected.
absl::Status FindSteps(Session& session, v1::Pools::Stub& stub, const std::string& pool,
                       const v1::Job& job, const PoolRun& run, const v1::Takedown& takedown,
                       StepsOf& steps) {
  v1::FindSamplesRequest request;
  request.set_name(PoolName(pool));
  request.set_generation(run.generation);
  *request.mutable_image_ids() = takedown.image_ids();
  const int64_t batch = job.spec().data().global_batch();
  if (IsEvaluation(job)) {
    request.set_order(v1::SAMPLE_ORDER_SEQUENTIAL);
  } else {
    request.set_seed(job.spec().seed());
    request.set_order(job.spec().data().sampling() == v1::SAMPLING_MODE_REPLACEMENT
                          ? v1::SAMPLE_ORDER_REPLACEMENT
                          : v1::SAMPLE_ORDER_SHUFFLED);
    request.set_first_sample(run.first_step * batch);
    request.set_end_sample(run.end_step * batch);
  }
  grpc::ClientContext context;
  Interrupt::Scope scope(*session.interrupt, context);
  const auto stream = stub.FindSamples(&context, request);
  for (v1::FoundSamples found; stream->Read(&found);) {
    // Of an evaluation each row that is there has been read, once.
    if (IsEvaluation(job)) steps[found.image_id()];
    for (const int64_t index : found.sample_indices())
      steps[found.image_id()].push_back(index / batch);
  }
  return ReachStatus("the data service", FromGrpc(stream->Finish()));
}

void AddExposures(const PoolJobs& jobs, const v1::Job& job, StepsOf& steps,
                  v1::Takedown& takedown) {
  for (auto& [image, seen] : steps) {
    std::sort(seen.begin(), seen.end());
    seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
    v1::ImageExposure& exposure = *takedown.add_exposures();
    exposure.set_image_id(image);
    exposure.set_job(job.name());
    exposure.mutable_steps()->Assign(seen.begin(), seen.end());
    if (seen.empty()) continue;
    // A checkpoint of n steps has seen steps 0 to n - 1.
    for (const v1::Checkpoint& checkpoint : jobs.checkpoints) {
      if (absl::StartsWith(checkpoint.name(), absl::StrCat(job.name(), "/")) &&
          checkpoint.step() > seen.front()) {
        exposure.add_checkpoints(checkpoint.name());
      }
    }
  }
}

absl::Status FillExposures(Session& session, v1::Pools::Stub& stub, const std::string& pool,
                           const PoolJobs& jobs, v1::Takedown& takedown) {
  for (const v1::Job& job : jobs.jobs) {
    if (!job.has_start_time()) continue;
    StepsOf steps;
    for (const PoolRun& run : RunsOf(job, PoolId(pool))) {
      if (run.end_step == run.first_step && !IsEvaluation(job)) continue;
      const absl::Status found = FindSteps(session, stub, pool, job, run, takedown, steps);
      if (HasReason(found, reason::kGenerationNotFound)) {
        Note(absl::StrCat(job.name(), " read generation ", run.generation,
                          ", which has been deleted: what it saw there cannot be told"));
        continue;
      }
      SEER_RETURN_IF_ERROR(found);
    }
    AddExposures(jobs, job, steps, takedown);
  }
  return absl::OkStatus();
}

std::string StepsText(const google::protobuf::RepeatedField<int64_t>& steps) {
  constexpr int kShown = 20;
  if (steps.empty()) return "evaluation";
  std::vector<std::string> shown;
  for (int i = 0; i < std::min(steps.size(), kShown); ++i) shown.push_back(absl::StrCat(steps[i]));
  if (steps.size() > kShown) shown.push_back(absl::StrCat("and ", steps.size() - kShown, " more"));
  return absl::StrCat("steps ", absl::StrJoin(shown, ", "));
}

std::vector<std::pair<std::string, std::string>> Lines(const v1::Takedown& takedown) {
  std::vector<std::pair<std::string, std::string>> lines = {
      {"Takedown", ShortName(takedown)},
      {"State", takedown.has_finish_time()
                    ? "finished"
                    : "not finished: the same takedown again, or a refresh, goes on"},
      {"Images", absl::StrCat(takedown.image_ids_size())},
      {"Reason", takedown.reason()},
      {"Generation", takedown.generation() > 0 ? absl::StrCat(takedown.generation()) : ""},
      {"Created", FormatTime(takedown.create_time())},
      {"Finished", takedown.has_finish_time() ? FormatTime(takedown.finish_time()) : ""}};
  for (const v1::ImageExposure& exposure : takedown.exposures()) {
    lines.push_back({"Seen", absl::StrCat(exposure.image_id(), " by ", exposure.job(), ": ",
                                          StepsText(exposure.steps()))});
    if (exposure.checkpoints_size() > 0)
      lines.push_back({"In", absl::StrJoin(exposure.checkpoints(), ", ")});
  }
  if (takedown.exposures().empty()) lines.push_back({"Seen", "by no job"});
  return lines;
}

int Status(Session& session, const std::string& pool, const std::string& id) {
  const auto channel = session.DataService();
  if (!channel.ok()) return Fail(channel.status());
  const auto stub = v1::Pools::NewStub(*channel);
  auto takedowns = FetchTakedowns(session, *stub, pool);
  if (!takedowns.ok()) return Fail(takedowns.status());
  if (id.empty()) {
    std::vector<const Message*> items;
    for (const auto& takedown : *takedowns) items.push_back(&takedown);
    PrintList(session.form, items,
              {{"TAKEDOWN", [](const Message& m) { return ShortName(As(m)); }},
               {"IMAGES", [](const Message& m) { return absl::StrCat(As(m).image_ids_size()); }},
               {"GENERATION", [](const Message& m) { return absl::StrCat(As(m).generation()); }},
               {"CREATED", [](const Message& m) { return FormatTime(As(m).create_time()); }},
               {"FINISHED",
                [](const Message& m) {
                  return As(m).has_finish_time() ? FormatTime(As(m).finish_time()) : "no";
                }},
               {"REASON", [](const Message& m) { return As(m).reason(); }}});
    return kExitOk;
  }
  // A takedown's name, or the id of an image that it names.
  const auto found =
      std::find_if(takedowns->begin(), takedowns->end(), [&](const v1::Takedown& takedown) {
        const auto& images = takedown.image_ids();
        return ShortName(takedown) == id || takedown.name() == id ||
               std::find(images.begin(), images.end(), absl::AsciiStrToLower(id)) != images.end();
      });
  if (found == takedowns->end()) {
    return Fail(
        Error(absl::StatusCode::kNotFound, reason::kImageNotFound,
              absl::StrCat("pool ", PoolId(pool), " has no takedown ", id))
            .Hint(absl::StrCat("`seer pool takedown-status ", PoolId(pool), "` lists them")));
  }
  const auto jobs = FetchJobs(session);
  if (!jobs.ok()) return Fail(jobs.status());
  const absl::Status filled = FillExposures(session, *stub, pool, *jobs, *found);
  if (!filled.ok()) return Fail(filled);
  PrintOne(session.form, *found, Lines(*found));
  return kExitOk;
}

}  // namespace

void AddPoolTakedown(CLI::App& parent, Session& session) {
  auto options = std::make_shared<Options>();
  CLI::App* takedown = parent.add_subcommand(
      "takedown", "Take images out of a pool: out of its shards' bytes and of running jobs");
  takedown->add_option("pool", options->pool, "Name of the pool")->required();
  takedown
      ->add_option("--ids", options->ids,
                   "File with the images' ids, SHA-256 in hexadecimal, one a line")
      ->required();
  takedown->add_option("--reason", options->reason, "Why; is kept with the record")->required();
  takedown->add_flag("--dry-run", options->dry_run, "Count only; change nothing");
  takedown->add_flag("-y,--yes", options->yes, "Do not ask");
  takedown->footer(
      "Examples:\n  seer pool takedown photos --ids ids.txt --reason 'request 4711' --dry-run\n  "
      "seer pool takedown photos --ids ids.txt --reason 'request 4711' --yes");
  takedown->callback([&session, options] { session.exit_code = TakeDown(session, *options); });

  struct StatusOptions {
    std::string pool, id;
  };
  auto of = std::make_shared<StatusOptions>();
  CLI::App* status = parent.add_subcommand(
      "takedown-status", "List takedowns; or show one, with the jobs and checkpoints that saw it");
  status->add_option("pool", of->pool, "Name of the pool")->required();
  status->add_option("takedown", of->id, "Name of a takedown, or id of an image");
  status->footer(
      "Examples:\n  seer pool takedown-status photos\n  seer pool takedown-status photos "
      "20260102T030405Z-0123456789abcdef");
  status->callback([&session, of] { session.exit_code = Status(session, of->pool, of->id); });
}

}  // namespace seer::client
