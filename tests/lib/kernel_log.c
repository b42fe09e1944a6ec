/* kernel_log.c - see kernel_log.h. Bytes are counted in sectors of 64. */
#include "lib/kernel_log.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#define SECTOR       64u
#define FILE_SECTORS (64u * 1048576u / SECTOR) /* larger files are not in these tests */
#define FILES_MAX    4096u
#define PENDING_MAX  256u
#define PLANS_MAX    16u
#define NO_SUCH_CALL SIZE_MAX

struct file_state {
    char name[KERNEL_NAME_BYTES_MAX]; /* "": none */
    uint8_t *unsynced;                /* FILE_SECTORS flags */
    size_t end;                       /* after the last that was ever set */
    bool size_unsynced;
    bool lost; /* a sync of it failed: what was unsynced then stays so */
};

struct plan {
    enum kernel_op op;
    unsigned left; /* calls until it is met; 0: met */
    int error;
    size_t take;
};

static struct {
    struct kernel_log_call calls[KERNEL_LOG_CALLS_MAX];
    size_t call_index[KERNEL_LOG_CALLS_MAX * 4]; /* of a call's number since the clearing */
    size_t call_count;
    uint64_t first_number; /* 0: not known yet */
    struct file_state files[FILES_MAX];
    char pending[PENDING_MAX][KERNEL_NAME_BYTES_MAX]; /* names */
    size_t pending_count;
    struct plan plans[PLANS_MAX];
    size_t plan_count;
    bool forgets_calls;
    unsigned under_way; /* writes that the ring has */
} state;

static void give_up(const char *what)
{
    fprintf(stderr, "%s (kernel_log)\n", what);
    abort();
}

static struct file_state *file_at(uint64_t file)
{
    if (file == 0 || file >= FILES_MAX) {
        give_up("too many files");
    }
    struct file_state *found = &state.files[file];
    if (!found->unsynced) {
        found->unsynced = calloc(1, FILE_SECTORS);
        if (!found->unsynced) {
            give_up("no memory");
        }
    }
    return found;
}

static void mark(struct file_state *file, uint64_t offset, size_t len, uint8_t value)
{
    if (len == 0) {
        return;
    }
    uint64_t first = offset / SECTOR;
    uint64_t end = (offset + len + SECTOR - 1) / SECTOR;
    if (end > FILE_SECTORS) {
        give_up("a file is too large");
    }
    if (value == 0) { /* only what is covered in full */
        first = (offset + SECTOR - 1) / SECTOR;
        end = (offset + len) / SECTOR;
    }
    if (first < end) {
        memset(file->unsynced + first, value, (size_t)(end - first));
    }
    if (value != 0 && end > file->end) {
        file->end = (size_t)end;
    }
}

static size_t count_unsynced(const struct file_state *file)
{
    size_t bytes = file->size_unsynced ? 1 : 0;
    for (size_t i = 0; i < file->end; i++) {
        bytes += file->unsynced[i] ? SECTOR : 0;
    }
    return bytes;
}

/* ---- Faults ---- */

static bool apply_plan(struct kernel_call *call)
{
    bool is_planned = false;
    bool of_ring = call->op >= KERNEL_RING_MAKE;
    for (size_t i = 0; i < state.plan_count; i++) {
        struct plan *plan = &state.plans[i];
        bool fits = plan->op == call->op || (plan->op == KERNEL_OPS && !of_ring);
        if (fits && plan->left > 0 && --plan->left == 0) {
            bool is_transfer = call->op == KERNEL_WRITE || call->op == KERNEL_READ;
            if (plan->error != 0 || is_transfer) { /* a short count is for these alone */
                call->error = plan->error;
                call->take = is_transfer || plan->take == KERNEL_ALL ? plan->take : 0;
            }
            is_planned = true;
        }
    }
    return is_planned;
}

/* Real syncs show these tests nothing, and take time: only whether a sync was asked for counts. */
static void skip_sync(struct kernel_call *call)
{
    if (call->op == KERNEL_SYNC || call->op == KERNEL_DATA_SYNC) {
        call->take = 0;
    }
}

/* ---- Hooks ---- */

static size_t index_of(uint64_t number)
{
    uint64_t i = number - state.first_number;
    return state.first_number == 0 || number < state.first_number ||
                   i >= sizeof state.call_index / sizeof *state.call_index
               ? NO_SUCH_CALL
               : state.call_index[i];
}

