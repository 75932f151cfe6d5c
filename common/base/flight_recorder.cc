#include "common/base/flight_recorder.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer {

namespace {

constexpr int64_t kMagic = 0x73656572'666c6774;  // "seerflgt"
constexpr int64_t kVersion = 1;
constexpr size_t kNameWords = 4;                      // of 8 bytes
constexpr int kReadAttempts = 200, kReadAtOnce = 20;  // the others 20 us apart: 4 ms in all

using Word = std::atomic<int64_t>;
static_assert(Word::is_always_lock_free);

absl::Status Unusable(absl::StatusCode code, const std::string& what, int error) {
  return Error(code, reason::kStorageFailed,
               absl::StrCat("cannot ", what, ": ", std::strerror(error)));
}

}  // namespace

// The bytes that both ends see. All zero: nobody has written yet.
struct FlightLayout {
  struct Group {
    std::array<Word, kNameWords> name;
    Word first_rank, ranks, entered, completed, newest, bytes;
  };
  struct Event {
    Word at_ns, kind, what, group, number, bytes;
  };
  Word magic;  // written last
  Word version, pid;
  Word turn;  // odd: it is being written
  Word step, steps_done, doing, since_ns;
  Word wait_group, wait_number, wait_kind;  // of kCollective
  std::array<Word, 4> means;                // doubles: input, host, compute, wait
  Word groups_used;
  std::array<Group, FlightRecorder::kGroups> groups;
  Word events_written;
  std::array<Event, FlightRecorder::kEvents> events;
};

namespace {

absl::StatusOr<FlightLayout*> Map(int fd, int protection) {
  void* const memory = ::mmap(nullptr, sizeof(FlightLayout), protection, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED)
    return Unusable(absl::StatusCode::kUnavailable, "map a flight recorder", errno);
  return static_cast<FlightLayout*>(memory);
}

int64_t Get(const Word& word) { return word.load(std::memory_order_relaxed); }
void Set(Word& word, int64_t value) { word.store(value, std::memory_order_relaxed); }

// Word by word: it is made of nothing else.
void Copy(const FlightLayout& from, FlightLayout& to) {
  static_assert(sizeof(FlightLayout) % sizeof(Word) == 0);
  const auto* const words = reinterpret_cast<const Word*>(&from);
  auto* const out = reinterpret_cast<Word*>(&to);
  for (size_t i = 0; i < sizeof(FlightLayout) / sizeof(Word); ++i) Set(out[i], Get(words[i]));
}

// Which of the four parts of a step it counts for.
size_t PartOf(Doing doing) {
  switch (doing) {
    case Doing::kData:
      return 0;
    case Doing::kCompute:
      return 2;
    case Doing::kCollective:
      return 3;
    default:
      return 1;
  }
}

std::string NameOf(const FlightLayout::Group& group) {
  char text[kNameWords * sizeof(Word) + 1] = {};
  for (size_t i = 0; i < kNameWords; ++i) {
    const int64_t word = Get(group.name[i]);
    std::memcpy(text + i * sizeof(word), &word, sizeof(word));
  }
  return text;
}

FlightView::Group ViewOf(const FlightLayout::Group& group) {
  FlightView::Group view;
  view.name = NameOf(group);
  view.first_rank = static_cast<int>(Get(group.first_rank));
  view.ranks = static_cast<int>(Get(group.ranks));
  view.entered = Get(group.entered);
  view.completed = Get(group.completed);
  view.newest = static_cast<CollectiveKind>(Get(group.newest));
  view.bytes = Get(group.bytes);
  return view;
}

FlightView::Event ViewOf(const FlightLayout::Event& event) {
  FlightView::Event view;
  view.at = absl::Nanoseconds(Get(event.at_ns));
  view.kind = static_cast<FlightView::EventKind>(Get(event.kind));
  if (view.kind == FlightView::EventKind::kBegan) {
    view.doing = static_cast<Doing>(Get(event.what));
  } else {
    view.collective = static_cast<CollectiveKind>(Get(event.what));
  }
  view.group = static_cast<int>(Get(event.group));
  view.number = Get(event.number);
  view.bytes = Get(event.bytes);
  return view;
}

FlightView ViewOf(const FlightLayout& layout) {
  FlightView view;
  view.pid = static_cast<int>(Get(layout.pid));
  view.step = Get(layout.step);
  view.steps_done = Get(layout.steps_done);
  view.doing = static_cast<Doing>(Get(layout.doing));
  view.since = absl::Nanoseconds(Get(layout.since_ns));
  const auto mean = [&](size_t i) { return std::bit_cast<double>(Get(layout.means[i])); };
  view.split = {mean(0), mean(1), mean(2), mean(3)};
  const auto groups = std::clamp<int64_t>(Get(layout.groups_used), 0, FlightRecorder::kGroups);
  for (int64_t i = 0; i < groups; ++i)
    view.groups.push_back(ViewOf(layout.groups[static_cast<size_t>(i)]));
  const int64_t written = Get(layout.events_written);
  for (int64_t i = std::max<int64_t>(written - FlightRecorder::kEvents, 0); i < written; ++i)
    view.events.push_back(ViewOf(layout.events[static_cast<size_t>(i % FlightRecorder::kEvents)]));
  view.detail = DoingWhere(view.doing);
  const int64_t waits_in = Get(layout.wait_group);
  if (view.doing == Doing::kCollective && waits_in >= 0 && waits_in < groups) {
    view.detail = absl::StrCat(CollectiveName(static_cast<CollectiveKind>(Get(layout.wait_kind))),
                               " ", Get(layout.wait_number), " of ",
                               view.groups[static_cast<size_t>(waits_in)].name);
  }
  return view;
}

}  // namespace

