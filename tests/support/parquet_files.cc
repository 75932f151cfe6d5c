#include "tests/support/parquet_files.h"

#include <arrow/api.h>
#include <arrow/io/file.h>
#include <parquet/arrow/writer.h>

#include "common/base/check.h"

namespace seer::testing {
namespace {

template <typename Builder, typename Value>
std::shared_ptr<arrow::Array> Build(Builder builder, const std::vector<Value>& values) {
  for (const Value& value : values) {
    arrow::Status status = builder.Append(value);
    SEER_CHECK(status.ok()) << status.ToString();
  }
  return builder.Finish().ValueOrDie();
}

}  // namespace

std::shared_ptr<arrow::Array> TextColumn(const std::vector<std::string>& values) {
  return Build(arrow::StringBuilder(), values);
}

std::shared_ptr<arrow::Array> BytesColumn(const std::vector<std::string>& values) {
  arrow::BinaryBuilder builder;
  for (const std::string& value : values) {
    const arrow::Status status = value.empty() ? builder.AppendNull() : builder.Append(value);
    SEER_CHECK(status.ok()) << status.ToString();
  }
  return builder.Finish().ValueOrDie();
}

std::shared_ptr<arrow::Array> IntegerColumn(const std::vector<int64_t>& values) {
  return Build(arrow::Int64Builder(), values);
}

std::shared_ptr<arrow::Array> ImageStructColumn(const std::vector<std::string>& values) {
  return arrow::StructArray::Make(
             {BytesColumn(values), TextColumn(std::vector<std::string>(values.size(), "name.png"))},
             std::vector<std::string>{"bytes", "path"})
      .ValueOrDie();
}

void WriteParquet(const std::filesystem::path& path,
                  const std::vector<std::pair<std::string, std::shared_ptr<arrow::Array>>>& columns,
                  int64_t row_group_rows) {
  std::filesystem::create_directories(path.parent_path());
  std::vector<std::shared_ptr<arrow::Field>> fields;
  std::vector<std::shared_ptr<arrow::Array>> arrays;
  for (const auto& [name, array] : columns) {
    fields.push_back(arrow::field(name, array->type()));
    arrays.push_back(array);
  }
  const auto table = arrow::Table::Make(arrow::schema(fields), arrays);
  const auto file = arrow::io::FileOutputStream::Open(path.string()).ValueOrDie();
  const auto properties = parquet::ArrowWriterProperties::Builder().store_schema()->build();
  const arrow::Status status =
      parquet::arrow::WriteTable(*table, arrow::default_memory_pool(), file, row_group_rows,
                                 parquet::default_writer_properties(), properties);
  SEER_CHECK(status.ok() && file->Close().ok()) << status.ToString();
}

}  // namespace seer::testing
