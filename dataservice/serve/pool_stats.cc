#include "dataservice/serve/pool_stats.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "common/base/status_macros.h"
#include "dataservice/order/sample_order.h"
#include "dataservice/pool/catalogue.h"

namespace seer::dataservice {
namespace {

constexpr size_t kMostCountries = 1000;  // different ones that are counted by name

// Counts of values between ascending edges; below the first edge counts as the first bar.
class Histogram {
 public:
  explicit Histogram(std::vector<int64_t> edges)
      : edges_(std::move(edges)), counts_(edges_.size(), 0) {}

  void Add(int64_t value) {
    const auto above = std::upper_bound(edges_.begin(), edges_.end(), value);
    ++counts_[static_cast<size_t>(std::max<std::ptrdiff_t>(above - edges_.begin(), 1)) - 1];
  }
  // Without the empty bars at either end.
  void To(google::protobuf::RepeatedPtrField<v1::HistogramBar>& bars) const {
    size_t first = 0, last = counts_.size();
    while (first < last && counts_[first] == 0) ++first;
    while (last > first && counts_[last - 1] == 0) --last;
    for (size_t i = first; i < last; ++i) {
      v1::HistogramBar& bar = *bars.Add();
      bar.set_low(edges_[i]);
      if (i + 1 < edges_.size()) bar.set_high(edges_[i + 1]);
      bar.set_images(counts_[i]);
    }
  }

 private:
  const std::vector<int64_t> edges_;
  std::vector<int64_t> counts_;
};

// A row group of the generation.
struct Group {
  size_t file = 0;
  int number = 0;
};

std::vector<Group> GroupsOf(const Manifest& manifest) {
  std::vector<Group> groups;
  for (size_t file = 0; file < manifest.files.size(); ++file) {
    const int64_t count = (manifest.files[file].rows + ParquetBuilder::kRowGroupRows - 1) /
                          ParquetBuilder::kRowGroupRows;
    for (int number = 0; number < static_cast<int>(count); ++number)
      groups.push_back({file, number});
  }
  return groups;
}

// Pairs of equal ids among rows of the same group and of different ones.
struct Pairs {
  double within = 0, across = 0;
};

struct SeenId {
  uint64_t id = 0;  // its first bytes: of 2^26 ids two are alike by chance once in 8,000 calls
  uint32_t group = 0;
  friend bool operator<(const SeenId& a, const SeenId& b) {
    return std::pair(a.id, a.group) < std::pair(b.id, b.group);
  }
};

Pairs CountPairs(std::vector<SeenId>& seen) {
  std::sort(seen.begin(), seen.end());
  Pairs pairs;
  const auto of = [](size_t count) { return static_cast<double>(count) * (count - 1.0) / 2; };
  for (size_t begin = 0, end = 0; begin < seen.size(); begin = end) {
    double within = 0;
    while (end < seen.size() && seen[end].id == seen[begin].id) {
      const size_t from = end;
      while (end < seen.size() && seen[end].id == seen[from].id &&
             seen[end].group == seen[from].group) {
        ++end;
      }
      within += of(end - from);
    }
    pairs.within += within;
    pairs.across += of(end - begin) - within;
  }
  return pairs;
}

// Horvitz and Thompson's estimate of the pairs in all of `total` groups out of `read` of them: each
// pair counts by the inverse of the probability that its groups are read. The error takes the pairs
// that were found for independent.
void EstimatePairs(const Pairs& pairs, size_t read, size_t total, v1::PoolStats& stats) {
  if (read == total) {
    stats.set_duplicate_pairs(pairs.within + pairs.across);
    return;
  }
  const auto m = static_cast<double>(read), all = static_cast<double>(total);
  const double within = all / m;
  const double across = read > 1 ? all * (all - 1) / (m * (m - 1)) : 0;
  stats.set_duplicate_pairs(pairs.within * within + pairs.across * across);
  stats.set_duplicate_pairs_error(std::hypot(std::sqrt(std::max(pairs.within, 1.0)) * within,
                                             std::sqrt(std::max(pairs.across, 1.0)) * across));
}

class Counter {
 public:
  Counter(v1::PoolStats& stats, absl::Time now) : stats_(stats), now_(now) {}

