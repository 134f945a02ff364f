#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>

#define HIGH 0x1
#define LOW 0x0
#define OUTPUT 0x03
#define INPUT_PULLDOWN 0x09
#define RTC_NOINIT_ATTR
#define SET_LOOP_TASK_STACK_SIZE(size) \
  size_t getArduinoLoopTaskStackSize() { return size; }

void pinMode(uint8_t pin, uint8_t mode);
void digitalWrite(uint8_t pin, uint8_t value);
int digitalRead(uint8_t pin);
void delay(uint32_t ms);
unsigned long millis();
bool psramFound();
float temperatureRead();

class HardwareSerial {
 public:
  void begin(unsigned long baud);
  int read();
  void flush();
  size_t println(const char* text);
};
extern HardwareSerial Serial;
