/* micro_orders.cc - the order table through the inventory, from 1 K to 64 M live orders.
 *
 * "live" orders are there before; then that many more are added, or that many of them are looked
 * up, asked again or committed, in batches of 1000 at random places. Times are
 * CPU time. Threads: one. */
#include "micro/micro.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "micro/orders_rig.h"
#include "micro/stopwatch.h"
#include "micro/suites.h"

namespace {

constexpr uint32_t batch = 1000;
constexpr uint32_t items = 10000;

/* Enough for a figure, and not so many that the table is another one afterwards. */
uint32_t batches_for(int64_t live)
{
    return static_cast<uint32_t>(std::clamp<int64_t>(live / 4 / batch, 1, 1000));
}

struct Table {
    struct orders_rig *rig;
    uint64_t live;

    explicit Table(benchmark::State &state) : live(static_cast<uint64_t>(state.range(0)))
    {
        uint64_t more = uint64_t{batches_for(state.range(0))} * batch;
        rig = orders_rig_make(std::max<uint64_t>((live + more) * 17 / 16, 65536),
                              static_cast<uint32_t>(micro::sized(items, 100)), 60000);
        for (uint64_t done = 0; done < live; done += batch) {
            orders_rig_reserve(rig, done,
                               static_cast<uint32_t>(std::min<uint64_t>(batch, live - done)));
        }
    }
    ~Table()
    {
        orders_rig_free(rig);
    }
};

/* New orders; the two halves of the work are timed apart. */
void reserve(benchmark::State &state)
{
    Table table(state);
    uint64_t next = table.live;
    uint64_t decide_ns = 0;
    uint64_t publish_ns = 0;
    for (auto _ : state) {
        uint64_t begin = stopwatch_cpu_ns();
        orders_rig_decide(table.rig, next, batch);
        uint64_t decided = stopwatch_cpu_ns();
        orders_rig_publish(table.rig);
        uint64_t end = stopwatch_cpu_ns();
        decide_ns += stopwatch_between(begin, decided);
        publish_ns += stopwatch_between(decided, end);
        state.SetIterationTime(static_cast<double>(stopwatch_between(begin, end)) * 1e-9);
        next += batch;
    }
    uint64_t orders = next - table.live;
    micro::count_orders(state, orders);
    micro::count_ns(state, "decide_ns", decide_ns, orders);
    micro::count_ns(state, "publish_ns", publish_ns, orders);
}

template <void (*operation)(struct orders_rig *, const uint64_t *, uint32_t)>
void at_random(benchmark::State &state)
{
    Table table(state);
    std::vector<uint64_t> numbers(batch);
    uint64_t draw = 0;
    for (auto _ : state) {
        state.PauseTiming();
        for (uint64_t &number : numbers) {
            number = hash_u64(draw++) % table.live;
        }
        state.ResumeTiming();
        operation(table.rig, numbers.data(), batch);
    }
    micro::count_orders(state, static_cast<uint64_t>(state.iterations()) * batch);
}

/* The slowest orders while the table grows from nothing. Each order's time is the least of the
 * rounds, which all do the same. */
void grow(benchmark::State &state)
{
    std::vector<uint32_t> least(static_cast<size_t>(state.range(0)), UINT32_MAX);
    for (auto _ : state) {
        orders_rig_grow(least.size(), least.data());
    }
    std::sort(least.begin(), least.end());
    auto count = static_cast<double>(least.size());
    for (auto [name, share] :
         {std::pair{"p99_ns", 0.99}, {"p999_ns", 0.999}, {"p9999_ns", 0.9999}}) {
        state.counters[name] = least[static_cast<size_t>(count * share)];
    }
    state.counters["longest_ns"] = least.back();
    micro::count_orders(state, static_cast<uint64_t>(state.iterations()) * least.size());
}

/* Each order once: a second commit would be a replay. */
void commit(benchmark::State &state)
{
    Table table(state);
    uint32_t count = static_cast<uint32_t>(std::min<uint64_t>(batch, table.live));
    /* Order i of a batch is one of the i-th stretch of the table, none twice (the multiplier is
     * prime). A steady stride would be one that the processor foresees. */
    uint64_t stride = table.live / count;
    std::vector<uint64_t> numbers(count);
    uint64_t k = 0;
    for (auto _ : state) {
        for (uint32_t i = 0; i < count; i++) {
            numbers[i] = i * stride + (hash_u64(i) % stride + k * 2654435761u) % stride;
        }
        k++;
        uint64_t begin = stopwatch_cpu_ns();
        orders_rig_commit(table.rig, numbers.data(), count);
        state.SetIterationTime(static_cast<double>(stopwatch_between(begin, stopwatch_cpu_ns())) *
                               1e-9);
    }
    micro::count_orders(state, static_cast<uint64_t>(state.iterations()) * count);
}

void add(const std::string &name, void (*function)(benchmark::State &), int64_t live, bool manual)
{
    auto *added = benchmark::RegisterBenchmark(name.c_str(), function)
                      ->ArgName("live")
                      ->Arg(live)
                      ->Iterations(batches_for(live));
    if (manual) {
        added->UseManualTime();
    }
}

} // namespace

void micro::register_orders()
{
    std::vector<int64_t> sizes = {1000, 64000, 1000000, 4000000};
    if (scale.tiny) {
        sizes = {1000, 4000};
    } else if (scale.large) {
        sizes.insert(sizes.end(), {16000000, 64000000});
    }
    benchmark::RegisterBenchmark("orders/grow", grow)
        ->ArgName("orders")
        ->Arg(sized(3000000, 2000))
        ->Iterations(sized(7, 1));
    for (int64_t live : sizes) {
        add("orders/reserve", reserve, live, true);
        add("orders/lookup", at_random<orders_rig_lookup>, live, false);
        add("orders/replay", at_random<orders_rig_replay>, live, false);
        add("orders/commit", commit, live, true);
    }
}
