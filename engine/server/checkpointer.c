/* checkpointer.c - checkpoints in the background, the archive, and recycling.
 *
 * Threads: the checkpointer's own; what it shares with the log is the list of segments, through
 * wal_sealed_segment(), wal_log_bytes() and wal_recycle(). */
#include "server/checkpointer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/diag.h"
#include "checkpoint/build.h"
#include "checkpoint/info.h"

#define LOOK_EVERY_NS 200000000L /* whether one is due */
#define RETRY_NS_MIN  1000000000u
#define RETRY_NS_MAX  60000000000u

static_assert(LOOK_EVERY_NS < 1000000000L, "tv_nsec");
static_assert(RETRY_NS_MIN < RETRY_NS_MAX, "failures are tried again later and later");

/* ---- Making one ---- */

/* Of those before the newest, the one to be kept; 0: none. A stop may have left several: the oldest
 * that has a whole header and its segments after it is what segments were kept for. When a damaged
 * checkpoint was passed over, that is the one before it, whatever its damage. */
static enum hf_status choose_previous(struct storage *storage, const uint64_t *numbers,
                                      size_t count, uint64_t newest, uint64_t *previous)
{
    uint64_t first;
    enum hf_status status = wal_first_segment(storage, &first);
    bool serves = false;
    *previous = 0;
    for (size_t i = 0; i < count && numbers[i] < newest && !serves && status == HF_OK; i++) {
        struct checkpoint_info info;
        *previous = numbers[i];
        serves =
            first <= numbers[i] + 1 && checkpoint_read_info(storage, numbers[i], &info) == HF_OK;
    }
    return status;
}

/* One that can't be removed only takes room. */
static void remove_one(struct storage *storage, uint64_t number)
{
    char name[STORAGE_NAME_BYTES_MAX];
    checkpoint_name(name, number);
    enum hf_status status = checkpoint_remove(storage, number);
    if (status != HF_OK && status != HF_NOT_FOUND) {
        diag_warn("%s: an old checkpoint can't be removed (%s)", name, storage_reason(status));
    }
}

enum hf_status checkpointer_init(struct checkpointer *checkpointer,
                                 const struct checkpointer_options *options, uint64_t newest,
                                 bool unreadable)
{
    checkpointer->options = *options;
    CHECK(options->segment_bytes > 0);
    CHECK(options->storage != options->archive);
    pacer_init(&checkpointer->pacer, options->clock, options->wal, options->wal_bytes_max);
    checkpointer->archive = (struct archive){
        .log = options->storage, .to = options->archive, .pacer = &checkpointer->pacer};
    checkpointer->last = newest;
    checkpointer->retry_pause_ns = RETRY_NS_MIN;
    uint64_t *numbers;
    size_t count;
    enum hf_status status = checkpoint_list(options->storage, &numbers, &count);
    if (status == HF_OK) {
        status = choose_previous(options->storage, numbers, count, newest, &checkpointer->previous);
    }
    for (size_t i = 0; i < count && status == HF_OK; i++) {
        bool spared = unreadable && numbers[i] > newest;
        if (numbers[i] != newest && numbers[i] != checkpointer->previous && !spared) {
            remove_one(options->storage, numbers[i]);
        }
    }
    free(numbers);
    return status;
}

static void remove_outdated(struct checkpointer *checkpointer)
{
    CHECK(checkpointer->outdated == 0 || checkpointer->outdated != checkpointer->previous);
    char name[STORAGE_NAME_BYTES_MAX];
    if (checkpointer->outdated == 0) {
        return;
    }
    checkpoint_name(name, checkpointer->outdated);
    checkpointer->outdated = 0;
    enum hf_status status = storage_unlink_gradually(checkpointer->options.storage, name,
                                                     pace_unlink, &checkpointer->pacer);
    if (status != HF_OK && status != HF_CANCELED) {
        diag_warn("%s: an old checkpoint can't be removed (%s)", name, storage_reason(status));
    }
}

/* Notes the new one, made from `base`. Outdated is the oldest of three; the one that was passed
 * over goes at once. */
static void take_over(struct checkpointer *checkpointer, uint64_t base, uint64_t number)
{
    CHECK(number > checkpointer->last);
    CHECK(base == checkpointer->last || base == checkpointer->previous);
    remove_outdated(checkpointer);
    if (base != checkpointer->last) {
        checkpointer->outdated = checkpointer->last;
        remove_outdated(checkpointer);
    } else {
        checkpointer->outdated = checkpointer->previous;
        checkpointer->previous = checkpointer->last;
    }
    checkpointer->last = number;
    CHECK(checkpointer->previous < checkpointer->last);
    CHECK(checkpointer->outdated < checkpointer->last);
}

