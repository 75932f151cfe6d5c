// seer job wait, pause, resume and cancel.
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "absl/strings/str_cat.h"
#include "client/commands/job.h"
#include "client/confirm.h"
#include "client/follow.h"
#include "common/flags/number.h"
#include "common/rpc/status_grpc.h"

namespace seer::client {
namespace {

// A verb that changes a job; `call` is its method.
template <typename Request>
using Method = grpc::Status (v1::Jobs::Stub::*)(grpc::ClientContext*, const Request&, v1::Job*);

template <typename Request>
int Steer(Session& session, v1::Jobs::Stub& stub, Request request, Method<Request> call) {
  request.set_request_id(NewRequestId());
  v1::Job job;
  const absl::Status status = session.Call("the coordinator", [&](grpc::ClientContext& context) {
    return FromGrpc((stub.*call)(&context, request, &job));
  });
  if (absl::IsCancelled(status) && session.interrupt->caught()) {
    Note(absl::StrCat("interrupted: it may have been done; `seer job describe ",
                      ShortId(request.name()), "` shows the state"));
    return kExitInterrupted;
  }
  if (!status.ok()) return Fail(status);
  PrintOne(
      session.form, job,
      {{"Job", ShortId(job.name())}, {"State", StateOf(job)}, {"Message", job.state_message()}});
  return kExitOk;
}

void AddPause(CLI::App& parent, Session& session) {
  auto name = std::make_shared<std::string>();
  CLI::App* command =
      parent.add_subcommand("pause", "Write a checkpoint and give the devices back");
  AddJobArgument(*command, *name);
  command->footer("Example:\n  seer job pause job_ab12cd34");
  command->callback([&session, name] {
    session.exit_code = WithJob(session, *name, [&](v1::Jobs::Stub& stub, const std::string& full) {
      v1::PauseJobRequest request;
      request.set_name(full);
      return Steer(session, stub, request, &v1::Jobs::Stub::PauseJob);
    });
  });
}

struct ResumeOptions {
  std::string job;
  int64_t from = 0;
  bool yes = false;
};

int Resume(Session& session, v1::Jobs::Stub& stub, const std::string& name,
           const ResumeOptions& options) {
  if (options.from > 0) {
    const absl::Status confirmed =
        Confirm(absl::StrCat("delete the checkpoints of job ", ShortId(name), " beyond step ",
                             options.from, " and go on from there"),
                options.yes, *session.interrupt);
    if (!confirmed.ok()) return Fail(confirmed);
  }
  v1::ResumeJobRequest request;
  request.set_name(name);
  request.set_step(options.from);
  return Steer(session, stub, request, &v1::Jobs::Stub::ResumeJob);
}

void AddResume(CLI::App& parent, Session& session) {
  auto options = std::make_shared<ResumeOptions>();
  CLI::App* command = parent.add_subcommand("resume", "Put a paused job back into the queue");
  AddJobArgument(*command, options->job);
  command
      ->add_option("--from", options->from,
                   "Go on from the checkpoint at this step; newer ones are deleted")
      ->check(AtLeast(1));
  command->add_flag("--yes,-y", options->yes, "Do not ask, with --from");
  command->footer(
      "Examples:\n  seer job resume job_ab12cd34\n  seer job resume digits --from 400 --yes");
  command->callback([&session, options] {
    session.exit_code =
        WithJob(session, options->job, [&](v1::Jobs::Stub& stub, const std::string& full) {
          return Resume(session, stub, full, *options);
        });
  });
}

struct CancelOptions {
  std::string job;
  bool yes = false, dry_run = false;
};

int Cancel(Session& session, v1::Jobs::Stub& stub, const std::string& name,
           const CancelOptions& options) {
  v1::GetJobRequest request;
  request.set_name(name);
  v1::Job job;
  const absl::Status got = session.Call("the coordinator", [&](grpc::ClientContext& context) {
    return FromGrpc(stub.GetJob(&context, request, &job));
  });
  if (!got.ok()) return Fail(got);
  const std::string what =
      absl::StrCat("cancel job ", ShortId(name), " '", job.spec().metadata().name(), "' (",
                   StateOf(job), ", step ", StepsOf(job), ") for good");
  if (options.dry_run) {
    Note(absl::StrCat("would ", what, "; its checkpoints stay"));
    return kExitOk;
  }
  const absl::Status confirmed = Confirm(what, options.yes, *session.interrupt, DryRun::kOffered);
  if (!confirmed.ok()) return Fail(confirmed);
  v1::CancelJobRequest cancel;
  cancel.set_name(name);
  return Steer(session, stub, cancel, &v1::Jobs::Stub::CancelJob);
}

void AddCancel(CLI::App& parent, Session& session) {
  auto options = std::make_shared<CancelOptions>();
  CLI::App* command = parent.add_subcommand("cancel", "End a job for good; its checkpoints stay");
  AddJobArgument(*command, options->job);
  command->add_flag("--yes,-y", options->yes, "Do not ask");
  command->add_flag("--dry-run", options->dry_run, "Say what would be cancelled; do nothing");
  command->footer("Examples:\n  seer job cancel job_ab12cd34\n  seer job cancel digits --yes");
  command->callback([&session, options] {
    session.exit_code =
        WithJob(session, options->job, [&](v1::Jobs::Stub& stub, const std::string& full) {
          return Cancel(session, stub, full, *options);
        });
  });
}

}  // namespace

void AddSteering(CLI::App& parent, Session& session) {
  struct WaitOptions {
    std::string job;
    FollowOptions follow;
  };
  auto waiting = std::make_shared<WaitOptions>();
  CLI::App* wait = parent.add_subcommand("wait", "Wait until a job ends; the exit code says how");
  AddJobArgument(*wait, waiting->job);
  AddFollowOptions(*wait, waiting->follow);
  wait->footer("Example:\n  seer job wait --follow --timeout 2h job_ab12cd34");
  wait->callback([&session, waiting] {
    const auto timeout = ReadTimeout(waiting->follow.timeout);
    if (!timeout.ok()) {
      session.exit_code = Fail(timeout.status());
      return;
    }
    session.exit_code = WithJob(
        session, waiting->job,
        [&](v1::Jobs::Stub& stub, const std::string& full) {
          v1::Job job;
          const int code =
              FollowJob(stub, full, waiting->follow.follow, *timeout, *session.interrupt, job);
          if (code == kExitFailed)
            Note(absl::StrCat("error: ", job.state_reason(), ": ", job.state_message()));
          return code;
        },
        kExitNotFound);
  });
  AddPause(parent, session);
  AddResume(parent, session);
  AddCancel(parent, session);
}

}  // namespace seer::client
