/* order_print.h - how orders are printed.
 *
 * Threads: the main thread. */
#ifndef CLI_ORDER_PRINT_H
#define CLI_ORDER_PRINT_H

#include <stdbool.h>
#include <stdint.h>

#include <holdfast/client.h>
#include <jansson.h>

/* "deadline  2026-11-11T00:15:00.000Z (in 14 min 59 s)" */
void order_print_deadline(struct hf_client *client, uint64_t deadline_ms);

/* Reads the items of lines: *items, to be freed with free(), has one for each. Always there, zeroed
 * when the status is not OK. */
enum hf_status order_read_items(struct hf_client *client, const struct hf_order_line *lines,
                                uint32_t count, struct hf_stock **items);

/* Lines with the names of their items. covered: also what stock covers of what was pre-sold. */
json_t *order_lines_json(const struct hf_order_line *lines, uint32_t count,
                         const struct hf_stock *items, bool covered);

/* An order with its lines. items: one for each line. */
json_t *order_object(const struct hf_order_info *info, const struct hf_stock *items);

#endif
