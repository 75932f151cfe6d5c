// seer job events.
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/commands/job.h"
#include "client/exit_code.h"
#include "client/follow.h"
#include "common/base/status_macros.h"
#include "common/flags/number.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"
#include "seer/v1/event_log.grpc.pb.h"

namespace seer::client {
namespace {

using google::protobuf::Message;

struct EventsOptions {
  std::string job;
  bool follow = false;
  int64_t after = 0;  // events with a larger number
};

const v1::Event& As(const Message& m) { return static_cast<const v1::Event&>(m); }

std::vector<Column> Columns() {
  return {
      {"NUMBER", [](const Message& m) { return absl::StrCat(As(m).number()); }},
      {"TIME", [](const Message& m) { return FormatTime(As(m).create_time()); }},
      {"ATTEMPT", [](const Message& m) { return absl::StrCat(As(m).attempt()); }},
      {"TYPE", [](const Message& m) { return As(m).type(); }},
      {"CHANGE",
       [](const Message& m) {
         return As(m).from_state().empty()
                    ? std::string("-")
                    : absl::StrCat(As(m).from_state(), " -> ", As(m).to_state());
       }},
      {"REASON", [](const Message& m) { return As(m).reason().empty() ? "-" : As(m).reason(); }},
      {"MESSAGE", [](const Message& m) { return As(m).message(); }}};
}

// With it the job ended.
bool Ends(const v1::Event& event) {
  v1::JobState to;
  return v1::JobState_Parse(absl::StrCat("JOB_STATE_", event.to_state()), &to) && Ended(to);
}

absl::StatusOr<std::vector<v1::Event>> FetchAfter(const Session& session, v1::Jobs::Stub& stub,
                                                  const std::string& name, int64_t after) {
  v1::ListEventsRequest request;
  request.set_name(name);
  request.set_after_number(after);
  std::vector<v1::Event> events;
  while (true) {
    v1::ListEventsResponse response;
    SEER_RETURN_IF_ERROR(session.Call("the coordinator", [&](grpc::ClientContext& context) {
      return FromGrpc(stub.ListEvents(&context, request, &response));
    }));
    if (response.events().empty()) return events;
    events.insert(events.end(), response.events().begin(), response.events().end());
    request.set_after_number(events.back().number());
  }
}

// One that came: JSON a line each, a table without titles.
void PrintNext(OutputForm form, const v1::Event& event) {
  if (form == OutputForm::kTable || form == OutputForm::kWide) {
    std::string line;
    for (const Column& column : Columns())
      absl::StrAppend(&line, line.empty() ? "" : "  ", column.text(event));
    std::printf("%s\n", line.c_str());
  } else {
    PrintList(form == OutputForm::kJson ? OutputForm::kJsonl : form, {&event}, Columns());
  }
  std::fflush(stdout);
  std::cout << std::flush;
}

// Whether the job has ended; then also prints what came behind `after`. `after` moves along.
absl::StatusOr<bool> HasEnded(const Session& session, v1::Jobs::Stub& stub, const std::string& name,
                              int64_t& after) {
  v1::GetJobRequest request;
  request.set_name(name);
  v1::Job job;
  SEER_RETURN_IF_ERROR(session.Call("the coordinator", [&](grpc::ClientContext& context) {
    return FromGrpc(stub.GetJob(&context, request, &job));
  }));
  if (!Ended(job.state())) return false;
  SEER_ASSIGN_OR_RETURN(const auto events, FetchAfter(session, stub, name, after));
  for (const v1::Event& event : events) {
    PrintNext(session.form, event);
    after = event.number();
  }
  return true;
}

// Until the job has ended. Opened again when it breaks, behind the last event that came.
int Follow(Session& session, v1::Jobs::Stub& jobs, const std::string& name, int64_t after) {
  const auto channel = session.Coordinator();
  if (!channel.ok()) return Fail(channel.status());
  const auto stub = v1::Events::NewStub(*channel);
  const auto detached = [&] {
    Note(absl::StrCat("detached; the job goes on. Come back with `seer job events -f --after ",
                      after, " ", ShortId(name), "`"));
    return kExitInterrupted;
  };
  bool said_away = false;
  while (true) {
    // One that had ended before has no event to come.
    const auto ended = HasEnded(session, jobs, name, after);
    if (session.interrupt->caught()) return detached();
    if (said_away && WentAway(ended.status())) {
      session.interrupt->SleepFor(kFollowRetry);
      continue;
    }
    if (!ended.ok()) return Fail(ended.status());
    if (*ended) return kExitOk;
    if (std::exchange(said_away, false)) Note("the coordinator is back");
    v1::WatchEventsRequest request;
    request.set_job(name);
    request.set_after_number(after);
    grpc::ClientContext context;
    Interrupt::Scope scope(*session.interrupt, context);
    auto stream = stub->WatchEvents(&context, request);
    v1::Event event;
    bool at_end = false;
    while (!at_end && stream->Read(&event)) {
      PrintNext(session.form, event);
      after = event.number();
      at_end = Ends(event);  // or was, if it was taken up again
    }
    if (at_end) context.TryCancel();
    const absl::Status status = FromGrpc(stream->Finish());
    if (session.interrupt->caught()) return detached();
    if (at_end) continue;
    if (!status.ok() && !WentAway(status)) return Fail(ReachStatus("the coordinator", status));
    said_away = true;
    Note("the coordinator is away; the job goes on, and its events come when it is back");
    session.interrupt->SleepFor(kFollowRetry);
  }
}

int List(const Session& session, v1::Jobs::Stub& stub, const std::string& name, int64_t after) {
  const auto events = FetchAfter(session, stub, name, after);
  if (!events.ok()) return Fail(events.status());
  std::vector<const Message*> items;
  for (const v1::Event& event : *events) items.push_back(&event);
  PrintList(session.form, items, Columns());
  return kExitOk;
}

}  // namespace

absl::StatusOr<std::vector<v1::Event>> FetchEvents(const Session& session, v1::Jobs::Stub& stub,
                                                   const std::string& name) {
  return FetchAfter(session, stub, name, 0);
}

void AddEvents(CLI::App& parent, Session& session) {
  auto options = std::make_shared<EventsOptions>();
  CLI::App* events = parent.add_subcommand("events", "List every change of a job with its reason");
  AddJobArgument(*events, options->job);
  events->add_flag("-f,--follow", options->follow,
                   "Go on until the job ends, also over a restart of the coordinator");
  events->add_option("--after", options->after, "Only events with a larger number")
      ->check(AtLeast(0));
  events->footer(
      "Examples:\n  seer job events job_ab12cd34\n  seer job events -f digits -o jsonl\n  seer job "
      "events digits --after 120");
  events->callback([&session, options] {
    session.exit_code =
        WithJob(session, options->job, [&](v1::Jobs::Stub& stub, const std::string& name) {
          return options->follow ? Follow(session, stub, name, options->after)
                                 : List(session, stub, name, options->after);
        });
  });
}

}  // namespace seer::client
