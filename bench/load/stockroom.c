/* stockroom.c - setting up and reading items, a thousand a message. Threads: one. */
#include "load/stockroom.h"
#include "load/pause.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cell.h"
#include "base/check.h"
#include "base/csv.h"

#define CHUNK 1000u /* items a message: some 100 KB */

static uint32_t chunk_at(uint32_t done, uint32_t count)
{
    return count - done < CHUNK ? count - done : CHUNK;
}

enum hf_status stockroom_init(struct stockroom *room, uint32_t count)
{
    memset(room, 0, sizeof *room);
    room->count = count;
    room->handles = calloc(count, sizeof *room->handles);
    room->before = calloc(count, sizeof *room->before);
    room->after = calloc(count, sizeof *room->after);
    if (!room->handles || !room->before || !room->after) {
        stockroom_close(room);
        return HF_NO_MEMORY;
    }
    return HF_OK;
}

void stockroom_close(struct stockroom *room)
{
    free(room->handles);
    free(room->before);
    free(room->after);
    memset(room, 0, sizeof *room);
}

enum hf_status stockroom_read(const struct stockroom *room, const struct link *link,
                              struct hf_stock *into)
{
    enum hf_status status = HF_OK;
    for (uint32_t done = 0; done < room->count && status == HF_OK;) {
        uint32_t count = chunk_at(done, room->count);
        uint64_t since = pause_now_ns();
        do {
            status = hf_get_items(link->clients[0], room->handles + done, count, into + done);
        } while (link_again(link, status, since));
        done += count;
    }
    return status;
}

enum hf_status stockroom_define(const struct link *link, const char *const *skus, uint32_t count,
                                uint32_t *handles)
{
    struct hf_item items[CHUNK];
    enum hf_status status = HF_OK;
    for (uint32_t done = 0; done < count && status == HF_OK;) {
        uint32_t chunk = chunk_at(done, count);
        memset(items, 0, sizeof items);
        for (uint32_t i = 0; i < chunk; i++) {
            items[i].sku = skus[done + i];
        }
        uint64_t since = pause_now_ns();
        do {
            status = hf_define(link->clients[0], NULL, 0, items, chunk, handles + done);
        } while (link_again(link, status, since));
        done += chunk;
    }
    return status;
}

enum hf_status stockroom_adjust(const struct link *link, const struct hf_adjustment *adjustments,
                                uint32_t count, uint32_t *failed)
{
    static struct hf_adjust_result results[CHUNK];
    for (uint32_t done = 0; done < count;) {
        uint32_t chunk = chunk_at(done, count);
        uint64_t since = pause_now_ns();
        enum hf_status status;
        do {
            status = hf_adjust(link->clients[0], adjustments + done, chunk, results);
            for (uint32_t i = 0; status == HF_OK && i < chunk; i++) {
                status = results[i].status;
                *failed = done + i;
            }
        } while (link_again(link, status, since));
        if (status != HF_OK) {
            return status;
        }
        done += chunk;
    }
    return HF_OK;
}

/* ---- Own SKUs ---- */

/* Brings what is free of each item to `stock` units. */
static enum hf_status fill_up(struct stockroom *room, const struct link *link, int64_t stock)
{
    enum hf_status status = stockroom_read(room, link, room->before);
    if (status != HF_OK) {
        return status;
    }
    struct hf_adjustment *adjustments = calloc(room->count, sizeof *adjustments);
    if (!adjustments) {
        return HF_NO_MEMORY;
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < room->count; i++) {
        if (room->before[i].available != stock) {
            adjustments[count++] = (struct hf_adjustment){
                .id = hf_id_random(),
                .item = room->handles[i],
                .value = stock - room->before[i].available,
                .reason = "load",
            };
        }
    }
    uint32_t failed;
    status = stockroom_adjust(link, adjustments, count, &failed);
    free(adjustments);
    return status;
}

