// The pure part of the data service: which image, which box. What is golden here is the order of
// every job that was ever run: it must not change without a new name for the order.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/philox.h"
#include "dataservice/order/crops.h"
#include "dataservice/order/sample_order.h"
#include "dataservice/order/substitute.h"
#include "tests/support/status_matchers.h"

namespace seer::dataservice {
namespace {

using testing::FailsWith;

SampleOrder Order(int64_t generation, int64_t images, uint64_t seed,
                  OrderKind kind = OrderKind::kShuffled, OrderShape shape = {}) {
  auto order = SampleOrder::Create(generation, images, seed, kind, shape);
  EXPECT_OK(order);
  return *order;
}

std::vector<int64_t> Epoch(const SampleOrder& order, int64_t epoch) {
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < order.images(); ++i)
    rows.push_back(order.RowOf(epoch * order.images() + i));
  return rows;
}

TEST(SampleOrder, EveryEpochHoldsEveryRowOnce) {
  for (const int64_t images : {1, 2, 3, 4, 5, 7, 64, 65, 1000, 4097}) {
    const SampleOrder order = Order(3, images, 11);
    std::vector<int64_t> all(static_cast<size_t>(images));
    std::iota(all.begin(), all.end(), 0);
    for (const int64_t epoch : {int64_t{0}, int64_t{1}, int64_t{2}, int64_t{1} << 33}) {
      auto rows = Epoch(order, epoch);
      std::sort(rows.begin(), rows.end());
      EXPECT_EQ(rows, all) << images << " images, epoch " << epoch;
      EXPECT_EQ(order.EpochOf(epoch * images + images - 1), epoch);
    }
  }
}

TEST(SampleOrder, DiffersByEpochSeedAndGeneration) {
  for (const int64_t images : {100, 1000}) {
    const auto base = Epoch(Order(1, images, 5), 0);
    const auto same = [&](const std::vector<int64_t>& other) {
      int64_t count = 0;
      for (size_t i = 0; i < base.size(); ++i) count += base[i] == other[i] ? 1 : 0;
      return count;
    };
    // Two random permutations agree at one place on average; ten has a probability of 1e-7.
    EXPECT_LT(same(Epoch(Order(1, images, 5), 1)), 10);
    EXPECT_LT(same(Epoch(Order(1, images, 6), 0)), 10);
    EXPECT_LT(same(Epoch(Order(2, images, 5), 0)), 10);
    // An epoch beyond 32 bits is not one of the first.
    EXPECT_LT(same(Epoch(Order(1, images, 5), int64_t{1} << 32)), 10);
    EXPECT_EQ(base, Epoch(Order(1, images, 5), 0));
  }
}

TEST(SampleOrder, SmallPoolsGetEveryOrderAboutAsOften) {
  // 3 images have 6 orders; over 6000 epochs each comes 1000 times, standard deviation 29.
  const SampleOrder order = Order(1, 3, 17);
  std::map<std::vector<int64_t>, int> seen;
  for (int64_t epoch = 0; epoch < 6000; ++epoch) ++seen[Epoch(order, epoch)];
  EXPECT_EQ(seen.size(), 6u);
  for (const auto& [rows, count] : seen) EXPECT_NEAR(count, 1000, 5 * 29);
}

TEST(SampleOrder, AShuffleHasNoDrift) {
  // Of a uniform permutation of n the correlation of place and row is normal with deviation
  // 1 / sqrt(n - 1).
  const SampleOrder order = Order(1, 10000, 23);
  const auto rows = Epoch(order, 0);
  double sum = 0;
  for (size_t i = 0; i < rows.size(); ++i)
    sum += (static_cast<double>(i) - 4999.5) * (static_cast<double>(rows[i]) - 4999.5);
  const double variance = (10000.0 * 10000.0 - 1) / 12;
  EXPECT_LT(std::abs(sum / (10000 * variance)), 4 / std::sqrt(9999.0));
}

TEST(SampleOrder, UnshuffledIsTheCataloguesOrder) {
  EXPECT_EQ(Epoch(Order(1, 5, 9, OrderKind::kSequential), 0),
            (std::vector<int64_t>{0, 1, 2, 3, 4}));
  EXPECT_EQ(Epoch(Order(1, 5, 9, OrderKind::kSequential), 3),
            (std::vector<int64_t>{0, 1, 2, 3, 4}));
}

TEST(SampleOrder, IsTheOrderOfEveryEarlierBuild) {
  const auto rows = [](int64_t generation, int64_t images, uint64_t seed,
                       std::vector<int64_t> indices) {
    const SampleOrder order = Order(generation, images, seed);
    for (int64_t& index : indices) index = order.RowOf(index);
    return indices;
  };
  const std::vector<int64_t> first = {0, 1, 2, 3, 4, 5, 6, 7, 999, 1000, 123456789};
  EXPECT_EQ(rows(1, 1000, 7, first),
            (std::vector<int64_t>{486, 842, 389, 436, 419, 92, 629, 432, 868, 89, 645}));
  EXPECT_EQ(rows(2, 1000, 7, first),
            (std::vector<int64_t>{966, 823, 628, 25, 517, 831, 757, 680, 525, 63, 846}));
  EXPECT_EQ(rows(1, 1000, 8, first),
            (std::vector<int64_t>{274, 804, 622, 637, 736, 272, 212, 772, 261, 530, 831}));
  EXPECT_EQ(rows(1, 7, 7, first), (std::vector<int64_t>{5, 6, 2, 1, 4, 0, 3, 3, 3, 4, 3}));
  EXPECT_EQ(rows(90, int64_t{1} << 40, ~uint64_t{0}, first),
            (std::vector<int64_t>{637873153732, 151170803715, 998025464322, 560803872601,
                                  345638033553, 519644467135, 997745854877, 51321262418,
                                  615603194221, 574988493125, 611761434754}));
}

// Small blocks and windows, so that every way a size can fall comes: full and short last blocks,
// the short one in the first, a middle or the last group, one group or many.
TEST(SampleOrder, LocalShufflesHoldEveryRowOnceAtEverySizeAndInvert) {
  for (const OrderShape shape :
       {OrderShape{4, 3}, OrderShape{1, 7}, OrderShape{7, 1}, OrderShape{16, 8}}) {
    for (int64_t images = 1; images <= 5000; images += images < 300 ? 1 : 97) {
      const SampleOrder order = Order(1, images, 3, OrderKind::kShuffled, shape);
      for (const int64_t epoch : {int64_t{0}, int64_t{1} << 33}) {
        std::vector<bool> seen(static_cast<size_t>(images));
        for (int64_t i = epoch * images; i < (epoch + 1) * images; ++i) {
          const int64_t row = order.RowOf(i);
          ASSERT_TRUE(row >= 0 && row < images) << row << " of " << images;
          ASSERT_FALSE(seen[static_cast<size_t>(row)])
              << "row " << row << " of " << images << " twice, blocks of " << shape.block_rows;
          seen[static_cast<size_t>(row)] = true;
          ASSERT_EQ(order.SampleIndexOf(row, epoch), i);
        }
      }
    }
  }
}

TEST(SampleOrder, ABillionRowsInvert) {
  for (const int64_t images : {int64_t{1'000'000'000}, int64_t{999'999'999}, (int64_t{1} << 40) + 3,
                               int64_t{262'145}, int64_t{524'289}}) {
    const SampleOrder order = Order(9, images, 5);
    Philox random(1, RandomPurpose::kTest, static_cast<uint64_t>(images));
    for (int i = 0; i < 2000; ++i) {
      const auto index = static_cast<int64_t>(random.Below(static_cast<uint64_t>(3 * images)));
      const int64_t row = order.RowOf(index);
      ASSERT_TRUE(row >= 0 && row < images);
      ASSERT_EQ(order.SampleIndexOf(row, order.EpochOf(index)), index);
    }
    for (const int64_t row : {int64_t{0}, images - 1})
      EXPECT_EQ(order.RowOf(order.SampleIndexOf(row, 1)), row);
  }
}

TEST(SampleOrder, SaysWhichSamplesShowARow) {
  const auto by_search = [](const SampleOrder& order, int64_t row, int64_t first, int64_t end) {
    std::vector<int64_t> indices;
    for (int64_t i = first; i < end; ++i)
      if (order.RowOf(i) == row) indices.push_back(i);
    return indices;
  };
  for (const OrderKind kind :
       {OrderKind::kShuffled, OrderKind::kSequential, OrderKind::kReplacement}) {
    const SampleOrder order = Order(1, 50, 3, kind, {4, 3});
    for (const int64_t row : {0, 17, 49}) {
      for (const auto& [first, end] : {std::pair(0, 500), std::pair(20, 75), std::pair(30, 30)})
        EXPECT_EQ(order.SampleIndicesOf(row, first, end), by_search(order, row, first, end));
    }
  }
  EXPECT_EQ(Order(1, 50, 3).SampleIndicesOf(7, 0, 500).size(), 10u);
}

TEST(SampleOrder, AStepReadsFewBlocksOfTheIndex) {
  constexpr int64_t kImages = 1'000'000'000, kBatch = 8704;
  const SampleOrder order = Order(1, kImages, 7);
  for (const int64_t step : {int64_t{0}, int64_t{100'000}}) {
    std::set<int64_t> one, window;
    for (int64_t i = step * kBatch; i < (step + 30) * kBatch; ++i) {
      const int64_t block = order.RowOf(i) / OrderShape().block_rows;
      window.insert(block);
      if (i < (step + 1) * kBatch) one.insert(block);
    }
    // A step draws from one window or, across an edge, from two.
    EXPECT_GT(one.size(), 3500u);
    EXPECT_LE(one.size(), 8192u);
    EXPECT_LE(window.size(), 8192u) << "30 steps are less than a window";
    // Blocks from everywhere, not from one place.
    const auto [low, high] = std::minmax_element(one.begin(), one.end());
    EXPECT_LT(*low, kImages / 64 / 100);
    EXPECT_GT(*high, kImages / 64 / 100 * 99);
  }
}

// The worst case for a local shuffle: the catalogue is sorted by class, so that a block is of one
// class. docs/pool_format.md states the ratio.
TEST(SampleOrder, BatchesOfASortedCatalogueAreNearlyThoseOfAFullShuffle) {
  constexpr int64_t kImages = 100'000'000, kClasses = 1000, kBatch = 8704, kBatches = 60;
  const SampleOrder order = Order(1, kImages, 11);
  double squares = 0, means = 0;
  for (int64_t batch = 0; batch < kBatches; ++batch) {
    // Far apart: batches of one window are alike, and would count as one.
    const int64_t first = batch * (kImages / kBatches) / kBatch * kBatch;
    std::vector<int> counts(kClasses);
    double mean_row = 0;
    for (int64_t i = first; i < first + kBatch; ++i) {
      const int64_t row = order.RowOf(i);
      ++counts[static_cast<size_t>(row / (kImages / kClasses))];
      mean_row += static_cast<double>(row) / kBatch / kImages;
    }
    for (const int count : counts) {
      const double off = count - static_cast<double>(kBatch) / kClasses;
      squares += off * off / (kClasses * kBatches);
    }
    means += (mean_row - 0.5) * (mean_row - 0.5) / kBatches;
  }
  // Of a full shuffle counts are hypergeometric.
  const double full = kBatch * (1.0 / kClasses) * (1 - 1.0 / kClasses);
  const double ratio = squares / full;
  // 1 + batch / window_blocks: about 4096 blocks of one class each, of which a batch has 2.1 rows.
  EXPECT_NEAR(ratio, 1 + kBatch / 4096.0, 0.3);
  RecordProperty("variance_ratio", absl::StrCat(ratio));
  // Batches have no drift: the mean of 4096 blocks has deviation 1 / sqrt(12 * 4096).
  EXPECT_LT(std::sqrt(means), 1.5 / std::sqrt(12.0 * 4096));
}

TEST(SampleOrder, DrawsWithReplacementAreUniformAndIndependent) {
  const SampleOrder order = Order(1, 10, 4, OrderKind::kReplacement);
  std::map<int64_t, int> rows;
  int repeats = 0;
  for (int64_t i = 0; i < 20000; ++i) {
    const int64_t row = order.RowOf(i);
    ASSERT_TRUE(row >= 0 && row < 10);
    ++rows[row];
    repeats += row == order.RowOf(i + 1) ? 1 : 0;
  }
  for (const auto& [row, count] : rows) EXPECT_NEAR(count, 2000, 5 * std::sqrt(20000 * 0.09));
  EXPECT_NEAR(repeats, 2000, 5 * std::sqrt(20000 * 0.09));
  // Each part of the key counts.
  for (const auto& other :
       {Order(1, 10, 5, OrderKind::kReplacement), Order(2, 10, 4, OrderKind::kReplacement)}) {
    int same = 0;
    for (int64_t i = 0; i < 1000; ++i) same += order.RowOf(i) == other.RowOf(i) ? 1 : 0;
    EXPECT_NEAR(same, 100, 5 * std::sqrt(1000 * 0.09));
  }
  // No row of a large pool is out of reach.
  const SampleOrder large = Order(1, 3 * (int64_t{1} << 60), 4, OrderKind::kReplacement);
  int thirds[3] = {};
  for (int64_t i = 0; i < 3000; ++i) ++thirds[large.RowOf(i) >> 60];
  for (const int count : thirds) EXPECT_NEAR(count, 1000, 5 * std::sqrt(3000 * 2.0 / 9));
}

TEST(SampleOrder, RefusesWhatCannotBeOrdered) {
  EXPECT_THAT(SampleOrder::Create(4, 0, 1, OrderKind::kShuffled),
              FailsWith(absl::StatusCode::kFailedPrecondition, reason::kPoolEmpty, "generation 4"));
  const auto field = [](const auto& order) {
    EXPECT_THAT(order, FailsWith(absl::StatusCode::kInvalidArgument, reason::kOutOfRange, ""));
    return GetErrorDetail(order.status())->field;
  };
  EXPECT_EQ(field(SampleOrder::Create(1, -1, 1, OrderKind::kShuffled)), "images");
  EXPECT_EQ(field(SampleOrder::Create(1, (int64_t{1} << 62) + 1, 1, OrderKind::kShuffled)),
            "images");
  EXPECT_EQ(field(SampleOrder::Create(-1, 5, 1, OrderKind::kShuffled)), "generation");
  const SampleOrder largest = Order(1, int64_t{1} << 62, 1);
  const int64_t row = largest.RowOf((int64_t{1} << 62) - 1);
  EXPECT_LT(row, int64_t{1} << 62);
  EXPECT_EQ(largest.SampleIndexOf(row, 0), (int64_t{1} << 62) - 1);
}

TEST(SliceOfRank, WorldsPartitionTheSameGlobalBatch) {
  for (const int64_t step : {0, 1, 17}) {
    for (const int world : {1, 2, 4}) {
      int64_t next = step * 24;
      for (int rank = 0; rank < world; ++rank) {
        ASSERT_OK_AND_ASSIGN(const SampleSlice slice, SliceOfRank(step, 24, rank, world));
        EXPECT_EQ(slice, (SampleSlice{next, 24 / world}));
        next += slice.count;
      }
      EXPECT_EQ(next, (step + 1) * 24);
    }
  }
}

TEST(SliceOfRank, NamesTheFieldThatIsWrong) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  const auto field = [](int64_t step, int64_t batch, int rank, int world) {
    const auto slice = SliceOfRank(step, batch, rank, world);
    EXPECT_THAT(slice, FailsWith(absl::StatusCode::kInvalidArgument, reason::kOutOfRange, ""));
    return slice.ok() ? "" : GetErrorDetail(slice.status())->field;
  };
  EXPECT_EQ(field(-1, 8, 0, 1), "step");
  EXPECT_EQ(field(0, 8, 0, 0), "world_size");
  EXPECT_EQ(field(0, 8, -1, 2), "rank");
  EXPECT_EQ(field(0, 8, 2, 2), "rank");
  EXPECT_EQ(field(0, 0, 0, 1), "global_batch");
  EXPECT_EQ(field(0, -8, 0, 2), "global_batch");
  EXPECT_EQ(field(0, 9, 0, 2), "global_batch");
  EXPECT_EQ(field(kMost, 8, 0, 1), "step");
  EXPECT_EQ(field(kMost / 8, 8, 7, 8), "step");
  // The last step that fits: its last index is still below 2^63.
  ASSERT_OK_AND_ASSIGN(const SampleSlice last, SliceOfRank(kMost / 8 - 1, 8, 7, 8));
  EXPECT_GT(last.first, 0);
}

void ExpectInside(const CropBox& box, int64_t width, int64_t height) {
  EXPECT_GE(box.x, 0);
  EXPECT_GE(box.y, 0);
  EXPECT_GE(box.width, 1);
  EXPECT_GE(box.height, 1);
  EXPECT_LE(box.x + box.width, static_cast<double>(width));
  EXPECT_LE(box.y + box.height, static_cast<double>(height));
  for (const double edge : {box.x, box.y, box.width, box.height})
    EXPECT_EQ(edge, std::floor(edge)) << "not whole pixels";
}

TEST(RandomResizedCrop, StaysInsideImagesOfAnyShape) {
  const std::pair<int64_t, int64_t> shapes[] = {
      {1, 1},    {1, 2},  {2, 1},     {1, 10000},  {10000, 1},  {3, 5000},
      {5000, 3}, {7, 11}, {640, 480}, {65500, 12}, {12, 65500}, {30000, 20000}};
  for (const auto& [width, height] : shapes) {
    for (int64_t sample = 0; sample < 200; ++sample) {
      for (const auto& [low, high] : {std::pair(0.14, 1.0), std::pair(0.05, 0.14),
                                      std::pair(1.0, 1.0), std::pair(1e-9, 1e-9)}) {
        SCOPED_TRACE(::testing::Message() << width << "x" << height << " sample " << sample);
        ExpectInside(RandomResizedCrop(3, sample, 0, width, height, low, high, 0.5), width, height);
        if (HasFailure()) return;
      }
    }
  }
}

// The distribution that the header promises, on an image so wide that no try is refused.
TEST(RandomResizedCrop, AreaIsUniformAndRatioLogUniform) {
  constexpr int kDraws = 20000;
  constexpr int64_t kSide = 10000;
  constexpr double kLow = 0.05, kHigh = 0.4;  // any box of this area fits whatever its ratio
  std::vector<double> areas, ratios;
  double x = 0, y = 0;
  int flips = 0;
  for (int64_t i = 0; i < kDraws; ++i) {
    const CropBox box = RandomResizedCrop(99, i, 1, kSide, kSide, kLow, kHigh, 0.3);
    areas.push_back((box.width * box.height / (kSide * kSide) - kLow) / (kHigh - kLow));
    ratios.push_back((std::log(box.width / box.height) - std::log(0.75)) /
                     (std::log(4.0 / 3.0) - std::log(0.75)));
    x += box.x / (static_cast<double>(kSide) - box.width);
    y += box.y / (static_cast<double>(kSide) - box.height);
    flips += box.flip ? 1 : 0;
  }
  // Kolmogorov and Smirnov: sqrt(n) * distance is above 1.95 with probability 0.001.
  for (auto* values : {&areas, &ratios}) {
    std::sort(values->begin(), values->end());
    double distance = 0;
    for (int i = 0; i < kDraws; ++i)
      distance =
          std::max(distance, std::abs((*values)[static_cast<size_t>(i)] - (i + 0.5) / kDraws));
    EXPECT_LT(distance * std::sqrt(kDraws), 1.95) << (values == &areas ? "area" : "ratio");
  }
  // Means of uniforms have deviation 1 / sqrt(12 n), of the flips sqrt(0.3 * 0.7 / n).
  EXPECT_NEAR(x / kDraws, 0.5, 4 / std::sqrt(12.0 * kDraws));
  EXPECT_NEAR(y / kDraws, 0.5, 4 / std::sqrt(12.0 * kDraws));
  EXPECT_NEAR(flips / double{kDraws}, 0.3, 4 * std::sqrt(0.21 / kDraws));
}

TEST(RandomResizedCrop, EveryPlaceCanComeOut) {
  std::map<double, int> lefts;
  for (int64_t i = 0; i < 4000; ++i) {
    const CropBox box = RandomResizedCrop(1, i, 0, 8, 8, 0.2, 0.3, 0);
    if (box.width == 4) ++lefts[box.x];
    EXPECT_FALSE(box.flip);
  }
  EXPECT_EQ(lefts.size(), 5u);  // 0 to 4: the right edge is touched too
}

TEST(RandomResizedCrop, AViewDoesNotDependOnTheOthers) {
  // Its parameters do not change the draws of another view, and each part of the key counts.
  const CropBox box = RandomResizedCrop(1, 2, 3, 500, 400, 0.1, 0.9, 1.0);
  EXPECT_EQ(box, RandomResizedCrop(1, 2, 3, 500, 400, 0.1, 0.9, 1.0));
  EXPECT_TRUE(box.flip);
  EXPECT_NE(box, RandomResizedCrop(2, 2, 3, 500, 400, 0.1, 0.9, 1.0));
  EXPECT_NE(box, RandomResizedCrop(1, 3, 3, 500, 400, 0.1, 0.9, 1.0));
  EXPECT_NE(box, RandomResizedCrop(1, 2, 4, 500, 400, 0.1, 0.9, 1.0));
  CropBox unflipped = RandomResizedCrop(1, 2, 3, 500, 400, 0.1, 0.9, 0.0);
  EXPECT_FALSE(unflipped.flip);
  unflipped.flip = true;
  EXPECT_EQ(box, unflipped) << "the flip's probability must not move the box";
  // Places of two views of the same samples are uncorrelated.
  double xy = 0, xx = 0;
  for (int64_t i = 0; i < 4000; ++i) {
    const CropBox a = RandomResizedCrop(5, i, 0, 1000, 1000, 0.1, 0.1, 0);
    const CropBox b = RandomResizedCrop(5, i, 1, 1000, 1000, 0.1, 0.1, 0);
    const double u = a.x / (1000 - a.width) - 0.5, v = b.x / (1000 - b.width) - 0.5;
    xy += u * v, xx += u * u;
  }
  EXPECT_LT(std::abs(xy / xx), 4 / std::sqrt(4000.0));
}

TEST(RandomResizedCrop, IsTheBoxOfEveryEarlierBuild) {
  EXPECT_EQ(RandomResizedCrop(7, 0, 0, 500, 375, 0.14, 1, 0.5), (CropBox{10, 1, 474, 374, true}));
  EXPECT_EQ(RandomResizedCrop(7, 12345678901, 5, 500, 375, 0.05, 0.14, 0.5),
            (CropBox{336, 4, 114, 112, false}));
}

TEST(RandomResizedCrop, FallsBackToTheLargestCentredBox) {
  // No try fits an area of the whole of these, unless the ratio drawn happens to be 3/4 or 4/3.
  EXPECT_EQ(RandomResizedCrop(1, 0, 0, 1, 10000, 1, 1, 0), (CropBox{0, 4999, 1, 1, false}));
  EXPECT_EQ(RandomResizedCrop(1, 0, 0, 10000, 1, 1, 1, 0), (CropBox{4999, 0, 1, 1, false}));
  EXPECT_EQ(RandomResizedCrop(1, 0, 0, 3000, 300, 1, 1, 0), (CropBox{1300, 0, 400, 300, false}));
  EXPECT_EQ(RandomResizedCrop(1, 0, 0, 300, 3000, 1, 1, 0), (CropBox{0, 1300, 300, 400, false}));
  // Inside the range of ratios: the whole image. Flips go on.
  EXPECT_EQ(RandomResizedCrop(1, 0, 0, 1, 1, 1e-9, 1e-9, 1), (CropBox{0, 0, 1, 1, true}));
}

TEST(CenterCrop, IsTheMiddleOfTheShorterSide) {
  EXPECT_EQ(CenterCrop(224, 256, 256), (CropBox{16, 16, 224, 224, false}));
  EXPECT_EQ(CenterCrop(224, 512, 256), (CropBox{144, 16, 224, 224, false}));
  EXPECT_EQ(CenterCrop(224, 320, 640), (CropBox{20, 180, 280, 280, false}));
  // Below 64 pixels there is no margin.
  EXPECT_EQ(CenterCrop(32, 32, 32), (CropBox{0, 0, 32, 32, false}));
  EXPECT_EQ(CenterCrop(63, 100, 90), (CropBox{5, 0, 90, 90, false}));
  for (const int size : {1, 32, 96, 224, 1024}) {
    for (const auto& [width, height] : {std::pair(1, 1), std::pair(1, 10000), std::pair(999, 7)}) {
      const CropBox box = CenterCrop(size, width, height);
      EXPECT_GT(box.width, 0);
      EXPECT_EQ(box.width, box.height);
      EXPECT_GE(box.x, 0);
      EXPECT_GE(box.y, 0);
      EXPECT_LE(box.x + box.width, width);
      EXPECT_LE(box.y + box.height, height);
    }
  }
}

TEST(SubstituteSample, IsAnyRowAndAnotherAtEachAttempt) {
  std::map<int64_t, int> rows;
  int repeats = 0;
  for (int64_t sample = 0; sample < 5000; ++sample) {
    const int64_t row = SubstituteSample(4, sample, 1, 10);
    ++rows[row];
    repeats += row == SubstituteSample(4, sample, 2, 10) ? 1 : 0;
    EXPECT_EQ(row, SubstituteSample(4, sample, 1, 10));
  }
  ASSERT_EQ(rows.size(), 10u);
  for (const auto& [row, count] : rows) {
    EXPECT_TRUE(row >= 0 && row < 10);
    EXPECT_NEAR(count, 500, 5 * std::sqrt(5000 * 0.09));
  }
  EXPECT_NEAR(repeats, 500, 5 * std::sqrt(5000 * 0.09));
  EXPECT_EQ(SubstituteSample(4, 0, 8, 1), 0);
  EXPECT_EQ(SubstituteSample(7, 123, 1, 1000), 170);
  EXPECT_EQ(SubstituteSample(7, 123, 2, 1000), 985);
}

}  // namespace
}  // namespace seer::dataservice
