// core-tests --list          every test as "suite name"
// core-tests SUITE NAME      one of them; 0 when it passed
#include "check.h"

std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

int main(int count, char** arguments) {
  if (count == 2 && strcmp(arguments[1], "--list") == 0) {
    for (const Test& test : tests()) printf("%s %s\n", test.suite, test.name);
    return 0;
  }
  for (const Test& test : tests()) {
    if (count == 3 && strcmp(arguments[1], test.suite) == 0 &&
        strcmp(arguments[2], test.name) == 0) {
      test.run();
      return 0;
    }
  }
  fputs("no such test\n", stderr);
  return 2;
}
