#include "client/contact_sheet.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/image_files.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer::client {
namespace {

v1::SampledImage Flat(int width, int height, char level, int views = 1) {
  v1::SampledImage image;
  for (int v = 0; v < views; ++v) {
    v1::SampledView& view = *image.add_views();
    view.set_width(width);
    view.set_height(height);
    view.set_rgb(std::string(static_cast<size_t>(width) * height * 3, level));
  }
  return image;
}

int64_t Count(const ContactSheet& sheet, uint8_t level) {
  return std::count(sheet.rgb().begin(), sheet.rgb().end(), level) / 3;
}

TEST(ContactSheet, EveryImageHasABlockOfItsOwn) {
  ASSERT_OK_AND_ASSIGN(ContactSheet sheet, ContactSheet::Create(5, 20, 10));
  for (int i = 0; i < 5; ++i) sheet.Place(i, Flat(20, 10, static_cast<char>(200 + i)));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Count(sheet, static_cast<uint8_t>(200 + i)), 200) << i;
}

TEST(ContactSheet, ViewsLieSideBySideAndWhatDoesNotFitIsLeftOut) {
  ASSERT_OK_AND_ASSIGN(ContactSheet sheet, ContactSheet::Create(2, 2 * 8 + ContactSheet::kGap, 8));
  sheet.Place(0, Flat(8, 8, 100, 3));
  EXPECT_EQ(Count(sheet, 100), 2 * 64);
  sheet.Place(1, Flat(4, 9, 101));
  EXPECT_EQ(Count(sheet, 101), 0);
  v1::SampledImage wrong = Flat(4, 4, 102);
  wrong.mutable_views(0)->set_width(5);  // has not so many pixels
  sheet.Place(1, wrong);
  EXPECT_EQ(Count(sheet, 102), 0);
}

TEST(ContactSheet, RefusesSheetsThatAreTooLarge) {
  EXPECT_THAT(
      ContactSheet::Create(4096, 1024, 1024).status(),
      testing::FailsWith(absl::StatusCode::kInvalidArgument, reason::kOutOfRange, "4096 blocks"));
  EXPECT_THAT(ContactSheet::Create(1, 70'000, 8).status(),
              testing::FailsWith(absl::StatusCode::kInvalidArgument, reason::kOutOfRange, "70000"));
}

TEST(ContactSheet, WritesAJpeg) {
  testing::TempDir dir;
  ASSERT_OK_AND_ASSIGN(ContactSheet sheet, ContactSheet::Create(1, 30, 20));
  sheet.Place(0, {});
  ASSERT_OK(sheet.Write(dir / "sheet.jpg"));
  EXPECT_EQ(testing::ReadFile(dir / "sheet.jpg").substr(0, 3), "\xFF\xD8\xFF");
  EXPECT_FALSE(sheet.Write(dir / "nowhere/sheet.jpg").ok());
}

}  // namespace
}  // namespace seer::client
