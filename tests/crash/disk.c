/* disk.c - see the header. A file is what is durable of it, and a queue of what is not: writes and
 * sizes, oldest first. The directory is there twice, as in lib/sim_storage.c.
 *
 * Threads: one. */
#include "crash/disk.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "base/check.h"
#include "lib/kernel.h"

#define SECTOR         512u
#define FILE_BYTES_MAX (16u << 20)
#define FILES_MAX      1024u /* that a life opens */
#define NAMES_MAX      256u
#define CALLS_MAX      64u /* under way at once */
#define THREADS_MAX    64u

enum change_kind { CHANGE_WRITE, CHANGE_SIZE };

/* What is not durable of a file. */
struct change {
    enum change_kind kind;
    bool done;     /* the call has come back */
    bool durable;  /* waits only for what is before it in the queue */
    uint64_t call; /* its number; 0: of an earlier life */
    uint64_t sync; /* the call that will make it durable; 0: none */
    uint64_t offset;
    uint64_t len; /* SIZE: the new size is in offset */
    const uint8_t *data;
    uint64_t data_bytes; /* the rest of len is zero */
};

struct inode {
    struct inode *next; /* all there are */
    bool is_directory;
    uint64_t number; /* for people */
    uint8_t *bytes;  /* durable; FILE_BYTES_MAX of address space */
    uint64_t size;   /* durable */
    uint64_t now;    /* as a process sees it */
    uint64_t synced; /* what it was when the sync that is under way was called */
    struct change *changes;
    unsigned count;
};

struct name {
    char path[DISK_PATH_BYTES];
    struct inode *inode; /* of a change: NULL when the name is taken away */
    int needs;           /* of a change: the one without which it can't be; -1: none */
    uint64_t call;       /* of a change */
};

struct names {
    struct name at[NAMES_MAX];
    unsigned count;
};

struct disk {
    const struct trace_head *trace;
    const uint8_t *next; /* record */
    const struct trace_record *last;
    uint64_t at;
    struct inode *inodes;
    uint64_t inode_count;
    struct names now;
    struct names safe;
    struct names changes;           /* between the two, oldest first */
    struct inode *files[FILES_MAX]; /* by the present life's numbers */
    const struct trace_record *unfinished[CALLS_MAX];
    unsigned unfinished_count;
    struct {
        int32_t thread;
        char parent[DISK_PATH_BYTES]; /* of names that it changed and has not synced; "": none */
    } threads[THREADS_MAX];
    unsigned thread_count;
    uint64_t write_failed; /* records then; 0: none has */
    char fault[512];
};

static void *must(void *memory)
{
    CHECK(memory != NULL);
    return memory;
}

static void __attribute__((format(printf, 2, 3)))
set_fault(struct disk *disk, const char *format, ...)
{
    if (disk->fault[0] == '\0') {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(disk->fault, sizeof disk->fault, format, arguments);
        va_end(arguments);
    }
}

/* ---- Names ---- */

