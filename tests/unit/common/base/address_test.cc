#include "common/base/address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/error.h"
#include "tests/support/status_matchers.h"

namespace seer {
namespace {

using ::testing::HasSubstr;

TEST(SplitAddress, TakesHostsAndBothKindsOfAddresses) {
  EXPECT_EQ(SplitAddress("head:7070"), (Address{"head", 7070}));
  EXPECT_EQ(SplitAddress("10.0.0.7:0"), (Address{"10.0.0.7", 0}));
  EXPECT_EQ(SplitAddress("[::1]:65535"), (Address{"::1", 65535}));
  for (const char* text : {"head:7070", "[::1]:65535"}) {
    const auto split = SplitAddress(text);
    ASSERT_TRUE(split) << text;
    EXPECT_EQ(AddressText(split->host, split->port), text);
  }
}

TEST(SplitAddress, APortThatWouldWrapIsNone) {
  for (const char* text : {"127.0.0.1:100917", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+7",
                           "127.0.0.1:99999999999", "127.0.0.1:", "127.0.0.1", "head:x", ":7070",
                           "::1:7070", "[head]:7070", "[]:7070", "http://head:7070", "he ad:1", ""})
    EXPECT_EQ(SplitAddress(text), std::nullopt) << text;
}

TEST(CheckAddresses, NamesTheFlagAndTheAddress) {
  EXPECT_OK(CheckAddresses("--coordinator", {"head:7070", "[::1]:1"}));
  const absl::Status wrong = CheckAddresses("--dataservice", {"head:7080", "127.0.0.1:100917"});
  EXPECT_EQ(wrong.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(wrong.message(), "--dataservice: '127.0.0.1:100917' is not an address");
  EXPECT_THAT(GetErrorDetail(wrong)->hint, HasSubstr("1 to 65535"));
  EXPECT_FALSE(CheckAddresses("--coordinator", {"head:0"}).ok()) << "nobody can be called there";
}

TEST(ReadListenAddress, TakesPortZero) {
  EXPECT_EQ(*ReadListenAddress("--listen", "127.0.0.1:0"), (Address{"127.0.0.1", 0}));
  const absl::Status wrong = ReadListenAddress("--listen", "127.0.0.1:70700").status();
  EXPECT_EQ(wrong.message(), "--listen: '127.0.0.1:70700' is not an address");
  EXPECT_THAT(GetErrorDetail(wrong)->hint, HasSubstr("port 0 takes any free one"));
}

TEST(HostOf, IsWhatStandsBeforeThePort) {
  EXPECT_EQ(HostOf("head:7070"), "head");
  EXPECT_EQ(HostOf("[::1]:7070"), "::1");
  EXPECT_EQ(HostOf("head"), "head");
}

}  // namespace
}  // namespace seer
