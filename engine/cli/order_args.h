/* order_args.h - what the commands below `holdfast order` take: an order's ID, a buyer, lines.
 *
 * Threads: the main thread. */
#ifndef CLI_ORDER_ARGS_H
#define CLI_ORDER_ARGS_H

#include <stdbool.h>
#include <stdint.h>

#include <holdfast/client.h>

#include "cli/args.h"
#include "cli/connect.h"

#define ORDER_ID_HELP "ID is a UUID, 32 hex digits, or any other text, which is hashed to an ID.\n"

/* An empty ID, or one of all zeros, is most often a variable that was not set. ARGS_GO_ON, or the
 * exit code. */
int order_check_id(const struct command_spec *spec, const char *id_text);

/* The same of an option's text; NULL: it was not given. */
int order_check_buyer(const struct command_spec *spec, const char *buyer_text);

/* Reads a command line whose only argument is an order's ID, and opens a client. ARGS_GO_ON, or the
 * exit code; the message has been printed. */
int order_open(const struct command_spec *spec, const struct connection *connection, int argc,
               char **argv, struct hf_id *id, struct hf_client **client);

/* Whether an order can have so many lines. ARGS_GO_ON, or the exit code. */
int order_check_line_count(const struct command_spec *spec, uint32_t count);

/* LINE:QTY, as 2:1. False, with a reason that completes "'12x' ...". */
bool order_parse_line_qty(const char *text, struct hf_line_qty *line, char *reason);

#endif