static void note_made(struct checkpointer *checkpointer, const struct checkpoint_info *info,
                      uint64_t took_ms)
{
    CHECK(info->start.lsn >= atomic_load_explicit(&checkpointer->last_lsn, memory_order_relaxed));
    /* relaxed: figures for people. */
    atomic_fetch_add_explicit(&checkpointer->made, 1, memory_order_relaxed);
    atomic_store_explicit(&checkpointer->last_lsn, info->start.lsn, memory_order_relaxed);
    atomic_store_explicit(&checkpointer->last_ms, took_ms, memory_order_relaxed);
    diag_info("checkpoint %llu: LSN %llu, %llu orders, %llu MiB, in %llu ms",
              (unsigned long long)info->number, (unsigned long long)info->start.lsn,
              (unsigned long long)info->orders, (unsigned long long)(info->file_bytes >> 20),
              (unsigned long long)took_ms);
}

static uint64_t memory_bytes(const struct checkpointer *checkpointer)
{
    uint64_t set = checkpointer->options.memory_bytes;
    return set ? set : CHECKPOINT_MEMORY_DEFAULT;
}

/* The last segment for the next one. Segments whose records exceed the memory are read several
 * times, and each checkpoint copies what is in the one before: so as much log at once as there is
 * memory, or as that one has bytes. */
static uint64_t next_upto(const struct checkpointer *checkpointer, uint64_t sealed)
{
    CHECK(sealed > checkpointer->last);
    uint64_t bytes = memory_bytes(checkpointer);
    bytes = bytes > checkpointer->last_bytes ? bytes : checkpointer->last_bytes;
    uint64_t upto = checkpointer->last + 1 + bytes / checkpointer->options.segment_bytes;
    return upto < sealed ? upto : sealed;
}

static enum hf_status make(struct checkpointer *checkpointer, uint64_t base, uint64_t upto,
                           struct checkpoint_info *info)
{
    CHECK(base < upto);
    CHECK(upto > checkpointer->last);
    const struct checkpointer_options *options = &checkpointer->options;
    uint64_t begin_ns = clock_monotonic_ns(options->clock);
    const struct checkpoint_build_options build = {
        .storage = options->storage,
        .base = base,
        .upto = upto,
        .memory_bytes = memory_bytes(checkpointer),
        .gently = true,
        .inventory = options->inventory,
        .pace = pace_build,
        .context = &checkpointer->pacer,
    };
    enum hf_status status = checkpoint_build(&build, info);
    if (status == HF_OK) {
        CHECK(info->number == upto);
        note_made(checkpointer, info, (clock_monotonic_ns(options->clock) - begin_ns) / 1000000u);
        take_over(checkpointer, base, upto);
        checkpointer->last_bytes = info->file_bytes;
    }
    return status;
}

/* From the newest one; when that, or a segment after it, is damaged, from the one before: its
 * segments are kept for that. */
static enum hf_status make_next(struct checkpointer *checkpointer, uint64_t upto)
{
    CHECK(upto > checkpointer->last);
    CHECK(checkpointer->previous <= checkpointer->last);
    struct checkpoint_info info;
    uint64_t last = checkpointer->last;
    enum hf_status status = make(checkpointer, last, upto, &info);
    /* A message that comes with an I/O error is about the base; other files' are not its fault. */
    bool lost = status == HF_DAMAGED || (status == HF_IO_ERROR && info.message[0] != '\0');
    if (lost && last != 0) {
        char why[sizeof info.message];
        memcpy(why, info.message, sizeof why);
        status = make(checkpointer, checkpointer->previous, upto, &info);
        if (status == HF_OK) {
            diag_warn(
                "the checkpoint before this one, or the log after it, can't be used, and that "
                "checkpoint was removed: %s",
                why);
        } else {
            memcpy(info.message, why, sizeof why);
        }
    }
    if (status == HF_CANCELED) {
        return status;
    }
    if (status != HF_OK && !checkpointer->failed) {
        diag_error("a checkpoint can't be made, and the log grows until one can: %s%s%s",
                   storage_reason(status), info.message[0] ? ": " : "", info.message);
    }
    checkpointer->failed = status != HF_OK;
    return status;
}

