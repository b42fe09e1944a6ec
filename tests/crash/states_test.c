/* states_test.c - crash states of the real engine's own system calls, as ALICE and CrashMonkey
 * have it: an engine runs under a recorder (recorder.c) with a small shop (shop.c) that kills it,
 * restarts it and repeats what was not answered; then, for places between two of its system calls,
 * what a power cut may leave there is built (disk.c), opened, and held against what had been
 * answered by then (judge.c).
 *
 * SEED=N runs one shop alone. What the engine's threads do is theirs to order, so the trace of a
 * seed is not the same each time: what failed is kept, trace and state, and the message says where.
 *
 * Threads: one, and the client's. */
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/diag.h"
#include "crash/judge.h"
#include "lib/budget.h"
#include "lib/kernel.h"
#include "lib/tempdir.h"

#define STATES_EACH 48u  /* of a shop */
#define STATES_LONG 250u /* with HOLDFAST_LONG */
#define BY_BINARY   2u   /* of those, also by the real binary */

/* Places by what makes them worth while. */
enum place_kind {
    PLACE_NAMES,    /* a change of names is not synced */
    PLACE_DATA,     /* a write is under way, or written and not synced */
    PLACE_ANSWERED, /* an answer has just come */
    PLACE_QUIET,    /* all is durable */
    PLACE_KINDS,
};

static const char *const kind_names[PLACE_KINDS] = {"names not synced", "data not synced",
                                                    "just answered", "nothing pending"};

struct places {
    uint64_t *at;
    unsigned count;
};

struct pick {
    uint64_t at;
    enum place_kind kind;
};

static struct {
    uint64_t states[PLACE_KINDS];
    uint64_t records;
    uint64_t lives;
    uint64_t reopened;
    uint64_t verified;
    uint64_t second_line;
    uint64_t torn;
    uint64_t by_binary;
    uint64_t violations;
} totals;

static void add_place(struct places *places, uint64_t at)
{
    if ((places->count & (places->count - 1)) == 0) {
        places->at =
            realloc(places->at, (places->count ? 2 * places->count : 1) * sizeof *places->at);
        CHECK(places->at != NULL);
    }
    places->at[places->count++] = at;
}

static void add_answer(struct places *places, uint64_t answered)
{
    if (answered != SHOP_NEVER && answered != 0) {
        add_place(&places[PLACE_ANSWERED], answered);
    }
}

/* Goes through the trace once. */
static void find_places(const struct shop *shop, struct places *places)
{
    struct disk *disk = disk_make(shop->trace);
    while (disk_step(disk)) {
        enum place_kind kind = disk_pending_names(disk)  ? PLACE_NAMES
                               : disk_pending_data(disk) ? PLACE_DATA
                                                         : PLACE_QUIET;
        add_place(&places[kind], disk_at(disk));
    }
    disk_free(disk);
    for (unsigned i = 0; i < shop->order_count; i++) {
        for (unsigned j = 0; j < shop->orders[i].count; j++) {
            add_answer(places, shop->orders[i].versions[j].answered);
        }
    }
    for (unsigned i = 0; i < shop->adjust_count; i++) {
        add_answer(places, shop->adjusts[i].answered);
    }
}

static int compare_picks(const void *a, const void *b)
{
    uint64_t x = ((const struct pick *)a)->at;
    uint64_t y = ((const struct pick *)b)->at;
    return (x > y) - (x < y);
}

/* Few of the places are quiet ones: there is only one state in them. */
static unsigned choose(const struct places *places, struct rng *rng, struct pick *picks)
{
    unsigned count = 0;
    unsigned most = getenv("HOLDFAST_LONG") ? STATES_LONG : STATES_EACH;
    while (count < most) {
        enum place_kind kind = (enum place_kind)rng_below(rng, PLACE_KINDS);
        if (places[kind].count == 0 || (kind == PLACE_QUIET && !rng_chance(rng, 4))) {
            continue;
        }
        picks[count++] = (struct pick){places[kind].at[rng_below(rng, places[kind].count)], kind};
    }
    qsort(picks, count, sizeof *picks, compare_picks);
    return count;
}

