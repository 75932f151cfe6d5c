#include "dataservice/ingest/parquet_source.h"

#include <arrow/api.h>
#include <arrow/io/file.h>
#include <parquet/arrow/reader.h>
#include <parquet/arrow/schema.h>
#include <parquet/exception.h>
#include <parquet/file_reader.h>
#include <unistd.h>

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "dataservice/ingest/parquet_columns.h"
#include "dataservice/ingest/read_ahead.h"
#include "dataservice/ingest/url_source.h"

namespace seer::dataservice {
namespace {

constexpr int64_t kBatchRows = 64;  // decoded at once: of images of 1 MiB, 64 MiB

absl::Status Torn(const std::string& name, const arrow::Status& why) {
  return Error(absl::StatusCode::kDataLoss, reason::kPoolCorrupt,
               absl::StrCat(name, " is not a whole Parquet file: ", why.message()))
      .Hint("copy or make the file again")
      .With("path", name);
}

absl::Status WrongColumns(const std::string& name, absl::string_view what,
                          const arrow::Schema& schema) {
  std::vector<std::string> columns;
  for (const auto& field : schema.fields())
    columns.push_back(absl::StrCat(field->name(), " (", field->type()->ToString(), ")"));
  return Error(absl::StatusCode::kInvalidArgument, reason::kSourceColumns,
               absl::StrCat(name, " ", what, "; it has the columns ", absl::StrJoin(columns, ", ")))
      .Field("sources")
      .Hint(
          "name the columns image or bytes (binary, or a struct with bytes), or url (text); and, "
          "optional, label (integer), country and visibility (text), captured_at (timestamp)")
      .With("path", name);
}

// Where in the schema each value is, -1: nowhere.
struct Columns {
  int bytes = -1, url = -1, label = -1, country = -1, visibility = -1, captured_at = -1;
  std::vector<int> All() const {
    std::vector<int> all;
    for (const int column : {bytes, url, label, country, visibility, captured_at})
      if (column >= 0) all.push_back(column);
    return all;
  }
};

// The binary field of an image column: itself, or its child "bytes".
bool HoldsBytes(const arrow::DataType& type) {
  if (type.id() != arrow::Type::STRUCT) return IsBytes(type);
  const auto field = static_cast<const arrow::StructType&>(type).GetFieldByName("bytes");
  return field != nullptr && IsBytes(*field->type());
}

absl::StatusOr<Columns> FindColumns(const std::string& name, const arrow::Schema& schema) {
  Columns columns;
  absl::Status wrong;
  const auto find = [&](const char* column, bool (*fits)(const arrow::DataType&),
                        const char* wanted) {
    const int index = schema.GetFieldIndex(column);
    if (index < 0 || fits(*schema.field(index)->type())) return index;
    wrong =
        WrongColumns(name, absl::StrCat("has a column ", column, " that is no ", wanted), schema);
    return -1;
  };
  columns.bytes = find("image", HoldsBytes, "image: binary or a struct with bytes");
  if (columns.bytes < 0) columns.bytes = find("bytes", HoldsBytes, "image: binary");
  columns.url = find("url", IsText, "text");
  columns.label = find("label", IsInteger, "integer");
  columns.country = find("country", IsText, "text");
  columns.visibility = find("visibility", IsText, "text");
  columns.captured_at = find("captured_at", IsTime, "time");
  SEER_RETURN_IF_ERROR(wrong);
  if (columns.bytes < 0 && columns.url < 0)
    return WrongColumns(name, "has neither a column image or bytes nor a column url", schema);
  return columns;
}

std::shared_ptr<arrow::Array> ImageBytes(const std::shared_ptr<arrow::Array>& column) {
  if (column->type_id() != arrow::Type::STRUCT) return column;
  return static_cast<const arrow::StructArray&>(*column).GetFieldByName("bytes");
}

class ParquetSource final : public ImageSource {
 public:
  ParquetSource(std::string name, const SourceOptions& options,
                std::unique_ptr<parquet::arrow::FileReader> reader,
                std::unique_ptr<arrow::RecordBatchReader> batches)
      : name_(std::move(name)),
        options_(options),
        reader_(std::move(reader)),
        batches_(std::move(batches)),
        total_(reader_->parquet_reader()->metadata()->num_rows()),
        ahead_(options.downloads, [this] { return NextRow(); }) {}

  absl::StatusOr<std::optional<SourceImage>> Next() override { return ahead_.Next(); }
  int64_t total() const override { return total_; }

