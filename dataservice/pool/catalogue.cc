#include "dataservice/pool/catalogue.h"

#include <arrow/api.h>
#include <arrow/io/interfaces.h>
#include <arrow/io/memory.h>
#include <parquet/arrow/reader.h>
#include <parquet/arrow/writer.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer::dataservice {
namespace {

absl::Status Corrupt(const std::string& where, const std::string& why) {
  return Error(absl::StatusCode::kDataLoss, reason::kPoolCorrupt,
               absl::StrCat(where, " cannot be read: ", why))
      .Hint("restore the file from a copy of the pool, or ingest into a new pool");
}

absl::Status NotWritten(const arrow::Status& status) {
  return absl::InternalError(absl::StrCat("writing the catalogue: ", status.ToString()));
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

arrow::Result<std::shared_ptr<arrow::Table>> ToTable(const std::vector<CatalogueRow>& rows) {
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
  return arrow::Table::Make(CatalogueSchema(), columns);
}

// An object as Arrow reads files. Keeps the store's first error, which Arrow has no room for.
class ObjectFile final : public arrow::io::RandomAccessFile {
 public:
  ObjectFile(ObjectStore& objects, std::string key, int64_t size)
      : objects_(objects), key_(std::move(key)), size_(size) {}

  absl::Status status() const ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    return status_;
  }

  arrow::Result<std::shared_ptr<arrow::Buffer>> ReadAt(int64_t position, int64_t bytes) override {
    auto read = objects_.GetRange(key_, position, bytes);
    if (read.ok()) return arrow::Buffer::FromString(std::move(*read));
    absl::MutexLock lock(&mu_);
    if (status_.ok()) status_ = read.status();
    return arrow::Status::IOError(std::string(read.status().message()));
  }
  arrow::Result<int64_t> ReadAt(int64_t position, int64_t bytes, void* out) override {
    ARROW_ASSIGN_OR_RAISE(const auto buffer, ReadAt(position, bytes));
    std::memcpy(out, buffer->data(), static_cast<size_t>(buffer->size()));
    return buffer->size();
  }
  arrow::Result<int64_t> Read(int64_t bytes, void* out) override {
    ARROW_ASSIGN_OR_RAISE(const int64_t got, ReadAt(at_, bytes, out));
    at_ += got;
    return got;
  }
  arrow::Result<std::shared_ptr<arrow::Buffer>> Read(int64_t bytes) override {
    ARROW_ASSIGN_OR_RAISE(auto buffer, ReadAt(at_, bytes));
    at_ += buffer->size();
    return buffer;
  }
  arrow::Result<int64_t> GetSize() override { return size_; }
  arrow::Result<int64_t> Tell() const override { return at_; }
  arrow::Status Seek(int64_t position) override {
    at_ = position;
    return arrow::Status::OK();
  }
  arrow::Status Close() override {
    closed_ = true;
    return arrow::Status::OK();
  }
  bool closed() const override { return closed_; }

 private:
  ObjectStore& objects_;
  const std::string key_;
  const int64_t size_;
  int64_t at_ = 0;
  bool closed_ = false;
  mutable absl::Mutex mu_;  // Arrow reads ahead on threads of its own
  absl::Status status_ ABSL_GUARDED_BY(mu_);
};

using Columns = std::vector<std::shared_ptr<arrow::Array>>;

// The named columns of each row group, or of group `only`, each in one chunk; `status` is the
// visitor's.
arrow::Status ReadGroups(const std::shared_ptr<ObjectFile>& file,
                         const std::vector<std::string>& names, std::optional<int> only,
                         absl::FunctionRef<absl::Status(const Columns&)> visit,
                         absl::Status& status) {
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
  for (int group = 0; status.ok() && group < reader->num_row_groups(); ++group) {
    if (only && group != *only) continue;
    ARROW_ASSIGN_OR_RAISE(auto table, reader->ReadRowGroup(group, indices));
    ARROW_ASSIGN_OR_RAISE(table, table->CombineChunks());
    if (table->num_rows() == 0) continue;
    Columns columns;
    for (const std::string& name : names) columns.push_back(table->GetColumnByName(name)->chunk(0));
    status = visit(columns);
  }
  return arrow::Status::OK();
}

absl::Status ForEachGroup(ObjectStore& objects, const std::string& key,
                          const std::vector<std::string>& names, std::optional<int> only,
                          absl::FunctionRef<absl::Status(const Columns&)> visit) {
  SEER_ASSIGN_OR_RETURN(const ObjectInfo info, objects.Stat(key));
  const auto file = std::make_shared<ObjectFile>(objects, key, info.size_bytes);
  absl::Status visited;
  const arrow::Status read = ReadGroups(file, names, only, visit, visited);
  SEER_RETURN_IF_ERROR(visited);
  SEER_RETURN_IF_ERROR(file->status());
  return read.ok() ? absl::OkStatus() : Corrupt(key, read.message());
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

struct ParquetBuilder::Impl {
  std::vector<CatalogueRow> group;
  std::shared_ptr<arrow::io::BufferOutputStream> out;
  std::unique_ptr<parquet::arrow::FileWriter> writer;

  arrow::Status Open() {
    ARROW_ASSIGN_OR_RAISE(out, arrow::io::BufferOutputStream::Create());
    const auto properties =
        parquet::WriterProperties::Builder().compression(parquet::Compression::ZSTD)->build();
    return parquet::arrow::FileWriter::Open(
               *CatalogueSchema(), arrow::default_memory_pool(), out, properties,
               parquet::ArrowWriterProperties::Builder().store_schema()->build())
        .Value(&writer);
  }
  arrow::Status WriteGroup() {
    if (!writer) ARROW_RETURN_NOT_OK(Open());
    if (group.empty()) return arrow::Status::OK();
    ARROW_ASSIGN_OR_RAISE(const auto table, ToTable(group));
    group.clear();
    return writer->WriteTable(*table, kRowGroupRows);
  }
  arrow::Result<std::string> Finish() {
    ARROW_RETURN_NOT_OK(WriteGroup());
    ARROW_RETURN_NOT_OK(writer->Close());
    ARROW_ASSIGN_OR_RAISE(const auto buffer, out->Finish());
    return buffer->ToString();
  }
};

ParquetBuilder::ParquetBuilder() : impl_(std::make_unique<Impl>()) {}
ParquetBuilder::~ParquetBuilder() = default;

absl::Status ParquetBuilder::Add(CatalogueRow row) {
  impl_->group.push_back(std::move(row));
  if (static_cast<int64_t>(impl_->group.size()) < kRowGroupRows) return absl::OkStatus();
  const arrow::Status written = impl_->WriteGroup();
  return written.ok() ? absl::OkStatus() : NotWritten(written);
}

absl::StatusOr<std::string> ParquetBuilder::Finish() {
  auto bytes = impl_->Finish();
  if (!bytes.ok()) return NotWritten(bytes.status());
  return std::move(*bytes);
}

absl::Status ForEachRow(ObjectStore& objects, const std::string& key,
                        absl::FunctionRef<absl::Status(CatalogueRow)> visit,
                        std::optional<int> group) {
  const auto rows = [&](const Columns& c) -> absl::Status {
    for (int64_t n = 0; n < c[0]->length(); ++n) {
      CatalogueRow row;
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
      SEER_RETURN_IF_ERROR(visit(std::move(row)));
    }
    return absl::OkStatus();
  };
  return ForEachGroup(objects, key,
                      {"id", "shard", "offset", "size", "width", "height", "format", "source",
                       "country", "visibility", "captured_at", "added_in", "label"},
                      group, rows);
}

absl::Status ForEachIdentity(ObjectStore& objects, const std::string& key,
                             absl::FunctionRef<void(const RowIdentity&)> visit) {
  const auto rows = [&](const Columns& c) {
    for (int64_t n = 0; n < c[0]->length(); ++n) {
      const auto source = As<arrow::StringArray>(c[1]).GetView(n);
      visit({IdAt(c[0], n), absl::string_view(source.data(), source.size()),
             c[2]->IsValid(n) ? As<arrow::Int32Array>(c[2]).Value(n) : -1});
    }
    return absl::OkStatus();
  };
  return ForEachGroup(objects, key, {"id", "source", "label"}, std::nullopt, rows);
}

}  // namespace seer::dataservice
