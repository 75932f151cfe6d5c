// seer pool refresh: the next generation, without what has grown too old; seer pool refused.
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "client/commands/pool.h"
#include "client/exit_code.h"
#include "client/paging.h"
#include "common/base/duration.h"

namespace seer::client {
namespace {

using google::protobuf::Message;

struct RefreshOptions {
  std::string pool;
  std::vector<std::string> sources;
  bool labels = false, dry_run = false;
  std::string max_age;
};

int Refresh(Session& session, const RefreshOptions& options) {
  v1::RefreshPoolRequest request;
  request.set_name(PoolName(options.pool));
  for (const std::string& source : options.sources) request.add_sources(SourcePath(source));
  request.set_labels_from_folders(options.labels);
  request.set_dry_run(options.dry_run);
  request.set_request_id(NewRequestId());
  if (!options.max_age.empty()) {
    const auto age = ReadDurationFlag("--max-age", options.max_age);
    if (!age.ok()) return Fail(age.status());
    request.mutable_max_age()->set_seconds(absl::ToInt64Seconds(*age));
  }
  return FollowFill(session, options.pool, options.dry_run,
                    [&](v1::Pools::Stub& stub, grpc::ClientContext& context) {
                      return stub.RefreshPool(&context, request);
                    });
}

int Refused(Session& session, const std::string& pool, const std::string& rule) {
  const auto channel = session.DataService();
  if (!channel.ok()) return Fail(channel.status());
  const auto stub = v1::Pools::NewStub(*channel);
  v1::ListRefusedRequest request;
  request.set_name(PoolName(pool));
  request.set_rule(rule);
  request.set_page_size(1000);
  const auto images = FetchPages<v1::RefusedImage>(session, "the data service", *stub,
                                                   &v1::Pools::Stub::ListRefused, request,
                                                   &v1::ListRefusedResponse::images);
  if (!images.ok()) return Fail(images.status());
  const auto as = [](const Message& m) -> const v1::RefusedImage& {
    return static_cast<const v1::RefusedImage&>(m);
  };
  std::vector<const Message*> items;
  for (const auto& image : *images) items.push_back(&image);
  PrintList(session.form, items,
            {{"SOURCE", [&](const Message& m) { return as(m).source(); }},
             {"RULE", [&](const Message& m) { return as(m).rule(); }},
             {"TIME", [&](const Message& m) { return FormatTime(as(m).time()); }}});
  return kExitOk;
}

}  // namespace

void AddPoolRefresh(CLI::App& parent, Session& session) {
  auto options = std::make_shared<RefreshOptions>();
  CLI::App* refresh = parent.add_subcommand(
      "refresh", "Make the next generation: without images past the window, with new ones");
  refresh->add_option("pool", options->pool, "Name of the pool")->required();
  refresh->add_option("sources", options->sources,
                      "As those of `seer pool ingest`; none: nothing is added");
  refresh->add_flag("--labels-from-folders", options->labels, "Sub-folders are classes");
  refresh->add_option("--max-age", options->max_age,
                      "Leave out images captured longer ago, or nobody knows when: 90d, 36h. The "
                      "smaller of this and the pool's --max-age-days counts");
  refresh->add_flag("--dry-run", options->dry_run, "Count only; change nothing");
  refresh->footer(
      "Examples:\n  seer pool refresh photos\n  seer pool refresh photos ~/Pictures/new --max-age "
      "90d\n  seer pool refresh photos --max-age 30d --dry-run");
  refresh->callback([&session, options] { session.exit_code = Refresh(session, *options); });

  struct RefusedOptions {
    std::string pool, rule;
  };
  auto of = std::make_shared<RefusedOptions>();
  CLI::App* refused = parent.add_subcommand("refused", "List what the pool's policy refused");
  refused->add_option("pool", of->pool, "Name of the pool")->required();
  refused->add_option("--rule", of->rule,
                      "What this rule refused, as `seer pool describe` names it");
  refused->footer(
      "Examples:\n  seer pool refused photos\n  seer pool refused photos --rule too_old");
  refused->callback([&session, of] { session.exit_code = Refused(session, of->pool, of->rule); });
}

}  // namespace seer::client