static enum hf_status make_own(struct stockroom *room, const struct link *link,
                               const struct load_options *options)
{
    enum hf_status status = stockroom_init(room, options->skus);
    if (status != HF_OK) {
        return status;
    }
    char(*codes)[16] = calloc(room->count, sizeof *codes);
    const char **skus = calloc(room->count, sizeof *skus);
    if (codes && skus) {
        for (uint32_t i = 0; i < room->count; i++) {
            snprintf(codes[i], sizeof *codes, "LOAD-%05u", i + 1);
            skus[i] = codes[i];
        }
        status = stockroom_define(link, skus, room->count, room->handles);
    } else {
        status = HF_NO_MEMORY;
    }
    free(codes);
    free(skus);
    return status == HF_OK ? fill_up(room, link, options->stock) : status;
}

/* ---- Items of the engine ---- */

static bool grow(struct stockroom *room, uint32_t *capacity)
{
    if (room->count < *capacity) {
        return true;
    }
    uint32_t larger = *capacity ? *capacity * 2 : 1024;
    uint32_t *handles = realloc(room->handles, (size_t)larger * sizeof *handles);
    if (!handles) {
        return false;
    }
    room->handles = handles;
    *capacity = larger;
    return true;
}

/* Most units first; the order of codes, which is that of the listing, among equals. */
static int compare_free(const void *a, const void *b)
{
    const struct hf_stock *left = a;
    const struct hf_stock *right = b;
    if (left->available != right->available) {
        return left->available > right->available ? -1 : 1;
    }
    int order = strcmp(left->sku, right->sku);
    return order ? order : strcmp(left->pool, right->pool);
}

/* Puts the items in the order in which they are wanted: a shop stocks most of what it expects to
 * sell most of. `before` is read. */
static void rank_by_stock(struct stockroom *room)
{
    qsort(room->before, room->count, sizeof *room->before, compare_free);
    for (uint32_t i = 0; i < room->count; i++) {
        room->handles[i] = room->before[i].item;
    }
}

static enum hf_status list_all(struct stockroom *room, const struct link *link)
{
    enum hf_status status = HF_OK;
    char after[HF_CODE_BYTES] = "";
    uint32_t capacity = 0;
    uint32_t count = 1;
    while (status == HF_OK && count > 0) {
        struct hf_stock *stock = NULL;
        count = 0;
        uint64_t since = pause_now_ns();
        do {
            status = hf_list_stock(link->clients[0], after, 0, &stock, &count);
        } while (link_again(link, status, since));
        for (uint32_t i = 0; status == HF_OK && i < count; i++) {
            if (!grow(room, &capacity)) {
                status = HF_NO_MEMORY;
                break;
            }
            room->handles[room->count++] = stock[i].item;
        }
        if (status == HF_OK && count > 0) {
            memcpy(after, stock[count - 1].sku, sizeof after);
        }
        hf_free(stock);
    }
    return status;
}

static enum hf_status resolve_row(struct stockroom *room, const struct link *link, const char *sku,
                                  const char *pool, uint32_t *capacity)
{
    if (!grow(room, capacity)) {
        return HF_NO_MEMORY;
    }
    enum hf_status status;
    uint64_t since = pause_now_ns();
    do {
        status = hf_resolve(link->clients[0], sku, pool, &room->handles[room->count]);
    } while (link_again(link, status, since));
    if (status == HF_OK) {
        room->count++;
    }
    return status;
}

