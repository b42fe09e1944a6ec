/* sim_storage.c - see the header. Files are arrays; every write that is not durable is kept aside
 * with what it would do (submitted writes) or with what it replaced (unsynced ones).
 *
 * Threads: one. */
#include "lib/sim_storage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/limits.h"

#define FILES_MAX   1024
#define HANDLES_MAX 256
#define WRITES_MAX  64
#define SECTOR      512u

struct sim_file {
    char name[STORAGE_NAME_BYTES_MAX];
    uint8_t *data;
    uint64_t size;
    unsigned references; /* the directory's, and one for each handle and write */
};

struct sim_write {
    struct sim_file *file;
    const void *buffer;
    uint8_t *copy; /* of the buffer, to see that nobody changed it meanwhile */
    size_t len;
    uint64_t offset;
    uint64_t token;
    enum hf_status status;
};

/* Bytes that are in a file, but not safe from a power cut. Newest last. */
struct sim_unsynced {
    struct sim_file *file;
    uint8_t *before; /* what was there */
    size_t len;
    uint64_t offset;
};

struct sim_storage {
    struct storage base;
    uint64_t random;
    struct sim_file *files[FILES_MAX]; /* the directory, sorted by name */
    unsigned file_count;
    struct sim_file *handles[HANDLES_MAX];
    bool handle_writable[HANDLES_MAX];
    bool handle_direct[HANDLES_MAX]; /* reads must be aligned */
    struct sim_write writes[WRITES_MAX];
    unsigned write_count;
    struct sim_unsynced *unsynced;
    size_t unsynced_count;
    uint64_t operations;
    uint64_t crash_at;
    bool crashed;
    uint64_t writes_seen;
    uint64_t fail_at;
    enum hf_status fail_status;
    uint64_t capacity;
    bool hold;
};

static uint64_t draw(struct sim_storage *sim)
{
    sim->random += 0x9E3779B97F4A7C15ull; /* splitmix64 */
    return hash_u64(sim->random);
}

static struct sim_storage *sim_of(const struct storage *storage)
{
    return (struct sim_storage *)storage;
}

static void *must(void *memory)
{
    CHECK(memory != NULL);
    return memory;
}

/* ---- The directory ---- */

static void drop(struct sim_file *file)
{
    if (--file->references == 0) {
        free(file->data);
        free(file);
    }
}

