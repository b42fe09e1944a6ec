/* overlay.c - a log whose older segments are in an archive, as one directory.
 *
 * Threads: one at a time. */
#include "history/overlay.h"
#include "io/storage_open.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"

/* A file's number here is twice its number in the storage it was found in, plus which one. */
struct overlay {
    struct storage base;
    struct storage *data;
    struct storage *archive;
};

static const struct overlay *overlay_of(const struct storage *storage)
{
    return (const struct overlay *)storage;
}

static struct storage *part_of(struct storage *storage, storage_file file)
{
    return file & 1 ? overlay_of(storage)->archive : overlay_of(storage)->data;
}

static const char *overlay_name(const struct storage *storage)
{
    const struct storage *data = overlay_of(storage)->data;
    return data->ops->name(data);
}

struct names {
    char (*names)[STORAGE_NAME_BYTES_MAX];
    size_t count;
    size_t room;
    bool segments_only;
    bool no_memory;
};

static bool gather(void *context, const char *name)
{
    struct names *names = context;
    size_t len = strlen(name);
    if (len >= STORAGE_NAME_BYTES_MAX || (names->segments_only && strncmp(name, "wal-", 4) != 0)) {
        return true;
    }
    if (names->count == names->room) {
        size_t room = names->room ? 2 * names->room : 64;
        void *grown = reallocarray(names->names, room, sizeof *names->names);
        if (!grown) {
            names->no_memory = true;
            return false;
        }
        names->names = grown;
        names->room = room;
    }
    memcpy(names->names[names->count++], name, len + 1);
    return true;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* The data directory first: what leaves it during the listing is in the archive already. */
static enum hf_status overlay_list(struct storage *storage,
                                   bool (*visit)(void *context, const char *name), void *context)
{
    const struct overlay *overlay = overlay_of(storage);
    struct names names = {0};
    enum hf_status status = overlay->data->ops->list(overlay->data, gather, &names);
    names.segments_only = true;
    if (status == HF_OK) {
        status = overlay->archive->ops->list(overlay->archive, gather, &names);
    }
    if (names.no_memory) {
        status = HF_NO_MEMORY;
    }
    if (status == HF_OK && names.count > 0) {
        qsort(names.names, names.count, sizeof *names.names, compare_names);
        for (size_t i = 0; i < names.count; i++) {
            bool again = i > 0 && strcmp(names.names[i - 1], names.names[i]) == 0;
            if (!again && !visit(context, names.names[i])) {
                break;
            }
        }
    }
    free(names.names);
    return status;
}

static enum hf_status overlay_open_file(struct storage *storage, const char *name, bool writable,
                                        storage_file *file, uint64_t *size)
{
    const struct overlay *overlay = overlay_of(storage);
    enum hf_status status = overlay->data->ops->open(overlay->data, name, writable, file, size);
    int which = 0;
    if (status == HF_NOT_FOUND) {
        status = overlay->archive->ops->open(overlay->archive, name, writable, file, size);
        which = 1;
    }
    if (status == HF_OK) {
        CHECK(*file >= 0);
        CHECK(*file <= INT_MAX / 2);
        *file = 2 * *file + which;
    }
    return status;
}

static void overlay_close(struct storage *storage, storage_file file)
{
    struct storage *part = part_of(storage, file);
    part->ops->close(part, file / 2);
}

static void overlay_read_direct(struct storage *storage, storage_file file)
{
    struct storage *part = part_of(storage, file);
    part->ops->read_direct(part, file / 2);
}

static enum hf_status overlay_read(struct storage *storage, storage_file file, void *buffer,
                                   size_t len, uint64_t offset, size_t *got)
{
    struct storage *part = part_of(storage, file);
    return part->ops->read(part, file / 2, buffer, len, offset, got);
}

static void overlay_destroy(struct storage *storage)
{
    struct overlay *overlay = (struct overlay *)storage;
    storage_destroy(overlay->data);
    storage_destroy(overlay->archive);
    free(overlay);
}

static const struct storage_ops overlay_ops = {
    .name = overlay_name,
    .list = overlay_list,
    .open = overlay_open_file,
    .close = overlay_close,
    .read_direct = overlay_read_direct,
    .read = overlay_read,
    .destroy = overlay_destroy,
};

/* Opens a directory to read in it. NOT_FOUND, without a diagnostic: there is no such directory. */
static enum hf_status open_directory(struct storage **out, const char *directory)
{
    struct stat about;
    *out = NULL;
    if (stat(directory, &about) != 0 && errno == ENOENT) {
        return HF_NOT_FOUND;
    }
    return storage_open(out, directory, STORAGE_SYNC, true);
}

enum hf_status overlay_add(struct storage **storage, const char *archive)
{
    struct storage *copies;
    CHECK(*storage != NULL);
    enum hf_status status = open_directory(&copies, archive);
    struct overlay *overlay = status == HF_OK ? calloc(1, sizeof *overlay) : NULL;
    if (status == HF_OK && !overlay) {
        storage_destroy(copies);
        status = HF_NO_MEMORY;
    }
    if (status == HF_OK) {
        *overlay = (struct overlay){.base = {&overlay_ops}, .data = *storage, .archive = copies};
        *storage = &overlay->base;
    } else {
        storage_destroy(*storage);
        *storage = NULL;
    }
    return status;
}

enum hf_status overlay_try(struct storage **out, const char *data, const char *archive)
{
    char folder[FOLDER_BYTES];
    int used = snprintf(folder, sizeof folder, "%s/wal", data);
    *out = NULL;
    if (used < 0 || (size_t)used >= sizeof folder) {
        return HF_IO_ERROR;
    }
    enum hf_status status = open_directory(out, folder);
    return status == HF_OK && archive ? overlay_add(out, archive) : status;
}
