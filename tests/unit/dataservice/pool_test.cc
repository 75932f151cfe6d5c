// The pool's files: what is written is what is read, and other tools can read it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <functional>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/blocking_counter.h"
#include "common/base/status_macros.h"
#include "common/base/thread.h"
#include "common/objectstore/faulty_store.h"
#include "common/objectstore/memory_store.h"
#include "dataservice/pool/catalogue.h"
#include "dataservice/pool/catalogue_writer.h"
#include "dataservice/pool/location_index.h"
#include "dataservice/pool/manifest.h"
#include "dataservice/pool/pool_store.h"
#include "dataservice/pool/quarantine.h"
#include "dataservice/pool/read_once_cache.h"
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

absl::StatusOr<std::string> ToParquet(const std::vector<CatalogueRow>& rows) {
  ParquetBuilder builder;
  for (const CatalogueRow& row : rows) SEER_RETURN_IF_ERROR(builder.Add(row));
  return builder.Finish();
}

absl::StatusOr<std::vector<CatalogueRow>> ReadAll(ObjectStore& objects, const std::string& key) {
  std::vector<CatalogueRow> rows;
  SEER_RETURN_IF_ERROR(ForEachRow(objects, key, [&](CatalogueRow row) {
    rows.push_back(std::move(row));
    return absl::OkStatus();
  }));
  return rows;
}

TEST(Catalogue, ComesBackAsItWasWritten) {
  const auto objects = MakeMemoryStore();
  // The last has two row groups.
  for (const int count : {0, 1, 257, static_cast<int>(ParquetBuilder::kRowGroupRows) + 3}) {
    const auto rows = Rows(count);
    ASSERT_OK_AND_ASSIGN(const std::string parquet, ToParquet(rows));
    EXPECT_EQ(parquet.substr(0, 4), "PAR1");
    ASSERT_OK(objects->Put("here", parquet));
    ASSERT_OK_AND_ASSIGN(const auto read, ReadAll(*objects, "here"));
    ASSERT_EQ(read.size(), rows.size());
    size_t next = 0;
    ASSERT_OK(ForEachIdentity(*objects, "here", [&](const RowIdentity& row) {
      ASSERT_LT(next, rows.size());
      EXPECT_EQ(row.id, rows[next].id);
      EXPECT_EQ(row.source, rows[next].source);
      EXPECT_EQ(row.label, rows[next].label);
      ++next;
    }));
    EXPECT_EQ(next, rows.size());
    for (size_t i = 0; i < rows.size(); ++i) {
      const CatalogueRow &a = rows[i], &b = read[i];
      ASSERT_EQ(std::tie(a.id, a.shard, a.offset, a.size, a.width, a.height, a.format, a.source),
                std::tie(b.id, b.shard, b.offset, b.size, b.width, b.height, b.format, b.source));
      ASSERT_EQ(std::tie(a.country, a.visibility, a.captured_at, a.added_in, a.label),
                std::tie(b.country, b.visibility, b.captured_at, b.added_in, b.label));
    }
  }
}

TEST(Catalogue, TheVisitorsErrorEndsIt) {
  const auto objects = MakeMemoryStore();
  ASSERT_OK_AND_ASSIGN(const std::string parquet, ToParquet(Rows(10)));
  ASSERT_OK(objects->Put("here", parquet));
  int visits = 0;
  EXPECT_EQ(ForEachRow(*objects, "here",
                       [&](const CatalogueRow&) {
                         return ++visits == 4 ? absl::CancelledError("enough") : absl::OkStatus();
                       }),
            absl::CancelledError("enough"));
  EXPECT_EQ(visits, 4);
}

TEST(Catalogue, DamageIsSaidWithTheFilesName) {
  const auto objects = MakeMemoryStore();
  ASSERT_OK_AND_ASSIGN(const std::string parquet, ToParquet(Rows(50)));
  for (size_t size = 0; size < parquet.size(); size += 97) {
    ASSERT_OK(objects->Put("pool/x.parquet", parquet.substr(0, size)));
    EXPECT_THAT(ReadAll(*objects, "pool/x.parquet"),
                FailsWith(absl::StatusCode::kDataLoss, reason::kPoolCorrupt, "pool/x.parquet"));
  }
}