static bool archive_before(void *context, uint64_t number)
{
    CHECK(number <= ((const struct checkpointer *)context)->previous);
    struct checkpointer *checkpointer = context;
    return archive_segment(&checkpointer->archive, number);
}

static bool recycle_pause(void *context)
{
    struct checkpointer *checkpointer = context;
    return pace_unlink(&checkpointer->pacer);
}

/* Also when there is nothing new: the archive may have been out of reach before. */
static void give_back(struct checkpointer *checkpointer)
{
    CHECK(checkpointer->previous <= checkpointer->last);
    const struct wal_recycler recycler = {archive_before, recycle_pause, checkpointer};
    if (checkpointer->previous) {
        wal_recycle(checkpointer->options.wal, checkpointer->previous, &recycler);
    }
}

enum hf_status checkpointer_run(struct checkpointer *checkpointer)
{
    uint64_t sealed = wal_sealed_segment(checkpointer->options.wal);
    pace_begin(&checkpointer->pacer);
    enum hf_status status = sealed > checkpointer->last
                                ? make_next(checkpointer, next_upto(checkpointer, sealed))
                                : HF_NOT_FOUND;
    CHECK(status != HF_OK || checkpointer->last <= sealed);
    give_back(checkpointer);
    remove_outdated(checkpointer); /* after it: the log waits for its segments */
    return status;
}

/* ---- The thread ---- */

static bool is_due(struct checkpointer *checkpointer)
{
    const struct checkpointer_options *options = &checkpointer->options;
    uint64_t lsn = wal_tail_lsn(options->wal);
    bool idle = lsn - checkpointer->seen_lsn < IDLE_BYTES_A_SECOND / (1000000000u / LOOK_EVERY_NS);
    CHECK(lsn >= checkpointer->seen_lsn);
    checkpointer->seen_lsn = lsn;
    uint64_t sealed = wal_sealed_segment(options->wal);
    if (sealed <= checkpointer->last) {
        return false;
    }
    uint64_t bytes = (sealed - checkpointer->last) * options->segment_bytes;
    uint64_t most = options->wal_bytes_max;
    return bytes >= most / 4 || (idle && bytes >= most / 8);
}

/* After a failure both wait: a disk that is full or broken is not to be kept busy. */
void checkpointer_look(struct checkpointer *checkpointer)
{
    CHECK(checkpointer->retry_pause_ns >= RETRY_NS_MIN);
    CHECK(checkpointer->retry_pause_ns < 2ull * RETRY_NS_MAX);
    bool due = is_due(checkpointer);
    if ((!due && !checkpointer->archive.failed) ||
        clock_monotonic_ns(checkpointer->options.clock) < checkpointer->retry_ns) {
        return;
    }
    if (due) {
        (void)checkpointer_run(checkpointer);
    } else {
        pace_begin(&checkpointer->pacer);
        give_back(checkpointer);
    }
    if (!checkpointer->failed && !checkpointer->archive.failed) {
        checkpointer->retry_pause_ns = RETRY_NS_MIN;
        return;
    }
    checkpointer->retry_ns =
        clock_monotonic_ns(checkpointer->options.clock) + checkpointer->retry_pause_ns;
    if (checkpointer->retry_pause_ns < RETRY_NS_MAX) {
        checkpointer->retry_pause_ns *= 2;
    }
}

static void *checkpointer_main(void *argument)
{
    struct checkpointer *checkpointer = argument;
    while (!pacer_stopped(&checkpointer->pacer)) {
        checkpointer_look(checkpointer);
        nanosleep(&(struct timespec){.tv_nsec = LOOK_EVERY_NS}, NULL);
    }
    return NULL;
}

enum hf_status checkpointer_start(struct checkpointer *checkpointer)
{
    CHECK(!checkpointer->running);
    checkpointer->running = true;
    checkpointer->pacer.pauses = true;
    if (pthread_create(&checkpointer->thread, NULL, checkpointer_main, checkpointer) != 0) {
        checkpointer->running = false;
        checkpointer->pacer.pauses = false;
        return HF_NO_MEMORY;
    }
    return HF_OK;
}

void checkpointer_stop(struct checkpointer *checkpointer)
{
    if (!checkpointer->running) {
        return;
    }
    pacer_stop(&checkpointer->pacer);
    CHECK(pacer_stopped(&checkpointer->pacer));
    pthread_join(checkpointer->thread, NULL);
    checkpointer->running = false;
    checkpointer->pacer.pauses = false;
}
