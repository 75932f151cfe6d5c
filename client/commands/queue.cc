// seer queue: create, set, list, describe, delete.
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "client/cli.h"
#include "client/confirm.h"
#include "client/coordinator_call.h"
#include "client/exit_code.h"
#include "client/paging.h"
#include "common/base/duration.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/rpc/status_grpc.h"
#include "seer/v1/queues.grpc.pb.h"

namespace seer::client {
namespace {

using google::protobuf::Message;

const v1::Queue& As(const Message& m) { return static_cast<const v1::Queue&>(m); }

// What may be said of a queue's limits; empty: nothing was.
struct Limits {
  std::string quota, borrow, weight, preemptions, grace;
};

absl::Status NotA(const std::string& flag, const std::string& text, const std::string& what) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
               absl::StrCat("'", text, "' is not ", what))
      .Field(flag)
      .Hint(absl::StrCat("write ", flag, " ", what));
}

// `text` as a number of devices, or "none" for no limit: then the field stays unset.
absl::Status ReadDevices(const std::string& flag, const std::string& text,
                         const std::function<void(int64_t)>& set) {
  if (text == "none") return absl::OkStatus();
  int64_t devices = 0;
  if (!absl::SimpleAtoi(text, &devices)) return NotA(flag, text, "a number of devices, or none");
  set(devices);
  return absl::OkStatus();
}

// Sets what was said, and names it in `mask`.
absl::Status Read(const Limits& limits, v1::Queue& queue, google::protobuf::FieldMask& mask) {
  if (!limits.quota.empty()) {
    mask.add_paths("quota_devices");
    SEER_RETURN_IF_ERROR(
        ReadDevices("--quota", limits.quota, [&](int64_t n) { queue.set_quota_devices(n); }));
  }
  if (!limits.borrow.empty()) {
    mask.add_paths("borrow_devices");
    SEER_RETURN_IF_ERROR(
        ReadDevices("--borrow", limits.borrow, [&](int64_t n) { queue.set_borrow_devices(n); }));
  }
  if (!limits.weight.empty()) {
    mask.add_paths("weight");
    double weight = 0;
    if (!absl::SimpleAtod(limits.weight, &weight) || weight == 0)
      return NotA("--weight", limits.weight, "a number above 0");
    queue.set_weight(weight);
  }
  if (!limits.preemptions.empty()) {
    mask.add_paths("max_preemptions_per_hour");
    int32_t preemptions = 0;
    if (!absl::SimpleAtoi(limits.preemptions, &preemptions))
      return NotA("--max-preemptions", limits.preemptions, "a number, 0 for never");
    queue.set_max_preemptions_per_hour(preemptions);
  }
  if (!limits.grace.empty()) {
    mask.add_paths("preemption_grace");
    SEER_ASSIGN_OR_RETURN(const absl::Duration grace,
                          ReadDurationFlag("--grace", limits.grace, {.most = absl::Hours(24)}));
    queue.mutable_preemption_grace()->set_seconds(absl::ToInt64Seconds(grace));
    queue.mutable_preemption_grace()->set_nanos(
        static_cast<int32_t>(absl::ToInt64Nanoseconds(grace % absl::Seconds(1))));
  }
  return absl::OkStatus();
}

void AddLimits(CLI::App& command, Limits& limits) {
  command.add_option("--quota", limits.quota,
                     "Devices that its jobs may hold, and that it claims back from queues which "
                     "borrow; none: no limit");
  command.add_option("--borrow", limits.borrow,
                     "Devices beyond the quota while others do not need theirs; none: no limit");
  command.add_option("--weight", limits.weight, "Its share among queues that wait, above 0");
  command.add_option("--max-preemptions", limits.preemptions,
                     "How often an hour one of its jobs may lose its devices; 0: never");
  command.add_option("--grace", limits.grace,
                     "How long a job may write its checkpoint when its devices are taken, as 5m");
}