static void parent_of(const char *path, char parent[DISK_PATH_BYTES])
{
    const char *slash = strrchr(path, '/');
    snprintf(parent, DISK_PATH_BYTES, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
}

static struct name *names_find(struct names *names, const char *path)
{
    for (unsigned i = 0; i < names->count; i++) {
        if (strcmp(names->at[i].path, path) == 0) {
            return &names->at[i];
        }
    }
    return NULL;
}

static struct name *names_add(struct names *names, const char *path, struct inode *inode)
{
    CHECK(names->count < NAMES_MAX);
    CHECK(strlen(path) < DISK_PATH_BYTES);
    struct name *name = &names->at[names->count++];
    *name = (struct name){.inode = inode, .needs = -1};
    snprintf(name->path, sizeof name->path, "%s", path);
    return name;
}

static void names_set(struct names *names, const char *path, struct inode *inode)
{
    struct name *name = names_find(names, path);
    if (!name && inode) {
        names_add(names, path, inode);
    } else if (name && inode) {
        name->inode = inode;
    } else if (name) {
        *name = names->at[--names->count];
    }
}

static int change_name(struct disk *disk, uint64_t call, const char *path, struct inode *inode,
                       int needs)
{
    struct name *change = names_add(&disk->changes, path, inode);
    change->needs = needs;
    change->call = call;
    names_set(&disk->now, path, inode);
    return (int)disk->changes.count - 1;
}

/* A directory was synced by a call that began when so many changes were there. */
static void sync_names(struct disk *disk, const char *directory, uint64_t call)
{
    unsigned kept = 0;
    int moved[NAMES_MAX];
    for (unsigned i = 0; i < disk->changes.count; i++) {
        struct name *change = &disk->changes.at[i];
        char parent[DISK_PATH_BYTES];
        parent_of(change->path, parent);
        moved[i] = -1;
        if (strcmp(parent, directory) == 0 && change->call < call) {
            names_set(&disk->safe, change->path, change->inode);
        } else {
            change->needs = change->needs >= 0 ? moved[change->needs] : -1;
            moved[i] = (int)kept;
            disk->changes.at[kept++] = *change;
        }
    }
    disk->changes.count = kept;
}

static const char *path_of(const struct disk *disk, const struct inode *inode)
{
    for (unsigned i = 0; i < disk->now.count; i++) {
        if (disk->now.at[i].inode == inode) {
            return disk->now.at[i].path;
        }
    }
    return "a file without a name";
}

/* ---- Files ---- */

static struct inode *inode_make(struct disk *disk, bool is_directory)
{
    struct inode *inode = must(calloc(1, sizeof *inode));
    inode->is_directory = is_directory;
    inode->number = ++disk->inode_count;
    inode->next = disk->inodes;
    disk->inodes = inode;
    if (!is_directory) {
        inode->bytes = mmap(NULL, FILE_BYTES_MAX, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        CHECK(inode->bytes != MAP_FAILED);
    }
    return inode;
}

static struct change *change_add(struct inode *inode, enum change_kind kind, uint64_t call)
{
    if ((inode->count & (inode->count - 1)) == 0) {
        inode->changes = must(realloc(inode->changes, (inode->count ? 2 * inode->count : 1) *
                                                          sizeof *inode->changes));
    }
    struct change *change = &inode->changes[inode->count++];
    *change = (struct change){.kind = kind, .call = call};
    return change;
}

static struct change *change_of(const struct inode *inode, uint64_t call)
{
    for (unsigned i = 0; i < inode->count; i++) {
        if (inode->changes[i].call == call) {
            return &inode->changes[i];
        }
    }
    return NULL;
}

static void change_remove(struct inode *inode, struct change *change)
{
    unsigned at = (unsigned)(change - inode->changes);
    memmove(change, change + 1, (inode->count - at - 1) * sizeof *change);
    inode->count--;
}

/* Bytes [from, from + len) of a write, into memory of `room` bytes. */
static void put(uint8_t *to, uint64_t room, const struct change *change, uint64_t from,
                uint64_t len)
{
    uint64_t at = change->offset + from;
    if (at >= room) {
        return;
    }
    len = at + len <= room ? len : room - at;
    uint64_t data = from >= change->data_bytes ? 0 : change->data_bytes - from;
    data = data < len ? data : len;
    memcpy(to + at, change->data + from, data);
    memset(to + at + data, 0, len - data);
}

static void carry_out(struct inode *inode, const struct change *change)
{
    if (change->kind == CHANGE_WRITE) {
        put(inode->bytes, FILE_BYTES_MAX, change, 0, change->len);
        uint64_t end = change->offset + change->len;
        inode->size = end > inode->size ? end : inode->size;
        return;
    }
    if (change->offset < inode->size) {
        memset(inode->bytes + change->offset, 0, inode->size - change->offset);
    }
    inode->size = change->offset;
}

/* What is durable and has nothing before it that is not. */
static void settle_changes(struct inode *inode)
{
    while (inode->count > 0 && inode->changes[0].durable) {
        carry_out(inode, &inode->changes[0]);
        change_remove(inode, &inode->changes[0]);
    }
}

/* A write that is durable need not wait for what lies elsewhere in the file. */
static void settle_write(struct inode *inode, struct change *change)
{
    for (struct change *other = inode->changes; other < change; other++) {
        if (other->kind == CHANGE_SIZE || (other->offset < change->offset + change->len &&
                                           change->offset < other->offset + other->len)) {
            return;
        }
    }
    carry_out(inode, change);
    change_remove(inode, change);
}

/* ---- Records ---- */

static struct inode *inode_of(struct disk *disk, const struct trace_record *record)
{
    CHECK(record->file < FILES_MAX);
    return disk->files[record->file];
}

static const char *op_name(const struct trace_record *record)
{
    return kernel_op_name((enum kernel_op)record->op);
}

static char *thread_parent(struct disk *disk, int32_t thread)
{
    for (unsigned i = 0; i < disk->thread_count; i++) {
        if (disk->threads[i].thread == thread) {
            return disk->threads[i].parent;
        }
    }
    CHECK(disk->thread_count < THREADS_MAX);
    disk->threads[disk->thread_count].thread = thread;
    disk->threads[disk->thread_count].parent[0] = '\0';
    return disk->threads[disk->thread_count++].parent;
}

/* The thread has changed a name that others may build upon. */
static void names_changed(struct disk *disk, const struct trace_record *record)
{
    parent_of(trace_name(record), thread_parent(disk, record->thread));
}

static void must_have_synced(struct disk *disk, const struct trace_record *record)
{
    const char *parent = thread_parent(disk, record->thread);
    if (parent[0]) {
        set_fault(disk, "%s of %s: the thread changed names in %s before, and did not sync it",
                  op_name(record), trace_name(record), parent);
    }
}

/* What is acknowledged in a file must not go with its name, or with one of those above it. */
static void must_be_reached(struct disk *disk, const char *path)
{
    char above[DISK_PATH_BYTES];
    const struct name *now = names_find(&disk->now, path);
    const struct name *safe = names_find(&disk->safe, path);
    if (now && (!safe || safe->inode != now->inode)) {
        set_fault(disk, "what is in %s is made durable, and its name is not", path);
    }
    parent_of(path, above);
    if (strcmp(above, ".") != 0) {
        must_be_reached(disk, above);
    }
}

static bool ends_with(const char *name, const char *ending)
{
    size_t len = strlen(name);
    return len >= strlen(ending) && strcmp(name + len - strlen(ending), ending) == 0;
}

static void before_write(struct disk *disk, const struct trace_record *record)
{
    struct inode *inode = inode_of(disk, record);
    must_have_synced(disk, record);
    struct change *change = change_add(inode, CHANGE_WRITE, record->number);
    change->offset = record->offset;
    change->len = record->len;
    change->data = trace_data(record);
    change->data_bytes = record->data_bytes;
    CHECK(change->offset + change->len <= FILE_BYTES_MAX);
}

static void after_write(struct disk *disk, const struct trace_record *record)
{
    struct inode *inode = inode_of(disk, record);
    struct change *change = change_of(inode, record->number);
    CHECK(change != NULL);
    change->done = true;
    change->call = 0;
    if (record->result < 0 && disk->write_failed == 0) {
        disk->write_failed = disk->at;
    }
    if (record->result <= 0) { /* some of it may be there all the same */
        return;
    }
    change->len = (uint64_t)record->result;
    change->data_bytes = change->data_bytes < change->len ? change->data_bytes : change->len;
    uint64_t end = change->offset + change->len;
    inode->now = end > inode->now ? end : inode->now;
    if (record->flags & (RWF_DSYNC | RWF_SYNC)) {
        must_be_reached(disk, trace_name(record));
        change->durable = true;
        settle_write(inode, change);
        settle_changes(inode);
    }
}

static void resize(struct inode *inode, uint64_t size)
{
    struct change *change = change_add(inode, CHANGE_SIZE, 0);
    change->offset = size;
    change->done = true;
    inode->now = size;
}

static void before_sync(struct disk *disk, const struct trace_record *record)
{
    struct inode *inode = record->is_directory ? NULL : inode_of(disk, record);
    for (unsigned i = 0; inode && i < inode->count; i++) {
        if (inode->changes[i].done) {
            inode->changes[i].sync = record->number;
        }
    }
}

static void after_sync(struct disk *disk, const struct trace_record *record)
{
    if (record->result != 0) {
        return;
    }
    if (record->is_directory) {
        char *parent = thread_parent(disk, record->thread);
        sync_names(disk, trace_name(record), record->number);
        if (strcmp(parent, trace_name(record)) == 0) {
            parent[0] = '\0';
        }
        return;
    }
    struct inode *inode = inode_of(disk, record);
    if (!ends_with(trace_name(record), ".tmp")) {
        must_be_reached(disk, trace_name(record));
    }
    for (unsigned i = 0; i < inode->count; i++) {
        inode->changes[i].durable |= inode->changes[i].sync == record->number;
    }
    settle_changes(inode);
}

static void after_open(struct disk *disk, const struct trace_record *record)
{
    if (record->result < 0 || record->is_directory) {
        return;
    }
    const struct name *name = names_find(&disk->now, trace_name(record));
    struct inode *inode = name ? name->inode : NULL;
    if (record->created || !inode) {
        CHECK(record->created);
        must_have_synced(disk, record);
        inode = inode_make(disk, false);
        change_name(disk, record->number, trace_name(record), inode, -1);
    } else if ((record->flags & O_TRUNC) && inode->now > 0) {
        resize(inode, 0);
    }
    CHECK(record->file < FILES_MAX);
    disk->files[record->file] = inode;
}

static void after_rename(struct disk *disk, const struct trace_record *record)
{
    const char *from = trace_name(record);
    const char *to = trace_to(record);
    if (record->result != 0) {
        return;
    }
    const struct name *name = names_find(&disk->now, from);
    CHECK(name != NULL);
    struct inode *inode = name->inode;
    if (ends_with(from, ".tmp") && inode->count > 0) {
        set_fault(disk, "%s gets its name and was not synced", to);
    }
    must_have_synced(disk, record);
    int given = change_name(disk, record->number, to, inode, -1);
    change_name(disk, record->number, from, NULL, given);
    names_changed(disk, record);
}

static void after_unlink(struct disk *disk, const struct trace_record *record)
{
    if (record->result == 0) {
        change_name(disk, record->number, trace_name(record), NULL, -1);
        names_changed(disk, record);
    }
}

static void after_mkdir(struct disk *disk, const struct trace_record *record)
{
    if (record->result == 0) {
        must_have_synced(disk, record);
        change_name(disk, record->number, trace_name(record), inode_make(disk, true), -1);
        names_changed(disk, record);
    }
}

static void after(struct disk *disk, const struct trace_record *record)
{
    switch ((enum kernel_op)record->op) {
    case KERNEL_OPEN:
        after_open(disk, record);
        break;
    case KERNEL_WRITE:
        after_write(disk, record);
        break;
    case KERNEL_DATA_SYNC:
    case KERNEL_SYNC:
        after_sync(disk, record);
        break;
    case KERNEL_TRUNCATE:
        if (record->result == 0) {
            resize(inode_of(disk, record), record->offset);
        }
        break;
    case KERNEL_ALLOCATE:
        if (record->result == 0 && (record->flags & FALLOC_FL_KEEP_SIZE) == 0 &&
            record->offset + record->len > inode_of(disk, record)->now) {
            resize(inode_of(disk, record), record->offset + record->len);
        }
        break;
    case KERNEL_RENAME:
        after_rename(disk, record);
        break;
    case KERNEL_UNLINK:
        after_unlink(disk, record);
        break;
    case KERNEL_MKDIR:
        after_mkdir(disk, record);
        break;
    default:
        break;
    }
}

/* An engine begins. Of one before it, what was under way is as LEFT said. */
static void start(struct disk *disk)
{
    memset(disk->files, 0, sizeof disk->files);
    disk->unfinished_count = 0;
    disk->thread_count = 0;
    disk->write_failed = 0;
    for (struct inode *inode = disk->inodes; inode; inode = inode->next) {
        for (unsigned i = 0; i < inode->count; i++) {
            inode->changes[i].call = 0;
            inode->changes[i].sync = 0;
            inode->changes[i].done = true;
        }
    }
    for (unsigned i = 0; i < disk->changes.count; i++) {
        disk->changes.at[i].call = 0;
    }
}

static void left(struct disk *disk, const struct trace_record *record)
{
    struct inode *inode = record->op == KERNEL_WRITE ? inode_of(disk, record) : NULL;
    struct change *change = inode ? change_of(inode, record->number) : NULL;
    if (!inode) {
        disk->thread_count = 0; /* who is dead need not sync */
        after(disk, record);
        disk->thread_count = 0;
    } else if (change && record->result < 0) {
        change_remove(inode, change);
    } else if (change) {
        uint64_t end = change->offset + record->len;
        change->len = record->len;
        change->data = trace_data(record);
        change->data_bytes = record->data_bytes;
        change->done = true;
        inode->now = end > inode->now ? end : inode->now;
    }
}

static void begun(struct disk *disk, const struct trace_record *record)
{
    CHECK(disk->unfinished_count < CALLS_MAX);
    disk->unfinished[disk->unfinished_count++] = record;
    if (record->op == KERNEL_WRITE) {
        before_write(disk, record);
    } else if (record->op == KERNEL_DATA_SYNC || record->op == KERNEL_SYNC) {
        before_sync(disk, record);
    }
}

static void finished(struct disk *disk, const struct trace_record *record)
{
    for (unsigned i = 0; i < disk->unfinished_count; i++) {
        if (disk->unfinished[i]->number == record->number) {
            disk->unfinished[i] = disk->unfinished[--disk->unfinished_count];
            break;
        }
    }
}

bool disk_step(struct disk *disk)
{
    /* acquire: pairs with the recorder's release. */
    if (disk->at == atomic_load_explicit(&disk->trace->count, memory_order_acquire)) {
        return false;
    }
    const struct trace_record *record = (const struct trace_record *)disk->next;
    disk->next += record->bytes;
    disk->last = record;
    disk->at++;
    switch (record->kind) {
    case TRACE_START:
        start(disk);
        break;
    case TRACE_BEFORE:
        begun(disk, record);
        break;
    case TRACE_AFTER:
        finished(disk, record);
        after(disk, record);
        break;
    default:
        finished(disk, record);
        left(disk, record);
    }
    return true;
}

/* ---- Looking ---- */

struct disk *disk_make(const struct trace_head *trace)
{
    struct disk *disk = must(calloc(1, sizeof *disk));
    disk->trace = trace;
    disk->next = (const uint8_t *)trace + TRACE_HEAD_BYTES;
    return disk;
}

void disk_free(struct disk *disk)
{
    while (disk->inodes) {
        struct inode *inode = disk->inodes;
        disk->inodes = inode->next;
        if (inode->bytes) {
            munmap(inode->bytes, FILE_BYTES_MAX);
        }
        free(inode->changes);
        free(inode);
    }
    free(disk);
}

uint64_t disk_at(const struct disk *disk)
{
    return disk->at;
}

const struct trace_record *disk_last(const struct disk *disk)
{
    return disk->last;
}

const char *disk_fault(const struct disk *disk)
{
    return disk->fault[0] ? disk->fault : NULL;
}

unsigned disk_pending_names(const struct disk *disk)
{
    return disk->changes.count;
}

unsigned disk_pending_data(const struct disk *disk)
{
    unsigned count = 0;
    for (const struct inode *inode = disk->inodes; inode; inode = inode->next) {
        count += inode->count;
    }
    return count;
}

unsigned disk_unfinished(const struct disk *disk, const struct trace_record **records, unsigned max)
{
    unsigned count = disk->unfinished_count < max ? disk->unfinished_count : max;
    memcpy(records, disk->unfinished, count * sizeof *records);
    return count;
}

uint64_t disk_write_failed(const struct disk *disk)
{
    return disk->write_failed;
}

bool disk_has(const struct disk *disk, const char *path)
{
    return names_find((struct names *)&disk->now, path) != NULL;
}

/* ---- A power cut ---- */

/* How much of what is pending a power cut leaves. */
enum mood { MOOD_ALL, MOOD_NONE, MOOD_FIRST, MOOD_ANY, MOOD_BUT_ONE, MOODS };

struct dice {
    struct rng *rng;
    enum mood mood;
    unsigned count; /* things to throw for */
    unsigned mark;  /* FIRST: so many; BUT_ONE: this one is lost */
};

/* rng NULL: nothing is lost. */
static struct dice dice_make(struct rng *rng, unsigned count)
{
    if (!rng) {
        return (struct dice){.mood = MOOD_ALL};
    }
    return (struct dice){rng, (enum mood)rng_below(rng, MOODS), count,
                         (unsigned)rng_below(rng, count + 1)};
}

static bool is_left(const struct dice *dice, unsigned at)
{
    switch (dice->mood) {
    case MOOD_ALL:
        return true;
    case MOOD_NONE:
        return false;
    case MOOD_FIRST:
        return at < dice->mark;
    case MOOD_BUT_ONE:
        return at != dice->mark;
    default:
        return rng_chance(dice->rng, 2);
    }
}

static void __attribute__((format(printf, 2, 3)))
dropped(struct disk_image *image, const char *format, ...)
{
    size_t used = strlen(image->dropped);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(image->dropped + used, sizeof image->dropped - used, format, arguments);
    va_end(arguments);
}

static void crash_names(const struct disk *disk, struct rng *rng, struct names *left_names,
                        struct disk_image *image)
{
    bool taken[NAMES_MAX];
    *left_names = disk->safe;
    struct dice dice = dice_make(rng, disk->changes.count);
    for (unsigned i = 0; i < disk->changes.count; i++) {
        const struct name *change = &disk->changes.at[i];
        taken[i] = is_left(&dice, i) && (change->needs < 0 || taken[change->needs]);
        if (taken[i]) {
            names_set(left_names, change->path, change->inode);
        } else {
            dropped(image, "%s %s; ", change->inode ? "without the name" : "still the name",
                    change->path);
        }
    }
}

/* A write of which some sectors are there. */
static void tear(struct rng *rng, uint8_t *bytes, uint64_t room, const struct change *change)
{
    uint64_t sectors = (change->len + SECTOR - 1) / SECTOR;
    uint64_t cut = rng_below(rng, sectors + 1);
    uint64_t shape = rng_below(rng, 3);
    for (uint64_t i = 0; i < sectors; i++) {
        if ((shape == 0 && i < cut) || (shape == 1 && i >= cut) ||
            (shape == 2 && rng_chance(rng, 2))) {
            uint64_t from = i * SECTOR;
            uint64_t len = change->len - from < SECTOR ? change->len - from : SECTOR;
            put(bytes, room, change, from, len);
        }
    }
}

static uint64_t crash_size(const struct inode *inode, struct rng *rng)
{
    uint64_t low = inode->size;
    uint64_t high = inode->size;
    for (unsigned i = 0; i < inode->count; i++) {
        const struct change *change = &inode->changes[i];
        uint64_t end = change->offset + (change->kind == CHANGE_WRITE ? change->len : 0);
        if (change->durable) {
            low = end > low ? end : low; /* a write: what is before it is as long as it will be */
        }
        low = change->kind == CHANGE_SIZE && end < low && !change->durable ? end : low;
        high = end > high ? end : high;
    }
    switch (rng_below(rng, 3)) {
    case 0:
        return low;
    case 1:
        return high;
    default:
        return low + rng_below(rng, (high - low) / SECTOR + 1) * SECTOR;
    }
}

static void crash_file(const struct disk *disk, const struct inode *inode, struct rng *rng,
                       struct disk_file *file, struct disk_image *image)
{
    if (inode->count == 0) {
        file->size = inode->size;
        file->bytes = inode->bytes;
        file->borrowed = true;
        return;
    }
    file->size = rng ? crash_size(inode, rng) : inode->now;
    file->bytes = must(calloc(1, file->size + SECTOR));
    uint64_t durable = inode->size < file->size ? inode->size : file->size;
    memcpy(file->bytes, inode->bytes, durable);
    struct dice dice = dice_make(rng, inode->count);
    for (unsigned i = 0; i < inode->count; i++) {
        const struct change *change = &inode->changes[i];
        if (change->kind == CHANGE_SIZE) {
            continue;
        }
        bool whole = change->durable || is_left(&dice, i);
        if (whole) {
            put(file->bytes, file->size, change, 0, change->len);
        } else if (rng_chance(rng, 2)) {
            tear(rng, file->bytes, file->size, change);
        }
        if (!whole) {
            dropped(image, "%s at %" PRIu64 ", %" PRIu64 " bytes; ", path_of(disk, inode),
                    change->offset, change->len);
        }
    }
    if (file->size != inode->now) {
        dropped(image, "%s has %" PRIu64 " bytes of %" PRIu64 "; ", path_of(disk, inode),
                file->size, inode->now);
    }
}

/* All directories above it are there. */
static bool is_reached(struct names *names, const char *path)
{
    char parent[DISK_PATH_BYTES];
    parent_of(path, parent);
    if (strcmp(parent, ".") == 0) {
        return true;
    }
    return names_find(names, parent) && is_reached(names, parent);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct name *)a)->path, ((const struct name *)b)->path);
}

