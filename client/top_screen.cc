#include "client/top_screen.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/commands/job.h"
#include "client/output.h"

namespace seer::client {
namespace {

constexpr int kSmallestHeight = 6;

bool Runs(const v1::Job& job) {
  return job.state() == v1::JOB_STATE_RUNNING && job.progress().step() > 0;
}
double DoneRatio(const v1::Job& job) {
  const auto total = static_cast<double>(job.spec().optim().steps());
  return total > 0 ? static_cast<double>(job.progress().step()) / total : 0;
}
double LeftSeconds(const v1::Job& job) {
  if (!Runs(job)) return NAN;
  return job.progress().step_seconds() *
         static_cast<double>(job.spec().optim().steps() - job.progress().step());
}
std::string Measured(double value, const absl::FormatSpec<double>& form) {
  return std::isnan(value) ? "-" : absl::StrFormat(form, value);
}

// A column that jobs are sorted by: names upwards, numbers downwards.
struct SortColumn {
  const char* title;
  int width;  // negative: text, from the left
  std::function<std::string(const v1::Job&)> text;
  std::function<double(const v1::Job&)> number;  // nullptr: sorted by the text
};

const std::vector<SortColumn>& Columns() {
  static const auto& columns = *new std::vector<SortColumn>{
      {"JOB", -24, [](const v1::Job& job) { return job.spec().metadata().name(); }, nullptr},
      {"STATE", -10, [](const v1::Job& job) { return StateOf(job); }, nullptr},
      {"DONE", 5,
       [](const v1::Job& job) { return absl::StrFormat("%.0f%%", DoneRatio(job) * 100); },
       DoneRatio},
      {"STEP", 15, [](const v1::Job& job) { return StepsOf(job); },
       [](const v1::Job& job) { return static_cast<double>(job.progress().step()); }},
      {"LOSS", 8,
       [](const v1::Job& job) {
         return job.progress().step() > 0 ? absl::StrFormat("%.4f", job.progress().loss()) : "-";
       },
       [](const v1::Job& job) { return job.progress().step() > 0 ? job.progress().loss() : NAN; }},
      {"IMAGES/S", 9,
       [](const v1::Job& job) {
         return Measured(Runs(job) ? job.progress().images_per_second() : NAN, "%.0f");
       },
       [](const v1::Job& job) { return Runs(job) ? job.progress().images_per_second() : NAN; }},
      {"GOODPUT", 8, [](const v1::Job& job) { return Measured(GoodputOf(job) * 100, "%.0f%%"); },
       GoodputOf},
      {"STALL", 7,
       [](const v1::Job& job) {
         return Measured(Runs(job) ? job.progress().data_stall_ratio() * 100 : NAN, "%.1f%%");
       },
       [](const v1::Job& job) { return Runs(job) ? job.progress().data_stall_ratio() : NAN; }},
      {"RANKS", 7, [](const v1::Job& job) { return RanksCell(job); },
       [](const v1::Job& job) { return static_cast<double>(job.spec().distributed().ranks()); }},
      {"LEFT", 9,
       [](const v1::Job& job) {
         const double left = LeftSeconds(job);
         return std::isnan(left) ? std::string("-") : FormatSeconds(left);
       },
       LeftSeconds}};
  return columns;
}

constexpr int kShortestName = 10;

// The columns that `width` has room for, with their widths: names of jobs become shorter first,
// then whole columns go, the least telling first.
std::vector<std::pair<const SortColumn*, int>> FittingColumns(int width) {
  std::vector<std::pair<const SortColumn*, int>> shown;
  int excess = -width - 1;
  for (const SortColumn& column : Columns()) {
    shown.emplace_back(&column, column.width);
    excess += std::abs(column.width) + 1;
  }
  int& name = shown.front().second;  // negative
  const int shorter = std::clamp(excess, 0, -name - kShortestName);
  name += shorter;
  excess -= shorter;
  for (const absl::string_view title : {"RANKS", "STALL", "GOODPUT", "STEP", "IMAGES/S"}) {
    if (excess <= 0) break;
    const auto it = std::find_if(shown.begin(), shown.end(), [title](const auto& column) {
      return column.first->title == title;
    });
    excess -= std::abs(it->second) + 1;
    shown.erase(it);
  }
  return shown;
}

std::string Cell(const std::string& text, int width) {
  const auto room = static_cast<size_t>(std::abs(width));
  const std::string cut = text.size() <= room ? text : absl::StrCat(text.substr(0, room - 1), "~");
  return width < 0 ? absl::StrFormat("%-*s", static_cast<int>(room), cut)
                   : absl::StrFormat("%*s", static_cast<int>(room), cut);
}

std::string Fit(const std::string& line, int width) {
  return line.substr(0, static_cast<size_t>(std::max(0, width)));
}

std::string Painted(const std::string& line, const char* code, bool color) {
  return color ? absl::StrCat("\033[", code, "m", line, "\033[0m") : line;
}

std::string WorkerLine(const v1::Worker& worker) {
  const char* state = worker.state() == v1::WORKER_STATE_LOST ? "LOST"
                      : !worker.has_cordon()                  ? "UP"
                      : worker.cordon().draining()            ? "DRAINING"
                                                              : "CORDONED";
  std::vector<std::string> jobs;
  for (const std::string& job : worker.jobs()) jobs.push_back(ShortId(job));
  return absl::StrCat(
      Cell(std::string(absl::StripPrefix(worker.name(), "workers/")), -24), " ", Cell(state, -10),
      " ",
      Cell(absl::StrCat(worker.devices_in_use(), "/", worker.devices(), " ", worker.device_kind()),
           12),
      "  ", absl::StrJoin(jobs, ", "));
}

}  // namespace

void TopScreen::Show(std::vector<v1::Job> jobs, std::vector<v1::Worker> workers,
                     const v1::Job* chosen) {
  jobs_ = std::move(jobs);
  workers_ = std::move(workers);
  whole_ = chosen == nullptr ? v1::Job() : *chosen;
  trouble_.clear();
  Sort();
  const auto is_chosen = [this](const v1::Job& job) { return job.name() == chosen_; };
  if (std::none_of(jobs_.begin(), jobs_.end(), is_chosen))
    chosen_ = jobs_.empty() ? "" : jobs_.front().name();
}

void TopScreen::Sort() {
  const SortColumn& column = Columns()[sort_];
  std::stable_sort(jobs_.begin(), jobs_.end(), [&](const v1::Job& a, const v1::Job& b) {
    if (!column.number)
      return reversed_ ? column.text(b) < column.text(a) : column.text(a) < column.text(b);
    const double x = column.number(a), y = column.number(b);
    if (std::isnan(x) || std::isnan(y)) return !std::isnan(x) && std::isnan(y);  // at the end
    return reversed_ ? x < y : y < x;
  });
}

void TopScreen::Move(int by) {
  for (size_t i = 0; i < jobs_.size(); ++i) {
    if (jobs_[i].name() != chosen_) continue;
    const int last = static_cast<int>(jobs_.size()) - 1;
    chosen_ = jobs_[static_cast<size_t>(std::clamp(static_cast<int>(i) + by, 0, last))].name();
    return;
  }
}

bool TopScreen::Keys(const std::string& keys) {
  for (size_t i = 0; i < keys.size(); ++i) {
    char key = keys[i];
    if (key == '\033') {
      // An arrow is Escape, '[' or 'O', and a letter.
      if (i + 2 >= keys.size() || (keys[i + 1] != '[' && keys[i + 1] != 'O')) return false;
      key = keys[i += 2];
      if (key == 'A') Move(-1);
      if (key == 'B') Move(1);
      if (key == 'C' || key == 'D') {
        sort_ = (sort_ + (key == 'C' ? 1 : Columns().size() - 1)) % Columns().size();
        Sort();
      }
      continue;
    }
    if (key == 'q' || key == 'Q') return false;
    if (key == 'k') Move(-1);
    if (key == 'j') Move(1);
    if (key == 'r') {
      reversed_ = !reversed_;
      Sort();
    }
  }
  return true;
}

std::string TopScreen::Chosen() const { return chosen_; }

std::string TopScreen::Draw(int width, int height, absl::Time now, bool color) const {
  height = std::max(height, kSmallestHeight);
  int running = 0, in_use = 0, devices = 0, up = 0;
  for (const v1::Job& job : jobs_) running += job.state() == v1::JOB_STATE_RUNNING ? 1 : 0;
  for (const v1::Worker& worker : workers_) {
    if (worker.state() != v1::WORKER_STATE_UP) continue;
    ++up;
    in_use += worker.devices_in_use();
    devices += worker.devices();
  }
  std::vector<std::string> lines;
  lines.push_back(Painted(
      Fit(absl::StrFormat("seer top  %s   jobs %d, running %d   workers %d/%d   devices %d/%d",
                          absl::FormatTime("%H:%M:%S", now, absl::LocalTimeZone()), jobs_.size(),
                          running, up, workers_.size(), in_use, devices),
          width),
      "1", color));
  const auto columns = FittingColumns(width);
  std::string title;
  for (const auto& [column, room] : columns) {
    const std::string name = column == &Columns()[sort_]
                                 ? absl::StrCat(column->title, reversed_ ? "-" : "+")
                                 : column->title;
    absl::StrAppend(&title, title.empty() ? "" : " ", Cell(name, room));
  }
  lines.push_back(Painted(Fit(title, width), "7", color));

  // Of what is left, jobs have half, and more if ranks and workers need less.
  std::vector<std::string> below;
  if (!whole_.name().empty() && whole_.name() == chosen_) {
    for (const absl::string_view line :
         absl::StrSplit(RanksTable(whole_, false), '\n', absl::SkipEmpty()))
      below.emplace_back(line);
    if (!below.empty()) below.insert(below.begin(), "");
  }
  if (!workers_.empty()) {
    below.push_back("");
    below.push_back(absl::StrCat(Cell("WORKER", -24), " ", Cell("STATE", -10), " ",
                                 Cell("DEVICES", 12), "  JOBS"));
    for (const v1::Worker& worker : workers_) below.push_back(WorkerLine(worker));
  }
  const int room = height - 3;  // but for the two lines above and the one at the end
  const int wanted = std::max<int>(1, static_cast<int>(jobs_.size()));
  const int rows = std::min(wanted, std::max(room / 2, room - static_cast<int>(below.size())));
  size_t at = 0;
  for (size_t i = 0; i < jobs_.size(); ++i)
    if (jobs_[i].name() == chosen_) at = i;
  const size_t first = at < static_cast<size_t>(rows) ? 0 : at - static_cast<size_t>(rows) + 1;
  for (size_t i = first; i < std::min(jobs_.size(), first + static_cast<size_t>(rows)); ++i) {
    const v1::Job& job = jobs_[i];
    std::string line;
    for (const auto& [column, room] : columns)
      absl::StrAppend(&line, line.empty() ? "" : " ", Cell(column->text(job), room));
    if (!Runs(job) && !job.state_message().empty())
      absl::StrAppend(&line, "  ", job.state_message());
    line = Fit(line, width);
    const char* code = i == at ? "1;36" : job.state() == v1::JOB_STATE_RESTARTING ? "33" : "0";
    lines.push_back(Painted(line, code, color));
  }
  if (jobs_.empty())
    lines.push_back(Fit("no jobs that have not ended; `seer job submit` makes one", width));
  for (const std::string& line : below)
    if (static_cast<int>(lines.size()) < height - 1) lines.push_back(Fit(line, width));
  lines.resize(static_cast<size_t>(height) - 1);
  lines.push_back(Painted(
      Fit(trouble_.empty() ? "up/down: choose a job   left/right: sort   r: turn the order   q: end"
                           : trouble_,
          width),
      trouble_.empty() ? "2" : "31", color));
  return absl::StrJoin(lines, "\n");
}

}  // namespace seer::client
