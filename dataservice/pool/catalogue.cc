#include "dataservice/pool/catalogue.h"

#include <arrow/api.h>
#include <arrow/io/memory.h>
#include <parquet/arrow/reader.h>
#include <parquet/arrow/writer.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer::dataservice {
namespace {

absl::Status Corrupt(const std::string& where, const std::string& why) {
  return Error(absl::StatusCode::kDataLoss, reason::kPoolCorrupt,
               absl::StrCat(where, " cannot be read: ", why))
      .Hint("restore the file from a copy of the pool, or ingest into a new pool");
}

std::shared_ptr<arrow::Schema> CatalogueSchema() {
  return arrow::schema(
      {arrow::field("id", arrow::fixed_size_binary(32), false),
       arrow::field("shard", arrow::int32(), false), arrow::field("offset", arrow::int64(), false),
       arrow::field("size", arrow::int64(), false), arrow::field("width", arrow::int32(), false),
       arrow::field("height", arrow::int32(), false), arrow::field("format", arrow::utf8(), false),
       arrow::field("source", arrow::utf8(), false), arrow::field("country", arrow::utf8(), true),
       arrow::field("visibility", arrow::utf8(), true),
       arrow::field("captured_at", arrow::timestamp(arrow::TimeUnit::MICRO, "UTC"), true),
       arrow::field("added_in", arrow::int64(), false),
       arrow::field("label", arrow::int32(), true)});
}

arrow::Status AppendText(arrow::StringBuilder& builder, const std::string& text) {
  return text.empty() ? builder.AppendNull() : builder.Append(text);
}

arrow::Result<std::string> Write(const std::vector<CatalogueRow>& rows) {
  arrow::FixedSizeBinaryBuilder id(arrow::fixed_size_binary(32));
  arrow::Int32Builder shard, width, height, label;
  arrow::Int64Builder offset, size, added_in;
  arrow::StringBuilder format, source, country, visibility;
  arrow::TimestampBuilder captured_at(arrow::timestamp(arrow::TimeUnit::MICRO, "UTC"),
                                      arrow::default_memory_pool());
  for (const CatalogueRow& row : rows) {
    ARROW_RETURN_NOT_OK(id.Append(row.id.data()));
    ARROW_RETURN_NOT_OK(shard.Append(row.shard));
    ARROW_RETURN_NOT_OK(offset.Append(row.offset));
    ARROW_RETURN_NOT_OK(size.Append(row.size));
    ARROW_RETURN_NOT_OK(width.Append(row.width));
    ARROW_RETURN_NOT_OK(height.Append(row.height));
    ARROW_RETURN_NOT_OK(format.Append(row.format));
    ARROW_RETURN_NOT_OK(source.Append(row.source));
    ARROW_RETURN_NOT_OK(AppendText(country, row.country));
    ARROW_RETURN_NOT_OK(AppendText(visibility, row.visibility));
    ARROW_RETURN_NOT_OK(row.captured_at ? captured_at.Append(absl::ToUnixMicros(*row.captured_at))
                                        : captured_at.AppendNull());
    ARROW_RETURN_NOT_OK(added_in.Append(row.added_in));
    ARROW_RETURN_NOT_OK(row.label >= 0 ? label.Append(row.label) : label.AppendNull());
  }
  std::vector<std::shared_ptr<arrow::Array>> columns;
  for (arrow::ArrayBuilder* builder : std::initializer_list<arrow::ArrayBuilder*>{
           &id, &shard, &offset, &size, &width, &height, &format, &source, &country, &visibility,
           &captured_at, &added_in, &label}) {
    ARROW_ASSIGN_OR_RAISE(columns.emplace_back(), builder->Finish());
  }
  const auto table = arrow::Table::Make(CatalogueSchema(), columns);
  ARROW_ASSIGN_OR_RAISE(auto out, arrow::io::BufferOutputStream::Create());
  const auto properties =
      parquet::WriterProperties::Builder().compression(parquet::Compression::ZSTD)->build();
  ARROW_RETURN_NOT_OK(parquet::arrow::WriteTable(
      *table, arrow::default_memory_pool(), out, 1 << 20, properties,
      parquet::ArrowWriterProperties::Builder().store_schema()->build()));
  ARROW_ASSIGN_OR_RAISE(auto buffer, out->Finish());
  return buffer->ToString();
}

// The named columns, each in one chunk.
arrow::Result<std::vector<std::shared_ptr<arrow::Array>>> ReadColumns(
    std::string parquet, const std::vector<std::string>& names) {
  auto file =
      std::make_shared<arrow::io::BufferReader>(arrow::Buffer::FromString(std::move(parquet)));
  ARROW_ASSIGN_OR_RAISE(auto reader, parquet::arrow::OpenFile(file, arrow::default_memory_pool()));
  std::shared_ptr<arrow::Schema> schema;
  ARROW_RETURN_NOT_OK(reader->GetSchema(&schema));
  std::vector<int> indices;
  for (const std::string& name : names) {
    const int index = schema->GetFieldIndex(name);
    if (index < 0) return arrow::Status::Invalid("no column ", name);
    if (!schema->field(index)->type()->Equals(CatalogueSchema()->GetFieldByName(name)->type())) {
      return arrow::Status::Invalid("column ", name, " is of type ",
                                    schema->field(index)->type()->ToString());
    }
    indices.push_back(index);
  }
  ARROW_ASSIGN_OR_RAISE(auto table, reader->ReadTable(indices));
  ARROW_ASSIGN_OR_RAISE(table, table->CombineChunks());
  std::vector<std::shared_ptr<arrow::Array>> columns;
  for (const std::string& name : names) {
    const auto column = table->GetColumnByName(name);
    if (column->num_chunks() == 0) {
      ARROW_ASSIGN_OR_RAISE(columns.emplace_back(), arrow::MakeEmptyArray(column->type()));
    } else {
      columns.push_back(column->chunk(0));
    }
  }
  return columns;
}

template <typename Array>
const Array& As(const std::shared_ptr<arrow::Array>& column) {
  return static_cast<const Array&>(*column);
}

ImageId IdAt(const std::shared_ptr<arrow::Array>& column, int64_t row) {
  ImageId id;
  std::memcpy(id.data(), As<arrow::FixedSizeBinaryArray>(column).GetValue(row), id.size());
  return id;
}

}  // namespace

