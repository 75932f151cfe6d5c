// seer pool stats, verify and sample: what is in a pool, whether it is sound, what it looks like.
#include <grpcpp/grpcpp.h>

#include <unistd.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/commands/pool.h"
#include "client/contact_sheet.h"
#include "client/exit_code.h"
#include "client/progress.h"
#include "common/base/status_macros.h"
#include "common/flags/number.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"
#include "seer/v1/pool_inspection.grpc.pb.h"

namespace seer::client {
namespace {

using google::protobuf::Message;
using Lines = std::vector<std::pair<std::string, std::string>>;

constexpr absl::Duration kStatsDeadline = absl::Minutes(10);

struct Options {
  std::string pool;
  int64_t generation = 0;
  uint64_t seed = 0;
  std::optional<int64_t> rows, sample, max_findings;
  std::string sheet;
  int count = 64;
  int size = 160;
  CropOptions views;
  bool force = false;
};

template <typename Request>
Request RequestOf(const Options& options) {
  Request request;
  request.set_name(PoolName(options.pool));
  if (options.generation > 0) request.set_generation(options.generation);
  request.set_seed(options.seed);
  return request;
}

std::string Share(int64_t count, int64_t all) {
  return absl::StrFormat("%d  %.1f %%", count,
                         100.0 * static_cast<double>(count) / std::max<double>(1, all));
}

std::string Interrupted() { return "interrupted: nothing of the pool was changed"; }

// A line for each bar; `text`: of an edge.
void AddBars(const google::protobuf::RepeatedPtrField<v1::HistogramBar>& bars,
             const std::string& title, int64_t all, const std::function<std::string(int64_t)>& text,
             Lines& lines) {
  for (const v1::HistogramBar& bar : bars) {
    const std::string range = bar.has_high()
                                  ? absl::StrCat(text(bar.low()), " to ", text(bar.high()))
                                  : absl::StrCat("from ", text(bar.low()));
    lines.push_back({absl::StrCat(title, " ", range), Share(bar.images(), all)});
  }
}

// Largest first.
void AddCounts(const google::protobuf::Map<std::string, int64_t>& counts, const std::string& title,
               int64_t all, Lines& lines) {
  std::vector<std::pair<std::string, int64_t>> sorted(counts.begin(), counts.end());
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    return std::pair(-a.second, a.first) < std::pair(-b.second, b.first);
  });
  for (const auto& [key, count] : sorted)
    lines.push_back({absl::StrCat(title, " ", key), Share(count, all)});
}

Lines StatsLines(const v1::PoolStats& stats) {
  const int64_t read = stats.rows_read();
  const bool whole = read == stats.images();
  Lines lines = {{"Pool", PoolId(stats.name())},
                 {"Generation", absl::StrCat(stats.generation())},
                 {"Images", absl::StrCat(stats.images())},
                 {"Rows read", whole ? "all" : Share(read, stats.images())}};
  AddCounts(stats.formats(), "Format", read, lines);
  const auto number = [](int64_t edge) { return absl::StrCat(edge); };
  AddBars(stats.sides(), "Shorter side, pixels,", read, number, lines);
  AddBars(stats.sizes(), "Size", read, FormatBytes, lines);
  AddBars(stats.age_days(), "Age, days,", read, number, lines);
  if (stats.without_age() > 0) lines.push_back({"Age unknown", Share(stats.without_age(), read)});
  AddCounts(stats.countries(), "Country", read, lines);
  if (stats.other_countries() > 0)
    lines.push_back({"Other countries", Share(stats.other_countries(), read)});
  if (stats.without_country() > 0)
    lines.push_back({"Country unknown", Share(stats.without_country(), read)});
  lines.push_back({"Pairs of equal images",
                   whole ? absl::StrFormat("%.0f", stats.duplicate_pairs())
                         : absl::StrFormat("%.0f, estimated, +- %.0f", stats.duplicate_pairs(),
                                           stats.duplicate_pairs_error())});
  return lines;
}

int Stats(Session& session, const Options& options) {
  auto request = RequestOf<v1::GetPoolStatsRequest>(options);
  if (options.rows) request.set_rows(*options.rows);
  const auto channel = session.DataService();
  if (!channel.ok()) return Fail(channel.status());
  const auto stub = v1::PoolInspection::NewStub(*channel);
  v1::PoolStats stats;
  const absl::Status status = session.Call(
      "the data service",
      [&](grpc::ClientContext& context) {
        return FromGrpc(stub->GetPoolStats(&context, request, &stats));
      },
      kStatsDeadline);
  if (!status.ok()) return Fail(status);
  PrintOne(session.form, stats, StatsLines(stats));
  return kExitOk;
}

const v1::PoolFinding& FindingOf(const Message& m) {
  return static_cast<const v1::PoolFinding&>(m);
}

