#include "dataservice/ingest/predicate.h"

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer::dataservice {
namespace {

enum class Kind { kNumber, kText, kTime };
struct Column {
  absl::string_view name;
  Kind kind;
};
constexpr std::array<Column, 9> kColumns = {{{"width", Kind::kNumber},
                                             {"height", Kind::kNumber},
                                             {"size", Kind::kNumber},
                                             {"label", Kind::kNumber},
                                             {"format", Kind::kText},
                                             {"source", Kind::kText},
                                             {"country", Kind::kText},
                                             {"visibility", Kind::kText},
                                             {"captured_at", Kind::kTime}}};

absl::Status Bad(const std::string& text, const std::string& why) {
  const std::string columns = absl::StrJoin(
      kColumns, ", ",
      [](std::string* out, const Column& column) { absl::StrAppend(out, column.name); });
  return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
               absl::StrCat("the condition '", text, "' ", why))
      .Field("policy.predicates")
      .Hint(absl::StrCat("COLUMN OPERATOR VALUE, as in 'width>=256' or 'country in (US,CA)'; "
                         "columns: ",
                         columns, "; operators: = != < <= > >= in"));
}

std::string Unquoted(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"')
    text = text.substr(1, text.size() - 2);
  return std::string(text);
}

// Microseconds since 1970.
std::optional<int64_t> TimeValue(const std::string& text) {
  absl::Time time;
  for (const char* form : {absl::RFC3339_full, "%Y-%m-%d"})
    if (absl::ParseTime(form, text, absl::UTCTimeZone(), &time, nullptr))
      return absl::ToUnixMicros(time);
  return std::nullopt;
}

}  // namespace

absl::StatusOr<Predicate> Predicate::Parse(const std::string& text) {
  Predicate predicate;
  absl::string_view rest = absl::StripAsciiWhitespace(text);
  predicate.text_ = std::string(rest);
  const auto name_end = std::find_if_not(rest.begin(), rest.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_';
  });
  predicate.column_ = std::string(rest.begin(), name_end);
  const auto column = std::find_if(kColumns.begin(), kColumns.end(), [&](const Column& known) {
    return known.name == predicate.column_;
  });
  if (predicate.column_.empty()) return Bad(text, "does not begin with a column");
  if (column == kColumns.end())
    return Bad(text, absl::StrCat("is about '", predicate.column_, "', which is no column"));
  rest = absl::StripLeadingAsciiWhitespace(rest.substr(predicate.column_.size()));

  // Longer ones first: "<=" begins with "<".
  constexpr std::array<std::pair<absl::string_view, Operator>, 7> kOperators = {
      {{"!=", Operator::kNotEqual},
       {"<=", Operator::kLessOrEqual},
       {">=", Operator::kGreaterOrEqual},
       {"=", Operator::kEqual},
       {"<", Operator::kLess},
       {">", Operator::kGreater},
       {"in", Operator::kIn}}};
  const auto found = std::find_if(kOperators.begin(), kOperators.end(), [&](const auto& known) {
    return absl::ConsumePrefix(&rest, known.first);
  });
  if (found == kOperators.end()) return Bad(text, "has no operator");
  predicate.operator_ = found->second;
  std::vector<std::string> values = {Unquoted(rest)};
  if (predicate.operator_ == Operator::kIn) {
    rest = absl::StripAsciiWhitespace(rest);
    if (!absl::ConsumePrefix(&rest, "(") || !absl::ConsumeSuffix(&rest, ")"))
      return Bad(text, "has no list in parentheses after 'in'");
    values.clear();
    for (absl::string_view value : absl::StrSplit(rest, ',')) values.push_back(Unquoted(value));
  } else if (column->kind == Kind::kText && predicate.operator_ != Operator::kEqual &&
             predicate.operator_ != Operator::kNotEqual) {
    return Bad(text, "compares text by size");
  }
  for (const std::string& value : values) {
    if (value.empty()) return Bad(text, "has no value");
    if (column->kind == Kind::kText) {
      predicate.values_.push_back({0, absl::AsciiStrToLower(value)});
      continue;
    }
    int64_t number = 0;
    const bool good = column->kind == Kind::kNumber && absl::SimpleAtoi(value, &number);
    const auto time = column->kind == Kind::kTime ? TimeValue(value) : std::nullopt;
    if (!good && !time) {
      return Bad(text, absl::StrCat("has '", value, "' in the place of a ",
                                    column->kind == Kind::kTime ? "time" : "whole number"));
    }
    predicate.values_.push_back({time.value_or(number), ""});
  }
  return predicate;
}

std::optional<Predicate::Value> Predicate::ValueOf(absl::string_view column,
                                                   const CatalogueRow& row) {
  const auto text = [](const std::string& value) {
    return value.empty() ? std::nullopt
                         : std::optional<Value>(Value{0, absl::AsciiStrToLower(value)});
  };
  if (column == "width") return Value{row.width, ""};
  if (column == "height") return Value{row.height, ""};
  if (column == "size") return Value{row.size, ""};
  if (column == "format") return text(row.format);
  if (column == "source") return text(row.source);
  if (column == "country") return text(row.country);
  if (column == "visibility") return text(row.visibility);
  if (column == "label" && row.label >= 0) return Value{row.label, ""};
  if (column == "captured_at" && row.captured_at)
    return Value{absl::ToUnixMicros(*row.captured_at), ""};
  return std::nullopt;
}

std::optional<bool> Predicate::Holds(const CatalogueRow& row) const {
  const std::optional<Value> value = ValueOf(column_, row);
  if (!value) return std::nullopt;
  switch (operator_) {
    case Operator::kEqual:
      return *value == values_.front();
    case Operator::kNotEqual:
      return *value != values_.front();
    case Operator::kLess:
      return *value < values_.front();
    case Operator::kLessOrEqual:
      return *value <= values_.front();
    case Operator::kGreater:
      return *value > values_.front();
    case Operator::kGreaterOrEqual:
      return *value >= values_.front();
    case Operator::kIn:
      return std::find(values_.begin(), values_.end(), *value) != values_.end();
  }
  return false;
}

}  // namespace seer::dataservice
