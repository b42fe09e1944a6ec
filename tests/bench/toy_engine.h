/* toy_engine.h - an engine in this process, behind the client library's functions, that can be told
 * to fail: it proves that the load generator's oracle notices.
 *
 * Sound it is a correct, slow engine; answers come from a thread of its own. Linked in place of the
 * client library. Threads: toy_reset() while no client is open. */
#ifndef TESTS_BENCH_TOY_ENGINE_H
#define TESTS_BENCH_TOY_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

/* Each 0: never. `every` N: one in N calls or orders, counted. */
struct toy_faults {
    uint32_t forget_reserve_every; /* says OK and forgets the order */
    uint32_t forget_commit_every;  /* says OK and leaves it held */
    uint32_t forget_ended_every;   /* an order that has ended is unknown when it is asked back */
    uint32_t double_take_every;    /* takes the units twice */
    uint32_t refuse_early;         /* says SOLD_OUT with so many units left */
    bool oversell;                 /* never says SOLD_OUT */
    uint32_t lose_answer_every;    /* does the work, then times out */
    uint32_t lose_request_every;   /* times out without doing it */
    uint32_t busy_every;           /* an order of a batch is answered with BUSY */
    uint32_t forget_return_every;  /* says OK and returns nothing */
    uint32_t no_room_every;        /* an asynchronous call does not start: BUSY */
    uint32_t mute_after;           /* from this asynchronous call on: done, and never answered */
    uint32_t stall_at;             /* this asynchronous call, and those behind it, are answered */
    uint32_t stall_ms;             /* so much later */
    bool away;                     /* every call: UNREACHABLE */
};

/* An empty engine with these faults, and `items` items S-1, S-2 and so on with `stock` units. */
void toy_reset(const struct toy_faults *faults, uint32_t items, int64_t stock);

#endif
