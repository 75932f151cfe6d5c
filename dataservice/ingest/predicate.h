// One condition of a pool's policy on a column of the catalogue: "width>=256",
// "country in (US,CA)", "captured_at<2020-01-01". Immutable.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "dataservice/pool/catalogue.h"

namespace seer::dataservice {

class Predicate {
 public:
  // Columns: width, height, size and label (whole numbers); format, source, country and visibility
  // (text; letters' case does not count); captured_at (RFC 3339, or a date). Operators: = != < <=
  // > >= and, with a list in parentheses, in. Values may stand in double quotes.
  // INVALID_ARGUMENT with the field "policy.predicates": not such a text; names the columns.
  static absl::StatusOr<Predicate> Parse(const std::string& text);

  // Nullopt: the row does not have the value.
  std::optional<bool> Holds(const CatalogueRow& row) const;
  const std::string& column() const { return column_; }
  const std::string& text() const { return text_; }

 private:
  enum class Operator { kEqual, kNotEqual, kLess, kLessOrEqual, kGreater, kGreaterOrEqual, kIn };
  struct Value {
    int64_t number = 0;  // times: microseconds since 1970
    std::string text;    // in lower case
    friend auto operator<=>(const Value&, const Value&) = default;
  };

  static std::optional<Value> ValueOf(absl::string_view column, const CatalogueRow& row);

  std::string text_;
  std::string column_;
  Operator operator_ = Operator::kEqual;
  std::vector<Value> values_;  // one, but for kIn
};

}  // namespace seer::dataservice