static enum hf_status read_catalogue(struct stockroom *room, const struct link *link,
                                     const struct load_options *options,
                                     char error[STOCKROOM_ERROR_BYTES])
{
    const char *path = options->catalogue;
    char why[CSV_ERROR_BYTES];
    struct csv *csv;
    enum hf_status status = csv_open(&csv, path, options->encoding, why);
    if (status != HF_OK) {
        snprintf(error, STOCKROOM_ERROR_BYTES, "%s: %s", path, why);
        return status;
    }
    int sku = csv_column(csv, "sku");
    int pool = csv_column(csv, "pool");
    struct csv_row row;
    uint32_t capacity = 0;
    if (sku < 0) {
        snprintf(error, STOCKROOM_ERROR_BYTES, "%s: there is no column sku", path);
        status = HF_INVALID;
    }
    while (status == HF_OK && (status = csv_next(csv, &row)) == HF_OK) {
        const char *code = (const char *)row.fields[sku].data;
        const char *where =
            pool >= 0 && row.fields[pool].len > 0 ? (const char *)row.fields[pool].data : "default";
        if (!cell_check_name(bytes_of(code), why) || !cell_check_name(bytes_of(where), why)) {
            snprintf(error, STOCKROOM_ERROR_BYTES, "%s: row %llu: %.64s@%.64s %s", path,
                     (unsigned long long)row.number, code, where, why);
            status = HF_INVALID;
            break;
        }
        status = resolve_row(room, link, code, where, &capacity);
        if (status != HF_OK) {
            snprintf(error, STOCKROOM_ERROR_BYTES, "%s: row %llu: %s@%s: %s", path,
                     (unsigned long long)row.number, code, where, hf_status_text(status));
        }
    }
    if (status == HF_INVALID && error[0] == '\0') {
        snprintf(error, STOCKROOM_ERROR_BYTES, "%s: %s", path, csv_error(csv));
    }
    csv_close(csv);
    return status == HF_NOT_FOUND ? HF_OK : status;
}

/* Handles are known, the rest is not: makes room for it. */
static enum hf_status finish_handles(struct stockroom *room, char error[STOCKROOM_ERROR_BYTES])
{
    if (room->count == 0) {
        snprintf(error, STOCKROOM_ERROR_BYTES, "there are no items to buy");
        return HF_INVALID;
    }
    room->before = calloc(room->count, sizeof *room->before);
    room->after = calloc(room->count, sizeof *room->after);
    return room->before && room->after ? HF_OK : HF_NO_MEMORY;
}

/* Before anything is sent again and again: whether there is an engine at all. */
static enum hf_status look_for_engine(const struct link *link, char error[STOCKROOM_ERROR_BYTES])
{
    struct hf_engine_status engine;
    enum hf_status status = hf_get_status(link->clients[0], &engine);
    if (status != HF_UNREACHABLE) {
        return HF_OK; /* whatever it is, it is there */
    }
    snprintf(error, STOCKROOM_ERROR_BYTES, "%s", hf_last_message());
    return status;
}

enum hf_status stockroom_open(struct stockroom *room, const struct link *link,
                              const struct load_options *options, char error[STOCKROOM_ERROR_BYTES])
{
    memset(room, 0, sizeof *room);
    error[0] = '\0';
    enum hf_status status = look_for_engine(link, error);
    if (status != HF_OK) {
        return status;
    }
    if (options->catalogue) {
        status = read_catalogue(room, link, options, error);
    } else if (options->existing) {
        status = list_all(room, link);
    } else {
        status = make_own(room, link, options);
    }
    if (status == HF_OK && !room->before) {
        status = finish_handles(room, error);
    }
    if (status == HF_OK) {
        status = stockroom_read(room, link, room->before);
    }
    if (status == HF_OK && options->existing) {
        rank_by_stock(room);
    }
    if (status != HF_OK && error[0] == '\0') {
        char message[LINK_MESSAGE_BYTES];
        if (status == HF_UNREACHABLE) {
            snprintf(error, STOCKROOM_ERROR_BYTES, "nothing answered at %s within %g s",
                     options->url, options->give_up_s);
        } else {
            snprintf(error, STOCKROOM_ERROR_BYTES, "%s: %s", options->url,
                     link_message(status, message));
        }
    }
    if (status != HF_OK) {
        stockroom_close(room);
    }
    return status;
}
