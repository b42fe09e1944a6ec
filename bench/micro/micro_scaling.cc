/* micro_scaling.cc - one thread against two: the whole way of an order in memory, and each part
 * that threads share on it. bench/scaling.sh computes from it what more cores would be worth.
 *
 * way: decode, decide, append, publish, encode, on a log that keeps nothing; its writer is one
 * thread more. cpu_ns is the CPU time of the submitting threads: what the writer and other
 * processes take of the cores does not count, waiting for a lock does. Threads: as said. */
#include "micro/micro.h"

#include <algorithm>
#include <cstdlib>

#include "micro/engine_rig.h"
#include "micro/parts_rig.h"
#include "micro/stopwatch.h"
#include "micro/suites.h"

namespace {

constexpr int64_t plenty = int64_t{1} << 40;
constexpr uint32_t in_flight = 8;
constexpr unsigned threads_max = 2;

/* Of each thread, by the orders that it did. */
void count_cpu(benchmark::State &state, uint64_t ns, uint64_t orders)
{
    state.counters["cpu_ns"] = benchmark::Counter(
        static_cast<double>(ns) / static_cast<double>(orders), benchmark::Counter::kAvgThreads);
}

/* ---- The whole way ---- */

uint32_t way_batches(int64_t batch)
{
    return static_cast<uint32_t>(micro::sized(batch == 1 ? 200000 : 1500000 / batch, 5));
}

struct engine_rig *engine;

/* Ranges: orders a batch, items, 1 when they are defined hot, 1 when there is anything to sell. */
void make_engine(const benchmark::State &state)
{
    uint64_t orders =
        uint64_t{threads_max} * way_batches(state.range(0)) * static_cast<uint64_t>(state.range(0));
    struct engine_rig_options options = {};
    options.small = micro::scale.tiny;
    options.orders_max = std::max<uint64_t>(orders * 17 / 16, 65536);
    options.orders_ready = options.orders_max;
    options.items = static_cast<uint32_t>(state.range(1));
    options.hot = state.range(2) != 0;
    options.units = state.range(3) != 0 ? plenty : 0;
    options.running = true;
    engine = engine_rig_make(&options);
}

void free_engine(const benchmark::State &)
{
    engine_rig_free(engine);
    engine = nullptr;
}

void way(benchmark::State &state)
{
    uint32_t batch = static_cast<uint32_t>(state.range(0));
    uint32_t batches = way_batches(state.range(0));
    uint64_t first = static_cast<uint64_t>(state.thread_index()) << 40;
    struct engine_lane *lane = engine_lane_make(engine, first, batches, batch, in_flight);
    uint64_t orders = uint64_t{batches} * batch;
    uint64_t held = 0;
    uint64_t cpu_ns = 0;
    uint32_t left = batches;
    uint64_t begin_ns = stopwatch_cpu_ns();
    for (auto _ : state) {
        engine_lane_submit(lane);
        if (--left == 0) {
            cpu_ns = stopwatch_between(begin_ns, stopwatch_cpu_ns());
            held = engine_lane_drain(lane);
        }
    }
    engine_lane_free(lane);
    if (held != (state.range(3) != 0 ? orders : 0)) {
        std::abort();
    }
    micro::count_orders(state, orders);
    count_cpu(state, cpu_ns, orders);
}

void add_way(const char *name, int64_t batch, int64_t items, bool hot, bool units)
{
    benchmark::RegisterBenchmark(name, way)
        ->ArgNames({"batch", "items", "hot", "units"})
        ->Args({batch, items, hot ? 1 : 0, units ? 1 : 0})
        ->Iterations(way_batches(batch))
        ->Setup(make_engine)
        ->Teardown(free_engine)
        ->UseRealTime()
        ->ThreadRange(1, threads_max);
}

/* ---- Parts ---- */

constexpr uint32_t at_once = 1000; /* orders an iteration, as in a batch */

uint32_t part_rounds()
{
    return static_cast<uint32_t>(micro::sized(1000, 5));
}

struct parts_rig *parts;

void make_parts(const benchmark::State &)
{
    uint64_t orders = uint64_t{threads_max} * part_rounds() * at_once;
    parts = parts_rig_make(std::max<uint64_t>(orders * 17 / 16, 65536));
}

void free_parts(const benchmark::State &)
{
    parts_rig_free(parts);
    parts = nullptr;
}

enum class Part { lock, add, enter, own_wheel, same_wheel };

template <Part part> void run_part(benchmark::State &state)
{
    unsigned slot = static_cast<unsigned>(state.thread_index());
    uint64_t next = uint64_t{slot} * part_rounds() * at_once;
    uint64_t begin_ns = stopwatch_cpu_ns();
    for (auto _ : state) {
        switch (part) {
        case Part::lock:
            parts_lock(parts, at_once);
            break;
        case Part::add:
            parts_add(parts, at_once);
            break;
        case Part::enter:
            parts_enter(parts, slot, next, at_once);
            break;
        default:
            parts_deadlines(parts, slot, part == Part::same_wheel, next, at_once);
        }
        next += at_once;
    }
    uint64_t cpu_ns = stopwatch_between(begin_ns, stopwatch_cpu_ns());
    uint64_t orders = static_cast<uint64_t>(state.iterations()) * at_once;
    micro::count_orders(state, orders);
    count_cpu(state, cpu_ns, orders);
}

void add_part(const char *name, void (*function)(benchmark::State &))
{
    benchmark::RegisterBenchmark(name, function)
        ->Iterations(part_rounds())
        ->Setup(make_parts)
        ->Teardown(free_parts)
        ->UseRealTime()
        ->ThreadRange(1, threads_max);
}

} // namespace

void micro::register_scaling()
{
    int64_t many = sized(10000, 100);
    add_way("scaling/way/one_item", 1000, 1, false, true);
    add_way("scaling/way/one_hot_item", 1000, 1, true, true);
    add_way("scaling/way/10000_items", 1000, many, false, true);
    add_way("scaling/way/one_item_single", 1, 1, false, true);
    add_way("scaling/way/refuse", 1000, 1, false, false);
    add_way("scaling/way/refuse_hot", 1000, 1, true, false);
    add_part("scaling/part/lock", run_part<Part::lock>);
    add_part("scaling/part/add", run_part<Part::add>);
    add_part("scaling/part/enter", run_part<Part::enter>);
    add_part("scaling/part/own_wheel", run_part<Part::own_wheel>);
    add_part("scaling/part/same_wheel", run_part<Part::same_wheel>);
}
