#include "worker/agent/text.h"

#include "absl/strings/string_view.h"

namespace seer::worker {
namespace {

// The length of the UTF-8 sequence at the start of `text`, which is not empty; 0: none is there.
size_t SequenceLength(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  // Overlong forms, surrogates and what lies above U+10FFFF.
  if ((lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xed && byte(1) > 0x9f) ||
      (lead == 0xf0 && byte(1) < 0x90) || (lead == 0xf4 && byte(1) > 0x8f))
    return 0;
  return length;
}

}  // namespace

std::string CleanText(std::string text, size_t max_bytes) {
  size_t at = 0;
  while (at < text.size()) {
    size_t length = SequenceLength(absl::string_view(text).substr(at));
    if (length == 0) {
      text[at] = '?';
      length = 1;
    } else if (static_cast<unsigned char>(text[at]) < 0x20 && text[at] != '\t') {
      text[at] = ' ';
    }
    if (at + length > max_bytes) break;
    at += length;
  }
  text.resize(at);
  return text;
}

}  // namespace seer::worker
