/* micro.h - what the suites share: how large to measure, and how to report it.
 *
 * Every benchmark reports per_order, a time
 * (seconds in JSON), and items_per_second; an "order" is what one item of that suite is (a take, a
 * record). Counters that end in _ns are nanoseconds an order.
 * Threads: main, except for functions that a benchmark runs in several threads. */
#ifndef MICRO_MICRO_H
#define MICRO_MICRO_H

#include <cstdint>
#include <string>

#include <benchmark/benchmark.h>

namespace micro {

/* How much to measure: a check that it runs at all (--tiny), or what the figures come from. */
struct Scale {
    bool tiny = false;
    bool large = false; /* order tables of 16 M and 64 M, too */
};

extern Scale scale;

inline int64_t sized(int64_t full, int64_t tiny)
{
    return scale.tiny ? tiny : full;
}

/* Reports `orders` items over all of the state's time. */
void count_orders(benchmark::State &state, uint64_t orders);

/* Reports ns spread over `orders`, under a name of its own. */
void count_ns(benchmark::State &state, const char *name, uint64_t ns, uint64_t orders);

/* A new directory under $TMPDIR, or /tmp, that goes with the object. */
class TempDir {
  public:
    TempDir();
    ~TempDir();
    TempDir(const TempDir &) = delete;
    TempDir &operator=(const TempDir &) = delete;
    const char *path() const
    {
        return path_.c_str();
    }

  private:
    std::string path_;
};

} // namespace micro

#endif
