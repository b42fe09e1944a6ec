/* checkpointer.c - checkpoints in the background, the archive, and recycling.
 *
 * Threads: the checkpointer's own; what it shares with the log is the list of segments, behind
 * wal_sealed_segment(), wal_log_bytes() and wal_recycle(). */
#include "server/checkpointer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/diag.h"
#include "base/pages.h"
#include "server/engine_internal.h"

#define LOOK_EVERY_NS       200000000L /* whether one is due */
#define LOAD_EVERY_NS       20000000u
#define IDLE_BYTES_A_SECOND MIB(10)  /* of log: 200 000 orders/s count as little to do */
#define COPY_BYTES          KIB(256) /* as the log is read: see wal_reader_go_easy */
#define RESTS_BUSY          900u     /* percent of a step: a tenth of a processor */
#define REST_NS_MAX         200000000u
#define WEAR_REST_NS        10000000L /* 200 MB/s of files that go */
#define RETRY_NS_MIN        1000000000u
#define RETRY_NS_MAX        60000000000u

/* ---- How hard to press ---- */

/* From half of wal_bytes_max on the rests become shorter, down to none at all of it: so the log
 * comes to stand where as much is given back as is written. */
static uint32_t rests_now(const struct engine *engine, bool busy)
{
    uint64_t most = engine->options.wal_bytes_max;
    uint64_t bytes = wal_log_bytes(engine->wal);
    if (!busy || bytes >= most) {
        return 0;
    }
    uint64_t half = most / 2;
    return bytes <= half ? RESTS_BUSY : (uint32_t)(RESTS_BUSY * (most - bytes) / (most - half));
}

static void pace_begin(struct checkpointer *checkpointer)
{
    const struct engine *engine = checkpointer->engine;
    uint64_t now_ns = clock_monotonic_ns(engine->clock);
    checkpointer->pace = (struct checkpointer_pace){.step_ns = now_ns,
                                                    .look_ns = now_ns,
                                                    .look_lsn = wal_tail_lsn(engine->wal),
                                                    .rests = RESTS_BUSY};
}

static void look_at_load(struct checkpointer *checkpointer, uint64_t now_ns)
{
    const struct engine *engine = checkpointer->engine;
    struct checkpointer_pace *pace = &checkpointer->pace;
    if (now_ns - pace->look_ns < LOAD_EVERY_NS) {
        return;
    }
    uint64_t lsn = wal_tail_lsn(engine->wal);
    uint64_t grown = lsn - pace->look_lsn;
    /* Bytes a second against what counts as little to do. */
    bool busy = grown > IDLE_BYTES_A_SECOND * (now_ns - pace->look_ns) / 1000000000u;
    pace->rests = rests_now(engine, busy);
    pace->look_lsn = lsn;
    pace->look_ns = now_ns;
}

/* Rests after a step. False: give up, the engine stops. */
static bool pace(struct checkpointer *checkpointer)
{
    if (checkpointer->running) {
        const struct clock *clock = checkpointer->engine->clock;
        uint64_t now_ns = clock_monotonic_ns(clock);
        look_at_load(checkpointer, now_ns);
        uint64_t rest_ns = (now_ns - checkpointer->pace.step_ns) * checkpointer->pace.rests / 100;
        if (rest_ns > 0) {
            rest_ns = rest_ns < REST_NS_MAX ? rest_ns : REST_NS_MAX;
            nanosleep(&(struct timespec){.tv_nsec = (long)rest_ns}, NULL);
            now_ns = clock_monotonic_ns(clock);
        }
        checkpointer->pace.step_ns = now_ns;
    }
    /* acquire: pairs with the release in checkpointer_stop. */
    return !atomic_load_explicit(&checkpointer->stop, memory_order_acquire);
}

static bool pace_build(void *context, uint64_t done, uint64_t total)
{
    (void)done;
    (void)total;
    return pace(context);
}

/* ---- The archive ---- */

/* A file that is copied from one storage to another. */
struct copy {
    struct checkpointer *checkpointer;
    struct storage *from;
    storage_file source;
    uint64_t size;
    struct storage *to;
    storage_file target;
    uint8_t *buffer; /* twice COPY_BYTES */
};

