/* order_args.c - what the commands below `holdfast order` take: an order's ID, a buyer, lines.
 *
 * Threads: the main thread. */
#include "cli/order_args.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/id.h"
#include "base/limits.h"
#include "cli/values.h"

int order_check_id(const struct command_spec *spec, const char *id_text)
{
    if (id_text[0] == '\0') {
        return args_wrong(spec, "the order's ID is empty");
    }
    return id_is_nil(id_from_text(id_text, strlen(id_text)))
               ? args_wrong(spec, "the order's ID is " ID_NIL_REASON)
               : ARGS_GO_ON;
}

int order_check_buyer(const struct command_spec *spec, const char *buyer_text)
{
    return !buyer_text || buyer_text[0] != '\0'
               ? ARGS_GO_ON
               : args_wrong(spec,
                            "option --buyer: it is empty; leave it out for an order of nobody");
}

int order_open(const struct command_spec *spec, const struct connection *connection, int argc,
               char **argv, struct hf_id *id, struct hf_client **client)
{
    struct args args;
    int code = args_parse(spec, argc, argv, &args);
    if (code == ARGS_GO_ON) {
        CHECK(args.count == 1);
        code = order_check_id(spec, args.values[0]);
    }
    if (code == ARGS_GO_ON) {
        *id = order_id_of(args.values[0]);
        code = connect_open(spec, connection, client);
    }
    return code;
}

int order_check_line_count(const struct command_spec *spec, uint32_t count)
{
    return count <= ORDER_LINES_MAX
               ? ARGS_GO_ON
               : args_wrong(spec, "%" PRIu32 " lines; an order can have at most %u", count,
                            ORDER_LINES_MAX);
}

bool order_parse_line_qty(const char *text, struct hf_line_qty *line, char *reason)
{
    char number[16];
    const char *colon = strchr(text, ':');
    uint64_t value = 0;
    size_t len = colon ? (size_t)(colon - text) : 0;
    if (len == 0 || len >= sizeof number) {
        snprintf(reason, REASON_BYTES, "is not LINE:QTY, such as 1:2");
        return false;
    }
    memcpy(number, text, len);
    number[len] = '\0';
    char inner[REASON_BYTES];
    if (!parse_unsigned(number, 1, ORDER_LINES_MAX, &value, inner)) {
        snprintf(reason, REASON_BYTES, "has a line number that %.90s", inner);
        return false;
    }
    line->line = (uint32_t)value;
    if (!parse_unsigned(colon + 1, 0, QTY_MAX, &value, inner)) {
        snprintf(reason, REASON_BYTES, "has a quantity that %.90s", inner);
        return false;
    }
    line->qty = (uint32_t)value;
    return true;
}
