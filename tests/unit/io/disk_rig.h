/* disk_rig.h - a real storage in a directory of the test's own, with the system calls below it
 * logged (kernel_log.h). Included by one source a program.
 *
 * The watched directory is the parent, so that the storage's own directory is "data" in the log and
 * its files are "data/name". Threads: one. */
#ifndef UNIT_IO_DISK_RIG_H
#define UNIT_IO_DISK_RIG_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "io/storage.h"
#include "io/storage_open.h"
#include "lib/kernel_log.h"
#include "lib/tempdir.h"

#define RIG_BUFFER_BYTES MIB(1)

struct rig {
    char *parent;
    char *directory;
    struct storage *storage;
    const struct storage_ops *ops;
    uint8_t *buffer; /* RIG_BUFFER_BYTES, aligned to pages */
    uint8_t *back;   /* as much, for what is read */
};

static inline void rig_fill(uint8_t *buffer, size_t len, unsigned seed)
{
    for (size_t i = 0; i < len; i++) {
        buffer[i] = (uint8_t)(1 + (i * 31 + seed + (i >> 12)) % 255); /* never zero */
    }
}

/* False: this way of writing is not to be had here. */
static inline bool rig_open(struct rig *rig, enum storage_mode mode)
{
    rig->parent = tempdir_make();
    rig->directory = tempdir_join(rig->parent, "data");
    rig->buffer = aligned_alloc(WAL_PAGE_BYTES, RIG_BUFFER_BYTES);
    rig->back = aligned_alloc(WAL_PAGE_BYTES, RIG_BUFFER_BYTES);
    rig_fill(rig->buffer, RIG_BUFFER_BYTES, 1);
    kernel_log_start(rig->parent);
    bool opened = storage_open(&rig->storage, rig->directory, mode, false) == HF_OK;
    rig->ops = opened ? rig->storage->ops : NULL;
    kernel_log_clear();
    return opened;
}

static inline void rig_close(struct rig *rig)
{
    storage_destroy(rig->storage);
    kernel_log_stop();
    tempdir_remove(rig->parent);
    free(rig->directory);
    free(rig->buffer);
    free(rig->back);
}

/* Whether there is a file of that name in the storage's directory; *size then. */
static inline bool rig_exists(const struct rig *rig, const char *name, uint64_t *size)
{
    struct stat about;
    char *path = tempdir_join(rig->directory, name);
    bool exists = stat(path, &about) == 0;
    free(path);
    if (exists) {
        *size = (uint64_t)about.st_size;
    }
    return exists;
}

/* How many file descriptors the process has open. */
static inline unsigned rig_fds(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir && readdir(dir)) {
        count++;
    }
    if (dir) {
        closedir(dir);
    }
    return count;
}

/* The whole file as it is, past the storage: its bytes up to RIG_BUFFER_BYTES. */
static inline size_t rig_read(const struct rig *rig, const char *name, uint8_t *to)
{
    char *path = tempdir_join(rig->directory, name);
    FILE *file = fopen(path, "rb");
    size_t got = file ? fread(to, 1, RIG_BUFFER_BYTES, file) : 0;
    if (file) {
        fclose(file);
    }
    free(path);
    return got;
}

#endif
