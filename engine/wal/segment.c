/* segment.c - names of a log's numbered files, and which there are.
 *
 * Threads: any; a list belongs to its user. */
#include "wal/segment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

static const struct {
    const char *prefix;
    const char *suffix;
} kinds[] = {
    [SEGMENT_LOG] = {"wal-", ".seg"},
    [SEGMENT_SPARE] = {"spare-", ".seg"},
    [SEGMENT_CHECKPOINT] = {"checkpoint-", ".ckp"},
    [SEGMENT_BEGUN] = {"begun-", ".mark"},
};

void segment_name(char name[STORAGE_NAME_BYTES_MAX], enum segment_kind kind, uint64_t number)
{
    CHECK(kind <= SEGMENT_BEGUN);
    int len = snprintf(name, STORAGE_NAME_BYTES_MAX, "%s%016llx%s", kinds[kind].prefix,
                       (unsigned long long)number, kinds[kind].suffix);
    CHECK(len > 0 && (unsigned)len < STORAGE_NAME_BYTES_MAX);
}

void wal_segment_name(char name[STORAGE_NAME_BYTES_MAX], uint64_t number)
{
    segment_name(name, SEGMENT_LOG, number);
}

bool segment_name_parse(const char *name, enum segment_kind kind, uint64_t *number)
{
    size_t prefix_len = strlen(kinds[kind].prefix);
    if (strncmp(name, kinds[kind].prefix, prefix_len) != 0 ||
        strlen(name) != prefix_len + 16 + strlen(kinds[kind].suffix)) {
        return false;
    }
    *number = strtoull(name + prefix_len, NULL, 16);
    /* Only the one spelling counts: no signs, no capitals. */
    char expected[STORAGE_NAME_BYTES_MAX];
    segment_name(expected, kind, *number);
    return *number != 0 && strcmp(name, expected) == 0;
}

struct list_context {
    struct segment_list *list;
    size_t room;
    enum segment_kind kind;
    enum hf_status status;
};

static bool list_visit(void *context, const char *name)
{
    struct list_context *listing = context;
    struct segment_list *list = listing->list;
    uint64_t number;
    if (!segment_name_parse(name, listing->kind, &number)) {
        return true;
    }
    if (list->count == listing->room) {
        listing->room = listing->room ? 2 * listing->room : 64;
        uint64_t *numbers = realloc(list->numbers, listing->room * sizeof *numbers);
        if (!numbers) {
            listing->status = HF_NO_MEMORY;
            return false;
        }
        list->numbers = numbers;
    }
    /* Names come sorted, and with 16 digits each so do the numbers. */
    list->numbers[list->count++] = number;
    return true;
}

enum hf_status segment_list_read(struct segment_list *list, struct storage *storage,
                                 enum segment_kind kind)
{
    *list = (struct segment_list){0};
    struct list_context context = {list, 0, kind, HF_OK};
    enum hf_status status = storage->ops->list(storage, list_visit, &context);
    if (status == HF_OK) {
        status = context.status;
    }
    if (status != HF_OK) {
        segment_list_free(list);
    }
    return status;
}

void segment_list_free(struct segment_list *list)
{
    free(list->numbers);
    *list = (struct segment_list){0};
}

enum hf_status wal_first_segment(struct storage *storage, uint64_t *number)
{
    struct segment_list list;
    enum hf_status status = segment_list_read(&list, storage, SEGMENT_LOG);
    *number = list.count > 0 ? list.numbers[0] : 0;
    segment_list_free(&list);
    return status;
}