TEST(Catalogue, TheStoresErrorIsNotCalledDamage) {
  const auto memory = MakeMemoryStore();
  ASSERT_OK_AND_ASSIGN(const std::string parquet, ToParquet(Rows(50)));
  ASSERT_OK(memory->Put("x", parquet));
  Faults faults;
  faults.fail = [](absl::string_view operation, absl::string_view) {
    return operation == "get" ? absl::UnavailableError("away") : absl::OkStatus();
  };
  const auto objects = MakeFaultyStore(*memory, faults);
  EXPECT_EQ(ReadAll(*objects, "x").status(), absl::UnavailableError("away"));
  EXPECT_EQ(ReadAll(*memory, "absent").status().code(), absl::StatusCode::kNotFound);
}

// Rows that a generation may have: the shard of Committed() holds them.
std::vector<CatalogueRow> SoundRows(int count) {
  auto rows = Rows(count);
  for (CatalogueRow& row : rows) {
    row.shard = 0;
    row.height = 1 + row.width % 400;
  }
  return rows;
}

// Commits generation `number` with these rows in files of `file_rows`.
absl::Status Commit(PoolStore& store, int64_t number, const std::vector<CatalogueRow>& rows,
                    int64_t file_rows = CatalogueWriter::kFileRows) {
  Manifest manifest;
  manifest.generation = number;
  manifest.shards = {{"a.tar", int64_t{1} << 40, 1}};
  manifest.images = static_cast<int64_t>(rows.size());
  CatalogueWriter writer(store.objects(), "p", number, 0, file_rows);
  for (const CatalogueRow& row : rows) SEER_RETURN_IF_ERROR(writer.Add(row));
  SEER_ASSIGN_OR_RETURN(manifest.files, writer.Finish());
  return store.Commit("p", manifest);
}

TEST(Generation, GivesTheRowsOfAnyRange) {
  const auto objects = MakeMemoryStore();
  PoolStore store(*objects, Clock::Real());
  const auto rows = SoundRows(2100);
  ASSERT_OK(Commit(store, 1, rows, 700));  // three files; a file's last block is short
  LocationCache cache;
  ASSERT_OK_AND_ASSIGN(const auto generation, store.OpenGeneration("p", 1, cache));
  EXPECT_EQ(generation->images(), 2100);
  ASSERT_EQ(generation->manifest().files.size(), 3u);
  for (const auto& [first, count] :
       {std::pair(0, 0), std::pair(0, 1), std::pair(0, 2100), std::pair(2099, 1),
        std::pair(2100, 0), std::pair(699, 2), std::pair(255, 2), std::pair(500, 1000)}) {
    ASSERT_OK_AND_ASSIGN(const auto found, generation->Locations(first, count));
    ASSERT_EQ(found.size(), static_cast<size_t>(count));
    for (size_t i = 0; i < found.size(); ++i)
      ASSERT_EQ(found[i], rows[static_cast<size_t>(first) + i].location()) << first << " + " << i;
  }
}

TEST(Generation, TheIndexIsSixtyFourBytesARowLittleEndian) {
  CatalogueRow row;
  for (size_t i = 0; i < row.id.size(); ++i) row.id[i] = static_cast<uint8_t>(i);
  row.offset = 0x0102030405060708;
  row.size = 0x1112131415161718;
  row.shard = 0x21222324;
  row.width = 0x31323334;
  row.height = 0x41424344;
  std::string bytes, expected;
  AppendLocation(row.location(), bytes);
  for (int i = 0; i < 32; ++i) expected.push_back(static_cast<char>(i));
  expected += "\x08\x07\x06\x05\x04\x03\x02\x01\x18\x17\x16\x15\x14\x13\x12\x11";
  expected += "\x24\x23\x22\x21\x34\x33\x32\x31\x44\x43\x42\x41\xFF\xFF\xFF\xFF";
  EXPECT_EQ(bytes, expected);
}

TEST(Generation, AnIndexThatDoesNotFitIsRefusedAtOnce) {
  const auto objects = MakeMemoryStore();
  PoolStore store(*objects, Clock::Real());
  ASSERT_OK(Commit(store, 1, SoundRows(10)));
  LocationCache cache;
  ASSERT_OK_AND_ASSIGN(const Manifest manifest, store.ReadManifest("p", 1));
  const std::string key = GenerationKey("p", 1, manifest.files[0].index);
  ASSERT_OK_AND_ASSIGN(const std::string index, objects->Get(key));
  for (const size_t size : {size_t{0}, size_t{639}, size_t{641}}) {
    std::string changed = index + "more";
    changed.resize(size);
    ASSERT_OK(objects->Put(key, changed));
    EXPECT_THAT(store.OpenGeneration("p", 1, cache),
                FailsWith(absl::StatusCode::kDataLoss, reason::kPoolCorrupt, key));
  }
  ASSERT_OK(objects->Delete(key));
  EXPECT_THAT(store.OpenGeneration("p", 1, cache),
              FailsWith(absl::StatusCode::kDataLoss, reason::kPoolCorrupt, "absent"));
}