const char* DoingName(Doing doing) {
  switch (doing) {
    case Doing::kStarting:
    case Doing::kJoining:
    case Doing::kRestoring:
      return "start";
    case Doing::kData:
      return "data";
    case Doing::kCompute:
      return "compute";
    case Doing::kCollective:
      return "collective";
    case Doing::kSnapshot:
    case Doing::kCheckpointBefore:
    case Doing::kCommit:
      return "checkpoint";
    case Doing::kHost:
      break;
  }
  return "host";
}

const char* DoingWhere(Doing doing) {
  switch (doing) {
    case Doing::kJoining:
      return "joins the gang";
    case Doing::kRestoring:
      return "restores the checkpoint";
    case Doing::kSnapshot:
      return "copies the state";
    case Doing::kCheckpointBefore:
      return "waits for the one before";
    case Doing::kCommit:
      return "waits for the commit";
    default:
      return "";
  }
}

const char* CollectiveName(CollectiveKind kind) {
  switch (kind) {
    case CollectiveKind::kAllReduce:
      return "all-reduce";
    case CollectiveKind::kAllGather:
      return "all-gather";
    case CollectiveKind::kReduceScatter:
      return "reduce-scatter";
    case CollectiveKind::kBroadcast:
      return "broadcast";
    case CollectiveKind::kBarrier:
      return "barrier";
  }
  return "collective";
}

absl::StatusOr<std::unique_ptr<FlightMemory>> FlightMemory::Create() {
  const int fd = ::memfd_create("seer-flight", MFD_CLOEXEC);
  if (fd < 0) return Unusable(absl::StatusCode::kUnavailable, "make a flight recorder", errno);
  absl::StatusOr<FlightLayout*> layout =
      ::ftruncate(fd, sizeof(FlightLayout)) == 0
          ? Map(fd, PROT_READ)
          : Unusable(absl::StatusCode::kUnavailable, "make a flight recorder", errno);
  if (layout.ok()) return std::unique_ptr<FlightMemory>(new FlightMemory(fd, *layout));
  ::close(fd);
  return layout.status();
}

FlightMemory::FlightMemory(int fd, FlightLayout* layout)
    : fd_(fd), layout_(layout), path_(absl::StrCat("/proc/", ::getpid(), "/fd/", fd)) {}

FlightMemory::~FlightMemory() {
  ::munmap(layout_, sizeof(FlightLayout));
  ::close(fd_);
}