static void report(struct shop *shop, const struct judge *judge, const struct disk *disk,
                   const struct disk_image *image, uint64_t seed)
{
    const struct trace_record *last = disk_last(disk);
    char *folder = tempdir_join(shop->folder, "state");
    CHECK(mkdir(folder, 0700) == 0);
    judge_write(image, folder);
    printf("SEED=%" PRIu64 ": broken: %s\n  the power failed after record %" PRIu64
           " (%s%s of %s%s%s)\n"
           "  lost: %s\n  the state: %s; the trace: %s/trace\n",
           seed, judge->what, disk_at(disk), last->kind == TRACE_BEFORE ? "before " : "after ",
           kernel_op_name((enum kernel_op)last->op), trace_name(last), last->to_bytes ? " to " : "",
           last->to_bytes ? trace_to(last) : "", image->dropped[0] ? image->dropped : "nothing",
           folder, shop->folder);
    free(folder);
}

/* False: a promise is broken. */
static bool try_states(struct shop *shop, struct rng *rng, uint64_t seed, const char *binary)
{
    static struct pick picks[STATES_LONG];
    struct places places[PLACE_KINDS] = {{0}};
    struct judge judge;
    find_places(shop, places);
    judge_init(&judge, shop);
    unsigned count = choose(places, rng, picks);
    struct disk *disk = disk_make(shop->trace);
    bool fine = true;
    for (unsigned i = 0; i < count && fine; i++) {
        struct disk_image image;
        while (disk_at(disk) < picks[i].at && disk_step(disk)) {
        }
        disk_crash(disk, rng, &image);
        totals.states[picks[i].kind]++;
        fine = judge_state(&judge, &image, disk_at(disk), disk_last(disk)->time_ns, rng);
        if (fine && i % (count / BY_BINARY) == count / BY_BINARY / 2) {
            totals.by_binary++;
            fine = judge_with_binary(&judge, &image, binary);
        }
        if (!fine) {
            totals.violations++;
            report(shop, &judge, disk, &image, seed);
        }
        disk_image_free(&image);
    }
    totals.reopened += judge.reopened;
    totals.verified += judge.verified;
    totals.torn += judge.torn;
    totals.second_line += judge.second_line;
    totals.records += disk_at(disk);
    judge_deinit(&judge);
    disk_free(disk);
    for (unsigned i = 0; i < PLACE_KINDS; i++) {
        free(places[i].at);
    }
    return fine;
}

static bool run(uint64_t seed, const char *binary, const char *recorder)
{
    static struct shop shop;
    struct rng rng;
    rng_init(&rng, seed + 1000000);
    shop_run(&shop, seed, binary, recorder);
    totals.lives += shop.lives;
    bool fine = try_states(&shop, &rng, seed, binary);
    shop_free(&shop, !fine);
    return fine;
}

static void print_totals(void)
{
    uint64_t states = 0;
    for (unsigned i = 0; i < PLACE_KINDS; i++) {
        states += totals.states[i];
    }
    printf("%" PRIu64 " crash states in a record of %" PRIu64 " moments of %" PRIu64 " lives:",
           states, totals.records, totals.lives);
    for (unsigned i = 0; i < PLACE_KINDS; i++) {
        printf(" %s %" PRIu64 "%s", kind_names[i], totals.states[i],
               i + 1 < PLACE_KINDS ? "," : "");
    }
    printf("\n%" PRIu64 " recoveries were interrupted, %" PRIu64 " met a torn end, %" PRIu64
           " logs were verified, %" PRIu64 " lost a checkpoint, %" PRIu64
           " opened by the binary; violations %" PRIu64 "\n",
           totals.reopened, totals.torn, totals.verified, totals.second_line, totals.by_binary,
           totals.violations);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s HOLDFAST RECORDER\n", argv[0]);
        return 2;
    }
    /* Memory of files is used again, not given back and asked for anew. */
    mallopt(M_MMAP_THRESHOLD, 1 << 28);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    diag_set_level((enum diag_level)(DIAG_ERROR + 1)); /* power cuts are the point here */
    uint64_t first = rng_seed_from_env(1);
    struct budget budget = budget_make("shops", 1, 6.0, 60);
    bool fine = true;
    while (fine && budget_next(&budget)) {
        fine = run(first + budget.round, argv[1], argv[2]);
    }
    print_totals();
    return fine ? 0 : 1;
}