TEST(Generation, ARecordThatCannotBeIsRefusedWhenItIsRead) {
  const auto objects = MakeMemoryStore();
  PoolStore store(*objects, Clock::Real());
  const int64_t shard = int64_t{1} << 40;
  int64_t number = 0;
  const auto read = [&](const std::function<void(CatalogueRow&)>& change) {
    auto rows = SoundRows(400);
    change(rows[300]);
    EXPECT_OK(Commit(store, ++number, rows));
    LocationCache cache;
    auto generation = store.OpenGeneration("p", number, cache);
    EXPECT_OK(generation);
    EXPECT_OK((*generation)->Locations(0, 256)) << "another block is sound";
    return (*generation)->Locations(300, 1);
  };
  EXPECT_OK(read([&](CatalogueRow& row) { row.offset = shard - row.size; }));
  const std::function<void(CatalogueRow&)> changes[] = {
      [&](CatalogueRow& row) { row.offset = shard - row.size + 1; },
      [&](CatalogueRow& row) { row.shard = 1; },
      [&](CatalogueRow& row) { row.shard = -1; },
      [&](CatalogueRow& row) { row.offset = -1; },
      [&](CatalogueRow& row) { row.size = -1; },
      [&](CatalogueRow& row) { row.size = std::numeric_limits<int64_t>::max(); },
      [&](CatalogueRow& row) { row.width = 0; },
      [&](CatalogueRow& row) { row.height = -4; }};
  for (const auto& change : changes) {
    EXPECT_THAT(read(change),
                FailsWith(absl::StatusCode::kDataLoss, reason::kPoolCorrupt, "row 300"))
        << number;
  }
}

TEST(Generation, AnIndexThatIsCutOffLaterIsSaid) {
  const auto objects = MakeMemoryStore();
  PoolStore store(*objects, Clock::Real());
  ASSERT_OK(Commit(store, 1, SoundRows(400)));
  LocationCache cache;
  ASSERT_OK_AND_ASSIGN(const auto generation, store.OpenGeneration("p", 1, cache));
  const std::string key = GenerationKey("p", 1, generation->manifest().files[0].index);
  ASSERT_OK_AND_ASSIGN(const std::string index, objects->Get(key));
  ASSERT_OK(objects->Put(key, index.substr(0, 300 * 64)));
  EXPECT_THAT(generation->Locations(256, 1),
              FailsWith(absl::StatusCode::kDataLoss, reason::kPoolCorrupt, key));
  ASSERT_OK(objects->Put(key, index));
  EXPECT_OK(generation->Locations(256, 1)) << "a failure is not kept";
}

TEST(PoolStore, AGenerationReadsItsParentsFilesWhereTheyLie) {
  const auto objects = MakeMemoryStore();
  PoolStore store(*objects, Clock::Real());
  const auto rows = SoundRows(300);
  ASSERT_OK(Commit(store, 1, rows, 200));
  ASSERT_OK_AND_ASSIGN(Manifest manifest, store.ReadManifest("p", 1));
  manifest.parent = 1;
  manifest.generation = 2;
  ASSERT_OK(store.Commit("p", manifest));
  ASSERT_OK_AND_ASSIGN(const auto own, objects->List("p/generations/2/"));
  EXPECT_EQ(own.size(), 1u) << "the manifest";
  LocationCache cache;
  ASSERT_OK_AND_ASSIGN(const auto generation, store.OpenGeneration("p", 2, cache));
  ASSERT_OK_AND_ASSIGN(const auto found, generation->Locations(0, 300));
  for (size_t i = 0; i < rows.size(); ++i) ASSERT_EQ(found[i], rows[i].location());
}

