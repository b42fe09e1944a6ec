/* sim.h - one seed's world: a machine, its disk and its archive, engines that live on it one after
 * another, and the model that they are held to. Shared by the files of the simulation:
 *
 *     sim_test.c     lives: starts, steps, ends; seeds; the program
 *     sim_load.c     requests, and what the model says to each; expiry, forgetting
 *     sim_check.c    what was recovered against the model
 *     sim_files.c    the log's files: checkpoints, archive, full disks, damage, losses
 *     sim_reach.c    counts of what the seeds reached, and what they must reach
 *     sim_machine.c  the machine's clocks and their faults
 *
 * Threads: one. */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "lib/model.h"
#include "lib/rng.h"
#include "lib/sim_storage.h"
#include "server/engine.h"
#include "sim_machine.h"
#include "sim_reach.h"

#define ITEMS         5u
#define SKUS          3u
#define BUYERS        3u  /* 0 is none */
#define IDS           48u /* few, so that ids are met again */
#define LINES_MAX     3u
#define FALLBACKS_MAX 2u
#define GRANTS_MAX    (LINES_MAX * (1 + FALLBACKS_MAX))
#define BATCH_MAX     12u
#define ORDER_IDS_HI  0x1111u /* upper half of orders' ids; the lower is 0 .. IDS - 1 */

extern const char *const sim_sku_codes[1 + SKUS];

enum kind { RESERVE, COMMIT, RELEASE, RETURN, EXTEND, ADJUST, MOVE, RULE, SAFETY, EXPIRE, FORGET };

/* One decision, as the model needs it to make it again. */
struct decision {
    enum kind kind;
    uint64_t now_ms;
    int64_t wall_ahead_ms;
    uint64_t lsn; /* of its record */
    struct id128 id;
    uint64_t buyer;
    uint32_t hold_ms;
    uint32_t line_count;
    struct order_line lines[LINES_MAX];
    struct line_shape shapes[LINES_MAX]; /* without their fallbacks */
    uint32_t fallbacks[LINES_MAX][FALLBACKS_MAX];
    bool late_ok;
    uint32_t named_count;
    struct line_qty named[LINES_MAX];
    struct adjustment adjustment;
    struct move move;
    uint32_t sku;
    struct sku_rule rule;
    uint32_t item;
    int64_t safety;
};

/* A request under way, with what the model expects of it. */
struct sim_call {
    struct engine_call call;
    struct sim *sim;
    struct sim_call *next;
    struct arena arena;
    uint32_t count;
    bool columns;
    bool refused;           /* the disk is full: READ_ONLY, and nothing changes */
    int64_t shown_ahead_ms; /* what deadlines are shown with */
    struct order_outcome expected[BATCH_MAX];
    struct order_grant grants[BATCH_MAX][GRANTS_MAX];
    bool adjusted;
    enum hf_status adjust_expected;
    bool listed;
    enum order_state list_expected[IDS]; /* ORDER_NONE: not in the list */
};

struct sim {
    uint64_t seed;
    struct rng rng;
    struct sim_machine machine;
    uint64_t now_ms;         /* what the engine's time should be */
    struct time_reading now; /* what it is, and wall time */
    uint64_t starts_ms[3];   /* engine times of this start and the two before; 0: there was none */
    struct storage *storage;
    struct storage *archive; /* NULL: none */
    struct engine *engine;
    struct engine_options options;
    struct model model;
    struct decision *history;
    uint32_t history_count;
    uint32_t history_room;
    struct sim_call *calls; /* under way */
    uint64_t acked_lsn;     /* the greatest that an answer depended on */
    uint64_t stopped_lsn; /* where the last life ended, if it was stopped and not cut short; or 0 */
    uint32_t adjustments; /* ids used */
    bool full;            /* the disk takes no more than it has */
    bool read_only;       /* the engine said so when it was last read */
    bool forgetting;      /* a pass was left in the middle: the next call ends just that one */
    bool write_fails;     /* one of this life, or is to fail yet */
    bool archive_down;    /* it has stopped in this life */
    uint64_t damaged;     /* checkpoint that was damaged; 0: none */
    uint64_t damaged_hash;  /* of its bytes */
    uint64_t first_segment; /* that the log had when last read */
    uint64_t last_segment;  /* that was begun then */
    uint64_t reach[REACH_COUNT];
};

#define SIM_CHECK(sim, condition, ...)                                                             \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fflush(stdout);                                                                        \
            fprintf(stderr, "SEED=%llu: %s: ", (unsigned long long)(sim)->seed, #condition);       \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fprintf(stderr, "\n");                                                                 \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static inline void sim_reached(struct sim *sim, enum reach what)
{
    sim->reach[what]++;
}

/* ---- sim_load.c ---- */

/* The model without orders, and the items of a new engine. */
void sim_model_init(struct sim *sim);
void sim_define_items(struct sim *sim);

/* Lets the model make a decision. `status` is for adjustments and moves. */
void sim_decide(struct sim *sim, const struct decision *decision, struct order_outcome *outcome,
                enum hf_status *status);

/* True when the log takes work, and what is due has been expired: expiry goes before each
 * operation, so that an operation that finds an order past its deadline does not put two records
 * where the history has one decision. */
bool sim_ready(struct sim *sim);

/* One random request, or forgetting; after sim_ready(). */
void sim_load(struct sim *sim);
void sim_submit_orders(struct sim *sim);

/* Some adjustments that have much to say: blocks of several sectors. */
void sim_submit_long(struct sim *sim);

/* A request that the engine must refuse because it is READ_ONLY. */
void sim_submit_refused(struct sim *sim);

void sim_expire(struct sim *sim);

/* The engine is gone: nobody will answer these any more. */
void sim_drop_calls(struct sim *sim);

/* ---- sim_check.c ---- */

/* What the log's prefix up to an LSN leads to: the decisions after it are forgotten, and the model
 * makes those before it again. */
void sim_rewind(struct sim *sim, uint64_t lsn);

/* An engine's state is the model's. */
void sim_check_state(struct sim *sim, struct engine *engine);

/* ---- sim_files.c ---- */

/* Number of the newest checkpoint there is; 0: none. */
uint64_t sim_newest_checkpoint(struct storage *storage);

/* The checkpoint that a start must begin with, as far as the files' names and the damage that was
 * done tell; 0: the log's beginning. */
uint64_t sim_usable_checkpoint(struct sim *sim);

/* Makes a checkpoint, or tries to while the disk, the archive or a file fails. */
void sim_checkpoint(struct sim *sim);

/* The disk becomes full, or has room again. */
void sim_change_room(struct sim *sim);
void sim_give_room(struct sim *sim);

/* While no engine runs: perhaps damages or removes the newest checkpoint, where something is left
 * to recover from. */
void sim_damage_checkpoint(struct sim *sim);

/* While no engine runs, on a copy of the disk: something is gone or damaged without which acked
 * orders might be lost. The engine must refuse to start, say why, and change nothing. */
void sim_try_refusal(struct sim *sim);

/* After a start: files are no more than the settings say, the mark names the last segment, and what
 * was torn is removed. */
void sim_check_files(struct sim *sim, bool torn);

/* The archive's segments and those of the log are the whole log: an engine that replays it without
 * any checkpoint comes to the same state. */
void sim_check_archive(struct sim *sim);

#endif
