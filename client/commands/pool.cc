// seer pool: create, ingest, describe, list; seer quarantine is `seer pool quarantine`.
#include <grpcpp/grpcpp.h>

#include <unistd.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "client/commands/pool.h"
#include "client/exit_code.h"
#include "client/paging.h"
#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/part.h"
#include "common/base/rate_meter.h"
#include "common/flags/number.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"
#include "common/spec/yaml.h"

namespace seer::client {
namespace {

using google::protobuf::Message;

const v1::Pool& As(const Message& m) { return static_cast<const v1::Pool&>(m); }

std::string PolicyText(const v1::PoolPolicy& policy) {
  std::vector<std::string> parts(policy.predicates().begin(), policy.predicates().end());
  if (policy.public_only()) parts.push_back("public only");
  if (policy.excluded_countries_size() > 0)
    parts.push_back(absl::StrCat("not from ", absl::StrJoin(policy.excluded_countries(), " ")));
  if (policy.has_max_age())
    parts.push_back(absl::StrCat("at most ", policy.max_age().seconds() / 86400, " days old"));
  if (policy.min_side_pixels() > 1)
    parts.push_back(absl::StrCat("sides from ", policy.min_side_pixels(), " pixels"));
  if (policy.max_side_pixels() > 0)
    parts.push_back(absl::StrCat("sides to ", policy.max_side_pixels(), " pixels"));
  if (policy.max_bytes() > 0) parts.push_back(absl::StrCat("to ", FormatBytes(policy.max_bytes())));
  if (policy.formats_size() > 0) parts.push_back(absl::StrJoin(policy.formats(), " or "));
  return parts.empty() ? "takes everything" : absl::StrJoin(parts, "; ");
}

std::vector<std::pair<std::string, std::string>> Description(const v1::Pool& pool) {
  const auto counts = [](const auto& map) {
    std::vector<std::string> parts;
    for (const auto& [key, count] : map) parts.push_back(absl::StrCat(key, " ", count));
    std::sort(parts.begin(), parts.end());
    return absl::StrJoin(parts, ", ");
  };
  return {{"Pool", PoolId(pool.name())},
          {"Generation",
           pool.generation() == 0 ? "none: the pool is empty" : absl::StrCat(pool.generation())},
          {"Images", absl::StrCat(pool.images())},
          {"Size", FormatBytes(pool.size_bytes())},
          {"Labelled", pool.classes() > 0 ? absl::StrCat(pool.labelled_images(), " in ",
                                                         pool.classes(), " classes")
                                          : ""},
          {"Formats", counts(pool.formats())},
          {"Policy", PolicyText(pool.policy())},
          {"Refused", counts(pool.refused())},
          {"Quarantined", pool.quarantined() > 0
                              ? absl::StrCat(pool.quarantined(), "; `seer pool quarantine ",
                                             PoolId(pool.name()), "` lists them")
                              : ""},
          {"Shards", absl::StrCat(pool.shards())},
          {"Created", FormatTime(pool.create_time())},
          {"Updated", FormatTime(pool.update_time())},
          {"URI", pool.uri()}};
}

struct IngestOptions {
  std::string pool, part;
  std::vector<std::string> sources;
  bool labels = false;
};

int Ingest(Session& session, const IngestOptions& options) {
  v1::IngestPoolRequest request;
  Part part;
  if (!options.part.empty()) {
    const auto parsed = ParsePart(options.part);
    if (!parsed.ok()) return Fail(parsed.status());
    part = *parsed;
  }
  request.set_part(part.number);
  request.set_parts(part.of);
  request.set_name(PoolName(options.pool));
  for (const std::string& source : options.sources) request.add_sources(SourcePath(source));
  request.set_labels_from_folders(options.labels);
  request.set_request_id(NewRequestId());
  return FollowFill(session, options.pool, /*dry_run=*/false,
                    [&](v1::Pools::Stub& stub, grpc::ClientContext& context) {
                      return stub.IngestPool(&context, request);
                    });
}

int Create(Session& session, v1::CreatePoolRequest& request, bool if_absent) {
  const auto channel = session.DataService();
  if (!channel.ok()) return Fail(channel.status());
  const auto stub = v1::Pools::NewStub(*channel);
  request.set_request_id(NewRequestId());
  v1::Pool pool;
  const absl::Status status = session.Call("the data service", [&](grpc::ClientContext& context) {
    return FromGrpc(stub->CreatePool(&context, request, &pool));
  });
  if (if_absent && HasReason(status, reason::kPoolExists)) return kExitOk;
  if (!status.ok()) return Fail(status);
  PrintOne(session.form, pool, {{"Pool", PoolId(pool.name())}, {"URI", pool.uri()}});
  return kExitOk;
}

int Describe(Session& session, const std::string& name) {
  const auto channel = session.DataService();
  if (!channel.ok()) return Fail(channel.status());
  const auto stub = v1::Pools::NewStub(*channel);
  v1::GetPoolRequest request;
  request.set_name(PoolName(name));
  v1::Pool pool;
  const absl::Status status = session.Call("the data service", [&](grpc::ClientContext& context) {
    return FromGrpc(stub->GetPool(&context, request, &pool));
  });
  if (!status.ok()) return Fail(status);
  PrintOne(session.form, pool, Description(pool));
  return kExitOk;
}

int List(Session& session) {
  const auto channel = session.DataService();
  if (!channel.ok()) return Fail(channel.status());
  const auto stub = v1::Pools::NewStub(*channel);
  v1::ListPoolsRequest request;
  const auto pools =
      FetchPages<v1::Pool>(session, "the data service", *stub, &v1::Pools::Stub::ListPools, request,
                           &v1::ListPoolsResponse::pools);
  if (!pools.ok()) return Fail(pools.status());
  std::vector<const Message*> items;
  for (const auto& pool : *pools) items.push_back(&pool);
  PrintList(session.form, items,
            {{"NAME", [](const Message& m) { return PoolId(As(m).name()); }},
             {"GENERATION", [](const Message& m) { return absl::StrCat(As(m).generation()); }},
             {"IMAGES", [](const Message& m) { return absl::StrCat(As(m).images()); }},
             {"SIZE", [](const Message& m) { return FormatBytes(As(m).size_bytes()); }},
             {"UPDATED", [](const Message& m) { return FormatAge(As(m).update_time()); }},
             {"URI", [](const Message& m) { return As(m).uri(); }, true}});
  return kExitOk;
}

int Quarantine(Session& session, const std::string& name) {
  const auto channel = session.DataService();
  if (!channel.ok()) return Fail(channel.status());
  const auto stub = v1::Pools::NewStub(*channel);
  v1::ListQuarantineRequest request;
  request.set_name(PoolName(name));
  const auto images = FetchPages<v1::QuarantinedImage>(session, "the data service", *stub,
                                                       &v1::Pools::Stub::ListQuarantine, request,
                                                       &v1::ListQuarantineResponse::images);
  if (!images.ok()) return Fail(images.status());
  const auto as = [](const Message& m) -> const v1::QuarantinedImage& {
    return static_cast<const v1::QuarantinedImage&>(m);
  };
  std::vector<const Message*> items;
  for (const auto& image : *images) items.push_back(&image);
  PrintList(session.form, items,
            {{"SOURCE", [&](const Message& m) { return as(m).source(); }},
             {"REASON", [&](const Message& m) { return as(m).reason(); }},
             {"MESSAGE", [&](const Message& m) { return as(m).message(); }}});
  return kExitOk;
}

}  // namespace

std::string PoolId(const std::string& pool) {
  return std::string(absl::StripPrefix(pool, "pools/"));
}

std::string PoolName(const std::string& pool) { return absl::StrCat("pools/", PoolId(pool)); }

std::string SourcePath(const std::string& source) {
  return absl::StrContains(source, "://")
             ? source
             : std::filesystem::absolute(source).lexically_normal().string();
}

int FollowFill(Session& session, const std::string& pool, bool dry_run,
               const std::function<FillStream(v1::Pools::Stub&, grpc::ClientContext&)>& start) {
  const auto channel = session.DataService();
  if (!channel.ok()) return Fail(channel.status());
  const auto stub = v1::Pools::NewStub(*channel);
  const bool terminal = IsTerminal(STDERR_FILENO);
  const absl::Duration begun = Clock::Real().Steady();
  absl::Duration printed = begun;
  RateMeter meter;
  grpc::ClientContext context;
  Interrupt::Scope scope(*session.interrupt, context);
  const auto stream = start(*stub, context);
  v1::IngestProgress progress, last;
  while (stream->Read(&progress)) {
    last = progress;
    const absl::Duration now = Clock::Real().Steady();
    meter.Add(now, progress.images_seen());
    if (!terminal && now - printed < absl::Seconds(10)) continue;
    printed = now;
    const double rate = meter.PerSecond();
    const std::string total =
        progress.images_total() > 0 ? absl::StrFormat("/%d", progress.images_total()) : "";
    const double left = static_cast<double>(progress.images_total() - progress.images_seen());
    const std::string eta = progress.images_total() > 0 && rate > 0
                                ? absl::StrCat("  eta ", FormatSeconds(left / rate))
                                : "";
    std::fprintf(stderr, "%s%d%s images  %.0f/s%s%s", terminal ? "\r\033[K" : "",
                 static_cast<int>(progress.images_seen()), total.c_str(), rate, eta.c_str(),
                 terminal ? "" : "\n");
  }
  if (terminal) std::fprintf(stderr, "\r\033[K");
  const absl::Status status = ReachStatus("the data service", FromGrpc(stream->Finish()));
  if (!status.ok() && session.interrupt->caught()) {
    Note(absl::StrCat(
        "interrupted: the pool keeps its newest committed generation, which `seer pool "
        "describe ",
        PoolId(pool), "` shows; the same command again goes on from what is staged"));
    return kExitInterrupted;
  }
  if (!status.ok()) return Fail(status);
  const std::string expired =
      last.images_expired() > 0 ? absl::StrCat(", ", last.images_expired(), " expired") : "";
  Note(absl::StrFormat("%d images seen, %d added, %d quarantined, %d refused%s, %s read in %s%s",
                       last.images_seen(), last.images_added(), last.images_quarantined(),
                       last.images_refused(), expired, FormatBytes(last.bytes_read()),
                       FormatSeconds(absl::ToDoubleSeconds(Clock::Real().Steady() - begun)),
                       dry_run ? "; dry run: nothing was changed" : ""));
  if (last.parts_missing() > 0)
    Note(
        absl::StrCat("this part is staged, and nothing is committed yet; parts that are still to "
                     "come: ",
                     last.parts_missing()));
  PrintOne(session.form, last.pool(), Description(last.pool()));
  return kExitOk;
}

void AddPoolCommands(CLI::App& app, Session& session) {
  CLI::App* noun = app.add_subcommand("pool", "Make, fill and look at image pools");
  noun->require_subcommand(1);
  noun->footer("Example:\n  seer pool list");
  struct CreateOptions {
    v1::CreatePoolRequest request;
    std::string id;
    int max_age_days = 0, min_side = 0, max_side = 0;
    int64_t max_bytes = 0;
    std::vector<std::string> countries, formats, conditions;
    bool public_only = false, if_absent = false;
  };
  auto create = std::make_shared<CreateOptions>();
  CLI::App* making = noun->add_subcommand("create", "Make an empty pool with its policy");
  making->add_option("name", create->id, "a-z, 0-9 and '-'")->required();
  making->add_option("--max-age-days", create->max_age_days, "Refuse images captured longer ago")
      ->check(AtLeast(1));
  making->add_option(
      "--exclude-country", create->countries,
      "Refuse images of this country (ISO 3166; EU: all of the EU and EEA), may be repeated");
  making->add_flag("--public-only", create->public_only, "Refuse what is not known to be public");
  making
      ->add_option("--min-side", create->min_side,
                   "Refuse images with fewer pixels on their shorter side")
      ->check(AtLeast(1));
  making
      ->add_option("--max-side", create->max_side,
                   "Refuse images with more pixels on their longer side")
      ->check(AtLeast(1));
  making->add_option("--max-bytes", create->max_bytes, "Refuse larger image files; 20MiB, 1000000")
      ->transform(CLI::AsSizeValue(false))
      ->check(AtLeast(1));
  making->add_option("--format", create->formats,
                     "Take this format, such as jpeg or tiff, may be repeated; default: all that "
                     "the data service decodes");
  making->add_option("--where", create->conditions,
                     "Refuse what does not fulfil this, or does not say: COLUMN OPERATOR VALUE, "
                     "such as 'width>=256' or 'country in (US,CA)'; may be repeated");
  making->add_flag("--if-absent", create->if_absent, "No error if the pool exists");
  making->footer(
      "Examples:\n  seer pool create photos\n  seer pool create seer-pool --public-only "
      "--exclude-country EU --max-age-days 90\n  seer pool create large-photos --where "
      "'width>=1024' "
      "--where 'country in (US,CA)' --format jpeg");
  making->callback([&session, create] {
    auto& request = create->request;
    request.set_pool_id(create->id);
    request.set_request_id(NewRequestId());
    auto& policy = *request.mutable_policy();
    if (create->max_age_days > 0)
      policy.mutable_max_age()->set_seconds(int64_t{86400} * create->max_age_days);
    for (const std::string& country : create->countries) policy.add_excluded_countries(country);
    policy.set_public_only(create->public_only);
    policy.set_min_side_pixels(create->min_side);
    policy.set_max_side_pixels(create->max_side);
    policy.set_max_bytes(create->max_bytes);
    policy.mutable_formats()->Assign(create->formats.begin(), create->formats.end());
    policy.mutable_predicates()->Assign(create->conditions.begin(), create->conditions.end());
    session.exit_code = Create(session, request, create->if_absent);
  });
  auto ingest = std::make_shared<IngestOptions>();
  CLI::App* filling = noun->add_subcommand("ingest", "Read images into the pool's next generation");
  filling->add_option("pool", ingest->pool, "Name of the pool")->required();
  filling
      ->add_option("sources", ingest->sources,
                   "Folders, image files, tar shards, Parquet files, .txt lists of URLs, or s3://, "
                   "gs:// and "
                   "abfs:// prefixes, as the data service sees them")
      ->required();
  filling->add_flag("--labels-from-folders", ingest->labels, "Sub-folders are classes");
  filling->add_option("--part", ingest->part,
                      "I/N: read part I of N only, so that several data services share the work; "
                      "whoever finds all N done commits");
  filling->footer(
      "Examples:\n  seer pool ingest photos ~/Pictures\n  seer pool ingest cifar shards/*.tar\n  "
      "seer pool ingest digits digits/train --labels-from-folders\n  seer pool ingest web urls.txt "
      "--part 3/16\nKilled or interrupted, the same command goes on where it was.");
  filling->callback([&session, ingest] { session.exit_code = Ingest(session, *ingest); });
  auto name = std::make_shared<std::string>();
  CLI::App* describe = noun->add_subcommand("describe", "Show a pool");
  describe->add_option("pool", *name, "Name of the pool")->required();
  describe->footer("Example:\n  seer pool describe photos");
  describe->callback([&session, name] { session.exit_code = Describe(session, *name); });
  auto of = std::make_shared<std::string>();
  CLI::App* quarantine =
      noun->add_subcommand("quarantine", "List what could not be decoded, and why");
  quarantine->add_option("pool", *of, "Name of the pool")->required();
  quarantine->footer("Example:\n  seer pool quarantine photos");
  quarantine->callback([&session, of] { session.exit_code = Quarantine(session, *of); });
  CLI::App* list = noun->add_subcommand("list", "List pools");
  list->footer("Example:\n  seer pool list");
  list->callback([&session] { session.exit_code = List(session); });
  AddPoolOrder(*noun, session);
  AddPoolRefresh(*noun, session);
  AddPoolGc(*noun, session);
  AddPoolTakedown(*noun, session);
  AddPoolLook(*noun, session);
}

}  // namespace seer::client