static void on_before(void *context, struct kernel_call *call)
{
    (void)context;
    bool is_planned = apply_plan(call);
    skip_sync(call);
    if (call->op == KERNEL_RING_WAIT && call->len > state.under_way + call->offset) {
        kernel_log_print();
        give_up("check failed: the ring is waited for, endlessly: it has no write");
    }
    state.under_way += call->op == KERNEL_WRITE && call->ring;
    if (call->op == KERNEL_WRITE) {
        mark(file_at(call->file), call->offset, call->len, 1);
    }
    if (state.forgets_calls) {
        return;
    }
    if (state.first_number == 0) {
        state.first_number = call->number;
    }
    if (state.call_count == KERNEL_LOG_CALLS_MAX ||
        call->number - state.first_number >= sizeof state.call_index / sizeof *state.call_index) {
        kernel_log_print();
        give_up("endlessly many calls");
    }
    state.call_index[call->number - state.first_number] = state.call_count;
    struct kernel_log_call *entry = &state.calls[state.call_count++];
    *entry = (struct kernel_log_call){
        .op = call->op,
        .file = call->file,
        .is_directory = call->is_directory,
        .ring = call->ring,
        .planned = is_planned,
        .flags = call->flags,
        .offset = call->offset,
        .len = call->len,
    };
    snprintf(entry->name, sizeof entry->name, "%s", call->name);
    snprintf(entry->to, sizeof entry->to, "%s", call->to ? call->to : "");
    if (call->op == KERNEL_RENAME && call->file != 0 && !call->is_directory) {
        entry->unsynced = count_unsynced(file_at(call->file));
    }
}

static void add_pending(const char *name)
{
    for (size_t i = 0; i < state.pending_count; i++) {
        if (strcmp(state.pending[i], name) == 0) {
            return;
        }
    }
    if (state.pending_count == PENDING_MAX) {
        give_up("too many names");
    }
    snprintf(state.pending[state.pending_count++], KERNEL_NAME_BYTES_MAX, "%s", name);
}

static bool is_in(const char *name, const char *directory)
{
    const char *slash = strrchr(name, '/');
    size_t len = slash ? (size_t)(slash - name) : 1;
    return strlen(directory) == len && strncmp(slash ? name : ".", directory, len) == 0;
}

static void synced_directory(const char *directory)
{
    size_t kept = 0;
    for (size_t i = 0; i < state.pending_count; i++) {
        if (!is_in(state.pending[i], directory)) {
            memmove(state.pending[kept++], state.pending[i], KERNEL_NAME_BYTES_MAX);
        }
    }
    state.pending_count = kept;
}

static void forget_name(const char *name)
{
    if (!name[0]) {
        return;
    }
    for (size_t i = 0; i < FILES_MAX; i++) {
        if (strcmp(state.files[i].name, name) == 0) {
            free(state.files[i].unsynced);
            state.files[i] = (struct file_state){0};
        }
    }
}

static void after_sync(const struct kernel_call *call)
{
    if (call->is_directory) {
        if (call->result == 0) {
            synced_directory(call->name);
        }
        return;
    }
    struct file_state *file = file_at(call->file);
    if (call->result != 0) {
        file->lost = true;
    } else if (!file->lost) {
        memset(file->unsynced, 0, file->end);
        file->size_unsynced = false;
    }
}

static void after_name(const struct kernel_call *call)
{
    if (call->op == KERNEL_OPEN) {
        if (!call->is_directory) {
            struct file_state *file = file_at(call->file);
            snprintf(file->name, sizeof file->name, "%s", call->name);
            bool is_cut = (call->flags & O_TRUNC) != 0 && !call->created;
            file->size_unsynced = file->size_unsynced || is_cut;
        }
        if (call->created) {
            add_pending(call->name);
        }
        return;
    }
    if (call->op != KERNEL_MKDIR) {
        forget_name(call->op == KERNEL_RENAME ? call->to : call->name);
    }
    if (call->op == KERNEL_RENAME) {
        if (!call->is_directory) {
            struct file_state *file = file_at(call->file);
            snprintf(file->name, sizeof file->name, "%s", call->to);
        }
        add_pending(call->to);
    }
    add_pending(call->name);
}

