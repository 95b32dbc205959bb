// printf and assert of device code.
#include <cstdio>
#include <string>

#include "runtime/thread.h"

namespace velum::emulation {
namespace {

/// A string in device memory, up to its zero; every byte is checked.
std::string read_string(Thread& t, u64 address, u32 site) {
  std::string text;
  while (true) {
    const char c = load<char>(t.access<Space::generic_, Access::read, 1, 1>(address++, site));
    if (c == '\0') return text;
    text += c;
  }
}

template <typename T>
void append(std::string& text, const std::string& format, T value) {
  char buffer[512];
  std::snprintf(buffer, sizeof buffer, format.c_str(), value);
  text += buffer;
}

}  // namespace

// The arguments lie in memory one after the other, each aligned to its size, as C promotes them.
void device_printf(Thread& t, u32 site, u8* const* results, u8* const* args) {
  const std::string format = read_string(t, load<u64>(args[0]), site);
  u64 next = load<u64>(args[1]);
  const auto take = [&]<typename T>(T) {
    next = (next + sizeof(T) - 1) / sizeof(T) * sizeof(T);
    const T value =
        load<T>(t.access<Space::generic_, Access::read, sizeof(T), sizeof(T)>(next, site));
    next += sizeof(T);
    return value;
  };
  std::string text;
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      text += format[i];
      continue;
    }
    const std::size_t start = i++;
    int longs = 0;
    while (i < format.size() &&
           std::string("-+ #0123456789.hlz").find(format[i]) != std::string::npos) {
      if (format[i] == 'l' || format[i] == 'z') ++longs;
      ++i;
    }
    if (i == format.size()) break;
    const std::string one = format.substr(start, i - start + 1);
    switch (format[i]) {
      case '%':
        text += '%';
        break;
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o':
      case 'c':
        if (longs > 0) {
          append(text, one, take(u64{}));
        } else {
          append(text, one, take(u32{}));
        }
        break;
      case 'f':
      case 'F':
      case 'e':
      case 'E':
      case 'g':
      case 'G':
      case 'a':
      case 'A':
        append(text, one, take(f64{}));
        break;
      case 'p':
        append(text, one, reinterpret_cast<void*>(take(u64{})));
        break;
      case 's':
        append(text, one, read_string(t, take(u64{}), site).c_str());
        break;
      default:
        t.fail(FaultKind::unsupported, site, "printf conversion " + one);
    }
  }
  std::fputs(text.c_str(), stdout);
  store<u32>(results[0], static_cast<u32>(text.size()));
}

void device_assert(Thread& t, u32 site, u8* const*, u8* const* args) {
  t.fail(FaultKind::assertion, site,
         read_string(t, load<u64>(args[0]), site) + " failed at " +
             read_string(t, load<u64>(args[1]), site) + ":" + std::to_string(load<u32>(args[2])) +
             " in " + read_string(t, load<u64>(args[3]), site));
}

}  // namespace velum::emulation