static enum hf_status copy_bytes(const struct copy *copy)
{
    enum hf_status status = HF_OK;
    for (uint64_t offset = 0; offset < copy->size && status == HF_OK; offset += COPY_BYTES) {
        uint64_t left = copy->size - offset;
        size_t len = (size_t)(left < COPY_BYTES ? left : COPY_BYTES);
        size_t got;
        status = copy->from->ops->read(copy->from, copy->source, copy->buffer, len, offset, &got);
        if (status == HF_OK && got != len) {
            status = HF_IO_ERROR;
        }
        if (status == HF_OK) {
            status = copy->to->ops->write(copy->to, copy->target, copy->buffer, len, offset);
        }
        if (status == HF_OK && !pace(copy->checkpointer)) {
            status = HF_CANCELED;
        }
    }
    return status == HF_OK ? copy->to->ops->sync(copy->to, copy->target) : status;
}

/* Whether two open files of the same size hold the same. OK; CONFLICT: they don't. */
static enum hf_status compare_bytes(const struct copy *copy)
{
    uint8_t *other = copy->buffer + COPY_BYTES;
    enum hf_status status = HF_OK;
    for (uint64_t offset = 0; offset < copy->size && status == HF_OK; offset += COPY_BYTES) {
        uint64_t left = copy->size - offset;
        size_t len = (size_t)(left < COPY_BYTES ? left : COPY_BYTES);
        size_t got;
        size_t other_got = 0;
        status = copy->from->ops->read(copy->from, copy->source, copy->buffer, len, offset, &got);
        if (status == HF_OK) {
            status = copy->to->ops->read(copy->to, copy->target, other, len, offset, &other_got);
        }
        if (status == HF_OK && (got != len || other_got != len)) {
            status = HF_IO_ERROR;
        }
        if (status == HF_OK && memcmp(copy->buffer, other, len) != 0) {
            status = HF_CONFLICT;
        }
        if (status == HF_OK && !pace(copy->checkpointer)) {
            status = HF_CANCELED;
        }
    }
    return status;
}

/* What the archive has under that name already: OK, nothing or the same; CONFLICT, something else:
 * of another log, or of another past of this one. */
static enum hf_status look_at_target(struct copy *copy, const char *name)
{
    uint64_t size;
    enum hf_status status = copy->to->ops->open(copy->to, name, false, &copy->target, &size);
    if (status == HF_NOT_FOUND) {
        return HF_OK;
    }
    if (status == HF_OK) {
        status = size == copy->size ? compare_bytes(copy) : HF_CONFLICT;
        copy->to->ops->close(copy->to, copy->target);
    }
    return status;
}

/* Copies the open source under a temporary name first; what fails leaves nothing behind. */
static enum hf_status copy_open(struct copy *copy, const char *name, const char *temporary)
{
    struct storage *to = copy->to;
    enum hf_status status = to->ops->create(to, temporary, &copy->target);
    if (status != HF_OK) {
        return status;
    }
    status = copy_bytes(copy);
    to->ops->close(to, copy->target);
    if (status != HF_OK) {
        (void)to->ops->unlink(to, temporary);
        return status;
    }
    return to->ops->rename(to, temporary, name);
}

static enum hf_status copy_file(struct copy *copy, const char *name, const char *temporary)
{
    struct storage *from = copy->from;
    void *buffer = pages_map_buffer(2 * COPY_BYTES);
    if (!buffer) {
        return HF_NO_MEMORY;
    }
    copy->buffer = buffer;
    enum hf_status status = from->ops->open(from, name, false, &copy->source, &copy->size);
    if (status == HF_OK) {
        from->ops->read_direct(from, copy->source);
        status = look_at_target(copy, name);
        if (status == HF_OK) {
            status = copy_open(copy, name, temporary);
        }
        from->ops->close(from, copy->source);
    }
    pages_unmap(buffer, 2 * COPY_BYTES);
    return status;
}

static void tell_archive_failed(const char *name, enum hf_status status)
{
    diag_error("%s can't be archived (%s): it is kept, and the log grows until it can", name,
               status == HF_CONFLICT ? "the archive has another log's file of that name, which is "
                                       "left alone: give this engine an archive of its own"
                                     : storage_reason(status));
}

/* A sealed segment into the archive: copied, synced, then named, so that a file with a name is
 * whole. A copy of it that is there already, from a run that was stopped here, is made again: it
 * may not be safe yet. */
