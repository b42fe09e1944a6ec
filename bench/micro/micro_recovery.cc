/* micro_recovery.cc - opening an engine on a log of so many orders, in a temporary directory.
 *
 * Timed is the replay, to the end of the search for what may lie behind the log's end. rest_ms is
 * what comes after it and does not grow with the log: syncing its end, the EPOCH block, preparing a
 * segment. The log was written past the page cache, so the first opening reads from the disk and
 * later ones do not. Threads: those that recovery starts, as many as there are processors. */
#include "micro/micro.h"

#include <algorithm>
#include <cstdlib>

#include "micro/engine_rig.h"
#include "micro/suites.h"

namespace {

constexpr uint32_t batch = 1000;

void reopen(benchmark::State &state)
{
    uint64_t orders = static_cast<uint64_t>(state.range(0));
    micro::TempDir directory;
    struct engine_rig_options options = {};
    options.directory = directory.path();
    options.small = micro::scale.tiny;
    options.orders_max = std::max<uint64_t>(orders * 17 / 16, 65536);
    options.items = static_cast<uint32_t>(state.range(1));
    options.units = int64_t{1} << 40;
    struct engine_rig *rig = engine_rig_make(&options);
    struct engine_phases phases = {};
    for (uint64_t done = 0; done < orders; done += batch) {
        if (engine_rig_batch(rig, done, batch, &phases) != batch) {
            std::abort();
        }
    }
    uint64_t records = 0;
    uint64_t rest_ns = 0;
    for (auto _ : state) {
        uint64_t replay_ns;
        uint64_t open_ns;
        records += engine_rig_reopen(rig, &replay_ns, &open_ns);
        state.SetIterationTime(static_cast<double>(replay_ns) * 1e-9);
        rest_ns += open_ns - replay_ns;
    }
    engine_rig_free(rig);
    micro::count_orders(state, records);
    state.counters["rest_ms"] =
        static_cast<double>(rest_ns) * 1e-6 / static_cast<double>(state.iterations());
}

} // namespace

void micro::register_recovery()
{
    for (int64_t items : {int64_t{1}, sized(10000, 100)}) {
        benchmark::RegisterBenchmark("recovery/open", reopen)
            ->ArgNames({"orders", "items"})
            ->Args({sized(2000000, 5000), items})
            ->Iterations(sized(3, 1))
            ->UseManualTime();
    }
}
