/* shop.h - a shop that runs the real engine under the recorder, kills it now and then, and keeps
 * a ledger: for each thing that it asked for, where in the trace it was asked and where the answer
 * had come.
 *
 * The ledger is all that the promises are held against, and knows nothing of the engine but what it
 * answered. An order's versions follow each other: the next is asked for once the one before was
 * answered, and what was not answered, because the engine died, is asked again in its next life.
 *
 * Threads: one runs the shop; answers come on the client's threads, under the shop's mutex. */
#ifndef CRASH_SHOP_H
#define CRASH_SHOP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "crash/disk.h"
#include "crash/trace.h"
#include "holdfast/client.h"
#include "lib/rng.h"

#define SHOP_ITEMS        4u /* handles 1.. */
#define SHOP_LINES_MAX    2u
#define SHOP_ORDERS_MAX   700u
#define SHOP_ADJUSTS_MAX  200u
#define SHOP_VERSIONS_MAX 6u
#define SHOP_RETAIN_MS    600u
#define SHOP_LIVES_MAX    32u
#define SHOP_NEVER        UINT64_MAX

enum shop_operation {
    SHOP_RESERVE,
    SHOP_COMMIT,
    SHOP_COMMIT_LINES, /* one unit of each line, the rest is released */
    SHOP_RELEASE,
    SHOP_RETURN,
};

/* What an order became, or may have become. */
struct shop_version {
    enum shop_operation operation;
    enum hf_order_state state;    /* NONE: it was refused */
    uint32_t qty[SHOP_LINES_MAX]; /* held or sold */
    uint64_t asked;               /* records in the trace just before */
    uint64_t asked_ns;            /* when: CLOCK_MONOTONIC */
    uint64_t answered;            /* records in the trace just after; NEVER: no answer has come */
};

struct shop_order {
    struct hf_id id;
    uint32_t lines;
    uint32_t item[SHOP_LINES_MAX];
    bool brief; /* it may expire at any time */
    struct shop_version versions[SHOP_VERSIONS_MAX];
    unsigned count;
    bool under_way;
    bool forgotten; /* the engine knows it no more, as it may: it had ended */
};

struct shop_adjust {
    struct hf_id id;
    uint32_t item;
    uint32_t to_item; /* a move; 0: none */
    int64_t delta;
    uint64_t asked;
    uint64_t answered;
};

struct shop {
    char *folder; /* a temporary one: the disk, the socket, the trace, what the engine said */
    char *root;   /* folder/disk, which is recorded: data, archive */
    struct trace_head *trace;
    struct disk *live; /* follows the trace */
    struct rng rng;
    pid_t engine;
    int out; /* what it prints */
    struct hf_client *client;
    pthread_mutex_t mutex;
    unsigned in_flight;
    struct shop_order orders[SHOP_ORDERS_MAX];
    unsigned order_count;
    struct shop_adjust adjusts[SHOP_ADJUSTS_MAX];
    unsigned adjust_count;
    uint64_t define_asked;
    uint64_t define_answered;
    uint64_t ready;                   /* records when the first engine said that it was ready */
    uint64_t started[SHOP_LIVES_MAX]; /* records when each life began */
    unsigned lives;
    unsigned fills;
    long said; /* bytes of what the engines said that were looked at */
};

/* Runs all lives. Ends the program with a message when the engine does what it must not do even
 * without a crash. */
void shop_run(struct shop *shop, uint64_t seed, const char *binary, const char *recorder);
void shop_free(struct shop *shop, bool keep_files);

/* The settings of the engine, in pairs of a name and a value, NULL at the end. */
extern const char *const shop_settings[];

#endif
