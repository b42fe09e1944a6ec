/* micro_record.cc - events to the log's records and back. Threads: one. */
#include "micro/micro.h"

#include "micro/record_rig.h"
#include "micro/suites.h"

namespace {

template <uint32_t (*operation)(struct record_rig *)> void run(benchmark::State &state)
{
    struct record_rig *rig = record_rig_make(static_cast<uint32_t>(state.range(0)));
    uint32_t bytes = 0;
    for (auto _ : state) {
        bytes = operation(rig);
        benchmark::DoNotOptimize(bytes);
    }
    record_rig_free(rig);
    micro::count_orders(state, static_cast<uint64_t>(state.iterations()) * RECORD_RIG_EVENTS);
    state.counters["bytes_per_order"] = static_cast<double>(bytes) / RECORD_RIG_EVENTS;
}

} // namespace

void micro::register_record()
{
    /* lines 0: commits, which name none. */
    benchmark::RegisterBenchmark("record/encode", run<record_rig_encode>)
        ->ArgName("lines")
        ->Arg(0)
        ->Arg(1)
        ->Arg(10);
    benchmark::RegisterBenchmark("record/decode", run<record_rig_decode>)
        ->ArgName("lines")
        ->Arg(0)
        ->Arg(1)
        ->Arg(10);
}
