/* sellout_test.c - eight clients rush 100 units of one item, many times: exactly 100 are sold.
 *
 * usage: sellout_test URL [ROUNDS]     (default: 5 s of them, 30 at least)
 *
 * Even rounds use row messages (hf_reserve), odd ones columns (hf_reserve_batch). Every thread goes
 * on until it is told SOLD_OUT, so the last units are fought for by all. Threads: CLIENTS, one
 * client each. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <holdfast/client.h>

#include "base/check.h"
#include "lib/budget.h"

#define CLIENTS 8u
#define UNITS   100
#define COLUMN  16u /* orders of a columnar request */

struct round_state {
    uint32_t item;
    uint32_t number;
    atomic_int sold;
};

struct client {
    struct hf_client *client;
    struct round_state *round;
    unsigned index;
    pthread_barrier_t *barrier;
};

/* Never 0, which is no id. */
static uint64_t order_number(const struct client *client, uint32_t n)
{
    return ((uint64_t)client->round->number + 1) << 32 | (uint64_t)client->index << 24 | n;
}

static void rush_rows(struct client *client)
{
    for (uint32_t n = 0;; n++) {
        struct hf_id id = {{0}};
        uint64_t number = order_number(client, n);
        for (unsigned i = 0; i < 8; i++) {
            id.bytes[15 - i] = (uint8_t)(number >> (8 * i));
        }
        struct hf_line line = {.item = client->round->item, .qty = 1};
        struct hf_order order = {.id = id, .line_count = 1, .lines = &line};
        enum hf_status status = hf_reserve(client->client, &order, NULL);
        if (status == HF_SOLD_OUT) {
            return;
        }
        CHECK(status == HF_OK);
        atomic_fetch_add_explicit(&client->round->sold, 1, memory_order_relaxed);
    }
}

static void rush_columns(struct client *client)
{
    for (uint32_t n = 0;; n += COLUMN) {
        uint64_t id_hi[COLUMN] = {0};
        uint64_t id_lo[COLUMN];
        uint32_t item[COLUMN];
        for (uint32_t i = 0; i < COLUMN; i++) {
            id_lo[i] = order_number(client, n + i);
            item[i] = client->round->item;
        }
        struct hf_batch batch = {.count = COLUMN, .id_hi = id_hi, .id_lo = id_lo, .item = item};
        struct hf_batch_result result;
        enum hf_status status = hf_reserve_batch(client->client, &batch, &result);
        CHECK(status == HF_OK);
        atomic_fetch_add_explicit(&client->round->sold, (int)result.ok_count, memory_order_relaxed);
        if (result.ok_count < COLUMN) {
            for (uint32_t i = 0; i < COLUMN; i++) {
                CHECK(result.status[i] == HF_OK || result.status[i] == HF_SOLD_OUT);
            }
            return;
        }
    }
}

static void *rush(void *argument)
{
    struct client *client = argument;
    pthread_barrier_wait(client->barrier);
    if (client->round->number % 2 == 0) {
        rush_rows(client);
    } else {
        rush_columns(client);
    }
    return NULL;
}

static uint32_t define_item(struct hf_client *client, uint32_t number)
{
    char sku[32];
    snprintf(sku, sizeof sku, "RUSH-%u", number);
    struct hf_item def = {.sku = sku, .hot = number % 3 == 0};
    uint32_t item = 0;
    enum hf_status status = hf_define(client, NULL, 0, &def, 1, &item);
    CHECK(status == HF_OK);
    struct hf_adjustment adjustment = {.id = hf_id_from_text(sku), .item = item, .value = UNITS};
    struct hf_adjust_result result;
    status = hf_adjust(client, &adjustment, 1, &result);
    CHECK(status == HF_OK);
    CHECK(result.status == HF_OK);
    return item;
}

/* One round; true when exactly UNITS were sold and the engine agrees. */
static bool run_round(struct client *clients, uint32_t number)
{
    struct round_state state = {.number = number};
    state.item = define_item(clients[0].client, number);
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, CLIENTS);
    pthread_t threads[CLIENTS];
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i].round = &state;
        clients[i].barrier = &barrier;
        int error = pthread_create(&threads[i], NULL, rush, &clients[i]);
        CHECK(error == 0);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_barrier_destroy(&barrier);
    struct hf_stock stock;
    enum hf_status status = hf_get_items(clients[0].client, &state.item, 1, &stock);
    CHECK(status == HF_OK);
    int sold = atomic_load_explicit(&state.sold, memory_order_relaxed);
    if (sold == UNITS && stock.held == UNITS && stock.available == 0) {
        return true;
    }
    fprintf(stderr, "round %u: %d acknowledged, held %lld, available %lld; expected %d\n", number,
            sold, (long long)stock.held, (long long)stock.available, UNITS);
    return false;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s URL [ROUNDS]\n", argv[0]);
        return 2;
    }
    struct budget budget = budget_make("rounds", 30, 5.0, 3000);
    if (argc > 2) {
        budget.floor = strtoull(argv[2], NULL, 10);
        budget.most = budget.floor;
    }
    struct client clients[CLIENTS];
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i].index = i;
        struct hf_options options = {.timeout_ms = 300000}; /* only what hangs meets it */
        enum hf_status status = hf_client_open(&clients[i].client, argv[1], &options);
        CHECK(status == HF_OK);
    }
    uint32_t wrong = 0;
    while (budget_next(&budget)) {
        wrong += !run_round(clients, (uint32_t)budget.round);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        hf_client_close(clients[i].client);
    }
    printf("rounds of %u clients on %d units: %u wrong\n", CLIENTS, UNITS, wrong);
    return wrong == 0 ? 0 : 1;
}
