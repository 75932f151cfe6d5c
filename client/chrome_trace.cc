#include "client/chrome_trace.h"

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace seer::client {
namespace {

using Json = nlohmann::json;

// Numbers of threads. Viewers sort by them.
constexpr int kTraining = 1;
constexpr int kCheckpoint = 2;
constexpr int kCommunication = 10;  // and above

int64_t Begin(const v1::RankTrace& rank) {
  return rank.begin_time().seconds() * 1'000'000'000 + rank.begin_time().nanos();
}

double Microseconds(int64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1000; }

std::string Text(const v1::RankTrace& rank, int32_t number) {
  return number > 0 && number <= rank.texts_size() ? rank.texts(number - 1) : "";
}

// The lines of one rank that its collectives lie on; on one line they do not overlap.
class Lanes {
 public:
  int Place(const v1::TraceSpan& span) {
    auto free = std::find_if(ends_.begin(), ends_.end(),
                             [&](int64_t end) { return end <= span.start_ns(); });
    if (free == ends_.end()) free = ends_.insert(ends_.end(), 0);
    *free = span.start_ns() + span.duration_ns();
    return static_cast<int>(free - ends_.begin());
  }
  int count() const { return static_cast<int>(ends_.size()); }

 private:
  std::vector<int64_t> ends_;
};

class Writer {
 public:
  void Add(const Json& event) {
    absl::StrAppend(&text_, text_.empty() ? "\n" : ",\n",
                    event.dump(-1, ' ', false, Json::error_handler_t::replace));
  }
  void Name(const char* what, int pid, int tid, const std::string& name) {
    Add({{"ph", "M"}, {"name", what}, {"pid", pid}, {"tid", tid}, {"args", {{"name", name}}}});
  }
  void Sort(const char* what, int pid, int tid, int place) {
    Add({{"ph", "M"},
         {"name", what},
         {"pid", pid},
         {"tid", tid},
         {"args", {{"sort_index", place}}}});
  }
  void AddRank(const v1::RankTrace& rank, int64_t shift_ns);
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

void Writer::AddRank(const v1::RankTrace& rank, int64_t shift_ns) {
  const int pid = rank.rank();
  Name("process_name", pid, 0,
       absl::StrCat("rank ", rank.rank(), " on ", absl::StripPrefix(rank.worker(), "workers/")));
  Sort("process_sort_index", pid, 0, pid);
  Name("thread_name", pid, kTraining, "training");
  Name("thread_name", pid, kCheckpoint, "checkpoint");
  Lanes lanes;
  for (const v1::TraceSpan& span : rank.spans()) {
    int thread = kTraining;
    if (span.track() == v1::TRACE_TRACK_CHECKPOINT) thread = kCheckpoint;
    if (span.track() == v1::TRACE_TRACK_COMMUNICATION) thread = kCommunication + lanes.Place(span);
    Json arguments = {{"step", span.step()}};
    if (span.resolution() > 0) arguments["resolution"] = span.resolution();
    if (span.bytes() > 0) arguments["bytes"] = span.bytes();
    if (span.group() > 0) arguments["group"] = Text(rank, span.group());
    if (span.unfinished()) arguments["unfinished"] = true;
    Add({{"ph", "X"},
         {"name", Text(rank, span.name())},
         {"cat", Text(rank, span.category())},
         {"pid", pid},
         {"tid", thread},
         {"ts", Microseconds(shift_ns + span.start_ns())},
         {"dur", Microseconds(span.duration_ns())},
         {"args", std::move(arguments)}});
  }
  for (int lane = 0; lane < lanes.count(); ++lane)
    Name("thread_name", pid, kCommunication + lane,
         lane == 0 ? "communication" : absl::StrCat("communication ", lane + 1));
}

}  // namespace

std::string ChromeTrace(const v1::Profile& profile, const std::vector<v1::RankTrace>& ranks) {
  int64_t first = ranks.empty() ? 0 : Begin(ranks[0]);
  int64_t dropped = 0;
  for (const v1::RankTrace& rank : ranks) {
    first = std::min(first, Begin(rank));
    dropped += rank.dropped_spans();
  }
  Writer writer;
  for (const v1::RankTrace& rank : ranks) writer.AddRank(rank, Begin(rank) - first);
  const Json about = {{"profile", profile.name()},
                      {"attempt", profile.attempt()},
                      {"first_step", profile.first_step()},
                      {"steps", profile.steps()},
                      {"begin_unix_ns", first},
                      {"dropped_spans", dropped}};
  return absl::StrCat("{\"displayTimeUnit\":\"ms\",\"otherData\":", about.dump(),
                      ",\"traceEvents\":[", writer.text(), "\n]}");
}

}  // namespace seer::client