TEST(PoolStore, APoolOfTheFormatBeforeIsReadAndGrows) {
  const auto objects = MakeMemoryStore();
  PoolStore store(*objects, Clock::Real());
  const auto rows = SoundRows(300);
  ASSERT_OK(Commit(store, 4, rows, 200));
  const std::string key = "p/generations/4/manifest.json";
  ASSERT_OK_AND_ASSIGN(std::string json, objects->Get(key));
  for (const auto& [from, to] : {std::pair("\"schema_version\": 3", "\"schema_version\": 2"),
                                 std::pair("\"generation\": 4,\n   \"index\"", "\"index\"")}) {
    ASSERT_NE(json.find(from), std::string::npos) << json;
    for (size_t at; (at = json.find(from)) != std::string::npos;)
      json.replace(at, std::string(from).size(), to);
  }
  ASSERT_OK(objects->Put(key, json));
  ASSERT_OK_AND_ASSIGN(Manifest manifest, store.ReadManifest("p", 4));
  manifest.parent = 4;
  manifest.generation = 5;
  ASSERT_OK(store.Commit("p", manifest));
  LocationCache cache;
  ASSERT_OK_AND_ASSIGN(const auto generation, store.OpenGeneration("p", 5, cache));
  ASSERT_OK_AND_ASSIGN(const auto found, generation->Locations(0, 300));
  for (size_t i = 0; i < rows.size(); ++i) ASSERT_EQ(found[i], rows[i].location());
}

TEST(PoolStore, AFileIsRewrittenWithoutSomeRows) {
  const auto objects = MakeMemoryStore();
  PoolStore store(*objects, Clock::Real());
  const auto rows = SoundRows(300);
  ASSERT_OK(Commit(store, 1, rows, 200));
  ASSERT_OK_AND_ASSIGN(Manifest manifest, store.ReadManifest("p", 1));
  int64_t dropped = 0;
  const auto third = [&](const CatalogueRow& row) {
    const bool drop = row.added_in == 2 && row.label == 3;
    dropped += drop ? row.size : 0;
    return drop;
  };
  ASSERT_OK_AND_ASSIGN(const auto file, store.RewriteFile("p", manifest.files[0], 2, 0, third));
  ASSERT_TRUE(file.has_value());
  ASSERT_OK_AND_ASSIGN(const auto kept, ReadAll(*objects, GenerationKey("p", 2, file->catalogue)));
  std::string index;
  size_t next = 0;
  int64_t expected = 0;
  for (size_t i = 0; i < 200; ++i) {
    if (rows[i].added_in == 2 && rows[i].label == 3) {
      expected += rows[i].size;
      continue;
    }
    ASSERT_LT(next, kept.size());
    EXPECT_EQ(kept[next++].source, rows[i].source);
    AppendLocation(rows[i].location(), index);
  }
  EXPECT_EQ(next, kept.size());
  EXPECT_EQ(dropped, expected);
  EXPECT_EQ(file->rows, static_cast<int64_t>(kept.size()));
  EXPECT_EQ(*objects->Get(GenerationKey("p", 2, file->index)), index);
  // Nothing is left of one, and nothing changes in the other.
  ASSERT_OK_AND_ASSIGN(
      const auto none,
      store.RewriteFile("p", manifest.files[1], 2, 1, [](const CatalogueRow&) { return true; }));
  EXPECT_FALSE(none.has_value());
  ASSERT_OK_AND_ASSIGN(
      const auto same,
      store.RewriteFile("p", manifest.files[1], 2, 1, [](const CatalogueRow&) { return false; }));
  EXPECT_EQ(same->catalogue, manifest.files[1].catalogue);
  EXPECT_EQ(same->index, manifest.files[1].index);
  // A catalogue that has lost rows is not taken for one that was asked to.
  manifest.files[1].rows = 101;
  EXPECT_THAT(
      store.RewriteFile("p", manifest.files[1], 2, 1, [](const CatalogueRow&) { return false; }),
      FailsWith(absl::StatusCode::kDataLoss, reason::kPoolCorrupt, "100 rows"));
}