 private:
  // What the row says is copied here; what it points to is downloaded on another thread.
  absl::StatusOr<ReadAhead::Fetch> NextRow() {
    while (batch_ == nullptr || row_ == batch_->num_rows()) {
      row_ = 0;
      const arrow::Status read = batches_->ReadNext(&batch_);
      if (!read.ok()) return Torn(name_, read);
      if (batch_ == nullptr) return ReadAhead::Fetch();
    }
    const int64_t row = row_++;
    auto image = std::make_shared<SourceImage>();
    image->source = absl::StrCat(name_, "#", rows_read_++);
    if (const auto label = batch_->GetColumnByName("label")) {
      const int64_t value = IntegerAt(*label, row).value_or(-1);
      if (value >= 0 && value <= std::numeric_limits<int32_t>::max())
        image->label = static_cast<int32_t>(value);
    }
    image->country = std::string(TextOf("country", row));
    image->visibility = std::string(TextOf("visibility", row));
    if (const auto time = batch_->GetColumnByName("captured_at"))
      image->captured_at = TimeAt(*time, row);
    for (const char* name : {"image", "bytes"}) {
      const auto column = batch_->GetColumnByName(name);
      if (column == nullptr || column->IsNull(row)) continue;
      const auto bytes = BytesAt(*ImageBytes(column), row);
      if (!bytes) continue;
      image->bytes = std::string(bytes->substr(0, static_cast<size_t>(options_.max_bytes) + 1));
      return ReadAhead::Fetch([image]() -> absl::StatusOr<SourceImage> { return *image; });
    }
    const std::string url(TextOf("url", row));
    if (!IsUrl(url)) {
      image->failure = Error(absl::StatusCode::kUnavailable, reason::kDownloadFailed,
                             absl::StrCat(image->source,
                                          " has neither bytes nor an http or https "
                                          "URL"));
      return ReadAhead::Fetch([image]() -> absl::StatusOr<SourceImage> { return *image; });
    }
    return ReadAhead::Fetch(
        [image, url, max_bytes = options_.max_download_bytes]() -> absl::StatusOr<SourceImage> {
          SourceImage downloaded = Download(url, max_bytes);
          image->source = std::move(downloaded.source);
          image->bytes = std::move(downloaded.bytes);
          image->failure = std::move(downloaded.failure);
          return std::move(*image);
        });
  }

  absl::string_view TextOf(const char* name, int64_t row) const {
    const auto column = batch_->GetColumnByName(name);
    return column == nullptr ? "" : BytesAt(*column, row).value_or("");
  }

  const std::string name_;
  const SourceOptions options_;
  const std::unique_ptr<parquet::arrow::FileReader> reader_;
  const std::unique_ptr<arrow::RecordBatchReader> batches_;
  const int64_t total_;
  std::shared_ptr<arrow::RecordBatch> batch_;
  int64_t row_ = 0;  // within the batch
  int64_t rows_read_ = 0;
  ReadAhead ahead_;
};

arrow::Result<std::unique_ptr<parquet::arrow::FileReader>> OpenReader(const std::string& path) {
  ARROW_ASSIGN_OR_RAISE(const auto file, arrow::io::ReadableFile::Open(path));
  parquet::arrow::FileReaderBuilder builder;
  ARROW_RETURN_NOT_OK(builder.Open(file));
  parquet::ArrowReaderProperties properties;
  properties.set_batch_size(kBatchRows);
  properties.set_pre_buffer(false);  // a row group may be as large as the file
  std::unique_ptr<parquet::arrow::FileReader> reader;
  ARROW_RETURN_NOT_OK(builder.properties(properties)->Build(&reader));
  return reader;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ImageSource>> OpenParquetSource(const std::string& path,
                                                               const std::string& name,
                                                               const SourceOptions& options) {
  if (::access(path.c_str(), R_OK) != 0) {
    return Error(absl::StatusCode::kNotFound, reason::kSourceNotFound,
                 absl::StrCat("cannot read ", name))
        .With("path", name);
  }
  auto reader = OpenReader(path);
  if (!reader.ok()) return Torn(name, reader.status());
  std::shared_ptr<arrow::Schema> schema;
  if (const arrow::Status read = (*reader)->GetSchema(&schema); !read.ok()) return Torn(name, read);
  SEER_ASSIGN_OR_RETURN(const Columns columns, FindColumns(name, *schema));
  // Parquet counts leaves: those below the wanted columns.
  std::vector<int> leaves;
  const parquet::SchemaDescriptor& descriptor = *(*reader)->parquet_reader()->metadata()->schema();
  for (const int column : columns.All()) {
    for (int leaf = 0; leaf < descriptor.num_columns(); ++leaf) {
      const std::string path_of_leaf = descriptor.Column(leaf)->path()->ToDotString();
      const std::string& wanted = schema->field(column)->name();
      const bool whole = path_of_leaf == wanted;
      if (whole || path_of_leaf == wanted + ".bytes") leaves.push_back(leaf);
    }
  }
  std::vector<int> row_groups;
  for (int group = 0; group < (*reader)->num_row_groups(); ++group) row_groups.push_back(group);
  auto batches = (*reader)->GetRecordBatchReader(row_groups, leaves);
  if (!batches.ok()) return Torn(name, batches.status());
  return std::make_unique<ParquetSource>(name, options, std::move(*reader), std::move(*batches));
}

}  // namespace seer::dataservice