void PrintFindings(OutputForm form, const std::vector<v1::PoolFinding>& findings) {
  std::vector<const Message*> items;
  for (const v1::PoolFinding& finding : findings) items.push_back(&finding);
  if (form == OutputForm::kName) {  // findings have no name: what is bad is an image or a shard
    for (const v1::PoolFinding& finding : findings)
      std::printf("%s\n", (finding.has_row() ? finding.image_id() : finding.shard()).c_str());
    return;
  }
  if (findings.empty() && (form == OutputForm::kTable || form == OutputForm::kWide)) return;
  PrintList(
      form, items,
      {{"WHAT",
        [](const Message& m) {
          return EnumName(v1::FindingKind_Name(FindingOf(m).kind()), "FINDING_KIND_");
        }},
       {"ROW",
        [](const Message& m) {
          return FindingOf(m).has_row() ? absl::StrCat(FindingOf(m).row()) : "-";
        }},
       {"IMAGE",
        [](const Message& m) { return FindingOf(m).has_row() ? FindingOf(m).image_id() : "-"; }},
       {"SHARD", [](const Message& m) { return FindingOf(m).shard(); }},
       {"SOURCE", [](const Message& m) { return FindingOf(m).source(); }, true},
       {"MESSAGE", [](const Message& m) { return FindingOf(m).message(); }}});
}

int Verify(Session& session, const Options& options) {
  auto request = RequestOf<v1::VerifyPoolRequest>(options);
  if (options.sample) request.set_sample(*options.sample);
  if (options.max_findings) request.set_max_findings(*options.max_findings);
  const auto channel = session.DataService();
  if (!channel.ok()) return Fail(channel.status());
  const auto stub = v1::PoolInspection::NewStub(*channel);
  grpc::ClientContext context;
  Interrupt::Scope scope(*session.interrupt, context);
  const auto stream = stub->VerifyPool(&context, request);
  std::vector<v1::PoolFinding> findings;
  v1::VerifyPoolProgress last;
  ProgressView view;
  for (v1::VerifyPoolProgress progress; stream->Read(&progress);) {
    findings.insert(findings.end(), progress.findings().begin(), progress.findings().end());
    view.ShowText("verifying",
                  absl::StrFormat("%d/%d images, %s read, %d findings", progress.images_checked(),
                                  progress.images_total(), FormatBytes(progress.bytes_read()),
                                  progress.findings_count()));
    last = std::move(progress);
  }
  view.Done();
  const absl::Status status = ReachStatus("the data service", FromGrpc(stream->Finish()));
  PrintFindings(session.form, findings);
  if (!status.ok() && session.interrupt->caught()) {
    Note(Interrupted());
    return kExitInterrupted;
  }
  if (!status.ok()) return Fail(status);
  Note(absl::StrFormat("%d images and %d shards checked, %s read: %s%s", last.images_checked(),
                       last.shards_checked(), FormatBytes(last.bytes_read()),
                       findings.empty() ? "all sound" : absl::StrCat(findings.size(), " findings"),
                       last.stopped_early() ? "; stopped there (--max-findings)" : ""));
  return findings.empty() ? kExitOk : kExitError;
}

// The room that an image takes: its views side by side.
absl::StatusOr<ContactSheet> SheetFor(const v1::SamplePoolRequest& request) {
  int64_t width = -ContactSheet::kGap, height = 0;
  for (const v1::CropRecipe& crop : request.crops()) {
    width += int64_t{crop.views()} * (int64_t{crop.size()} + ContactSheet::kGap);
    height = std::max<int64_t>(height, crop.size());
  }
  if (request.crops().empty()) width = height = request.size();
  // The data service says what is wrong with crops that have no pixels.
  const auto edge = [](int64_t pixels) {
    return static_cast<int>(std::clamp<int64_t>(pixels, 1, int64_t{1} << 20));
  };
  return ContactSheet::Create(request.count(), edge(width), edge(height));
}

absl::StatusOr<v1::SamplePoolRequest> SampleRequest(const Options& options) {
  auto request = RequestOf<v1::SamplePoolRequest>(options);
  request.set_count(options.count);
  request.set_size(options.size);
  SEER_ASSIGN_OR_RETURN(const auto crops, ParseCrops(options.views));
  request.mutable_crops()->Assign(crops.begin(), crops.end());
  return request;
}

void PrintSampled(OutputForm form, const std::vector<v1::SampledImage>& images) {
  if (form == OutputForm::kName) {  // images have no name but their id
    for (const v1::SampledImage& image : images) std::printf("%s\n", image.image_id().c_str());
    return;
  }
  const auto as = [](const Message& m) -> const v1::SampledImage& {
    return static_cast<const v1::SampledImage&>(m);
  };
  std::vector<const Message*> items;
  for (const v1::SampledImage& image : images) items.push_back(&image);
  PrintList(
      form, items,
      {{"ROW", [&](const Message& m) { return absl::StrCat(as(m).row()); }},
       {"IMAGE", [&](const Message& m) { return as(m).image_id(); }},
       {"LABEL",
        [&](const Message& m) { return as(m).has_label() ? absl::StrCat(as(m).label()) : "-"; }},
       {"PIXELS",
        [&](const Message& m) { return absl::StrCat(as(m).width(), "x", as(m).height()); }},
       {"PROBLEM", [&](const Message& m) { return as(m).problem(); }}});
}