static bool archive_segment(void *context, uint64_t number)
{
    struct checkpointer *checkpointer = context;
    struct engine *engine = checkpointer->engine;
    if (!engine->options.archive) {
        return true;
    }
    char name[STORAGE_NAME_BYTES_MAX];
    char temporary[STORAGE_NAME_BYTES_MAX + 8];
    wal_segment_name(name, number);
    snprintf(temporary, sizeof temporary, "%s.tmp", name);
    struct copy copy = {
        .checkpointer = checkpointer, .from = engine->storage, .to = engine->options.archive};
    enum hf_status status = copy_file(&copy, name, temporary);
    if (status == HF_CANCELED) {
        return false;
    }
    if (status != HF_OK && !checkpointer->archive_failed) {
        tell_archive_failed(name, status);
    } else if (status == HF_OK && checkpointer->archive_failed) {
        diag_info("segments can be archived again");
    }
    checkpointer->archive_failed = status != HF_OK;
    return status == HF_OK;
}

/* ---- Making one ---- */

/* Of those before the newest, the one to be kept; 0: none. A stop may have left several: the oldest
 * that has a whole header and its segments behind it is what segments were kept for. When a damaged
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

enum hf_status checkpointer_init(struct checkpointer *checkpointer, struct engine *engine,
                                 uint64_t newest, bool unreadable)
{
    checkpointer->engine = engine;
    checkpointer->last = newest;
    checkpointer->retry_pause_ns = RETRY_NS_MIN;
    uint64_t *numbers;
    size_t count;
    enum hf_status status = checkpoint_list(engine->storage, &numbers, &count);
    if (status == HF_OK) {
        status = choose_previous(engine->storage, numbers, count, newest, &checkpointer->previous);
    }
    for (size_t i = 0; i < count && status == HF_OK; i++) {
        bool spared = unreadable && numbers[i] > newest;
        if (numbers[i] != newest && numbers[i] != checkpointer->previous && !spared) {
            remove_one(engine->storage, numbers[i]);
        }
    }
    free(numbers);
    return status;
}

/* Between the pieces in which a file goes; shorter as the log grows. False: the engine stops. */
static bool rest(void *context)
{
    struct checkpointer *checkpointer = context;
    if (checkpointer->running) {
        long rest_ns = WEAR_REST_NS * rests_now(checkpointer->engine, true) / RESTS_BUSY;
        nanosleep(&(struct timespec){.tv_nsec = rest_ns}, NULL);
    }
    /* acquire: pairs with the release in checkpointer_stop. */
    return !atomic_load_explicit(&checkpointer->stop, memory_order_acquire);
}

static void remove_outdated(struct checkpointer *checkpointer)
{
    char name[STORAGE_NAME_BYTES_MAX];
    if (checkpointer->outdated == 0) {
        return;
    }
    checkpoint_name(name, checkpointer->outdated);
    checkpointer->outdated = 0;
    enum hf_status status =
        storage_wear_away(checkpointer->engine->storage, name, rest, checkpointer);
    if (status != HF_OK && status != HF_CANCELED) {
        diag_warn("%s: an old checkpoint can't be removed (%s)", name, storage_reason(status));
    }
}

/* Notes the new one, made from `base`. Outdated is the oldest of three; the one that was passed
 * over goes at once. */
static void take_over(struct checkpointer *checkpointer, uint64_t base, uint64_t number)
{
    remove_outdated(checkpointer);
    if (base != checkpointer->last) {
        checkpointer->outdated = checkpointer->last;
        remove_outdated(checkpointer);
    } else {
        checkpointer->outdated = checkpointer->previous;
        checkpointer->previous = checkpointer->last;
    }
    checkpointer->last = number;
}

static void note_made(struct checkpointer *checkpointer, const struct checkpoint_info *info,
                      uint64_t took_ms)
{
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
    uint64_t set = checkpointer->engine->options.checkpoint_memory;
    return set ? set : CHECKPOINT_MEMORY_DEFAULT;
}

/* The last segment for the next one. Segments whose records exceed the memory are read several
 * times, and each checkpoint copies what is in the one before: so as much log at once as there is
 * memory, or as that one has bytes. */
static uint64_t next_upto(const struct checkpointer *checkpointer, uint64_t sealed)
{
    uint64_t bytes = memory_bytes(checkpointer);
    bytes = bytes > checkpointer->last_bytes ? bytes : checkpointer->last_bytes;
    uint64_t upto =
        checkpointer->last + 1 + bytes / checkpointer->engine->options.wal.segment_bytes;
    return upto < sealed ? upto : sealed;
}

