// make_openapi PROTOSET OUT: writes the OpenAPI document, while the project is built.
#include <cstdio>
#include <fstream>
#include <iterator>

#include "common/api/openapi.h"
#include "common/base/process.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: make_openapi PROTOSET OUT\n");
    return 2;
  }
  std::ifstream in(argv[1], std::ios::binary);
  google::protobuf::FileDescriptorSet files;
  if (!files.ParseFromIstream(&in)) {
    std::fprintf(stderr, "%s is no descriptor set\n", argv[1]);
    return 1;
  }
  const auto document = seer::MakeOpenApi(files);
  if (!document.ok()) return seer::FailProgram(document.status());
  std::ofstream out(argv[2], std::ios::binary);
  out << *document;
  return out.flush() ? 0 : 1;
}
