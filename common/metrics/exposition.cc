#include "common/metrics/exposition.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace seer {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

// "name{label="value",...} number".
struct Sample {
  std::string name;
  MetricLabels labels;
  double value = 0;
};

// Takes `"..."` with its escapes off the front of `rest`.
std::optional<std::string> TakeQuoted(absl::string_view& rest) {
  if (!absl::ConsumePrefix(&rest, "\"")) return std::nullopt;
  std::string text;
  for (size_t i = 0; i < rest.size(); ++i) {
    if (rest[i] == '"') {
      rest.remove_prefix(i + 1);
      return text;
    }
    if (rest[i] == '\\' && ++i < rest.size() && rest[i] == 'n')
      text.push_back('\n');
    else if (i < rest.size())
      text.push_back(rest[i]);
  }
  return std::nullopt;
}

std::optional<Sample> ReadSample(absl::string_view line) {
  Sample sample;
  const size_t end = line.find_first_of("{ ");
  if (end == absl::string_view::npos || end == 0) return std::nullopt;
  sample.name = std::string(line.substr(0, end));
  line.remove_prefix(end);
  if (absl::ConsumePrefix(&line, "{")) {
    while (!absl::ConsumePrefix(&line, "}")) {
      const size_t equals = line.find('=');
      if (equals == absl::string_view::npos) return std::nullopt;
      std::string name(line.substr(0, equals));
      line.remove_prefix(equals + 1);
      std::optional<std::string> value = TakeQuoted(line);
      if (!value) return std::nullopt;
      sample.labels[std::move(name)] = *std::move(value);
      absl::ConsumePrefix(&line, ",");
    }
  }
  if (!absl::SimpleAtod(line, &sample.value)) return std::nullopt;
  return sample;
}

std::optional<MetricType> TypeOf(absl::string_view name) {
  if (name == "counter") return MetricType::Counter;
  if (name == "gauge") return MetricType::Gauge;
  if (name == "histogram") return MetricType::Histogram;
  return std::nullopt;
}

ClientMetric WithLabels(const MetricLabels& labels) {
  ClientMetric metric;
  for (const auto& [name, value] : labels) metric.label.push_back({name, value});
  return metric;
}

// One family while its lines are read.
class Reader {
 public:
  Reader(std::string name, std::string help, MetricType type, const MetricLabels& more) {
    family_.name = std::move(name);
    family_.help = std::move(help);
    family_.type = type;
    more_ = &more;
  }

  void Add(Sample sample) {
    sample.labels.insert(more_->begin(), more_->end());
    if (family_.type == MetricType::Histogram) return AddPart(std::move(sample));
    if (sample.name != family_.name) return;
    ClientMetric& metric = family_.metric.emplace_back(WithLabels(sample.labels));
    (family_.type == MetricType::Counter ? metric.counter.value : metric.gauge.value) =
        sample.value;
  }

  MetricFamily Take() {
    for (auto& [labels, metric] : histograms_) family_.metric.push_back(std::move(metric));
    return std::move(family_);
  }

 private:
  // A line of a histogram: its series are told apart by all labels but "le".
  void AddPart(Sample sample) {
    absl::string_view part = sample.name;
    if (!absl::ConsumePrefix(&part, family_.name)) return;
    const auto le = sample.labels.extract("le");
    auto at = histograms_.find(sample.labels);
    if (at == histograms_.end())
      at = histograms_.emplace(sample.labels, WithLabels(sample.labels)).first;
    ClientMetric::Histogram& histogram = at->second.histogram;
    if (part == "_sum") histogram.sample_sum = sample.value;
    if (part == "_count") histogram.sample_count = static_cast<uint64_t>(sample.value);
    ClientMetric::Bucket bucket;
    bucket.cumulative_count = static_cast<uint64_t>(sample.value);
    if (part == "_bucket" && !le.empty() && absl::SimpleAtod(le.mapped(), &bucket.upper_bound))
      histogram.bucket.push_back(bucket);
  }

  MetricFamily family_;
  std::map<MetricLabels, ClientMetric> histograms_;
  const MetricLabels* more_;
};

}  // namespace

std::vector<MetricFamily> ReadExposition(const MetricsText& text) {
  std::vector<MetricFamily> families;
  std::optional<Reader> reader;
  std::string help;
  const auto finish = [&] {
    if (reader) families.push_back(reader->Take());
    reader.reset();
  };
  for (absl::string_view line : absl::StrSplit(text.text, '\n', absl::SkipEmpty())) {
    if (absl::ConsumePrefix(&line, "# HELP ")) {
      finish();
      const std::pair<absl::string_view, absl::string_view> parts =
          absl::StrSplit(line, absl::MaxSplits(' ', 1));
      help = std::string(parts.second);
    } else if (absl::ConsumePrefix(&line, "# TYPE ")) {
      finish();
      const std::pair<std::string, absl::string_view> parts =
          absl::StrSplit(line, absl::MaxSplits(' ', 1));
      if (const auto type = TypeOf(parts.second))
        reader.emplace(parts.first, std::exchange(help, {}), *type, text.labels);
    } else if (!absl::StartsWith(line, "#") && reader) {
      if (std::optional<Sample> sample = ReadSample(line)) reader->Add(*std::move(sample));
    }
  }
  finish();
  return families;
}

void MergeFamilies(std::vector<MetricFamily> more, std::vector<MetricFamily>& families) {
  for (MetricFamily& family : more) {
    const auto same = std::find_if(families.begin(), families.end(), [&](const MetricFamily& own) {
      return own.name == family.name && own.type == family.type;
    });
    if (same == families.end()) {
      families.push_back(std::move(family));
    } else {
      std::move(family.metric.begin(), family.metric.end(), std::back_inserter(same->metric));
    }
  }
}

}  // namespace seer
