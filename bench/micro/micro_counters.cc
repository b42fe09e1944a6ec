/* micro_counters.cc - taking and giving units: 1 to 4 threads, one item and many, near the end and
 * past it.
 *
 * Threads: as many as each benchmark says; the slot is the thread's number. */
#include "micro/micro.h"

#include <atomic>
#include <cstdlib>

extern "C" {
#include "core/stock.h"
}
#include "base/hash.h"
#include "micro/suites.h"

namespace {

constexpr uint32_t many_items = 10000;
constexpr int64_t plenty = int64_t{1} << 50;
constexpr int64_t few = 16; /* fewer than one a cell, and more than the threads take at once */

struct stock *stock;

void make_stock(uint32_t items, int64_t units, bool hot)
{
    if (stock_init(&stock, items) != HF_OK) {
        std::abort();
    }
    for (uint32_t item = 1; item <= items; item++) {
        stock_define(stock, item, 0, 0, hot);
        if (units > 0) {
            stock_restock(stock, 0, item, units);
        }
    }
}

void free_stock(const benchmark::State &)
{
    stock_deinit(stock);
    stock = nullptr;
}

void one_item(const benchmark::State &)
{
    make_stock(1, plenty, false);
}

void one_hot_item(const benchmark::State &)
{
    make_stock(1, plenty, true);
}

void two_items(const benchmark::State &)
{
    make_stock(2, plenty, false);
}

void two_items_sold_out(const benchmark::State &)
{
    make_stock(2, 0, false);
}

void spread_items(const benchmark::State &)
{
    make_stock(many_items, plenty, false);
}

void nearly_sold_out(const benchmark::State &)
{
    make_stock(1, few, true);
}

void sold_out(const benchmark::State &)
{
    make_stock(1, 0, false);
}

void sold_out_hot(const benchmark::State &)
{
    make_stock(1, 0, true);
}

unsigned slot_of(const benchmark::State &state)
{
    return static_cast<unsigned>(state.thread_index());
}

void take_one(benchmark::State &state)
{
    unsigned slot = slot_of(state);
    for (auto _ : state) {
        benchmark::DoNotOptimize(stock_take(stock, slot, 1, 1));
    }
    micro::count_orders(state, static_cast<uint64_t>(state.iterations()));
}

void take_many(benchmark::State &state)
{
    unsigned slot = slot_of(state);
    uint64_t number = static_cast<uint64_t>(slot) << 40;
    for (auto _ : state) {
        uint32_t item = 1 + static_cast<uint32_t>(hash_u64(number++) % many_items);
        benchmark::DoNotOptimize(stock_take(stock, slot, item, 1));
    }
    micro::count_orders(state, static_cast<uint64_t>(state.iterations()));
}

/* Take, and give back what was taken: an order is the pair. */
void take_give(benchmark::State &state)
{
    unsigned slot = slot_of(state);
    uint64_t refused = 0;
    for (auto _ : state) {
        if (stock_take(stock, slot, 1, 1) == HF_OK) {
            stock_give(stock, slot, 1, 1);
        } else {
            refused++;
        }
    }
    micro::count_orders(state, static_cast<uint64_t>(state.iterations()));
    state.counters["refused"] = static_cast<double>(refused);
}

/* As take_give, but four are in hand at a time, so that a thread's own cell runs dry. */
void take_give_four(benchmark::State &state)
{
    unsigned slot = slot_of(state);
    uint64_t refused = 0;
    for (auto _ : state) {
        int64_t taken = 0;
        for (int i = 0; i < 4; i++) {
            taken += stock_take(stock, slot, 1, 1) == HF_OK;
        }
        refused += static_cast<uint64_t>(4 - taken);
        for (int64_t i = 0; i < taken; i++) {
            stock_give(stock, slot, 1, 1);
        }
    }
    micro::count_orders(state, static_cast<uint64_t>(state.iterations()) * 4);
    state.counters["refused"] = static_cast<double>(refused);
}

/* A split line over two items, and what it got given back. */
void take_any_give(benchmark::State &state)
{
    unsigned slot = slot_of(state);
    struct stock_part parts[2] = {};
    parts[0].item = 1 + slot % 2;
    parts[1].item = 2 - slot % 2;
    for (auto _ : state) {
        if (stock_take_any(stock, slot, parts, 2, 1, 1) == HF_OK) {
            stock_give(stock, slot, parts[0].taken > 0 ? parts[0].item : parts[1].item, 1);
        }
    }
    micro::count_orders(state, static_cast<uint64_t>(state.iterations()));
}

void take_presale_give(benchmark::State &state)
{
    unsigned slot = slot_of(state);
    int64_t presale;
    for (auto _ : state) {
        if (stock_take_presale(stock, slot, 1, 1, &presale) == HF_OK) {
            stock_give(stock, slot, 1, 1);
        }
    }
    micro::count_orders(state, static_cast<uint64_t>(state.iterations()));
}

using Hook = void (*)(const benchmark::State &);

void add(const char *name, void (*function)(benchmark::State &), Hook setup)
{
    benchmark::RegisterBenchmark(name, function)
        ->Setup(setup)
        ->Teardown(free_stock)
        ->UseRealTime()
        ->ThreadRange(1, 4);
}

} // namespace

void micro::register_counters()
{
    add("counters/take/one_item", take_one, one_item);
    add("counters/take/one_hot_item", take_one, one_hot_item);
    add("counters/take/10000_items", take_many, spread_items);
    add("counters/take_give/one_item", take_give, one_item);
    add("counters/take_give/one_hot_item", take_give, one_hot_item);
    add("counters/take_give/near_sell_out", take_give_four, nearly_sold_out);
    add("counters/take_give/split_line_of_two", take_any_give, two_items);
    add("counters/take_give/presale", take_presale_give, one_item);
    add("counters/refuse/split_line_of_two", take_any_give, two_items_sold_out);
    add("counters/refuse/one_item", take_one, sold_out);
    add("counters/refuse/one_hot_item", take_one, sold_out_hot);
}