void disk_crash(const struct disk *disk, struct rng *rng, struct disk_image *image)
{
    static struct names names;
    *image = (struct disk_image){0};
    crash_names(disk, rng, &names, image);
    qsort(names.at, names.count, sizeof names.at[0], compare_names);
    image->files = must(calloc(names.count + 1, sizeof *image->files));
    for (unsigned i = 0; i < names.count; i++) {
        if (!is_reached(&names, names.at[i].path)) {
            continue;
        }
        struct disk_file *file = &image->files[image->count++];
        memcpy(file->path, names.at[i].path, sizeof file->path);
        file->is_directory = names.at[i].inode->is_directory;
        if (!file->is_directory) {
            crash_file(disk, names.at[i].inode, rng, file, image);
        }
    }
}

void disk_image_free(struct disk_image *image)
{
    for (unsigned i = 0; i < image->count; i++) {
        if (!image->files[i].borrowed) {
            free(image->files[i].bytes);
        }
    }
    free(image->files);
    *image = (struct disk_image){0};
}

const struct disk_file *disk_image_find(const struct disk_image *image, const char *path)
{
    for (unsigned i = 0; i < image->count; i++) {
        if (strcmp(image->files[i].path, path) == 0) {
            return &image->files[i];
        }
    }
    return NULL;
}
