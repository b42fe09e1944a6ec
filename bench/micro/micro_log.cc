/* micro_log.cc - appends to a log that keeps nothing: what the log costs without a disk.
 *
 * An order is a record of 48 bytes. append: one thread appends, and after each half group does the
 * writer's part (seal, checksum), timed apart. running: 1 or 2 threads append while the log's own
 * thread writes. Threads: as said. */
#include "micro/micro.h"

#include <algorithm>

#include "micro/log_rig.h"
#include "micro/stopwatch.h"
#include "micro/suites.h"

namespace {

constexpr uint64_t record_bytes = 48;
constexpr uint64_t round_bytes = 480000; /* appended before the writer gets its turn */

void append(benchmark::State &state)
{
    uint32_t bytes = static_cast<uint32_t>(state.range(0));
    uint64_t appends = round_bytes / bytes;
    struct log_rig *rig = log_rig_make(nullptr, 1, false);
    uint64_t append_ns = 0;
    uint64_t write_ns = 0;
    for (auto _ : state) {
        uint64_t begin = stopwatch_cpu_ns();
        for (uint64_t i = 0; i < appends; i++) {
            log_rig_append(rig, bytes);
        }
        uint64_t appended = stopwatch_cpu_ns();
        log_rig_write(rig);
        uint64_t end = stopwatch_cpu_ns();
        append_ns += stopwatch_between(begin, appended);
        write_ns += stopwatch_between(appended, end);
        state.SetIterationTime(static_cast<double>(stopwatch_between(begin, end)) * 1e-9);
    }
    log_rig_free(rig);
    uint64_t rounds = static_cast<uint64_t>(state.iterations());
    uint64_t orders = rounds * appends * bytes / record_bytes;
    micro::count_orders(state, orders);
    micro::count_ns(state, "append_ns", append_ns, orders);
    micro::count_ns(state, "write_ns", write_ns, orders);
    micro::count_ns(state, "ns_per_append", append_ns, rounds * appends);
}

struct log_rig *shared;

void start_shared(const benchmark::State &)
{
    shared = log_rig_make(nullptr, 1, false);
    log_rig_start(shared);
}

void free_shared(const benchmark::State &)
{
    log_rig_free(shared);
    shared = nullptr;
}

void running(benchmark::State &state)
{
    uint32_t bytes = static_cast<uint32_t>(state.range(0));
    for (auto _ : state) {
        log_rig_append(shared, bytes);
    }
    micro::count_orders(state, static_cast<uint64_t>(state.iterations()) * bytes / record_bytes);
}

} // namespace

void micro::register_log()
{
    for (int64_t bytes : {48, 480, 4800, 48000}) {
        benchmark::RegisterBenchmark("log/append", append)
            ->ArgName("bytes")
            ->Arg(bytes)
            ->UseManualTime();
        benchmark::RegisterBenchmark("log/running", running)
            ->ArgName("bytes")
            ->Arg(bytes)
            ->Setup(start_shared)
            ->Teardown(free_shared)
            ->UseRealTime()
            ->ThreadRange(1, 2);
    }
}
