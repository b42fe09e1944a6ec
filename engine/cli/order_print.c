/* order_print.c - how orders are printed.
 *
 * Threads: the main thread. */
#include "cli/order_print.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/times.h"
#include "cli/connect.h"
#include "cli/print.h"
#include "cli/values.h"

void order_print_deadline(struct hf_client *client, uint64_t deadline_ms)
{
    char when[TIME_TEXT_BYTES];
    char distance[DURATION_TEXT_BYTES];
    uint64_t now_ms = connect_engine_ms(client);
    bool ahead = deadline_ms >= now_ms;
    time_text(deadline_ms, when);
    duration_text(ahead ? deadline_ms - now_ms : now_ms - deadline_ms, distance);
    printf("deadline  %s (%s%s%s)\n", when, ahead ? "in " : "", distance, ahead ? "" : " ago");
}

enum hf_status order_read_items(struct hf_client *client, const struct hf_order_line *lines,
                                uint32_t count, struct hf_stock **items)
{
    uint32_t *handles = must_alloc(count, sizeof *handles);
    *items = must_alloc(count, sizeof **items);
    for (uint32_t i = 0; i < count; i++) {
        handles[i] = lines[i].item;
    }
    enum hf_status status = HF_OK;
    for (uint32_t i = 0; i < count && status == HF_OK;) {
        uint32_t part = count - i < REQUEST_ADMIN_MAX ? count - i : REQUEST_ADMIN_MAX;
        status = hf_get_items(client, handles + i, part, *items + i);
        i += part;
    }
    if (status != HF_OK) {
        memset(*items, 0, count * sizeof **items);
    }
    free(handles);
    return status;
}

json_t *order_lines_json(const struct hf_order_line *lines, uint32_t count,
                         const struct hf_stock *items, bool covered)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < count; i++) {
        const struct hf_order_line *line = &lines[i];
        json_t *object =
            json_pack("{s:I, s:I, s:s, s:s, s:I, s:I}", "line", (json_int_t)line->line, "item",
                      (json_int_t)line->item, "sku", items[i].sku, "pool", items[i].pool, "qty",
                      (json_int_t)line->qty, "presale_qty", (json_int_t)line->presale_qty);
        if (covered) {
            json_object_set_new(object, "covered_qty", json_integer(line->covered_qty));
        }
        json_array_append_new(array, object);
    }
    return array;
}

json_t *order_object(const struct hf_order_info *info, const struct hf_stock *items)
{
    char id_text[37];
    char buyer[24];
    char deadline[TIME_TEXT_BYTES];
    hf_id_to_text(info->id, id_text);
    snprintf(buyer, sizeof buyer, "%" PRIu64, info->buyer);
    time_text(info->deadline_ms, deadline);
    /* The buyer is a text: it may be beyond what a JSON number holds exactly. */
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:o}", "id", id_text, "state",
                     state_name(info->state), "buyer", buyer, "deadline", deadline, "deadline_ms",
                     (json_int_t)info->deadline_ms, "lsn", (json_int_t)info->lsn, "lines",
                     order_lines_json(info->lines, info->line_count, items, true));
}
