#include "http_reply.h"

#include <cstring>
#include <strings.h>

namespace roost {
namespace {

void copy(char* into, size_t capacity, const char* text) {
  strncpy(into, text, capacity - 1);
  into[capacity - 1] = '\0';
}

// -1 for what is no number below 2^31 in that base, or has anything behind it but `stop`.
long read_number(const char* text, unsigned base, char stop) {
  long value = 0;
  const char* at = text;
  for (; *at != '\0' && *at != stop; ++at) {
    const char c = *at;
    const unsigned digit = '0' <= c && c <= '9'   ? static_cast<unsigned>(c - '0')
                           : 'a' <= c && c <= 'f' ? static_cast<unsigned>(c - 'a') + 10
                           : 'A' <= c && c <= 'F' ? static_cast<unsigned>(c - 'A') + 10
                                                  : 99;
    if (digit >= base || value > (0x7FFFFFFFL - 15) / static_cast<long>(base)) return -1;
    value = value * static_cast<long>(base) + static_cast<long>(digit);
  }
  return at == text ? -1 : value;
}

}  // namespace

void HttpReply::fail(const char* why) {
  state_ = State::failed;
  failure_ = why;
}

size_t HttpReply::feed(const char* bytes, size_t size) {
  size_t used = 0;
  while (used < size && state_ == State::reading) {
    if (part_ == Part::body || part_ == Part::chunk) {
      used += take_body(bytes + used, size - used);
      continue;
    }
    const char c = bytes[used++];
    if (++head_bytes_ > kMaxHeadBytes) {
      fail("its head is too long");
    } else if (c == '\n') {
      if (line_size_ > 0 && line_[line_size_ - 1] == '\r') --line_size_;
      line_[line_size_] = '\0';
      take_line();
      line_size_ = 0;
    } else if (line_size_ + 1 < sizeof line_) {
      line_[line_size_++] = c;
    } else {
      // A long header is none of those we read: its beginning is enough to tell.
      line_[sizeof line_ - 2] = c;
    }
  }
  return used;
}

void HttpReply::end() {
  if (state_ != State::reading) return;
  if (part_ == Part::body && !has_length_) {
    finish();
  } else {
    fail("it was cut");
  }
}

long HttpReply::announced_bytes() const {
  return has_length_ && !is_chunked_ ? static_cast<long>(left_) : -1;
}

void HttpReply::take_line() {
  switch (part_) {
    case Part::status: take_status(); break;
    case Part::header:
      if (line_size_ == 0) {
        begin_body();
      } else {
        take_header();
      }
      break;
    case Part::chunk_size: take_chunk_size(); break;
    case Part::chunk_end:
      if (line_size_ != 0) fail("a chunk is longer than it says");
      part_ = Part::chunk_size;
      break;
    case Part::trailer:
      if (line_size_ == 0) finish();
      break;
    case Part::body:
    case Part::chunk: break;
  }
}

void HttpReply::take_status() {
  const bool is_http = strncmp(line_, "HTTP/1.1 ", 9) == 0 || strncmp(line_, "HTTP/1.0 ", 9) == 0;
  const long status = is_http ? read_number(line_ + 9, 10, ' ') : -1;
  if (status < 100 || status > 599) {
    fail("it is not HTTP/1.1");
    return;
  }
  status_ = static_cast<int>(status);
  part_ = Part::header;
}

void HttpReply::take_header() {
  char* colon = strchr(line_, ':');
  if (colon == nullptr) {
    fail("a header has no colon");
    return;
  }
  *colon = '\0';
  char* value = colon + 1;
  while (*value == ' ' || *value == '\t') ++value;
  for (size_t end = strlen(value); end > 0 && (value[end - 1] == ' ' || value[end - 1] == '\t');
       --end) {
    value[end - 1] = '\0';
  }
  if (strcasecmp(line_, "Content-Length") == 0) {
    const long length = read_number(value, 10, '\0');
    const bool is_other = has_length_ && left_ != static_cast<size_t>(length);
    if (length < 0 || is_other) fail("its length is malformed");
    has_length_ = true;
    left_ = static_cast<size_t>(length);
  } else if (strcasecmp(line_, "Transfer-Encoding") == 0) {
    is_chunked_ = strcasecmp(value, "chunked") == 0;
    if (!is_chunked_) fail("its transfer encoding is not known here");
  } else if (strcasecmp(line_, "Upgrade") == 0) {
    copy(upgrade_, sizeof upgrade_, value);
  } else if (strcasecmp(line_, "Connection") == 0) {
    copy(connection_, sizeof connection_, value);
  } else if (strcasecmp(line_, "Sec-WebSocket-Accept") == 0) {
    copy(accept_, sizeof accept_, value);
  }
}

void HttpReply::begin_body() {
  if (status_ < 200 && !(kind_ == Kind::upgrade && status_ == 101)) {
    part_ = Part::status;  // 100 Continue and its like: the reply is still to come (RFC 9110 §15.2)
    return;
  }
  if (kind_ == Kind::download || status_ == 101 || status_ == 204 || status_ == 304) {
    finish();
  } else if (is_chunked_) {
    part_ = Part::chunk_size;
  } else if (has_length_ && left_ == 0) {
    finish();
  } else if (has_length_ && left_ > kMaxBodyBytes) {
    fail("its body is too long");
  } else {
    part_ = Part::body;
  }
}

void HttpReply::take_chunk_size() {
  const long size = read_number(line_, 16, ';');
  if (size < 0) {
    fail("a chunk's size is malformed");
    return;
  }
  left_ = static_cast<size_t>(size);
  part_ = size == 0 ? Part::trailer : Part::chunk;
}

size_t HttpReply::take_body(const char* bytes, size_t size) {
  const bool is_bounded = has_length_ || is_chunked_;
  const size_t taken = is_bounded && left_ < size ? left_ : size;
  if (body_size_ + taken > kMaxBodyBytes) {
    fail("its body is too long");
    return taken;
  }
  memcpy(body_ + body_size_, bytes, taken);
  body_size_ += taken;
  body_[body_size_] = '\0';
  if (is_bounded) left_ -= taken;
  if (is_bounded && left_ == 0) {
    if (part_ == Part::chunk) {
      part_ = Part::chunk_end;
    } else {
      finish();
    }
  }
  return taken;
}

}  // namespace roost
