#include "worker/agent/text.h"

#include "common/base/utf8.h"

namespace seer::worker {

std::string CleanText(std::string text, size_t max_bytes) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 && c != '\t') c = ' ';
  }
  return std::string(Utf8Prefix(ToValidUtf8(text), max_bytes));
}

}  // namespace seer::worker
