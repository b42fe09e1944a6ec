/* micro_recovery.cc - opening an engine on a log of so many orders, in a temporary directory.
 *
 * The log has just been written, so most of it is read from the page cache. Threads: one. */
#include "micro/micro.h"

#include <algorithm>
#include <cstdlib>

#include "micro/engine_rig.h"

namespace {

constexpr uint32_t batch = 1000;

void reopen(benchmark::State &state)
{
    uint64_t orders = static_cast<uint64_t>(state.range(0));
    micro::TempDir directory;
    struct engine_rig_options options = {};
    options.directory = directory.path();
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
    for (auto _ : state) {
        uint64_t ns;
        records += engine_rig_reopen(rig, &ns);
        state.SetIterationTime(static_cast<double>(ns) * 1e-9);
    }
    engine_rig_free(rig);
    micro::count_orders(state, records);
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
