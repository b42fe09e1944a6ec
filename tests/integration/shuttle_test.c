/* shuttle_test.c - no order is refused for units that are on their way from one pool to another.
 *
 * usage: shuttle_test URL [ROUNDS]     (default 200)
 *
 * Clients take single units, each from whichever of three pools has one, in an order of their own,
 * until they are refused; an operator moves units between the pools all the while. Nothing is given
 * back, so the first refusal says that no unit is left anywhere: afterwards every unit must be
 * held. Then the same with lines of UNITS_LINE units, split over the pools.
 *
 * Threads: CLIENTS and an operator, one client each. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <holdfast/client.h>

#include "base/check.h"

#define CLIENTS    4u
#define POOLS      3u
#define UNITS      30 /* a multiple of UNITS_LINE */
#define UNITS_LINE 3u
#define MOVES      64u /* of a message */
#define REFUSALS   5u  /* of each client */

struct sale {
    uint32_t items[POOLS];
    uint32_t line_qty;
    atomic_int held;
    atomic_bool refused;  /* somebody was */
    atomic_uint too_late; /* orders that began after that, and succeeded */
    atomic_bool over;
};

struct client {
    struct hf_client *client;
    struct sale *sale;
    unsigned index;
    uint32_t moves; /* the operator's, that were made */
};

/* Takes one line, whole; false when it was refused. */
static bool take(struct hf_client *client, struct sale *sale, unsigned first, uint32_t qty)
{
    uint32_t others[POOLS - 1];
    for (unsigned i = 1; i < POOLS; i++) {
        others[i - 1] = sale->items[(first + i) % POOLS];
    }
    struct hf_line line = {.item = sale->items[first % POOLS],
                           .qty = qty,
                           .split = true,
                           .fallback_count = POOLS - 1,
                           .fallbacks = others};
    struct hf_order order = {.id = hf_id_random(), .line_count = 1, .lines = &line};
    bool refused = atomic_load_explicit(&sale->refused, memory_order_acquire);
    enum hf_status status = hf_reserve(client, &order, NULL);
    CHECK(status == HF_OK || status == HF_SOLD_OUT);
    if (status == HF_SOLD_OUT) {
        /* Pairs with the load above: what begins after it knows that this order has ended. */
        atomic_store_explicit(&sale->refused, true, memory_order_release);
    } else {
        atomic_fetch_add_explicit(&sale->too_late, refused, memory_order_relaxed);
        atomic_fetch_add_explicit(&sale->held, (int)qty, memory_order_relaxed);
    }
    return status == HF_OK;
}

static void *buy(void *argument)
{
    struct client *client = argument;
    unsigned refusals = 0;
    for (unsigned n = client->index; refusals < REFUSALS; n++) {
        refusals += !take(client->client, client->sale, n, client->sale->line_qty);
    }
    return NULL;
}

/* Moves 1 or 2 units at a time, there and back, many in a message: so some move is always about. */
static void *operate(void *argument)
{
    struct client *client = argument;
    struct sale *sale = client->sale;
    unsigned n = 0;
    while (!atomic_load_explicit(&sale->over, memory_order_acquire)) {
        struct hf_adjustment moves[MOVES];
        struct hf_adjust_result results[MOVES];
        for (unsigned i = 0; i < MOVES; i++, n++) {
            moves[i] = (struct hf_adjustment){.id = hf_id_random(),
                                              .item = sale->items[n % POOLS],
                                              .to_item = sale->items[(n + 1) % POOLS],
                                              .value = 1 + n / POOLS % 2};
        }
        /* INVALID: more than the pool has at all. */
        enum hf_status status = hf_adjust(client->client, moves, MOVES, results);
        CHECK(status == HF_OK || status == HF_INVALID);
        for (unsigned i = 0; i < MOVES; i++) {
            status = results[i].status;
            CHECK(status == HF_OK || status == HF_WOULD_OVERSELL || status == HF_INVALID);
            client->moves += status == HF_OK;
        }
    }
    return NULL;
}

