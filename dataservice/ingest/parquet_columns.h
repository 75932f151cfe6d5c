// Values of Arrow columns as an ingest wants them, whichever of Arrow's types holds them. Pure.
#pragma once

#include <arrow/type_fwd.h>

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace seer::dataservice {

bool IsBytes(const arrow::DataType& type);  // binary or text, dictionaries of them
bool IsText(const arrow::DataType& type);   // text, dictionaries of it
bool IsInteger(const arrow::DataType& type);
bool IsTime(const arrow::DataType& type);  // timestamp, date, text

// nullopt: null. The array's type has passed the check above; the text lives as long as the array.
std::optional<absl::string_view> BytesAt(const arrow::Array& array, int64_t row);
std::optional<int64_t> IntegerAt(const arrow::Array& array, int64_t row);
// Also nullopt: text that is no RFC 3339 time.
std::optional<absl::Time> TimeAt(const arrow::Array& array, int64_t row);

}  // namespace seer::dataservice
