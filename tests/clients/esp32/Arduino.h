// The part of the Arduino core for ESP32 that docs/clients/esp32cam.ino uses, over POSIX.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <unistd.h>

class String {
  public:
    String(const char *text = "") : held(text) {}
    String(const char *text, unsigned int length) : held(text, length) {}
    unsigned int length() const { return held.size(); }
    const char *c_str() const { return held.c_str(); }
    bool startsWith(const String &other) const { return held.rfind(other.held, 0) == 0; }
    int indexOf(const String &other) const {
        auto at = held.find(other.held);
        return at == std::string::npos ? -1 : int(at);
    }
    String substring(unsigned int from) const { return String(from < held.size() ? held.c_str() + from : ""); }
    String substring(unsigned int from, unsigned int to) const { return String(held.substr(from, to - from).c_str()); }
    float toFloat() const { return std::atof(held.c_str()); }
    friend String operator+(const String &left, const String &right) { return String((left.held + right.held).c_str()); }

  private:
    std::string held;
};

struct SerialPort {
    void begin(unsigned long) {}
    void println(const String &text) { std::puts(text.c_str()); std::fflush(stdout); }
};
inline SerialPort Serial;

struct Chip {
    [[noreturn]] void restart() { std::exit(1); }
};
inline Chip ESP;

using std::max;

// CLOCK_RATE: makes the board's clock run faster, so that tests do not have to wait.
inline unsigned long millis() {
    static const double rate = std::getenv("CLOCK_RATE") ? std::atof(std::getenv("CLOCK_RATE")) : 1.0;
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (unsigned long)((now.tv_sec * 1000.0 + now.tv_nsec / 1e6) * rate);
}
inline void delay(unsigned long ms) { usleep(ms * 1000); }
inline long random(long below) { return std::rand() % below; }
