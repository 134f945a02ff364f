// JSON (RFC 8259) in bounded memory: nothing is copied, nothing is allocated.
#pragma once

#include <cstddef>
#include <cstdint>

namespace roost {

// A value inside a text that must outlive it. Only `parse` makes one that is not null.
class Json {
 public:
  // The whole text has to be one JSON value, nested at most kMaxDepth deep. False for all else.
  static bool parse(const char* text, size_t length, Json* into);

  bool is_object() const { return first() == '{'; }
  // Of an object; the first of several with one name. False: not there, or this is no object.
  bool member(const char* name, Json* into) const;
  // Decoded to UTF-8 with a NUL behind it. False: no string, too long, or it holds a NUL.
  bool text(char* into, size_t capacity) const;
  // False for fractions, exponents, and what does not fit.
  bool integer(int64_t* into) const;
  bool boolean(bool* into) const;

  static constexpr int kMaxDepth = 8;

 private:
  char first() const { return at_ < end_ ? *at_ : '\0'; }

  const char* at_ = nullptr;
  const char* end_ = nullptr;
};

// One flat or nested object, written into the caller's buffer.
class JsonWriter {
 public:
  JsonWriter(char* into, size_t capacity);

  void begin_object();  // the outermost, or a member's value after `name`
  void end_object();
  void name(const char* text);   // what follows is its value
  void text(const char* value);  // bytes that are not UTF-8 become U+FFFD
  void number(int64_t value);
  void boolean(bool value);

  void member(const char* called, const char* value) { name(called), text(value); }
  void member(const char* called, int64_t value) { name(called), number(value); }

  bool is_whole() const { return !has_overflowed_; }
  size_t size() const { return size_; }

 private:
  void put(char character);
  void put(const char* characters);
  void begin_value();

  char* into_;
  size_t capacity_;
  size_t size_ = 0;
  bool needs_comma_ = false;
  bool has_overflowed_ = false;
};

}  // namespace roost