static void on_after(void *context, const struct kernel_call *call)
{
    (void)context;
    size_t i = index_of(call->number);
    if (i != NO_SUCH_CALL) {
        state.calls[i].result = call->result;
        state.calls[i].ended = true;
        state.calls[i].file = call->file;
    }
    state.under_way -= call->op == KERNEL_WRITE && call->ring;
    bool fine = call->result >= 0;
    switch (call->op) {
    case KERNEL_WRITE:
        if (call->result > 0 && (call->flags & (RWF_DSYNC | RWF_SYNC)) != 0) {
            mark(file_at(call->file), call->offset, (size_t)call->result, 0);
        }
        break;
    case KERNEL_SYNC:
    case KERNEL_DATA_SYNC:
        after_sync(call);
        break;
    case KERNEL_TRUNCATE:
        file_at(call->file)->size_unsynced = true;
        break;
    case KERNEL_OPEN:
    case KERNEL_RENAME:
    case KERNEL_UNLINK:
    case KERNEL_MKDIR:
        if (fine) {
            after_name(call);
        }
        break;
    default:
        break;
    }
}

/* ---- What tests ask ---- */

void kernel_log_clear(void)
{
    state.call_count = 0;
    state.first_number = 0;
    state.plan_count = 0;
}

static void forget_files(void)
{
    for (size_t i = 0; i < FILES_MAX; i++) {
        free(state.files[i].unsynced);
        state.files[i] = (struct file_state){0};
    }
    state.pending_count = 0;
    state.under_way = 0;
}

void kernel_log_start(const char *directory)
{
    const struct kernel_hooks hooks = {on_before, on_after, NULL};
    kernel_log_clear();
    forget_files();
    if (!kernel_watch(directory, &hooks)) {
        give_up("there is no such directory");
    }
}

void kernel_log_stop(void)
{
    kernel_unwatch();
    kernel_log_clear();
    forget_files();
}

const struct kernel_log_call *kernel_log_calls(size_t *count)
{
    *count = state.call_count;
    return state.calls;
}

unsigned kernel_log_count(enum kernel_op op, const char *prefix)
{
    unsigned count = 0;
    for (size_t i = 0; i < state.call_count; i++) {
        const struct kernel_log_call *call = &state.calls[i];
        count += call->op == op && (!prefix || strncmp(call->name, prefix, strlen(prefix)) == 0);
    }
    return count;
}

void kernel_log_plan(enum kernel_op op, unsigned nth, int error, size_t take)
{
    if (state.plan_count == PLANS_MAX) {
        give_up("too many plans");
    }
    state.plans[state.plan_count++] = (struct plan){op, nth, error, take};
}

unsigned kernel_log_met(void)
{
    unsigned met = 0;
    for (size_t i = 0; i < state.plan_count; i++) {
        met += state.plans[i].left == 0;
    }
    return met;
}

void kernel_log_disarm(void)
{
    state.plan_count = 0;
}

size_t kernel_log_unsynced(const char *name)
{
    size_t bytes = 0;
    for (size_t i = 0; i < FILES_MAX; i++) {
        if (strcmp(state.files[i].name, name) == 0) {
            bytes += count_unsynced(&state.files[i]);
        }
    }
    return bytes;
}

size_t kernel_log_names_pending(const char *directory)
{
    size_t count = 0;
    for (size_t i = 0; i < state.pending_count; i++) {
        count += is_in(state.pending[i], directory);
    }
    return count;
}

void kernel_log_print(void)
{
    for (size_t i = 0; i < state.call_count && i < 100; i++) {
        const struct kernel_log_call *call = &state.calls[i];
        fprintf(stderr, "  %2zu %s%s %s%s%s offset %llu len %zu flags 0x%x -> %lld%s\n", i + 1,
                kernel_op_name(call->op), call->ring ? " (ring)" : "", call->name,
                call->to[0] ? " -> " : "", call->to, (unsigned long long)call->offset, call->len,
                (unsigned)call->flags, (long long)call->result,
                call->planned  ? " (planned)"
                : !call->ended ? " (not ended)"
                               : "");
    }
}

void kernel_log_forget_calls(void)
{
    state.forgets_calls = true;
}

void kernel_log_report(FILE *to)
{
    unsigned files = 0;
    for (size_t i = 0; i < FILES_MAX; i++) {
        const struct file_state *file = &state.files[i];
        files += file->name[0] != '\0';
        size_t bytes = file->name[0] ? count_unsynced(file) : 0;
        if (bytes > 0) {
            fprintf(to, "bytes %zu %s\n", bytes, file->name);
        }
    }
    for (size_t i = 0; i < state.pending_count; i++) {
        fprintf(to, "name %s\n", state.pending[i]);
    }
    fprintf(to, "files %u\n", files);
}
