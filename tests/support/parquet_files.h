// Parquet files made by a test.
#pragma once

#include <arrow/type_fwd.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace seer::testing {

std::shared_ptr<arrow::Array> TextColumn(const std::vector<std::string>& values);
std::shared_ptr<arrow::Array> BytesColumn(const std::vector<std::string>& values);  // "": null
std::shared_ptr<arrow::Array> IntegerColumn(const std::vector<int64_t>& values);
// Struct {bytes, path}, as Hugging Face's data sets hold images.
std::shared_ptr<arrow::Array> ImageStructColumn(const std::vector<std::string>& values);

void WriteParquet(const std::filesystem::path& path,
                  const std::vector<std::pair<std::string, std::shared_ptr<arrow::Array>>>& columns,
                  int64_t row_group_rows = 1 << 20);

}  // namespace seer::testing
