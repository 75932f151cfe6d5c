// seer job diagnose: why a job is as it is.
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/commands/job.h"
#include "client/diagnosis.h"
#include "common/base/status_macros.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"
#include "seer/v1/workers.grpc.pb.h"

namespace seer::client {
namespace {

constexpr int kTail = 2000;  // lines of all ranks, of which those of one are shown

absl::StatusOr<std::vector<v1::LogLine>> FetchLines(v1::Jobs::Stub& stub, const std::string& name,
                                                    Interrupt& interrupt) {
  v1::ReadLogsRequest request;
  request.set_name(name);
  request.set_tail(kTail);
  grpc::ClientContext context;
  Interrupt::Scope scope(interrupt, context);
  auto stream = stub.ReadLogs(&context, request);
  std::vector<v1::LogLine> lines;
  v1::LogLine line;
  while (stream->Read(&line)) lines.push_back(line);
  SEER_RETURN_IF_ERROR(ReachStatus("the coordinator", FromGrpc(stream->Finish())));
  return lines;
}

// Those that are forgotten are left out.
absl::StatusOr<std::vector<v1::Worker>> FetchWorkers(Session& session, const v1::Job& job) {
  SEER_ASSIGN_OR_RETURN(const auto channel, session.Coordinator());
  const auto stub = v1::Workers::NewStub(channel);
  std::vector<v1::Worker> workers;
  for (const std::string& name : WorkersOf(job)) {
    v1::GetWorkerRequest request;
    request.set_name(name);
    v1::Worker worker;
    const absl::Status status = session.Call("the coordinator", [&](grpc::ClientContext& context) {
      return FromGrpc(stub->GetWorker(&context, request, &worker));
    });
    if (status.code() == absl::StatusCode::kNotFound) continue;
    SEER_RETURN_IF_ERROR(status);
    workers.push_back(std::move(worker));
  }
  return workers;
}

absl::StatusOr<Evidence> Fetch(Session& session, v1::Jobs::Stub& stub, const std::string& name) {
  Evidence evidence;
  v1::GetJobRequest request;
  request.set_name(name);
  SEER_RETURN_IF_ERROR(session.Call("the coordinator", [&](grpc::ClientContext& context) {
    return FromGrpc(stub.GetJob(&context, request, &evidence.job));
  }));
  SEER_ASSIGN_OR_RETURN(evidence.events, FetchEvents(session, stub, name));
  SEER_ASSIGN_OR_RETURN(evidence.workers, FetchWorkers(session, evidence.job));
  SEER_ASSIGN_OR_RETURN(evidence.lines, FetchLines(stub, name, *session.interrupt));
  return evidence;
}

void Print(const Evidence& evidence, const Diagnosis& diagnosis) {
  std::vector<std::pair<std::string, std::string>> lines = {
      {"Job",
       absl::StrCat(ShortId(evidence.job.name()), " ", evidence.job.spec().metadata().name())}};
  for (const Finding& finding : diagnosis.findings) {
    std::string topic = finding.topic;
    topic[0] = absl::ascii_toupper(static_cast<unsigned char>(topic[0]));
    lines.emplace_back(topic, finding.text);
    lines.emplace_back("  next step", finding.next_step);
  }
  PrintLines(lines);
  PrintRanks(evidence.job, /*wide=*/true);
  if (diagnosis.lines.empty()) return;
  std::printf("\nThe last lines of rank %d:\n", diagnosis.rank);
  for (const v1::LogLine& line : diagnosis.lines) std::printf("  %s\n", line.text().c_str());
}

int DiagnoseJob(Session& session, v1::Jobs::Stub& stub, const std::string& name) {
  const auto evidence = Fetch(session, stub, name);
  if (!evidence.ok()) return Fail(evidence.status());
  const Diagnosis diagnosis = Diagnose(*evidence);
  if (session.form == OutputForm::kTable || session.form == OutputForm::kWide) {
    Print(*evidence, diagnosis);
  } else if (session.form == OutputForm::kYaml) {
    PrintYaml(DiagnosisJson(*evidence, diagnosis));
  } else if (session.form == OutputForm::kName) {
    std::printf("%s\n", evidence->job.name().c_str());
  } else {
    std::printf("%s\n", DiagnosisJson(*evidence, diagnosis).c_str());
  }
  return kExitOk;
}

}  // namespace

void AddDiagnose(CLI::App& parent, Session& session) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = parent.add_subcommand(
      "diagnose", "Say why a job is as it is: failures, hangs, slow ranks, its workers");
  AddJobArgument(*command, *name);
  command->footer(
      "Examples:\n  seer job diagnose job_ab12cd34\n  seer job diagnose digits -o json");
  command->callback([&session, name] {
    session.exit_code = WithJob(session, *name, [&](v1::Jobs::Stub& stub, const std::string& full) {
      return DiagnoseJob(session, stub, full);
    });
  });
}

}  // namespace seer::client