std::string NameOf(const v1::Queue& queue) {
  return std::string(absl::StripPrefix(queue.name(), "queues/"));
}
std::string QuotaOf(const v1::Queue& queue) {
  return queue.has_quota_devices() ? absl::StrCat(queue.quota_devices()) : "none";
}
std::string BorrowOf(const v1::Queue& queue) {
  return queue.has_borrow_devices() ? absl::StrCat(queue.borrow_devices()) : "none";
}

// Runs `body` with a stub, and prints the queue that it gives.
int WithQueue(
    Session& session,
    const std::function<absl::StatusOr<v1::Queue>(v1::Queues::Stub&, const Session&)>& body) {
  const auto channel = session.Coordinator();
  if (!channel.ok()) return Fail(channel.status());
  const auto stub = v1::Queues::NewStub(*channel);
  const auto queue = body(*stub, session);
  if (!queue.ok()) return Fail(queue.status());
  PrintOne(session.form, *queue,
           {{"Queue", NameOf(*queue)},
            {"Devices in use", absl::StrCat(queue->devices_in_use(), ", of these borrowed ",
                                            queue->devices_borrowed())},
            {"Quota", QuotaOf(*queue)},
            {"May borrow", BorrowOf(*queue)},
            {"Weight", absl::StrCat(queue->weight())},
            {"Jobs",
             absl::StrCat(queue->jobs_running(), " running, ", queue->jobs_waiting(), " waiting")},
            {"Preemptions",
             absl::StrCat("at most ", queue->max_preemptions_per_hour(), " an hour and job, ",
                          queue->preemption_grace().seconds(), " s to write a checkpoint")}});
  return kExitOk;
}

int List(Session& session) {
  const auto channel = session.Coordinator();
  if (!channel.ok()) return Fail(channel.status());
  const auto stub = v1::Queues::NewStub(*channel);
  v1::ListQueuesRequest request;
  const auto queues =
      FetchPages<v1::Queue>(session, "the coordinator", *stub, &v1::Queues::Stub::ListQueues,
                            request, &v1::ListQueuesResponse::queues);
  if (!queues.ok()) return Fail(queues.status());
  std::vector<const Message*> items;
  for (const auto& queue : *queues) items.push_back(&queue);
  PrintList(session.form, items,
            {{"NAME", [](const Message& m) { return NameOf(As(m)); }},
             {"IN USE", [](const Message& m) { return absl::StrCat(As(m).devices_in_use()); }},
             {"QUOTA", [](const Message& m) { return QuotaOf(As(m)); }},
             {"BORROW", [](const Message& m) { return BorrowOf(As(m)); }},
             {"WEIGHT", [](const Message& m) { return absl::StrCat(As(m).weight()); }},
             {"RUNNING", [](const Message& m) { return absl::StrCat(As(m).jobs_running()); }},
             {"WAITING", [](const Message& m) { return absl::StrCat(As(m).jobs_waiting()); }}});
  return kExitOk;
}