int Sample(Session& session, const Options& options) {
  const absl::Status writable = CheckNewFile(options.sheet, options.force, "--sheet");
  if (!writable.ok()) return Fail(writable);
  const auto request = SampleRequest(options);
  if (!request.ok()) return Fail(request.status());
  auto sheet = SheetFor(*request);
  if (!sheet.ok()) return Fail(sheet.status());
  const auto channel = session.DataService();
  if (!channel.ok()) return Fail(channel.status());
  const auto stub = v1::PoolInspection::NewStub(*channel);
  grpc::ClientContext context;
  Interrupt::Scope scope(*session.interrupt, context);
  const auto stream = stub->SamplePool(&context, *request);
  std::vector<v1::SampledImage> images;
  int problems = 0;
  for (v1::SampledImage image;
       static_cast<int>(images.size()) < request->count() && stream->Read(&image);) {
    sheet->Place(static_cast<int>(images.size()), image);
    problems += image.views().empty() ? 1 : 0;
    image.clear_views();  // the pixels are on the sheet
    images.push_back(std::move(image));
  }
  const absl::Status status = ReachStatus("the data service", FromGrpc(stream->Finish()));
  if (!status.ok() && session.interrupt->caught()) {
    Note(Interrupted());
    return kExitInterrupted;
  }
  if (!status.ok()) return Fail(status);
  const absl::Status written = sheet->Write(options.sheet);
  if (!written.ok()) return Fail(written);
  PrintSampled(session.form, images);
  Note(absl::StrCat(options.sheet, ": ", images.size(), " images, ", sheet->width(), "x",
                    sheet->height(), " pixels",
                    problems > 0 ? absl::StrCat("; ", problems, " cannot be shown") : ""));
  return kExitOk;
}

CLI::App* AddVerb(CLI::App& parent, const std::string& name, const std::string& help,
                  const std::shared_ptr<Options>& options) {
  CLI::App* verb = parent.add_subcommand(name, help);
  verb->add_option("pool", options->pool, "Name of the pool")->required();
  verb->add_option("--generation", options->generation, "Of the pool; default: the newest")
      ->check(AtLeast(1));
  return verb;
}

}  // namespace

void AddPoolLook(CLI::App& parent, Session& session) {
  auto stats = std::make_shared<Options>();
  CLI::App* counting = AddVerb(
      parent, "stats", "Count formats, sizes, ages, countries and equal images of a pool", stats);
  counting
      ->add_option("--rows", stats->rows,
                   "Rows of the catalogue to read at least, spread over it; default 4194304")
      ->check(AtLeast(1));
  counting->add_option("--seed", stats->seed, "Chooses the rows")->capture_default_str();
  counting->footer(
      "Examples:\n  seer pool stats photos\n  seer pool stats photos --rows 10000000 -o json");
  counting->callback([&session, stats] { session.exit_code = Stats(session, *stats); });

  auto verify = std::make_shared<Options>();
  CLI::App* checking = AddVerb(
      parent, "verify",
      "Compare the bytes of shards and images with the catalogue; exit code 1 if any differ",
      verify);
  checking
      ->add_option("--sample", verify->sample,
                   "Check so many images only, and no shard as a whole; default: everything")
      ->check(AtLeast(1));
  checking->add_option("--seed", verify->seed, "Chooses the sample")->capture_default_str();
  checking->add_option("--max-findings", verify->max_findings, "Stop after so many; default 1000")
      ->check(AtLeast(1));
  checking->footer(
      "Examples:\n  seer pool verify photos\n  seer pool verify photos --sample 10000 -o jsonl");
  checking->callback([&session, verify] { session.exit_code = Verify(session, *verify); });

  auto sample = std::make_shared<Options>();
  CLI::App* showing = AddVerb(
      parent, "sample", "Put a pool's images, or their crops, side by side into a JPEG", sample);
  showing->add_option("--sheet", sample->sheet, "JPEG file to write")->required();
  showing
      ->add_option("--count", sample->count,
                   "Images: those that a job with this seed begins with; at most 4096")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  showing->add_option("--size", sample->size, "Pixels of an image's longer side")
      ->check(CLI::Range(8, 1024))
      ->capture_default_str();
  AddCropOptions(*showing, sample->views, "show each image as a trunk sees it before photometry");
  showing->add_option("--seed", sample->seed, "The job's seed")->capture_default_str();
  showing->add_flag("--force", sample->force, "Replace the file if it is there");
  showing->footer(
      "Examples:\n  seer pool sample photos --sheet photos.jpg\n  seer pool sample photos --sheet "
      "crops.jpg --count 16 --crops 2x160,4x96 --seed 7");
  showing->callback([&session, sample] { session.exit_code = Sample(session, *sample); });
}

}  // namespace seer::client
