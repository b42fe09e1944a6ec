/* order.h - what the words below `holdfast order` share: how orders are printed.
 *
 * Threads: the main thread. */
#ifndef CLI_ORDER_H
#define CLI_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include <holdfast/client.h>
#include <jansson.h>

#include "cli/args.h"

#define ORDER_ID_HELP "ID is a UUID, 32 hex digits, or any other text, which stands for its hash.\n"

/* "deadline  2026-11-11T00:15:00.000Z (in 14 min 59 s)" */
void order_print_deadline(struct hf_client *client, uint64_t deadline_ms);

/* Reads the items of lines: *items, to be freed with free(), has one for each. Always there, zeroed
 * when the status is not OK. */
enum hf_status order_read_items(struct hf_client *client, const struct hf_order_line *lines,
                                uint32_t count, struct hf_stock **items);

/* Lines with the names of their items. covered: also what stock covers of what was pre-sold. */
json_t *order_lines_json(const struct hf_order_line *lines, uint32_t count,
                         const struct hf_stock *items, bool covered);

/* An empty ID, or one of all zeros, is most often a variable that was not set. ARGS_GO_ON, or the
 * exit code. */
int order_check_id(const struct command_spec *spec, const char *id_text);

/* The same of an option's text; NULL: it was not given. */
int order_check_buyer(const struct command_spec *spec, const char *buyer_text);

/* Words below `order`. */
int cmd_order_show(int argc, char **argv);
int cmd_order_list(int argc, char **argv);

#endif
