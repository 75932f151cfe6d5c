// Stands in for seer-trainer: does what its assignment's spec says, line by line.
//   print TEXT    spam N (lines of 100 bytes)    word JSON (the last word)
//   term          waits for SIGTERM               deaf (never ends, ignores SIGTERM)
//   file PATH       waits until it is there
//   flight STEP     writes to its flight recorder: two all-reduces of "world" entered, one
//   completed,
//                   waits in the other
//   exit N    die N (by signal N; 19: is stopped)
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>

#include "common/base/flight_recorder.h"
#include "seer/internal/v1/agent.pb.h"

int main(int argc, char** argv) {
  if (argc != 3) return 99;
  const std::string path = argv[2];
  seer::internal::v1::Assign assign;
  {
    std::ifstream file(path, std::ios::binary);
    if (!assign.ParseFromIstream(&file)) return 98;
  }
  std::istringstream script(assign.spec());
  std::string line;
  while (std::getline(script, line)) {
    const size_t space = line.find(' ');
    const std::string verb = line.substr(0, space);
    const std::string rest = space == std::string::npos ? "" : line.substr(space + 1);
    if (verb == "print") {
      std::printf("%s\n", rest.c_str());
    } else if (verb == "spam") {
      const int lines = std::atoi(rest.c_str());
      for (int i = 0; i < lines; ++i) std::printf("%-99d\n", i);
    } else if (verb == "word") {
      std::ofstream(path + ".exit") << rest;
    } else if (verb == "term") {
      std::fflush(stdout);
      sigset_t terminate;
      sigemptyset(&terminate);
      sigaddset(&terminate, SIGTERM);
      sigprocmask(SIG_BLOCK, &terminate, nullptr);
      int number = 0;
      sigwait(&terminate, &number);
    } else if (verb == "deaf") {
      signal(SIGTERM, SIG_IGN);
      std::printf("deaf\n");
      std::fflush(stdout);
      while (true) ::pause();
    } else if (verb == "flight") {
      static const auto recorder = seer::FlightRecorder::Open(path + ".flight");
      if (!recorder.ok()) return 97;
      seer::FlightRecorder& flight = **recorder;
      flight.BeginStep(std::atoi(rest.c_str()));
      const int world = flight.AddGroup("world", 0, 2);
      for (int i = 0; i < 2; ++i) flight.Entered(world, seer::CollectiveKind::kAllReduce, 64);
      flight.Completed(world, 1, seer::CollectiveKind::kAllReduce);
      flight.BeginWait(world, 2, seer::CollectiveKind::kAllReduce);
    } else if (verb == "file") {
      while (::access(rest.c_str(), F_OK) != 0) ::usleep(5000);
    } else if (verb == "die") {
      std::fflush(stdout);
      ::raise(std::atoi(rest.c_str()));
    } else if (verb == "exit") {
      std::fflush(stdout);
      ::_exit(std::atoi(rest.c_str()));
    }
    std::fflush(stdout);
  }
  return 0;
}
