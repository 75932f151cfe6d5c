// seer pool gc: deletes generations and shards that nobody needs.
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/commands/pool.h"
#include "client/confirm.h"
#include "client/exit_code.h"
#include "client/pool_jobs.h"
#include "common/base/duration.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"

namespace seer::client {
namespace {

using google::protobuf::Message;

struct Options {
  std::string pool;
  std::string keep_newer_than = "1d";
  bool dry_run = false, yes = false;
};

int Collect(Session& session, const Options& options) {
  const auto age = ReadDurationFlag("--keep-newer-than", options.keep_newer_than);
  if (!age.ok()) return Fail(age.status());
  const auto jobs = FetchJobs(session);
  if (!jobs.ok()) return Fail(jobs.status());
  const std::set<int64_t> needed = NeededGenerations(*jobs, PoolId(options.pool));
  if (!options.dry_run) {
    const absl::Status confirmed =
        Confirm(absl::StrCat("delete what no job needs of pool ", PoolId(options.pool)),
                options.yes, *session.interrupt, DryRun::kOffered);
    if (!confirmed.ok()) return Fail(confirmed);
  }
  const auto channel = session.DataService();
  if (!channel.ok()) return Fail(channel.status());
  const auto stub = v1::Pools::NewStub(*channel);
  v1::CollectGarbageRequest request;
  request.set_name(PoolName(options.pool));
  request.mutable_keep_generations()->Assign(needed.begin(), needed.end());
  request.mutable_keep_newer_than()->set_seconds(absl::ToInt64Seconds(*age));
  request.set_dry_run(options.dry_run);
  grpc::ClientContext context;
  Interrupt::Scope scope(*session.interrupt, context);
  const auto stream = stub->CollectGarbage(&context, request);
  std::vector<v1::CollectedObject> objects;
  int64_t bytes = 0;
  for (v1::CollectedObject object; stream->Read(&object);) {
    bytes += object.size_bytes();
    objects.push_back(object);
  }
  const absl::Status status = ReachStatus("the data service", FromGrpc(stream->Finish()));
  std::vector<const Message*> items;
  for (const auto& object : objects) items.push_back(&object);
  const auto as = [](const Message& m) -> const v1::CollectedObject& {
    return static_cast<const v1::CollectedObject&>(m);
  };
  PrintList(session.form, items,
            {{"NAME", [&](const Message& m) { return as(m).name(); }},
             {"SIZE", [&](const Message& m) { return FormatBytes(as(m).size_bytes()); }}});
  if (!needed.empty())
    Note(absl::StrCat("jobs and checkpoints need generations ", absl::StrJoin(needed, ", ")));
  if (!status.ok() && session.interrupt->caught()) {
    Note("interrupted: what is listed is gone; the same command again deletes the rest");
    return kExitInterrupted;
  }
  if (!status.ok()) return Fail(status);
  Note(absl::StrCat(objects.size(), options.dry_run ? " would be deleted, " : " deleted, ",
                    FormatBytes(bytes)));
  return kExitOk;
}

}  // namespace

void AddPoolGc(CLI::App& parent, Session& session) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = parent.add_subcommand(
      "gc", "Delete generations that no job or checkpoint needs, and shards that are left over");
  verb->add_option("pool", options->pool, "Name of the pool")->required();
  verb->add_option("--keep-newer-than", options->keep_newer_than,
                   "Keep generations younger than this: 90d, 36h; the newest stays in any case")
      ->capture_default_str();
  verb->add_flag("--dry-run", options->dry_run, "List what would be deleted; change nothing");
  verb->add_flag("-y,--yes", options->yes, "Do not ask");
  verb->footer(
      "Examples:\n  seer pool gc photos --dry-run\n  seer pool gc photos --keep-newer-than "
      "7d --yes");
  verb->callback([&session, options] { session.exit_code = Collect(session, *options); });
}

}  // namespace seer::client