TEST(ReadOnceCache, KeepsWhatFitsMostRecentlyUsed) {
  ReadOnceCache<int, std::string> cache(10);
  std::vector<int> read;
  const auto get = [&](int key, int64_t cost) {
    return cache.Get(key, cost, [&]() -> absl::StatusOr<std::string> {
      read.push_back(key);
      return absl::StrCat(key);
    });
  };
  EXPECT_EQ(*get(1, 4), "1");
  EXPECT_EQ(*get(2, 4), "2");
  EXPECT_EQ(*get(1, 4), "1");
  EXPECT_EQ(read, (std::vector<int>{1, 2}));
  EXPECT_EQ(*get(3, 4), "3");  // 12: the least recently used goes, 2
  EXPECT_EQ(*get(1, 4), "1");
  EXPECT_EQ(read, (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(*get(2, 4), "2");
  EXPECT_EQ(*get(4, 100), "4");  // more than fits: kept until the next
  EXPECT_EQ(*get(4, 100), "4");
  EXPECT_EQ(*get(1, 4), "1");
  EXPECT_EQ(*get(4, 100), "4");
  EXPECT_EQ(read, (std::vector<int>{1, 2, 3, 2, 4, 1, 4}));
}

TEST(ReadOnceCache, KeepsOneVersionOfAKey) {
  ReadOnceCache<int, std::shared_ptr<int>> cache(10);
  std::vector<std::weak_ptr<int>> kept;
  const auto get = [&](int64_t version) {
    const auto value = cache.Get(
        7, 1,
        [&]() -> absl::StatusOr<std::shared_ptr<int>> {
          const auto made = std::make_shared<int>(static_cast<int>(version));
          kept.push_back(made);
          return made;
        },
        version);
    return **value;
  };
  for (int version = 0; version < 5; ++version) {
    EXPECT_EQ(get(version), version);
    EXPECT_EQ(get(version), version);
  }
  ASSERT_EQ(kept.size(), 5u) << "each is read once";
  for (size_t version = 0; version < 4; ++version) EXPECT_TRUE(kept[version].expired()) << version;
  EXPECT_FALSE(kept[4].expired());
}

TEST(ReadOnceCache, CallsThatComeTogetherReadOnce) {
  ReadOnceCache<int, int> cache(10);
  std::atomic<int> reads{0}, right{0};
  absl::BlockingCounter started(8);
  {
    std::vector<Thread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back("reader", [&] {
        started.DecrementCount();
        const auto value = cache.Get(7, 1, [&]() -> absl::StatusOr<int> {
          started.Wait();
          return ++reads;
        });
        right += value.ok() && *value == 1 ? 1 : 0;
      });
    }
    for (Thread& thread : threads) thread.Join();
  }
  EXPECT_EQ(reads, 1);
  EXPECT_EQ(right, 8);
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
  manifest.files = {{"images-1.parquet", "index-1.bin", 3, 7},
                    {"images-2.parquet", "index-2.bin", 1, 12}};
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
  EXPECT_EQ(read.files[1].index, "index-2.bin");
  EXPECT_EQ(read.files[0].generation, 7);
  for (const char* bad : {"", "{}", "[]", "null", R"({"schema_version": 2, "generation": "x"})"}) {
    EXPECT_THAT(ManifestFromJson(bad, "the/manifest"),
                FailsWith(absl::StatusCode::kDataLoss, reason::kPoolCorrupt, "the/manifest"));
  }
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string text = json;
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return ManifestFromJson(text.replace(at, from.size(), to), "m");
  };
  const std::string version = "\"schema_version\": 3";
  const auto newer = changed(version, "\"schema_version\": 4");
  EXPECT_THAT(newer, FailsWith(absl::StatusCode::kDataLoss, reason::kPoolCorrupt, "format 4"));
  EXPECT_THAT(GetErrorDetail(newer.status())->hint, ::testing::HasSubstr("newer version"));
  const auto older = changed(version, "\"schema_version\": 1");
  EXPECT_THAT(older, FailsWith(absl::StatusCode::kDataLoss, reason::kPoolCorrupt, "format 1"));
  EXPECT_THAT(GetErrorDetail(older.status())->hint, ::testing::HasSubstr("make the pool anew"));
  for (const auto& [from, to] :
       {std::pair("\"rows\": 3", "\"rows\": 4"), std::pair("\"rows\": 3", "\"rows\": -3"),
        std::pair("\"rows\": 3", "\"rows\": 9223372036854775807"),
        std::pair("\"images\": 4", "\"images\": 3"),
        std::pair("\"generation\": 7", "\"generation\": 13"),
        std::pair("\"generation\": 7", "\"generation\": 0"),
        std::pair("\"name\": \"a.tar\"", "\"name\": 3"),
        std::pair("\"shards\": [", "\"shards\": [3,"), std::pair("\"shards\"", "\"shard\"")}) {
    EXPECT_THAT(changed(from, to),
                FailsWith(absl::StatusCode::kDataLoss, reason::kPoolCorrupt, "m "))
        << from << " -> " << to;
  }
}

TEST(Manifest, HoldsAHundredThousandShards) {
  Manifest manifest;
  for (int i = 0; i < 100'000; ++i)
    manifest.shards.push_back({absl::StrCat(i, ".tar"), int64_t{1} << 30, 10'000});
  ASSERT_OK_AND_ASSIGN(const Manifest read, ManifestFromJson(ToJson(manifest), "m"));
  ASSERT_EQ(read.shards.size(), 100'000u);
  EXPECT_EQ(read.shards[99'999].name, "99999.tar");
  EXPECT_EQ(read.shards[99'999].images, 10'000);
}

}  // namespace
}  // namespace seer::dataservice