static int find(const struct sim_storage *sim, const char *name)
{
    for (unsigned i = 0; i < sim->file_count; i++) {
        if (strcmp(sim->files[i]->name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static void directory_remove(struct sim_storage *sim, int at)
{
    drop(sim->files[at]);
    sim->file_count--;
    memmove(&sim->files[at], &sim->files[at + 1],
            (sim->file_count - (unsigned)at) * sizeof sim->files[0]);
}

/* Enters a file under its name, in the place of another of that name. */
static void directory_add(struct sim_storage *sim, struct sim_file *file)
{
    int at = find(sim, file->name);
    if (at >= 0) {
        directory_remove(sim, at);
    }
    CHECK(sim->file_count < FILES_MAX);
    unsigned i = sim->file_count++;
    for (; i > 0 && strcmp(sim->files[i - 1]->name, file->name) > 0; i--) {
        sim->files[i] = sim->files[i - 1];
    }
    sim->files[i] = file;
}

static struct sim_file *file_make(const char *name, uint64_t size)
{
    struct sim_file *file = must(calloc(1, sizeof *file));
    CHECK(strlen(name) < sizeof file->name);
    snprintf(file->name, sizeof file->name, "%s", name);
    file->data = must(calloc(1, size ? size : 1));
    file->size = size;
    file->references = 1;
    return file;
}

uint64_t sim_storage_used(const struct storage *storage)
{
    const struct sim_storage *sim = sim_of(storage);
    uint64_t used = 0;
    for (unsigned i = 0; i < sim->file_count; i++) {
        used += sim->files[i]->size;
    }
    return used;
}

/* ---- Writes: durable, unsynced, torn ---- */

/* Copies all sectors, or those that the dice choose. */
static void apply(struct sim_storage *sim, struct sim_file *file, const uint8_t *from, size_t len,
                  uint64_t offset, bool torn)
{
    uint64_t kind = torn ? draw(sim) % 4 : 0; /* 0: all, 1: none, else some */
    if (kind == 1) {
        return;
    }
    /* Often a prefix or a suffix, as real devices tear; else sectors at random. */
    size_t sectors = len / SECTOR;
    size_t cut = sectors ? draw(sim) % (sectors + 1) : 0;
    uint64_t shape = draw(sim) % 3;
    for (size_t i = 0; i < sectors; i++) {
        bool take = kind == 0 || (shape == 0 && i < cut) || (shape == 1 && i >= cut) ||
                    (shape == 2 && draw(sim) % 2 == 0);
        if (take) {
            memcpy(file->data + offset + i * SECTOR, from + i * SECTOR, SECTOR);
        }
    }
}

static void forget_unsynced(struct sim_storage *sim, const struct sim_file *file)
{
    size_t kept = 0;
    for (size_t i = 0; i < sim->unsynced_count; i++) {
        struct sim_unsynced *entry = &sim->unsynced[i];
        if (entry->file == file) {
            free(entry->before);
            drop(entry->file);
        } else {
            sim->unsynced[kept++] = *entry;
        }
    }
    sim->unsynced_count = kept;
}

static void remember_unsynced(struct sim_storage *sim, struct sim_file *file, size_t len,
                              uint64_t offset)
{
    sim->unsynced = must(realloc(sim->unsynced, (sim->unsynced_count + 1) * sizeof *sim->unsynced));
    struct sim_unsynced *entry = &sim->unsynced[sim->unsynced_count++];
    entry->file = file;
    file->references++;
    entry->before = must(malloc(len));
    memcpy(entry->before, file->data + offset, len);
    entry->len = len;
    entry->offset = offset;
}

/* A durable write over bytes that are not: what a power cut could bring back there is the write. */
static void cover_unsynced(struct sim_storage *sim, const struct sim_write *write)
{
    for (size_t i = 0; i < sim->unsynced_count; i++) {
        struct sim_unsynced *entry = &sim->unsynced[i];
        if (entry->file != write->file) {
            continue;
        }
        uint64_t from = entry->offset > write->offset ? entry->offset : write->offset;
        uint64_t entry_end = entry->offset + entry->len;
        uint64_t write_end = write->offset + write->len;
        uint64_t to = entry_end < write_end ? entry_end : write_end;
        if (from < to) {
            memcpy(entry->before + (from - entry->offset), write->copy + (from - write->offset),
                   to - from);
        }
    }
}

static void forget_write(struct sim_storage *sim, unsigned at)
{
    free(sim->writes[at].copy);
    drop(sim->writes[at].file);
    sim->writes[at] = sim->writes[--sim->write_count];
}

static void close_all(struct sim_storage *sim)
{
    for (int i = 0; i < HANDLES_MAX; i++) {
        if (sim->handles[i]) {
            drop(sim->handles[i]);
            sim->handles[i] = NULL;
        }
    }
}

void sim_storage_crash(struct storage *storage)
{
    struct sim_storage *sim = sim_of(storage);
    while (sim->write_count > 0) {
        unsigned at = (unsigned)(draw(sim) % sim->write_count);
        struct sim_write *write = &sim->writes[at];
        apply(sim, write->file, write->copy, write->len, write->offset, true);
        forget_write(sim, at);
    }
    for (size_t i = sim->unsynced_count; i > 0; i--) {
        struct sim_unsynced *entry = &sim->unsynced[i - 1];
        /* Torn the other way round: some of what was there before comes back. */
        apply(sim, entry->file, entry->before, entry->len, entry->offset, true);
        free(entry->before);
        drop(entry->file);
    }
    sim->unsynced_count = 0;
    close_all(sim);
    sim->crashed = false;
    sim->crash_at = 0;
}

void sim_storage_kill(struct storage *storage)
{
    struct sim_storage *sim = sim_of(storage);
    while (sim->write_count > 0) {
        unsigned at = (unsigned)(draw(sim) % sim->write_count);
        struct sim_write *write = &sim->writes[at];
        remember_unsynced(sim, write->file, write->len, write->offset);
        apply(sim, write->file, write->copy, write->len, write->offset, false);
        forget_write(sim, at);
    }
    close_all(sim);
}

/* Counts an operation. What becomes of it: */
enum step {
    STEP_DO,       /* as asked */
    STEP_DO_CRASH, /* done, but the caller never learns */
    STEP_CRASH,    /* the storage stops, or had stopped before: not done */
};

static enum step operation(struct sim_storage *sim)
{
    if (sim->crashed) {
        return STEP_CRASH;
    }
    sim->operations++;
    if (sim->crash_at != 0 && sim->operations >= sim->crash_at) {
        sim->crashed = true;
        return draw(sim) % 2 == 0 ? STEP_DO_CRASH : STEP_CRASH;
    }
    return STEP_DO;
}

/* True when this write is the one to fail. */
static bool write_fails(struct sim_storage *sim)
{
    sim->writes_seen++;
    return sim->fail_at != 0 && sim->writes_seen == sim->fail_at;
}

/* ---- Operations ---- */

static const char *sim_name(const struct storage *storage)
{
    (void)storage;
    return "simulated";
}

static enum hf_status sim_list(struct storage *storage,
                               bool (*visit)(void *context, const char *name), void *context)
{
    struct sim_storage *sim = sim_of(storage);
    if (sim->crashed) {
        return HF_IO_ERROR;
    }
    /* The visitor may change the directory. */
    unsigned count = sim->file_count;
    char(*names)[STORAGE_NAME_BYTES_MAX] = must(malloc((count + 1) * sizeof *names));
    for (unsigned i = 0; i < count; i++) {
        memcpy(names[i], sim->files[i]->name, sizeof names[i]);
    }
    for (unsigned i = 0; i < count && visit(context, names[i]); i++) {
    }
    free(names);
    return HF_OK;
}

static enum hf_status sim_open(struct storage *storage, const char *name, bool writable,
                               storage_file *file, uint64_t *size)
{
    struct sim_storage *sim = sim_of(storage);
    if (sim->crashed) {
        return HF_IO_ERROR;
    }
    int at = find(sim, name);
    if (at < 0) {
        return HF_NOT_FOUND;
    }
    for (int i = 0; i < HANDLES_MAX; i++) {
        if (!sim->handles[i]) {
            sim->handles[i] = sim->files[at];
            sim->handles[i]->references++;
            sim->handle_writable[i] = writable;
            sim->handle_direct[i] = false;
            *file = i;
            *size = sim->handles[i]->size;
            return HF_OK;
        }
    }
    return HF_IO_ERROR;
}

static struct sim_file *handle(const struct sim_storage *sim, storage_file file)
{
    CHECK(file >= 0);
    CHECK(file < HANDLES_MAX);
    CHECK(sim->handles[file] != NULL);
    return sim->handles[file];
}

static void sim_close(struct storage *storage, storage_file file)
{
    struct sim_storage *sim = sim_of(storage);
    if (sim->handles[file]) { /* a crash has closed it already */
        drop(sim->handles[file]);
        sim->handles[file] = NULL;
    }
}

static enum hf_status sim_create_zeroed(struct storage *storage, const char *name, uint64_t size)
{
    struct sim_storage *sim = sim_of(storage);
    enum step step = operation(sim);
    if (step == STEP_CRASH) {
        return HF_IO_ERROR;
    }
    if (sim_storage_used(storage) + size > sim->capacity) {
        return HF_NO_SPACE;
    }
    directory_add(sim, file_make(name, size));
    return step == STEP_DO ? HF_OK : HF_IO_ERROR;
}

static enum hf_status sim_create(struct storage *storage, const char *name, storage_file *file)
{
    struct sim_storage *sim = sim_of(storage);
    enum step step = operation(sim);
    if (step == STEP_CRASH) {
        return HF_IO_ERROR;
    }
    directory_add(sim, file_make(name, 0));
    uint64_t size;
    return step == STEP_DO ? sim_open(storage, name, true, file, &size) : HF_IO_ERROR;
}

static void sim_read_direct(struct storage *storage, storage_file file)
{
    sim_of(storage)->handle_direct[file] = true;
}

static enum hf_status sim_read(struct storage *storage, storage_file file, void *buffer, size_t len,
                               uint64_t offset, size_t *got)
{
    struct sim_storage *sim = sim_of(storage);
    *got = 0;
    if (sim->crashed) {
        return HF_IO_ERROR;
    }
    const struct sim_file *from = handle(sim, file);
    CHECK(!sim->handle_direct[file] || ((uintptr_t)buffer | len | offset) % WAL_PAGE_BYTES == 0);
    if (offset < from->size) {
        uint64_t left = from->size - offset;
        *got = left < len ? (size_t)left : len;
        memcpy(buffer, from->data + offset, *got);
    }
    return HF_OK;
}

static struct sim_file *check_write(const struct sim_storage *sim, storage_file file,
                                    const void *buffer, size_t len, uint64_t offset)
{
    struct sim_file *to = handle(sim, file);
    CHECK(sim->handle_writable[file]);
    CHECK((uintptr_t)buffer % WAL_PAGE_BYTES == 0);
    CHECK(len % WAL_PAGE_BYTES == 0);
    CHECK(len > 0);
    CHECK(offset % WAL_PAGE_BYTES == 0);
    CHECK(offset + len <= to->size);
    return to;
}

static enum hf_status sim_write_sync(struct storage *storage, storage_file file, const void *buffer,
                                     size_t len, uint64_t offset)
{
    struct sim_storage *sim = sim_of(storage);
    if (sim->crashed) {
        return HF_IO_ERROR;
    }
    struct sim_file *to = check_write(sim, file, buffer, len, offset);
    enum step step = operation(sim);
    bool fails = write_fails(sim);
    if (step != STEP_DO || fails) {
        /* Torn, whatever the dice said about the operation: nobody knows. */
        remember_unsynced(sim, to, len, offset);
        apply(sim, to, buffer, len, offset, true);
        return fails && step == STEP_DO ? sim->fail_status : HF_IO_ERROR;
    }
    apply(sim, to, buffer, len, offset, false);
    forget_unsynced(sim, to);
    return HF_OK;
}

/* Zeros up to a new end. */
static void file_grow(struct sim_file *file, uint64_t size)
{
    file->data = must(realloc(file->data, size));
    memset(file->data + file->size, 0, size - file->size);
    file->size = size;
}

static enum hf_status sim_write(struct storage *storage, storage_file file, const void *buffer,
                                size_t len, uint64_t offset)
{
    struct sim_storage *sim = sim_of(storage);
    if (sim->crashed) {
        return HF_IO_ERROR;
    }
    struct sim_file *to = handle(sim, file);
    if (offset + len > to->size) {
        if (sim_storage_used(storage) + (offset + len - to->size) > sim->capacity) {
            return HF_NO_SPACE;
        }
        file_grow(to, offset + len);
    }
    check_write(sim, file, buffer, len, offset);
    enum step step = operation(sim);
    bool fails = write_fails(sim);
    remember_unsynced(sim, to, len, offset);
    apply(sim, to, buffer, len, offset, step != STEP_DO || fails);
    if (step != STEP_DO) {
        return HF_IO_ERROR;
    }
    return fails ? sim->fail_status : HF_OK;
}

/* Unsynced writes behind the new end are gone with it, for good. */
static enum hf_status sim_truncate(struct storage *storage, storage_file file, uint64_t size)
{
    struct sim_storage *sim = sim_of(storage);
    struct sim_file *cut = handle(sim, file);
    CHECK(sim->handle_writable[file]);
    CHECK(size % WAL_PAGE_BYTES == 0);
    CHECK(size <= cut->size);
    enum step step = operation(sim);
    if (step == STEP_CRASH) {
        return HF_IO_ERROR;
    }
    cut->size = size;
    return step == STEP_DO ? HF_OK : HF_IO_ERROR;
}

static enum hf_status sim_sync(struct storage *storage, storage_file file)
{
    struct sim_storage *sim = sim_of(storage);
    if (operation(sim) != STEP_DO) {
        return HF_IO_ERROR;
    }
    CHECK(sim->handle_writable[file]);
    forget_unsynced(sim, handle(sim, file));
    return HF_OK;
}

static enum hf_status sim_rename(struct storage *storage, const char *from, const char *to)
{
    struct sim_storage *sim = sim_of(storage);
    enum step step = operation(sim);
    if (step == STEP_CRASH) {
        return HF_IO_ERROR;
    }
    int at = find(sim, from);
    if (at < 0) {
        return HF_NOT_FOUND;
    }
    struct sim_file *file = sim->files[at];
    file->references++;
    directory_remove(sim, at);
    CHECK(strlen(to) < sizeof file->name);
    snprintf(file->name, sizeof file->name, "%s", to);
    directory_add(sim, file);
    return step == STEP_DO ? HF_OK : HF_IO_ERROR;
}

static enum hf_status sim_unlink(struct storage *storage, const char *name)
{
    struct sim_storage *sim = sim_of(storage);
    enum step step = operation(sim);
    if (step == STEP_CRASH) {
        return HF_IO_ERROR;
    }
    int at = find(sim, name);
    if (at < 0) {
        return HF_NOT_FOUND;
    }
    directory_remove(sim, at);
    return step == STEP_DO ? HF_OK : HF_IO_ERROR;
}

static void sim_register_buffers(struct storage *storage, void *const *buffers, size_t bytes_each,
                                 unsigned count)
{
    (void)storage;
    (void)buffers;
    (void)bytes_each;
    (void)count;
}

static enum hf_status sim_submit_write(struct storage *storage, storage_file file,
                                       const void *buffer, size_t len, uint64_t offset,
                                       uint64_t token)
{
    struct sim_storage *sim = sim_of(storage);
    if (sim->crashed) {
        return HF_IO_ERROR;
    }
    struct sim_file *to = check_write(sim, file, buffer, len, offset);
    CHECK(sim->write_count < WRITES_MAX);
    struct sim_write *write = &sim->writes[sim->write_count++];
    *write = (struct sim_write){to, buffer, must(malloc(len)), len, offset, token, HF_OK};
    memcpy(write->copy, buffer, len);
    to->references++;
    if (write_fails(sim)) {
        write->status = sim->fail_status;
    }
    if (operation(sim) != STEP_DO) {
        write->buffer = NULL; /* the caller is told now; the crash tears it */
        return HF_IO_ERROR;
    }
    return HF_OK;
}

/* Ends the write at `at`, and says how. After a stop it stays for sim_storage_crash() to tear. */
static enum hf_status complete(struct sim_storage *sim, unsigned at)
{
    struct sim_write *write = &sim->writes[at];
    CHECK(memcmp(write->buffer, write->copy, write->len) == 0);
    enum hf_status status = write->status;
    if (status == HF_OK) {
        apply(sim, write->file, write->copy, write->len, write->offset, false);
        cover_unsynced(sim, write);
    } else {
        remember_unsynced(sim, write->file, write->len, write->offset);
        apply(sim, write->file, write->copy, write->len, write->offset, true);
    }
    forget_write(sim, at);
    return status;
}

static unsigned sim_reap(struct storage *storage, bool wait, struct storage_completion *completions,
                         unsigned max)
{
    struct sim_storage *sim = sim_of(storage);
    unsigned n = 0;
    /* Writes that the stop leaves in the air are told as failed, and kept for the crash. */
    for (unsigned i = 0; sim->crashed && i < sim->write_count && n < max; i++) {
        if (sim->writes[i].buffer) {
            completions[n++] = (struct storage_completion){sim->writes[i].token, HF_IO_ERROR};
            sim->writes[i].buffer = NULL;
        }
    }
    while (!sim->crashed && n < max && sim->write_count > 0) {
        bool must_take = wait && n == 0;
        if (!must_take && (sim->hold || draw(sim) % 2 == 0)) {
            break;
        }
        unsigned at = (unsigned)(draw(sim) % sim->write_count);
        uint64_t token = sim->writes[at].token;
        if (operation(sim) != STEP_DO) {
            completions[n++] = (struct storage_completion){token, HF_IO_ERROR};
            sim->writes[at].buffer = NULL;
            break;
        }
        completions[n].token = token;
        completions[n++].status = complete(sim, at);
    }
    return n;
}

static void sim_destroy(struct storage *storage)
{
    struct sim_storage *sim = sim_of(storage);
    sim_storage_crash(storage);
    while (sim->file_count > 0) {
        directory_remove(sim, (int)sim->file_count - 1);
    }
    free(sim->unsynced);
    free(sim);
}

static const struct storage_ops sim_ops = {
    .name = sim_name,
    .list = sim_list,
    .open = sim_open,
    .create_zeroed = sim_create_zeroed,
    .create = sim_create,
    .write = sim_write,
    .truncate = sim_truncate,
    .close = sim_close,
    .read_direct = sim_read_direct,
    .read = sim_read,
    .write_sync = sim_write_sync,
    .sync = sim_sync,
    .rename = sim_rename,
    .unlink = sim_unlink,
    .register_buffers = sim_register_buffers,
    .submit_write = sim_submit_write,
    .reap = sim_reap,
    .destroy = sim_destroy,
};

struct storage *sim_storage_make(uint64_t seed)
{
    struct sim_storage *sim = must(calloc(1, sizeof *sim));
    sim->base.ops = &sim_ops;
    sim->random = seed;
    sim->capacity = UINT64_MAX;
    return &sim->base;
}

void sim_storage_crash_after(struct storage *storage, uint64_t operations)
{
    struct sim_storage *sim = sim_of(storage);
    sim->crash_at = operations == 0 ? 0 : sim->operations + operations;
}

void sim_storage_stop(struct storage *storage)
{
    sim_of(storage)->crashed = true;
}

bool sim_storage_crashed(const struct storage *storage)
{
    return sim_of(storage)->crashed;
}

uint64_t sim_storage_operations(const struct storage *storage)
{
    return sim_of(storage)->operations;
}

void sim_storage_fail_write(struct storage *storage, uint64_t nth, enum hf_status status)
{
    struct sim_storage *sim = sim_of(storage);
    CHECK(nth == 0 || status != HF_OK);
    sim->fail_at = nth == 0 ? 0 : sim->writes_seen + nth;
    sim->fail_status = status;
}

void sim_storage_set_capacity(struct storage *storage, uint64_t bytes)
{
    sim_of(storage)->capacity = bytes;
}

void sim_storage_hold(struct storage *storage, bool hold)
{
    sim_of(storage)->hold = hold;
}

uint8_t *sim_storage_data(struct storage *storage, const char *name, uint64_t *size)
{
    struct sim_storage *sim = sim_of(storage);
    int at = find(sim, name);
    if (at < 0) {
        return NULL;
    }
    *size = sim->files[at]->size;
    return sim->files[at]->data;
}

unsigned sim_storage_in_flight(const struct storage *storage)
{
    return sim_of(storage)->write_count;
}

struct storage *sim_storage_copy(const struct storage *storage, uint64_t seed)
{
    const struct sim_storage *from = sim_of(storage);
    struct storage *copy = sim_storage_make(seed);
    for (unsigned i = 0; i < from->file_count; i++) {
        const struct sim_file *file = from->files[i];
        struct sim_file *made = file_make(file->name, file->size);
        memcpy(made->data, file->data, file->size);
        directory_add(sim_of(copy), made);
    }
    return copy;
}
