// What a pool's policy refuses, and what it says when it makes no sense.
#include "dataservice/ingest/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/error.h"
#include "dataservice/decode/decoder.h"
#include "dataservice/ingest/predicate.h"
#include "tests/support/status_matchers.h"

namespace seer::dataservice {
namespace {

using testing::FailsWith;

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

CatalogueRow Photo() {
  CatalogueRow row;
  row.width = 640;
  row.height = 480;
  row.size = 50'000;
  row.format = "jpeg";
  row.source = "/photos/Cat.jpg";
  row.country = "US";
  row.visibility = "public";
  row.captured_at = kNow - absl::Hours(24 * 10);
  return row;
}

std::string Refusing(const PoolPolicy& policy, const CatalogueRow& row) {
  const auto rules = PolicyRules::Create(policy);
  EXPECT_OK(rules);
  return rules->Refusing(row, kNow);
}

TEST(Policy, EachRuleRefusesByItsName) {
  EXPECT_EQ(Refusing({}, Photo()), "");
  EXPECT_EQ(Refusing({}, CatalogueRow()), "too_small");
  struct Case {
    PoolPolicy policy;
    std::string rule;
  };
  const auto with = [](const std::function<void(PoolPolicy&)>& change) {
    PoolPolicy policy;
    change(policy);
    return policy;
  };
  const Case cases[] = {{with([](auto& p) { p.max_age = absl::Hours(24 * 9); }), "too_old"},
                        {with([](auto& p) { p.max_age = absl::Hours(24 * 10); }), ""},
                        {with([](auto& p) { p.excluded_countries = {"us"}; }), "country"},
                        {with([](auto& p) { p.excluded_countries = {"EU"}; }), ""},
                        {with([](auto& p) { p.min_side_pixels = 481; }), "too_small"},
                        {with([](auto& p) { p.max_side_pixels = 639; }), "too_large"},
                        {with([](auto& p) { p.max_side_pixels = 640; }), ""},
                        {with([](auto& p) { p.max_bytes = 49'999; }), "too_many_bytes"},
                        {with([](auto& p) { p.max_bytes = 50'000; }), ""},
                        {with([](auto& p) {
                           p.formats = {"png", "webp"};
                         }),
                         "format"},
                        {with([](auto& p) {
                           p.formats = {"png", "jpeg"};
                         }),
                         ""},
                        {with([](auto& p) {
                           p.predicates = {"width>=640", "height < 400"};
                         }),
                         "height < 400"}};
  for (const Case& c : cases) EXPECT_EQ(Refusing(c.policy, Photo()), c.rule);
  CatalogueRow norway = Photo();
  norway.country = "no";
  EXPECT_EQ(Refusing(with([](auto& p) { p.excluded_countries = {"EU"}; }), norway), "country");
  norway.visibility = "private";
  EXPECT_EQ(Refusing(with([](auto& p) { p.public_only = true; }), norway), "not_public");
}

TEST(Policy, WhatNobodyKnowsIsRefusedWhereARuleAsks) {
  CatalogueRow row = Photo();
  row.country = row.visibility = "";
  row.captured_at.reset();
  row.label = -1;
  EXPECT_EQ(Refusing({}, row), "");
  PoolPolicy policy;
  policy.public_only = true;
  EXPECT_EQ(Refusing(policy, row), "unknown_visibility");
  policy = {};
  policy.excluded_countries = {"EU"};
  EXPECT_EQ(Refusing(policy, row), "unknown_country");
  policy = {};
  policy.max_age = absl::Hours(1);
  EXPECT_EQ(Refusing(policy, row), "unknown_age");
  for (const auto& [condition, rule] : {std::pair("country!=DE", "unknown_country"),
                                        {"label=3", "unknown_label"},
                                        {"captured_at>=2020-01-01", "unknown_captured_at"}}) {
    policy = {};
    policy.predicates = {condition};
    EXPECT_EQ(Refusing(policy, row), rule);
  }
}

TEST(Policy, WhatMakesNoSenseIsSaidWithItsField) {
  const auto refused = [](const std::function<void(PoolPolicy&)>& change) {
    PoolPolicy policy;
    change(policy);
    const absl::Status status = PolicyRules::Create(policy).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return GetErrorDetail(status).value_or(ErrorDetail()).field;
  };
  EXPECT_EQ(refused([](auto& p) { p.max_age = absl::ZeroDuration(); }), "policy.max_age");
  EXPECT_EQ(refused([](auto& p) { p.excluded_countries = {"Germany"}; }),
            "policy.excluded_countries");
  EXPECT_EQ(refused([](auto& p) { p.max_side_pixels = -1; }), "policy.max_side_pixels");
  EXPECT_EQ(refused([](auto& p) { p.min_side_pixels = 9, p.max_side_pixels = 8; }),
            "policy.max_side_pixels");
  EXPECT_EQ(refused([](auto& p) { p.max_bytes = -1; }), "policy.max_bytes");
  EXPECT_EQ(refused([](auto& p) { p.formats = {"jpeg", "heic"}; }), "policy.formats");
  EXPECT_EQ(refused([](auto& p) { p.predicates = {"nonsense"}; }), "policy.predicates");
}

TEST(Policy, EveryFormatOfTheDecoderMayBeListed) {
  PoolPolicy policy;
  for (const absl::string_view name : FormatNames()) policy.formats.emplace_back(name);
  EXPECT_THAT(policy.formats, ::testing::IsSupersetOf({"jpeg", "gif", "bmp", "tiff"}));
  EXPECT_OK(PolicyRules::Create(policy));
  policy.formats = {"heic"};
  const auto refused = GetErrorDetail(PolicyRules::Create(policy).status());
  ASSERT_TRUE(refused.has_value());
  for (const absl::string_view name : FormatNames())
    EXPECT_THAT(refused->hint, ::testing::HasSubstr(std::string(name)));
}

TEST(Predicate, ComparesColumns) {
  const CatalogueRow row = Photo();
  for (const char* text :
       {"width=640", "width != 641", "height<=480", "height>=480", " size > 49999 ", "size<50001",
        "width in (1, 640,2)", "format=JPEG", "country in (ca,us)", "visibility=\"public\"",
        "source=/photos/cat.jpg", "captured_at>=2023-11-04", "captured_at<2023-11-05T00:00:00Z",
        "country!=DE"}) {
    const auto predicate = Predicate::Parse(text);
    ASSERT_OK(predicate);
    EXPECT_EQ(predicate->Holds(row), true) << text;
  }
  for (const char* text : {"width=641", "width != 640", "height<480", "height>480", "width in (64)",
                           "format=png", "country in (CA,DE)", "captured_at<2023-11-01"}) {
    const auto predicate = Predicate::Parse(text);
    ASSERT_OK(predicate);
    EXPECT_EQ(predicate->Holds(row), false) << text;
  }
}

TEST(Predicate, SaysWhatIsWrongAndWhichColumnsThereAre) {
  for (const auto& [text, piece] : {std::pair("", "does not begin with a column"),
                                    {">=3", "does not begin with a column"},
                                    {"widht>=3", "'widht', which is no column"},
                                    {"id=3", "which is no column"},
                                    {"width", "no operator"},
                                    {"width ~ 3", "no operator"},
                                    {"width>=", "no value"},
                                    {"width>=3.5", "whole number"},
                                    {"width>=99999999999999999999", "whole number"},
                                    {"width in 3", "parentheses"},
                                    {"width in ()", "no value"},
                                    {"width in (1,)", "no value"},
                                    {"country<US", "compares text"},
                                    {"captured_at<yesterday", "a time"},
                                    {"country=\"\"", "no value"}}) {
    EXPECT_THAT(Predicate::Parse(text),
                FailsWith(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument, piece))
        << text;
  }
  const auto detail = GetErrorDetail(Predicate::Parse("widht=3").status());
  ASSERT_TRUE(detail.has_value());
  EXPECT_EQ(detail->field, "policy.predicates");
  EXPECT_THAT(detail->hint, ::testing::HasSubstr("width, height, size, label, format"));
}

}  // namespace
}  // namespace seer::dataservice
