// The pool's files: what is written is what is read, and other tools can read it.
#include <gtest/gtest.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/objectstore/memory_store.h"
#include "dataservice/pool/catalogue.h"
#include "dataservice/pool/manifest.h"
#include "dataservice/pool/pool_store.h"
#include "dataservice/pool/quarantine.h"
#include "dataservice/pool/tar_shard.h"
#include "tests/support/image_files.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer::dataservice {
namespace {

using testing::FailsWith;

std::vector<CatalogueRow> Rows(int count) {
  std::vector<CatalogueRow> rows;
  for (int i = 0; i < count; ++i) {
    CatalogueRow row;
    for (size_t b = 0; b < row.id.size(); ++b) row.id[b] = static_cast<uint8_t>(i + 7 * b);
    row.shard = i % 3;
    row.offset = int64_t{512} * i + (int64_t{1} << 33);
    row.size = 100 + i;
    row.width = 640 + i;
    row.height = 480 - i;
    row.format = i % 2 == 0 ? "jpeg" : "webp";
    row.source = absl::StrCat("/folder/\xC3\xA4 ", i, ".jpg");
    if (i % 2 == 0) row.country = "CH";
    if (i % 3 == 0) row.visibility = "public";
    if (i % 4 != 0) row.captured_at = absl::FromUnixMicros(1'600'000'000'123'456 + i);
    row.added_in = 1 + i % 2;
    row.label = i % 5 == 0 ? -1 : i % 5;
    rows.push_back(row);
  }
  return rows;
}

TEST(Catalogue, ComesBackAsItWasWritten) {
  for (const int count : {0, 1, 257}) {
    const auto rows = Rows(count);
    ASSERT_OK_AND_ASSIGN(const std::string parquet, WriteCatalogue(rows));
    EXPECT_EQ(parquet.substr(0, 4), "PAR1");
    ASSERT_OK_AND_ASSIGN(const auto read, ReadCatalogue(parquet, "here"));
    ASSERT_EQ(read.size(), rows.size());
    std::vector<ImageLocation> locations(1);  // appended to, not replaced
    ASSERT_OK(ReadLocations(parquet, "here", locations));
    ASSERT_EQ(locations.size(), rows.size() + 1);
    for (size_t i = 0; i < rows.size(); ++i) {
      const CatalogueRow &a = rows[i], &b = read[i];
      EXPECT_EQ(std::tie(a.id, a.shard, a.offset, a.size, a.width, a.height, a.format, a.source),
                std::tie(b.id, b.shard, b.offset, b.size, b.width, b.height, b.format, b.source));
      EXPECT_EQ(std::tie(a.country, a.visibility, a.captured_at, a.added_in, a.label),
                std::tie(b.country, b.visibility, b.captured_at, b.added_in, b.label));
      const ImageLocation& l = locations[i + 1];
      EXPECT_EQ(std::tie(a.id, a.offset, a.size, a.shard, a.width, a.height, a.label),
                std::tie(l.id, l.offset, l.size, l.shard, l.width, l.height, l.label));
    }
  }
}

TEST(Catalogue, DamageIsSaidWithTheFilesName) {
  ASSERT_OK_AND_ASSIGN(const std::string parquet, WriteCatalogue(Rows(50)));
  for (size_t size = 0; size < parquet.size(); size += 97) {
    EXPECT_THAT(ReadCatalogue(parquet.substr(0, size), "pool/x.parquet"),
                FailsWith(absl::StatusCode::kDataLoss, reason::kPoolCorrupt, "pool/x.parquet"));
  }
}

TEST(PoolStore, ACatalogueThatPointsOutsideItsShardsIsRefused) {
  const auto memory = MakeMemoryStore();
  PoolStore store(*memory, Clock::Real());
  ASSERT_OK(store.Create("p", {}));
  Manifest manifest;
  manifest.shards = {{"a.tar", 1000, 1}};
  CatalogueRow row;
  row.format = "png";
  row.offset = 900;
  row.size = 100;
  manifest.generation = 1;
  ASSERT_OK(store.Commit("p", manifest, {row}));
  EXPECT_OK(store.ReadGeneration("p", 1));
  int64_t generation = 1;
  for (const auto& [shard, offset, size] :
       {std::tuple(0, int64_t{901}, int64_t{100}), std::tuple(1, int64_t{0}, int64_t{1}),
        std::tuple(-1, int64_t{0}, int64_t{1}), std::tuple(0, int64_t{-1}, int64_t{1}),
        std::tuple(0, int64_t{0}, int64_t{-1}),
        std::tuple(0, int64_t{500}, std::numeric_limits<int64_t>::max())}) {
    row.shard = shard;
    row.offset = offset;
    row.size = size;
    manifest.generation = ++generation;
    ASSERT_OK(store.Commit("p", manifest, {row}));
    EXPECT_THAT(store.ReadGeneration("p", generation),
                FailsWith(absl::StatusCode::kDataLoss, reason::kPoolCorrupt, "outside its shards"))
        << shard << " " << offset << " " << size;
  }
}

// A tar header by the book (POSIX ustar), read without a library.
struct Header {
  std::string name;
  int64_t size = 0;
  char type = 0;
};
Header ReadHeader(absl::string_view block) {
  EXPECT_EQ(block.size(), 512u);
  EXPECT_EQ(block.substr(257, 5), "ustar");
  unsigned sum = 0;
  for (size_t i = 0; i < 512; ++i)
    sum += i >= 148 && i < 156 ? unsigned{' '} : static_cast<uint8_t>(block[i]);
  EXPECT_EQ(std::stoul(std::string(block.substr(148, 6)), nullptr, 8), sum);
  return {std::string(block.data(), strnlen(block.data(), 100)),
          static_cast<int64_t>(std::stoull(std::string(block.substr(124, 11)), nullptr, 8)),
          block[156]};
}

TEST(TarShard, IsAWebDatasetTar) {
  const std::vector<std::pair<std::string, std::string>> members = {
      {"0a1b-0.jpg", testing::MakeJpeg(9, 9, 1)},
      {"0a1b-0.cls", "3"},
      {"ff00-1.png", std::string(512, 'x')},
      {"ff00-1.cls", ""}};
  TarShardBuilder builder;
  std::vector<int64_t> offsets;
  for (const auto& [name, bytes] : members) {
    ASSERT_OK_AND_ASSIGN(const int64_t offset, builder.Add(name, bytes));
    offsets.push_back(offset);
  }
  ASSERT_OK_AND_ASSIGN(const std::string tar, builder.Finish());
  size_t at = 0;
  for (size_t i = 0; i < members.size(); ++i) {
    const Header header = ReadHeader(absl::string_view(tar).substr(at, 512));
    EXPECT_EQ(header.name, members[i].first);
    EXPECT_EQ(header.type, '0');
    ASSERT_EQ(header.size, static_cast<int64_t>(members[i].second.size()));
    EXPECT_EQ(offsets[i], static_cast<int64_t>(at + 512));
    EXPECT_EQ(tar.substr(at + 512, members[i].second.size()), members[i].second);
    at += 512 + (members[i].second.size() + 511) / 512 * 512;
  }
  EXPECT_EQ(tar.substr(at, 1024), std::string(1024, '\0'));
  EXPECT_EQ(tar.size() % 512, 0u);

  testing::TempDir dir;
  testing::WriteFile(dir / "shard.tar", tar);
  ASSERT_OK_AND_ASSIGN(auto reader, TarReader::Open(dir / "shard.tar"));
  TarReader::Member member;
  for (const auto& [name, bytes] : members) {
    ASSERT_OK_AND_ASSIGN(const bool more, reader->Next(member, 1 << 20));
    ASSERT_TRUE(more);
    EXPECT_EQ(member.name, name);
    EXPECT_EQ(member.bytes, bytes);
  }
  ASSERT_OK_AND_ASSIGN(const bool more, reader->Next(member, 1 << 20));
  EXPECT_FALSE(more);
  // The same members give the same bytes, whenever they are written.
  TarShardBuilder again;
  for (const auto& [name, bytes] : members) ASSERT_OK(again.Add(name, bytes));
  EXPECT_EQ(*again.Finish(), tar);
}

// A tar member by hand: header, data, padding.
std::string TarMember(const std::string& name, char type, const std::string& size_octal,
                      const std::string& data) {
  std::string header(512, '\0');
  header.replace(0, name.size(), name);
  header.replace(100, 7, "0000644");
  header.replace(124, 11, size_octal);
  header.replace(136, 11, "00000000000");
  header.replace(148, 8, "        ");
  header[156] = type;
  header.replace(257, 8, std::string("ustar\00000", 8));
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<uint8_t>(c);
  char text[8];
  std::snprintf(text, sizeof(text), "%06o", sum);
  header.replace(148, 8, std::string(text, 7) + " ");
  std::string padded = data;
  padded.resize((data.size() + 511) / 512 * 512, '\0');
  return header + padded;
}

std::string Octal(size_t size) {
  char text[16];
  std::snprintf(text, sizeof(text), "%011zo", size);
  return text;
}

TEST(TarReader, NamesOfAnyAlphabetAndLength) {
  // As pax writes them; the C locale cannot convert the first one.
  std::string tar;
  const std::vector<std::string> names = {"folder/\xE7\x8C\xAB-\xC3\xA9.jpg",
                                          std::string(180, 'n') + ".jpg", "\xFF\xFE not utf-8.jpg"};
  for (const std::string& name : names) {
    std::string record = " path=" + name + "\n";
    size_t length = record.size() + 2;
    while (absl::StrCat(length).size() + record.size() != length) ++length;
    record = absl::StrCat(length, record);
    tar += TarMember("PaxHeader/x", 'x', Octal(record.size()), record);
    tar += TarMember("short.jpg", '0', Octal(3), "abc");
  }
  tar += std::string(1024, '\0');
  testing::TempDir dir;
  testing::WriteFile(dir / "names.tar", tar);
  ASSERT_OK_AND_ASSIGN(auto reader, TarReader::Open(dir / "names.tar"));
  TarReader::Member member;
  for (const std::string& name : names) {
    ASSERT_OK_AND_ASSIGN(const bool more, reader->Next(member, 1 << 20));
    ASSERT_TRUE(more);
    EXPECT_EQ(member.name, name);
    EXPECT_EQ(member.bytes, "abc");
  }
}

TEST(TarReader, CutOffOversizedAndNotATar) {
  testing::TempDir dir;
  TarShardBuilder builder;
  ASSERT_OK(builder.Add("a.jpg", std::string(3000, 'a')));
  ASSERT_OK_AND_ASSIGN(const std::string tar, builder.Finish());
  const auto next = [&](const std::string& bytes, TarReader::Member& member,
                        int64_t max_bytes) -> absl::StatusOr<bool> {
    testing::WriteFile(dir / "t.tar", bytes);
    SEER_ASSIGN_OR_RETURN(auto reader, TarReader::Open(dir / "t.tar"));
    return reader->Next(member, max_bytes);
  };
  TarReader::Member member;
  for (const size_t size : {100u, 511u, 513u, 1000u, 3000u}) {
    EXPECT_THAT(next(tar.substr(0, size), member, 1 << 20),
                FailsWith(absl::StatusCode::kDataLoss, reason::kPoolCorrupt, "t.tar"))
        << size;
  }
  EXPECT_THAT(next(std::string(2000, 'q'), member, 1 << 20),
              FailsWith(absl::StatusCode::kDataLoss, reason::kPoolCorrupt, "t.tar"));
  EXPECT_THAT(TarReader::Open(dir / "absent.tar"),
              FailsWith(absl::StatusCode::kNotFound, reason::kSourceNotFound, "absent.tar"));
  ASSERT_OK(next(tar, member, 100));
  EXPECT_EQ(member.bytes.size(), 101u) << "one more than the limit tells that it was exceeded";
  // A size that the file does not hold: refused before the memory is there.
  const std::string liar = TarMember("a.jpg", '0', "77777777777", "abc") + std::string(1024, '\0');
  EXPECT_THAT(next(liar, member, 1 << 20),
              FailsWith(absl::StatusCode::kDataLoss, reason::kPoolCorrupt, "t.tar"));
}

TEST(Quarantine, ComesBackOldestFirst) {
  const auto store = MakeMemoryStore();
  ASSERT_OK_AND_ASSIGN(const auto none, ReadQuarantine(*store, "p"));
  EXPECT_TRUE(none.empty());
  const absl::Time time = absl::FromUnixMicros(1'600'000'000'123'456);
  ASSERT_OK(WriteQuarantine(*store, "p", "00000010-bb.jsonl",
                            {{"/d/z.jpg", "IMAGE_CORRUPT", "third", time}}));
  ASSERT_OK(WriteQuarantine(*store, "p", "00000009-cc.jsonl",
                            {{"/d/line\nbreak \"q\".jpg", "IMAGE_TRUNCATED", "first", time},
                             {"/d/\xFF not utf-8.jpg", "UNKNOWN_FORMAT", "second", time}}));
  ASSERT_OK(WriteQuarantine(*store, "other", "00000001-aa.jsonl", {{"x", "y", "z", time}}));
  ASSERT_OK_AND_ASSIGN(const auto images, ReadQuarantine(*store, "p"));
  ASSERT_EQ(images.size(), 3u);
  EXPECT_EQ(images[0].source, "/d/line\nbreak \"q\".jpg");
  EXPECT_EQ(images[0].reason, "IMAGE_TRUNCATED");
  EXPECT_EQ(images[0].time, time);
  EXPECT_EQ(images[1].message, "second");
  EXPECT_EQ(images[2].message, "third");
  ASSERT_OK(store->Put("p/quarantine/00000011-dd.jsonl", "{\"source\": 1}\n"));
  EXPECT_THAT(ReadQuarantine(*store, "p"),
              FailsWith(absl::StatusCode::kDataLoss, reason::kPoolCorrupt, "00000011-dd"));
}

TEST(Manifest, ComesBackAsItWasWritten) {
  Manifest manifest;
  manifest.generation = 12;
  manifest.parent = 11;
  manifest.created = absl::FromUnixMicros(1'600'000'000'123'456);
  manifest.request_id = "req \"1\"";
  manifest.catalogue_files = {"images-1.parquet"};
  manifest.shards = {{"a.tar", int64_t{1} << 40, 3}, {"b.tar", 5, 1}};
  manifest.images = 4;
  manifest.size_bytes = 99;
  manifest.labelled_images = 2;
  manifest.classes = 2;
  manifest.formats = {{"jpeg", 3}, {"png", 1}};
  manifest.refused = {{"too_old", 7}};
  manifest.quarantined = 8;
  const std::string json = ToJson(manifest);
  ASSERT_OK_AND_ASSIGN(const Manifest read, ManifestFromJson(json, "m"));
  EXPECT_EQ(ToJson(read), json);
  EXPECT_EQ(read.created, manifest.created);
  EXPECT_EQ(read.shards[0].size_bytes, int64_t{1} << 40);
  EXPECT_EQ(read.refused, manifest.refused);
  for (const char* bad : {"", "{}", "[]", "null", R"({"schema_version": 1, "generation": "x"})"}) {
    EXPECT_THAT(ManifestFromJson(bad, "the/manifest"),
                FailsWith(absl::StatusCode::kDataLoss, reason::kPoolCorrupt, "the/manifest"));
  }
  std::string newer = json;
  newer.replace(newer.find("\"schema_version\": 1"), 19, "\"schema_version\": 2");
  EXPECT_THAT(ManifestFromJson(newer, "m"),
              FailsWith(absl::StatusCode::kDataLoss, reason::kPoolCorrupt, "newer"));
}

}  // namespace
}  // namespace seer::dataservice