  void Add(const CatalogueRow& row) {
    ++formats_[row.format];
    sides_.Add(std::min(row.width, row.height));
    sizes_.Add(row.size);
    if (row.captured_at) {
      ages_.Add((now_ - *row.captured_at) / absl::Hours(24));
    } else {
      stats_.set_without_age(stats_.without_age() + 1);
    }
    if (row.country.empty()) {
      stats_.set_without_country(stats_.without_country() + 1);
    } else if (countries_.size() < kMostCountries || countries_.count(row.country) == 1) {
      ++countries_[row.country];
    } else {
      stats_.set_other_countries(stats_.other_countries() + 1);
    }
  }

  void Finish() {
    for (const auto& [format, count] : formats_) (*stats_.mutable_formats())[format] = count;
    for (const auto& [country, count] : countries_) (*stats_.mutable_countries())[country] = count;
    sides_.To(*stats_.mutable_sides());
    sizes_.To(*stats_.mutable_sizes());
    ages_.To(*stats_.mutable_age_days());
  }

 private:
  v1::PoolStats& stats_;
  const absl::Time now_;
  std::map<std::string, int64_t> formats_, countries_;
  Histogram sides_{{0, 32, 64, 128, 224, 256, 384, 512, 768, 1024, 2048, 4096, 8192}};
  Histogram sizes_{
      {0, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20}};
  Histogram ages_{{0, 7, 30, 90, 180, 365, 730, 1825, 3650}};
};

}  // namespace

absl::StatusOr<v1::PoolStats> ReadPoolStats(ObjectStore& objects, const std::string& pool,
                                            const Manifest& manifest, int64_t rows, uint64_t seed,
                                            absl::Time now, absl::FunctionRef<bool()> cancelled) {
  const std::vector<Group> groups = GroupsOf(manifest);
  const auto total = static_cast<int64_t>(groups.size());
  const int64_t read = manifest.images <= rows
                           ? total
                           : std::min(total, (rows + ParquetBuilder::kRowGroupRows - 1) /
                                                 ParquetBuilder::kRowGroupRows);
  SEER_ASSIGN_OR_RETURN(const SampleOrder order, SampleOrder::Create(manifest.generation, total,
                                                                     seed, OrderKind::kShuffled));
  std::vector<int64_t> chosen;
  for (int64_t i = 0; i < read; ++i) chosen.push_back(order.RowOf(i));
  std::sort(chosen.begin(), chosen.end());

  v1::PoolStats stats;
  stats.set_name(absl::StrCat("pools/", pool));
  stats.set_generation(manifest.generation);
  stats.set_images(manifest.images);
  Counter counter(stats, now);
  std::vector<SeenId> seen;
  for (const int64_t group : chosen) {
    if (cancelled()) return absl::CancelledError("the caller went away");
    const auto& [file, number] = groups[static_cast<size_t>(group)];
    const std::string key = CatalogueKey(pool, manifest.files[file]);
    const auto visit = [&](const CatalogueRow& row) {
      counter.Add(row);
      SeenId& id = seen.emplace_back();
      std::memcpy(&id.id, row.id.data(), sizeof(id.id));
      id.group = static_cast<uint32_t>(group);
      return absl::OkStatus();
    };
    SEER_RETURN_IF_ERROR(ForEachRow(objects, key, visit, number));
  }
  counter.Finish();
  stats.set_rows_read(static_cast<int64_t>(seen.size()));
  EstimatePairs(CountPairs(seen), chosen.size(), groups.size(), stats);
  return stats;
}

}  // namespace seer::dataservice