void AddCreate(CLI::App& parent, Session& session) {
  struct Options {
    std::string name;
    Limits limits;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = parent.add_subcommand("create", "Make a queue");
  command->add_option("name", options->name, "1 to 63 of a-z, 0-9 and '-'")->required();
  AddLimits(*command, options->limits);
  command->footer(
      "Examples:\n  seer queue create vision --quota 64 --borrow 32\n  seer queue create "
      "interns --quota 8 --borrow none --weight 0.5");
  command->callback([&session, options] {
    v1::CreateQueueRequest request;
    request.mutable_queue()->set_name(absl::StrCat("queues/", options->name));
    google::protobuf::FieldMask ignored;
    if (const absl::Status read = Read(options->limits, *request.mutable_queue(), ignored);
        !read.ok()) {
      session.exit_code = Fail(read);
      return;
    }
    session.exit_code = WithQueue(session, [&](v1::Queues::Stub& stub, const Session& s) {
      return CallCoordinator(s, stub, &v1::Queues::Stub::CreateQueue, request);
    });
  });
}

void AddSet(CLI::App& parent, Session& session) {
  struct Options {
    std::string name, etag;
    Limits limits;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      parent.add_subcommand("set", "Change limits of a queue; what is not named stays");
  command->add_option("name", options->name, "Of the queue")->required();
  AddLimits(*command, options->limits);
  command->add_option("--etag", options->etag,
                      "Only if it is still as `describe -o json` showed it with this etag");
  command->footer(
      "Examples:\n  seer queue set vision --quota 96\n  seer queue set vision --borrow none "
      "--max-preemptions 4 --grace 10m");
  command->callback([&session, options] {
    v1::UpdateQueueRequest request;
    request.mutable_queue()->set_name(options->name);
    request.mutable_queue()->set_etag(options->etag);
    absl::Status read =
        Read(options->limits, *request.mutable_queue(), *request.mutable_update_mask());
    if (read.ok() && request.update_mask().paths().empty())
      read = Error(absl::StatusCode::kInvalidArgument, reason::kMissingField, "nothing to change")
                 .Hint("`seer queue set --help` shows what can be");
    if (!read.ok()) {
      session.exit_code = Fail(read);
      return;
    }
    session.exit_code = WithQueue(session, [&](v1::Queues::Stub& stub, const Session& s) {
      return CallCoordinator(s, stub, &v1::Queues::Stub::UpdateQueue, request);
    });
  });
}

void AddDescribe(CLI::App& parent, Session& session) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = parent.add_subcommand("describe", "Show a queue");
  command->add_option("name", *name, "Of the queue")->required();
  command->footer("Example:\n  seer queue describe vision -o json");
  command->callback([&session, name] {
    v1::GetQueueRequest request;
    request.set_name(*name);
    session.exit_code = WithQueue(session, [&](v1::Queues::Stub& stub, const Session& s) {
      return CallCoordinator(s, stub, &v1::Queues::Stub::GetQueue, request);
    });
  });
}

absl::Status Delete(Session& session, const std::string& name, bool yes) {
  SEER_ASSIGN_OR_RETURN(const auto channel, session.Coordinator());
  const auto stub = v1::Queues::NewStub(channel);
  v1::GetQueueRequest look;
  look.set_name(name);
  SEER_RETURN_IF_ERROR(CallCoordinator(session, *stub, &v1::Queues::Stub::GetQueue, look).status());
  SEER_RETURN_IF_ERROR(Confirm(absl::StrCat("delete queue ", name), yes, *session.interrupt));
  v1::DeleteQueueRequest request;
  request.set_name(name);
  SEER_ASSIGN_OR_RETURN(const v1::Queue queue,
                        CallCoordinator(session, *stub, &v1::Queues::Stub::DeleteQueue, request));
  PrintDeleted(session.form, queue, NameOf(queue));
  return absl::OkStatus();
}

void AddDelete(CLI::App& parent, Session& session) {
  struct Options {
    std::string name;
    bool yes = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = parent.add_subcommand("delete", "Remove a queue without jobs");
  command->add_option("name", options->name, "Of the queue")->required();
  command->add_flag("-y,--yes", options->yes, "Do not ask");
  command->footer("Example:\n  seer queue delete vision --yes");
  command->callback([&session, options] {
    const absl::Status deleted = Delete(session, options->name, options->yes);
    session.exit_code = deleted.ok() ? kExitOk : Fail(deleted);
  });
}

}  // namespace

void AddQueueCommands(CLI::App& app, Session& session) {
  CLI::App* noun = app.add_subcommand("queue", "Say who may use how many devices");
  noun->require_subcommand(1);
  noun->footer("Example:\n  seer queue create vision --quota 64 --borrow 32");
  AddCreate(*noun, session);
  AddSet(*noun, session);
  CLI::App* list = noun->add_subcommand("list", "List queues");
  list->footer("Example:\n  seer queue list");
  list->callback([&session] { session.exit_code = List(session); });
  AddDescribe(*noun, session);
  AddDelete(*noun, session);
}

}  // namespace seer::client
