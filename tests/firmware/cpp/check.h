// A test is a function with a name that finishes the sentence "it ...".
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

struct Test {
  const char* suite;
  const char* name;
  void (*run)();
};

std::vector<Test>& tests();

struct Registered {
  Registered(const char* suite, const char* name, void (*run)()) {
    tests().push_back({suite, name, run});
  }
};

[[noreturn]] inline void fail(const char* file, int line, const std::string& what) {
  fprintf(stderr, "%s:%d: %s\n", file, line, what.c_str());
  exit(1);
}

#define TEST(suite, name)                                                             \
  static void suite##_##name();                                                       \
  static const Registered registered_##suite##_##name(#suite, #name, suite##_##name); \
  static void suite##_##name()

#define CHECK(condition)                                    \
  do {                                                      \
    if (!(condition)) fail(__FILE__, __LINE__, #condition); \
  } while (false)

#define CHECK_TEXT(actual, expected)                                            \
  do {                                                                          \
    const std::string a = (actual), e = (expected);                             \
    if (a != e) fail(__FILE__, __LINE__, "\"" + a + "\" is not \"" + e + "\""); \
  } while (false)

#define CHECK_NUMBER(actual, expected)                                                        \
  do {                                                                                        \
    const long long a = static_cast<long long>(actual), e = static_cast<long long>(expected); \
    if (a != e)                                                                               \
      fail(__FILE__, __LINE__,                                                                \
           std::string(#actual " is ") + std::to_string(a) + ", not " + std::to_string(e));   \
  } while (false)