std::optional<FlightView> FlightMemory::Read() const {
  const FlightLayout& layout = *layout_;
  if (layout.magic.load(std::memory_order_acquire) != kMagic || Get(layout.version) != kVersion)
    return std::nullopt;
  // A writer that was stopped while it wrote leaves its turn odd: then what is there is taken, of
  // which a word or two may be older.
  FlightLayout copy{};
  for (int i = 0; i < kReadAttempts; ++i) {
    const int64_t before = layout.turn.load(std::memory_order_acquire);
    Copy(layout, copy);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (before % 2 == 0 && Get(layout.turn) == before) break;
    if (i >= kReadAtOnce) ::usleep(20);
  }
  return ViewOf(copy);
}

// One change that a reader sees whole.
class FlightRecorder::Writing {
 public:
  explicit Writing(FlightLayout& layout) : turn_(layout.turn), before_(Get(layout.turn)) {
    Set(turn_, before_ + 1);
    std::atomic_thread_fence(std::memory_order_release);
  }
  Writing(const Writing&) = delete;
  ~Writing() { turn_.store(before_ + 2, std::memory_order_release); }

 private:
  Word& turn_;
  const int64_t before_;
};

absl::StatusOr<std::unique_ptr<FlightRecorder>> FlightRecorder::Open(const std::string& path,
                                                                     Clock& clock) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return Unusable(absl::StatusCode::kNotFound, absl::StrCat("open ", path), errno);
  struct stat info {};
  absl::StatusOr<FlightLayout*> layout =
      ::fstat(fd, &info) == 0 && info.st_size == sizeof(FlightLayout)
          ? Map(fd, PROT_READ | PROT_WRITE)
          : Unusable(absl::StatusCode::kUnavailable, absl::StrCat("use ", path), EINVAL);
  ::close(fd);
  SEER_RETURN_IF_ERROR(layout.status());
  return std::unique_ptr<FlightRecorder>(new FlightRecorder(*layout, clock));
}

FlightRecorder::FlightRecorder(FlightLayout* layout, Clock& clock)
    : layout_(layout), clock_(clock), since_ns_(absl::ToInt64Nanoseconds(clock.Steady())) {
  Set(layout_->version, kVersion);
  Set(layout_->pid, ::getpid());
  Set(layout_->since_ns, since_ns_);
  layout_->magic.store(kMagic, std::memory_order_release);
}

FlightRecorder::~FlightRecorder() { ::munmap(layout_, sizeof(FlightLayout)); }

int64_t FlightRecorder::SwitchTo(Doing doing) {
  const int64_t now = absl::ToInt64Nanoseconds(clock_.Steady());
  spent_ns_[PartOf(doing_)] += now - since_ns_;
  doing_ = doing;
  since_ns_ = now;
  Set(layout_->doing, static_cast<int64_t>(doing));
  Set(layout_->since_ns, now);
  return now;
}

void FlightRecorder::AddEvent(int64_t now, FlightView::EventKind kind, int64_t what, int group,
                              int64_t number, int64_t bytes) {
  const int64_t written = Get(layout_->events_written);
  FlightLayout::Event& event = layout_->events[static_cast<size_t>(written % kEvents)];
  Set(event.at_ns, now);
  Set(event.kind, static_cast<int64_t>(kind));
  Set(event.what, what);
  Set(event.group, group);
  Set(event.number, number);
  Set(event.bytes, bytes);
  Set(layout_->events_written, written + 1);
}

Doing FlightRecorder::Begin(Doing doing) {
  const Doing before = doing_;
  const Writing writing(*layout_);
  const int64_t now = SwitchTo(doing);
  AddEvent(now, FlightView::EventKind::kBegan, static_cast<int64_t>(doing), 0, 0, 0);
  return before;
}

void FlightRecorder::BeginStep(int64_t step) {
  const Writing writing(*layout_);
  Set(layout_->step, step);
}

