#include "dataservice/ingest/parquet_columns.h"

#include <arrow/array.h>
#include <arrow/type.h>

namespace seer::dataservice {
namespace {

const arrow::DataType& ValueType(const arrow::DataType& type) {
  return type.id() == arrow::Type::DICTIONARY
             ? *static_cast<const arrow::DictionaryType&>(type).value_type()
             : type;
}

template <typename ArrayType>
absl::string_view ViewAt(const arrow::Array& array, int64_t row) {
  const auto view = static_cast<const ArrayType&>(array).GetView(row);
  return {view.data(), view.size()};
}

template <typename ArrayType>
int64_t ValueAt(const arrow::Array& array, int64_t row) {
  return static_cast<int64_t>(static_cast<const ArrayType&>(array).Value(row));
}

absl::Time FromTimestamp(arrow::TimeUnit::type unit, int64_t value) {
  switch (unit) {
    case arrow::TimeUnit::SECOND:
      return absl::FromUnixSeconds(value);
    case arrow::TimeUnit::MILLI:
      return absl::FromUnixMillis(value);
    case arrow::TimeUnit::MICRO:
      return absl::FromUnixMicros(value);
    case arrow::TimeUnit::NANO:
      return absl::FromUnixNanos(value);
  }
  return absl::InfinitePast();
}

}  // namespace

bool IsText(const arrow::DataType& type) {
  switch (ValueType(type).id()) {
    case arrow::Type::STRING:
    case arrow::Type::LARGE_STRING:
    case arrow::Type::STRING_VIEW:
      return true;
    default:
      return false;
  }
}

bool IsBytes(const arrow::DataType& type) {
  switch (ValueType(type).id()) {
    case arrow::Type::BINARY:
    case arrow::Type::LARGE_BINARY:
    case arrow::Type::BINARY_VIEW:
      return true;
    default:
      return IsText(type);
  }
}

bool IsInteger(const arrow::DataType& type) { return arrow::is_integer(type.id()); }

bool IsTime(const arrow::DataType& type) {
  return type.id() == arrow::Type::TIMESTAMP || type.id() == arrow::Type::DATE32 ||
         type.id() == arrow::Type::DATE64 || IsText(type);
}

std::optional<absl::string_view> BytesAt(const arrow::Array& array, int64_t row) {
  if (array.IsNull(row)) return std::nullopt;
  switch (array.type_id()) {
    case arrow::Type::BINARY:
    case arrow::Type::STRING:
      return ViewAt<arrow::BinaryArray>(array, row);
    case arrow::Type::LARGE_BINARY:
    case arrow::Type::LARGE_STRING:
      return ViewAt<arrow::LargeBinaryArray>(array, row);
    case arrow::Type::BINARY_VIEW:
    case arrow::Type::STRING_VIEW:
      return ViewAt<arrow::BinaryViewArray>(array, row);
    case arrow::Type::DICTIONARY: {
      const auto& dictionary = static_cast<const arrow::DictionaryArray&>(array);
      return BytesAt(*dictionary.dictionary(), dictionary.GetValueIndex(row));
    }
    default:
      return std::nullopt;
  }
}

std::optional<int64_t> IntegerAt(const arrow::Array& array, int64_t row) {
  if (array.IsNull(row)) return std::nullopt;
  switch (array.type_id()) {
    case arrow::Type::INT8:
      return ValueAt<arrow::Int8Array>(array, row);
    case arrow::Type::INT16:
      return ValueAt<arrow::Int16Array>(array, row);
    case arrow::Type::INT32:
      return ValueAt<arrow::Int32Array>(array, row);
    case arrow::Type::INT64:
      return ValueAt<arrow::Int64Array>(array, row);
    case arrow::Type::UINT8:
      return ValueAt<arrow::UInt8Array>(array, row);
    case arrow::Type::UINT16:
      return ValueAt<arrow::UInt16Array>(array, row);
    case arrow::Type::UINT32:
      return ValueAt<arrow::UInt32Array>(array, row);
    case arrow::Type::UINT64:
      return ValueAt<arrow::UInt64Array>(array, row);
    default:
      return std::nullopt;
  }
}

std::optional<absl::Time> TimeAt(const arrow::Array& array, int64_t row) {
  if (array.IsNull(row)) return std::nullopt;
  switch (array.type_id()) {
    case arrow::Type::TIMESTAMP:
      return FromTimestamp(static_cast<const arrow::TimestampType&>(*array.type()).unit(),
                           ValueAt<arrow::TimestampArray>(array, row));
    case arrow::Type::DATE32:
      return absl::UnixEpoch() + absl::Hours(24) * ValueAt<arrow::Date32Array>(array, row);
    case arrow::Type::DATE64:
      return absl::FromUnixMillis(ValueAt<arrow::Date64Array>(array, row));
    default:
      break;
  }
  const auto text = BytesAt(array, row);
  absl::Time time;
  if (!text || !absl::ParseTime(absl::RFC3339_full, *text, &time, nullptr)) return std::nullopt;
  return time;
}

}  // namespace seer::dataservice
