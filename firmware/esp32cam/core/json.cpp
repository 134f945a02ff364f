#include "json.h"

#include <cinttypes>
#include <cstdio>
#include <cstring>

#include "utf8.h"

namespace roost {
namespace {

const char* skip_space(const char* at, const char* end) {
  while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) ++at;
  return at;
}

bool is_digit(char c) { return '0' <= c && c <= '9'; }

int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if ('a' <= c && c <= 'f') return c - 'a' + 10;
  if ('A' <= c && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The four digits of \uXXXX; -1 when they are none.
int32_t read_unit(const char* at, const char* end) {
  if (end - at < 4) return -1;
  int32_t unit = 0;
  for (int i = 0; i < 4; ++i) {
    const int digit = hex_value(at[i]);
    if (digit < 0) return -1;
    unit = unit * 16 + digit;
  }
  return unit;
}

// Past one character of a string, which may be an escape; null when it is malformed.
const char* read_character(const char* at, const char* end, uint32_t* into) {
  const auto byte = static_cast<unsigned char>(*at);
  if (byte < 0x20) return nullptr;
  if (byte != '\\') return decode_utf8(at, end, into);
  if (++at >= end) return nullptr;
  switch (*at++) {
    case '"': *into = '"'; return at;
    case '\\': *into = '\\'; return at;
    case '/': *into = '/'; return at;
    case 'b': *into = '\b'; return at;
    case 'f': *into = '\f'; return at;
    case 'n': *into = '\n'; return at;
    case 'r': *into = '\r'; return at;
    case 't': *into = '\t'; return at;
    case 'u': break;
    default: return nullptr;
  }
  const int32_t unit = read_unit(at, end);
  if (unit < 0) return nullptr;
  at += 4;
  if (unit < 0xD800 || unit > 0xDFFF) {
    *into = static_cast<uint32_t>(unit);
    return at;
  }
  // A surrogate is half a character (RFC 8259 §7); alone it is none.
  if (unit > 0xDBFF || end - at < 6 || at[0] != '\\' || at[1] != 'u') return nullptr;
  const int32_t low = read_unit(at + 2, end);
  if (low < 0xDC00 || low > 0xDFFF) return nullptr;
  *into =
      0x10000 + (static_cast<uint32_t>(unit - 0xD800) << 10) + static_cast<uint32_t>(low - 0xDC00);
  return at + 6;
}

const char* skip_string(const char* at, const char* end) {
  if (at >= end || *at != '"') return nullptr;
  ++at;
  uint32_t character;
  while (at != nullptr && at < end && *at != '"') at = read_character(at, end, &character);
  return at != nullptr && at < end ? at + 1 : nullptr;
}

const char* skip_digits(const char* at, const char* end) {
  if (at >= end || !is_digit(*at)) return nullptr;
  while (at < end && is_digit(*at)) ++at;
  return at;
}

const char* skip_number(const char* at, const char* end) {
  if (at < end && *at == '-') ++at;
  if (at < end && *at == '0') {
    ++at;
  } else if ((at = skip_digits(at, end)) == nullptr) {
    return nullptr;
  }
  if (at < end && *at == '.' && (at = skip_digits(at + 1, end)) == nullptr) return nullptr;
  if (at < end && (*at == 'e' || *at == 'E')) {
    ++at;
    if (at < end && (*at == '+' || *at == '-')) ++at;
    at = skip_digits(at, end);
  }
  return at;
}

const char* skip_word(const char* at, const char* end, const char* word) {
  const size_t length = strlen(word);
  const bool is_there = static_cast<size_t>(end - at) >= length && memcmp(at, word, length) == 0;
  return is_there ? at + length : nullptr;
}

const char* skip_value(const char* at, const char* end, int depth);

// Objects and arrays; `at` is behind the opening bracket.
const char* skip_members(const char* at, const char* end, int depth, bool is_object) {
  const char closing = is_object ? '}' : ']';
  at = skip_space(at, end);
  if (at < end && *at == closing) return at + 1;
  while (true) {
    if (is_object) {
      at = skip_string(skip_space(at, end), end);
      if (at == nullptr) return nullptr;
      at = skip_space(at, end);
      if (at >= end || *at++ != ':') return nullptr;
    }
    at = skip_value(skip_space(at, end), end, depth - 1);
    if (at == nullptr) return nullptr;
    at = skip_space(at, end);
    if (at >= end) return nullptr;
    if (*at == closing) return at + 1;
    if (*at++ != ',') return nullptr;
  }
}

// Past one value; null when it is malformed. Recursion ends at kMaxDepth: the stack is 8 KB.
const char* skip_value(const char* at, const char* end, int depth) {
  if (at >= end || depth < 0) return nullptr;
  switch (*at) {
    case '{': return skip_members(at + 1, end, depth, true);
    case '[': return skip_members(at + 1, end, depth, false);
    case '"': return skip_string(at, end);
    case 't': return skip_word(at, end, "true");
    case 'f': return skip_word(at, end, "false");
    case 'n': return skip_word(at, end, "null");
    default: return skip_number(at, end);
  }
}

}  // namespace

bool Json::parse(const char* text, size_t length, Json* into) {
  const char* end = text + length;
  const char* begin = skip_space(text, end);
  const char* behind = skip_value(begin, end, kMaxDepth);
  if (behind == nullptr || skip_space(behind, end) != end) return false;
  into->at_ = begin;
  into->end_ = behind;
  return true;
}

bool Json::member(const char* name, Json* into) const {
  if (!is_object()) return false;
  const char* at = skip_space(at_ + 1, end_);
  while (*at != '}') {
    Json called;
    called.at_ = at;
    called.end_ = skip_string(at, end_);
    at = skip_space(called.end_, end_) + 1;  // the colon
    at = skip_space(at, end_);
    const char* behind = skip_value(at, end_, kMaxDepth);
    char spelled[40];
    if (called.text(spelled, sizeof spelled) && strcmp(spelled, name) == 0) {
      into->at_ = at;
      into->end_ = behind;
      return true;
    }
    at = skip_space(behind, end_);
    if (*at == ',') at = skip_space(at + 1, end_);
  }
  return false;
}

bool Json::text(char* into, size_t capacity) const {
  if (first() != '"' || capacity == 0) return false;
  size_t size = 0;
  const char* at = at_ + 1;
  while (*at != '"') {
    uint32_t character;
    at = read_character(at, end_, &character);
    char bytes[4];
    const size_t length = encode_utf8(character, bytes);
    // A text with a NUL inside would be taken for its first half.
    if (character == 0 || size + length >= capacity) return false;
    memcpy(into + size, bytes, length);
    size += length;
  }
  into[size] = '\0';
  return true;
}

bool Json::integer(int64_t* into) const {
  const bool is_negative = first() == '-';
  const char* at = is_negative ? at_ + 1 : at_;
  if (at >= end_ || end_ - at > 18) return false;  // 18 digits fit 64 bits
  int64_t value = 0;
  for (; at < end_; ++at) {
    if (!is_digit(*at)) return false;
    value = value * 10 + (*at - '0');
  }
  *into = is_negative ? -value : value;
  return true;
}

bool Json::boolean(bool* into) const {
  if (first() != 't' && first() != 'f') return false;
  *into = first() == 't';
  return true;
}

JsonWriter::JsonWriter(char* into, size_t capacity) : into_(into), capacity_(capacity) {
  if (capacity > 0) into[0] = '\0';
}

void JsonWriter::put(char character) {
  if (size_ + 1 >= capacity_) {
    has_overflowed_ = true;
    return;
  }
  into_[size_++] = character;
  into_[size_] = '\0';
}

void JsonWriter::put(const char* characters) {
  for (; *characters != '\0'; ++characters) put(*characters);
}

void JsonWriter::begin_value() {
  if (needs_comma_) put(',');
  needs_comma_ = true;
}

void JsonWriter::begin_object() {
  begin_value();
  put('{');
  needs_comma_ = false;
}

void JsonWriter::end_object() {
  put('}');
  needs_comma_ = true;
}

void JsonWriter::name(const char* called) {
  text(called);
  put(':');
  needs_comma_ = false;
}

void JsonWriter::text(const char* value) {
  begin_value();
  put('"');
  const char* end = value + strlen(value);
  while (value < end) {
    uint32_t character;
    const char* next = decode_utf8(value, end, &character);
    if (next == nullptr) {
      put("\\ufffd");
      ++value;
      continue;
    }
    if (character == '"' || character == '\\') {
      put('\\');
      put(static_cast<char>(character));
    } else if (character < 0x20) {
      char escape[8];
      snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(character));
      put(escape);
    } else {
      for (; value < next; ++value) put(*value);
    }
    value = next;
  }
  put('"');
}

void JsonWriter::number(int64_t value) {
  begin_value();
  char digits[24];
  snprintf(digits, sizeof digits, "%" PRId64, value);
  put(digits);
}

void JsonWriter::boolean(bool value) {
  begin_value();
  put(value ? "true" : "false");
}

}  // namespace roost