absl::StatusOr<std::string> WriteCatalogue(const std::vector<CatalogueRow>& rows) {
  auto bytes = Write(rows);
  if (!bytes.ok())
    return absl::InternalError(absl::StrCat("writing the catalogue: ", bytes.status().ToString()));
  return std::move(*bytes);
}

absl::StatusOr<std::vector<CatalogueRow>> ReadCatalogue(std::string parquet,
                                                        const std::string& where) {
  auto columns = ReadColumns(
      std::move(parquet), {"id", "shard", "offset", "size", "width", "height", "format", "source",
                           "country", "visibility", "captured_at", "added_in", "label"});
  if (!columns.ok()) return Corrupt(where, columns.status().message());
  const auto& c = *columns;
  std::vector<CatalogueRow> rows(static_cast<size_t>(c[0]->length()));
  for (size_t i = 0; i < rows.size(); ++i) {
    CatalogueRow& row = rows[i];
    const auto n = static_cast<int64_t>(i);
    row.id = IdAt(c[0], n);
    row.shard = As<arrow::Int32Array>(c[1]).Value(n);
    row.offset = As<arrow::Int64Array>(c[2]).Value(n);
    row.size = As<arrow::Int64Array>(c[3]).Value(n);
    row.width = As<arrow::Int32Array>(c[4]).Value(n);
    row.height = As<arrow::Int32Array>(c[5]).Value(n);
    row.format = As<arrow::StringArray>(c[6]).GetString(n);
    row.source = As<arrow::StringArray>(c[7]).GetString(n);
    if (c[8]->IsValid(n)) row.country = As<arrow::StringArray>(c[8]).GetString(n);
    if (c[9]->IsValid(n)) row.visibility = As<arrow::StringArray>(c[9]).GetString(n);
    if (c[10]->IsValid(n))
      row.captured_at = absl::FromUnixMicros(As<arrow::TimestampArray>(c[10]).Value(n));
    row.added_in = As<arrow::Int64Array>(c[11]).Value(n);
    if (c[12]->IsValid(n)) row.label = As<arrow::Int32Array>(c[12]).Value(n);
  }
  return rows;
}

absl::Status ReadLocations(std::string parquet, const std::string& where,
                           std::vector<ImageLocation>& locations) {
  auto columns = ReadColumns(std::move(parquet),
                             {"id", "shard", "offset", "size", "width", "height", "label"});
  if (!columns.ok()) return Corrupt(where, columns.status().message());
  const auto& c = *columns;
  locations.reserve(locations.size() + static_cast<size_t>(c[0]->length()));
  for (int64_t n = 0; n < c[0]->length(); ++n) {
    locations.push_back({IdAt(c[0], n), As<arrow::Int64Array>(c[2]).Value(n),
                         As<arrow::Int64Array>(c[3]).Value(n), As<arrow::Int32Array>(c[1]).Value(n),
                         As<arrow::Int32Array>(c[4]).Value(n), As<arrow::Int32Array>(c[5]).Value(n),
                         c[6]->IsValid(n) ? As<arrow::Int32Array>(c[6]).Value(n) : -1});
  }
  return absl::OkStatus();
}

}  // namespace seer::dataservice
