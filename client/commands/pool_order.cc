// seer pool order: which images a step reads, and where they are cropped.
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "client/commands/pool.h"
#include "client/exit_code.h"
#include "client/paging.h"
#include "common/base/status_macros.h"
#include "common/flags/choice.h"
#include "common/flags/number.h"
#include "seer/v1/pools.grpc.pb.h"

namespace seer::client {
namespace {

using google::protobuf::Message;

struct Options {
  std::string pool;
  int64_t generation = 0;
  uint64_t seed = 0;
  int64_t step = 0;
  int64_t global_batch = 0;
  int world_size = 1;
  std::optional<int> rank;
  std::string sampling = "epochs";
  CropOptions views;
};

absl::StatusOr<v1::ListSamplesRequest> ToRequest(const Options& options) {
  v1::ListSamplesRequest request;
  request.set_name(absl::StrCat("pools/", absl::StripPrefix(options.pool, "pools/")));
  if (options.generation > 0) request.set_generation(options.generation);
  request.set_seed(options.seed);
  request.set_step(options.step);
  request.set_global_batch(options.global_batch);
  request.set_world_size(options.world_size);
  if (options.rank) request.set_rank(*options.rank);
  request.set_order(options.sampling == "epochs"        ? v1::SAMPLE_ORDER_SHUFFLED
                    : options.sampling == "replacement" ? v1::SAMPLE_ORDER_REPLACEMENT
                                                        : v1::SAMPLE_ORDER_SEQUENTIAL);
  SEER_ASSIGN_OR_RETURN(const auto crops, ParseCrops(options.views));
  request.mutable_crops()->Assign(crops.begin(), crops.end());
  request.set_page_size(1000);
  return request;
}

std::string BoxText(const v1::ViewBox& view) {
  return absl::StrFormat("%d:%gx%g+%g+%g%s%s", view.size(), view.width(), view.height(), view.x(),
                         view.y(), view.flip() ? " flipped" : "",
                         view.interpolation() == v1::INTERPOLATION_BICUBIC ? " bicubic" : "");
}

std::vector<Column> Columns(bool views) {
  const auto as = [](const Message& m) -> const v1::Sample& {
    return static_cast<const v1::Sample&>(m);
  };
  std::vector<Column> columns = {
      {"SAMPLE", [as](const Message& m) { return absl::StrCat(as(m).sample_index()); }},
      {"RANK", [as](const Message& m) { return absl::StrCat(as(m).rank()); }},
      {"ROW", [as](const Message& m) { return absl::StrCat(as(m).row()); }},
      {"IMAGE", [as](const Message& m) { return as(m).image_id(); }},
      {"LABEL",
       [as](const Message& m) { return as(m).has_label() ? absl::StrCat(as(m).label()) : "-"; }},
      {"SHARD", [as](const Message& m) { return as(m).shard(); }, true},
      {"OFFSET", [as](const Message& m) { return absl::StrCat(as(m).offset()); }, true},
      {"SIZE", [as](const Message& m) { return absl::StrCat(as(m).size_bytes()); }, true},
      {"PIXELS",
       [as](const Message& m) { return absl::StrCat(as(m).width(), "x", as(m).height()); }}};
  if (views) {
    columns.push_back({"VIEWS", [as](const Message& m) {
                         std::vector<std::string> boxes;
                         for (const v1::ViewBox& view : as(m).views())
                           boxes.push_back(BoxText(view));
                         return absl::StrJoin(boxes, ", ");
                       }});
  }
  return columns;
}

int Order(Session& session, const Options& options) {
  auto request = ToRequest(options);
  if (!request.ok()) return Fail(request.status());
  const auto channel = session.DataService();
  if (!channel.ok()) return Fail(channel.status());
  const auto stub = v1::Pools::NewStub(*channel);
  const auto samples =
      FetchPages<v1::Sample>(session, "the data service", *stub, &v1::Pools::Stub::ListSamples,
                             *request, &v1::ListSamplesResponse::samples);
  if (!samples.ok()) return Fail(samples.status());
  if (session.form == OutputForm::kName) {  // samples have no name of their own
    for (const v1::Sample& sample : *samples) std::printf("%s\n", sample.image_id().c_str());
    return kExitOk;
  }
  std::vector<const Message*> items;
  for (const v1::Sample& sample : *samples) items.push_back(&sample);
  PrintList(session.form, items, Columns(!options.views.crops.empty()));
  return kExitOk;
}

}  // namespace

void AddPoolOrder(CLI::App& parent, Session& session) {
  auto options = std::make_shared<Options>();
  CLI::App* verb =
      parent.add_subcommand("order", "Show which images a step reads, and where they are cropped");
  verb->add_option("pool", options->pool, "Name of the pool")->required();
  verb->add_option("--seed", options->seed, "The job's seed")->capture_default_str();
  verb->add_option("--step", options->step, "From 0")->required()->check(AtLeast(0));
  verb->add_option("--global-batch", options->global_batch, "Images a step over all ranks")
      ->required()
      ->check(AtLeast(1));
  verb->add_option("--generation", options->generation, "Of the pool; default: the newest")
      ->check(AtLeast(1));
  verb->add_option("--world-size", options->world_size, "Ranks that share the global batch")
      ->check(AtLeast(1))
      ->capture_default_str();
  verb->add_option("--rank", options->rank, "Its samples only; default: those of all ranks");
  AddWord(*verb, "--sampling", options->sampling, {"epochs", "replacement", "sequential"},
          "As the job's data.sampling; sequential: as an evaluation reads the pool");
  AddCropOptions(*verb, options->views,
                 "show each view as SIZE:WIDTHxHEIGHT+X+Y in pixels of the image");
  verb->footer(
      "Examples:\n  seer pool order photos --seed 7 --step 100000 --global-batch 256\n  seer pool "
      "order photos --step 3 --global-batch 256 --world-size 8 --rank 2 --crops 2x160,4x96 -o "
      "json");
  verb->callback([&session, options] { session.exit_code = Order(session, *options); });
}

}  // namespace seer::client
