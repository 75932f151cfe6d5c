#include "common/base/error.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "tests/support/status_matchers.h"

namespace seer {
namespace {

absl::Status Example() {
  return Error(absl::StatusCode::kNotFound, reason::kPoolNotFound, "pool 'x:1' is not there")
      .Field("data.pool")
      .Hint("see: seer pool list")
      .With("pool", "x:1");
}

TEST(ErrorTest, DetailSurvivesContext) {
  const absl::Status status = WithContext(Example(), "job job_1");
  EXPECT_EQ(status.message(), "job job_1: pool 'x:1' is not there");
  const auto detail = GetErrorDetail(status);
  ASSERT_TRUE(detail.has_value());
  EXPECT_EQ(detail->reason, "POOL_NOT_FOUND");
  EXPECT_EQ(detail->field, "data.pool");
  EXPECT_EQ(detail->hint, "see: seer pool list");
  EXPECT_EQ(detail->metadata.at("pool"), "x:1");
  EXPECT_TRUE(HasReason(status, reason::kPoolNotFound));
}

TEST(ErrorTest, TextForLogsIsWithoutThePayload) {
  const absl::Status status =
      Error(absl::StatusCode::kNotFound, reason::kPoolNotFound, "no pool 'p'").Hint("make it");
  EXPECT_EQ(StatusText(status), "NOT_FOUND POOL_NOT_FOUND: no pool 'p'");
  EXPECT_EQ(StatusText(absl::InternalError("x")), "INTERNAL: x");
}

TEST(ErrorTest, PlainStatusHasNoDetail) {
  EXPECT_FALSE(GetErrorDetail(absl::InternalError("x")).has_value());
  EXPECT_FALSE(HasReason(absl::OkStatus(), reason::kPoolNotFound));
}

TEST(ReasonsTest, EachTextStandsOnce) {
  std::set<std::string> seen;
  for (const absl::string_view text : reason::kAll)
    EXPECT_TRUE(seen.insert(std::string(text)).second) << text;
}

TEST(ReasonsTest, AreAllInTheDocumentation) {
  const char* source = std::getenv("SEER_SOURCE_DIR");
  ASSERT_NE(source, nullptr);
  std::stringstream text;
  text << std::ifstream(std::string(source) + "/docs/errors.md").rdbuf();
  std::set<std::string> documented;
  for (std::string line; std::getline(text, line);) {
    if (line.rfind("- `", 0) == 0) documented.insert(line.substr(3, line.find('`', 3) - 3));
  }
  std::set<std::string> known;
  for (const absl::string_view reason : reason::kAll) known.insert(std::string(reason));
  EXPECT_EQ(documented, known);
}

}  // namespace
}  // namespace seer