static enum hf_status make(struct checkpointer *checkpointer, uint64_t base, uint64_t upto,
                           struct checkpoint_info *info)
{
    struct engine *engine = checkpointer->engine;
    uint64_t begin_ns = clock_monotonic_ns(engine->clock);
    const struct checkpoint_build_options options = {
        .storage = engine->storage,
        .base = base,
        .upto = upto,
        .memory_bytes = memory_bytes(checkpointer),
        .gently = true,
        .inventory = engine->options.inventory,
        .pace = pace_build,
        .context = checkpointer,
    };
    enum hf_status status = checkpoint_build(&options, info);
    if (status == HF_OK) {
        note_made(checkpointer, info, (clock_monotonic_ns(engine->clock) - begin_ns) / 1000000u);
        take_over(checkpointer, base, upto);
        checkpointer->last_bytes = info->file_bytes;
    }
    return status;
}

/* From the newest one; when that, or a segment behind it, is damaged, from the one before: its
 * segments are kept for that. */
static enum hf_status make_next(struct checkpointer *checkpointer, uint64_t upto)
{
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
                "the checkpoint before this one, or the log behind it, can't be used, and that "
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

/* Also when there is nothing new: the archive may have been out of reach before. */
static void give_back(struct checkpointer *checkpointer)
{
    const struct wal_recycler recycler = {archive_segment, rest, checkpointer};
    if (checkpointer->previous) {
        wal_recycle(checkpointer->engine->wal, checkpointer->previous, &recycler);
    }
}

enum hf_status checkpointer_run(struct checkpointer *checkpointer)
{
    uint64_t sealed = wal_sealed_segment(checkpointer->engine->wal);
    pace_begin(checkpointer);
    enum hf_status status = sealed > checkpointer->last
                                ? make_next(checkpointer, next_upto(checkpointer, sealed))
                                : HF_NOT_FOUND;
    give_back(checkpointer);
    remove_outdated(checkpointer); /* after it: the log waits for its segments */
    return status;
}

/* ---- The thread ---- */

static bool is_due(struct checkpointer *checkpointer)
{
    struct engine *engine = checkpointer->engine;
    uint64_t lsn = wal_tail_lsn(engine->wal);
    bool idle = lsn - checkpointer->seen_lsn < IDLE_BYTES_A_SECOND / (1000000000u / LOOK_EVERY_NS);
    checkpointer->seen_lsn = lsn;
    uint64_t sealed = wal_sealed_segment(engine->wal);
    if (sealed <= checkpointer->last) {
        return false;
    }
    uint64_t bytes = (sealed - checkpointer->last) * engine->options.wal.segment_bytes;
    uint64_t most = engine->options.wal_bytes_max;
    return bytes >= most / 4 || (idle && bytes >= most / 8);
}

/* After a failure both wait: a disk that is full or broken is not to be kept busy. */
void checkpointer_look(struct checkpointer *checkpointer)
{
    bool due = is_due(checkpointer);
    if ((!due && !checkpointer->archive_failed) ||
        clock_monotonic_ns(checkpointer->engine->clock) < checkpointer->retry_ns) {
        return;
    }
    if (due) {
        (void)checkpointer_run(checkpointer);
    } else {
        pace_begin(checkpointer);
        give_back(checkpointer);
    }
    if (!checkpointer->failed && !checkpointer->archive_failed) {
        checkpointer->retry_pause_ns = RETRY_NS_MIN;
        return;
    }
    checkpointer->retry_ns =
        clock_monotonic_ns(checkpointer->engine->clock) + checkpointer->retry_pause_ns;
    if (checkpointer->retry_pause_ns < RETRY_NS_MAX) {
        checkpointer->retry_pause_ns *= 2;
    }
}

static void *checkpointer_main(void *argument)
{
    struct checkpointer *checkpointer = argument;
    /* acquire: pairs with the release in checkpointer_stop. */
    while (!atomic_load_explicit(&checkpointer->stop, memory_order_acquire)) {
        checkpointer_look(checkpointer);
        nanosleep(&(struct timespec){.tv_nsec = LOOK_EVERY_NS}, NULL);
    }
    return NULL;
}

enum hf_status checkpointer_start(struct checkpointer *checkpointer)
{
    CHECK(!checkpointer->running);
    checkpointer->running = true;
    if (pthread_create(&checkpointer->thread, NULL, checkpointer_main, checkpointer) != 0) {
        checkpointer->running = false;
        return HF_NO_MEMORY;
    }
    return HF_OK;
}

void checkpointer_stop(struct checkpointer *checkpointer)
{
    if (!checkpointer->running) {
        return;
    }
    /* release: pairs with the acquires above. */
    atomic_store_explicit(&checkpointer->stop, true, memory_order_release);
    pthread_join(checkpointer->thread, NULL);
    checkpointer->running = false;
}