static void define_pools(struct hf_client *client, uint32_t number, struct sale *sale)
{
    static const char *const pools[POOLS] = {"east", "west", "north"};
    char sku[32];
    snprintf(sku, sizeof sku, "SHUTTLE-%u", number);
    struct hf_item defs[POOLS];
    for (unsigned i = 0; i < POOLS; i++) {
        defs[i] = (struct hf_item){.sku = sku, .pool = pools[i], .hot = (number + i) % 4 == 0};
    }
    enum hf_status status = hf_define(client, NULL, 0, defs, POOLS, sale->items);
    CHECK(status == HF_OK);
    struct hf_adjustment stock = {
        .id = hf_id_random(), .item = sale->items[number % POOLS], .value = UNITS};
    struct hf_adjust_result result;
    status = hf_adjust(client, &stock, 1, &result);
    CHECK(status == HF_OK);
    CHECK(result.status == HF_OK);
}

/* All threads run until the buyers are refused; the operator's client is the last. */
static void run_sale(struct client *clients, struct sale *sale)
{
    pthread_t threads[CLIENTS + 1];
    for (unsigned i = 0; i <= CLIENTS; i++) {
        clients[i].sale = sale;
        int error = pthread_create(&threads[i], NULL, i < CLIENTS ? buy : operate, &clients[i]);
        CHECK(error == 0);
    }
    for (unsigned i = 0; i <= CLIENTS; i++) {
        if (i == CLIENTS) {
            /* Pairs with the load in operate(). */
            atomic_store_explicit(&sale->over, true, memory_order_release);
        }
        pthread_join(threads[i], NULL);
    }
}

/* One round; true when all units were sold and the engine agrees. */
static bool run_round(struct client *clients, uint32_t number)
{
    struct sale sale = {.line_qty = number % 2 == 0 ? 1 : UNITS_LINE};
    define_pools(clients[0].client, number, &sale);
    run_sale(clients, &sale);
    if (sale.line_qty > 1) {
        /* An order that was refused had some units for a moment, which another then missed. */
        while (take(clients[0].client, &sale, 0, sale.line_qty)) {
        }
    }
    struct hf_stock stock[POOLS];
    enum hf_status status = hf_get_items(clients[0].client, sale.items, POOLS, stock);
    CHECK(status == HF_OK);
    int64_t held = 0, stocked = 0;
    for (unsigned i = 0; i < POOLS; i++) {
        CHECK(stock[i].available >= 0);
        held += stock[i].held;
        stocked += stock[i].stocked;
    }
    unsigned too_late = atomic_load_explicit(&sale.too_late, memory_order_relaxed);
    if (sale.line_qty == 1 && too_late > 0) {
        fprintf(stderr, "round %u: %u orders had a unit after another was refused\n", number,
                too_late);
        return false;
    }
    int told = atomic_load_explicit(&sale.held, memory_order_relaxed);
    if (told == UNITS && held == UNITS && stocked == UNITS) {
        return true;
    }
    fprintf(stderr, "round %u: %d acknowledged, %lld held, %lld stocked; expected %d\n", number,
            told, (long long)held, (long long)stocked, UNITS);
    return false;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s URL [ROUNDS]\n", argv[0]);
        return 2;
    }
    uint32_t rounds = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 200;
    struct client clients[CLIENTS + 1] = {{0}};
    struct hf_options options = {.timeout_ms = 300000}; /* only what hangs meets it */
    for (unsigned i = 0; i <= CLIENTS; i++) {
        clients[i].index = i;
        enum hf_status status = hf_client_open(&clients[i].client, argv[1], &options);
        CHECK(status == HF_OK);
    }
    uint32_t wrong = 0;
    for (uint32_t number = 0; number < rounds; number++) {
        wrong += !run_round(clients, number);
    }
    for (unsigned i = 0; i <= CLIENTS; i++) {
        hf_client_close(clients[i].client);
    }
    printf("%u rounds of %u clients on %d units in %u pools, %u moves: %u wrong\n", rounds, CLIENTS,
           UNITS, POOLS, clients[CLIENTS].moves, wrong);
    return wrong == 0 && clients[CLIENTS].moves > 0 ? 0 : 1;
}
