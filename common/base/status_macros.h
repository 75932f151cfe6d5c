// SEER_RETURN_IF_ERROR(expr) and SEER_ASSIGN_OR_RETURN(lhs, expr): pass a status up.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define SEER_RETURN_IF_ERROR(expr)                                                \
  do {                                                                            \
    if (absl::Status seer_status = (expr); !seer_status.ok()) return seer_status; \
  } while (false)

#define SEER_MACRO_CONCAT_INNER(a, b) a##b
#define SEER_MACRO_CONCAT(a, b) SEER_MACRO_CONCAT_INNER(a, b)
#define SEER_ASSIGN_OR_RETURN(lhs, expr) \
  SEER_ASSIGN_OR_RETURN_IMPL(SEER_MACRO_CONCAT(seer_statusor_, __LINE__), lhs, expr)
#define SEER_ASSIGN_OR_RETURN_IMPL(name, lhs, expr) \
  auto name = (expr);                               \
  if (!name.ok()) return std::move(name).status();  \
  lhs = std::move(name).value()
