/* micro_commit.cc - group commit on the real disk: a temporary directory under $TMPDIR, or /tmp.
 *
 * One thread appends requests of so many records, and so many requests wait to be durable at once.
 * Latency counts from before the append until the waiter is told. The segments that a run needs are
 * prepared before; the label says what carries the writes. Threads: one, and the log's own. */
#include "micro/micro.h"

#include "micro/log_rig.h"
#include "micro/suites.h"

namespace {

void commit(benchmark::State &state)
{
    uint32_t records = static_cast<uint32_t>(state.range(0));
    uint32_t in_flight = static_cast<uint32_t>(state.range(1));
    micro::TempDir directory;
    struct log_rig *rig = log_rig_make(directory.path(), in_flight, micro::scale.tiny);
    log_rig_start(rig);
    struct log_rig_result result = {};
    int64_t left = static_cast<int64_t>(state.max_iterations);
    for (auto _ : state) {
        log_rig_commit(rig, records);
        if (--left == 0) {
            result = log_rig_drain(rig);
        }
    }
    log_rig_free(rig);
    micro::count_orders(state, result.records);
    state.counters["p50_us"] = static_cast<double>(result.p50_ns) * 1e-3;
    state.counters["p99_us"] = static_cast<double>(result.p99_ns) * 1e-3;
    state.counters["max_us"] = static_cast<double>(result.max_ns) * 1e-3;
    state.counters["records_per_block"] =
        static_cast<double>(result.records) / static_cast<double>(result.blocks);
    state.SetLabel(result.storage);
}

} // namespace

void micro::register_commit()
{
    for (int64_t records : {1, 100, 1000}) {
        for (int64_t in_flight : {1, 8, 64}) {
            /* At most 192 MB of records, which the prepared segments hold. */
            benchmark::RegisterBenchmark("commit/durable", commit)
                ->ArgNames({"records", "in_flight"})
                ->Args({records, in_flight})
                ->Iterations(sized(in_flight == 1 ? 1000 : 4000, 20))
                ->UseRealTime();
        }
    }
}
