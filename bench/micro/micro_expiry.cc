/* micro_expiry.cc - a million holds whose deadlines are the same second, or the same millisecond.
 *
 * core: deciding and publishing alone; longest_us is the longest of its transactions. engine: with
 * records, log (that keeps nothing) and waiting. Threads: one. */
#include "micro/micro.h"

#include <algorithm>
#include <cstdlib>

#include "micro/engine_rig.h"
#include "micro/orders_rig.h"
#include "micro/stopwatch.h"
#include "micro/suites.h"

namespace {

constexpr uint32_t items = 10000;
constexpr uint32_t batch = 1000;

void core(benchmark::State &state)
{
    uint64_t orders = static_cast<uint64_t>(state.range(0));
    uint64_t longest = 0;
    uint64_t expired = 0;
    for (auto _ : state) {
        struct orders_rig *rig = orders_rig_make(std::max<uint64_t>(orders * 17 / 16, 65536),
                                                 static_cast<uint32_t>(micro::sized(items, 100)),
                                                 static_cast<uint32_t>(state.range(1)));
        orders_rig_reserve(rig, 0, static_cast<uint32_t>(orders));
        uint64_t transaction_ns = 0;
        uint64_t begin = stopwatch_cpu_ns();
        expired += orders_rig_expire(rig, &transaction_ns);
        state.SetIterationTime(static_cast<double>(stopwatch_between(begin, stopwatch_cpu_ns())) *
                               1e-9);
        longest = std::max(longest, transaction_ns);
        orders_rig_free(rig);
    }
    if (expired != orders * static_cast<uint64_t>(state.iterations())) {
        std::abort();
    }
    micro::count_orders(state, expired);
    state.counters["longest_us"] = static_cast<double>(longest) * 1e-3;
}

void engine(benchmark::State &state)
{
    uint64_t orders = static_cast<uint64_t>(state.range(0));
    uint64_t expired = 0;
    for (auto _ : state) {
        struct engine_rig_options options = {};
        options.orders_max = std::max<uint64_t>(orders * 17 / 16, 65536);
        options.items = static_cast<uint32_t>(micro::sized(items, 100));
        options.units = int64_t{1} << 40;
        struct engine_rig *rig = engine_rig_make(&options);
        struct engine_phases phases = {};
        for (uint64_t done = 0; done < orders; done += batch) {
            engine_rig_batch(rig, done, batch, &phases);
        }
        uint64_t begin = stopwatch_cpu_ns();
        expired += engine_rig_expire(rig);
        state.SetIterationTime(static_cast<double>(stopwatch_between(begin, stopwatch_cpu_ns())) *
                               1e-9);
        engine_rig_free(rig);
    }
    if (expired != orders * static_cast<uint64_t>(state.iterations())) {
        std::abort();
    }
    micro::count_orders(state, expired);
}

} // namespace

void micro::register_expiry()
{
    int64_t orders = sized(1000000, 10000);
    for (int64_t spread_ms : {1, 1000}) {
        benchmark::RegisterBenchmark("expiry/core", core)
            ->ArgNames({"orders", "within_ms"})
            ->Args({orders, spread_ms})
            ->Iterations(sized(3, 1))
            ->UseManualTime();
    }
    benchmark::RegisterBenchmark("expiry/engine", engine)
        ->ArgName("orders")
        ->Arg(orders)
        ->Iterations(sized(3, 1))
        ->UseManualTime();
}
