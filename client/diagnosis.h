// Why a job is as it is, out of what the coordinator knows of it, the most important first. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "seer/v1/events.pb.h"
#include "seer/v1/jobs.pb.h"
#include "seer/v1/workers.pb.h"

namespace seer::client {

// What there is to know.
struct Evidence {
  v1::Job job;
  std::vector<v1::Event> events;    // oldest first
  std::vector<v1::Worker> workers;  // of its ranks and of its last failure, if they are known
  std::vector<v1::LogLine> lines;   // the last of all ranks, oldest first
};

struct Finding {
  std::string
      topic;  // "state", "wait", "failure", "hang", "straggler", "health", "worker", "storage"
  std::string text;
  std::string next_step;  // empty: none is known
};

struct Diagnosis {
  std::vector<Finding> findings;   // never empty: the state is one
  int rank = -1;                   // whose lines are worth reading; -1: none
  std::vector<v1::LogLine> lines;  // the last of that rank's
};

Diagnosis Diagnose(const Evidence& evidence);

// Workers that the diagnosis asks about: "workers/{worker}", each once.
std::vector<std::string> WorkersOf(const v1::Job& job);

std::string DiagnosisJson(const Evidence& evidence, const Diagnosis& diagnosis);

}  // namespace seer::client
