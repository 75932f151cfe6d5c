#include "common/base/utf8.h"

#include <gtest/gtest.h>

#include <utility>

namespace seer {
namespace {

const char kReplaced[] = "\xef\xbf\xbd";

TEST(Utf8, KeepsWhatIsGoodAndReplacesEachByteThatIsNot) {
  for (const std::string& good : {std::string(), std::string("a\0b", 3), std::string("grün €"),
                                  std::string("\xf0\x9f\x98\x80"), std::string("\xed\x9f\xbf")}) {
    EXPECT_EQ(ValidUtf8Length(good), good.size()) << good;
    EXPECT_EQ(ToValidUtf8(good), good);
  }
  for (const auto& [bad, bytes] : {std::pair<std::string, int>("\xff", 1),
                                   {"\xc3", 1},              // cut off
                                   {"\xc0\xaf", 2},          // overlong
                                   {"\xe0\x80\xaf", 3},      // overlong
                                   {"\xed\xa0\x80", 3},      // a surrogate
                                   {"\xf4\x90\x80\x80", 4},  // above U+10FFFF
                                   {"\xf0\x9f\x98", 3}}) {
    std::string expected = "a";
    for (int i = 0; i < bytes; ++i) expected += kReplaced;
    EXPECT_EQ(ToValidUtf8("a" + bad + "b"), expected + "b");
    EXPECT_EQ(ValidUtf8Length("a" + bad + "b"), 1u);
  }
}

TEST(Utf8, APrefixEndsBetweenCharacters) {
  EXPECT_EQ(Utf8Prefix("abc", 3), "abc");
  EXPECT_EQ(Utf8Prefix("abc", 2), "ab");
  EXPECT_EQ(Utf8Prefix("a\xe2\x82\xac", 3), "a");
  EXPECT_EQ(Utf8Prefix("a\xe2\x82\xac", 4), "a\xe2\x82\xac");
  EXPECT_EQ(Utf8Prefix("\xe2\x82\xac", 0), "");
}

}  // namespace
}  // namespace seer
