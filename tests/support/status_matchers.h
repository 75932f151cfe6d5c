// Matchers for absl::Status and StatusOr:
// EXPECT_OK, ASSERT_OK_AND_ASSIGN, StatusIs(code), HasReasonText(reason).
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer::testing {

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& status_or) {
  return status_or.status();
}

MATCHER(IsOk, "is OK") {
  *result_listener << StatusOf(arg).ToString();
  return StatusOf(arg).ok();
}

MATCHER_P(StatusIs, code, "has code " + absl::StatusCodeToString(code)) {
  *result_listener << StatusOf(arg).ToString();
  return StatusOf(arg).code() == code;
}

// The code, the reason (reasons.h) and a piece of the message.
MATCHER_P3(FailsWith, code, reason_text, piece,
           "fails with reason " + std::string(reason_text) + " and text " + piece) {
  const absl::Status& status = StatusOf(arg);
  *result_listener << status.ToString();
  return status.code() == code && HasReason(status, reason_text) &&
         std::string(status.message()).find(piece) != std::string::npos;
}

}  // namespace seer::testing

#define EXPECT_OK(expr) EXPECT_THAT((expr), ::seer::testing::IsOk())
#define ASSERT_OK(expr) ASSERT_THAT((expr), ::seer::testing::IsOk())
#define ASSERT_OK_AND_ASSIGN(lhs, expr) \
  ASSERT_OK_AND_ASSIGN_IMPL(SEER_MACRO_CONCAT(seer_test_or_, __LINE__), lhs, expr)
#define ASSERT_OK_AND_ASSIGN_IMPL(name, lhs, expr)                      \
  auto name = (expr);                                                   \
  ASSERT_TRUE(name.ok()) << ::seer::testing::StatusOf(name).ToString(); \
  lhs = std::move(name).value()
