/* micro_engine.cc - the engine without a transport: batches from their bytes to their answers'.
 *
 * submit: one thread does all, the log's writer too, and keeps nothing; each step is timed, so the
 * sum is the CPU time of an order. refuse: the same when all is sold out. running: the log has its
 * thread, 1 or 2 lanes submit, nothing is kept. durable: one lane, on the real disk.
 * Threads: as said. */
#include "micro/micro.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include "micro/engine_rig.h"
#include "micro/suites.h"

namespace {

constexpr int64_t plenty = int64_t{1} << 40;

struct engine_rig *make_rig(const char *directory, int64_t items, int64_t units, uint64_t orders,
                            bool running)
{
    struct engine_rig_options options = {};
    options.directory = directory;
    options.small = micro::scale.tiny;
    options.orders_max = std::max<uint64_t>(orders * 17 / 16, 65536);
    options.items = static_cast<uint32_t>(items);
    options.units = units;
    options.running = running;
    return engine_rig_make(&options);
}

void alone(benchmark::State &state, int64_t units)
{
    uint32_t batch = static_cast<uint32_t>(state.range(0));
    uint64_t orders = static_cast<uint64_t>(state.max_iterations) * batch;
    struct engine_rig *rig = make_rig(nullptr, state.range(1), units, orders, false);
    struct engine_phases phases = {};
    uint64_t next = 0;
    uint64_t held = 0;
    for (auto _ : state) {
        struct engine_phases now = {};
        held += engine_rig_batch(rig, next, batch, &now);
        next += batch;
        phases.decode_ns += now.decode_ns;
        phases.submit_ns += now.submit_ns;
        phases.log_ns += now.log_ns;
        phases.encode_ns += now.encode_ns;
        uint64_t sum = now.decode_ns + now.submit_ns + now.log_ns + now.encode_ns;
        state.SetIterationTime(static_cast<double>(sum) * 1e-9);
    }
    engine_rig_free(rig);
    if (held != (units > 0 ? next : 0)) {
        std::abort();
    }
    micro::count_orders(state, next);
    micro::count_ns(state, "decode_ns", phases.decode_ns, next);
    micro::count_ns(state, "submit_ns", phases.submit_ns, next);
    micro::count_ns(state, "log_ns", phases.log_ns, next);
    micro::count_ns(state, "encode_ns", phases.encode_ns, next);
}

/* ---- With the log's threads ---- */

struct engine_rig *shared;

/* The lanes' batches are made before the clock runs; their number is the same for all lanes. */
void lanes(benchmark::State &state)
{
    uint32_t batch = static_cast<uint32_t>(state.range(0));
    uint32_t batches = static_cast<uint32_t>(state.max_iterations);
    uint64_t first = static_cast<uint64_t>(state.thread_index()) << 40;
    struct engine_lane *lane =
        engine_lane_make(shared, first, batches, batch, static_cast<uint32_t>(state.range(2)));
    uint64_t held = 0;
    uint32_t left = batches;
    for (auto _ : state) {
        engine_lane_submit(lane);
        if (--left == 0) {
            held = engine_lane_drain(lane);
        }
    }
    engine_lane_free(lane);
    micro::count_orders(state, held);
}

int64_t running_batches()
{
    return micro::sized(1000, 5);
}

void start_running(const benchmark::State &state)
{
    /* Setup is told neither threads nor iterations: room for four lanes. */
    uint64_t orders = 4 * static_cast<uint64_t>(running_batches() * state.range(0));
    shared = make_rig(nullptr, state.range(1), plenty, orders, true);
}

void stop_running(const benchmark::State &)
{
    engine_rig_free(shared);
    shared = nullptr;
}

void durable(benchmark::State &state)
{
    micro::TempDir directory;
    uint64_t orders =
        static_cast<uint64_t>(state.max_iterations) * static_cast<uint64_t>(state.range(0));
    shared = make_rig(directory.path(), state.range(1), plenty, orders, true);
    lanes(state);
    stop_running(state);
}

} // namespace

void micro::register_engine()
{
    int64_t many = sized(10000, 100);
    for (int64_t items : {int64_t{1}, many}) {
        for (int64_t batch : {1, 100, 1000}) {
            benchmark::RegisterBenchmark("engine/submit", alone, plenty)
                ->ArgNames({"batch", "items"})
                ->Args({batch, items})
                ->Iterations(sized(batch == 1 ? 200000 : 2000000 / batch, 5))
                ->UseManualTime();
        }
        benchmark::RegisterBenchmark("engine/refuse", alone, 0)
            ->ArgNames({"batch", "items"})
            ->Args({1000, items})
            ->Iterations(sized(2000, 5))
            ->UseManualTime();
        benchmark::RegisterBenchmark("engine/running", lanes)
            ->ArgNames({"batch", "items", "in_flight"})
            ->Args({1000, items, 8})
            ->Iterations(running_batches())
            ->Setup(start_running)
            ->Teardown(stop_running)
            ->UseRealTime()
            ->ThreadRange(1, 2);
        for (int64_t in_flight : {1, 8}) {
            if (scale.tiny && in_flight == 1) {
                continue; /* the other has all that this has */
            }
            benchmark::RegisterBenchmark("engine/durable", durable)
                ->ArgNames({"batch", "items", "in_flight"})
                ->Args({1000, items, in_flight})
                ->Iterations(running_batches())
                ->UseRealTime();
        }
    }
}