void FlightRecorder::StepDone(double copy_seconds) {
  const Writing writing(*layout_);
  const int64_t now = absl::ToInt64Nanoseconds(clock_.Steady());
  spent_ns_[PartOf(doing_)] += now - since_ns_;
  since_ns_ = now;
  Set(layout_->since_ns, now);
  const int64_t copied = std::clamp<int64_t>(static_cast<int64_t>(copy_seconds * 1e9), 0,
                                             spent_ns_[PartOf(Doing::kCompute)]);
  spent_ns_[PartOf(Doing::kCompute)] -= copied;
  spent_ns_[PartOf(Doing::kHost)] += copied;
  const double weight = Get(layout_->steps_done) == 0 ? 1 : kMeanWeight;
  for (size_t i = 0; i < spent_ns_.size(); ++i) {
    const double mean = std::bit_cast<double>(Get(layout_->means[i]));
    const double seconds = static_cast<double>(std::exchange(spent_ns_[i], 0)) * 1e-9;
    Set(layout_->means[i], std::bit_cast<int64_t>(mean + weight * (seconds - mean)));
  }
  Set(layout_->steps_done, Get(layout_->steps_done) + 1);
  for (int64_t i = 0; i < Get(layout_->groups_used); ++i) {
    FlightLayout::Group& group = layout_->groups[static_cast<size_t>(i)];
    Set(group.completed, Get(group.entered));
  }
  for (Observed& group : observed_) group.entered.clear();
}

int FlightRecorder::AddGroup(const std::string& name, int first_rank, int ranks) {
  const int64_t number = Get(layout_->groups_used);
  if (number == kGroups) return -1;
  const Writing writing(*layout_);
  FlightLayout::Group& group = layout_->groups[static_cast<size_t>(number)];
  for (size_t i = 0; i < kNameWords; ++i) {
    int64_t word = 0;
    if (i * sizeof(word) < name.size())
      std::memcpy(&word, name.data() + i * sizeof(word),
                  std::min(sizeof(word), name.size() - i * sizeof(word)));
    Set(group.name[i], word);
  }
  Set(group.first_rank, first_rank);
  Set(group.ranks, ranks);
  Set(layout_->groups_used, number + 1);
  observed_.push_back({name, {}});
  return static_cast<int>(number);
}

int64_t FlightRecorder::Entered(int group, CollectiveKind kind, int64_t bytes) {
  if (group < 0) return 0;
  const Writing writing(*layout_);
  FlightLayout::Group& to = layout_->groups[static_cast<size_t>(group)];
  const int64_t number = Get(to.entered) + 1;
  Set(to.entered, number);
  Set(to.newest, static_cast<int64_t>(kind));
  Set(to.bytes, bytes);
  const absl::Duration now = clock_.Steady();
  AddEvent(absl::ToInt64Nanoseconds(now), FlightView::EventKind::kEntered,
           static_cast<int64_t>(kind), group, number, bytes);
  if (observer_ != nullptr) {
    Observed& observed = observed_[static_cast<size_t>(group)];
    observed.entered[number] = now;
    observer_->Entered(observed.name, kind, bytes);
  }
  return number;
}

Doing FlightRecorder::BeginWait(int group, int64_t number, CollectiveKind kind) {
  const Doing before = doing_;
  const Writing writing(*layout_);
  Set(layout_->wait_group, group);
  Set(layout_->wait_number, number);
  Set(layout_->wait_kind, static_cast<int64_t>(kind));
  SwitchTo(Doing::kCollective);
  return before;
}

void FlightRecorder::Completed(int group, int64_t number, CollectiveKind kind) {
  if (group < 0) return;
  const Writing writing(*layout_);
  FlightLayout::Group& to = layout_->groups[static_cast<size_t>(group)];
  Set(to.completed, std::max(Get(to.completed), number));
  const absl::Duration now = clock_.Steady();
  AddEvent(absl::ToInt64Nanoseconds(now), FlightView::EventKind::kCompleted,
           static_cast<int64_t>(kind), group, number, Get(to.bytes));
  if (observer_ == nullptr) return;
  Observed& observed = observed_[static_cast<size_t>(group)];
  const auto entered = observed.entered.extract(number);
  if (!entered.empty())
    observer_->Completed(observed.name, kind, absl::ToDoubleSeconds(now - entered.mapped()));
}

}  // namespace seer
