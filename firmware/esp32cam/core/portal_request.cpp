#include "portal_request.h"

#include <cstring>
#include <strings.h>

namespace roost {
namespace {

constexpr int kBad = 400, kNoMethod = 405, kNoLength = 411, kTooLong = 413, kLongHead = 431;

// Behind the empty line; null while it is not there.
char* end_of_head(char* bytes, size_t size) {
  for (size_t i = 1; i < size; ++i) {
    if (bytes[i] != '\n') continue;
    if (bytes[i - 1] == '\n') return bytes + i + 1;
    if (i >= 2 && bytes[i - 1] == '\r' && bytes[i - 2] == '\n') return bytes + i + 1;
  }
  return nullptr;
}

bool is_called(const char* at, const char* colon, const char* name) {
  const auto length = static_cast<size_t>(colon - at);
  return length == strlen(name) && strncasecmp(at, name, length) == 0;
}

}  // namespace

PortalRequest::State PortalRequest::refuse(int with_status) {
  status = with_status;
  return State::refused;
}

PortalRequest::State PortalRequest::read(char* bytes, size_t size) {
  *this = PortalRequest();
  const char* head_end = end_of_head(bytes, size < kMaxHeadBytes ? size : kMaxHeadBytes);
  if (head_end == nullptr) return size < kMaxHeadBytes ? State::more : refuse(kLongHead);
  const auto head_size = static_cast<size_t>(head_end - bytes);
  if (memchr(bytes, '\0', head_size) != nullptr) return refuse(kBad);
  bool is_first = true;
  for (const char* at = bytes; at < head_end;) {
    const auto left = static_cast<size_t>(head_end - at);
    const auto* end = static_cast<const char*>(memchr(at, '\n', left));
    const char* next = end + 1;
    if (end > at && end[-1] == '\r') --end;
    if (is_first) {
      if (!read_line(at, end)) return refuse(status != 0 ? status : kBad);
    } else if (end > at) {
      const int refused = read_header(at, end);
      if (refused != 0) return refuse(refused);
    }
    is_first = false;
    at = next;
  }
  if (method == Method::get) return State::whole;
  if (!has_length_) return refuse(kNoLength);
  if (body_size > kMaxBodyBytes) return refuse(kTooLong);
  if (size - head_size < body_size) return State::more;
  body = bytes + head_size;
  return State::whole;
}

bool PortalRequest::read_line(const char* at, const char* end) {
  const auto length = static_cast<size_t>(end - at);
  const auto* space = static_cast<const char*>(memchr(at, ' ', length));
  if (space == nullptr) return false;
  const char* path = space + 1;
  const auto* behind =
      static_cast<const char*>(memchr(path, ' ', static_cast<size_t>(end - path)));
  if (behind == nullptr || behind == path || end - behind != 9) return false;
  if (strncmp(behind, " HTTP/1.0", 9) != 0 && strncmp(behind, " HTTP/1.1", 9) != 0) return false;
  if (is_called(at, space, "GET")) {
    method = Method::get;
  } else if (is_called(at, space, "POST")) {
    method = Method::post;
  } else {
    status = kNoMethod;
    return false;
  }
  is_root = path[0] == '/' && (behind - path == 1 || path[1] == '?');
  return true;
}

// 0, or the status to refuse it with.
int PortalRequest::read_header(const char* at, const char* end) {
  const auto* colon = static_cast<const char*>(memchr(at, ':', static_cast<size_t>(end - at)));
  if (colon == nullptr || colon == at) return kBad;
  if (is_called(at, colon, "Transfer-Encoding")) return kNoLength;
  if (!is_called(at, colon, "Content-Length")) return 0;
  const char* digit = colon + 1;
  while (digit < end && (*digit == ' ' || *digit == '\t')) ++digit;
  if (digit == end || end - digit > 9) return digit == end ? kBad : kTooLong;
  size_t length = 0;
  for (; digit < end; ++digit) {
    if (*digit < '0' || *digit > '9') return kBad;
    length = length * 10 + static_cast<size_t>(*digit - '0');
  }
  if (has_length_ && length != body_size) return kBad;
  has_length_ = true;
  body_size = length;
  return 0;
}

}  // namespace roost
