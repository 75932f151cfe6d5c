// What an ingest has done so far. A value.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace seer::dataservice {

struct IngestCounts {
  int64_t seen = 0;
  int64_t added = 0;
  int64_t quarantined = 0;
  int64_t refused = 0;
  std::map<std::string, int64_t> refused_by_rule;
  int64_t present = 0;     // same source and bytes as a row of the parent: kept once
  int64_t bytes_read = 0;  // by this call
  int64_t staged = 0;      // of `seen`: an earlier call had read them
  int64_t total = 0;       // 0: not known
  int64_t expired = 0;     // rows of the parent that a refresh leaves out
  int parts_missing = 0;   // parts that are to come: nothing is committed yet

  // Adds what was done with other images.
  IngestCounts& operator+=(const IngestCounts& other) {
    seen += other.seen;
    added += other.added;
    quarantined += other.quarantined;
    refused += other.refused;
    for (const auto& [rule, count] : other.refused_by_rule) refused_by_rule[rule] += count;
    present += other.present;
    bytes_read += other.bytes_read;
    staged += other.staged;
    return *this;
  }
};

}  // namespace seer::dataservice
