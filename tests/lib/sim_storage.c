/* sim_storage.c - see the header. Files are arrays; every write that is not durable is kept aside
 * with what it would do (submitted writes) or with what it replaced (unsynced ones).
 *
 * The directory is there twice: as the process sees it, and as a power cut would leave it at the
 * worst. Between the two lie the changes of names since the directory was synced, in their order; a
 * power cut takes some of them over.
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
    uint8_t *data;
    uint64_t size;
    uint64_t size_low;   /* the sizes that a power cut may leave; both are size after a sync */
    uint64_t size_high;  /* so many bytes are allocated */
    unsigned references; /* one for each name, handle, write and change of a name */
};

struct sim_entry {
    char name[STORAGE_NAME_BYTES_MAX];
    struct sim_file *file;
};

struct sim_directory {
    struct sim_entry *entries; /* sorted by name */
    unsigned count;
};

/* A name that was given or taken away, and the directory not synced since. Newest last. */
struct sim_change {
    struct sim_entry entry; /* file NULL: the name is no more */
    int needs;              /* the change without which this one can't be; -1: none */
};

struct sim_write {
    struct sim_file *file;
    const void *buffer;
    uint8_t *copy; /* of the buffer, to see that nobody changes it during the write */
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
    struct sim_directory now;     /* as the process sees it */
    struct sim_directory durable; /* as it was when it was synced last */
    struct sim_change *changes;   /* that lie between */
    unsigned change_count;
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

/* ---- Files ---- */

static struct sim_file *keep(struct sim_file *file)
{
    file->references++;
    return file;
}

static void drop(struct sim_file *file)
{
    if (--file->references == 0) {
        free(file->data);
        free(file);
    }
}

/* Zeros; its size is durable. The caller's reference. */
static struct sim_file *file_make(uint64_t size)
{
    struct sim_file *file = must(calloc(1, sizeof *file));
    file->data = must(calloc(1, size ? size : 1));
    file->size = file->size_low = file->size_high = size;
    file->references = 1;
    return file;
}

/* Most of a log is zeros, as the copy is already: memory that is not touched costs nothing. */
static struct sim_file *file_copy(const struct sim_file *file)
{
    static const uint8_t zeros[4096];
    struct sim_file *copy = file_make(file->size);
    for (uint64_t at = 0; at < file->size; at += sizeof zeros) {
        uint64_t left = file->size - at;
        size_t len = left < sizeof zeros ? (size_t)left : sizeof zeros;
        if (memcmp(file->data + at, zeros, len) != 0) {
            memcpy(copy->data + at, file->data + at, len);
        }
    }
    return copy;
}

/* Zeros up to a new end. */
static void file_grow(struct sim_file *file, uint64_t size)
{
    if (size > file->size_high) {
        file->data = must(realloc(file->data, size));
        file->size_high = size;
    }
    memset(file->data + file->size, 0, size - file->size);
    file->size = size;
}

static void size_synced(struct sim_file *file)
{
    file->size_low = file->size_high = file->size;
}

/* ---- The directory ---- */

static int find(const struct sim_directory *directory, const char *name)
{
    for (unsigned i = 0; i < directory->count; i++) {
        if (strcmp(directory->entries[i].name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static struct sim_file *file_of(const struct sim_storage *sim, const char *name)
{
    int at = find(&sim->now, name);
    return at >= 0 ? sim->now.entries[at].file : NULL;
}

static struct sim_entry entry_make(const char *name, struct sim_file *file)
{
    struct sim_entry entry = {.file = file ? keep(file) : NULL};
    CHECK(strlen(name) < sizeof entry.name);
    snprintf(entry.name, sizeof entry.name, "%s", name);
    return entry;
}

/* The name is the file's from now on, or nobody's. */
static void directory_set(struct sim_directory *directory, const char *name, struct sim_file *file)
{
    int at = find(directory, name);
    struct sim_entry *entries = directory->entries;
    if (at >= 0) {
        drop(entries[at].file);
        directory->count--;
        memmove(&entries[at], &entries[at + 1],
                (directory->count - (unsigned)at) * sizeof *entries);
    }
    if (!file) {
        return;
    }
    CHECK(directory->count < FILES_MAX);
    unsigned i = directory->count++;
    if ((i & (i - 1)) == 0) {
        entries = must(realloc(entries, (i ? 2 * i : 1) * sizeof *entries));
        directory->entries = entries;
    }
    for (; i > 0 && strcmp(entries[i - 1].name, name) > 0; i--) {
        entries[i] = entries[i - 1];
    }
    entries[i] = entry_make(name, file);
}

static void directory_clear(struct sim_directory *directory)
{
    for (unsigned i = 0; i < directory->count; i++) {
        drop(directory->entries[i].file);
    }
    directory->count = 0;
}

static void directory_copy(struct sim_directory *to, const struct sim_directory *from)
{
    directory_clear(to);
    for (unsigned i = 0; i < from->count; i++) {
        directory_set(to, from->entries[i].name, from->entries[i].file);
    }
}

/* Changes a name, which a power cut may undo until the directory is synced. Returns the change. */
static int change_name(struct sim_storage *sim, const char *name, struct sim_file *file, int needs)
{
    sim->changes = must(realloc(sim->changes, (sim->change_count + 1) * sizeof *sim->changes));
    sim->changes[sim->change_count] = (struct sim_change){entry_make(name, file), needs};
    directory_set(&sim->now, name, file);
    return (int)sim->change_count++;
}

/* A rename, which gives a name before it takes one: a file never is without. */
static void change_names(struct sim_storage *sim, const char *from, const char *to)
{
    struct sim_file *file = keep(file_of(sim, from));
    int given = change_name(sim, to, file, -1);
    change_name(sim, from, NULL, given);
    drop(file);
}

static void forget_changes(struct sim_storage *sim)
{
    for (unsigned i = 0; i < sim->change_count; i++) {
        if (sim->changes[i].entry.file) {
            drop(sim->changes[i].entry.file);
        }
    }
    sim->change_count = 0;
}

static void sync_names(struct sim_storage *sim)
{
    directory_copy(&sim->durable, &sim->now);
    forget_changes(sim);
}

/* Where both names of a rename are left, each has a file. */
static void part_names(struct sim_directory *directory)
{
    for (unsigned i = 0; i < directory->count; i++) {
        for (unsigned j = 0; j < i; j++) {
            struct sim_entry *entry = &directory->entries[i];
            if (entry->file == directory->entries[j].file) {
                drop(entry->file);
                entry->file = file_copy(entry->file);
                break;
            }
        }
    }
}

/* The power fails: all changes of names were taken over, or none, or the first ones, or any. */
static void tear_names(struct sim_storage *sim)
{
    unsigned count = sim->change_count;
    bool *taken = must(calloc(count + 1, sizeof *taken));
    uint64_t kind = draw(sim) % 4;
    uint64_t first = draw(sim) % (count + 1);
    for (unsigned i = 0; i < count; i++) {
        const struct sim_change *change = &sim->changes[i];
        taken[i] = kind == 0 || (kind == 2 && i < first) || (kind == 3 && draw(sim) % 2 == 0);
        taken[i] &= change->needs < 0 || taken[change->needs];
        if (taken[i]) {
            directory_set(&sim->durable, change->entry.name, change->entry.file);
        }
    }
    free(taken);
    forget_changes(sim);
    part_names(&sim->durable);
    directory_copy(&sim->now, &sim->durable);
}

uint64_t sim_storage_used(const struct storage *storage)
{
    const struct sim_storage *sim = sim_of(storage);
    uint64_t used = 0;
    for (unsigned i = 0; i < sim->now.count; i++) {
        used += sim->now.entries[i].file->size;
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

/* All that the file holds is durable. */
static void forget_unsynced(struct sim_storage *sim, struct sim_file *file)
{
    size_synced(file);
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
    entry->file = keep(file);
    entry->before = must(malloc(len));
    memcpy(entry->before, file->data + offset, len);
    entry->len = len;
    entry->offset = offset;
}

/* A durable write over bytes that are not: what a power cut could bring back there is the write,
 * and the file has the size for it from now on. */
static void cover_unsynced(struct sim_storage *sim, const struct sim_write *write)
{
    struct sim_file *file = write->file;
    uint64_t end = write->offset + write->len;
    file->size_low = file->size_low < end && end <= file->size ? end : file->size_low;
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

/* The power fails: the sizes of the files whose sizes are not durable. */
static void tear_size(struct sim_storage *sim, struct sim_file *file)
{
    if (file->size_low == file->size_high) {
        return;
    }
    uint64_t sectors = (file->size_high - file->size_low) / SECTOR;
    switch (draw(sim) % 3) {
    case 0:
        break;
    case 1:
        file->size = file->size_low;
        break;
    default:
        file->size = file->size_low + draw(sim) % (sectors + 1) * SECTOR;
    }
    size_synced(file);
}

static void tear_sizes(struct sim_storage *sim, const struct sim_directory *directory)
{
    for (unsigned i = 0; i < directory->count; i++) {
        tear_size(sim, directory->entries[i].file);
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
    tear_sizes(sim, &sim->now);
    tear_sizes(sim, &sim->durable);
    tear_names(sim);
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
    sim->crashed = false;
    sim->crash_at = 0;
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
    struct sim_directory seen = {0};
    directory_copy(&seen, &sim->now);
    for (unsigned i = 0; i < seen.count && visit(context, seen.entries[i].name); i++) {
    }
    directory_clear(&seen);
    free(seen.entries);
    return HF_OK;
}

static enum hf_status sim_open(struct storage *storage, const char *name, bool writable,
                               storage_file *file, uint64_t *size)
{
    struct sim_storage *sim = sim_of(storage);
    if (sim->crashed) {
        return HF_IO_ERROR;
    }
    struct sim_file *found = file_of(sim, name);
    if (!found) {
        return HF_NOT_FOUND;
    }
    for (int i = 0; i < HANDLES_MAX; i++) {
        if (!sim->handles[i]) {
            sim->handles[i] = keep(found);
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

/* After an operation on names: they are durable, or the power fails before the directory was synced
 * or after it, and the caller never learns. */
static enum hf_status names_done(struct sim_storage *sim, enum step step)
{
    if (step == STEP_DO || draw(sim) % 2 == 0) {
        sync_names(sim);
    }
    return step == STEP_DO ? HF_OK : HF_IO_ERROR;
}

/* As the real disk does it: under another name, then renamed. Often it doesn't get so far. */
static void make_zeroed(struct sim_storage *sim, const char *name, uint64_t size, bool whole)
{
    char temporary[STORAGE_NAME_BYTES_MAX + 4];
    snprintf(temporary, sizeof temporary, "%s.tmp", name);
    struct sim_file *file = file_make(size);
    change_name(sim, temporary, file, -1);
    if (whole || draw(sim) % 2 == 0) {
        change_names(sim, temporary, name);
    } else {
        file->size = draw(sim) % (size / WAL_PAGE_BYTES + 1) * WAL_PAGE_BYTES;
        file->size_low = 0;
    }
    drop(file);
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
    make_zeroed(sim, name, size, step == STEP_DO);
    return names_done(sim, step);
}

static enum hf_status sim_create(struct storage *storage, const char *name, storage_file *file)
{
    struct sim_storage *sim = sim_of(storage);
    enum step step = operation(sim);
    if (step == STEP_CRASH) {
        return HF_IO_ERROR;
    }
    struct sim_file *made = file_make(0);
    change_name(sim, name, made, -1);
    drop(made);
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
        /* Torn, whatever was drawn for the operation: nobody knows. */
        remember_unsynced(sim, to, len, offset);
        apply(sim, to, buffer, len, offset, true);
        return fails && step == STEP_DO ? sim->fail_status : HF_IO_ERROR;
    }
    apply(sim, to, buffer, len, offset, false);
    forget_unsynced(sim, to);
    return HF_OK;
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

/* A power cut may bring back what was truncated. */
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
    cut->size_low = cut->size_low < size ? cut->size_low : size;
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
    if (!file_of(sim, from)) {
        return step == STEP_DO ? HF_NOT_FOUND : HF_IO_ERROR;
    }
    change_names(sim, from, to);
    return names_done(sim, step);
}

static enum hf_status sim_unlink(struct storage *storage, const char *name)
{
    struct sim_storage *sim = sim_of(storage);
    enum step step = operation(sim);
    if (step == STEP_CRASH) {
        return HF_IO_ERROR;
    }
    if (!file_of(sim, name)) {
        return step == STEP_DO ? HF_NOT_FOUND : HF_IO_ERROR;
    }
    change_name(sim, name, NULL, -1);
    return names_done(sim, step);
}

static bool ends_with(const char *name, const char *ending)
{
    size_t len = strlen(name);
    size_t ending_len = strlen(ending);
    return len >= ending_len && strcmp(name + len - ending_len, ending) == 0;
}

/* As the real disk: what was being made goes, and what a killed process changed stays. */
static enum hf_status sim_settle(struct storage *storage)
{
    struct sim_storage *sim = sim_of(storage);
    enum step step = operation(sim);
    if (step == STEP_CRASH) {
        return HF_IO_ERROR;
    }
    for (unsigned i = sim->now.count; i > 0; i--) {
        char name[STORAGE_NAME_BYTES_MAX];
        memcpy(name, sim->now.entries[i - 1].name, sizeof name);
        if (ends_with(name, ".seg.tmp") || ends_with(name, ".ckp.tmp") ||
            ends_with(name, ".mark.tmp")) {
            change_name(sim, name, NULL, -1);
        }
    }
    return names_done(sim, step);
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
    keep(to);
    if (write_fails(sim)) {
        write->status = sim->fail_status;
    }
    if (operation(sim) != STEP_DO) {
        write->buffer = NULL; /* the caller gets its completion now; the crash tears it */
        return HF_IO_ERROR;
    }
    return HF_OK;
}

/* Ends the write at `at`, and returns its status. After a stop it stays for sim_storage_crash() to
 * tear. */
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
    /* Writes that the stop interrupts are reported as failed, and kept for the crash. */
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
    directory_clear(&sim->now);
    directory_clear(&sim->durable);
    free(sim->now.entries);
    free(sim->durable.entries);
    free(sim->changes);
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
    .settle = sim_settle,
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
    struct sim_file *file = file_of(sim, name);
    if (!file) {
        return NULL;
    }
    *size = file->size;
    return file->data;
}

unsigned sim_storage_in_flight(const struct storage *storage)
{
    return sim_of(storage)->write_count;
}

struct storage *sim_storage_copy(const struct storage *storage, uint64_t seed)
{
    const struct sim_storage *from = sim_of(storage);
    struct storage *copy = sim_storage_make(seed);
    for (unsigned i = 0; i < from->now.count; i++) {
        struct sim_file *file = file_copy(from->now.entries[i].file);
        directory_set(&sim_of(copy)->now, from->now.entries[i].name, file);
        drop(file);
    }
    sync_names(sim_of(copy));
    return copy;
}
