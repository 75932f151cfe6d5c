#include "dataservice/ingest/parquet_source.h"

#include <arrow/api.h>
#include <arrow/io/file.h>
#include <parquet/arrow/reader.h>
#include <parquet/arrow/schema.h>
#include <parquet/exception.h>
#include <parquet/file_reader.h>
#include <unistd.h>

#include <algorithm>
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

constexpr int64_t kBatchRows = 64;       // decoded at once: of images of 1 MiB, 64 MiB
constexpr int64_t kPieceUrls = 1024;     // rows
constexpr int64_t kUrlBytes = 64 << 10;  // nobody knows: of a picture on a web page

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
  // Of what `batches` bring, which begin with row `first` of the file, the rows [begin, end).
  ParquetSource(std::string name, const SourceOptions& options,
                std::unique_ptr<parquet::arrow::FileReader> reader,
                std::unique_ptr<arrow::RecordBatchReader> batches, int64_t first, int64_t begin,
                int64_t end)
      : name_(std::move(name)),
        options_(options),
        reader_(std::move(reader)),
        batches_(std::move(batches)),
        end_(end),
        skip_(begin - first),
        next_row_(begin),
        ahead_(options.downloads, [this] { return NextRow(); }) {}

  absl::StatusOr<std::optional<SourceImage>> Next() override { return ahead_.Next(); }

 private:
  // What the row says is copied here; what it points to is downloaded on another thread.
  absl::StatusOr<ReadAhead::Fetch> NextRow() {
    if (next_row_ == end_) return ReadAhead::Fetch();
    while (batch_ == nullptr || row_ >= batch_->num_rows()) {
      const arrow::Status read = batches_->ReadNext(&batch_);
      if (!read.ok()) return Torn(name_, read);
      if (batch_ == nullptr) return ReadAhead::Fetch();
      row_ = std::min(skip_, batch_->num_rows());
      skip_ -= row_;
    }
    const int64_t row = row_++;
    auto image = std::make_shared<SourceImage>();
    image->source = absl::StrCat(name_, "#", next_row_++);
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
  const int64_t end_;  // row of the file
  int64_t skip_;       // rows that come before the first one
  int64_t next_row_;   // of the file
  std::shared_ptr<arrow::RecordBatch> batch_;
  int64_t row_ = 0;  // within the batch
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

// A file that has passed its checks.
struct Opened {
  std::unique_ptr<parquet::arrow::FileReader> reader;
  std::shared_ptr<arrow::Schema> schema;
  Columns columns;
  const parquet::FileMetaData& metadata() const { return *reader->parquet_reader()->metadata(); }
};

absl::StatusOr<Opened> Open(const std::string& path, const std::string& name) {
  if (::access(path.c_str(), R_OK) != 0) {
    return Error(absl::StatusCode::kNotFound, reason::kSourceNotFound,
                 absl::StrCat("cannot read ", name))
        .With("path", name);
  }
  auto reader = OpenReader(path);
  if (!reader.ok()) return Torn(name, reader.status());
  Opened opened{std::move(*reader), nullptr, {}};
  if (const arrow::Status read = opened.reader->GetSchema(&opened.schema); !read.ok())
    return Torn(name, read);
  SEER_ASSIGN_OR_RETURN(opened.columns, FindColumns(name, *opened.schema));
  return opened;
}

// Parquet counts leaves: those below the wanted columns.
std::vector<int> LeavesOf(const Opened& opened) {
  std::vector<int> leaves;
  const parquet::SchemaDescriptor& descriptor = *opened.metadata().schema();
  for (const int column : opened.columns.All()) {
    for (int leaf = 0; leaf < descriptor.num_columns(); ++leaf) {
      const std::string path_of_leaf = descriptor.Column(leaf)->path()->ToDotString();
      const std::string& wanted = opened.schema->field(column)->name();
      const bool whole = path_of_leaf == wanted;
      if (whole || path_of_leaf == wanted + ".bytes") leaves.push_back(leaf);
    }
  }
  return leaves;
}

}  // namespace

absl::StatusOr<std::vector<FilePiece>> ListRows(const std::string& path, const std::string& name) {
  SEER_ASSIGN_OR_RETURN(const Opened opened, Open(path, name));
  std::vector<FilePiece> pieces;
  const auto add = [&](int64_t first, int64_t rows, int64_t bytes) {
    FilePiece& piece = pieces.emplace_back();
    piece.path = path;
    piece.first = first;
    piece.count = piece.images = rows;
    piece.bytes = bytes + rows * BytesInShard(0, opened.columns.label >= 0);
  };
  int64_t first = 0;
  for (int group = 0; group < opened.metadata().num_row_groups(); ++group) {
    const auto metadata = opened.metadata().RowGroup(group);
    const int64_t end = first + metadata->num_rows();
    if (opened.columns.bytes >= 0) {
      if (first < end) add(first, end - first, metadata->total_byte_size());
      first = end;
    }
    for (; first < end; first += std::min(kPieceUrls, end - first)) {
      const int64_t rows = std::min(kPieceUrls, end - first);
      add(first, rows, rows * kUrlBytes);
    }
  }
  return pieces;
}

absl::StatusOr<std::unique_ptr<ImageSource>> OpenRows(const FilePiece& piece,
                                                      const std::string& name,
                                                      const SourceOptions& options) {
  SEER_ASSIGN_OR_RETURN(Opened opened, Open(piece.path, name));
  const int64_t rows = opened.metadata().num_rows();
  const int64_t begin = std::min(piece.first, rows);
  const int64_t end = piece.count < 0 ? rows : begin + std::min(piece.count, rows - begin);
  std::vector<int> row_groups;
  int64_t first = 0;  // of the first such group
  int64_t at = 0;
  for (int group = 0; group < opened.metadata().num_row_groups(); ++group) {
    const int64_t next = at + opened.metadata().RowGroup(group)->num_rows();
    if (at < end && next > begin) {
      if (row_groups.empty()) first = at;
      row_groups.push_back(group);
    }
    at = next;
  }
  auto batches = opened.reader->GetRecordBatchReader(row_groups, LeavesOf(opened));
  if (!batches.ok()) return Torn(name, batches.status());
  return std::make_unique<ParquetSource>(name, options, std::move(opened.reader),
                                         std::move(*batches), first, begin, end);
}

}  // namespace seer::dataservice
