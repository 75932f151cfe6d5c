#include "worker/agent/log_shipper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "worker/agent/text.h"

namespace seer::worker {
namespace {

using internal::v1::AgentMessage;
using ::testing::HasSubstr;

const Assignment kFrom{7, "jobs/a", 2, 3};
const absl::Time kNow = absl::FromUnixNanos(1'500'000'007);

bool Always() { return true; }

class LogShipperTest : public ::testing::Test {
 protected:
  void Print(int from, int to) {
    for (int i = from; i < to; ++i) shipper_.Take(kFrom, kNow, absl::StrCat(i));
  }
  // Sends all; the texts and the sizes of the messages.
  std::vector<std::string> Texts() {
    std::vector<std::string> texts;
    shipper_.Ship(Always, [&](const AgentMessage& message) {
      sizes_.push_back(message.logs().lines_size());
      for (const auto& line : message.logs().lines()) texts.push_back(line.text());
      return true;
    });
    return texts;
  }
  MetricsRegistry metrics_;
  LogShipper shipper_{metrics_};
  std::vector<int> sizes_;
};

TEST_F(LogShipperTest, ALineSaysWhoseItIs) {
  shipper_.Take(kFrom, kNow, "hello");
  AgentMessage sent;
  shipper_.Ship(Always, [&](const AgentMessage& message) {
    sent = message;
    return true;
  });
  ASSERT_EQ(sent.logs().lines_size(), 1);
  const auto& line = sent.logs().lines(0);
  EXPECT_EQ(line.job(), "jobs/a");
  EXPECT_EQ(line.attempt_id(), 7);
  EXPECT_EQ(line.attempt(), 2);
  EXPECT_EQ(line.rank(), 3);
  EXPECT_EQ(line.text(), "hello");
  EXPECT_EQ(line.time().seconds(), 1);
  EXPECT_EQ(line.time().nanos(), 500'000'007);
  EXPECT_EQ(shipper_.held(), 0u);
}

TEST_F(LogShipperTest, MessagesHaveAtMost500Lines) {
  Print(0, 1234);
  EXPECT_EQ(Texts().size(), 1234u);
  EXPECT_THAT(sizes_, ::testing::ElementsAre(500, 500, 234));
}

TEST_F(LogShipperTest, WhatIsNotTakenIsHeldInOrder) {
  Print(0, 700);
  int messages = 0;
  shipper_.Ship(Always, [&](const AgentMessage&) { return ++messages == 1; });
  EXPECT_EQ(shipper_.held(), 200u);
  const auto texts = Texts();
  ASSERT_EQ(texts.size(), 200u);
  EXPECT_EQ(texts.front(), "500");
  EXPECT_EQ(texts.back(), "699");
}

// Each line that came while the link was full cost a message of 500 that was thrown away.
TEST_F(LogShipperTest, NothingIsPackedThatWouldNotBeTaken) {
  Print(0, 10);
  shipper_.Ship([] { return false; },
                [](const AgentMessage&) {
                  ADD_FAILURE() << "packed";
                  return true;
                });
  EXPECT_EQ(shipper_.held(), 10u);
}

TEST_F(LogShipperTest, TheOldestLinesGoFirstWhenThereAreTooMany) {
  const int most = LogShipper::kMaxHeldLines;
  Print(0, most + 5);
  EXPECT_EQ(shipper_.held(), static_cast<size_t>(most));
  EXPECT_THAT(metrics_.Render(), HasSubstr("seer_worker_dropped_log_lines_total 5"));
  EXPECT_EQ(Texts().front(), "5");
}

TEST_F(LogShipperTest, LongLinesAreBoundedByTheirBytes) {
  const std::string text(16 << 10, 'x');
  const size_t fit = LogShipper::kMaxHeldBytes / text.size();
  for (size_t i = 0; i < fit + 3; ++i) shipper_.Take(kFrom, kNow, text);
  EXPECT_EQ(shipper_.held(), fit);
  EXPECT_THAT(metrics_.Render(), HasSubstr("seer_worker_dropped_log_lines_total 3"));
}

TEST_F(LogShipperTest, LinesThatCameBackGoFirst) {
  Print(0, 3);
  internal::v1::LogLines lost;
  shipper_.Ship(Always, [&](const AgentMessage& message) {
    lost = message.logs();
    return true;
  });
  Print(3, 5);
  shipper_.PutBack(lost);
  EXPECT_THAT(Texts(), ::testing::ElementsAre("0", "1", "2", "3", "4"));
}

TEST(CleanTextTest, KeepsTextAndReplacesWhatWouldBreakTheStream) {
  EXPECT_EQ(CleanText("a\tb \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"),
            "a\tb \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
  EXPECT_EQ(CleanText(std::string("a\x1b[0m\0b", 7)), "a [0m b");
  const auto marked = [](std::string text) {  // with U+FFFD where "?" stands
    return absl::StrReplaceAll(text, {{"?", "\xef\xbf\xbd"}});
  };
  EXPECT_EQ(CleanText("\xc3\xa4 \xff\xfe \xc3"), marked("\xc3\xa4 ?? ?"));
  EXPECT_EQ(CleanText("\xc0\x80|\xe0\x80\x80|\xf0\x80\x80\x80"), marked("??|???|????"))
      << "overlong";
  EXPECT_EQ(CleanText("\xed\xa0\x80|\xf4\x90\x80\x80"), marked("???|????"))
      << "surrogate, too large";
  EXPECT_EQ(CleanText(""), "");
}

TEST(CleanTextTest, CutsBetweenCharacters) {
  EXPECT_EQ(CleanText("abc", 2), "ab");
  EXPECT_EQ(CleanText("a\xe2\x82\xac", 3), "a");
  EXPECT_EQ(CleanText("a\xe2\x82\xac", 4), "a\xe2\x82\xac");
  EXPECT_EQ(CleanText("abc", 0), "");
}

}  // namespace
}  // namespace seer::worker
